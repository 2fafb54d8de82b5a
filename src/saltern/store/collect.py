"""From label batches to one system's part of a release."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np

from saltern.errors import UserError
from saltern.frames import Frames
from saltern.store.hdf5 import read_frames, read_metadata
from saltern.store.part import PartWriter


def collect_system(system: Path, labels: Sequence[Path], requested: int, directory: Path) -> None:
    """Gather a system's label batches into its part of the release: shards, quarantine, index.

    Frames are ordered by trajectory and time, so the order of `labels` does not matter.

    Args:
        system: the composed system.
        labels: its label batches.
        requested: number of frames the campaign asked for.
        directory: the part.

    Raises:
        UserError: when the frames found are not the frames requested, or a frame appears twice.
    """
    frames = Frames.concatenate([read_frames(path) for path in labels])
    about = read_metadata(system)
    _check(frames, about["id"], requested)
    frames = frames.select(np.lexsort((frames["time"], frames["trajectory"])))
    with PartWriter(directory, about["id"], about, requested) as part:
        part.add(frames)


def _check(frames: Frames, system: str, requested: int) -> None:
    """The ledger of one system: every requested frame is there, once."""
    if len(frames) != requested:
        raise UserError(f"{system}: {requested} frames were requested, {len(frames)} were labelled or quarantined")
    keys, counts = np.unique(frames["label_key"], return_counts=True)
    if (counts > 1).any():
        raise UserError(f"{system}: {counts.max()} frames are the same; label key {keys[counts.argmax()]}")
    if (frames["system"] != system).any():
        raise UserError(f"{system}: labels of another system, {frames['system'][frames['system'] != system][0]}")
