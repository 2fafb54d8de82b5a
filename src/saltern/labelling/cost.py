"""What a label will cost: the built-in figures, corrected by the labels at hand."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from itertools import islice
from math import exp, hypot, log
from typing import Any

import numpy as np
from pydantic import ValidationError

from saltern.config import StudentConfig, Teacher, expected_seconds
from saltern.config.costs import EXPONENT_ERROR, UNMEASURED

WIDE = 2.0
"""Sizes of measured systems must differ by this factor for the exponent to be fitted. Costs of a size are known to
some 10 %, which makes an error of 0.2 in an exponent from sizes that differ so much; the built-in one is no worse."""

MOST_RECORDS = 5000
"""Records of a label store that are read. Keys are hashes, so the first ones are a fair sample of all."""


@dataclass(frozen=True)
class Correction:
    """What the built-in figures are multiplied by: `factor` (atoms / `reference`)^`exponent`."""

    factor: float = 1.0
    exponent: float = 0.0
    """0 where the sizes at hand are too much alike to tell."""
    reference: float = 1.0

    def seconds(self, teacher: Teacher, atoms: int, student: StudentConfig | None = None) -> float:
        """CPU time of the label of one frame (s), or of a picosecond; `student` is what such a teacher is."""
        relative: float = (atoms / self.reference) ** self.exponent
        return expected_seconds(teacher, atoms, student) * self.factor * relative


@dataclass(frozen=True)
class CostModel:
    """CPU time of a teacher's labels."""

    teacher: Teacher
    correction: Correction
    labels: int
    """Labels it was fitted to; 0 for the built-in figures as they are."""
    sizes: tuple[int, ...]
    """Numbers of atoms of those labels, in order."""
    scatter: float
    """Standard deviation of ln(CPU time) about the model."""
    student: StudentConfig | None = None
    """What the teacher is, if it is another level's student."""

    def seconds(self, atoms: int) -> float:
        """CPU time of the label of one frame (s); of a picosecond of a teacher that moves."""
        return self.correction.seconds(self.teacher, atoms, self.student)

    def error(self, atoms: int) -> float:
        """Factor by which the CPU time may be wrong either way, one standard deviation.

        It grows away from the sizes that were measured, for there the exponent counts.
        """
        away = min((abs(log(atoms / size)) for size in self.sizes), default=0.0)
        return exp(hypot(self.scatter, EXPONENT_ERROR * away))


def fit(teacher: Teacher, measured: Sequence[tuple[int, float]], student: StudentConfig | None = None) -> CostModel:
    """Fit the cost of a teacher's labels.

    The mean CPU time of each size (number of atoms), divided by the built-in figure, is fitted on logarithmic scales;
    all sizes count the same. The scatter is that of sizes predicted from the other sizes or, where there is one size
    only, that of its labels.

    Args:
        teacher: engine, method and settings.
        measured: number of atoms and CPU time (s) of each label; none gives the built-in figures.
        student: what the teacher is, if it is another level's student.
    """
    by_size: dict[int, list[float]] = {}
    for atoms, seconds in sorted(measured):
        by_size.setdefault(atoms, []).append(seconds)
    means = {atoms: float(np.mean(seconds)) for atoms, seconds in by_size.items()}
    correction = _correction(teacher, means)
    if len(means) > 1:
        scatter = _scatter_of_sizes(teacher, means)
    else:
        scatter = _scatter_of_labels([seconds for _, seconds in measured])
    return CostModel(teacher, correction, len(measured), tuple(means), scatter, student)


def _correction(teacher: Teacher, means: Mapping[int, float]) -> Correction:
    """A straight line through the logarithms of what sizes cost, in units of the built-in figures."""
    if not means:
        return Correction()
    x = np.log(list(means))
    y = np.log([seconds / expected_seconds(teacher, atoms) for atoms, seconds in means.items()])
    exponent = float(np.polyfit(x, y, 1)[0]) if max(means) >= WIDE * min(means) else 0.0
    return Correction(exp(y.mean()), exponent, exp(x.mean()))


def _scatter_of_sizes(teacher: Teacher, means: Mapping[int, float]) -> float:
    """Standard deviation of ln(mean CPU time) of each size about what the other sizes predict."""
    misses = []
    for atoms, seconds in means.items():
        others = _correction(teacher, {n: s for n, s in means.items() if n != atoms})
        misses.append(log(seconds / others.seconds(teacher, atoms)))
    return float(np.sqrt(np.mean(np.square(misses))))


def _scatter_of_labels(seconds: Sequence[float]) -> float:
    """Standard deviation of ln(CPU time) of labels of one size; of a single one, or none, nothing is known."""
    return float(np.std(np.log(seconds), ddof=1)) if len(seconds) > 1 else log(UNMEASURED)


def measured_labels(records: Iterable[tuple[str, Mapping[str, Any]]], teacher: Teacher) -> list[tuple[int, float]]:
    """Number of atoms and CPU time (s) of the labels that say something about a teacher's costs.

    These are those of the same engine and method; the time of one with other settings, such as another cutoff, is
    brought to the teacher's by the built-in figures. Failures count with what was spent on them.

    Args:
        records: a label store, or as much of one; the first `MOST_RECORDS` are read.
        teacher: engine, method and settings.
    """
    found = []
    for _, record in islice(records, MOST_RECORDS):
        question, spent = record["question"], record["record"]["cpu_seconds"]
        if (question["engine"], record["record"]["method"]) != (teacher.engine, teacher.method) or spent <= 0:
            continue
        known = {key: value for key, value in question["settings"].items() if key in type(teacher).model_fields}
        try:
            asked = type(teacher).model_validate(known)
        except ValidationError:  # settings of another version
            continue
        atoms = len(question["numbers"])
        found.append((atoms, spent * expected_seconds(teacher, atoms) / expected_seconds(asked, atoms)))
    return found
