"""saltern ledger and saltern recall, as a person meets them."""

import json
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from saltern.cli import main
from saltern.frames import Frames
from saltern.store import LabelStore, write_frames

KEYS = [f"{i:02x}" + "0" * 62 for i in range(6)]


@pytest.fixture
def store(tmp_path: Path) -> LabelStore:
    """Six labels: hosts a and b in turn, the last two by another version."""
    store = LabelStore(tmp_path / "labels")
    for i, key in enumerate(KEYS):
        store.add(key, record("ab"[i % 2], "2023.1" if i < 4 else "2024.1"))
    return store


def record(host: str, version: str, recall: str = "") -> dict[str, Any]:
    return {
        "question": {"engine": "cp2k", "version": version},
        "answer": {"energy": 1.0},
        "record": {"method": "r2scan", "build": "gcc", "host": host, "date": "2026-11-03T10:00:00+00:00",
                   "cpu_seconds": 1.0, "scf_path": "ot > diagonalisation", "recall": recall},
    }  # fmt: skip


def recall(store: LabelStore, *arguments: str) -> int:
    return main(["recall", str(store.directory), *arguments])


def left(store: LabelStore) -> list[str]:
    return [key for key, _ in LabelStore(store.directory)]


def titles(store: LabelStore) -> list[str]:
    """Names of the recalls without the day of each, which may change while a test runs."""
    return [name.removeprefix(about["date"]) for name, about in store.recalls().items()]


def test_a_dry_run_counts_and_recalls_nothing(store: LabelStore, capsys: pytest.CaptureFixture[str]) -> None:
    before = sorted(store.directory.rglob("*"))
    assert recall(store, "--dry-run", "--host", "a", "--engine-version", "2023.*") == 0
    said = capsys.readouterr().out
    assert said.startswith(f"2 of 6 labels in {store.directory} meet the criteria\n")
    assert "engine: cp2k 2023.1 (2)\n" in said
    assert sorted(store.directory.rglob("*")) == before


def test_where_nothing_meets_the_criteria_it_says_what_is_there(
    store: LabelStore, capsys: pytest.CaptureFixture[str]
) -> None:
    assert recall(store, "--host", "A", "--reason", "a typing error") == 0
    said = capsys.readouterr().out
    assert "host in the store: a (3), b (3)" in said
    assert left(store) == KEYS
    assert not (store.directory / "recalls").exists()


def test_a_recall_is_listed_and_the_store_knows_it(store: LabelStore, capsys: pytest.CaptureFixture[str]) -> None:
    reason = "Memory of node A\n was faulty!"
    assert recall(store, "--host", "a", "--date", "2026-11-03:", "--scf-path", "> diag", "--reason", reason) == 0
    (name,) = store.recalls()
    assert titles(store) == ["-memory-of-node-a-was-faulty"]
    assert f"recalled 3 labels: {name};" in capsys.readouterr().out
    assert left(store) == KEYS[1::2]
    store.add(KEYS[0], record("b", "2023.1", store.recalled(KEYS[0])))
    assert recall(store, "--list") == 0
    said = capsys.readouterr().out
    assert said == (
        f"{name}: Memory of node A was faulty!\n"
        "  3 labels, 1 of them made again; criteria: first 2026-11-03, host a, scf_path > diag\n"
    )


def test_the_same_recall_again_takes_what_was_made_wrongly_again(store: LabelStore) -> None:
    command = ["--host", "a", "--reason", "bad"]
    for number in range(3):
        assert recall(store, *command) == 0
        assert len(store.recalls()) == number + 1
        assert recall(store, *command) == 0
        assert len(store.recalls()) == number + 1, "nothing was left to recall"
        store.add(KEYS[0], record("a", "2023.1", store.recalled(KEYS[0])))
        assert left(store) == [KEYS[0], *KEYS[1::2]]
    assert titles(store) == ["-bad", "-bad-2", "-bad-3"]


@pytest.mark.parametrize("moved", [0, 1, 2])
def test_the_same_command_completes_a_killed_recall(store: LabelStore, moved: int) -> None:
    """Killed when its file was there and so many labels were moved."""
    script = (
        "import os, sys; from saltern.cli import main; from saltern.store import labels; moved = []; "
        "aside = labels.LabelStore._put_aside; "
        "kill = lambda *a: os.kill(os.getpid(), 9) if len(moved) == int(sys.argv[1]) else moved.append(aside(*a)); "
        "labels.LabelStore._put_aside = kill; main(sys.argv[2:])"
    )
    command = ["recall", str(store.directory), "--host", "a", "--reason", "bad"]
    killed = subprocess.run([sys.executable, "-c", script, str(moved), *command], check=False, capture_output=True)
    assert killed.returncode == -signal.SIGKILL
    assert left(store) == KEYS[1::2], "it counts as soon as its file is there"
    assert main(command) == 0
    assert titles(store) == ["-bad"]
    assert len(list((store.directory / "recalled" / next(iter(store.recalls()))).rglob("*.json"))) == 3
    assert len(list((store.directory / "labels").rglob("*.json"))) == 3


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        ([], "recall: no criterion"),
        (["--host", "a"], "recall: no reason"),
        (["--date", "3 November"], "--date 3 November: not allowed; allowed: A:B"),
        (["--host", "a", "--reason", "bad", "--name", "../x"], "only letters"),
    ],
)
def test_wrong_arguments_are_one_line(
    store: LabelStore, arguments: list[str], said: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert recall(store, *arguments) == 2
    lines = [line for line in capsys.readouterr().err.splitlines() if line.startswith("saltern")]
    assert len(lines) == 1
    assert said in lines[0]
    assert left(store) == KEYS


def test_a_store_that_is_not_there(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["recall", str(tmp_path / "nowhere"), "--list"]) == 2
    assert capsys.readouterr().err == f"saltern: {tmp_path / 'nowhere'}: no label store is there\n"
    assert not (tmp_path / "nowhere").exists()


@pytest.fixture
def results(tmp_path: Path) -> Path:
    """A campaign with one batch of two labelled, one frame of three refused."""
    frames = Frames.uniform(
        np.array([2]), 6, positions=np.arange(18.0).reshape(6, 1, 3), cell=np.eye(3), system="s", trajectory="t",
        time=np.arange(6.0),
    )  # fmt: skip
    write_frames(tmp_path / "results/systems/s.h5", frames.select([0]), {"id": "s"})
    write_frames(tmp_path / "results/atoms/candidates/s.h5", frames)
    some = frames.select(range(3)).with_arrays(
        accepted=[True, True, False], reason=["", "", "scf-not-converged"], engine=["cp2k"] * 3,
        engine_version=["2023.1"] * 3, engine_build=["gcc"] * 3, method=["r2scan"] * 3, host=["a"] * 3, recall=[""] * 3,
        scf_path=["ot", "ot > diagonalisation", "ot > diagonalisation"], cpu_seconds=[3600.0] * 3, label_key=KEYS[:3],
    )  # fmt: skip
    write_frames(tmp_path / "results/atoms/labels/s/b0000.h5", some)
    return tmp_path / "results"


def ledger(results: Path, *arguments: str) -> int:
    logs = ["--slurm-logs", str(results.parent / "slurm"), "--store", str(results.parent / "labels")]
    try:
        return main(["ledger", str(results), *logs, *arguments])
    except SystemExit as end:
        return int(str(end.code))


def test_an_open_ledger_is_told_in_words_and_by_the_exit_code(
    results: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert ledger(results) == 1
    lines = capsys.readouterr().out.splitlines()
    assert lines[2].split() == ["s", "6", "2", "1", "3", "33.3", "%", "3.000", "3600.0", "r2scan", "(cp2k", "2023.1)"]
    assert "  more than the first SCF attempt: 2 frames" in lines
    assert "  made on a (3)" in lines
    assert "quarantined: 1 scf-not-converged" in lines
    assert "  s: 1 of 3 frames, 33.3 %: 1 scf-not-converged" in lines
    assert lines[-1] == "the ledger is open: 6 requested, 2 accepted + 1 quarantined, 3 open"


def test_a_closed_ledger(results: Path, capsys: pytest.CaptureFixture[str]) -> None:
    candidates = results / "atoms/candidates/s.h5"
    from saltern.store import read_frames

    write_frames(candidates, read_frames(candidates).select(range(3)))
    assert ledger(results) == 0
    assert capsys.readouterr().out.endswith("the ledger closes: 3 requested = 2 accepted + 1 quarantined\n")
    LabelStore(results.parent / "labels").recall("one", [KEYS[0]], {})
    assert ledger(results) == 1
    said = capsys.readouterr().out
    assert "recalled and not made again yet: 1 frames (one)" in said
    assert said.endswith("the ledger is open: 3 requested, 1 accepted + 1 quarantined, 1 open\n")


def test_the_ledger_for_machines(results: Path, capsys: pytest.CaptureFixture[str]) -> None:
    log = results.parent / "slurm/rule_label/tiny_atoms_s_b0000/12.log"
    log.parent.mkdir(parents=True)
    log.write_text("slurmstepd: error: *** JOB 12 ON n1 CANCELLED AT 2026-11-22T20:00:00 DUE TO TIME LIMIT ***\n")
    assert ledger(results, "--json") == 1
    told = json.loads(capsys.readouterr().out)
    assert told["attempts"] == [{"wildcards": {}, "job": 12, "outcome": "time limit"}]
    [found] = told["ledgers"].values()
    assert found["systems"]["s"]["quarantined"] == {"scf-not-converged": 1}
    assert found["methods"]["r2scan (cp2k 2023.1)"]["cpu_seconds"] == 3 * 3600
    assert found["hard_regions"] == ["s"]
    assert ledger(results) == 1
    assert "attempts of SLURM jobs that did not succeed: 1 time limit\n" in capsys.readouterr().out


def test_what_has_no_ledger_is_one_line_and_exit_code_2(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["ledger", str(tmp_path)]) == 2
    assert capsys.readouterr().err.count("\n") == 1
