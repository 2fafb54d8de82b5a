"""Numbers as a reader wants them."""

from __future__ import annotations

import math
import re
from collections import Counter
from collections.abc import Sequence
from itertools import compress
from pathlib import PurePath

import numpy as np

from saltern.observables import estimate
from saltern.report.data import CostRow, Growth, HealthRow, LevelData, LikenessRow, Measured, MemberRow

MISSING = "–"
_LOW = str.maketrans("0123456789", "₀₁₂₃₄₅₆₇₈₉")
_HIGH = str.maketrans("0123456789+-", "⁰¹²³⁴⁵⁶⁷⁸⁹⁺⁻")


def number(value: float | None, digits: int = 3) -> str:
    """A number with so many significant digits."""
    if value is None or not math.isfinite(value):
        return MISSING
    if value == 0:
        return "0"
    if abs(value) < 1e-6:
        return f"{value:.{digits - 1}e}".replace("-", "−")
    decimals = max(0, digits - 1 - math.floor(math.log10(abs(value))))
    return f"{value:.{decimals}f}".replace("-", "−")


def plus_minus(measured: Measured | None, digits: int = 3) -> str:
    """'1.23 ± 0.04', with two digits of the error; without an error, so many digits of the value."""
    if measured is None:
        return MISSING
    value, error = measured.value, measured.error
    if value is None or not math.isfinite(value):
        return MISSING
    if error is None or not math.isfinite(error) or error <= 1e-9 * abs(value):
        return number(value, digits)
    decimals = min(6, max(0, 1 - math.floor(math.log10(error))))
    return f"{value:.{decimals}f} ± {error:.{decimals}f}".replace("-", "−")


def like(row: LikenessRow) -> str:
    """How far g(r) of a pair is from the teacher's."""
    pair = "-".join(row.pair)
    return f"g(r) of {pair} differs from the teacher's by {plus_minus(row.difference)}, noise {number(row.noise, 2)}"


def grown(found: Growth) -> str:
    """What became of crystals, with standard errors over replicas."""
    if not found.seen:
        return f"no crystal in {len(found.sizes)} replicas"
    first = over_replicas([float(sizes[0]) for sizes in found.sizes])
    last = over_replicas([float(sizes[-max(1, len(sizes) // 10) :].mean()) for sizes in found.sizes])
    before = "" if found.solution is None else f"; g(r) is that of the {found.solution:g} ps before one grew"
    ends = Counter(compress(found.drivers, found.ended))
    told = ", ".join(f"{member} {ends[member]} of {runs}" for member, runs in Counter(found.drivers).items())
    driven = f", driven by {told}" if told else ""
    return (
        f"{sum(found.ended)} of {len(found.sizes)} replicas end with a crystal{driven}; cations in the largest one "
        f"{plus_minus(first)} at first, {plus_minus(last)} in the last tenth{before}"
    )


def over_replicas(values: Sequence[float]) -> Measured:
    """Their mean with its standard error."""
    found = estimate([np.array([value]) for value in values], 1)
    return Measured(found.value, found.error)


def percent(share: Measured | None) -> str:
    """A share with its error, in per cent."""
    if share is None or share.value is None:
        return MISSING
    return plus_minus(in_percent(share), 2)


def left(row: HealthRow) -> str:
    """What is known of a simulation that left its data."""
    shares = ((row.outside, "of the atoms are doubtful"), (row.new, "have new surroundings"))
    told = [f"{percent(share)} % {what}" for share, what in shares if share is not None]
    told.append("1 % is usual")
    if row.force_error:
        told.append(f"force error about {number(row.force_error.value, 2)} meV/Å")
    return f"left the training data: {', '.join(told)}"


def species(name: str) -> str:
    """A chemical name with its indices in place: 'SO4^2-' as 'SO₄²⁻'."""
    match = re.fullmatch(r"(.*?)(?:\^(\d+))?([+-])?", name)
    assert match is not None
    formula, size, sign = match[1], match[2] or "", match[3] or ""
    # a digit before the sign is the charge of a single atom, but a count in a formula
    if sign and not size and re.fullmatch(r"[A-Z][a-z]?\d", formula):
        formula, size = formula[:-1], formula[-1]
    return formula.translate(_LOW) + size.translate(_HIGH) + sign.translate(_HIGH)


def unit(text: str) -> str:
    """A unit with its power of ten written out."""
    return text.replace("1e-9", "10⁻⁹")


def duration(seconds: float) -> str:
    """'42 s', '3.1 min', '5.2 h', whichever is short."""
    for size, unit in ((3600.0, "h"), (60.0, "min")):
        if seconds >= size:
            return f"{number(seconds / size)} {unit}"
    return f"{number(seconds)} s"


def cpu_time(cost: tuple[CostRow, ...]) -> str:
    """Processor time of all stages."""
    return duration(sum(row.cpu_seconds for row in cost))


def simulated(level: LevelData) -> str:
    """Length of all trajectories."""
    length = level.simulated_ns
    return f"{number(length)} ns" if length >= 0.1 else f"{number(1000 * length)} ps"


def taught(level: LevelData) -> str:
    """What the student learned from and where it started; empty where its files do not say."""
    spec = level.spec.get("train")
    if not spec:
        return ""
    train, student = spec["train"], spec["student"]
    objective = train.get("objective", "forces")
    if objective == "forces":
        weights = {"energies": "energy_weight", "forces": "force_weight", "stress": "stress_weight"}
        told = f"taught by {' and '.join(what for what, weight in weights.items() if train.get(weight))}"
    elif objective == "score":
        told = f"taught by positions, displaced by {train['noise_A']:g} Å"
    else:
        told = "taught by g(r), in one step of relative entropy"
    if train.get("start_level"):
        return f"{told}, from the potential of level {train['start_level']}"
    # a checkpoint is a path, of which the directory says nothing to a reader
    return f"{told}, from {PurePath(student['start']).name}" if student.get("start") else told


def force_error(level: LevelData) -> str:
    """RMSE of the held-out force components."""
    found = level.force_error
    if found is None or found.rmse.value is None:
        return MISSING
    return f"{plus_minus(found.rmse)} {found.unit}"


def trust(level: LevelData) -> list[str]:
    """What is known of how far forces can be believed, as lines of text with a table."""
    lines = [f"{row.what} {plus_minus(row.rmse)} {row.unit}" for row in level.environments]
    found = level.calibration
    if found is not None:
        lines.append(
            f"error is {plus_minus(found.factor)} times the committee's spread, rank correlation "
            f"{plus_minus(found.rank)} (held-out trajectories: {found.trajectories})"
        )
        columns = [("spread", "error"), *((number(spread), number(error.value)) for spread, error in found.bins)]
        lines += ["".join(f"{cells[row]:>8}" for cells in columns) + "  meV/Å" for row in (0, 1)]
    lines += [f"{row.member} {idle(row)}" for row in level.members if row.doubted]
    return lines + [
        f"{row.member} ended after epoch {row.epochs}, {row.ended}; epoch {row.kept} is kept"
        for row in level.members
        if row.ended
    ]


def idle(row: MemberRow) -> str:
    """Why a network does not look trained."""
    share = MISSING if row.share.value is None else f"{row.share.value:.2f}"
    found = [f"error {share} of its baseline's", f"{100 * row.silent:.0f} % of its features idle"]
    found += ["a classical force field is as good"] if row.beaten else []
    found += [f"never moved: {', '.join(row.unmoved)}"] if row.unmoved else []
    return f"does not look trained: {', '.join(found)}"


def explained(level: LevelData) -> str:
    """Share of the held-out labels' variance that the student explains, and what pairs alone do."""
    whole = level.explained[0]
    student, pairs, gain = (plus_minus(part) for part in (rest(whole.loss), rest(whole.pairs), in_percent(whole.gain)))
    return f"{student} % of the force variance explained, {pairs} % by pairs alone, {gain} % more"


def in_percent(share: Measured) -> Measured:
    """A share in percent."""
    error = None if share.error is None else 100 * share.error
    return Measured(None if share.value is None else 100 * share.value, error)


def rest(share: Measured) -> Measured:
    """What is left of the whole, in percent."""
    return in_percent(Measured(None if share.value is None else 1 - share.value, share.error))
