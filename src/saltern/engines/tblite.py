"""GFN1-xTB and GFN2-xTB, in this process.

Methods: Grimme, Bannwarth, Shushkov, J. Chem. Theory Comput. 13, 1989 (2017); Bannwarth, Ehlert, Grimme,
J. Chem. Theory Comput. 15, 1652 (2019).
"""

from __future__ import annotations

import ctypes
import re
from collections.abc import Iterator, Mapping, Sequence
from importlib import metadata
from pathlib import Path

import numpy as np
from tblite import _libtblite
from tblite.exceptions import TBLiteRuntimeError
from tblite.interface import Calculator
from tblite.library import get_version

from saltern.config import TbliteTeacher
from saltern.engines.base import Failure, Label, Question, cpu_time
from saltern.errors import LabelError
from saltern.units import BOHR, BOLTZMANN, HARTREE

DENSITY_CRITERION = 2e-5
"""Largest density error of a converged cycle at accuracy 1; tblite scales it with the accuracy."""

PATH = "broyden"
"""The one way in which tblite seeks the electronic structure."""

_CYCLE = re.compile(r"\s*(\d+)\s+\S+\s+\S+\s+(\S+)\s*")


class TbliteEngine:
    """Tight binding with periodic boundaries at the Γ point."""

    name = "tblite"

    def __init__(self, teacher: TbliteTeacher) -> None:
        self._teacher = teacher
        self.version = ".".join(map(str, get_version()))
        self.build = f"tblite {metadata.version('tblite')} from its wheel"
        self.method: str = teacher.method
        self.settings: Mapping[str, object] = teacher.model_dump()

    def answers(
        self,
        questions: Sequence[Question],
        wanted: Sequence[int],
        directory: Path,  # noqa: ARG002, this engine needs no files
    ) -> Iterator[Label | Failure]:
        """See `Engine.answers`. Each frame starts from the atoms."""
        for index in wanted:
            start = cpu_time()
            try:
                yield self._label(questions[index], start)
            except LabelError as error:
                yield Failure(error.reason, error.detail, cpu_time() - start, PATH)

    def _label(self, question: Question, start: float) -> Label:
        """The label of one frame."""
        _use_one_thread()
        lines: list[str] = []
        try:
            calculator = Calculator(
                self.method,
                question.numbers,
                question.positions / BOHR,
                charge=float(question.charge),
                lattice=question.cell / BOHR,
                periodic=np.ones(3, dtype=bool),
                color=False,
                logger=lines.append,
            )
            calculator.set("accuracy", self._teacher.accuracy)
            calculator.set("max-iter", self._teacher.max_iterations)
            calculator.set("temperature", self._teacher.electronic_temperature_K * BOLTZMANN / HARTREE)
            result = calculator.singlepoint()
        except TBLiteRuntimeError as error:
            reason = "scf-not-converged" if "not converged" in str(error) else "engine-failed"
            raise LabelError(reason, str(error)) from error
        return Label(
            energy=float(result["energy"]) * HARTREE,
            forces=-result["gradient"] * HARTREE / BOHR,
            stress=result["virial"] * HARTREE / abs(np.linalg.det(question.cell)),
            iterations=_proven_cycles(lines, self._teacher.accuracy),
            cpu_seconds=cpu_time() - start,
            scf_path=PATH,
        )


def _use_one_thread() -> None:
    """Keep tblite on the calling thread.

    With several threads it adds up in an order that varies, so that the same frame gives forces that differ in their
    last bits. The call reaches the OpenMP library that tblite was linked with, however many others are loaded.
    """
    ctypes.CDLL(_libtblite.__file__).omp_set_num_threads(1)


def _proven_cycles(lines: Sequence[str], accuracy: float) -> int:
    """Number of self-consistency cycles in tblite's own words, the last of which met its criterion.

    Raises:
        LabelError: when the words do not show that.
    """
    cycles = [match for line in lines if (match := _CYCLE.fullmatch(line))]
    if not cycles or not float(cycles[-1][2]) < DENSITY_CRITERION * accuracy:
        raise LabelError("scf-not-converged", f"tblite's last words were: {' | '.join(lines[-3:])}")
    return int(cycles[-1][1])
