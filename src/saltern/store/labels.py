"""The label store: what engines answered, by the key of the question, for every campaign that shares it."""

from __future__ import annotations

import contextlib
import hashlib
import json
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from saltern.errors import UserError
from saltern.progress import say
from saltern.store.files import read_json, whole_file, write_json
from saltern.store.hdf5 import read_frames

FORMAT = "saltern-label"
FORMAT_VERSION = 1

Record = dict[str, Any]


class LabelStore:
    """A directory of plain files, one a label: `labels/ab/abcdef....json`.

    There is no server, no index and no lock: a record is written beside its place, flushed, and linked there, so any
    number of processes on any number of machines may look up and add. Where two answer the same question at the same
    time the first one stays and both use it. Each file holds the checksum of its own content; one that does not match
    is put aside (`damaged/`) and the question is open again. Records are never changed and only `recall` takes them
    out of use.
    """

    def __init__(self, directory: str | Path) -> None:
        self.directory = Path(directory)
        self._known_recalls: dict[Path, frozenset[str]] = {}

    def find(self, key: str) -> Record | None:
        """The record of a key, or None."""
        path = self._path("labels", key)
        try:
            text = path.read_text(encoding="utf-8")
        except FileNotFoundError:
            return None
        except (OSError, UnicodeDecodeError) as error:
            text = str(error)
        record = _checked(text, key)
        if record is None:
            say(f"{path}: damaged, put aside; its question is asked again")
            self._move(path, self._path("damaged", key))
        return record

    def add(self, key: str, record: Mapping[str, Any]) -> Record:
        """Add a record, and return the one that is in the store: an earlier one of the same key stays.

        Raises:
            UserError: when the store cannot be written.
        """
        path = self._path("labels", key)
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            with whole_file(path, replace=False) as temporary:
                temporary.write_text(_sealed(key, record), encoding="utf-8")
        except FileExistsError:
            pass
        except OSError as error:
            raise UserError(f"label store {self.directory}: cannot be written ({error.strerror})") from error
        found = self.find(key)
        return found if found is not None else self.add(key, record)

    def __iter__(self) -> Iterator[tuple[str, Record]]:
        """Every key with its record, in the order of the keys."""
        for folder in sorted((self.directory / "labels").glob("[0-9a-f][0-9a-f]")):
            for path in sorted(folder.glob("[0-9a-f]*.json")):
                record = self.find(path.stem)
                if record is not None:
                    yield path.stem, record

    def recall(self, name: str, keys: Sequence[str], why: Mapping[str, Any]) -> None:
        """Take labels out of use, for good: they are moved to `recalled/`, and whoever needs them asks again.

        What is recalled is written down first, so a recall that was killed on the way is completed by the same call.

        Args:
            name: identifier of this recall; it appears in the index of later releases.
            keys: the labels.
            why: what the recall's file says about it, such as reason and criteria.

        Raises:
            UserError: when there is another recall of that name.
        """
        path = self.directory / "recalls" / f"{name}.json"
        content = {**why, "keys": sorted(keys)}
        if path.exists() and read_json(path) != content:
            raise UserError(f"recall {name}: {path} is another recall; choose another name")
        write_json(path, content)
        for key in keys:
            self._move(self._path("labels", key), self._path(f"recalled/{name}", key))

    def recalled(self, key: str) -> str:
        """Name of the last recall of a label, '' when there was none."""
        return max((path.stem for path, keys in self._recalls().items() if key in keys), default="")

    def recalls_of(self, batch: str | Path) -> list[Path]:
        """The files of all recalls that touch a file of labels; none where that is not there yet."""
        recalls = self._recalls()
        if not (recalls and Path(batch).exists()):
            return []
        keys = read_frames(batch)["label_key"].tolist()
        return sorted(path for path, recalled in recalls.items() if not recalled.isdisjoint(keys))

    def _recalls(self) -> dict[Path, frozenset[str]]:
        """Every recall's file with its keys; recalls are few and never change, so each is read once."""
        for path in (self.directory / "recalls").glob("*.json"):
            if path not in self._known_recalls:
                self._known_recalls[path] = frozenset(read_json(path)["keys"])
        return self._known_recalls

    def _path(self, kind: str, key: str) -> Path:
        return self.directory / kind / key[:2] / f"{key}.json"

    @staticmethod
    def _move(path: Path, target: Path) -> None:
        """Move a file, unless somebody else was quicker."""
        target.parent.mkdir(parents=True, exist_ok=True)
        with contextlib.suppress(FileNotFoundError):
            path.replace(target)


def _line(value: object) -> str:
    """One line of JSON that is the same for the same content; a float keeps every bit."""
    return json.dumps(value, sort_keys=True, separators=(",", ":"), ensure_ascii=False)


def _sealed(key: str, record: Mapping[str, Any]) -> str:
    """The text of a label file: head with the checksum of the record, and the record."""
    body = _line(record)
    checksum = hashlib.sha256(body.encode()).hexdigest()
    head = {"format": FORMAT, "format_version": FORMAT_VERSION, "key": key, "checksum": checksum}
    return f"{_line(head)}\n{body}\n"


def _checked(text: str, key: str) -> Record | None:
    """The record in the text of a label file, or None when that is not whole or another key's.

    Raises:
        UserError: when a later version of Saltern wrote it.
    """
    head, _, body = text.partition("\n")
    try:
        about = json.loads(head)
        version = about["format_version"]
        if about["format"] == FORMAT and version > FORMAT_VERSION:
            raise UserError(f"label {key}: format version {version}, this Saltern reads up to {FORMAT_VERSION}")
        body = body.removesuffix("\n")
        whole = hashlib.sha256(body.encode()).hexdigest() == about["checksum"]
        record: Record = json.loads(body)
    except (ValueError, KeyError, TypeError):
        return None
    return record if whole and about["key"] == key and _sealed(key, record) == text else None
