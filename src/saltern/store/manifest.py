"""The manifest of a release: what it holds, and the checksum of every file, its own included."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from saltern.errors import UserError
from saltern.store.files import whole_file

FORMAT = "saltern-release"
FORMAT_VERSION = 2
NAME = "manifest.json"

Manifest = dict[str, Any]


def write_manifest(directory: Path, manifest: Mapping[str, Any]) -> None:
    """Write the manifest of a release, the last of its files.

    Its last line is the SHA-256 of the rest, so that no bit of it can change unseen.
    """
    with whole_file(directory / NAME) as temporary:
        temporary.write_bytes(_sealed({"format": FORMAT, "format_version": FORMAT_VERSION, **manifest}))


def read_manifest(directory: Path) -> Manifest:
    """Read the manifest of a release.

    Raises:
        UserError: when there is none, it is changed, or of a version that this Saltern does not read.
    """
    path = directory / NAME
    try:
        data = path.read_bytes()
    except OSError as error:
        raise UserError(f"{directory}: not a dataset release ({NAME} cannot be read: {error.strerror})") from error
    try:
        content = json.loads(data)
        found = content.get("format"), content.get("format_version")
    except (ValueError, AttributeError) as error:
        raise UserError(f"{path}: changed since it was released ({error})") from error
    if found == (FORMAT, 1):
        raise UserError(f"{directory}: made by Saltern 0.1 (format version 1); make it again from the same labels")
    if content.pop("sha256", None) is None or _sealed(content) != data:
        raise UserError(f"{path}: changed since it was released")
    if found != (FORMAT, FORMAT_VERSION):
        raise UserError(f"{directory}: format is '{found[0]} {found[1]}', expected '{FORMAT} {FORMAT_VERSION}'")
    return dict(content)


def _sealed(content: Mapping[str, Any]) -> bytes:
    """The bytes of a manifest: indented JSON with sorted keys, and its own hash at the end."""
    text = json.dumps(content, indent=1, sort_keys=True, ensure_ascii=False, allow_nan=False)
    body = text.removesuffix("\n}").encode()
    return body + b',\n "sha256": "' + hashlib.sha256(body).hexdigest().encode() + b'"\n}\n'
