"""A shard: frames of a release in plain HDF5, laid out so that any frame can be read without reading another.

Numbers lie in contiguous datasets, one after the other, as they lie in memory: a frame's share is one `read` at a known
place, which no HDF5 library has to be asked for. What is the same in all frames of a structure (elements, formal
charges, molecules) is stored once. Text is deflated, a filter that every HDF5 library has. Nothing else is compressed:
the mantissas of positions and forces hold no redundancy, and inflating would cost more than reading.
"""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Iterator, Mapping, Sequence
from functools import cached_property
from pathlib import Path
from typing import Any

import h5py
import numpy as np

from saltern.errors import UserError
from saltern.fields import FIELDS
from saltern.frames import Array, Frames
from saltern.store.files import whole_file
from saltern.store.hdf5 import DAMAGE, encoded, opened

FORMAT = "saltern-shard"
FORMAT_VERSION = 1

OF_STRUCTURE = ("numbers", "charges", "molecules")
"""Quantities of atoms that do not change along a trajectory."""

TEXT_CHUNK = 4096
"""Rows of text that are deflated together."""

READING = """\
import h5py

with h5py.File("shards/NAME.h5") as shard:
    i = 0                                                       # frame
    atoms = slice(*shard["offsets"][i : i + 2])
    energy, cell = shard["energy"][i], shard["cell"][i]         # eV, Å
    positions, forces = shard["positions"][atoms], shard["forces"][atoms]  # Å, eV/Å
    kinds = shard["structures"]                                 # what frames have in common
    k = shard["structure"][i]
    numbers = kinds["numbers"][slice(*kinds["offsets"][k : k + 2])]  # atomic numbers
"""
"""How to read a shard with nothing but h5py."""


def write_shard(path: Path, frames: Frames, metadata: Mapping[str, Any]) -> None:
    """Write frames as a shard; the same content gives the same bytes.

    Args:
        path: file to make, whole or not at all.
        frames: what to write; `numbers` among it.
        metadata: anything JSON can hold, about all of them.
    """
    structure, structures = _structures(frames)
    with whole_file(path) as temporary, h5py.File(temporary, "w") as file:
        file.attrs["format"] = FORMAT
        file.attrs["format_version"] = FORMAT_VERSION
        file.attrs["metadata"] = json.dumps(metadata, sort_keys=True, ensure_ascii=False)
        _add_offsets(file, frames.offsets, "frame i has the atoms offsets[i]:offsets[i + 1]")
        number = file.create_dataset("structure", data=structure)
        number.attrs["meaning"] = "which of the structures has the frame's elements, charges and molecules"
        group = file.create_group("structures")
        _add_offsets(group, structures.offsets, "structure i has the atoms offsets[i]:offsets[i + 1]")
        for name, array in sorted(structures.arrays.items()):
            _add(group, name, array)
        for name in sorted(set(frames.arrays) - set(OF_STRUCTURE)):
            _add(file, name, frames[name])


def _structures(frames: Frames) -> tuple[Array, Frames]:
    """The structure of each frame, (frame,), and what each structure consists of, one frame a structure."""
    names = [name for name in OF_STRUCTURE if name in frames]
    seen: dict[bytes, int] = {}
    number = np.empty(len(frames), np.int32)
    for index in range(len(frames)):
        content = b"".join(frames.of(index, name).tobytes() for name in names)
        number[index] = seen.setdefault(content, len(seen))
    first = [int(np.argmax(number == kind)) for kind in range(len(seen))]
    chosen = frames.select(np.array(first, np.int64))
    return number, Frames(chosen.offsets, {name: chosen[name] for name in names})


def _add_offsets(group: h5py.Group, offsets: Array, meaning: str) -> None:
    group.create_dataset("offsets", data=offsets).attrs["meaning"] = meaning


def _add(group: h5py.Group, name: str, array: Array) -> None:
    """One quantity with its unit and meaning."""
    entry = FIELDS[name]
    if entry.is_text and len(array):
        chunk = (min(len(array), TEXT_CHUNK),)
        dataset = group.create_dataset(name, data=encoded(array), chunks=chunk, shuffle=True, compression="gzip")
    else:
        dataset = group.create_dataset(name, data=encoded(array) if entry.is_text else array)
    dataset.attrs.update({"unit": entry.unit, "meaning": entry.meaning, "per": entry.per})


class Shard:
    """A shard that is open for reading at random; safe in forked processes and threads, for no position is shared."""

    def __init__(self, path: str | Path) -> None:
        """Open a shard.

        Raises:
            UserError: when the file is missing, cut off or not a shard.
        """
        self.path = Path(path)
        with opened(self.path, FORMAT, FORMAT_VERSION) as file:
            try:
                self._learn(file)
            except DAMAGE as error:
                raise UserError(f"{path}: not a valid {FORMAT} file ({error})") from error
        self._descriptor = os.open(self.path, os.O_RDONLY | os.O_CLOEXEC)
        self._repeated: dict[str, tuple[int, Array]] = {}
        self._texts: dict[str, tuple[int, Array]] = {}

    def _learn(self, file: h5py.File) -> None:
        """Where everything lies; and what is small."""
        self.metadata: dict[str, Any] = json.loads(file.attrs["metadata"])
        self.offsets: Array = file["offsets"][()]
        self.structure: Array = file["structure"][()]
        group = file["structures"]
        arrays = {name: group[name][()] for name in group if name != "offsets"}
        self._structures = Frames(group["offsets"][()], arrays)
        own = [name for name in file if name in FIELDS]
        self.names = sorted([*own, *arrays])
        self._places = {name: _place(file[name]) for name in own if not FIELDS[name].is_text}
        _check(self.offsets, self.structure, len(self._structures))
        reach = max((place.end for place in self._places.values()), default=0)
        if reach > self.path.stat().st_size:
            raise ValueError("it is cut off")

    def __del__(self) -> None:
        """Close the file when nobody reads it any more."""
        if hasattr(self, "_descriptor"):
            os.close(self._descriptor)

    def __len__(self) -> int:
        """Number of frames."""
        return len(self.offsets) - 1

    @cached_property
    def atom_counts(self) -> Array:
        """Number of atoms of each frame, (frame,)."""
        return np.diff(self.offsets)

    def frames(self, start: int, stop: int, names: Sequence[str] | None = None) -> Frames:
        """Frames in a row.

        Args:
            start: the first one.
            stop: one more than the last.
            names: quantities, by default all.

        Raises:
            UserError: when the file cannot be read any more, or has no such quantity.
        """
        chosen = self.names if names is None else names
        offsets = self.offsets[start : stop + 1] - self.offsets[start]
        arrays: dict[str, Array] = {}
        for name in chosen:
            if name in self._places:
                rows = int(offsets[-1]) if FIELDS[name].per == "atom" else stop - start
                arrays[name] = np.empty((rows, *FIELDS[name].shape), FIELDS[name].dtype)
                self.read(name, start, bytes_of(arrays[name]))
            elif name in self._structures:
                arrays[name] = self.constant(name, start, stop)
            else:
                arrays[name] = self.text(name, start, stop)
        return Frames(offsets, arrays)

    def read(self, name: str, start: int, target: memoryview) -> None:
        """Fill `target`, bytes of the right number, with the numbers of a quantity from a frame on.

        Raises:
            UserError: when the file cannot be read any more.
        """
        place = self._places[name]
        first = int(self.offsets[start]) if place.by_atom else start
        if len(target):
            self._read(target, place.start + first * place.width)

    def constant(self, name: str, start: int, stop: int) -> Array:
        """A quantity that frames have from their structure, (atom, ...) over frames in a row; it may be read-only."""
        kinds = self.structure[start:stop]
        if len(kinds) and (kinds == kinds[0]).all():
            return self._same(name, int(kinds[0]), len(kinds))
        parts = [self._structures.of(int(kind), name) for kind in kinds]
        return np.concatenate(parts) if parts else self._structures[name][:0]

    def _same(self, name: str, kind: int, count: int) -> Array:
        """A quantity of `count` frames of one structure; a pass over all frames is spared writing it again."""
        one: Array = self._structures.of(kind, name)
        known, repeated = self._repeated.get(name, (-1, one))
        if known != kind or len(repeated) < count * len(one):
            repeated = np.tile(one, (count, *[1] * (one.ndim - 1)))
            repeated.flags.writeable = False
            self._repeated[name] = (kind, repeated)
        return repeated[: count * len(one)]

    def text(self, name: str, start: int, stop: int) -> Array:
        """A text of each of the frames in a row, (frame,).

        Raises:
            UserError: when there is no such quantity, or it cannot be read.
        """
        if name not in self.names:
            raise UserError(f"{self.path}: has no {name}; it holds {', '.join(self.names)}")
        if start >= stop:
            return np.array([], np.str_)
        chunks = range(start // TEXT_CHUNK, (stop - 1) // TEXT_CHUNK + 1)
        texts = np.concatenate([self._inflated(name, chunk) for chunk in chunks])
        return texts[start - chunks[0] * TEXT_CHUNK : stop - chunks[0] * TEXT_CHUNK]

    def _inflated(self, name: str, chunk: int) -> Array:
        """The texts that are deflated together; a pass over all frames inflates them once, not for each batch."""
        known, texts = self._texts.get(name, (-1, np.array([], np.str_)))
        if known != chunk:
            rows = slice(chunk * TEXT_CHUNK, (chunk + 1) * TEXT_CHUNK)
            with opened(self.path, FORMAT, FORMAT_VERSION) as file:
                try:
                    texts = np.strings.decode(file[name][rows].astype(np.bytes_), "utf-8")
                except DAMAGE as error:
                    raise UserError(f"{self.path}: {name} cannot be read ({error})") from error
            self._texts[name] = (chunk, texts)
        return texts

    def _read(self, target: memoryview, place: int) -> None:
        try:
            done = os.preadv(self._descriptor, (target,), place)
            while 0 < done < len(target):
                more = os.preadv(self._descriptor, (target[done:],), place + done)
                done = done + more if more else 0
        except OSError as error:
            raise UserError(f"{self.path}: cannot be read ({error.strerror})") from error
        if done != len(target):
            raise UserError(f"{self.path}: it is cut off")


def _check(offsets: Array, structure: Array, structures: int) -> None:
    """Whether the tables of frames and structures can be right.

    Raises:
        ValueError: when they cannot.
    """
    if offsets[0] != 0 or (np.diff(offsets) <= 0).any() or len(structure) != len(offsets) - 1:
        raise ValueError("its offsets are no offsets")
    if len(structure) and not 0 <= structure.min() <= structure.max() < structures:
        raise ValueError("a frame has a structure that is not there")


def bytes_of(array: Array) -> memoryview:
    """The bytes of a contiguous array, to be filled."""
    return array.reshape(-1).view(np.uint8).data


class _Place:
    """Where the numbers of a quantity lie in the file: from `start` on, `width` bytes a row."""

    __slots__ = ("by_atom", "end", "start", "width")

    def __init__(self, start: int, width: int, rows: int, *, by_atom: bool) -> None:
        self.start, self.width, self.by_atom = start, width, by_atom
        self.end = start + rows * width


def _place(dataset: h5py.Dataset) -> _Place:
    """Where a dataset's numbers lie.

    Raises:
        ValueError: when they are not stored as this machine holds them in memory.
    """
    entry = FIELDS[dataset.name.rsplit("/", 1)[-1]]
    start, size = dataset.id.get_offset(), dataset.size
    if dataset.dtype != np.dtype(entry.dtype) or dataset.shape[1:] != entry.shape or (size and start is None):
        raise ValueError(f"{dataset.name}: {dataset.dtype} {dataset.shape}, not in one piece as {entry.dtype}")
    width = dataset.dtype.itemsize * int(np.prod(entry.shape, dtype=int))
    return _Place(start or 0, width, len(dataset), by_atom=entry.per == "atom")


def frame_checksums(frames: Frames) -> Iterator[str]:
    """A checksum of everything that each frame holds: BLAKE2b, 16 bytes, in hex.

    It depends on the content alone and not on how or by which library that is written.
    """
    for index in range(len(frames)):
        digest = hashlib.blake2b(digest_size=16)
        for name in sorted(frames.arrays):
            value = frames.of(index, name)
            data = str(value).encode() if FIELDS[name].is_text else np.ascontiguousarray(value).tobytes()
            digest.update(f"{name}:{len(data)}:".encode())
            digest.update(data)
        yield digest.hexdigest()
