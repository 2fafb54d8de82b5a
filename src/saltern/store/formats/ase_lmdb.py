"""LMDB in the layout of FAIR Chemistry's ASE-LMDB: one `SPLIT.aselmdb` a split.

The layout, as read in ase-db-backends 0.11 (`aselmdb`) and MACE 0.3.16 (`fairchem_dataset`): a single file without a
directory; the keys '1', '2', ... hold one row each, 'nextid' the next number and 'metadata' a mapping, every value
JSON that is compressed with zlib. A row is the mapping of an `ase.db.row.AtomsRow`; arrays are nested lists, which
both the readers with ASE's JSON and those with plain JSON understand.
"""

from __future__ import annotations

import json
import zlib
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from saltern.frames import Frames
from saltern.store.files import text_hash
from saltern.store.formats.ase_db import about_frame, labels_of, searchable
from saltern.store.formats.base import ALONE, Splits, new_folder, value_of, with_frames
from saltern.store.parallel import Workers

MAP_SIZE = 2**41
"""Bytes an LMDB may grow to; the file is as long as its contents."""


def export_ase_lmdb(splits: Splits, target: Path, about: Mapping[str, Any], workers: Workers = ALONE) -> None:
    """Write one LMDB a split, with energy, forces and stress in eV and Å; the same frames give the same rows.

    What we say of a frame is in `data` of its row, and what ASE allows there in its key-value pairs.

    Raises:
        UserError: when the target is there already.
    """
    with new_folder(target, about) as folder:
        for split, batches in splits.items():
            count = 0
            for rows in workers.stream(_rows, _numbered(batches)):
                _append(folder / f"{split}.aselmdb", rows, count, _metadata(about))
                count += len(rows)


def _metadata(about: Mapping[str, Any]) -> dict[str, Any]:
    """What the database says of itself: no list of files, which are those of the release."""
    return {key: about[key] for key in ("name", "root_hash", "licence", "methods") if key in about}


def _numbered(batches: Iterable[Frames]) -> Iterator[tuple[int, Frames]]:
    """Batches with the number of frames before each."""
    count = 0
    for batch in with_frames(batches):
        yield count, batch
        count += len(batch)


def _rows(batch: tuple[int, Frames]) -> list[bytes]:
    """The rows of a batch."""
    count, frames = batch
    return [_packed(_row(frames, index, count + index + 1)) for index in range(len(frames))]


def _append(path: Path, rows: Sequence[bytes], count: int, metadata: Mapping[str, Any]) -> None:
    """Add rows in one transaction to a database that has `count` rows."""
    import lmdb

    # nobody else knows the file yet, so no lock file is left beside it
    environment = lmdb.open(str(path), map_size=MAP_SIZE, subdir=False, lock=False)
    try:
        with environment.begin(write=True) as transaction:
            for number, row in enumerate(rows, count + 1):
                transaction.put(str(number).encode("ascii"), row)
            transaction.put(b"nextid", _packed(count + len(rows) + 1))
            transaction.put(b"metadata", _packed(dict(metadata)))
    finally:
        environment.close()


def _row(frames: Frames, index: int, number: int) -> dict[str, Any]:
    """One frame as row `number` of an ASE database; times are 0, for a frame is no younger than its release."""
    told = about_frame(frames, index)
    row: dict[str, Any] = {
        "numbers": frames.of(index, "numbers"),
        "positions": frames.of(index, "positions"),
        "cell": frames.of(index, "cell"),
        "pbc": np.ones(3, dtype=bool),
        "unique_id": text_hash(told.get("system", ""), told.get("label_key", ""), str(number))[:32],
        "ctime": 0.0,
        "mtime": 0.0,
        "user": "",
        "calculator": "unknown",
        "calculator_parameters": {},
        **labels_of(frames, index),
        "key_value_pairs": searchable(told),
        "data": told,
    }
    charges = value_of(frames, index, "charges")
    return row if charges is None else {**row, "initial_charges": charges}


def _packed(value: Any) -> bytes:
    return zlib.compress(json.dumps(value, default=_listed, allow_nan=False, separators=(",", ":")).encode("utf-8"))


def _listed(value: Any) -> Any:
    """Arrays as nested lists, their scalars as numbers; floats keep every bit in JSON."""
    return value.tolist()
