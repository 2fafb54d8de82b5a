"""`saltern audit`: no crystal in a dataset of solutions, and one in a trajectory is told as new."""

from pathlib import Path

import numpy as np
import pytest

from saltern.cli import main
from saltern.config import CollectConfig
from saltern.frames import Frames
from saltern.observables import planted
from saltern.store import PartWriter, write_frames, write_release

EDGE, PAIRS = 26.0, 40
ABOUT = {"molality": 4.0, "system": {"salt": "NaCl", "role": "train", "temperature": 300.0}}


def solution(count: int, seed: int) -> Frames:
    """Frames of 40 pairs of ions at random, some pairs in contact and some with solvent between them."""
    rng = np.random.default_rng(seed)
    cations = rng.random((count, PAIRS, 3)) * EDGE
    towards = rng.normal(size=cations.shape)
    towards /= np.linalg.norm(towards, axis=-1, keepdims=True)
    anions = cations + towards * rng.choice([2.8, 4.9], (count, PAIRS, 1)) + rng.normal(scale=0.1, size=cations.shape)
    return Frames.uniform(
        np.array([11] * PAIRS + [17] * PAIRS), count,
        positions=np.concatenate([cations, anions], axis=1), forces=np.zeros(3), cell=EDGE * np.eye(3),
        charges=np.array([1.0] * PAIRS + [-1.0] * PAIRS), molecules=np.arange(2 * PAIRS), permittivity=72.0,
        system=np.array(["NaCl-4m"]), temperature=300.0, energy=np.nan,
        trajectory=np.array([f"t{i % 4}" for i in range(count)]), time=np.arange(count) * 1000.0,
        label_key=np.array([f"{seed}-{i:06d}" for i in range(count)]), engine=np.array(["openmm"]),
        engine_version=np.array(["8"]), method=np.array(["spce"]), accepted=True, reason=np.array([""]),
        cpu_seconds=0.1, recall=np.array([""]),
    )  # fmt: skip


def released(place: Path, frames: Frames, seeded: Frames | None = None) -> Path:
    """A release of frames of one system, and of another one that was given a crystal to start with."""
    with PartWriter(place / "NaCl-4m", "NaCl-4m", ABOUT, len(frames)) as part:
        part.add(frames)
    parts = [place / "NaCl-4m"]
    if seeded is not None:
        about = {**ABOUT, "system": {**ABOUT["system"], "role": "test", "seed_crystal": {"ions": 64}}}
        parts.append(place / "NaCl-seed")
        with PartWriter(parts[1], "NaCl-seed", about, len(seeded)) as part:
            part.add(seeded)
    config = CollectConfig(near_duplicate_A=0, validation_fraction=0.25, test_fraction=0.25)
    write_release(parts, "ions", config, place / "dataset")
    return place / "dataset"


def audit(*arguments: object) -> int:
    with pytest.raises(SystemExit) as ended:
        main(["audit", *map(str, arguments), "--workers", "1"])
    return int(ended.value.code or 0)


def rows(text: str) -> dict[str, list[str]]:
    return {line[:42].strip(): line[42:].split() for line in text.splitlines() if line.strip()}


def test_solutions_hold_no_crystal_and_the_control_does(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert audit(released(tmp_path, solution(120, 0))) == 0
    lines = capsys.readouterr().out.splitlines()
    assert lines[-1].startswith("no crystal in any of 120 frames: the largest solid-like cluster has 0 cations")
    by_split = {line.split()[1]: line.split() for line in lines[1:] if line.startswith("NaCl-4m")}
    assert sum(int(by_split[split][2]) for split in ("train", "validation", "test")) == 120
    assert [by_split["train"][column] for column in (3, 4, 5)] == ["80", "0", "0"]
    assert int(by_split["planted"][4]) >= 10
    assert int(by_split["planted"][5]) >= 28
    assert float(by_split["planted"][7]) > float(by_split["train"][7])


def test_one_crystal_among_many_frames_is_found(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    frames = solution(60, 1)
    with_one = Frames.concatenate([frames.select(range(59)), planted(frames.select([59]), 3.8)])
    assert audit(released(tmp_path, with_one), "--contact", 3.8) == 1
    assert "1 of 60 frames hold a crystal" in capsys.readouterr().out


def test_a_system_that_starts_with_a_crystal_is_shown_and_not_counted(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    crystal = planted(solution(4, 9), 3.8).with_arrays(system=np.full(4, "NaCl-seed"))
    assert audit(released(tmp_path, solution(40, 8), crystal), "--contact", 3.8) == 0
    lines = capsys.readouterr().out.splitlines()
    assert any(line.startswith("NaCl-seed  test ") for line in lines)
    assert lines[-2].startswith("no crystal in any of 40 frames")
    assert lines[-1].endswith("test only: NaCl-seed")


def test_a_crystal_in_a_trajectory_is_far_from_what_was_trained_on(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """And a solution is as far as the frames held out."""
    frames = solution(40, 2)
    frozen = Frames.concatenate([frames.select(range(20)), planted(frames.select(range(20, 40)), 3.8)])
    moved = {"time": np.arange(40) * 500.0, "trajectory": np.full(40, "r0000")}
    write_frames(tmp_path / "r0000.h5", frozen.with_arrays(**moved))
    dataset = released(tmp_path, solution(200, 3))
    assert audit(dataset, "--contact", 3.8, "--trajectory", tmp_path / "r0000.h5", "--samples", 20) == 0
    told = rows(capsys.readouterr().out)
    crystal = told["r0000 r0000, octahedral from 10.5 ps"]
    liquid, held = told["r0000 r0000, no crystal"], told["test frames"]
    assert float(liquid[1]) == pytest.approx(float(held[1]), rel=0.1)
    assert float(liquid[4]) < 1
    assert float(crystal[1]) > 2 * float(held[1])
    assert float(crystal[4]) > 90


@pytest.mark.parametrize("option", [("--contact", "-1"), ("--samples", "0")])
def test_nonsense_is_refused_in_a_line(
    tmp_path: Path, option: tuple[str, str], capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["audit", str(tmp_path), *option]) == 2
    assert capsys.readouterr().err.count("\n") == 1
