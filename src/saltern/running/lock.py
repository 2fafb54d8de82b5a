"""One run at a time in a working directory, by a lock that the kernel frees however the run ends."""

from __future__ import annotations

import errno
import fcntl
import json
import os
import socket
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import datetime
from pathlib import Path
from typing import TextIO

from saltern.errors import UserError
from saltern.progress import say

_WITHOUT_LOCKS = {errno.ENOSYS, errno.EOPNOTSUPP, errno.ENOLCK}


class Lock:
    """The lock, held.

    Attributes:
        fingerprint: of the campaign and the code with which jobs were last submitted here; empty when unknown.
    """

    def __init__(self, handle: TextIO, fingerprint: str) -> None:
        self._handle = handle
        self.submitting(fingerprint)

    def submitting(self, fingerprint: str) -> None:
        """Note, for the next run, with what the jobs from now on are submitted."""
        self.fingerprint = fingerprint
        holder = {
            "host": socket.gethostname(),
            "pid": os.getpid(),
            "since": datetime.now().astimezone().isoformat(timespec="seconds"),
        }
        self._handle.seek(0)
        self._handle.truncate()
        json.dump({**holder, "fingerprint": fingerprint}, self._handle)
        self._handle.flush()


@contextmanager
def locked(directory: Path) -> Iterator[Lock]:
    """Hold the lock `results/.lock` of a working directory.

    The file says who holds the lock. It stays when the lock is freed; that it exists means nothing.

    Raises:
        UserError: another run, on this host or another one, holds the lock.
    """
    path = directory / "results" / ".lock"
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("a+", encoding="utf-8") as handle:
        handle.seek(0)
        before = _parsed(handle.read())
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise UserError(f"another run is still at work in {path.parent} ({_holder(before)})") from None
        except OSError as error:
            if error.errno not in _WITHOUT_LOCKS:
                raise
            say(f"saltern run: the file system of {path} has no locks; make sure that no other run is at work there")
        yield Lock(handle, before.get("fingerprint", ""))


def _parsed(text: str) -> dict[str, str]:
    """What a run wrote into the lock; empty when it was killed meanwhile."""
    try:
        record = json.loads(text)
    except json.JSONDecodeError:
        return {}
    return {key: str(value) for key, value in record.items()} if isinstance(record, dict) else {}


def _holder(record: dict[str, str]) -> str:
    """Who holds the lock, in words."""
    if not record:
        return "it left no name"
    return f"process {record['pid']} on {record['host']} since {record['since']}"
