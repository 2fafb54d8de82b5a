"""A part: what one system contributes to a release.

A directory with `shards/`, `quarantine/`, `index.parquet` and `part.json`: a release without its manifest. Whatever
makes a release (a campaign's labels, an import, a query, a merge) makes parts first.
"""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Any, Self

import numpy as np

from saltern.errors import UserError
from saltern.fields import FIELDS
from saltern.frames import Array, Frames
from saltern.store.files import read_json, write_json
from saltern.store.shard import frame_checksums, write_shard

if TYPE_CHECKING:
    import pandas as pd

SHARD_BYTES = 256 * 2**20
"""A shard ends with the frame that brings it to this size: small enough to hold in memory, large enough to be few."""

NOT_IN_SHARDS = ("cpu_seconds", "host", "date", "engine_build", "recall")
"""May differ between two runs that give the same labels, so these are kept in the index only."""

ACCEPTED, REFUSED = "shards", "quarantine"
INDEX, ABOUT = "index.parquet", "part.json"


@dataclass
class PartWriter:
    """Writes a part piece by piece; at the end of its `with` block the directory appears, whole.

    Args:
        directory: to make; one that is there gives way.
        system: identifier of the system.
        about: what is known of it, as `compose` tells: `system`, `molality` and more.
        requested: frames that were asked for, or None where nothing was.
        shard_bytes: size at which a shard ends.
    """

    directory: Path
    system: str
    about: Mapping[str, Any]
    requested: int | None = None
    shard_bytes: int = SHARD_BYTES
    _waiting: dict[str, list[Frames]] = field(default_factory=lambda: {ACCEPTED: [], REFUSED: []}, init=False)
    _written: dict[str, int] = field(default_factory=lambda: {ACCEPTED: 0, REFUSED: 0}, init=False)
    _rows: list[pd.DataFrame] = field(default_factory=list, init=False)

    def __enter__(self) -> Self:
        """Begin, beside the directory."""
        self.directory.parent.mkdir(parents=True, exist_ok=True)
        self._building = Path(tempfile.mkdtemp(dir=self.directory.parent, prefix=f".{self.directory.name}."))
        for kind in (ACCEPTED, REFUSED):
            (self._building / kind).mkdir()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Finish, or leave nothing behind where there was an error."""
        try:
            if error is None:
                self._finish()
        finally:
            shutil.rmtree(self._building, ignore_errors=True)

    def add(self, frames: Frames) -> None:
        """Add frames behind those that are there; those with `accepted` false go to the quarantine."""
        for kind, chosen in ((ACCEPTED, frames["accepted"]), (REFUSED, ~frames["accepted"])):
            if chosen.any():
                self._waiting[kind].append(frames if chosen.all() else frames.select(chosen))
                if sum(map(size_of, self._waiting[kind])) >= self.shard_bytes:
                    self._flush(kind)

    def _finish(self) -> None:
        """Write what is waiting, the index and the rest."""
        for kind in (ACCEPTED, REFUSED):
            if self._waiting[kind]:
                self._flush(kind)
        if not self._rows:
            raise UserError(f"{self.system}: there are no frames")
        joined(self._rows).to_parquet(self._building / INDEX, index=False)
        write_json(self._building / ABOUT, {"id": self.system, "system": dict(self.about), "requested": self.requested})
        self._building.chmod(0o755)
        if self.directory.exists():
            shutil.rmtree(self.directory)
        self._building.replace(self.directory)

    def _flush(self, kind: str) -> None:
        """Make shards of what is waiting, each of at most about `shard_bytes`."""
        frames = Frames.concatenate(self._waiting[kind])
        self._waiting[kind] = []
        ends = np.cumsum(frames.atom_counts) * (size_of(frames) / max(int(frames.offsets[-1]), 1))
        shard = (ends / self.shard_bytes).astype(int)
        for number in np.unique(shard):
            self._write(kind, frames.select(shard == number))

    def _write(self, kind: str, frames: Frames) -> None:
        """One shard and its rows of the index."""
        number, self._written[kind] = self._written[kind], self._written[kind] + 1
        name = f"{kind}/{self.system}{f'.{number:04d}' if number else ''}.h5"
        lasting = Frames(frames.offsets, {n: a for n, a in frames.arrays.items() if n not in NOT_IN_SHARDS})
        write_shard(self._building / name, lasting, {"id": self.system, "system": dict(self.about)})
        self._rows.append(_rows(frames, lasting, name, self.about))


def size_of(frames: Frames) -> int:
    """Bytes of the arrays of some frames."""
    return sum(array.nbytes for array in frames.arrays.values())


def joined(tables: list[pd.DataFrame]) -> pd.DataFrame:
    """Tables one below the other; what a table lacks gets its missing value."""
    import pandas as pd

    index = pd.concat(tables, ignore_index=True)
    for name in index.columns[index.isna().any()]:
        if name in FIELDS:
            index[name] = index[name].where(index[name].notna(), FIELDS[name].missing())
    return index


def _rows(frames: Frames, lasting: Frames, file: str, about: Mapping[str, Any]) -> pd.DataFrame:
    """One row a frame: where it is, what it is, what it cost."""
    import pandas as pd

    rows = pd.DataFrame({name: frames[name] for name in frames.arrays if _is_column(name)})
    rows.insert(0, "file", file)
    rows.insert(1, "row", np.arange(len(frames)))
    rows["salt"] = about["system"]["salt"] or ""
    rows["molality"] = float(about["molality"])
    rows["atoms"] = frames.atom_counts
    rows["max_force"] = largest_forces(frames)
    rows["checksum"] = list(frame_checksums(lasting))
    return rows


def _is_column(name: str) -> bool:
    """Whether a quantity is one value a frame, as the index wants it."""
    return FIELDS[name].per == "frame" and FIELDS[name].shape == ()


def largest_forces(frames: Frames) -> Array:
    """Largest force on any atom of each frame, (frame,), eV/Å; NaN where there are no forces."""
    if "forces" not in frames:
        return np.full(len(frames), np.nan)
    return np.maximum.reduceat(np.linalg.norm(frames["forces"], axis=1), frames.offsets[:-1])


@dataclass(frozen=True)
class Part:
    """A part on disk."""

    directory: Path
    system: str
    about: Mapping[str, Any]
    requested: int | None

    @property
    def index(self) -> pd.DataFrame:
        """One row a frame, quarantined ones included."""
        import pandas as pd

        return pd.read_parquet(self.directory / INDEX)

    def files(self) -> dict[str, Path]:
        """Its shards, accepted and quarantined, by their name in the release."""
        found = sorted(self.directory.glob("*/*.h5"))
        return {f"{path.parent.name}/{path.name}": path for path in found}


def open_part(directory: Path) -> Part:
    """Open a part.

    Raises:
        UserError: when the directory is not one.
    """
    about = read_json(directory / ABOUT)
    return Part(directory, about["id"], about["system"], about["requested"])
