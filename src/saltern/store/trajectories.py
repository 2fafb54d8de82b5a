"""Trajectories in a file of frames, written and read some frames at a time."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import h5py
import numpy as np

from saltern.errors import UserError
from saltern.fields import FIELDS
from saltern.frames import Array, Frames
from saltern.store.files import whole_file
from saltern.store.hdf5 import DAMAGE, FORMAT, FORMAT_VERSION, array_of, describe, encoded, opened


def write_trajectories(
    path: str | Path, pieces: Iterable[Frames], counts: Mapping[str, int], metadata: Mapping[str, Any] | None = None
) -> None:
    """Write what `write_frames` would, from pieces of which one at a time is in memory.

    Args:
        path: file to make, whole or not at all.
        pieces: some frames of any of the trajectories each, all of the same atoms and with the same quantities; those
            of a trajectory come in their order.
        counts: number of frames of every trajectory, in the order in which they are to stand.
        metadata: anything JSON can hold, about all of them.
    """
    total = sum(counts.values())
    following = dict(zip(counts, (np.cumsum([*counts.values()]) - [*counts.values()]).tolist(), strict=True))
    # texts are a thousandth of the rest, and how long the longest is shows at the end
    texts: dict[str, list[tuple[int, Array]]] = {}
    with whole_file(path) as temporary, h5py.File(temporary, "w") as file:
        for piece in pieces:
            for name in dict.fromkeys(piece["trajectory"].tolist()):
                frames = piece.select(piece["trajectory"] == name)
                _place(file, frames, following[name], total, texts)
                following[name] += len(frames)
        for name, parts in texts.items():
            values = np.concatenate([text for _, text in sorted(parts, key=lambda part: part[0])])
            file.create_dataset(name, data=encoded(values))
        describe(file, np.arange(total + 1) * (len(file["numbers"]) // total), metadata)


def _place(file: h5py.File, frames: Frames, row: int, total: int, texts: dict[str, list[tuple[int, Array]]]) -> None:
    """Put some frames of one trajectory from a row on."""
    atoms = int(frames.atom_counts[0])
    for name in sorted(frames.arrays):
        entry, array = FIELDS[name], frames[name]
        if entry.is_text:
            texts.setdefault(name, []).append((row, array))
            continue
        width = atoms if entry.per == "atom" else 1
        dataset = file.require_dataset(name, (total * width, *entry.shape), entry.dtype, exact=True)
        dataset[row * width : row * width + len(array)] = array


def read_trajectories(path: str | Path, names: Sequence[str] | None = None) -> Iterator[Frames]:
    """The trajectories of a file, one at a time.

    Args:
        path: the file; frames of a trajectory stand in a row.
        names: quantities, where the file has them; by default all.

    Raises:
        UserError: when the file is missing, truncated or of another format.
    """
    with opened(path, FORMAT, FORMAT_VERSION) as file:
        try:
            labels = array_of(file, "trajectory")
            starts = np.flatnonzero(np.append(True, labels[1:] != labels[:-1]))
            for start, stop in zip(starts.tolist(), [*starts[1:].tolist(), len(labels)], strict=True):
                yield _rows(file, start, stop, names)
        except DAMAGE as error:
            raise UserError(f"{path}: not a valid {FORMAT} file ({error})") from error


def spaced_frames(path: str | Path, trajectory: str, count: int) -> Frames:
    """Frames of one trajectory of a file, evenly spaced in their number; the last is one of them, and the first.

    Args:
        path: the file.
        trajectory: its name.
        count: how many at most; 1 is the last one.

    Raises:
        UserError: as `read_trajectories`, and when there is no such trajectory.
    """
    with opened(path, FORMAT, FORMAT_VERSION) as file:
        try:
            rows = np.flatnonzero(array_of(file, "trajectory") == trajectory)
            if not len(rows):
                raise UserError(f"{path}: there is no trajectory {trajectory}")
            chosen = np.unique(np.linspace(len(rows) - 1, 0, count).round().astype(np.int64))
            return Frames.concatenate([_rows(file, row, row + 1, None) for row in rows[chosen].tolist()])
        except DAMAGE as error:
            raise UserError(f"{path}: not a valid {FORMAT} file ({error})") from error


def _rows(file: h5py.File, start: int, stop: int, names: Sequence[str] | None) -> Frames:
    """Frames in a row."""
    offsets = file["offsets"][start : stop + 1]
    chosen = [name for name in file if name != "offsets" and (names is None or name in names)]
    rows = {"frame": slice(start, stop), "atom": slice(int(offsets[0]), int(offsets[-1]))}
    return Frames(offsets - offsets[0], {name: array_of(file, name, rows[FIELDS[name].per]) for name in chosen})
