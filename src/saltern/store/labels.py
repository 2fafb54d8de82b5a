"""The label store: what engines answered, by the key of the question, for every campaign that shares it."""

from __future__ import annotations

import contextlib
import hashlib
import json
import re
import time
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import h5py

from saltern.errors import UserError
from saltern.progress import say
from saltern.store.files import publish, read_json, whole_file, write_json

FORMAT = "saltern-label"
FORMAT_VERSION = 1
ABANDONED_AFTER_S = 86400.0
"""An unfinished file that nobody has touched for this long has lost its writer."""

Record = dict[str, Any]


class LabelStore:
    """A directory of plain files, one a label: `labels/ab/abcdef....json`.

    There is no server, no index and no lock: a record is written beside its place, flushed, and linked there, so any
    number of processes on any number of machines may look up and add. Where two answer the same question at the same
    time the first one stays and both use it. Each file holds the checksum of its own content; one that does not match
    is put aside (`damaged/`) and the question is open again.

    Records are never changed and only a recall takes them out of use. It takes effect as a whole, at the moment its
    file `recalls/NAME.json` is there: from then on a label that it lists counts only if its record names the recall,
    which says that it was made after it. Labels that do not are moved to `recalled/NAME/` at once or, where the recall
    was killed on the way, when somebody asks for them.
    """

    def __init__(self, directory: str | Path) -> None:
        self.directory = Path(directory)
        self._known_recalls: dict[Path, frozenset[str]] = {}

    def find(self, key: str) -> Record | None:
        """The record of a key, or None.

        Raises:
            UserError: when the store cannot be read, which says nothing about the label.
        """
        path = self._path("labels", key)
        try:
            data = path.read_bytes()
        except FileNotFoundError:
            return None
        except OSError as error:
            raise UserError(f"label store: {path} cannot be read ({error.strerror})") from error
        record, belongs = self._judged(data, key)
        if belongs == "damaged":
            say(f"{path}: damaged, put aside; its question is asked again")
        if belongs:
            self._put_aside(key, belongs)
        return record

    def add(self, key: str, record: Mapping[str, Any]) -> Record:
        """Add a record, and return the one that is in the store: an earlier one of the same key stays.

        Raises:
            UserError: when the store cannot be written.
        """
        path, text = self._path("labels", key), _sealed(key, record)
        for _ in range(2):  # the earlier one may turn out to be damaged, and makes room then
            try:
                path.parent.mkdir(parents=True, exist_ok=True)
                with whole_file(path, replace=False) as temporary:
                    temporary.write_text(text, encoding="utf-8")
            except FileExistsError:
                pass
            except OSError as error:
                raise self._not_written(error) from error
            found = self.find(key)
            if found is not None:
                return found
        return dict(record)  # recalled in this very moment: of use to who made it, and to nobody else

    def keys(self) -> list[str]:
        """The keys of all files of labels, in order; some may be damaged or recalled."""
        folders = sorted((self.directory / "labels").glob("[0-9a-f][0-9a-f]"))
        return [path.stem for folder in folders for path in sorted(folder.glob("[0-9a-f]*.json"))]

    def __iter__(self) -> Iterator[tuple[str, Record]]:
        """Every key with its record, in the order of the keys."""
        for key in self.keys():
            record = self.find(key)
            if record is not None:
                yield key, record

    def recall(self, name: str, keys: Sequence[str], why: Mapping[str, Any]) -> None:
        """Take labels out of use, for good: whoever needs them asks again.

        A recall that was killed on the way is completed by the same call.

        Args:
            name: identifier of this recall; it appears in the index of later releases.
            keys: the labels.
            why: what the recall's file says about it, such as reason, date and criteria.

        Raises:
            UserError: when there is another recall of that name, it is not allowed, or the store cannot be written.
        """
        if not re.fullmatch(r"[A-Za-z0-9][A-Za-z0-9._-]*", name):
            raise UserError(f"recall name '{name}': only letters, digits, dots, underscores and hyphens are allowed")
        path = self.directory / "recalls" / f"{name}.json"
        content = {**why, "keys": sorted(keys)}
        try:
            # a recall that is there keeps its file, date included: batches made since are newer
            if not path.exists():
                write_json(path, content, replace=False)
        except FileExistsError:
            pass
        except OSError as error:
            raise self._not_written(error) from error
        if read_json(path) != content:
            raise UserError(f"recall {name}: {path} is another recall; choose another name")
        for key in keys:
            self.find(key)

    def recalls(self) -> dict[str, dict[str, Any]]:
        """What is known of every recall by name: what `recall` was told, and its `keys`."""
        return {path.stem: read_json(path) for path in sorted(self._recalls(), key=lambda path: path.stem)}

    def recalled(self, key: str) -> str:
        """Names of the recalls of a label, separated by commas; '' when there was none."""
        return ", ".join(sorted(path.stem for path, keys in self._recalls().items() if key in keys))

    def recalls_of(self, batch: str | Path) -> list[Path]:
        """The files of the recalls that a file of labels depends on; none where that is not there yet.

        These are the recalls that took labels in it out of use, and those that it was made because of: its metadata
        lists their names under `recalls`. A batch that was made for the first time after a recall depends on none.
        """
        recalls = self._recalls()
        if not recalls:
            return []
        told, labels = _labels_in(Path(batch))
        return sorted(
            path
            for path, keys in recalls.items()
            if path.stem in told or any(key in keys and path.stem not in _names(since) for key, since in labels)
        )

    def tidy(self) -> int:
        """Remove the unfinished files of writers that were killed more than a day ago; returns how many."""
        now, removed = time.time(), 0
        for folder in ("labels", "recalls"):
            for path in (self.directory / folder).rglob(".*.json.*"):
                with contextlib.suppress(OSError):
                    if now - path.stat().st_mtime > ABANDONED_AFTER_S:
                        path.unlink()
                        removed += 1
        return removed

    def _judged(self, data: bytes, key: str) -> tuple[Record | None, str]:
        """The record in a label's file, or None and the folder where the file belongs."""
        record = _checked(data, key)
        if record is None:
            return None, "damaged"
        since = _names(record.get("record", {}).get("recall", ""))
        unknown = [path.stem for path, keys in self._recalls().items() if key in keys and path.stem not in since]
        return (None, f"recalled/{max(unknown)}") if unknown else (record, "")

    def _put_aside(self, key: str, belongs: str) -> None:
        """Move a label that must not be used, unless somebody else was quicker.

        Raises:
            UserError: when the store cannot be written.
        """
        path, target = self._path("labels", key), self._path(belongs, key)
        try:
            target.parent.mkdir(parents=True, exist_ok=True)
            path.replace(target)
            # what was moved may be a good label that was put there since this one was read
            if not self._judged(target.read_bytes(), key)[1]:
                publish(target, path)
                target.unlink(missing_ok=True)
        except (FileNotFoundError, FileExistsError):
            pass
        except OSError as error:
            raise self._not_written(error) from error

    def _recalls(self) -> dict[Path, frozenset[str]]:
        """Every recall's file with its keys; recalls are few and never change, so each is read once."""
        for path in (self.directory / "recalls").glob("*.json"):
            if path not in self._known_recalls:
                self._known_recalls[path] = frozenset(read_json(path)["keys"])
        return self._known_recalls

    def _path(self, kind: str, key: str) -> Path:
        return self.directory / kind / key[:2] / f"{key}.json"

    def _not_written(self, error: OSError) -> UserError:
        return UserError(f"label store {self.directory}: cannot be written ({error.strerror})")


def _names(recalls: str) -> set[str]:
    """The recalls that `LabelStore.recalled` names."""
    return set(recalls.split(", "))


def _labels_in(batch: Path) -> tuple[set[str], list[tuple[str, str]]]:
    """The recalls that a file of labels was made because of, and its keys, each with the recalls known to its label.

    Nothing else of the file is read: Snakemake asks this about every batch of a campaign.
    """
    try:
        with h5py.File(batch, "r") as file:
            keys = file["label_key"].asstr()[()].tolist()
            since = file["recall"].asstr()[()].tolist() if "recall" in file else [""] * len(keys)
            return set(json.loads(file.attrs["metadata"]).get("recalls", [])), list(zip(keys, since, strict=True))
    except (OSError, KeyError):
        return set(), []


def _line(value: object) -> str:
    """One line of JSON that is the same for the same content; a float keeps every bit."""
    return json.dumps(value, sort_keys=True, separators=(",", ":"), ensure_ascii=False)


def _sealed(key: str, record: Mapping[str, Any]) -> str:
    """The text of a label's file: head with the checksum of the record, and the record."""
    body = _line(record)
    return f"{_head(key, body.encode())}\n{body}\n"


def _head(key: str, body: bytes) -> str:
    """The first line of a label's file.

    A later version must make its checksum in another way: then a flipped bit in the version is told from it.
    """
    checksum = hashlib.sha256(body).hexdigest()
    return _line({"format": FORMAT, "format_version": FORMAT_VERSION, "key": key, "checksum": checksum})


def _checked(data: bytes, key: str) -> Record | None:
    """The record in a label's file, or None when that is not whole or another key's.

    Raises:
        UserError: when a later version of Saltern wrote it.
    """
    head, _, rest = data.partition(b"\n")
    body = rest.removesuffix(b"\n")
    if data == _head(key, body).encode() + b"\n" + body + b"\n":
        record: Record = json.loads(body)
        return record
    with contextlib.suppress(ValueError, KeyError, TypeError):
        about = json.loads(head)
        later = about["format"] == FORMAT and about["format_version"] > FORMAT_VERSION
        if later and about["checksum"] != hashlib.sha256(body).hexdigest():
            version = about["format_version"]
            raise UserError(f"label {key}: format version {version}, this Saltern reads up to {FORMAT_VERSION}")
    return None
