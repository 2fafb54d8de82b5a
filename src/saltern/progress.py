"""Progress that reads well both on a terminal and in a log file."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Iterable, Iterator
from typing import TypeVar

from tqdm import tqdm

Item = TypeVar("Item")

LOG_INTERVAL_S = 5.0
"""A log file gets a line at most this often, and always a first and a last one."""


def say(text: str) -> None:
    """Print one line of what is being done, at once."""
    print(text, file=sys.stderr, flush=True)


def track(
    items: Iterable[Item],
    what: str,
    total: int,
    unit: str = "frame",
    done: int = 0,
    note: Callable[[], str] | None = None,
) -> Iterator[Item]:
    """Iterate over `items` and show how far it is.

    A terminal gets a tqdm bar; a file gets plain lines such as
    `label NaCl-3f9c2a: 12/50 frames (24 %), 0.9 frames/s, 42 s left`.

    Args:
        items: what remains to be done.
        what: the task, in a few words.
        total: number of items in all, including those done before.
        unit: singular name of an item.
        done: items finished in an earlier run.
        note: called when a line is printed; its text is appended (a loss, a temperature).
    """
    if sys.stderr.isatty():
        bar = tqdm(items, desc=what, total=total, initial=done, unit=unit, leave=True)
        for item in bar:
            yield item
            if note is not None:
                bar.set_postfix_str(note(), refresh=False)
        return
    start = last = time.monotonic()
    first = done
    for item in items:
        yield item
        done += 1
        now = time.monotonic()
        if now - last >= LOG_INTERVAL_S or done == total:
            last = now
            line = _line(what, unit, done, total, (done - first) / max(now - start, 1e-9))
            say(f"{line}, {note()}" if note else line)


def _line(what: str, unit: str, done: int, total: int, rate: float) -> str:
    """One log line."""
    speed = f"{rate:.1f} {unit}s/s" if rate >= 1 else f"{1 / rate:.1f} s/{unit}"
    left = f", {(total - done) / rate:.0f} s left" if done < total else ""
    return f"{what}: {done}/{total} {unit}s ({100 * done / total:.0f} %), {speed}{left}"
