"""How like the liquid of a student is to that of its teacher: the difference of their g(r)."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from saltern.errors import SalternError
from saltern.observables.blocking import Estimate
from saltern.observables.rdf import RadialDistribution

Array = NDArray[Any]

FIRST_A, LAST_A = 2.0, 14.0
"""Distances (Å) that are compared, as in the figures for arXiv 2310.12535; in a smaller box as far as g(r) reaches."""


class Likeness(NamedTuple):
    """What tells two g(r) from each other.

    Attributes:
        difference: root mean square difference.
        noise: what of it the noise of both alone would make.
        last: largest distance compared in Å.
    """

    difference: Estimate
    noise: float
    last: float


def likeness(student: RadialDistribution, teacher: RadialDistribution) -> Likeness:
    """Compare two g(r) with the same bins from `FIRST_A` to `LAST_A`.

    The standard error leaves out one block of either at a time. Noise makes a difference where there is none: two
    samples of one liquid differ by `noise` on average.

    Args:
        student: one of them.
        teacher: the other.

    Raises:
        SalternError: when their bins differ, or nothing lies between the distances.
    """
    bins = min(len(student.r), len(teacher.r))
    if not np.allclose(student.r[:bins], teacher.r[:bins]):
        raise SalternError("two g(r) with different bins cannot be compared")
    compared = (student.r[:bins] >= FIRST_A) & (student.r[:bins] <= LAST_A)
    if not compared.any():
        raise SalternError(f"g(r) ends below {FIRST_A} Å")

    def difference(one: Array, other: Array) -> Any:
        return np.sqrt(np.square(one[..., :bins] - other[..., :bins])[..., compared].mean(axis=-1))

    left = difference(_left(student), teacher.g), difference(student.g, _left(teacher))
    variance = sum((len(d) - 1) / len(d) * np.square(d - d.mean()).sum() if len(d) > 1 else np.nan for d in left)
    noise = np.sqrt((student.error[:bins] ** 2 + teacher.error[:bins] ** 2)[compared].mean())
    found = Estimate(float(difference(student.g, teacher.g)), float(np.sqrt(variance)))
    return Likeness(found, float(noise), float(student.r[:bins][compared][-1]))


def _left(rdf: RadialDistribution) -> Array:
    """g(r) without each of the blocks, (block, bin)."""
    share = rdf.weights / rdf.weights.sum()
    with np.errstate(invalid="ignore"):  # of one block nothing is left
        left: Array = (rdf.g - share[:, None] * rdf.block_g) / (1 - share)[:, None]
    return left
