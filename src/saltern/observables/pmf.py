"""Potentials of mean force between ions, and what is left of them without the screened Coulomb energy."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from saltern.observables.blocking import Estimate
from saltern.observables.coordination import next_maximum, smoothed
from saltern.observables.rdf import RadialDistribution
from saltern.units import BOLTZMANN, COULOMB

Array = NDArray[Any]

SEEN = 0.5
"""Relative error of g up to which it is looked for minima and barriers."""


class Point(NamedTuple):
    """Where the short-range part is least or largest: distance in Å, value in kT."""

    position: float
    value: Estimate


@dataclass(frozen=True)
class MeanForce:
    """Potential of mean force in kT, (bin,) each; infinite where g is 0.

    Attributes:
        r: distance in Å.
        total: -ln g.
        short_range: `total` minus q q' / (4 π ε0 ε r kT).
        error: standard error of both.
        contact: minimum of the short-range part where ions touch.
        barrier: maximum behind it.
        separated: minimum behind that, of ions with solvent between them; each None where noise hides it.
    """

    r: Array
    total: Array
    short_range: Array
    error: Array
    contact: Point | None
    barrier: Point | None
    separated: Point | None


def bjerrum_length(permittivity: float, temperature: float) -> float:
    """Distance (Å) at which two elementary charges in a solvent have the energy kT."""
    return COULOMB / (permittivity * BOLTZMANN * temperature)


def mean_force(rdf: RadialDistribution, charges: float, permittivity: float, temperature: float) -> MeanForce:
    """The potential of mean force of two kinds of ions from their g(r).

    It is that at the concentration of the simulation, where other ions screen; at infinite dilution the short-range
    part goes to 0 at large distances. Minima and the barrier are those of g smoothed over 0.08 Å.

    Args:
        rdf: from `radial_distribution`.
        charges: product of the ions' charges in e².
        permittivity: relative, of the solvent.
        temperature: K.
    """
    coulomb = charges * bjerrum_length(permittivity, temperature) / rdf.r
    with np.errstate(divide="ignore", invalid="ignore", over="ignore"):
        total, error = -np.log(rdf.g), rdf.error / rdf.g
    points = _points(rdf, coulomb)
    return MeanForce(rdf.r, total, total - coulomb, error, *points)


def _points(rdf: RadialDistribution, coulomb: Array) -> tuple[Point | None, Point | None, Point | None]:
    """Contact minimum, barrier and solvent-separated minimum of the short-range part."""
    g, error = smoothed(rdf)
    seen = np.flatnonzero(error < SEEN * g)
    if not len(seen):
        return None, None, None
    first = int(seen[0])
    with np.errstate(divide="ignore", invalid="ignore"):  # where nothing is seen between two peaks
        values, errors = -np.log(g[first:]) - coulomb[first:], error[first:] / g[first:]
    found: list[Point | None] = []
    place: int | None = 0
    for sign in (-1, 1, -1):
        place = None if place is None else next_maximum(sign * values, errors, place)
        at = None if place is None else Estimate(float(values[place]), float(errors[place]))
        found.append(None if place is None or at is None else Point(float(rdf.r[first + place]), at))
    return found[0], found[1], found[2]
