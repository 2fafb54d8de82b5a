"""Frames: the one type in which configurations travel between stages."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from saltern.errors import SalternError
from saltern.fields import FIELDS

Array = NDArray[Any]


@dataclass(frozen=True)
class Frames:
    """A set of frames, ragged over atoms.

    `offsets` has shape (frame + 1,): the atoms of frame i are rows offsets[i]:offsets[i + 1] of every
    per-atom array. `arrays` maps names of `saltern.fields.FIELDS` to arrays with the dtype and trailing
    shape given there, their first axis running over all atoms or over frames.
    """

    offsets: Array
    arrays: Mapping[str, Array]

    def __post_init__(self) -> None:
        """Check every array against the table.

        Raises:
            SalternError: for an unknown name or a wrong shape.
        """
        object.__setattr__(self, "offsets", np.asarray(self.offsets, dtype=np.int64))
        checked = {name: self._check(name, value) for name, value in self.arrays.items()}
        object.__setattr__(self, "arrays", checked)

    def _check(self, name: str, value: Any) -> Array:
        if name not in FIELDS:
            raise SalternError(f"'{name}' is not in the table of fields")
        entry = FIELDS[name]
        array = np.asarray(value, dtype=np.str_ if entry.is_text else entry.dtype)
        rows = len(self) if entry.per == "frame" else int(self.offsets[-1])
        if array.shape != (rows, *entry.shape):
            raise SalternError(f"{name}: shape {array.shape}, expected {(rows, *entry.shape)}")
        return array

    @classmethod
    def uniform(cls, numbers: Array, count: int, **arrays: Any) -> Frames:
        """Build `count` frames of the same atoms from frame-major arrays.

        Args:
            numbers: (atom,) atomic numbers shared by all frames.
            count: number of frames.
            **arrays: per-atom quantities as (frame, atom, ...) or, the same for all frames, (atom, ...);
                per-frame quantities as (frame, ...) or one value for all frames.
        """
        atoms = len(numbers)
        full: dict[str, Array] = {"numbers": np.tile(numbers, count)}
        for name, value in arrays.items():
            entry = FIELDS[name]
            array = np.asarray(value)
            lead = (count, atoms) if entry.per == "atom" else (count,)
            array = np.broadcast_to(array, (*lead, *entry.shape))
            rows = count * atoms if entry.per == "atom" else count
            full[name] = array.reshape(rows, *entry.shape)
        return cls(np.arange(count + 1) * atoms, full)

    def __len__(self) -> int:
        """Number of frames."""
        return len(self.offsets) - 1

    def __contains__(self, name: str) -> bool:
        """Whether the quantity is present."""
        return name in self.arrays

    def __getitem__(self, name: str) -> Array:
        """The whole array of a quantity, over all atoms or all frames."""
        return self.arrays[name]

    @property
    def atom_counts(self) -> Array:
        """Number of atoms of each frame, (frame,)."""
        return np.diff(self.offsets)

    def of(self, index: int, name: str) -> Any:
        """One frame's share of a quantity: (atom, ...) for per-atom ones, the frame's value otherwise."""
        if FIELDS[name].per == "frame":
            return self.arrays[name][index]
        return self.arrays[name][self.offsets[index] : self.offsets[index + 1]]

    def stacked(self, name: str) -> Array:
        """A per-atom quantity as (frame, atom, ...); all frames must have the same number of atoms.

        Raises:
            SalternError: when they do not.
        """
        counts = self.atom_counts
        if FIELDS[name].per == "frame":
            return self.arrays[name]
        if len(counts) and (counts != counts[0]).any():
            raise SalternError(f"{name}: frames have different numbers of atoms, cannot be stacked")
        return self.arrays[name].reshape(len(self), -1, *FIELDS[name].shape)

    def select(self, indices: Sequence[int] | Array) -> Frames:
        """The given frames, in the given order. `indices` are integers or one boolean per frame."""
        chosen = np.asarray(indices)
        chosen = np.flatnonzero(chosen) if chosen.dtype == bool else chosen.astype(np.int64)
        counts = self.atom_counts[chosen]
        offsets = np.concatenate([[0], np.cumsum(counts)])
        rows = np.repeat(self.offsets[:-1][chosen] - offsets[:-1], counts) + np.arange(offsets[-1])
        return Frames(
            offsets,
            {name: array[rows if FIELDS[name].per == "atom" else chosen] for name, array in self.arrays.items()},
        )

    def with_arrays(self, **arrays: Any) -> Frames:
        """A copy with quantities added or replaced."""
        return Frames(self.offsets, {**self.arrays, **arrays})

    def __iter__(self) -> Iterator[Frames]:
        """Iterate over single frames."""
        return (self.select([i]) for i in range(len(self)))

    @staticmethod
    def concatenate(parts: Sequence[Frames]) -> Frames:
        """Join sets of frames. A quantity that some parts lack is filled with its missing value.

        Raises:
            SalternError: when there is nothing to join.
        """
        if not parts:
            raise SalternError("no frames to concatenate")
        counts = np.concatenate([p.atom_counts for p in parts])
        names = list(dict.fromkeys(name for p in parts for name in p.arrays))
        return Frames(
            np.concatenate([[0], np.cumsum(counts)]),
            {name: np.concatenate([_part(p, name) for p in parts]) for name in names},
        )


def _part(frames: Frames, name: str) -> Array:
    """A quantity of one part, or its missing value in the right shape."""
    if name in frames:
        return frames[name]
    entry = FIELDS[name]
    rows = len(frames) if entry.per == "frame" else int(frames.offsets[-1])
    dtype = np.str_ if entry.is_text else entry.dtype
    return np.full((rows, *entry.shape), entry.missing(), dtype=dtype)


def evenly(count: int, most: int) -> Array:
    """Indices of at most `most` of `count` things, at equal distances, the first among them; of some at least one."""
    return np.arange(0, count, max(1, -(-count // max(1, most))))


def whole_molecules(positions: Array, cell: Array, molecules: Array) -> Array:
    """Positions with every atom in the image nearest to the first one of its molecule, (atom, 3) in Å.

    Args:
        positions: (atom, 3) in Å, wrapped or not.
        cell: (3, 3) cell vectors as rows in Å.
        molecules: (atom,) number of each atom's molecule.
    """
    _, first, member = np.unique(molecules, return_index=True, return_inverse=True)
    centres = positions[first][member]
    apart = (positions - centres) @ np.linalg.inv(cell)
    whole: Array = centres + (apart - np.rint(apart)) @ cell
    return whole
