"""Mini-batches of a release for torch, shuffled and shared among processes, without holding frames in memory."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

import torch
from torch.utils.data import DataLoader, Dataset, Sampler

from saltern.errors import UserError
from saltern.frames import Frames
from saltern.learning.group import ALONE, Group
from saltern.store import TRAINING, FrameReader, text_hash


class ReleaseFrames(Dataset[Frames]):
    """The frames that a reader reads, each when it is asked for; forked and spawned workers may do so."""

    def __init__(self, reader: FrameReader, names: Sequence[str] | None = None) -> None:
        """Args: the reader, and the quantities to read, by default those of `TRAINING` that are there."""
        self.reader = reader
        self.names = [name for name in TRAINING if reader.has(name)] if names is None else list(names)

    def __len__(self) -> int:
        """Number of frames."""
        return len(self.reader)

    def __getitem__(self, index: int) -> Frames:
        """One frame."""
        return self.reader.frames([index], self.names)

    def __getitems__(self, indices: Sequence[int]) -> Frames:
        """A mini-batch, read at once, of no frames too; torch asks for it where there is this method."""
        if len(indices):
            return self.reader.frames(indices, self.names)
        # a reader cannot tell what nothing looks like, so a frame does
        return self[0].select([])


class ShuffledShare(Sampler[list[int]]):
    """The share of one process in the mini-batches of an epoch.

    Each epoch is a permutation of all frames that follows from the seed and the epoch's number. A process takes every
    size-th frame of each mini-batch, as `Group.share` does, so all processes together see what a single one would, step
    by step; in a mini-batch of fewer frames than processes some have none.
    """

    def __init__(self, frames: int, batch: int, seed: int, group: Group = ALONE) -> None:
        """Args: number of frames, frames in a mini-batch of all processes, seed, and which process this is.

        Raises:
            UserError: when a mini-batch has no frame.
        """
        if batch < 1:
            raise UserError(f"batch: {batch} frames; at least 1")
        self.frames, self.batch, self.seed, self.group = frames, batch, seed, group
        self.epoch = self.start = 0

    def set_epoch(self, epoch: int, start: int = 0) -> None:
        """Go to an epoch, and there to a mini-batch, where a training was stopped.

        Raises:
            UserError: when there is no such mini-batch.
        """
        if start < 0:
            raise UserError(f"start: {start} mini-batches; at least 0")
        self.epoch, self.start = epoch, start

    def __len__(self) -> int:
        """Mini-batches that are left in the epoch."""
        return max(0, -(-self.frames // self.batch) - self.start)

    def __iter__(self) -> Iterator[list[int]]:
        """The shares, in order."""
        # a hash, for torch takes the lower half of a seed only
        number = int(text_hash(str(self.seed), str(self.epoch))[:8], 16)
        generator = torch.Generator().manual_seed(number)
        order = torch.randperm(self.frames, generator=generator)
        for first in range(self.start * self.batch, self.frames, self.batch):
            yield list(self.group.share(order[first : first + self.batch].tolist()))


def loader(reader: FrameReader, batch: int, seed: int, group: Group = ALONE, workers: int = 0) -> DataLoader[Frames]:
    """A data loader whose items are this process's share of each mini-batch, as one `Frames`.

    Its `batch_sampler` is the `ShuffledShare`: call `set_epoch` there before each epoch.

    Args:
        reader: the frames.
        batch: frames in a mini-batch of all processes.
        seed: of the order.
        group: the processes of the training.
        workers: processes that read ahead.

    Raises:
        UserError: when a mini-batch has no frame.
    """
    options: dict[str, Any] = {"persistent_workers": True} if workers else {}
    return DataLoader(
        ReleaseFrames(reader),
        batch_sampler=ShuffledShare(len(reader), batch, seed, group),
        num_workers=workers,
        collate_fn=_as_it_is,
        **options,
    )


def _as_it_is(frames: Any) -> Any:
    """A mini-batch is one already."""
    return frames
