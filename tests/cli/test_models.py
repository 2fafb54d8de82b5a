"""What `saltern observe` reads."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from saltern.cli import main
from saltern.config import ObserveConfig, ObserveSpec
from saltern.frames import Frames
from saltern.observables import kinetic_temperature, measure
from saltern.store import write_frames

CONFIG = ObserveConfig()


def walk(name: str, seed: int) -> Frames:
    """Ten neutral atoms and an ion of either sign that walk at random."""
    steps = np.random.default_rng(seed).normal(scale=0.3, size=(120, 12, 3))
    return Frames.uniform(
        np.array([11, 17] + [18] * 10), 120, positions=np.cumsum(steps, axis=0), velocities=steps, cell=12 * np.eye(3),
        charges=np.array([1.0, -1.0] + [0.0] * 10), molecules=np.arange(12), trajectory=np.array([name]),
        system=np.array(["walk"]), temperature=300.0, time=np.arange(120) * 10.0,
        kinetic_energy=1.0 + steps[:, 0, 0], conserved_energy=1e-4 * steps[:, 0, 1],
    )  # fmt: skip


def test_observe_finds_every_trajectory_of_every_file(tmp_path: Path) -> None:
    """As if all were in memory, with everything in them."""
    replicas = [walk(f"r000{i}", i) for i in range(3)]
    write_frames(tmp_path / "r0000.h5", Frames.concatenate(replicas[:2]))
    write_frames(tmp_path / "r0001.h5", replicas[2], {"driver": 0})
    found, expected = observed(tmp_path), measure(replicas, CONFIG.properties, CONFIG.rdf_bin_A, CONFIG.blocks)
    assert found.pop("trajectories") == ["r0000.h5", "r0001.h5"], "what was read, from where the file is"
    assert found.pop("drivers") == dict.fromkeys(("r0000", "r0001", "r0002"), 0)
    assert found == json.loads(json.dumps(expected))
    assert expected["replicas"] == 3
    assert expected["drift"]["energy_drift"]["value"] is not None


def test_an_error_bar_contains_what_members_differ_in(tmp_path: Path) -> None:
    """A replica of each member is one sample, however often it was looked at."""
    replicas = [walk(f"r000{i}", i) for i in range(3)]
    hot = replicas[2].with_arrays(kinetic_energy=2 * replicas[2]["kinetic_energy"])
    write_frames(tmp_path / "r0000.h5", Frames.concatenate(replicas[:2]), {"driver": 0})
    write_frames(tmp_path / "r0001.h5", hot, {"driver": 1})
    found = observed(tmp_path)
    assert found["drivers"] == {"r0000": 0, "r0001": 0, "r0002": 1}
    assert found["blocks"] == 1
    kelvin = [kinetic_temperature(r["kinetic_energy"], 12).mean() for r in (*replicas[:2], hot)]
    expected = np.std(kelvin, ddof=1) / np.sqrt(3)
    assert found["drift"]["mean_temperature"]["error"] == pytest.approx(expected)


def observed(place: Path) -> dict[str, Any]:
    """What `observe` says of two files."""
    files = [str(place / f"r000{i}.h5") for i in range(2)]
    spec = ObserveSpec(observe=CONFIG)
    assert main(["observe", *files, str(place / "p.json"), "--spec", spec.model_dump_json()]) == 0
    found: dict[str, Any] = json.loads((place / "p.json").read_text())
    return found


def test_a_dataset_says_nothing_without_what_is_usual(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    asked = ["observe", "r0000.h5", str(tmp_path / "p.json"), "--dataset", "dataset"]
    assert main([*asked, "--spec", ObserveSpec(observe=ObserveConfig()).model_dump_json()]) == 2
    assert "--dataset: wants --errors too" in capsys.readouterr().err
