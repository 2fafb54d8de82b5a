"""SevenNet's universal potentials, by the package's own calculator and with the weights that it brings."""

from __future__ import annotations

import warnings
from collections.abc import Iterator, Mapping, Sequence
from importlib import metadata
from pathlib import Path

import torch
from ase import Atoms
from ase.data import chemical_symbols
from sevenn.calculator import SevenNetCalculator

from saltern.config import SevennetTeacher
from saltern.engines.base import Failure, Label, Question, cpu_time
from saltern.errors import UserError
from saltern.potentials import chosen_device

MODELS = {"SevenNet-MF-0-r2SCAN": ("7net-mf-0", "R2SCAN"), "SevenNet-0": ("7net-0", None)}
"""The package's names of a model and of the functional that it speaks for, if it knows several; by method."""


class SevennetEngine:
    """Networks that have learned from crystals; they know nothing of the total charge."""

    name = "sevennet"

    def __init__(self, teacher: SevennetTeacher) -> None:
        model, functional = MODELS[teacher.method]
        with warnings.catch_warnings():
            # of kernels for GPUs that are not installed
            warnings.simplefilter("ignore")
            self._calculator = SevenNetCalculator(model, device=chosen_device(teacher.device), modal=functional)
        self.version = metadata.version("sevenn")
        self.build = f"sevenn {self.version} from its wheel, torch {torch.__version__}"
        self.method: str = teacher.method
        self.settings: Mapping[str, object] = teacher.model_dump(exclude={"device"})

    def answers(
        self,
        questions: Sequence[Question],
        wanted: Sequence[int],
        directory: Path,  # noqa: ARG002, this engine needs no files
    ) -> Iterator[Label | Failure]:
        """See `Engine.answers`."""
        for index in wanted:
            yield self._label(questions[index])

    def _label(self, question: Question) -> Label:
        """The label of one frame."""
        start = cpu_time()
        known = self._calculator.type_map
        unknown = sorted({chemical_symbols[z] for z in question.numbers if z not in known})
        if unknown:
            raise UserError(
                f"teacher.method: {self.method} does not know {', '.join(unknown)}; allowed: another teacher"
            )
        atoms = Atoms(question.numbers, question.positions, cell=question.cell, pbc=True, calculator=self._calculator)
        return Label(
            energy=float(atoms.get_potential_energy()),
            forces=atoms.get_forces(),
            stress=atoms.get_stress(voigt=False),
            iterations=-1,
            cpu_seconds=cpu_time() - start,
            scf_path="",
        )
