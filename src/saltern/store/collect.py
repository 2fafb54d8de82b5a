"""From label batches to one system's share of a release."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from saltern.errors import UserError
from saltern.fields import FIELDS
from saltern.frames import Array, Frames
from saltern.store.files import whole_file
from saltern.store.hdf5 import read_frames, read_metadata, write_frames

if TYPE_CHECKING:
    import pandas as pd

NOT_IN_SHARDS = ("cpu_seconds", "host", "date", "engine_build", "recall")
"""May differ between two runs that give the same labels, so these are kept in the index only."""


def collect_system(system: Path, labels: Sequence[Path], requested: int, directory: Path) -> None:
    """Gather a system's label batches into a shard, a quarantine file and its part of the index.

    Makes `shard.h5` (accepted frames), `quarantine.h5` (the others, each with its reason) and `index.parquet` in
    `directory`. Frames are ordered by trajectory and time, so the order of `labels` does not matter.

    Args:
        system: the composed system.
        labels: its label batches.
        requested: number of frames the campaign asked for.
        directory: where the three files go.

    Raises:
        UserError: when the frames found are not the frames requested, or a frame appears twice.
    """
    frames = Frames.concatenate([read_frames(path) for path in labels])
    about = read_metadata(system)
    _check(frames, about["id"], requested)
    frames = frames.select(np.lexsort((frames["time"], frames["trajectory"])))
    accepted = frames.select(frames["accepted"])
    refused = frames.select(~frames["accepted"])
    write_frames(directory / "shard.h5", _lasting(accepted), {"system": about, "requested": requested})
    write_frames(directory / "quarantine.h5", _lasting(refused), {"system": about})
    with whole_file(directory / "index.parquet") as temporary:
        _index(accepted, refused, about["id"], about["system"]["salt"], about["molality"]).to_parquet(temporary)


def _check(frames: Frames, system: str, requested: int) -> None:
    """The ledger of one system: every requested frame is there, once."""
    if len(frames) != requested:
        raise UserError(f"{system}: {requested} frames were requested, {len(frames)} were labelled or quarantined")
    keys, counts = np.unique(frames["label_key"], return_counts=True)
    if (counts > 1).any():
        raise UserError(f"{system}: {counts.max()} frames are the same; label key {keys[counts.argmax()]}")
    if (frames["system"] != system).any():
        raise UserError(f"{system}: labels of another system, {frames['system'][frames['system'] != system][0]}")


def _lasting(frames: Frames) -> Frames:
    """Without what differs between two runs."""
    return Frames(frames.offsets, {name: a for name, a in frames.arrays.items() if name not in NOT_IN_SHARDS})


def _index(accepted: Frames, refused: Frames, system: str, salt: str | None, molality: float) -> pd.DataFrame:
    """One row a frame: where it is, what it is, what it cost."""
    import pandas as pd

    parts = []
    for frames, file in ((accepted, f"shards/{system}.h5"), (refused, f"quarantine/{system}.h5")):
        part = pd.DataFrame({name: frames[name] for name in frames.arrays if _is_column(name)})
        part.insert(0, "file", file)
        part.insert(1, "row", np.arange(len(frames)))
        part["salt"] = salt or ""
        part["molality"] = molality
        part["atoms"] = frames.atom_counts
        part["max_force"] = largest_forces(frames)
        parts.append(part)
    return pd.concat(parts, ignore_index=True)


def _is_column(name: str) -> bool:
    """Whether a quantity is one value a frame, as the index wants it."""
    return FIELDS[name].per == "frame" and FIELDS[name].shape == ()


def largest_forces(frames: Frames) -> Array:
    """Largest force on any atom of each frame, (frame,), eV/Å."""
    if not len(frames):
        return np.empty(0)
    return np.maximum.reduceat(np.linalg.norm(frames["forces"], axis=1), frames.offsets[:-1])
