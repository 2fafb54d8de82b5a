"""Versions of a dataset: what changed from one release to the next."""

from __future__ import annotations

import os
import shutil
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from saltern.store.manifest import NAME, read_manifest
from saltern.store.part import INDEX

if TYPE_CHECKING:
    import pandas as pd

SHORT = 12
"""Digits of a root hash that name a version to people."""


@dataclass(frozen=True)
class Changes:
    """What became of the frames from one release to another; label keys, in the order of the index."""

    added: Sequence[str]
    removed: Sequence[str]
    relabelled: Sequence[str]
    """The same question, another answer."""
    recalled: Sequence[str]
    """Labelled again because of a recall that the older release did not know; the answer may be the same."""
    moved: Sequence[str]
    """In another split."""

    def counts(self) -> dict[str, int]:
        """How many frames changed in which way."""
        return {name: len(keys) for name, keys in vars(self).items()}


def changes(older: pd.DataFrame, newer: pd.DataFrame) -> Changes:
    """Compare two releases by their indices.

    Args:
        older: index of the one, with label_key, checksum, split and, where frames were recalled, recall.
        newer: index of the other.
    """
    before, after = (index.set_index("label_key") for index in (older, newer))
    both = after.index.intersection(before.index, sort=False)
    old, new = before.loc[both], after.loc[both]

    def differing(name: str) -> list[str]:
        if name not in new:
            return []
        was = old[name].to_numpy() if name in old else ""
        return list(both[new[name].to_numpy() != was])

    return Changes(
        added=after.index.difference(before.index, sort=False).tolist(),
        removed=before.index.difference(after.index, sort=False).tolist(),
        relabelled=differing("checksum"),
        recalled=differing("recall"),
        moved=differing("split"),
    )


@dataclass(frozen=True)
class History:
    """Manifest and index of every version that was made, in a directory: `0003-4f2a91c07b55/`."""

    directory: Path

    def versions(self) -> list[Path]:
        """The versions, the oldest first."""
        return sorted(self.directory.glob("[0-9]*-*"))

    def parent_of(self, root_hash: str, index: pd.DataFrame) -> dict[str, Any] | None:
        """The version before, and what changed since: for the manifest of the next release.

        Args:
            root_hash: of the release that is being made.
            index: its index.
        """
        earlier = self.versions()
        if not earlier:
            return None
        latest = read_manifest(earlier[-1])
        if latest["root_hash"] == root_hash:  # the same version once more
            parent: dict[str, Any] | None = latest["parent"]
            return parent
        import pandas as pd

        return {"root_hash": latest["root_hash"], **changes(pd.read_parquet(earlier[-1] / INDEX), index).counts()}

    def add(self, release: Path) -> None:
        """Keep manifest and index of a release, unless it is the latest version anyway."""
        root_hash = read_manifest(release)["root_hash"]
        earlier = self.versions()
        if earlier and read_manifest(earlier[-1])["root_hash"] == root_hash:
            return
        number = int(earlier[-1].name.split("-")[0]) + 1 if earlier else 1
        self.directory.mkdir(parents=True, exist_ok=True)
        building = Path(tempfile.mkdtemp(dir=self.directory, prefix="."))
        for name in (NAME, INDEX):
            link(release / name, building / name)
        building.chmod(0o755)
        building.replace(self.directory / f"{number:04d}-{root_hash[:SHORT]}")


def link(source: Path, target: Path) -> None:
    """The same file under another name where the file system can do that, a copy elsewhere."""
    try:
        os.link(source, target)
    except OSError:
        shutil.copyfile(source, target)
