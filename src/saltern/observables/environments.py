"""What surrounds an atom, and how far that is from what a potential was trained on.

The environment of an atom are the logarithms of the distances to its nearest neighbours of every kind, in order, as
many as rocksalt's first shell of like ions holds. How far two environments are from each other is then the root mean
square relative difference of their distances. Logarithms end in one value where neighbours stop to matter, so that
none enters or leaves with a jump.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any

import numpy as np
from numpy.typing import NDArray

from saltern.frames import Frames, evenly
from saltern.store import FrameReader

Array = NDArray[Any]

NEAREST = 12
"""Neighbours of each kind that are looked at."""
REACH = 8.0
"""Å; neighbours further away make no difference."""
TRAINING_ATOMS = 50_000
"""Environments of training frames that others are compared with; with more of them none would be much nearer."""
NEAR = 0.05
"""Up to this distance a tree is asked, which finds little to leave out beyond: there all products are quicker."""
PRODUCTS = 400_000
"""Distances computed at once; their arrays fit a core's cache."""
QUANTITIES = ("numbers", "positions", "cell")
"""What is looked at in a frame."""


def environments(positions: Array, cell: Array, kinds: Array, of: Array) -> Array:
    """Environment of every atom of one frame.

    Args:
        positions: (atom, 3) in Å, wrapped or not.
        cell: (3, 3) cell vectors as rows in Å; it may be smaller than the reach.
        kinds: (atom,) what tells atoms apart, such as atomic numbers, or the signs of ions.
        of: (kind,) the kinds that neighbours are sought of.

    Returns:
        (atom, kind · NEAREST), over the root of their number: the Euclidean distance of two environments is the root
        mean square difference of their logarithms.
    """
    from vesin import NeighborList

    points, box = (np.ascontiguousarray(array, dtype=np.float64) for array in (positions, cell))
    first, second, distance = NeighborList(cutoff=REACH, full_list=True, n_threads=1).compute(points, box, True, "ijd")
    first, kind = first.astype(np.int64), kinds[second.astype(np.int64)]
    shells = [_nearest(first[kind == k], distance[kind == k], len(points)) for k in of]
    return np.asarray(np.concatenate(shells, axis=1) / np.sqrt(NEAREST * len(of)))


def _nearest(first: Array, distance: Array, atoms: int) -> Array:
    """Logarithm of the nearest distances over the reach, in order, (atom, NEAREST); 0 where there are fewer."""
    order = np.lexsort((distance, first))
    first, distance = first[order], distance[order]
    rank = np.arange(len(first)) - np.searchsorted(first, first)
    near = rank < NEAREST
    table = np.zeros((atoms, NEAREST))
    table[first[near], rank[near]] = np.log(distance[near] / REACH)
    return table


class Known:
    """Environments that a potential has seen.

    Args:
        seen: environments (atom, length) with the kinds of the atoms (atom,), frame by frame.
    """

    def __init__(self, seen: Iterable[tuple[Array, Array]]) -> None:
        from scipy.spatial import cKDTree

        values, kinds = (np.concatenate(parts) for parts in zip(*seen, strict=True))
        self._trees = {kind: cKDTree(values[kinds == kind]) for kind in np.unique(kinds)}

    def distances(self, values: Array, kinds: Array) -> Array:
        """Distance from each environment to the nearest known one of an atom of the same kind, (atom,).

        Infinite where none is known.
        """
        found = np.full(len(values), np.inf)
        for kind, tree in self._trees.items():
            asked = kinds == kind
            near = tree.query(values[asked], distance_upper_bound=NEAR)[0]
            if (far := np.isinf(near)).any():
                near[far] = _to_nearest(values[asked][far], tree.data)
            found[asked] = near
        return found


def _to_nearest(values: Array, known: Array) -> Array:
    """Distance from each point to the nearest known one, (point,), by |a|² - 2 a·b + |b|² of all pairs."""
    squares, rows = np.square(known).sum(axis=1), max(1, PRODUCTS // len(known))
    parts = [values[start : start + rows] for start in range(0, len(values), rows)]
    least = [(squares - 2 * part @ known.T).min(axis=1) + np.square(part).sum(axis=1) for part in parts]
    return np.asarray(np.sqrt(np.maximum(np.concatenate(least), 0.0)))


class TrainingEnvironments:
    """Environments of all elements in training frames, in evenly chosen ones of them where there are very many.

    Args:
        training: the frames that a potential was trained on.
    """

    def __init__(self, training: FrameReader) -> None:
        atoms = len(training.frames([0], ["numbers"])["numbers"])
        frames = training.frames(evenly(len(training), TRAINING_ATOMS // atoms), QUANTITIES)
        self._elements = np.unique(frames["numbers"])
        self._known = Known(self._of(frames))

    def distances(self, frames: Frames) -> Array:
        """Distance from the environment of every atom to the nearest of its element in the training, (atom,).

        Args:
            frames: with the quantities in `QUANTITIES`.
        """
        return np.concatenate([self._known.distances(*pair) for pair in self._of(frames)])

    def _of(self, frames: Frames) -> Iterator[tuple[Array, Array]]:
        """Environments and atomic numbers of each frame."""
        for frame in frames:
            numbers = frame["numbers"]
            yield environments(frame["positions"], frame["cell"][0], numbers, self._elements), numbers
