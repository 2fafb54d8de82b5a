"""Work on many files at once: on this machine's cores, or on a cluster of dask."""

from __future__ import annotations

import os
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ProcessPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from itertools import chain, islice
from multiprocessing import get_context
from typing import TYPE_CHECKING, Any, TypeVar

from saltern.errors import UserError

if TYPE_CHECKING:
    from distributed import Client

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

    def stream(self, function: Callable[[Item], Result], items: Iterable[Item]) -> Iterator[Result]:
        """Apply a function to each of many items, in order, with a few of them in memory at a time.

        Args:
            function: of one item; for processes and clusters it must be importable.
            items: what to work on, taken as they are needed.

        Raises:
            UserError: when the scheduler does not answer.
        """
        count = self.count or os.cpu_count() or 1
        rest = iter(items)
        first = list(islice(rest, 2))
        # starting processes takes seconds
        if self.scheduler is None and (count == 1 or len(first) < 2):
            yield from map(function, chain(first, rest))
            return
        with self._submitting(count) as submit:
            ahead: deque[Any] = deque()
            for item in chain(first, rest):
                ahead.append(submit(function, item))
                if len(ahead) > count:
                    yield ahead.popleft().result()
            while ahead:
                yield ahead.popleft().result()

    @contextmanager
    def _submitting(self, count: int) -> Iterator[Callable[..., Any]]:
        """Give out a piece of work at a time; what is not finished at the end is dropped."""
        if self.scheduler is not None:
            with self._client() as client:
                yield partial(client.submit, pure=False)
            return
        # not forked: this process may have threads
        pool = ProcessPoolExecutor(count, mp_context=get_context("spawn"))
        try:
            yield pool.submit
        finally:
            pool.shutdown(cancel_futures=True)

    def _on_cluster(self, function: Callable[[Item], Result], todo: list[Item]) -> list[Result]:
        with self._client() as client:
            found: list[Result] = client.gather(client.map(function, todo, pure=False))
            return found

    def _client(self) -> Client:
        """A connection to the scheduler."""
        from distributed import Client

        try:
            return Client(self.scheduler, timeout="10s", set_as_default=False)
        except (OSError, ValueError) as error:
            raise UserError(f"--scheduler {self.scheduler}: does not answer ({error})") from error
