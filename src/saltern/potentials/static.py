"""Energies of ions at rest: whether a potential binds crystals, which it prefers, and what two ions alone have.

They take seconds and tell more than errors of forces do: potentials whose errors on a solution are nearly the same may
differ by an order of magnitude in how strongly they bind a crystal.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple, Protocol

import numpy as np
import torch

from saltern.frames import Array, Frames
from saltern.potentials.batch import Batch
from saltern.units import COULOMB

STEP_A = 0.025
"""Spacing of contact distances (Å) between which energies are interpolated; its error is some 1e-6 eV."""
LONGEST_A = 12.0
"""Å. Up to here two ions alone are looked at."""
FINE_A = 0.02
"""Spacing of the distances at which two ions alone are evaluated (Å)."""
AT_ONCE = 10
"""Crystals evaluated at once."""
_FACES = ((0, 0, 0), (0, 0.5, 0.5), (0.5, 0, 0.5), (0.5, 0.5, 0))


class Lattice(NamedTuple):
    """A crystal of two kinds of ions: fractional positions of both in its cubic cell, and its contact distance / a."""

    cations: Array
    anions: Array
    contact: float


LATTICES = {
    "rocksalt": Lattice(np.array(_FACES), np.array(_FACES) + 0.5, 0.5),
    "zincblende": Lattice(np.array(_FACES), np.array(_FACES) + 0.25, np.sqrt(3) / 4),
    "CsCl": Lattice(np.zeros((1, 3)), np.full((1, 3), 0.5), np.sqrt(3) / 2),
}
CUBE = "rocksalt, cube of 64 ions"
"""A free nanocrystal of rocksalt, half of whose ions are at its surface."""


class Energies(Protocol):
    """What is needed of a potential; `Potential` is one."""

    device: torch.device
    r_max: float

    def evaluate(self, batch: Batch) -> Any:
        """Something that has `energy` (system,) in eV."""


class Salt(NamedTuple):
    """Two ions of opposite charge: atomic numbers, charge of the cation (e), relative permittivity of the solvent."""

    cation: int
    anion: int
    charge: float
    permittivity: float

    @property
    def pairs(self) -> tuple[tuple[int, int], ...]:
        """All pairs of its ions, that of opposite ones first."""
        return (self.cation, self.anion), (self.cation, self.cation), (self.anion, self.anion)


def salts(charges: Mapping[str, float | None], permittivities: Mapping[str, float]) -> list[Salt]:
    """Salts of two ions of one atom each and of the same charge that a potential was trained with.

    Args:
        charges: of each element in e, by symbol, None where it has several.
        permittivities: by system; the most frequent one counts.
    """
    from ase.data import atomic_numbers

    values = Counter(permittivities.values()).most_common(1)
    charged = sorted((atomic_numbers[symbol], charge) for symbol, charge in charges.items() if charge)
    return [
        Salt(cation, anion, charge, permittivity)
        for permittivity, _ in values
        for cation, charge in charged
        for anion, other in charged
        if charge > 0 and charge == -other
    ]


@dataclass(frozen=True)
class LatticeCurve:
    """Energy of a crystal over its size.

    Attributes:
        lattice: its name.
        contact: (point,) distance between touching ions in Å.
        constant: (point,) lattice constant in Å.
        energy: (member, point) energy of a pair of ions in eV, against ions far from each other.
        minimum: (member, 2) lattice constant and energy of each member's minimum; NaN where there is none inside.
    """

    lattice: str
    contact: Array
    constant: Array
    energy: Array
    minimum: Array


def contact_range(closest: float) -> tuple[float, float]:
    """Distances of touching ions (Å) that hold the minimum of every lattice.

    Args:
        closest: shortest distance of the two ions in the training frames (Å).
    """
    return 0.9 * closest, 1.8 * closest


class Extremum(NamedTuple):
    """A minimum or the barrier between two: distance in Å and energy in eV of each member, (member,)."""

    distance: Array
    energy: Array


@dataclass(frozen=True)
class MeanForceCurve:
    """Energy of two ions alone, which for a student of mean forces is their potential of mean force in pure solvent.

    Attributes:
        distance: (point,) in Å.
        short_range: (member, point) in eV, without the Coulomb energy and against the same ions far from each other.
        coulomb: (point,) Coulomb energy screened by the solvent in eV.
        contact: first minimum of `short_range`.
        barrier: maximum behind it.
        separated: minimum behind that; each NaN where a member has none.
    """

    distance: Array
    short_range: Array
    coulomb: Array
    contact: Extremum
    barrier: Extremum
    separated: Extremum


def mean_force_curve(
    members: Sequence[Energies], salt: Salt, pair: tuple[int, int], shortest: float, longest: float
) -> MeanForceCurve:
    """Energy of two ions alone over their distance.

    Args:
        members: the committee, one potential each.
        salt: the ions.
        pair: which two, by atomic number.
        shortest: smallest distance in Å.
        longest: largest one.
    """
    distance = np.linspace(shortest, longest, round((longest - shortest) / FINE_A) + 1)
    edge = 2 * (longest + max(m.r_max for m in members))
    # without charges, so that no images of them are seen either
    frames = [_two(pair, r, edge) for r in [*distance, edge / 2]]
    energy = np.array([_energies(m, frames) for m in members])
    short_range = energy[:, :-1] - energy[:, -1:]
    found = [_turns(distance, values) for values in short_range]
    contact, barrier, separated = (Extremum(*np.array([f[n] for f in found]).T) for n in range(3))
    product = salt.charge**2 * (1 if pair[0] == pair[1] else -1)
    coulomb = product * COULOMB / (salt.permittivity * distance)
    return MeanForceCurve(distance, short_range, coulomb, contact, barrier, separated)


def _two(pair: tuple[int, int], distance: float, edge: float) -> Frames:
    """Two ions without charge in a box."""
    return Frames.uniform(
        np.array(pair), 1, positions=np.array([[0.0, 0, 0], [distance, 0, 0]]), cell=edge * np.eye(3),
        charges=np.zeros(2), permittivity=1.0,
    )  # fmt: skip


def _turns(distance: Array, energy: Array) -> list[tuple[float, float]]:
    """First minimum of a spline through some energies, the maximum behind it and the minimum behind that."""
    from scipy.interpolate import CubicSpline

    spline = CubicSpline(distance, energy)
    slope = spline.derivative()
    places = [r for r in slope.roots(extrapolate=False) if np.isfinite(r)]
    upward = [slope.derivative()(r) > 0 for r in places]
    first = upward.index(True) if True in upward else len(places)
    found = [(float(r), float(spline(r))) for r in places[first : first + 3]]
    return found + [(np.nan, np.nan)] * (3 - len(found))


def lattice_curve(
    members: Sequence[Energies], salt: Salt, lattice: str, shortest: float, longest: float
) -> LatticeCurve:
    """Energy of a crystal from one contact distance to another.

    Args:
        members: the committee, one potential each.
        salt: its ions.
        lattice: a key of `LATTICES`, or `CUBE`.
        shortest: smallest contact distance in Å.
        longest: largest one.
    """
    contact = np.linspace(shortest, longest, max(5, round((longest - shortest) / STEP_A) + 1))
    frames = [crystal(salt, lattice, distance, max(m.r_max for m in members)) for distance in contact]
    pairs = len(frames[0]["numbers"]) // 2
    energy = np.array([(_energies(m, frames) / pairs - separated(m, salt)) for m in members])
    constant = contact / LATTICES[lattice if lattice != CUBE else "rocksalt"].contact
    minima = np.array([_minimum(constant, values) for values in energy])
    return LatticeCurve(lattice, contact, constant, energy, minima)


def crystal(salt: Salt, lattice: str, contact: float, r_max: float) -> Frames:
    """A crystal in its cubic cell, or a cube with so much room around it that it does not see its images.

    Args:
        salt: its ions.
        lattice: a key of `LATTICES`, or `CUBE`.
        contact: distance between touching ions in Å.
        r_max: how far the potential sees in Å.
    """
    if lattice == CUBE:
        grid = np.stack(np.meshgrid(*[np.arange(4.0)] * 3, indexing="ij"), axis=-1).reshape(-1, 3)
        odd = grid.sum(axis=1) % 2 == 1
        edge = 3 * contact + max(12.0, r_max) + 1.0
        return _frames(salt, contact * grid[~odd], contact * grid[odd], edge, salt.charge)
    shape = LATTICES[lattice]
    edge = contact / shape.contact
    return _frames(salt, edge * shape.cations, edge * shape.anions, edge, salt.charge)


def separated(member: Energies, salt: Salt) -> float:
    """Energy in eV of a cation and an anion far from each other, whose Coulomb energy is zero."""
    edge = 4 * member.r_max
    apart = _frames(salt, np.zeros((1, 3)), np.full((1, 3), edge / 2), edge, 0.0)
    return float(member.evaluate(Batch.of(apart, member.device)).energy)


def _energies(member: Energies, frames: Sequence[Frames]) -> Array:
    """Energy of each frame, (frame,), eV."""
    shares = [Frames.concatenate(frames[i : i + AT_ONCE]) for i in range(0, len(frames), AT_ONCE)]
    found = [member.evaluate(Batch.of(share, member.device)).energy.double().cpu().numpy() for share in shares]
    return np.concatenate(found)


def _frames(salt: Salt, cations: Array, anions: Array, edge: float, charge: float) -> Frames:
    """One frame of a cubic cell."""
    return Frames.uniform(
        np.repeat([salt.cation, salt.anion], [len(cations), len(anions)]), 1,
        positions=np.concatenate([cations, anions]), cell=edge * np.eye(3),
        charges=np.repeat([charge, -charge], [len(cations), len(anions)]), permittivity=salt.permittivity,
    )  # fmt: skip


def _minimum(constant: Array, energy: Array) -> tuple[float, float]:
    """Where the spline through some energies is least, and how low; NaN where that is at an end."""
    from scipy.interpolate import CubicSpline

    spline = CubicSpline(constant, energy)
    stationary = spline.derivative().roots(extrapolate=False)
    inside = stationary[np.isfinite(stationary)]
    if not len(inside) or spline(inside).min() > min(energy[0], energy[-1]):
        return np.nan, np.nan
    best = inside[np.argmin(spline(inside))]
    return float(best), float(spline(best))
