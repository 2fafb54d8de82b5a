"""A universal model's labels, from the command that goes on in its environment: physics, the method asked for, bits.

SALTERN_SEVENNET names the directory with the programs of that environment.
"""

import os
import subprocess
import sys
from pathlib import Path
from typing import get_args

import numpy as np
import pytest
from scipy.spatial.transform import Rotation

from saltern.config import LabelConfig, LabelSpec, SevennetTeacher, System
from saltern.frames import Frames
from saltern.store import read_frames, write_frames
from saltern.store.formats import IMPORTS, ImportOptions
from saltern.systems import compose

WATER = Path(__file__).parents[3] / "shared/data/water-pbe0ts"
METHODS = SevennetTeacher.model_fields["method"].annotation
PLACE = os.environ.get("SALTERN_SEVENNET", "/nowhere")
needs_sevennet = pytest.mark.skipif(
    not Path(PLACE, "python").exists(),
    reason="needs an environment with sevenn: make trainers, and its programs' directory in SALTERN_SEVENNET",
)
TURN = Rotation.from_euler("xyz", [0.3, -1.1, 2.0]).as_matrix()
STEP_A, STRAIN = 0.01, 0.01
"""Large enough for energies in single precision."""


def label(candidates: Frames, directory: Path, **teacher: object) -> subprocess.CompletedProcess[str]:
    """Label all candidates in `directory`; one thread, for the other tests' sake."""
    write_frames(directory / "candidates.h5", candidates, {"id": "box"})
    spec = LabelSpec(teacher=SevennetTeacher.model_validate({"device": "cpu", **teacher}), label=LabelConfig())
    files = [str(directory / "candidates.h5"), str(directory / "labels.h5")]
    options = [
        "--frames",
        f"0:{len(candidates)}",
        "--store",
        str(directory / "store"),
        "--spec",
        spec.model_dump_json(),
    ]
    command = [sys.executable, "-m", "saltern", "label", *files, *options]
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    return subprocess.run(command, env=environment, capture_output=True, text=True, check=False, timeout=600)


def labelled(candidates: Frames, directory: Path, **teacher: object) -> Frames:
    done = label(candidates, directory, **teacher)
    assert done.returncode == 0, done.stderr
    return read_frames(directory / "labels.h5")


def moved(frame: Frames, atom: int, axis: int, by: float) -> Frames:
    positions = frame["positions"].copy()
    positions[atom, axis] += by
    return frame.with_arrays(positions=positions)


def mapped(frame: Frames, matrix: np.ndarray) -> Frames:
    """The frame and its cell, turned or strained."""
    return frame.with_arrays(positions=frame["positions"] @ matrix.T, cell=frame["cell"] @ matrix.T)


@pytest.fixture(scope="module")
def brine() -> Frames:
    """A box of sodium chloride in water, atoms displaced."""
    box, _ = compose(System(salt="NaCl", molality=6.9, solvent_molecules=8, temperature=300.0), 0)
    shaken = box["positions"] + np.random.default_rng(0).normal(scale=0.05, size=box["positions"].shape)
    return box.with_arrays(positions=shaken, trajectory=np.array(["t0"]), time=np.array([0.0]))


@pytest.fixture(scope="module")
def answers(brine: Frames, tmp_path_factory: pytest.TempPathFactory) -> Frames:
    """Labels of the box (0); of it with an atom moved to and fro (1, 2), strained (3, 4), turned (5), unwrapped (6)."""
    sheared = np.zeros((3, 3))
    sheared[0, 0] = sheared[1, 2] = sheared[2, 1] = STRAIN
    away = brine["positions"].copy()
    away[3:6] += 2 * brine["cell"][0, 0] - brine["cell"][0, 2]
    variants = [
        brine,
        *(moved(brine, 4, 2, step) for step in (STEP_A, -STEP_A)),
        *(mapped(brine, np.eye(3) + sign * sheared) for sign in (1, -1)),
        mapped(brine, TURN),
        brine.with_arrays(positions=away),
    ]
    return labelled(Frames.concatenate(variants), tmp_path_factory.mktemp("sevennet"))


@needs_sevennet
def test_forces_and_stress_are_slopes_of_the_energy(brine: Frames, answers: Frames) -> None:
    energy, forces, stress = answers["energy"], answers["forces"], answers["stress"][0]
    slope = (energy[1] - energy[2]) / (2 * STEP_A)
    assert abs(slope) > 0.1, "else the sign would not be tested"
    assert forces[4, 2] == pytest.approx(-slope, abs=5e-3)
    volume = abs(np.linalg.det(brine["cell"][0]))
    by_strain = (energy[3] - energy[4]) / (2 * STRAIN) / volume
    assert abs(by_strain) > 1e-3, "else the sign would not be tested"
    assert stress[0, 0] + 2 * stress[1, 2] == pytest.approx(by_strain, abs=2e-4)


@needs_sevennet
def test_turned_and_unwrapped(brine: Frames, answers: Frames) -> None:
    atoms = len(brine["numbers"])
    forces = answers["forces"].reshape(-1, atoms, 3)
    assert answers["energy"][5:] == pytest.approx(answers["energy"][0], abs=1e-4)
    assert forces[5] == pytest.approx(forces[0] @ TURN.T, abs=1e-4)
    assert answers["stress"][5] == pytest.approx(TURN @ answers["stress"][0] @ TURN.T, abs=1e-5)
    assert forces[6] == pytest.approx(forces[0], abs=1e-4)


@needs_sevennet
def test_the_same_bits_and_key_alone_and_after_other_frames(brine: Frames, answers: Frames, tmp_path: Path) -> None:
    alone = labelled(mapped(brine, TURN), tmp_path, device="auto")
    after = answers.select([5])
    assert (alone["forces"] == after["forces"]).all()
    assert alone["energy"] == after["energy"]
    assert alone["label_key"] == after["label_key"], "where it was computed is no part of the question"
    assert (alone["engine"][0], alone["method"][0]) == ("sevennet", "SevenNet-MF-0-r2SCAN")
    assert alone["engine_version"][0] in alone["engine_build"][0]


@needs_sevennet
@pytest.mark.skipif(not WATER.exists(), reason="../shared/data/water-pbe0ts is not beside the checkout")
def test_water_of_r2scan_is_nearer_to_that_of_pbe0_than_that_of_pbe(tmp_path: Path) -> None:
    """Root mean squares of 127 and 323 meV/Å over four frames; the functional of a model that knows two is heard."""
    published = next(IMPORTS["deepmd"](WATER / "data_0", ImportOptions(system="water"))).select([0])
    water = published.with_arrays(charges=np.zeros(len(published["numbers"])))
    found = {method: labelled(water, tmp_path, method=method) for method in get_args(METHODS)}
    errors = {
        method: 1000 * np.sqrt(np.mean((own["forces"] - published["forces"]) ** 2)) for method, own in found.items()
    }
    assert 100 < errors["SevenNet-MF-0-r2SCAN"] < 160
    assert 280 < errors["SevenNet-0"] < 370


@needs_sevennet
def test_an_element_that_is_not_known_is_one_line(brine: Frames, tmp_path: Path) -> None:
    numbers = np.where(brine["numbers"] == 11, 87, brine["numbers"])
    done = label(brine.with_arrays(numbers=numbers), tmp_path)
    assert done.returncode == 2
    said = "teacher.method: SevenNet-MF-0-r2SCAN does not know Fr; allowed: another teacher"
    assert done.stderr.splitlines()[-1] == f"saltern: {said}"
    assert not (tmp_path / "labels.h5").exists()


def test_a_missing_package_is_named_in_one_line(brine: Frames, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("SALTERN_SEVENNET", raising=False)
    done = label(brine, tmp_path)
    assert done.returncode == 2
    assert done.stderr.startswith("saltern: teacher.engine: sevennet needs the package sevenn")
    assert done.stderr.count("\n") == 1
