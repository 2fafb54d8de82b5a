"""Dataset releases: immutable directories whose every byte is covered by a checksum."""

from __future__ import annotations

import json
import os
import shutil
import tempfile
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from saltern.config import CollectConfig
from saltern.errors import UserError
from saltern.fields import FIELDS
from saltern.frames import Frames
from saltern.store.card import card
from saltern.store.files import file_hash, read_json, text_hash, write_json
from saltern.store.hdf5 import read_frames, read_metadata
from saltern.store.ledger import Ledger, ledger_of
from saltern.store.splits import assign_splits

if TYPE_CHECKING:
    import pandas as pd

FORMAT = "saltern-release"
FORMAT_VERSION = 1
UNLISTED = {"manifest.json", ".snakemake_timestamp"}
"""What a release holds beside the files that its manifest lists; Snakemake marks directories that a rule made."""
FOLDERS = {"shard": "shards", "quarantine": "quarantine"}


def write_release(
    parts: Sequence[Path],
    name: str,
    config: CollectConfig,
    directory: Path,
    recalls: Mapping[str, Mapping[str, Any]] | None = None,
) -> None:
    """Make a release from what `collect_system` wrote for each system.

    Args:
        parts: one directory a system, in any order.
        name: name of the dataset.
        config: splits and licence.
        directory: the release; it appears only when it is whole.
        recalls: reason and date of recalls by name, as `LabelStore.recalls` gives them.

    Raises:
        UserError: when the directory is there already, or the ledger does not close.
    """
    if directory.exists():
        raise UserError(f"{directory}: a release is never changed; remove it or choose another name")
    directory.parent.mkdir(parents=True, exist_ok=True)
    building = Path(tempfile.mkdtemp(dir=directory.parent, prefix=f".{directory.name}."))
    try:
        _fill(building, sorted(parts, key=lambda part: part.name), name, config, recalls or {})
        building.chmod(0o755)
        building.replace(directory)
    finally:
        shutil.rmtree(building, ignore_errors=True)


def _fill(
    building: Path,
    parts: Sequence[Path],
    name: str,
    config: CollectConfig,
    recalls: Mapping[str, Mapping[str, Any]],
) -> None:
    """Write every file of a release, the manifest last."""
    about = {part.name: read_metadata(part / "shard.h5") for part in parts}
    for kind, folder_name in FOLDERS.items():
        folder = building / folder_name
        folder.mkdir()
        for part in parts:
            _link(part / f"{kind}.h5", folder / f"{part.name}.h5")
    index = _joined_index(parts, about, config)
    index.to_parquet(building / "index.parquet", index=False)
    manifest = {
        "format": FORMAT,
        "format_version": FORMAT_VERSION,
        "name": name,
        "licence": config.licence,
        "root_hash": _root_hash(building, index),
        "frames": {split: int((index["split"] == split).sum()) for split in ("train", "validation", "test")},
        "ledger": _closed(ledger_of(index, {system: entry["requested"] for system, entry in about.items()})),
        "recalls": _recalls(index, recalls) if "recall" in index else {},
        "systems": {system: entry["system"] for system, entry in about.items()},
        "methods": sorted({f"{m} ({e} {v})" for m, e, v in index[["method", "engine", "engine_version"]].to_numpy()}),
        "fields": {f.name: {"unit": f.unit, "per": f.per, "meaning": f.meaning} for f in FIELDS.values()},
    }
    (building / "README.md").write_text(card(manifest), encoding="utf-8")
    manifest["files"] = {
        str(path.relative_to(building)): file_hash(path) for path in sorted(building.rglob("*")) if path.is_file()
    }
    write_json(building / "manifest.json", manifest)


def _link(source: Path, target: Path) -> None:
    """The same file under another name where the file system can do that, a copy elsewhere."""
    try:
        os.link(source, target)
    except OSError:
        shutil.copyfile(source, target)


def _joined_index(parts: Sequence[Path], about: dict[str, Any], config: CollectConfig) -> pd.DataFrame:
    """The index of all systems with every frame's split; quarantined frames have none."""
    import pandas as pd

    index = pd.concat([pd.read_parquet(part / "index.parquet") for part in parts], ignore_index=True)
    test_systems = [system for system, entry in about.items() if entry["system"]["system"]["role"] == "test"]
    pairs = list(zip(index["system"], index["trajectory"], strict=True))
    splits = assign_splits(pairs, test_systems, config.validation_fraction, config.test_fraction, config.seed)
    index["split"] = [splits[pair] for pair in pairs]
    index.loc[~index["accepted"], "split"] = ""
    return index


def _root_hash(building: Path, index: pd.DataFrame) -> str:
    """One hash that names the content: the bytes of every shard, and which frame is in which split.

    The index's costs are left out: two runs that give the same labels make the same version.
    """
    files = [f"{path.parent.name}/{path.name}:{file_hash(path)}" for path in sorted(building.rglob("*.h5"))]
    splits = index[["label_key", "split"]].to_numpy().tolist()
    return text_hash(*files, json.dumps(splits))


def _closed(ledger: Ledger) -> dict[str, Any]:
    """What the manifest says of a ledger: requested = accepted + quarantined, by system. Costs are in the index.

    Raises:
        UserError: when it does not close.
    """
    if not ledger.closes:
        wrong = [(s, account) for s, account in ledger.systems.items() if account.open != 0]
        raise UserError(
            *(
                f"{system}: the ledger does not close: {account.requested} requested, {account.accepted} accepted, "
                f"{account.refused} quarantined"
                for system, account in wrong
            )
        )
    return {
        "requested": ledger.total.requested,
        "accepted": ledger.total.accepted,
        "quarantined": ledger.total.refused,
        "systems": {
            system: {
                "requested": account.requested,
                "accepted": account.accepted,
                "quarantined": dict(account.quarantined),
            }
            for system, account in ledger.systems.items()
        },
        "hard_regions": list(ledger.hard),
    }


def _recalls(index: pd.DataFrame, known: Mapping[str, Mapping[str, Any]]) -> dict[str, Any]:
    """Every recall after which frames were labelled again: why, and how many."""
    frames = Counter(name for names in index["recall"] for name in names.split(", ") if name)
    told = {name: {key: known.get(name, {}).get(key, "") for key in ("reason", "date")} for name in frames}
    return {name: {**told[name], "frames": frames[name]} for name in sorted(frames)}


@dataclass(frozen=True)
class Release:
    """A release on disk."""

    directory: Path
    manifest: dict[str, Any]

    @property
    def index(self) -> pd.DataFrame:
        """One row a frame, quarantined ones included."""
        import pandas as pd

        return pd.read_parquet(self.directory / "index.parquet")

    def frames(self, split: str) -> Frames:
        """All accepted frames of 'train', 'validation' or 'test', in the order of the index."""
        index = self.index
        chosen = index[index["split"] == split]
        parts = [
            read_frames(self.directory / str(file)).select(rows["row"].to_numpy())
            for file, rows in chosen.groupby("file", sort=False)
        ]
        return Frames.concatenate(parts) if parts else Frames(np.zeros(1), {})

    def verify(self) -> None:
        """Read every byte and compare it with its checksum.

        Raises:
            UserError: naming every file that is changed, missing or not of the release.
        """
        listed = self.manifest["files"]
        found = {str(p.relative_to(self.directory)) for p in self.directory.rglob("*") if p.is_file()}
        wrong = [f"{self.directory / name}: missing" for name in sorted(set(listed) - found)]
        wrong += [f"{self.directory / n}: not in the manifest" for n in sorted(found - set(listed) - UNLISTED)]
        wrong += [
            f"{self.directory / name}: changed since it was released"
            for name in sorted(found & set(listed))
            if file_hash(self.directory / name) != listed[name]
        ]
        if wrong:
            raise UserError(*wrong)


def open_release(directory: str | Path) -> Release:
    """Open a release.

    Raises:
        UserError: when the directory is not a release of this format.
    """
    directory = Path(directory)
    manifest = read_json(directory / "manifest.json")
    if not isinstance(manifest, dict) or manifest.get("format") != FORMAT:
        raise UserError(f"{directory}: not a dataset release")
    if manifest.get("format_version") != FORMAT_VERSION:
        raise UserError(f"{directory}: format version {manifest.get('format_version')}, expected {FORMAT_VERSION}")
    return Release(directory, manifest)
