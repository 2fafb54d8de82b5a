"""When a trajectory is no longer to be believed."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from vesin import NeighborList

from saltern.dynamics.motion import Motion
from saltern.dynamics.surface import Point
from saltern.frames import Array

MARGIN = 1.0
"""Å beyond the allowed distance within which pairs are watched; they are found anew when atoms moved half of it."""


@dataclass(frozen=True)
class Limits:
    """Closest approach in Å and largest committee spread in eV/Å."""

    min_distance: float
    max_spread: float


class Guard:
    """Watches some replicas of one system.

    Args:
        limits: what is allowed.
        numbers: (atom,) atomic numbers.
        cells: (replica, 3, 3) in Å.
    """

    def __init__(self, limits: Limits, numbers: Array, cells: Array) -> None:
        self._limits = limits
        self._numbers = numbers
        self._contacts = Contacts(cells, limits.min_distance)

    def broken(self, motion: Motion) -> dict[int, str]:
        """The reason why each replica that has to stop stops, by its row."""
        reasons: dict[int, str] = {}
        point = motion.point
        # looked at every step, so by one sum, which is not finite if anything in it is not
        if not np.isfinite(point.energy.sum() + point.forces.sum()):
            reasons.update(self._not_finite(point))
        for row, first, second, distance in self._contacts.closer(motion.state.positions):
            reasons.setdefault(
                row,
                f"{self._name(first)} and {self._name(second)} are {distance:.3f} Å apart, "
                f"closer than min_distance_A = {self._limits.min_distance:g}",
            )
        for row in np.flatnonzero(point.spread > self._limits.max_spread).tolist():
            reasons.setdefault(
                row,
                f"the committee disagrees by {point.spread[row]:.2f} eV/Å about a force, "
                f"more than max_spread_eV_A = {self._limits.max_spread:g}",
            )
        return reasons

    def _not_finite(self, point: Point) -> Iterator[tuple[int, str]]:
        for row, (energy, forces) in enumerate(zip(point.energy, point.forces, strict=True)):
            atoms = np.flatnonzero(~np.isfinite(forces).all(axis=1))
            if len(atoms):
                yield row, f"the force on {self._name(atoms[0])} is not finite"
            elif not np.isfinite(energy):
                yield row, "the energy is not finite"

    def _name(self, atom: int) -> str:
        from ase.data import chemical_symbols

        return f"{chemical_symbols[self._numbers[atom]]} {atom}"


class Contacts:
    """Finds atoms that are too close, looking every time only at pairs that were nearly so lately."""

    def __init__(self, cells: Array, limit: float) -> None:
        self._cells = cells
        self._limit = limit
        self._search = NeighborList(cutoff=limit + MARGIN, full_list=False)
        self._origin: Array | None = None

    def closer(self, positions: Array) -> list[tuple[int, int, int, float]]:
        """Closest pair of each replica that has one below the limit: replica's row, atoms, distance in Å.

        Args:
            positions: (replica, atom, 3) in Å, unwrapped.
        """
        if self._origin is None or ((positions - self._origin) ** 2).sum(axis=2).max() > (MARGIN / 2) ** 2:
            self._find(positions)
        step = positions[self._row, self._second] - positions[self._row, self._first] + self._offset
        squared = (step**2).sum(axis=1)
        close = np.flatnonzero(squared < self._limit**2)
        close = close[np.argsort(-squared[close])]
        # a later entry replaces an earlier one, so the closest pair of a replica stays
        found = {int(self._row[p]): p for p in close}
        return [
            (row, int(self._first[p]), int(self._second[p]), float(np.sqrt(squared[p]))) for row, p in found.items()
        ]

    def _find(self, positions: Array) -> None:
        """Find all pairs within limit and margin."""
        columns: list[tuple[Array, ...]] = []
        for row, (atoms, cell) in enumerate(zip(positions, self._cells, strict=True)):
            first, second, shift = self._search.compute(np.ascontiguousarray(atoms), cell, True, "ijS")
            columns.append((np.full(len(first), row), first.astype(np.int64), second.astype(np.int64), shift @ cell))
        self._row, self._first, self._second, self._offset = (
            np.concatenate(parts) for parts in zip(*columns, strict=True)
        )
        self._origin = positions
