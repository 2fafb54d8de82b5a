"""Near-duplicates across splits: frames that measure nothing because training saw them, or almost.

A frame's fingerprint does not change when the frame is shifted, turned, mirrored or its atoms are listed in another
order. For every ordered pair of elements A, B and k = 1, 2, 3 it holds the distribution, over the atoms A, of the
distance to the k-th nearest B, as its first L-moments (Hosking, J. R. Stat. Soc. B 52, 105 (1990)): projections of the
sorted distances on Legendre polynomials. As smooth averages of all distances they tell frames apart better than
quantiles do, which a small random displacement already blurs.

Two fingerprints' distance is the root mean square over pairs and k of √N_A times the difference of the distributions.
With √N_A it means the same in boxes of any size, about as many Å as atoms would have to be displaced at random.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Any, NamedTuple

import numpy as np

from saltern.errors import UserError
from saltern.frames import Array, Frames

CUTOFF_A = 5.0
"""Distances beyond this (Å) count as this: three neighbours of an atom are nearer, unless they are rare."""
SPARSE_A3 = 20.0
"""Volume (Å³) of an atom from which on the cutoff grows, with its cube root; in liquids with their solvent it is 10."""
NEIGHBOURS = 3
MOMENTS = 6
MEASURE = (
    "root mean square, over ordered pairs of elements A, B and k = 1, 2, 3, of sqrt(N_A) times the difference between "
    "two frames' distributions of the distance from an A to its k-th nearest B"
)
_ROWS, _COLUMNS = 512, 512
"""Fingerprints that are compared at a time: 2 MB of distances."""
_AGAINST = {"validation": ("train",), "test": ("train", "validation")}
"""Which frames of which splits are compared with those of which others."""
_BIN_A = 0.02
_LISTED, _TOLD = 20, 10
_PERCENTILES = (0, 1, 10, 50, 90, 100)


class Member(NamedTuple):
    """Which frame: its label key, system, trajectory, time (fs) and split."""

    label_key: str
    system: str
    trajectory: str
    time: float
    split: str


@dataclass(frozen=True)
class Fingerprints:
    """Fingerprints of frames that have the same composition: `values` is (frame, length), float32, in Å."""

    composition: str
    members: tuple[Member, ...]
    values: Array


class Pair(NamedTuple):
    """A frame, the nearest one to it in another split, and their distance (Å)."""

    first: Member
    second: Member
    distance: float


def neighbour_distances(positions: Array, cell: Array, cutoff: float) -> tuple[Array, Array, Array]:
    """Distances of atoms and images within a cutoff.

    Args:
        positions: (atom, 3) in Å, wrapped or not.
        cell: (3, 3) in Å, rows are the cell vectors; it may be smaller than the cutoff.
        cutoff: in Å.

    Returns:
        first (pair,), second (pair,) and distance (pair,) in Å, every pair from both sides.
    """
    from vesin import NeighborList

    search = NeighborList(cutoff=cutoff, full_list=True, n_threads=1)
    points, box = (np.ascontiguousarray(array, dtype=np.float64) for array in (positions, cell))
    first, second, distance = search.compute(points, box, True, "ijd")
    return first.astype(np.int64), second.astype(np.int64), distance


def fingerprints(frames: Frames, splits: Sequence[str] | Array) -> list[Fingerprints]:
    """Fingerprints of frames, by composition.

    Args:
        frames: with numbers, positions, cell, label_key, system, trajectory and time.
        splits: (frame,) their splits; frames without one are left out.

    Returns:
        one for each composition, in the order of their names; small enough to be sent between processes.
    """
    found: defaultdict[str, list[tuple[Member, Array]]] = defaultdict(list)
    names = (frames[name].tolist() for name in ("label_key", "system", "trajectory", "time"))
    for i, member in enumerate(map(Member, *names, list(splits))):
        if member.split:
            numbers = frames.of(i, "numbers")
            value = fingerprint(numbers, frames.of(i, "positions"), frames.of(i, "cell"))
            found[_composition(numbers)].append((member, value))
    return [
        Fingerprints(name, tuple(member for member, _ in rows), np.array([value for _, value in rows]))
        for name, rows in sorted(found.items())
    ]


def fingerprint(numbers: Array, positions: Array, cell: Array) -> Array:
    """Fingerprint of one frame.

    Args:
        numbers: (atom,) atomic numbers.
        positions: (atom, 3) in Å, wrapped or not.
        cell: (3, 3) in Å, rows are the cell vectors.

    Returns:
        (elements² · `NEIGHBOURS` · `MOMENTS`,) float32 in Å, such that the Euclidean distance of two is the measure.
    """
    elements, element = np.unique(numbers, return_inverse=True)
    nearest = _nearest(element, len(elements), positions, cell)
    parts = [np.sort(nearest[element == a], axis=0) for a in range(len(elements))]
    moments = [np.einsum("mi,ic->mc", _legendre(len(part)), part) for part in parts]
    joined: Array = np.concatenate(moments, axis=None) / np.sqrt(len(elements) ** 2 * NEIGHBOURS)
    return joined.astype(np.float32)


def _nearest(element: Array, elements: int, positions: Array, cell: Array) -> Array:
    """Distances to the nearest atoms of each element, (atom, element · `NEIGHBOURS`), Å."""
    cutoff = _cutoff(len(positions), cell)
    first, second, distance = neighbour_distances(positions, cell, cutoff)
    key = first * elements + element[second]
    order = np.lexsort((distance, key))
    key, distance = key[order], distance[order]
    rank = np.arange(len(key)) - np.searchsorted(key, key)
    near = rank < NEIGHBOURS
    table = np.full((len(element) * elements, NEIGHBOURS), cutoff)
    table[key[near], rank[near]] = distance[near]
    return table.reshape(len(element), elements * NEIGHBOURS)


def _cutoff(atoms: int, cell: Array) -> float:
    """How far to look (Å), in whole Å beyond the least, so that boxes of nearly the same size are looked at alike."""
    volume = abs(float(np.linalg.det(cell))) / atoms
    return max(CUTOFF_A, float(np.ceil(CUTOFF_A * np.cbrt(volume / SPARSE_A3))))


@lru_cache(maxsize=256)
def _legendre(count: int) -> Array:
    """What turns sorted values into L-moments times √count, (`MOMENTS`, count).

    Each row is an orthonormal Legendre polynomial, integrated over the share of each of `count` values, so that the
    squares of all moments sum up to the squared difference of two distributions, whatever their count.
    """
    from numpy.polynomial import legendre

    edges = np.linspace(-1, 1, count + 1)
    rows = [
        np.sqrt(2 * order + 1) / 2 * np.diff(legendre.legval(edges, legendre.legint(np.eye(order + 1)[order])))
        for order in range(MOMENTS)
    ]
    moments: Array = np.sqrt(count) * np.array(rows)
    return moments


def _composition(numbers: Array) -> str:
    """What a frame is made of, such as 'H64 O32'."""
    from ase.data import chemical_symbols

    values, counts = np.unique(numbers, return_counts=True)
    return " ".join(f"{chemical_symbols[z]}{n}" for z, n in zip(values, counts, strict=True))


def nearest_pairs(parts: Iterable[Fingerprints]) -> list[Pair]:
    """For every validation frame the nearest training frame, for every test frame the nearest of either.

    Only frames of one composition are compared; a frame without such a partner is in no pair.

    Args:
        parts: fingerprints of the whole dataset, in any order. They are held in memory, 4 kB at most for frames of
            four elements; comparing 100,000 frames takes little more than that.

    Returns:
        the pairs, nearest first.
    """
    together: defaultdict[str, list[Fingerprints]] = defaultdict(list)
    for part in parts:
        together[part.composition].append(part)
    pairs = [pair for _, group in sorted(together.items()) for pair in _pairs(group)]
    return sorted(pairs, key=lambda pair: (pair.distance, pair.first.label_key))


def _pairs(group: Sequence[Fingerprints]) -> Iterator[Pair]:
    """Pairs of one composition, whatever the order in which its frames came."""
    members = [member for part in group for member in part.members]
    order = sorted(range(len(members)), key=lambda i: members[i].label_key)
    members = [members[i] for i in order]
    values = np.concatenate([part.values for part in group])[order]
    splits = np.array([member.split for member in members])
    for split, others in _AGAINST.items():
        asked, pool = np.flatnonzero(splits == split), np.flatnonzero(np.isin(splits, others))
        if len(asked) and len(pool):
            for i, j in zip(asked, pool[_nearest_rows(values[asked], values[pool])], strict=True):
                distance = np.linalg.norm(values[i].astype(np.float64) - values[j])
                yield Pair(members[i], members[j], round(float(distance), 6))


def _nearest_rows(asked: Array, pool: Array) -> Array:
    """For each row of `asked` (n, length) the number of the nearest row of `pool` (m, length), (n,)."""
    centre = pool.mean(axis=0, dtype=np.float64)
    best = np.full(len(asked), np.inf)
    found = np.zeros(len(asked), dtype=np.int64)
    for start in range(0, len(pool), _COLUMNS):
        right = pool[start : start + _COLUMNS] - centre
        norms = np.square(right).sum(axis=1)
        for row in range(0, len(asked), _ROWS):
            here = slice(row, row + _ROWS)
            left = asked[here] - centre
            # rounded, so that of equal ones the first is taken, however a matrix product rounds
            squares = np.round(norms - 2 * left @ right.T + np.square(left).sum(axis=1)[:, None], 9)
            place = squares.argmin(axis=1)
            least = squares[np.arange(len(left)), place]
            nearer = least < best[here]
            best[here] = np.where(nearer, least, best[here])
            found[here] = np.where(nearer, place + start, found[here])
    return found


def near_duplicates(pairs: Iterable[Pair], threshold_A: float) -> list[Pair]:
    """The pairs that are nearer than a threshold (Å)."""
    return [pair for pair in pairs if pair.distance < threshold_A]


def refuse_near_duplicates(pairs: Iterable[Pair], threshold_A: float) -> None:
    """Refuse a dataset of which two splits share frames, or almost.

    Raises:
        UserError: naming the nearest pairs, when any is nearer than the threshold (Å).
    """
    near = near_duplicates(pairs, threshold_A)
    lines = [
        f"collect.near_duplicate_A: {_told(pair.first)} and {_told(pair.second)} are {pair.distance:.4f} Å apart; "
        f"allowed: at least {threshold_A:g}, or near_duplicate_A: 0"
        for pair in near[:_TOLD]
    ]
    if len(near) > _TOLD:
        lines.append(f"collect.near_duplicate_A: and {len(near) - _TOLD} more pairs")
    if lines:
        raise UserError(*lines)


def _told(member: Member) -> str:
    """A frame, for people."""
    place = f"{member.system}, {member.trajectory}, {member.time:g} fs"
    return f"the {member.split} frame {member.label_key[:12]} ({place})"


def duplicate_report(pairs: Sequence[Pair], threshold_A: float) -> dict[str, Any]:
    """How near the splits come to each other, as JSON can hold it.

    Args:
        pairs: from `nearest_pairs`.
        threshold_A: nearer pairs are counted as near-duplicates; 0 for none.

    Returns:
        `compared` frames, `near` ones, percentiles and a histogram of the distance to the nearest frame of another
        split, and the closest pairs.
    """
    distances = np.array([pair.distance for pair in pairs])
    counts = Counter(np.floor(distances / _BIN_A).astype(int).tolist())
    points = np.percentile(distances, _PERCENTILES) if len(pairs) else []
    return {
        "measure": MEASURE,
        "threshold_A": threshold_A,
        "compared": len(pairs),
        "near": len(near_duplicates(pairs, threshold_A)),
        "percentiles_A": {f"p{p}": round(float(x), 6) for p, x in zip(_PERCENTILES, points, strict=False)},
        "histogram": [{"from_A": round(bin_ * _BIN_A, 2), "frames": counts[bin_]} for bin_ in sorted(counts)],
        "bin_A": _BIN_A,
        "closest": [_plain(pair) for pair in pairs[:_LISTED]],
    }


def _plain(pair: Pair) -> dict[str, Any]:
    """A pair as JSON can hold it; a time that is not known is null."""
    first, second = (
        {**member._asdict(), "time": member.time if np.isfinite(member.time) else None}
        for member in (pair.first, pair.second)
    )
    return {"distance_A": pair.distance, "first": first, "second": second}
