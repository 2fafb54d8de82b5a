"""Files that exist only when they are whole."""

from __future__ import annotations

import errno
import hashlib
import json
import os
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from saltern.errors import UserError


@contextmanager
def whole_file(path: str | Path, *, replace: bool = True) -> Iterator[Path]:
    """Write beside, flush, rename: yields a temporary path that becomes `path` when the block succeeds.

    When the block fails nothing is left behind and an older file at `path` stays as it was.

    Args:
        path: the file to make.
        replace: whether a file that is there already gives way.

    Raises:
        FileExistsError: when it is there and does not give way.
    """
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    handle, name = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")
    os.close(handle)
    temporary = Path(name)
    try:
        yield temporary
        temporary.chmod(0o644)
        _flush(temporary)
        if replace:
            temporary.replace(path)
        else:
            publish(temporary, path)
        _flush_folder(path.parent)
    finally:
        temporary.unlink(missing_ok=True)


def publish(temporary: Path, path: Path) -> None:
    """Give a file its name unless that is taken, with no moment between the question and the deed.

    The temporary name may stay beside the new one.

    Raises:
        FileExistsError: when it is taken.
    """
    try:
        os.link(temporary, path)
    except OSError as error:
        # some file systems have no hard links; of two writers at the same moment the later one stays there
        if error.errno not in (errno.EPERM, errno.ENOTSUP, errno.ENOSYS, errno.EMLINK) or path.exists():
            raise FileExistsError(path) if path.exists() else error from None
        temporary.replace(path)


def _flush(path: Path) -> None:
    """Force a file or the entries of a directory onto the disk, so that a power cut cannot undo a rename."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _flush_folder(path: Path) -> None:
    """Likewise for a directory, on file systems that can do that."""
    try:
        _flush(path)
    except OSError as error:
        if error.errno not in (errno.EINVAL, errno.ENOTSUP, errno.EACCES):
            raise


def write_json(path: str | Path, value: Any, *, replace: bool = True) -> None:
    """Write a value as indented JSON with sorted keys; the same value gives the same bytes.

    Raises:
        ValueError: for NaN and infinity, which JSON does not have.
        FileExistsError: when the file is there and `replace` does not allow to make it anew.
    """
    with whole_file(path, replace=replace) as temporary:
        temporary.write_text(
            json.dumps(value, indent=1, sort_keys=True, ensure_ascii=False, allow_nan=False) + "\n", encoding="utf-8"
        )


def read_json(path: str | Path) -> Any:
    """Read a JSON file.

    Raises:
        UserError: when it cannot be read or is not JSON.
    """
    try:
        return json.loads(Path(path).read_text(encoding="utf-8"))
    except OSError as error:
        raise UserError(f"{path}: cannot be read ({error.strerror})") from error
    except ValueError as error:
        raise UserError(f"{path}: not a whole JSON file ({error})") from error


def file_hash(path: str | Path) -> str:
    """SHA-256 of a file's bytes, in hex."""
    with Path(path).open("rb") as handle:
        return hashlib.file_digest(handle, "sha256").hexdigest()


def text_hash(*texts: str) -> str:
    """SHA-256 of several texts, each told from its neighbours, in hex."""
    digest = hashlib.sha256()
    for text in texts:
        data = text.encode()
        digest.update(len(data).to_bytes(8, "little") + data)
    return digest.hexdigest()
