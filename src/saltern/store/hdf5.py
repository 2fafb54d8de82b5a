"""Frames in HDF5: plain datasets with units in their attributes, readable by any HDF5 tool."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import h5py
import numpy as np

from saltern.errors import SalternError, UserError
from saltern.fields import FIELDS
from saltern.frames import Array, Frames
from saltern.store.files import whole_file

FORMAT = "saltern-frames"
FORMAT_VERSION = 1

DAMAGE = (
    LookupError, AttributeError, ValueError, TypeError, OSError, ArithmeticError, MemoryError, RuntimeError,
    SalternError,
)  # fmt: skip
"""What h5py and numpy raise where the structure of a file is damaged."""


def write_frames(path: str | Path, frames: Frames, metadata: Mapping[str, Any] | None = None) -> None:
    """Write frames and their metadata; the same content gives the same bytes.

    Every dataset carries its unit, its meaning and whether its first axis runs over atoms or frames; `offsets`
    (frame + 1,) says which atoms belong to which frame.

    Args:
        path: file to make, whole or not at all.
        frames: what to write.
        metadata: anything JSON can hold, about all of them.
    """
    with whole_file(path) as temporary, h5py.File(temporary, "w") as file:
        for name in sorted(frames.arrays):
            array = frames[name]
            file.create_dataset(name, data=encoded(array) if FIELDS[name].is_text else array)
        describe(file, frames.offsets, metadata)


def describe(file: h5py.File, offsets: Array, metadata: Mapping[str, Any] | None) -> None:
    """Add to the quantities of a file what they are, and which atoms belong to which frame."""
    file.attrs["format"] = FORMAT
    file.attrs["format_version"] = FORMAT_VERSION
    file.attrs["metadata"] = json.dumps(metadata or {}, sort_keys=True, ensure_ascii=False)
    for name, dataset in file.items():
        entry = FIELDS[name]
        dataset.attrs.update({"unit": entry.unit, "meaning": entry.meaning, "per": entry.per})
    file.create_dataset("offsets", data=offsets).attrs["meaning"] = "frame i has the atoms offsets[i]:offsets[i + 1]"


def encoded(texts: Array) -> Array:
    """Strings as fixed-length UTF-8, which has no pointers to other places in the file."""
    data = np.strings.encode(texts, "utf-8")
    return data.astype(h5py.string_dtype("utf-8", max(data.dtype.itemsize, 1)))


def read_frames(path: str | Path) -> Frames:
    """Read the frames of a file.

    Raises:
        UserError: when the file is missing, truncated or of another format.
    """
    with opened(path, FORMAT, FORMAT_VERSION) as file:
        try:
            return Frames(file["offsets"][()], {name: array_of(file, name) for name in file if name != "offsets"})
        except (KeyError, SalternError) as error:
            raise UserError(f"{path}: not a valid {FORMAT} file ({error})") from error


def read_metadata(path: str | Path) -> dict[str, Any]:
    """Read what a file says about all of its frames; raises as `read_frames`."""
    with opened(path, FORMAT, FORMAT_VERSION) as file:
        metadata: dict[str, Any] = json.loads(file.attrs["metadata"])
        return metadata


def array_of(file: h5py.File, name: str, rows: slice = slice(None)) -> Any:
    """One dataset as an array, or some of its rows; text as str."""
    if FIELDS[name].is_text:
        return np.strings.decode(file[name][rows].astype(np.bytes_), "utf-8")
    return file[name][rows]


def opened(path: str | Path, name: str, version: int) -> h5py.File:
    """The open file, after a look at whether it is of the format.

    Raises:
        UserError: when the file is missing, truncated or of another format.
    """
    try:
        file = h5py.File(path, "r")
    except FileNotFoundError as error:
        raise UserError(f"{path}: no such file") from error
    except OSError as error:
        raise UserError(f"{path}: not a whole HDF5 file ({' '.join(str(error).split())})") from error
    try:
        found = file.attrs.get("format"), file.attrs.get("format_version")
    except DAMAGE as error:
        file.close()
        raise UserError(f"{path}: not a whole HDF5 file ({error})") from error
    if found != (name, version):
        file.close()
        raise UserError(f"{path}: format is '{found[0]} {found[1]}', expected '{name} {version}'")
    return file
