"""The ledger of a campaign in any state: of a release, or of label batches while they come in."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from saltern.errors import UserError
from saltern.fields import FIELDS
from saltern.frames import Frames
from saltern.store import LabelStore, Ledger, ledger_of, open_release, read_frames, read_metadata

if TYPE_CHECKING:
    import pandas as pd

COLUMNS = ("accepted", "reason", "method", "engine", "engine_version", "engine_build", "host", "scf_path", "recall",
           "cpu_seconds", "label_key")  # fmt: skip
"""What the ledger needs to know of a labelled frame besides its system."""

Identity = tuple[str, float, bytes]
"""Trajectory, time and coordinates of a frame, which tell it from every other one of its system."""


@dataclass(frozen=True)
class Books:
    """The ledger of one dataset, and what else there is to say about its labels."""

    name: str
    """Where it comes from: a release, or a level of a campaign."""
    ledger: Ledger
    recalled: Mapping[str, int]
    """Frames whose labels were recalled since they were made and are not made again yet, by recall."""
    stale: int
    """Frames in label batches that belong to none of today's candidates; they count nowhere."""


def books_of(results: Path, store: LabelStore) -> list[Books]:
    """The books of a dataset release, or of every level of a campaign.

    In a campaign that is under way, frames without a label are open, and a label that was recalled and not yet made
    again counts as open too. In a release it stays what it was when the release was made. Of a level that has a release
    but no labels, as where potentials are published, the books are those of the release.

    Args:
        results: directory of a release or of a campaign's results.
        store: its label store, for recalls; one that does not exist knows of none.

    Raises:
        UserError: when the directory is neither, or a file is not whole.
    """
    if (results / "manifest.json").exists():
        return [_of_release(results, store)]
    about = {path.stem: read_metadata(path).get("system", {}) for path in sorted((results / "systems").glob("*.h5"))}
    systems = {name: told.get("levels") for name, told in about.items() if told.get("role") != "simulate"}
    levels = sorted(path.parent for path in results.glob("*/candidates"))
    if not about:
        raise UserError(f"{results}: neither the results of a campaign nor a dataset release")
    if not levels:
        raise UserError(f"{results}: no candidate frames yet, so there is nothing to account for")
    return [
        _of_release(level / "dataset", store)
        if (level / "dataset").is_dir() and not (level / "labels").is_dir()
        else _of_level(level, [s for s, on in systems.items() if not on or level.name in on], store)
        for level in levels
    ]


def _of_release(directory: Path, store: LabelStore) -> Books:
    """The books of a release."""
    release = open_release(directory)
    requested = {system: entry["requested"] for system, entry in release.manifest["ledger"]["systems"].items()}
    index = release.index
    recalled = _recalled(index, store)
    return Books(str(directory), ledger_of(index, requested), _counted(recalled), 0)


def _of_level(directory: Path, systems: Sequence[str], store: LabelStore) -> Books:
    """The books of a level, from its candidates and its label batches."""
    import pandas as pd

    requested: dict[str, int | None] = {}
    found, stale = [], 0
    for system in systems:
        wanted, requested[system] = _asked(directory / "candidates" / f"{system}.h5")
        rows = _labelled(sorted((directory / "labels" / system).glob("*.h5")), system)
        valid = {identity: row for identity, row in rows.items() if wanted is None or identity in wanted}
        stale += len(rows) - len(valid)
        found += list(valid.values())
    index = pd.DataFrame(found, columns=["system", *COLUMNS])
    recalled = _recalled(index, store)
    kept = np.array([not name for name in recalled], dtype=bool)
    return Books(str(directory), ledger_of(index[kept], requested), _counted(recalled), stale)


def _asked(candidates: Path) -> tuple[set[Identity] | None, int | None]:
    """The frames to label, None where that is not known; and how many. A teacher that moves makes its frames itself."""
    if not candidates.exists():
        return None, None
    sample = read_metadata(candidates).get("sample", {}).get("sample", {})
    if sample.get("engine") == "packed":
        return None, sample["frames"]
    wanted = set(_identities(read_frames(candidates)))
    return wanted, len(wanted)


def _labelled(batches: Sequence[Path], system: str) -> dict[Identity, list[object]]:
    """One row for each frame in label batches; where batches overlap, as after a change of their size, the newest."""
    rows: dict[Identity, list[object]] = {}
    for frames in _oldest_first(batches):
        columns = [frames[n].tolist() if n in frames else [FIELDS[n].missing()] * len(frames) for n in COLUMNS]
        for identity, row in zip(_identities(frames), zip(*columns, strict=True), strict=True):
            rows[identity] = [system, *row]
    return rows


def _oldest_first(batches: Sequence[Path]) -> Iterator[Frames]:
    """The frames of each batch; one that a running campaign takes away meanwhile, to make it anew, is left out."""
    found = []
    for path in batches:
        with contextlib.suppress(FileNotFoundError):
            found.append((path.stat().st_mtime_ns, path))
    for _, path in sorted(found):
        try:
            yield read_frames(path)
        except UserError:
            if path.exists():
                raise


def _identities(frames: Frames) -> Iterator[Identity]:
    """What tells frames of one system apart."""
    for i in range(len(frames)):
        place = np.concatenate([frames.of(i, "positions"), frames.of(i, "cell")])
        yield str(frames["trajectory"][i]), float(frames["time"][i]), place.tobytes()


def _recalled(index: pd.DataFrame, store: LabelStore) -> list[str]:
    """For each frame the recall that took its label out of use after it was made, '' where none did."""
    recalls = {name: frozenset(about["keys"]) for name, about in store.recalls().items()}
    known = index["recall"] if "recall" in index else [""] * len(index)
    return [
        next((name for name, keys in recalls.items() if key in keys and name not in since.split(", ")), "")
        for key, since in zip(index["label_key"], known, strict=True)
    ]


def _counted(names: Sequence[str]) -> dict[str, int]:
    """How often each name occurs, empty ones aside."""
    return {name: names.count(name) for name in sorted(set(names)) if name}
