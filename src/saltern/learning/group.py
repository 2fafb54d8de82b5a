"""The processes that share one training.

Every process holds the whole training: data, weights, optimiser, order of the frames. In each step it takes its share
of the mini-batch, and the gradients are added up, so that all make the same step and the outcome is that of one process
up to rounding. Wrapping the network in DistributedDataParallel would not do: forces are derivatives themselves, and
the loss averages over atoms, of which shares hold different numbers.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

import torch
from torch import Tensor, distributed, nn

from saltern.errors import SalternError
from saltern.potentials import chosen_device

Item = TypeVar("Item")


class LostProcessError(SalternError):
    """Another process of the same training has ended, so this one cannot go on."""


@dataclass(frozen=True)
class Group:
    """Which of `size` processes this is, counted from 0; by default the only one."""

    rank: int = 0
    size: int = 1

    def share(self, items: Sequence[Item]) -> Sequence[Item]:
        """Every size-th item: what this process has to do of them."""
        return items[self.rank :: self.size]

    def sum(self, values: Tensor) -> Tensor:
        """Sum over the processes, in place; the same bits in all of them.

        Raises:
            LostProcessError: when one of them has ended.
        """
        if self.size > 1:
            with _telling():
                distributed.all_reduce(values)
        return values

    def sum_gradients(self, weights: Sequence[nn.Parameter], more: Sequence[float]) -> list[float]:
        """Sum the gradients of `weights` over the processes, and `more` numbers with them.

        A process whose share was empty has no gradients and counts as zero.

        Returns:
            The sums of `more`.

        Raises:
            LostProcessError: when one of the processes has ended.
        """
        if self.size == 1:
            return list(more)
        pulls = [torch.zeros_like(weight) if weight.grad is None else weight.grad for weight in weights]
        numbers = weights[0].new_tensor(more, dtype=torch.float64)
        flat = self.sum(torch.cat([*(pull.flatten().double() for pull in pulls), numbers]))
        *sums, rest = torch.split(flat, [*(weight.numel() for weight in weights), len(more)])
        for weight, total in zip(weights, sums, strict=True):
            weight.grad = total.view_as(weight).to(weight.dtype)
        return [float(value) for value in rest]

    def from_first(self, make: Callable[[], Item]) -> Item:
        """What process 0 makes, given to all: files are read once, so that all see the same.

        Raises:
            LostProcessError: when one of the processes has ended.
        """
        if self.size == 1:
            return make()
        made: list[Any] = [make() if self.rank == 0 else None]
        with _telling():
            distributed.broadcast_object_list(made)
        return made[0]  # type: ignore[no-any-return]

    def wait(self) -> None:
        """Return when all processes have come here.

        Raises:
            LostProcessError: when one of them has ended.
        """
        self.sum(torch.zeros(1))


ALONE = Group()
"""A training in one process."""


@contextmanager
def joined(rendezvous: Path, rank: int, size: int, on_node: int, device: str) -> Iterator[Group]:
    """Meet the other processes of a training.

    They find each other through a file on the file system that they share: no port to choose, no host to name, nothing
    that listens but gloo and NCCL themselves. It must know locks (NFS does; Lustre when mounted with `flock`). Numbers
    in main memory are added up by gloo, those on GPUs by NCCL.

    Args:
        rendezvous: a file that does not exist yet, the same for all of them and for no other training.
        rank: number of this process.
        size: how many there are.
        on_node: number of this process among those of its node, which says which GPU it takes.
        device: `auto`, `cpu` or `cuda`.

    Raises:
        UserError: when a GPU is asked for and none answers.
        LostProcessError: when another one ends before all have met.
    """
    backend = "gloo"
    if chosen_device(device).type == "cuda":
        # srun may show a process all GPUs of the node, or its own alone
        torch.cuda.set_device(on_node % torch.cuda.device_count())
        backend = "cpu:gloo,cuda:nccl"
    with _telling():
        distributed.init_process_group(
            backend, init_method=f"file://{rendezvous.resolve()}", rank=rank, world_size=size
        )
    yield Group(rank, size)
    # not after an error: with a process lost there is nobody to say good-bye to
    distributed.destroy_process_group()


@contextmanager
def _telling() -> Iterator[None]:
    """Turn what gloo and NCCL say of a lost process into one line."""
    try:
        yield
    except RuntimeError as error:
        first = str(error).splitlines()[0]
        raise LostProcessError(f"another process of this training has ended ({first})") from error
