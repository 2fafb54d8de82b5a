"""Checks that a frame must pass before it is computed, and its label before it is believed.

Each raises a `LabelError` with its reason from `saltern.engines.REASONS`.
"""

from __future__ import annotations

import numpy as np

from saltern.engines import Label
from saltern.errors import LabelError
from saltern.frames import Array


def check_structure(positions: Array, cell: Array) -> None:
    """Positions (atom, 3) and cell (3, 3), Å, are finite, and the cell has a volume.

    Raises:
        LabelError: "structure-not-valid".
    """
    if not (np.isfinite(positions).all() and np.isfinite(cell).all()):
        raise LabelError("structure-not-valid", "a position or the cell is not finite")
    if abs(np.linalg.det(cell)) < 1e-6:
        raise LabelError("structure-not-valid", "the cell has no volume")


def check_distances(positions: Array, cell: Array, smallest: float) -> None:
    """No two atoms, periodic images included, are closer than `smallest` (Å).

    Engines answer without complaint where atoms all but coincide: tblite for two hydrogens 0.09 Å apart.

    Raises:
        LabelError: "atoms-too-close".
    """
    first, second, distances = _pairs(positions, cell, smallest)
    if len(distances) and distances.min() < smallest:
        worst = int(np.argmin(distances))
        pair = f"atoms {first[worst]} and {second[worst]}"
        raise LabelError("atoms-too-close", f"{pair} are {distances[worst]:.3f} Å apart, less than {smallest} Å")


def _pairs(positions: Array, cell: Array, reach: float) -> tuple[Array, Array, Array]:
    """Pairs of atoms with their distance (Å), at least those nearer than `reach`.

    In a box whose heights are more than twice the reach no other image than the one nearest in cell coordinates can be
    that near. Other boxes go through a neighbour list, which takes ten times as long.
    """
    heights = abs(np.linalg.det(cell)) / np.linalg.norm(np.cross(cell[[1, 2, 0]], cell[[2, 0, 1]]), axis=1)
    if len(positions) > 2000 or heights.min() <= 2 * reach:
        from ase.neighborlist import primitive_neighbor_list

        first, second, distances = primitive_neighbor_list("ijd", (True, True, True), cell, positions, reach)
        return first, second, distances
    inside = np.linalg.solve(cell.T, positions.T).T
    first, second = np.triu_indices(len(positions), 1)
    apart = inside[second] - inside[first]
    return first, second, np.linalg.norm((apart - np.round(apart)) @ cell, axis=1)


def check_finite(label: Label) -> None:
    """Energy, forces and stress are finite.

    Raises:
        LabelError: "label-not-finite".
    """
    if not all(np.isfinite(value).all() for value in (label.energy, label.forces, label.stress)):
        raise LabelError("label-not-finite", "the energy, a force or the stress is not a finite number")


def check_largest_force(label: Label, largest: float) -> None:
    """No force is larger than `largest` (eV/Å).

    Raises:
        LabelError: "force-too-large".
    """
    sizes = np.linalg.norm(label.forces, axis=1)
    if sizes.max() > largest:
        raise LabelError("force-too-large", f"{sizes.max():.4g} eV/Å on atom {sizes.argmax()}, more than {largest}")


def check_net_force(label: Label, largest: float) -> None:
    """The sum of the forces is no larger than `largest` (eV/Å).

    Raises:
        LabelError: "net-force".
    """
    net = float(np.linalg.norm(label.forces.sum(axis=0)))
    if net > largest:
        raise LabelError("net-force", f"the forces add up to {net:.4g} eV/Å, more than {largest}")
