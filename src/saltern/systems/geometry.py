"""Idealised geometries of small molecules, the central atom first and at the origin; all lengths in Å."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import ArrayLike, NDArray

Points = tuple[tuple[float, float, float], ...]
Vector = NDArray[np.float64]


def frozen(points: ArrayLike) -> Points:
    """Turn an array (atom, 3) into tuples, as a frozen dataclass needs."""
    return tuple((float(x), float(y), float(z)) for x, y, z in np.asarray(points, dtype=float))


def _around(directions: ArrayLike, bond: float) -> Points:
    """An atom at the origin and one at `bond` along each direction."""
    unit = np.asarray(directions, dtype=float)
    unit = unit / np.linalg.norm(unit, axis=1, keepdims=True)
    return frozen(np.vstack([np.zeros(3), bond * unit]))


def diatomic(bond: float) -> Points:
    """Two atoms."""
    return _around([[0, 0, 1]], bond)


def bent(bond: float, angle: float) -> Points:
    """Three atoms; `angle` at the central one in degrees."""
    half = np.radians(angle) / 2
    return _around([[np.sin(half), 0, np.cos(half)], [-np.sin(half), 0, np.cos(half)]], bond)


def trigonal(bond: float) -> Points:
    """Four atoms in a plane (D3h)."""
    turn = np.radians([0.0, 120.0, 240.0])
    return _around(np.stack([np.cos(turn), np.sin(turn), np.zeros(3)], axis=1), bond)


def pyramidal(bond: float, angle: float) -> Points:
    """A centre and three atoms (C3v), any two of which make `angle` degrees with it."""
    across = 2 * np.sin(np.radians(angle) / 2) / np.sqrt(3)
    turn = np.radians([0.0, 120.0, 240.0])
    height = np.full(3, np.sqrt(1 - across**2))
    return _around(np.stack([across * np.cos(turn), across * np.sin(turn), height], axis=1), bond)


def tetrahedral(bond: float) -> Points:
    """A centre and four atoms (Td)."""
    return _around([[1, 1, 1], [1, -1, -1], [-1, 1, -1], [-1, -1, 1]], bond)


def octahedral(bond: float) -> Points:
    """A centre and six atoms (Oh)."""
    return _around(np.vstack([np.eye(3), -np.eye(3)]), bond)


def from_internal(rows: Sequence[tuple[int, float, int, float, int, float]]) -> Points:
    """Build a molecule from internal coordinates.

    Args:
        rows: one for each atom: bonded to, bond length, angle with, angle, dihedral with, dihedral (degrees).
            References of the first three atoms that cannot exist yet are ignored.
    """
    points: list[Vector] = []
    for bonded, bond, second, angle, third, dihedral in rows:
        points.append(_placed(points, (bonded, second, third), bond, np.radians(angle), np.radians(dihedral)))
    return frozen(points)


def _placed(
    points: Sequence[Vector], references: tuple[int, int, int], bond: float, angle: float, dihedral: float
) -> Vector:
    """Position of the next atom."""
    if not points:
        return np.zeros(3)
    if len(points) == 1:
        return np.array([bond, 0.0, 0.0])
    origin, second = points[references[0]], points[references[1]]
    third = points[references[2]] if len(points) > 2 else second + np.array([0.0, 1.0, 0.0])
    along = (origin - second) / np.linalg.norm(origin - second)
    normal = np.cross(second - third, along)
    normal /= np.linalg.norm(normal)
    local = [-np.cos(angle), np.sin(angle) * np.cos(dihedral), np.sin(angle) * np.sin(dihedral)]
    frame = np.stack([along, np.cross(normal, along), normal], axis=1)
    return np.asarray(origin + bond * (frame @ local))
