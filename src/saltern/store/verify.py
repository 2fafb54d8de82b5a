"""Is a release what it was when it was sealed? If not: which file, and which frames."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from saltern.errors import UserError
from saltern.fields import FIELDS
from saltern.store.files import file_hash
from saltern.store.hdf5 import DAMAGE
from saltern.store.manifest import NAME
from saltern.store.parallel import Workers
from saltern.store.part import INDEX
from saltern.store.shard import Shard, frame_checksums

if TYPE_CHECKING:
    import pandas as pd

UNLISTED = {NAME, ".snakemake_timestamp"}
"""What a release holds beside the files that its manifest lists; Snakemake marks directories that a rule made."""

NAMED = 5
"""Damaged frames of a shard that are named; of more the number is told."""


@dataclass(frozen=True)
class _Check:
    """One file, and what it should be."""

    path: Path
    sha256: str
    size: int

    def complaint(self) -> str | None:
        """What is wrong with it, if anything."""
        try:
            size = self.path.stat().st_size
            if size != self.size:
                return f"changed since it was released: it has {size} bytes instead of {self.size}"
            return None if file_hash(self.path) == self.sha256 else "changed since it was released"
        except FileNotFoundError:
            return "missing"
        except OSError as error:
            return f"cannot be read ({error.strerror})"


def complaints(directory: Path, manifest: dict[str, Any], workers: Workers) -> list[str]:
    """Read every byte of a release and compare it with its checksum.

    Returns:
        A line for every file that is changed, missing or not of the release; for a shard it names the frames that
        are not what they were.
    """
    listed = manifest["files"]
    checks = [_Check(directory / name, about["sha256"], about["bytes"]) for name, about in listed.items()]
    wrong = dict(zip(listed, workers.map(_Check.complaint, checks, threads=True), strict=True))
    found = {str(path.relative_to(directory)) for path in directory.rglob("*") if not path.is_dir()}
    lines = [f"{directory / name}: not in the manifest" for name in sorted(found - set(listed) - UNLISTED)]
    for name, complaint in wrong.items():
        if complaint is not None:
            changed = name.endswith(".h5") and complaint.startswith("changed")
            frames = _damage(directory, name, whole=wrong[INDEX] is None) if changed else ""
            lines.append(f"{directory / name}: {complaint}{frames}")
    return lines


def _index(path: Path) -> pd.DataFrame:
    import pandas as pd

    return pd.read_parquet(path, columns=["file", "row", "system", "trajectory", "time", "checksum"])


def _damage(directory: Path, name: str, *, whole: bool) -> str:
    """Which frames of a changed shard are not what they were, in words; `whole` says whether the index can tell."""
    if not whole:
        return f"; which frames cannot be told, for {INDEX} is damaged too"
    index = _index(directory / INDEX)
    rows = index[index["file"] == name].sort_values("row")
    try:
        changed = _changed(Shard(directory / name), rows["checksum"].tolist())
    except UserError as error:
        return f"; none of its {len(rows)} frames can be trusted: {error.lines[0].split(': ', 1)[-1]}"
    if not changed:
        return f"; its {len(rows)} frames are what they were, the damage is in what surrounds them"
    named = ", ".join(
        f"frame {row} ({what}; {rows['system'].iloc[row]} {rows['trajectory'].iloc[row]} {rows['time'].iloc[row]:g} fs)"
        for row, what in changed[:NAMED]
    )
    return f"; {len(changed)} of {len(rows)} frames: {named}{', ...' if len(changed) > NAMED else ''}"


def _changed(shard: Shard, checksums: Sequence[str]) -> list[tuple[int, str]]:
    """Rows of a shard whose content is not that of its checksum, and what is suspicious in them."""
    if len(shard) != len(checksums):
        raise UserError(f"{shard.path}: it holds {len(shard)} frames instead of {len(checksums)}")
    found = []
    for row, checksum in enumerate(checksums):
        try:
            whole = next(frame_checksums(shard.frames(row, row + 1))) == checksum
        except DAMAGE:
            found.append((row, "cannot be read"))
            continue
        if not whole:
            found.append((row, _unlikely(shard, row)))
    return found


def _unlikely(shard: Shard, row: int) -> str:
    """What of a damaged frame can be told to be impossible; which number changed is not known otherwise."""
    import numpy as np

    frame = shard.frames(row, row + 1)
    bad = [n for n in frame.arrays if not FIELDS[n].is_text and frame[n].dtype.kind == "f" and n != "stress"]
    bad = [name for name in bad if not np.isfinite(frame[name]).all() or np.abs(frame[name]).max(initial=0) > 1e12]
    return f"{', '.join(bad)} not finite" if bad else "changed"
