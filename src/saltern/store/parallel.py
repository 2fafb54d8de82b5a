"""Work on many files at once: on this machine's cores, or on a cluster of dask."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import TypeVar

from saltern.errors import UserError

Item = TypeVar("Item")
Result = TypeVar("Result")


@dataclass(frozen=True)
class Workers:
    """Who does the work; results never depend on it.

    Args:
        count: threads or processes on this machine; by default as many as it has cores.
        scheduler: address of a dask.distributed scheduler, such as tcp://node17:8786, to be asked instead. Its workers
            must have Saltern installed and see the same files.
    """

    count: int | None = None
    scheduler: str | None = None

    def map(self, function: Callable[[Item], Result], items: Iterable[Item], *, threads: bool = False) -> list[Result]:
        """Apply a function to each item; the results are in the order of the items.

        Args:
            function: of one item; for processes and clusters it must be importable.
            items: what to work on.
            threads: whether threads do, because the work is reading and hashing, which leave the interpreter free.

        Raises:
            UserError: when the scheduler does not answer.
        """
        todo = list(items)
        count = min(self.count or os.cpu_count() or 1, max(len(todo), 1))
        if self.scheduler is not None:
            return self._on_cluster(function, todo)
        if count == 1:
            return [function(item) for item in todo]
        import dask

        kind = "threads" if threads else "processes"
        jobs = [dask.delayed(function, pure=False)(item) for item in todo]
        return list(dask.compute(*jobs, scheduler=kind, num_workers=count, chunksize=1))

    def _on_cluster(self, function: Callable[[Item], Result], todo: list[Item]) -> list[Result]:
        from distributed import Client

        try:
            client = Client(self.scheduler, timeout="10s", set_as_default=False)
        except (OSError, ValueError) as error:
            raise UserError(f"--scheduler {self.scheduler}: does not answer ({error})") from error
        with client:
            found: list[Result] = client.gather(client.map(function, todo, pure=False))
            return found
