"""Local environments of ions, and how far they are from those that a potential was trained on.

The environment of an ion is the sorted distances to its nearest counter-ions and like ions, as many as rocksalt's first
shells hold. They run smoothly into one value where ions stop to matter, so that no ion enters or leaves with a jump.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import numpy as np
from numpy.typing import NDArray

Array = NDArray[Any]

UNLIKE, LIKE = 6, 12
"""Neighbours of an ion in the first two shells of rocksalt."""
REACH = 8.0
"""Å; ions further away make no difference."""


def environments(positions: Array, cell: Array, charges: Array) -> Array:
    """Environment of every ion of one frame.

    A distance r counts as 2 R / π sin(π r / 2 R), R being the reach, so in Å for near neighbours.

    Args:
        positions: (ion, 3) in Å, wrapped or not.
        cell: (3, 3) cell vectors as rows in Å; it may be smaller than the reach.
        charges: (ion,) in e; only the sign counts.

    Returns:
        (ion, UNLIKE + LIKE) in Å, over the root of their number: the Euclidean distance of two environments is the
        root mean square difference of their distances.
    """
    from vesin import NeighborList

    points, box = (np.ascontiguousarray(array, dtype=np.float64) for array in (positions, cell))
    first, second, distance = NeighborList(cutoff=REACH, full_list=True, n_threads=1).compute(points, box, True, "ijd")
    first, second = first.astype(np.int64), second.astype(np.int64)
    like = charges[first] * charges[second] > 0
    shells = [_nearest(first[of], distance[of], len(points), n) for of, n in ((~like, UNLIKE), (like, LIKE))]
    smooth = 2 * REACH / np.pi * np.sin(np.pi / 2 * np.concatenate(shells, axis=1) / REACH)
    return np.asarray(smooth / np.sqrt(UNLIKE + LIKE))


class Known:
    """Environments that a potential has seen.

    Args:
        seen: environments (ion, length) with the ions' signs (ion,), frame by frame.
    """

    def __init__(self, seen: Iterable[tuple[Array, Array]]) -> None:
        from scipy.spatial import cKDTree

        values, signs = (np.concatenate(parts) for parts in zip(*seen, strict=True))
        self._trees = {sign: cKDTree(values[signs == sign]) for sign in np.unique(signs)}

    def distances(self, values: Array, signs: Array) -> Array:
        """Distance in Å from each environment to the nearest known one of an ion of the same sign, (ion,).

        Infinite where none is known.
        """
        found = np.full(len(values), np.inf)
        for sign, tree in self._trees.items():
            asked = signs == sign
            found[asked] = tree.query(values[asked])[0]
        return found


def _nearest(first: Array, distance: Array, ions: int, count: int) -> Array:
    """The nearest distances of each ion in order, (ion, count); the reach where there are fewer."""
    order = np.lexsort((distance, first))
    first, distance = first[order], distance[order]
    rank = np.arange(len(first)) - np.searchsorted(first, first)
    near = rank < count
    table = np.full((ions, count), REACH)
    table[first[near], rank[near]] = distance[near]
    return table
