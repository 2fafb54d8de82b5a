"""Frames of a release, in any order, without holding them in memory."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from saltern.errors import UserError
from saltern.fields import FIELDS
from saltern.frames import Array, Frames
from saltern.store.shard import OF_STRUCTURE, Shard, bytes_of

if TYPE_CHECKING:
    import pandas as pd

OPEN_SHARDS = 128
"""Shards that are kept open at once; processes may have 1024 files open."""

BATCH_BYTES = 4 * 2**20
"""About what a batch of frames in a row takes in memory."""

TRAINING = ("numbers", "positions", "cell", "energy", "forces", "stress", "charges", "permittivity")
"""What a trainer wants of a frame, where it is there."""


class FrameReader:
    """Some frames of a release, by number; memory holds where they are and no more.

    It may be used in threads and in forked or spawned data-loader workers: nothing that is shared has a position, and a
    copy opens the shards anew.
    """

    def __init__(self, directory: Path, files: Sequence[str], file: Array, row: Array) -> None:
        """Args: directory of the release, names of its shards, and each frame's place: number of its shard, and row."""
        self._directory = directory
        self._files = list(files)
        self._file = np.asarray(file, np.int32)
        self._row = np.asarray(row, np.int64)
        # a shard that is forgotten is closed when the last thread has done with it
        self._shard = lru_cache(OPEN_SHARDS)(self._opened)

    def __reduce__(self) -> tuple[Any, ...]:
        """What makes a copy."""
        return FrameReader, (self._directory, self._files, self._file, self._row)

    def __len__(self) -> int:
        """Number of frames."""
        return len(self._row)

    def has(self, name: str) -> bool:
        """Whether every one of the shards holds a quantity."""
        return all(name in self._shard(number).names for number in np.unique(self._file).tolist())

    def subset(self, indices: Sequence[int] | Array) -> FrameReader:
        """The given frames, in that order."""
        chosen = np.asarray(indices, np.int64)
        return FrameReader(self._directory, self._files, self._file[chosen], self._row[chosen])

    def frames(self, indices: Sequence[int] | Array | slice, names: Sequence[str] | None = None) -> Frames:
        """The given frames, in that order.

        Args:
            indices: numbers of frames, or a slice of them.
            names: quantities; by default everything that every one of the shards has.

        Raises:
            UserError: when a shard is missing, cut off or cannot be read, or lacks one of `names`.
        """
        runs = _runs(self._file[indices], self._row[indices])
        if not runs:
            return Frames(np.zeros(1, np.int64), {})
        shards = [self._shard(file) for file, _, _ in runs]
        chosen = _common(shards) if names is None else list(names)
        if len(runs) == 1:
            return shards[0].frames(*runs[0][1:], chosen)
        counts = [shard.atom_counts[start:stop] for shard, (_, start, stop) in zip(shards, runs, strict=True)]
        offsets = np.concatenate([[0], np.cumsum(np.concatenate(counts))])
        return Frames(offsets, {name: _gathered(name, shards, runs, offsets) for name in chosen})

    def batches(self, size: int | None = None, names: Sequence[str] | None = None) -> Iterator[Frames]:
        """All frames in order, some at a time.

        Args:
            size: frames in a batch; by default as many as take about `BATCH_BYTES`.
            names: quantities, as in `frames`.
        """
        start = 0
        while start < len(self):
            count = size or self._fitting(start)
            yield self.frames(slice(start, start + count), names)
            start += count

    def _fitting(self, start: int) -> int:
        """How many frames from here on make a batch."""
        shard, row = self._shard(int(self._file[start])), int(self._row[start])
        return max(1, BATCH_BYTES // (64 * int(shard.atom_counts[row]) + 1000))

    def _opened(self, number: int) -> Shard:
        """A shard of the release."""
        return Shard(self._directory / self._files[number])


def reader_of(directory: Path, rows: pd.DataFrame) -> FrameReader:
    """The frames of some rows of a release's index, in their order."""
    codes, files = rows["file"].factorize()
    return FrameReader(directory, [str(file) for file in files], codes, rows["row"].to_numpy())


Run = tuple[int, int, int]
"""Frames in a row: number of the shard, first row, last row plus one."""


def _runs(files: Array, rows: Array) -> list[Run]:
    """Frames that follow one another in a shard can be read together."""
    if not len(rows):
        return []
    breaks = np.flatnonzero((np.diff(files) != 0) | (np.diff(rows) != 1)) + 1
    first, last = np.concatenate([[0], breaks]), np.concatenate([breaks, [len(rows)]]) - 1
    return list(zip(files[first].tolist(), rows[first].tolist(), (rows[last] + 1).tolist(), strict=True))


def _common(shards: Sequence[Shard]) -> list[str]:
    """Quantities that all of the shards have."""
    names = set(shards[0].names)
    for shard in {id(shard): shard for shard in shards}.values():
        names &= set(shard.names)
    return sorted(names)


def _gathered(name: str, shards: Sequence[Shard], runs: Sequence[Run], offsets: Array) -> Array:
    """One quantity of several runs, side by side."""
    if name in OF_STRUCTURE:
        return np.concatenate([s.constant(name, start, stop) for s, (_, start, stop) in zip(shards, runs, strict=True)])
    entry = FIELDS[name]
    if entry.is_text:
        return np.concatenate([s.text(name, start, stop) for s, (_, start, stop) in zip(shards, runs, strict=True)])
    by_atom = entry.per == "atom"
    array = np.empty((int(offsets[-1]) if by_atom else len(offsets) - 1, *entry.shape), entry.dtype)
    target = bytes_of(array)
    width, frame = array.itemsize * math.prod(entry.shape), 0
    for shard, (_, start, stop) in zip(shards, runs, strict=True):
        if name not in shard.names:
            raise UserError(f"{shard.path}: has no {name}; it holds {', '.join(shard.names)}")
        after = frame + stop - start
        first, last = (int(offsets[frame]), int(offsets[after])) if by_atom else (frame, after)
        shard.read(name, start, target[first * width : last * width])
        frame = after
    return array
