"""What a release says of itself: card, citation, Croissant description."""

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pytest
import yaml

from saltern.config import CollectConfig
from saltern.fields import FIELDS
from saltern.frames import Frames
from saltern.store import collect_system, file_hash, open_release, write_frames, write_release
from saltern.store.card import card, citation
from saltern.store.croissant import croissant
from saltern.store.duplicates import duplicate_report, fingerprints, nearest_pairs
from saltern.store.splits import split_record
from saltern.store.statistics import statistics_of


def labels(system: str, count: int = 16, seed: int = 0) -> Frames:
    """Label batches of one water, a frame of which was refused."""
    rng = np.random.default_rng(seed)
    accepted = np.arange(count) != 3
    return Frames.uniform(
        np.array([8, 1, 1]), count,
        positions=rng.normal(size=(count, 3, 3)), forces=rng.normal(size=(count, 3, 3)), cell=np.eye(3) * 10,
        energy=rng.normal(size=count), stress=rng.normal(size=(count, 3, 3)), temperature=300.0,
        system=np.array([system]), trajectory=np.array([f"t{i % 4}" for i in range(count)]),
        time=np.arange(count) * 10.0, label_key=np.array([f"{system}-{i}" for i in range(count)]),
        engine=np.array(["tblite"]), engine_version=np.array(["0"]), method=np.array(["GFN1-xTB"]),
        accepted=accepted, reason=np.where(accepted, "", "net-force"), iterations=9, cpu_seconds=rng.random(count),
    )  # fmt: skip


@pytest.fixture(scope="module")
def release(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A release of two systems."""
    place = tmp_path_factory.mktemp("release")
    parts = []
    for seed, salt in enumerate(("NaCl", "LiCl")):
        about = {"id": salt, "molality": 2.3, "system": {"salt": salt, "role": "train", "temperature": 300.0}}
        write_frames(place / "system.h5", labels(salt).select([0]), about)
        write_frames(place / "labels.h5", labels(salt, seed=seed))
        collect_system(place / "system.h5", [place / "labels.h5"], 16, place / salt)
        parts.append(place / salt)
    write_release(parts, "brines", CollectConfig(), place / "r")
    return place / "r"


@pytest.fixture
def manifest(release: Path) -> dict[str, Any]:
    """Its manifest with everything that a card can tell."""
    opened = open_release(release)
    config = CollectConfig(split_by="salt", hold_out=[{"salt": "KBr", "temperature": 350.0}], seed=5)
    frames = opened.frames("train")
    pairs = nearest_pairs(fingerprints(labels("NaCl"), ["train", "test"] * 8))
    return {
        **opened.manifest,
        "splits": split_record(opened.index, ["extra"], config),
        "parent": {"root_hash": "ab" * 32, "added": 7, "removed": 0, "relabelled": 3, "recalled": 2, "moved": 0},
        "statistics": statistics_of([frames]).plain({"NaCl": 2.3}),
        "near_duplicates": duplicate_report(pairs, 0.05),
        "authors": ["Doe, Jane", "The Brine Team"],
        "date": "2026-11-28",
        "files": {
            path.relative_to(release).as_posix(): {"sha256": file_hash(path), "bytes": path.stat().st_size}
            for path in release.rglob("*")
            if path.is_file() and path.suffix in (".h5", ".parquet")
        },
    }


def test_card_tells_splits_changes_duplicates_and_statistics(manifest: dict[str, Any]) -> None:
    text = card(manifest)
    assert f"| parent version | `{'ab' * 32}` |" in text
    changed = "Frames that changed since version `abababababab`: "
    assert f"{changed}7 added, 3 labelled again with another result, 2 labelled again after a recall.\n" in text
    assert "Whole salts are in one split" in text
    assert "- train: LiCl, NaCl" in text
    assert "- held out for testing: salt KBr, temperature 350.0 K" in text
    assert "- test system: `extra`" in text
    near = manifest["near_duplicates"]
    assert f"least {near['percentiles_A']['p0']:.3f} Å" in text
    assert f"| O | {manifest['statistics']['elements']['O']['force_eV_A']['count']} |" in text
    assert "- `near_duplicates.json`: how near" in text


def test_card_of_mean_forces_speaks_of_no_energies_and_of_no_search_that_was_not_made(manifest: dict[str, Any]) -> None:
    assert "\nEnergies, forces and stresses of " in card(manifest)
    none = {"count": 0}
    for told in manifest["statistics"]["systems"].values():
        told |= {"energy_per_atom_eV": none, "stress_trace_eV_A3": none}
    manifest["near_duplicates"] = duplicate_report([], 0)
    text = card(manifest)
    assert "\nForces of " in text
    assert "Near-duplicates were not looked for." in text
    assert "can be near-duplicates" not in text


def test_card_of_an_older_release_says_what_it_can(manifest: dict[str, Any]) -> None:
    newer = ("splits", "parent", "statistics", "near_duplicates", "authors", "date", "files", "recalls")
    text = card({key: value for key, value in manifest.items() if key not in newer})
    assert "| parent version | none |" in text
    assert "Whole trajectories are in one split" in text
    assert "## Statistics" not in text
    assert "croissant.json" not in text
    assert "\n\n\n\n" not in text


def test_what_the_card_says_about_reading_works(release: Path, manifest: dict[str, Any]) -> None:
    """The snippet of the card itself, on a shard of the release."""
    snippet = card(manifest).split("```python\n")[1].split("```")[0]
    with h5py.File(release / "shards/NaCl.h5") as shard:
        assert shard["positions"].attrs["unit"] == "Å"
    ask = "\nprint(float(energy), cell[0, 0], positions.shape, forces.shape, numbers.tolist())"
    code = snippet.replace("NAME", "NaCl") + ask
    done = subprocess.run([sys.executable, "-c", code], cwd=release, capture_output=True, text=True, check=True)
    index = open_release(release).index
    energy = index[(index["file"] == "shards/NaCl.h5") & (index["row"] == 0)]["energy"].item()
    assert done.stdout.split("\n")[0] == f"{energy} 10.0 (3, 3) (3, 3) [8, 1, 1]"


def test_citation_is_a_whole_citation_file(manifest: dict[str, Any]) -> None:
    """Required keys and types of https://github.com/citation-file-format, schema 1.2.0."""
    content = yaml.safe_load(citation({**manifest, "root_hash": "12e456789012" + "0" * 52}))
    assert {"cff-version", "message", "title", "authors"} <= set(content)
    assert content["version"] == "12e456789012"  # text, which bare would be a number
    assert (content["cff-version"], content["type"], content["license"]) == ("1.2.0", "dataset", "CC-BY-4.0")
    assert content["authors"] == [{"family-names": "Doe", "given-names": "Jane"}, {"name": "The Brine Team"}]
    assert yaml.safe_load(citation({**manifest, "authors": []}))["authors"] == [{"name": "brines"}]


def test_croissant_is_valid_and_its_records_are_those_of_the_index(
    release: Path, manifest: dict[str, Any], tmp_path: Path
) -> None:
    """Held against mlcroissant, in a process of its own: it prints what it finds wrong with warnings as with errors."""
    pytest.importorskip("mlcroissant")
    index = open_release(release).index
    description = croissant(manifest, index)
    for name in manifest["files"]:
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).symlink_to(release / name)
    (tmp_path / "croissant.json").write_text(json.dumps(description))
    code = (
        "import json, mlcroissant as mlc; d = mlc.Dataset(jsonld='croissant.json'); "
        "told = sorted(d.metadata.issues.errors) + sorted(d.metadata.issues.warnings); "
        "plain = lambda v: v.decode() if isinstance(v, bytes) else v.item() if hasattr(v, 'item') else v; "
        "rows = [{k: plain(v) for k, v in r.items()} for r in d.records('frames')]; "
        "print(json.dumps([list(map(str, told)), rows]))"
    )
    done = subprocess.run([sys.executable, "-c", code], cwd=tmp_path, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert "warning" not in done.stderr.lower()
    told, rows = json.loads(done.stdout.splitlines()[-1])
    assert told == []
    assert len(rows) == len(index) == 32
    for column in ("label_key", "energy", "accepted", "row", "split", "molality"):
        assert [row[f"frames/{column}"] for row in rows] == index[column].tolist()


def test_croissant_names_every_shard_with_hash_and_size(release: Path, manifest: dict[str, Any]) -> None:
    content = croissant(manifest, open_release(release).index)
    files = {entry["@id"]: entry for entry in content["distribution"]}
    assert set(files) == {"index.parquet", *(f"{d}/{s}.h5" for d in ("shards", "quarantine") for s in ("NaCl", "LiCl"))}
    shard = release / "shards/NaCl.h5"
    assert files["shards/NaCl.h5"]["sha256"] == file_hash(shard)
    assert files["shards/NaCl.h5"]["contentSize"] == f"{shard.stat().st_size} B"
    energy = next(field for field in content["recordSet"][0]["field"] if field["name"] == "energy")
    assert energy["description"] == f"{FIELDS['energy'].meaning} (eV)"
    older = croissant({**manifest, "files": {"shards/a.h5": "00" * 32}}, open_release(release).index)
    assert older["distribution"][0]["sha256"] == "00" * 32
    assert "contentSize" not in older["distribution"][0]
