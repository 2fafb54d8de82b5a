"""Radial distribution functions and running coordination numbers."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from saltern.errors import SalternError
from saltern.observables.blocking import pooled
from saltern.observables.trajectory import Trajectory, perpendicular_widths

Array = NDArray[Any]

_CHUNK = 200_000
"""Distances computed at once; their arrays fit a core's cache, which is what makes the loop quick."""
_ROW_GROUPS = 8
"""Groups of rows of a symmetric pair table; the part below the diagonal is then hardly computed."""


@dataclass(frozen=True)
class RadialDistribution:
    """g(r) between two groups of atoms.

    Attributes:
        r: (bin,) bin centres in Å.
        edges: (bin,) upper bin edges in Å, where `neighbours` is given.
        g: (bin,) radial distribution function.
        error: (bin,) its standard error.
        neighbours: (bin,) mean number of atoms of the second group within `edges` of one of the first.
        neighbours_error: (bin,) its standard error.
        block_g: (block, bin) g of every block of every replica.
        weights: (block,) frames in these blocks, or the sum of their weights.
    """

    r: Array
    edges: Array
    g: Array
    error: Array
    neighbours: Array
    neighbours_error: Array
    block_g: Array
    weights: Array


def radial_distribution(
    replicas: Sequence[Trajectory],
    first: Array,
    second: Array,
    bin_width: float,
    blocks: int,
    r_max: float | None = None,
) -> RadialDistribution:
    """Measure g(r) and the running coordination number, with standard errors by blocks.

    g(r) = V n(r) / (pairs 4/3 π (r_outer³ - r_inner³)), where only pairs of different molecules are counted both
    in n and in `pairs`. For single ions that is N (N - 1) within one species, so that an ideal gas gives 1 at every
    distance and system size. Below half the smallest distance between opposite faces of the cell rounding the
    fractional distance finds the one image that lies there, whatever the cell's angles.

    Args:
        replicas: trajectories of the same atoms.
        first: (n,) indices of the central atoms.
        second: (m,) indices of their neighbours; equal to `first` within one species, else disjoint.
        bin_width: in Å.
        blocks: blocks that each replica is cut into.
        r_max: largest distance in Å; by default, and at most, half the smallest perpendicular width.

    Raises:
        SalternError: for an `r_max` beyond that width, or when there is no pair to count.
    """
    limit = 0.5 * float(min(perpendicular_widths(t.cells).min() for t in replicas))
    if r_max is not None and r_max > limit * (1 + 1e-9):
        raise SalternError(f"r_max {r_max} Å is beyond half the smallest width of the cell, {limit:.3f} Å")
    bins = int((limit if r_max is None else r_max) / bin_width + 1e-9)
    molecules = replicas[0].molecules
    # of different molecules, ordered
    pairs = int((molecules[first][:, None] != molecules[second][None, :]).sum())
    if pairs == 0 or bins == 0:
        raise SalternError("no pairs of atoms within the cell to count")
    edges = bin_width * np.arange(bins + 1)
    shells = 4 / 3 * np.pi * np.diff(edges**3)
    parts = [
        (*_block_counts(t, rows, first, second, bins, bin_width), t.counts[rows].sum())
        for t in replicas
        for rows in np.array_split(np.arange(len(t)), min(blocks, len(t)))
    ]
    weights = np.array([p[2] for p in parts], dtype=np.float64)
    block_g = np.array([p[1] for p in parts]) / weights[:, None] / (pairs * shells)
    around = np.cumsum([p[0] for p in parts], axis=1) / weights[:, None] / len(first)
    g, error = pooled(block_g, weights)
    neighbours, neighbours_error = pooled(around, weights)
    centres = 0.5 * (edges[1:] + edges[:-1])
    return RadialDistribution(centres, edges[1:], g, error, neighbours, neighbours_error, block_g, weights)


def _block_counts(
    trajectory: Trajectory, rows: Array, first: Array, second: Array, bins: int, bin_width: float
) -> tuple[Array, Array]:
    """Histogram of the ordered pairs of the given frames, summed with their weights, and times each frame's volume."""
    same = first.size == second.size and bool((first == second).all())
    weights = trajectory.counts
    volumes = weights * trajectory.volumes
    plain, by_volume = np.zeros(bins), np.zeros(bins)
    for lines, columns, excluded in _tiles(trajectory.molecules, first, second, same):
        step = max(1, _CHUNK // excluded.size)
        for start in range(0, len(rows), step):
            chunk = slice(rows[start], rows[min(start + step, len(rows)) - 1] + 1)
            counts = _histogram(trajectory, chunk, lines, columns, excluded, bins, bin_width)
            factor = 2.0 if same else 1.0
            plain += factor * (weights[chunk] @ counts)
            by_volume += factor * (volumes[chunk] @ counts)
    return plain, by_volume


def _tiles(molecules: Array, first: Array, second: Array, same: bool) -> Iterator[tuple[Array, Array, Array]]:
    """Parts of the table of pairs: line atoms, column atoms, and (line, column) which pairs do not count.

    Within one species each pair is met once, above the diagonal.
    """
    height = min(-(-len(first) // _ROW_GROUPS), max(1, _CHUNK // len(second))) if same else _CHUNK // len(second)
    height = max(1, min(height, len(first)))
    for top in range(0, len(first), height):
        lines = first[top : top + height]
        columns = second[top:] if same else second
        excluded = molecules[lines][:, None] == molecules[columns][None, :]
        if same:
            excluded |= np.arange(len(columns))[None, :] <= np.arange(len(lines))[:, None]
        yield lines, columns, excluded


def _histogram(
    trajectory: Trajectory, frames: slice, lines: Array, columns: Array, excluded: Array, bins: int, bin_width: float
) -> Array:
    """Counts of distances, (frame, bin)."""
    cells = trajectory.cells[frames]
    metric = cells @ np.swapaxes(cells, 1, 2)
    inverse = np.linalg.inv(cells)
    a = (trajectory.positions[frames, lines] @ inverse).transpose(2, 0, 1)
    b = (trajectory.positions[frames, columns] @ inverse).transpose(2, 0, 1)
    delta = a[:, :, :, None] - b[:, :, None, :]
    delta -= np.rint(delta)
    squared = np.zeros_like(delta[0])
    for i in range(3):
        for j in range(i, 3):
            factor = metric[:, i, j] * (1.0 if i == j else 2.0)
            if factor.any():
                squared += factor[:, None, None] * delta[i] * delta[j]
    np.sqrt(squared, out=squared)
    squared *= 1.0 / bin_width
    np.minimum(squared, bins, out=squared)
    squared[:, excluded] = bins
    index = squared.astype(np.int64)
    index += (np.arange(len(cells)) * (bins + 1))[:, None, None]
    counts = np.bincount(index.ravel(), minlength=len(cells) * (bins + 1))
    return counts.reshape(len(cells), bins + 1)[:, :bins]
