"""How fine the grid must be: one frame labelled at several cutoffs, as it is and shifted against the grid."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from saltern.config import Cp2kTeacher, LabelConfig
from saltern.engines import Failure, Label, Question, make_engine
from saltern.errors import SalternError
from saltern.frames import Array
from saltern.labelling.question import question_key
from saltern.labelling.records import answer_of, record_of
from saltern.progress import say
from saltern.store import LabelStore

SHIFT_A = (0.031, 0.047, 0.023)
"""Displacement of the whole box against the grid (Å). Nature does not notice it; what changes is error."""


@dataclass(frozen=True)
class Row:
    """What one cutoff gives; forces in eV/Å, energies in meV per atom."""

    cutoff_Ry: float
    net_force: float
    """Size of the sum of the forces; the larger of the two positions."""
    force_shift: float
    """Root mean square change of a force component when the box is shifted: the egg-box effect."""
    energy_shift: float
    """Change of the energy when the box is shifted."""
    force_change: float
    """Root mean square difference of a force component from the finest grid; 0 there."""
    largest_change: float
    """Largest such difference."""
    energy_change: float
    """Difference of the energy from the finest grid."""
    cpu_seconds: float
    """Processor time of one label (s)."""


def converge(
    question: Question, teacher: Cp2kTeacher, cutoffs: Sequence[float], store: LabelStore, what: str
) -> list[Row]:
    """Label a frame at several cutoffs.

    Every label goes through the label store, so a run that was stopped goes on where it was.

    Args:
        question: the frame.
        teacher: the method; its own cutoff does not matter.
        cutoffs: plane-wave cutoffs (Ry), in any order; the largest one is what the others are compared with.
        store: where labels are looked up and kept.
        what: the task, for progress lines.

    Raises:
        SalternError: when a label cannot be had.
    """
    shifted = Question(question.numbers, question.positions + SHIFT_A, question.cell, question.charge)
    pairs = {}
    for cutoff in sorted(cutoffs):
        pairs[cutoff] = list(_labels(teacher.model_copy(update={"cutoff_Ry": cutoff}), [question, shifted], store))
        say(f"{what}: {cutoff:g} Ry, {np.mean([label.cpu_seconds for label in pairs[cutoff]]):.0f} CPU s a label")
    finest = pairs[max(pairs)][0]
    return [_row(cutoff, here, there, finest) for cutoff, (here, there) in pairs.items()]


def _labels(teacher: Cp2kTeacher, questions: Sequence[Question], store: LabelStore) -> Iterator[Label]:
    """The labels of some frames, each from the atoms."""
    engine = make_engine(teacher.model_copy(update={"reuse": False}))
    for question in questions:
        key = question_key(question, engine, LabelConfig.NUMERICS)
        record = store.find(key)
        if record is None:
            with tempfile.TemporaryDirectory() as directory:
                [answer] = engine.answers([question], [0], Path(directory))
            record = store.add(key, record_of(question, engine, LabelConfig.NUMERICS, answer, store.recalled(key)))
        label = answer_of(record)
        if isinstance(label, Failure):
            raise SalternError(f"no label at {teacher.cutoff_Ry:g} Ry: {label.reason}, {label.detail}")
        yield label


def _row(cutoff: float, here: Label, there: Label, finest: Label) -> Row:
    """The comparison of one cutoff's labels with each other and with the finest."""
    atoms = len(here.forces)
    nets = [float(np.linalg.norm(label.forces.sum(axis=0))) for label in (here, there)]
    return Row(
        cutoff_Ry=cutoff,
        net_force=max(nets),
        force_shift=_rms(here.forces - there.forces),
        energy_shift=1000 * abs(here.energy - there.energy) / atoms,
        force_change=_rms(here.forces - finest.forces),
        largest_change=float(np.abs(here.forces - finest.forces).max()),
        energy_change=1000 * (here.energy - finest.energy) / atoms,
        cpu_seconds=float(np.mean([here.cpu_seconds, there.cpu_seconds])),
    )


def _rms(values: Array) -> float:
    return float(np.sqrt(np.mean(np.square(values))))
