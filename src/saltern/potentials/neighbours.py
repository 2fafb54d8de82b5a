"""Pairs of atoms within a cutoff, images included."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor
from vesin import NeighborList

from saltern.errors import SimulationError
from saltern.frames import Array
from saltern.potentials.batch import Batch

SKIN = 0.6
"""Å by which the list that is kept reaches further than the cutoff: water moves half of this in some 50 fs."""


@dataclass(frozen=True)
class Pairs:
    """Every pair once, in an order that follows from who is near whom alone.

    `first` and `second` are (pair,) atom indices and `vectors` (pair, 3) float64 lead from first to second (Å).
    An atom that sees its own image is a pair with itself; each image of a neighbour is a pair of its own.
    """

    first: Tensor
    second: Tensor
    vectors: Tensor


def find_pairs(positions: Array, cell: Array, cutoff: float) -> tuple[Array, Array, Array]:
    """Pairs of one periodic system.

    Args:
        positions: (atom, 3) in Å, wrapped or not.
        cell: (3, 3) in Å, rows are the cell vectors; it may be smaller than the cutoff.
        cutoff: in Å.

    Returns:
        first (pair,), second (pair,) and shift (pair, 3): the vector between them is
        positions[second] - positions[first] + shift @ cell. Sorted by first, second and shift, with
        first <= second, so that the same pairs always come in the same order.

    Raises:
        SimulationError: for positions that are not finite.
    """
    if not np.isfinite(positions).all():
        raise SimulationError("positions are not finite")
    search = NeighborList(cutoff=cutoff, full_list=True)
    first, second, shift = search.compute(np.ascontiguousarray(positions), np.ascontiguousarray(cell), True, "ijS")
    a, b, c = shift.T
    half_space = (a > 0) | ((a == 0) & ((b > 0) | ((b == 0) & (c > 0))))
    once = np.flatnonzero((first < second) | ((first == second) & half_space))
    first, second, shift = (column[once] for column in (first, second, shift))
    order = np.lexsort((*shift.T[::-1], second, first))
    return first[order].astype(np.int64), second[order].astype(np.int64), shift[order]


class NeighbourList:
    """Pairs of a batch whose atoms move, found anew only when an atom moved further than half the skin.

    Pairs beyond the cutoff are left out at every call and the order does not depend on when the list was last
    found, so that what is returned is bit by bit what a fresh list would be.
    """

    def __init__(self, cutoff: float, skin: float = SKIN) -> None:
        self.cutoff = cutoff
        self.skin = skin
        self._batch: Batch | None = None

    def pairs(self, batch: Batch) -> Pairs:
        """Pairs of every system of the batch.

        Raises:
            SimulationError: for positions that are not finite.
        """
        positions = batch.positions.double()
        if not self._still_valid(batch, positions):
            self._find(batch, positions)
        vectors = positions.index_select(0, self._second) - positions.index_select(0, self._first) + self._offset
        near = torch.nonzero(vectors.square().sum(1) < self.cutoff**2).squeeze(1)
        return Pairs(*(column.index_select(0, near) for column in (self._first, self._second, vectors)))

    def _still_valid(self, batch: Batch, positions: Tensor) -> bool:
        """Whether this is the batch of the list and no atom went too far; positions that are NaN went too far."""
        known = self._batch
        if known is None or known.cells is not batch.cells or known.system_index is not batch.system_index:
            return False
        return bool((positions - self._positions).square().sum(1).max() <= (self.skin / 2) ** 2)

    def _find(self, batch: Batch, positions: Tensor) -> None:
        """Find all pairs within cutoff and skin."""
        coordinates, cells = positions.cpu().numpy(), batch.cells.double().cpu().numpy()
        columns = []
        for (start, end), cell in zip(batch.ranges, cells, strict=True):
            first, second, shift = find_pairs(coordinates[start:end], cell, self.cutoff + self.skin)
            columns.append((first + start, second + start, shift @ cell))
        joined = (torch.from_numpy(np.concatenate(parts)) for parts in zip(*columns, strict=True))
        self._first, self._second, self._offset = (column.to(positions.device) for column in joined)
        self._batch, self._positions = batch, positions.clone()
