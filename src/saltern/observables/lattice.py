"""Which lattice a crystal of two kinds of ions has, told by pymatgen's structure matcher from one noisy frame."""

from __future__ import annotations

from functools import cache
from typing import Any

import numpy as np
from numpy.typing import NDArray

Array = NDArray[Any]

PROTOTYPES = {
    "rocksalt": ("Fm-3m", (0.5, 0.5, 0.5)),
    "zincblende": ("F-43m", (0.25, 0.25, 0.25)),
    "CsCl": ("Pm-3m", (0.5, 0.5, 0.5)),
}
"""Space group with cations at the origin, and place of an anion in the cubic cell; one pair in a primitive cell."""
LIKE_NEIGHBOURS = 12
COUNTER_NEIGHBOURS = 4
"""Nearest cations and anions that are asked; ions of every prototype have so many at lattice points."""
NEAR = 0.25
"""In lattice vectors: a neighbour so near to a site along each of them belongs to it."""
FLAT = 0.4
"""Volume over the product of edges below which three vectors do not span a cell; a face-centred lattice has 0.71."""
ORDERED = 0.5
"""Share of cations or of anions at their sites below which there is no lattice."""
FROM_SITES = 0.15
"""Root mean square distance from the sites of a prototype over the cube root of an ion's volume. The matcher's own 0.3
would allow an anion half-way between rocksalt's site and an edge."""
_ROUNDS = 5


def lattice_name(positions: Array, cell: Array, charges: Array, crystal: Array) -> str | None:
    """Name of the lattice of a crystal; None where it is none of `PROTOTYPES`.

    One lattice is fitted to the cations of the crystal and their nearest like neighbours, the place of the anions in it
    is averaged, and the structure of one cation and one anion is compared with the prototypes, whatever its size.

    Args:
        positions: (ion, 3) in Å, wrapped or not, of all ions.
        cell: (3, 3) cell vectors of the box as rows in Å.
        charges: (ion,) in e; only the sign counts.
        crystal: (ion,) which cations are in it.
    """
    cations, anions, chosen = positions[charges > 0], positions[charges < 0], positions[crystal]
    if len(chosen) < 2 or len(cations) <= LIKE_NEIGHBOURS or len(anions) < COUNTER_NEIGHBOURS:
        return None
    # an ion is its own nearest one
    bonds = _nearest(chosen, cations, cell, LIKE_NEIGHBOURS + 1)[:, 1:]
    lattice, ordered = _lattice(bonds)
    if lattice is None or ordered < ORDERED:
        return None
    place, ordered = _place(_nearest(chosen, anions, cell, COUNTER_NEIGHBOURS).reshape(-1, 3) @ np.linalg.inv(lattice))
    return _matched(lattice, place) if ordered >= ORDERED else None


def _nearest(points: Array, others: Array, cell: Array, count: int) -> Array:
    """Vectors from each point to its nearest others in a periodic box, (point, count, 3), the nearest first."""
    apart = (others[None] - points[:, None]) @ np.linalg.inv(cell)
    vectors = (apart - np.rint(apart)) @ cell
    order = np.argsort(np.linalg.norm(vectors, axis=2), axis=1)[:, :count]
    return np.take_along_axis(vectors, order[..., None], axis=1)


def _lattice(bonds: Array) -> tuple[Array | None, float]:
    """Lattice vectors (3, 3) that most bonds (ion, neighbour, 3) are whole-numbered sums of, and their share."""
    best: Array | None = None
    ordered = merit = 0.0
    flat = bonds.reshape(-1, 3)
    for vectors in bonds:
        lattice = _spanned(vectors)
        if lattice is None:
            continue
        for _ in range(_ROUNDS):
            steps, near = _steps(flat, lattice)
            if np.linalg.matrix_rank(steps[near]) < 3:
                break
            lattice = np.linalg.lstsq(steps[near], flat[near], rcond=None)[0]
        share = float(_steps(flat, lattice)[1].mean())
        # half the cell has the same bonds at its points, and twice the cell half of them
        if share**2 * abs(np.linalg.det(lattice)) > merit:
            best, ordered, merit = lattice, share, share**2 * abs(np.linalg.det(lattice))
    return best, ordered


def _spanned(vectors: Array) -> Array | None:
    """The first three of some vectors, shortest first, that span a cell; None where none do."""
    chosen: list[Array] = []
    for vector in vectors / np.linalg.norm(vectors, axis=1, keepdims=True):
        trial = np.array([*chosen, vector])
        if np.sqrt(max(0.0, np.linalg.det(trial @ trial.T))) > FLAT:
            chosen.append(vector)
        if len(chosen) == 3:
            rows = [int(np.argmax(vectors @ unit / np.linalg.norm(vectors, axis=1))) for unit in chosen]
            return np.asarray(vectors[rows])
    return None


def _steps(vectors: Array, lattice: Array) -> tuple[Array, Array]:
    """Nearest lattice points of vectors as whole numbers (vector, 3), and which vectors are near to them."""
    fractions = vectors @ np.linalg.inv(lattice)
    steps = np.rint(fractions)
    near = np.asarray((np.abs(fractions - steps) < NEAR).all(axis=1) & steps.any(axis=1))
    return steps, near


def _place(fractions: Array) -> tuple[Array, float]:
    """Where most points are, from fractional coordinates (point, 3) modulo 1: (3,), and the share of those near it."""
    place, near = np.zeros(3), np.ones(len(fractions), dtype=bool)
    for _ in range(_ROUNDS):
        place = np.angle(np.exp(2j * np.pi * fractions[near]).mean(axis=0)) / (2 * np.pi)
        away = fractions - place
        near = (np.abs(away - np.rint(away)) < NEAR).all(axis=1)
        if not near.any():
            break
    return place, float(near.mean())


def _matched(lattice: Array, place: Array) -> str | None:
    """Name of the prototype that a lattice with a cation at the origin and an anion at a place is nearest to."""
    from pymatgen.analysis.structure_matcher import StructureMatcher
    from pymatgen.core import Lattice, Structure

    matcher = StructureMatcher(stol=FROM_SITES)
    structure = Structure(Lattice(lattice), ["Na", "Cl"], [[0, 0, 0], place])
    distances = {name: matcher.get_rms_dist(structure, prototype) for name, prototype in _prototypes().items()}
    matches = {name: distance[0] for name, distance in distances.items() if distance is not None}
    return min(matches, key=lambda name: matches[name]) if matches else None


@cache
def _prototypes() -> dict[str, Any]:
    """Structures of the prototypes; the elements only tell cations from anions."""
    from pymatgen.core import Lattice, Structure

    return {
        name: Structure.from_spacegroup(group, Lattice.cubic(6.0), ["Na", "Cl"], [[0, 0, 0], anion])
        for name, (group, anion) in PROTOTYPES.items()
    }
