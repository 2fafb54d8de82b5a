"""The ledger of campaigns in every state, and what a recall selects."""

import json
import os
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from saltern.config import CollectConfig
from saltern.errors import UserError
from saltern.frames import Frames
from saltern.labelling.ledger import Books, books_of
from saltern.labelling.recall import Selection, days
from saltern.store import (
    LabelStore,
    Shard,
    collect_system,
    ledger_of,
    open_release,
    read_json,
    write_frames,
    write_json,
    write_release,
)

COUNT = 10


def candidates(system: str, count: int = COUNT, seed: int = 0) -> Frames:
    rng = np.random.default_rng([seed, *system.encode()])
    return Frames.uniform(
        np.array([8, 1, 1]), count,
        positions=rng.normal(size=(count, 3, 3)), cell=np.eye(3) * 10, system=system,
        trajectory=[f"t{i % 2}" for i in range(count)], time=np.arange(count) * 10.0, temperature=300.0,
    )  # fmt: skip


def labelled(frames: Frames, refused: dict[int, str] | None = None, **about: Any) -> Frames:
    """Candidates with made-up labels; `refused` gives the reasons of those that have none."""
    count, system = len(frames), frames["system"][0]
    reasons = [(refused or {}).get(i, "") for i in range(count)]
    kept = {
        "engine": "cp2k", "engine_version": "2023.1", "engine_build": "a build", "method": "r2scan",
        "accepted": [not reason for reason in reasons], "reason": reasons, "host": "a", "recall": "", "scf_path": "ot",
        "cpu_seconds": 36.0, "label_key": [f"{system}-{time:g}" for time in frames["time"]], "energy": 1.0,
        "forces": np.zeros((3 * count, 3)), **about,
    }  # fmt: skip
    return frames.with_arrays(**{k: np.broadcast_to(v, count) if np.ndim(v) == 0 else v for k, v in kept.items()})


def batch(results: Path, name: str, frames: Frames) -> Path:
    path = results / "atoms/labels" / frames["system"][0] / f"{name}.h5"
    write_frames(path, frames)
    return path


@pytest.fixture
def results(tmp_path: Path) -> Path:
    """A campaign of two systems that are sampled, and nothing labelled."""
    for system in ("a", "b"):
        about = {"id": system, "molality": 1.0, "system": {"salt": "NaCl", "role": "train", "temperature": 300.0}}
        write_frames(tmp_path / f"systems/{system}.h5", candidates(system, 1), about)
        write_frames(tmp_path / f"atoms/candidates/{system}.h5", candidates(system))
    return tmp_path


def books(results: Path) -> Books:
    [found] = books_of(results, LabelStore(results / "labels"))
    return found


def finish(results: Path) -> None:
    """Label all frames: two of ten of system a are refused, and some cost more than others."""
    a, b = candidates("a"), candidates("b")
    batch(results, "b0000", labelled(a.select(range(6)), {1: "scf-not-converged", 4: "engine-failed"}, host="c"))
    paths = ["ot", "ot", "ot > diagonalisation", "ot > diagonalisation > restart"]
    batch(results, "b0001", labelled(a.select(range(6, 10)), scf_path=paths, cpu_seconds=[36.0, 36.0, 72.0, 108.0]))
    batch(results, "b0000", labelled(b, method="pbe0"))


def test_a_finished_campaign_closes(results: Path) -> None:
    finish(results)
    ledger = books(results).ledger
    assert ledger.closes
    total = ledger.total
    assert (total.requested, total.accepted, total.refused, total.open) == (20, 18, 2, 0)
    assert total.quarantined == {"engine-failed": 1, "scf-not-converged": 1}
    a = ledger.systems["a"]
    assert (a.requested, a.accepted, a.failure_rate, a.retried) == (10, 8, 0.2, 2)
    assert a.cpu_seconds == 8 * 36 + 72 + 108
    assert a.hosts == {"c": 6, "a": 4}
    assert {m: (v.labelled, v.cpu_seconds_a_frame) for m, v in ledger.methods.items()} == {
        "pbe0 (cp2k 2023.1)": (10, 36.0),
        "r2scan (cp2k 2023.1)": (10, 46.8),
    }
    assert ledger.systems["b"].methods == {"pbe0 (cp2k 2023.1)": 10}
    assert list(ledger.hard) == ["a"]


def test_frames_that_are_not_labelled_yet_are_open(results: Path) -> None:
    assert books(results).ledger.total.open == 20
    batch(results, "b0000", labelled(candidates("a").select(range(4)), {0: "net-force"}))
    ledger = books(results).ledger
    assert not ledger.closes
    assert (ledger.systems["a"].open, ledger.systems["b"].open) == (6, 10)
    assert ledger.systems["a"].failure_rate == 0.25
    assert ledger.systems["b"].failure_rate is None
    (results / "atoms/candidates/b.h5").unlink()
    ledger = books(results).ledger
    assert ledger.systems["b"].open is None
    assert ledger.total.requested is None
    assert not ledger.closes
    json.dumps(ledger.plain(), allow_nan=False)


def test_labels_of_frames_that_are_no_candidates_any_more_do_not_count(results: Path) -> None:
    """After a change of the sampling: same names and times, other coordinates."""
    finish(results)
    write_frames(results / "atoms/candidates/b.h5", candidates("b", seed=1))
    found = books(results)
    assert (found.ledger.systems["b"].open, found.stale) == (10, 10)
    assert not found.ledger.closes


def test_of_two_labels_of_one_frame_the_newer_counts(results: Path) -> None:
    """After a change of the batch size, old batches lie beside new ones."""
    finish(results)
    newer = batch(results, "b0000", labelled(candidates("a"), {0: "net-force"}))
    older = results / "atoms/labels/a/b0001.h5"
    os.utime(older, ns=(0, newer.stat().st_mtime_ns - 10**9))
    ledger = books(results).ledger
    assert ledger.closes
    assert ledger.systems["a"].quarantined == {"net-force": 1}
    os.utime(older, ns=(0, newer.stat().st_mtime_ns + 10**9))
    assert books(results).ledger.systems["a"].retried == 2


def test_recalled_labels_are_open_until_they_are_made_again(results: Path) -> None:
    finish(results)
    LabelStore(results / "labels").recall("one", ["a-0", "a-10", "b-0"], {})
    found = books(results)
    assert found.recalled == {"one": 3}
    assert (found.ledger.systems["a"].open, found.ledger.total.open) == (2, 3)
    frames = candidates("a").select(range(6))
    batch(results, "b0000", labelled(frames, recall=["one", "one", "", "", "", ""]))
    found = books(results)
    assert found.recalled == {"one": 1}
    assert (found.ledger.systems["a"].relabelled, found.ledger.systems["a"].open) == (2, 0)


def released(results: Path, **options: Any) -> Path:
    finish(results)
    for system in ("a", "b"):
        batches = list((results / "atoms/labels" / system).glob("*.h5"))
        collect_system(results / f"systems/{system}.h5", batches, COUNT, results / "atoms/collected" / system)
    directory = results / "atoms" / options.pop("name", "dataset")
    parts = [results / "atoms/collected" / system for system in ("a", "b")]
    write_release(parts, "test", CollectConfig(near_duplicate_A=0), directory, **options)
    return directory


def test_a_teacher_that_moves_makes_its_frames_itself(results: Path) -> None:
    """The candidates are packed boxes, of which none is labelled; the campaign asked for frames."""
    level = results / "ions"
    sample = {"sample": {"sample": {"engine": "packed", "frames": 12}}}
    for system in ("a", "b"):
        write_frames(level / "candidates" / f"{system}.h5", candidates(system, 2), sample)
    frames = labelled(candidates("a", 8, seed=1), {0: "not-settled", 1: "not-settled", 5: "teacher-stopped"})
    write_frames(level / "labels/a/b0000.h5", frames)
    books = {entry.name: entry for entry in books_of(results, LabelStore(results / "none"))}[str(level)]
    account = books.ledger.systems["a"]
    assert (account.requested, account.accepted, account.open, books.stale) == (12, 5, 4, 0)
    assert account.quarantined == {"not-settled": 2, "teacher-stopped": 1}


def test_a_system_is_asked_for_on_its_own_levels_only(results: Path) -> None:
    about = {"id": "b", "molality": 1.0, "system": {"salt": "NaCl", "role": "train", "levels": ["ions"]}}
    write_frames(results / "systems/b.h5", candidates("b", 1), about)
    assert set(books(results).ledger.systems) == {"a"}


def test_a_release_and_its_campaign_have_the_same_ledger(results: Path) -> None:
    directory = released(results)
    assert books(directory).ledger.plain() == books(results).ledger.plain()


def test_card_and_manifest_name_the_hard_regions_with_numbers(results: Path) -> None:
    directory = released(results)
    assert open_release(directory).manifest["ledger"]["hard_regions"] == ["a"]
    card = (directory / "README.md").read_text()
    assert "- `a` (NaCl, 300 K): 2 of 10 frames, 20.0 %: 1 engine-failed, 1 scf-not-converged" in card
    assert "- `b`" not in card
    quarantined = Shard(directory / "quarantine/a.h5").frames(0, 2)
    assert quarantined["reason"].tolist() == ["engine-failed", "scf-not-converged"]
    a = candidates("a")
    np.testing.assert_array_equal(quarantined.of(1, "positions"), a.of(1, "positions"))


def test_a_hard_region_is_above_one_per_cent() -> None:
    frames = labelled(candidates("a", 200), {0: "net-force", 1: "net-force"})
    for count, hard in ((200, []), (199, ["a"])):
        index = {name: frames[name][:count] for name in frames.arrays if frames[name].shape == (200,)}
        import pandas as pd

        assert list(ledger_of(pd.DataFrame(index), {"a": count}).hard) == hard


def test_recalls_are_told_by_the_release_and_do_not_change_its_version(results: Path) -> None:
    plain = open_release(released(results, name="plain"))
    assert plain.manifest["recalls"] == {}
    assert "Recalls" not in (plain.directory / "README.md").read_text()
    finish(results)
    recalls = ["one, two", "one", *[""] * 8]
    again = labelled(candidates("b"), method="pbe0", recall=recalls, host="elsewhere", cpu_seconds=1.0)
    collect_system(results / "systems/b.h5", [batch(results, "b0000", again)], COUNT, results / "atoms/collected/b")
    known = {"one": {"reason": "a faulty node", "date": "2026-11-20", "keys": []}}
    parts = [results / "atoms/collected" / system for system in ("a", "b")]
    write_release(parts, "test", CollectConfig(near_duplicate_A=0), results / "told", known)
    told = open_release(results / "told")
    assert told.manifest["recalls"] == {
        "one": {"reason": "a faulty node", "date": "2026-11-20", "frames": 2},
        "two": {"reason": "", "date": "", "frames": 1},
    }
    card = (results / "told/README.md").read_text()
    assert "- `one`: 2 frames (2026-11-20: a faulty node)\n- `two`: 1 frames\n" in card
    assert told.manifest["root_hash"] == plain.manifest["root_hash"]


def test_a_release_that_does_not_close_is_refused(results: Path) -> None:
    finish(results)
    for system in ("a", "b"):
        batches = list((results / "atoms/labels" / system).glob("*.h5"))
        collect_system(results / f"systems/{system}.h5", batches, COUNT, results / "collected" / system)
    part = results / "collected/a/part.json"
    write_json(part, {**read_json(part), "requested": 11})
    with pytest.raises(UserError, match="a: the ledger does not close: 11 requested, 8 accepted, 2 quarantined"):
        write_release([results / "collected/a"], "test", CollectConfig(near_duplicate_A=0), results / "release")
    assert not (results / "release").exists()


def test_what_is_no_campaign_is_one_line(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="neither the results of a campaign nor a dataset release"):
        books_of(tmp_path, LabelStore(tmp_path / "labels"))
    write_frames(tmp_path / "systems/a.h5", candidates("a", 1))
    with pytest.raises(UserError, match="no candidate frames yet"):
        books_of(tmp_path, LabelStore(tmp_path / "labels"))


RECORD = {
    "question": {"engine": "cp2k", "version": "2023.1"},
    "record": {"method": "r2scan", "host": "node17", "date": "2026-11-22T23:59:59+00:00", "build": "gcc, libxc 5.2.3",
               "scf_path": "ot > diagonalisation"},
}  # fmt: skip


@pytest.mark.parametrize(
    ("criteria", "taken"),
    [
        ({}, True),
        ({"engine": "cp2k"}, True),
        ({"engine": "cp2"}, False),
        ({"engine_version": "2023.1"}, True),
        ({"engine_version": "2023"}, False),
        ({"engine_version": "2023.*"}, True),
        ({"method": "r2scan"}, True),
        ({"method": "scan"}, False),
        ({"host": "node1"}, False),
        ({"host": "node1[0-9]"}, True),
        ({"build": "libxc 5"}, True),
        ({"build": "libxc 6"}, False),
        ({"scf_path": "diagonal"}, True),
        ({"scf_path": "*diagonal"}, False),
        ({"scf_path": "* > *"}, True),
        ({"key": "ab"}, True),
        ({"key": "b"}, False),
        ({"first": "2026-11-22", "last": "2026-11-22"}, True),
        ({"first": "2026-11-23"}, False),
        ({"last": "2026-11-21"}, False),
        ({"engine": "cp2k", "host": "node17", "last": "2026-11-22"}, True),
        ({"engine": "cp2k", "host": "node18", "last": "2026-11-22"}, False),
    ],
)
def test_criteria_must_all_be_met(criteria: dict[str, str], taken: bool) -> None:
    assert Selection(**criteria).takes("abc", RECORD) is taken
    assert bool(Selection(**criteria)) is bool(criteria)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("2026-11-22", ("2026-11-22", "2026-11-22")),
        ("2026-11-22:", ("2026-11-22", "")),
        (":2026-11-22", ("", "2026-11-22")),
        ("2026-11-20:2026-11-22", ("2026-11-20", "2026-11-22")),
    ],
)
def test_days(text: str, expected: tuple[str, str]) -> None:
    assert days(text) == expected


@pytest.mark.parametrize("text", ["", ":", "yesterday", "2026-11-31", "2026-11-23:2026-11-22", "2026-11-22T10:00"])
def test_days_that_are_none(text: str) -> None:
    with pytest.raises(UserError, match=r"allowed: A:B, A:, :B or A"):
        days(text)
