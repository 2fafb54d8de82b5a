"""Order of ions: how much of a frame is a crystal.

Two questions that liquids answer with zero: the largest solid-like cluster of the cations' sub-lattice, and the ions
that sit in an octahedron of counter-ions. Coordination numbers and clusters of touching ions alone do not tell a
crystal from a disordered aggregate, and means of bond-order parameters are diluted by a small crystal's surface.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

Array = NDArray[Any]

NEIGHBOURS = 12
"""Nearest like ions that are asked; an ion of rocksalt's face-centred sub-lattices has so many."""
SOLID_PRODUCT = 0.7
SOLID_BONDS = 6
"""An ion is solid-like when the product of its q6m with that of so many neighbours exceeds 0.7: ten Wolde, Ruiz-Montero
and Frenkel, J. Chem. Phys. 104, 9932 (1996); the figures are the usual ones for face-centred cubic crystals."""
OCTAHEDRON = 5
"""Counter-ions in contact with an octahedral ion; at a crystal's face one of the six is missing."""
ANTIPODAL, ANTIPODAL_PAIRS = -0.85, 2
RIGHT, RIGHT_PAIRS = 0.35, 7
"""... of which at least so many pairs stand opposite each other and at right angles, by the cosine between them."""
CRYSTAL = 10
"""Cations from which on a solid-like cluster is called a crystal: liquids and disordered aggregates have none that
are solid-like, a cube of 64 ions at room temperature 11 to 16 (the others are its surface)."""
_UNKNOWN = (-1, -1, np.nan)


@dataclass(frozen=True)
class Order:
    """Order of the ions of some frames, (frame,) each.

    Attributes:
        solid: cations in the largest solid-like cluster.
        octahedral: ions with an octahedron of counter-ions.
        cluster: ions in the largest cluster of cations and anions in contact.
        spacing: mean distance in Å from octahedral ions to the counter-ions in contact, half of rocksalt's lattice
            constant; NaN where there are none.

    `octahedral` and `cluster` are -1 where it was not told which ions touch.
    """

    solid: Array
    octahedral: Array
    cluster: Array
    spacing: Array


def order(positions: Array, cells: Array, charges: Array, contact: float | None) -> Order:
    """How crystalline frames of the same ions are.

    Args:
        positions: (frame, ion, 3) in Å, wrapped or not.
        cells: (frame, 3, 3) cell vectors as rows in Å.
        charges: (ion,) in e; only the sign counts.
        contact: distance in Å within which a cation and an anion touch; None where it is not known.
    """
    cations = charges > 0
    rows = [
        (solid_cluster(points[cations], cell), *(_contacts(points, cell, charges, contact) if contact else _UNKNOWN))
        for points, cell in zip(positions, cells, strict=True)
    ]
    table = np.array(rows, dtype=np.float64).reshape(len(rows), 4)
    solid, octahedral, cluster = (column.astype(np.int64) for column in table.T[:3])
    return Order(solid, octahedral, cluster, table[:, 3])


def solid_cluster(points: Array, cell: Array) -> int:
    """Size of the largest solid-like cluster of one kind of ions; arguments as of `solid_ions`."""
    return int(solid_ions(points, cell).sum())


def solid_ions(points: Array, cell: Array) -> Array:
    """Which ions of one kind are in their largest solid-like cluster, (ion,).

    Args:
        points: (ion, 3) in Å, wrapped or not.
        cell: (3, 3) cell vectors as rows in Å.
    """
    import freud

    if len(points) <= SOLID_BONDS:
        return np.zeros(len(points), dtype=bool)
    box = freud.box.Box.from_matrix(cell.T)
    # the box may be turned against the cell: fractional coordinates are the same in both
    inside = box.make_absolute((points @ np.linalg.inv(cell)) % 1.0)
    found = freud.order.SolidLiquid(6, SOLID_PRODUCT, SOLID_BONDS)
    with freud.parallel.NumThreads(1):  # it would take all cores of the node
        found.compute((box, inside), neighbors={"num_neighbors": NEIGHBOURS, "exclude_ii": True})
    # where no ion is solid-like, each is called a cluster of its own
    solid = np.asarray(found.num_connections) >= SOLID_BONDS
    largest: Array = solid & (np.asarray(found.cluster_idx) == 0)
    return largest


def first_lasting(sizes: Array, least: int = CRYSTAL) -> int | None:
    """First frame from which on every size is at least `least`; None where the last one is not.

    Args:
        sizes: (frame,) sizes of the largest solid-like cluster.
        least: smallest size of a crystal.
    """
    small = np.flatnonzero(sizes < least)
    first = int(small[-1]) + 1 if len(small) else 0
    return first if first < len(sizes) else None


def octahedral(positions: Array, cell: Array, charges: Array, contact: float) -> Array:
    """Which ions sit in an octahedron of counter-ions, (ion,); arguments as in `order`, of one frame."""
    first, _, vectors = _touching(positions, cell, charges, contact)
    return _octahedra(len(positions), first, vectors)


def _contacts(positions: Array, cell: Array, charges: Array, contact: float) -> tuple[int, int, float]:
    """Octahedral ions, ions in the largest cluster in contact, spacing of the former."""
    from scipy.sparse import coo_array
    from scipy.sparse.csgraph import connected_components

    ions = len(positions)
    first, second, vectors = _touching(positions, cell, charges, contact)
    regular = _octahedra(ions, first, vectors)
    pairs = coo_array((np.ones(len(first)), (first, second)), shape=(ions, ions))
    largest = int(np.bincount(connected_components(pairs, directed=False)[1]).max())
    chosen = regular[first]
    spacing = float(np.linalg.norm(vectors[chosen], axis=1).mean()) if chosen.any() else np.nan
    return int(regular.sum()), largest, spacing


def _touching(positions: Array, cell: Array, charges: Array, contact: float) -> tuple[Array, Array, Array]:
    """Cations and anions in contact: first (pair,), second (pair,) and the vectors between them (pair, 3), Å.

    Every pair comes from both sides, in the order of the first ion.
    """
    from vesin import NeighborList

    search = NeighborList(cutoff=contact, full_list=True, n_threads=1)
    points, box = (np.ascontiguousarray(array, dtype=np.float64) for array in (positions, cell))
    first, second, vectors = search.compute(points, box, True, "ijD")
    first, second = first.astype(np.int64), second.astype(np.int64)
    unlike = np.flatnonzero(charges[first] * charges[second] < 0)
    rows = unlike[np.argsort(first[unlike], kind="stable")]
    return first[rows], second[rows], vectors[rows]


def _octahedra(ions: int, first: Array, vectors: Array) -> Array:
    """Which ions sit in an octahedron, (ion,), from the contacts."""
    counts = np.bincount(first, minlength=ions)
    crowded = counts >= OCTAHEDRON
    if not crowded.any():
        return crowded
    directions = np.full((ions, int(counts.max()), 3), np.nan)
    place = np.arange(len(first)) - np.repeat(np.cumsum(counts) - counts, counts)
    directions[first, place] = vectors / np.linalg.norm(vectors, axis=1, keepdims=True)
    a, b = np.triu_indices(directions.shape[1], 1)
    cosines = (directions[crowded][:, a] * directions[crowded][:, b]).sum(axis=2)  # NaN where there is no neighbour
    opposite = (cosines < ANTIPODAL).sum(axis=1) >= ANTIPODAL_PAIRS
    right = (np.abs(cosines) < RIGHT).sum(axis=1) >= RIGHT_PAIRS
    crowded[crowded] = opposite & right
    return crowded
