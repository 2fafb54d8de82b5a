"""Dataset releases: immutable directories whose every byte is covered by a checksum."""

from __future__ import annotations

import json
import shutil
import tempfile
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from saltern.config import CollectConfig
from saltern.errors import UserError
from saltern.fields import FIELDS
from saltern.frames import Frames
from saltern.store.card import card, citation
from saltern.store.croissant import croissant
from saltern.store.duplicates import (
    Fingerprints,
    duplicate_report,
    fingerprints,
    nearest_pairs,
    refuse_near_duplicates,
)
from saltern.store.files import file_hash, text_hash, write_json
from saltern.store.ledger import Ledger, ledger_of
from saltern.store.manifest import read_manifest, write_manifest
from saltern.store.parallel import Workers
from saltern.store.part import ACCEPTED, INDEX, REFUSED, Part, joined, open_part
from saltern.store.reader import FrameReader, reader_of
from saltern.store.splits import SPLITS, split_index, split_record
from saltern.store.statistics import Statistics, statistics_of
from saltern.store.verify import complaints
from saltern.store.versions import History, link

if TYPE_CHECKING:
    import pandas as pd

EXAMINED = (
    "numbers",
    "positions",
    "cell",
    "label_key",
    "system",
    "trajectory",
    "time",
    "temperature",
    "energy",
    "forces",
)
"""What is read of every frame before a release is sealed."""


def write_release(
    parts: Sequence[Path],
    name: str,
    config: CollectConfig,
    directory: Path,
    recalls: Mapping[str, Mapping[str, Any]] | None = None,
    history: History | None = None,
    *,
    splits: Mapping[str, str] | None = None,
    origin: Mapping[str, Any] | None = None,
    workers: Workers | None = None,
) -> None:
    """Make a release of parts, as `collect_system` and `PartWriter` write them.

    Args:
        parts: one directory a system, in any order.
        name: name of the dataset.
        config: splits and licence.
        directory: the release; it appears only when it is whole.
        recalls: reason and date of recalls by name, as `LabelStore.recalls` gives them.
        history: earlier versions, to which this one is added.
        splits: the split of each label key, where it is not to be drawn.
        origin: what the release was made from, where that is no campaign.
        workers: who reads the shards; by default this process.

    Raises:
        UserError: when the directory is there already, or the ledger does not close.
    """
    refuse_existing(directory)
    opened = sorted((open_part(part) for part in parts), key=lambda part: part.system)
    directory.parent.mkdir(parents=True, exist_ok=True)
    building = Path(tempfile.mkdtemp(dir=directory.parent, prefix=f".{directory.name}."))
    try:
        _link_shards(building, opened)
        index = _joined_index(opened, config, splits)
        manifest = _manifest(opened, index, name, config, recalls or {}, history)
        if origin is not None:
            manifest |= {"origin": dict(origin), **({"splits": {"by": "origin"}} if splits is not None else {})}
        examined = _examined(building, index, config, manifest["systems"], workers or Workers(1))
        _fill(building, index, {**manifest, **examined})
        building.chmod(0o755)
        building.replace(directory)
    finally:
        shutil.rmtree(building, ignore_errors=True)
    if history is not None:
        history.add(directory)


def refuse_existing(directory: Path) -> None:
    """Keep a release from being written over.

    Raises:
        UserError: when the directory is there already.
    """
    if directory.exists():
        raise UserError(f"{directory}: a release is never changed; remove it or choose another name")


def _manifest(
    parts: Sequence[Part],
    index: pd.DataFrame,
    name: str,
    config: CollectConfig,
    recalls: Mapping[str, Mapping[str, Any]],
    history: History | None,
) -> dict[str, Any]:
    """What the manifest says, but for the files."""
    root_hash, ledger = _root_hash(parts, index), ledger_of(index, _requested(parts, index))
    return {
        "name": name,
        "licence": config.licence,
        "authors": list(config.authors),
        "date": str(index["date"].max()) if "date" in index else "",
        "root_hash": root_hash,
        "parent": history.parent_of(root_hash, index) if history else None,
        "splits": split_record(index, _test_systems(parts), config),
        "frames": {split: int((index["split"] == split).sum()) for split in SPLITS},
        "ledger": _closed(ledger),
        "recalls": _recalls(index, recalls) if "recall" in index else {},
        "systems": {part.system: part.about for part in parts},
        "methods": sorted(ledger.methods),
        "fields": {f.name: {"unit": f.unit, "per": f.per, "meaning": f.meaning} for f in FIELDS.values()},
    }


@dataclass(frozen=True)
class _Shard:
    """A shard of a release in the making, and the splits of its frames."""

    directory: Path
    rows: pd.DataFrame
    fingerprints: bool

    def examined(self) -> tuple[Statistics, list[Fingerprints]]:
        """Statistics and, where wanted, fingerprints of the frames; every frame is read once."""
        reader, splits = reader_of(self.directory, self.rows), self.rows["split"].to_numpy()
        statistics, prints, start = statistics_of([]), [], 0
        for frames in reader.batches(names=[*EXAMINED, *(["stress"] if reader.has("stress") else [])]):
            statistics.add(frames)
            if self.fingerprints:
                prints += fingerprints(frames, splits[start : start + len(frames)])
            start += len(frames)
        return statistics, prints


def _examined(
    building: Path, index: pd.DataFrame, config: CollectConfig, systems: Mapping[str, Any], workers: Workers
) -> dict[str, Any]:
    """What all frames have to be read for: near-duplicates across splits, and statistics.

    Raises:
        UserError: when frames of two splits are nearly the same.
    """
    rows = index.loc[index["accepted"], ["file", "row", "split"]]
    shards = [_Shard(building, share, config.near_duplicate_A > 0) for _, share in rows.groupby("file", sort=False)]
    found = workers.map(_Shard.examined, shards)
    statistics = statistics_of([])
    for share, _ in found:
        statistics.merge(share)
    pairs = nearest_pairs(part for _, prints in found for part in prints)
    refuse_near_duplicates(pairs, config.near_duplicate_A)
    molalities = {system: about["molality"] for system, about in systems.items()}
    return {
        "near_duplicates": duplicate_report(pairs, config.near_duplicate_A),
        "statistics": statistics.plain(molalities),
    }


def _requested(parts: Sequence[Part], index: pd.DataFrame) -> dict[str, int]:
    """Frames asked for in each system; where nothing was asked for, what is there."""
    there = index["system"].value_counts()
    return {p.system: int(there[p.system]) if p.requested is None else p.requested for p in parts}


def _fill(building: Path, index: pd.DataFrame, manifest: dict[str, Any]) -> None:
    """Write every file of a release, the manifest last."""
    index.to_parquet(building / INDEX, index=False)
    write_json(building / "near_duplicates.json", manifest["near_duplicates"])
    write_json(building / "statistics.json", manifest["statistics"])
    write_json(building / "croissant.json", croissant({**manifest, "files": _listed(building)}, index))
    (building / "README.md").write_text(card(manifest), encoding="utf-8")
    (building / "CITATION.cff").write_text(citation(manifest), encoding="utf-8")
    write_manifest(building, {**manifest, "files": _listed(building)})


def _listed(building: Path) -> dict[str, dict[str, Any]]:
    """The files that are there, with what the manifest says of them."""
    return {str(path.relative_to(building)): _sealed(path) for path in sorted(building.rglob("*")) if path.is_file()}


def _sealed(path: Path) -> dict[str, Any]:
    """What the manifest says of a file."""
    return {"sha256": file_hash(path), "bytes": path.stat().st_size}


def _link_shards(building: Path, parts: Sequence[Part]) -> None:
    """The shards of all parts.

    Raises:
        UserError: when two parts have a shard of the same name.
    """
    for folder in (ACCEPTED, REFUSED):
        (building / folder).mkdir()
    for part in parts:
        for name, path in part.files().items():
            if (building / name).exists():
                raise UserError(f"{part.directory}: a second part with the system {part.system}")
            link(path, building / name)


def _joined_index(parts: Sequence[Part], config: CollectConfig, splits: Mapping[str, str] | None) -> pd.DataFrame:
    """The index of all systems with every frame's split; quarantined frames have none."""
    index = joined([part.index for part in parts])
    if splits is not None:
        index["split"] = [splits[key] for key in index["label_key"]]
    else:
        index["split"] = split_index(index, _test_systems(parts), config)
    return index


def _test_systems(parts: Sequence[Part]) -> list[str]:
    """Systems of which nothing may be trained on."""
    return [part.system for part in parts if part.about["system"]["role"] == "test"]


def _root_hash(parts: Sequence[Part], index: pd.DataFrame) -> str:
    """One hash that names the content: what is known of the systems, and every frame with its place and split.

    How and by which library the shards are written is no part of it, nor are the index's costs: two runs that give the
    same labels make the same version.
    """
    systems = [json.dumps([part.system, part.about], sort_keys=True) for part in parts]
    return text_hash(*systems, json.dumps(index[["file", "row", "checksum", "split"]].to_numpy().tolist()))


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

    @cached_property
    def index(self) -> pd.DataFrame:
        """One row a frame, quarantined ones included.

        Raises:
            UserError: when it cannot be read.
        """
        return self._read_index()

    def _read_index(self, columns: list[str] | None = None) -> pd.DataFrame:
        import pandas as pd

        try:
            return pd.read_parquet(self.directory / INDEX, columns=columns)
        except (OSError, ValueError) as error:
            raise UserError(f"{self.directory / INDEX}: cannot be read ({str(error).splitlines()[0]})") from error

    def reader(self, split: str | None = None) -> FrameReader:
        """The accepted frames of a split, by default of all, in the order of the index.

        Raises:
            UserError: when there is no such split, or the index cannot be read.
        """
        if split is not None and split not in SPLITS:
            raise UserError(f"'{split}' is no split; allowed: {', '.join(SPLITS)}")
        column = "accepted" if split is None else "split"
        # of a large release the whole index would be the larger part of what a training holds in memory
        rows = self._read_index(["file", "row", column])
        return self.reader_of(rows[rows[column] == (split or True)])

    def reader_of(self, rows: pd.DataFrame) -> FrameReader:
        """The frames of some rows of the index, in their order."""
        return reader_of(self.directory, rows)

    def frames(self, split: str) -> Frames:
        """All accepted frames of 'train', 'validation' or 'test', in the order of the index, in memory."""
        reader = self.reader(split)
        return reader.frames(np.arange(len(reader)))

    def verify(self, workers: Workers | None = None) -> None:
        """Read every byte and compare it with its checksum.

        Raises:
            UserError: naming every file that is changed, missing or not of the release, and damaged frames.
        """
        wrong = complaints(self.directory, self.manifest, workers or Workers())
        if wrong:
            raise UserError(*wrong)


def open_release(directory: str | Path) -> Release:
    """Open a release.

    Raises:
        UserError: when the directory is not a release of this format, or its manifest is damaged.
    """
    return Release(Path(directory), read_manifest(Path(directory)))
