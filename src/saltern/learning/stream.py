"""Mini-batches of a release for torch, shuffled and shared among processes, without holding frames in memory."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from typing import TypeVar

import torch
from torch.utils.data import Dataset, Sampler

from saltern.errors import UserError
from saltern.frames import Frames
from saltern.learning.group import ALONE, Group
from saltern.store import TRAINING, FrameReader, text_hash

Item = TypeVar("Item")

AHEAD = 2
"""Mini-batches that each worker reads ahead."""


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

    def __init__(
        self, frames: int, batch: int, seed: int, group: Group = ALONE, sizes: Sequence[int] | None = None
    ) -> None:
        """Say what there is and how it is divided.

        Args:
            frames: how many there are.
            batch: frames in a mini-batch of all processes.
            seed: another seed, another order.
            group: the processes of the training.
            sizes: (frame,) work that a frame makes; where given, a mini-batch begins with its largest frames, so that
                all shares make about as much.

        Raises:
            UserError: when a mini-batch has no frame.
        """
        if batch < 1:
            raise UserError(f"batch: {batch} frames; at least 1")
        self.frames, self.batch, self.seed, self.group, self.sizes = frames, batch, seed, group, sizes
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
        return (list(self.group.share(batch)) for batch in self.whole())

    def whole(self) -> Iterator[list[int]]:
        """The mini-batches of all processes, in order."""
        # a hash, for torch takes the lower half of a seed only
        number = int(text_hash(str(self.seed), str(self.epoch))[:8], 16)
        generator = torch.Generator().manual_seed(number)
        order = torch.randperm(self.frames, generator=generator)
        for first in range(self.start * self.batch, self.frames, self.batch):
            batch: list[int] = order[first : first + self.batch].tolist()
            if self.sizes is not None:
                batch.sort(key=self.sizes.__getitem__, reverse=True)
            yield batch


class Loader(Iterable[Frames]):
    """This process's share of each mini-batch of an epoch, as one `Frames` each.

    Call `batches.set_epoch` before each epoch. Mini-batches come in the same order whoever reads them; an error of
    reading is raised where its mini-batch would come.

    Attributes:
        data: the frames.
        batches: which frames a mini-batch has.
    """

    def __init__(self, reader: FrameReader, batch: int, seed: int, group: Group = ALONE, workers: int = 0) -> None:
        """Choose what is read, in which order and by whom.

        Args:
            reader: the frames.
            batch: frames in a mini-batch of all processes.
            seed: of the order.
            group: the processes of the training.
            workers: threads that read ahead; they pay where a read has to wait for a disk or a network. Threads do,
                because nothing has to be decoded; what worker processes read would have to be handed over.

        Raises:
            UserError: when a mini-batch has no frame, or there cannot be so many workers.
        """
        if workers < 0:
            raise UserError(f"workers: {workers} threads; at least 0")
        self.data = ReleaseFrames(reader)
        self.batches = ShuffledShare(len(reader), batch, seed, group)
        self._workers = workers

    def __len__(self) -> int:
        """Mini-batches that are left in the epoch."""
        return len(self.batches)

    def __iter__(self) -> Iterator[Frames]:
        """The mini-batches, in order."""
        return read_ahead(self.data.__getitems__, self.batches, self._workers)


def read_ahead(read: Callable[[Sequence[int]], Item], shares: Iterable[Sequence[int]], workers: int) -> Iterator[Item]:
    """What `read` makes of each share, in order; some are read ahead by `workers` threads, where there are any."""
    if not workers:
        yield from map(read, shares)
        return
    with ThreadPoolExecutor(workers) as pool:
        ahead: deque[Future[Item]] = deque()
        try:
            for share in shares:
                ahead.append(pool.submit(read, share))
                if len(ahead) > AHEAD * workers:
                    yield ahead.popleft().result()
            while ahead:
                yield ahead.popleft().result()
        finally:
            pool.shutdown(cancel_futures=True)
