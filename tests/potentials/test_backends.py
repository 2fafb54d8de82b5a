"""Networks of other packages hold to what ours hold to: the same tests, run in their environments.

SALTERN_NEQUIP, SALTERN_MACE and SALTERN_SEVENNET name the directories with the programs of those environments.
"""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from saltern.cli import main
from saltern.config import StudentConfig, TrainConfig, TrainSpec
from saltern.config.stages import BaselineConfig

ROOT = Path(__file__).parents[2]
NETWORKS = ("nequip", "mace", "sevennet")
TRAINING = (
    "test_no_mean_error_of_the_energy_is_left",
    "test_a_kill_changes_nothing[second half]",
    "test_members_differ",
    "test_training_starts_from_what_another_potential_has_learned[none]",
)


def python_of(network: str) -> str:
    """The interpreter of its environment, or the test is skipped with what is missing."""
    variable = f"SALTERN_{network.upper()}"
    place = Path(os.environ.get(variable, "/nowhere"))
    if not (place / "python").exists():
        pytest.skip(f"needs an environment with {network}: make trainers, and its programs' directory in {variable}")
    return str(place / "python")


def run(*command: str, **environment: str) -> str:
    """What a program says; one thread, for the other tests' sake."""
    told = {**os.environ, "OMP_NUM_THREADS": "1", "PYTHONWARNINGS": "ignore", **environment}
    done = subprocess.run(command, cwd=ROOT, env=told, capture_output=True, text=True, check=False, timeout=1500)
    assert done.returncode == 0, (done.stdout + done.stderr)[-4000:]
    return done.stdout + done.stderr


@pytest.mark.parametrize("network", NETWORKS)
def test_a_network_of_another_package_passes_the_tests_of_ours(network: str) -> None:
    """Gradients, symmetries, extensivity, batches, images, the saved file; training, and going on to the same bits."""
    training = [f"tests/learning/test_training.py::{name}" for name in TRAINING]
    files = ["tests/potentials/test_physics.py", *training]
    options = ["-q", "-p", "no:cacheprovider", "-p", "no:xdist"]
    said = run(python_of(network), "-m", "pytest", *options, *files, SALTERN_TEST_NETWORK=network, CI="1")
    assert " passed" in said
    assert "skipped" not in said


def test_a_universal_model_gives_what_its_own_calculator_gives(tmp_path: Path) -> None:
    """Energies but for those of free atoms, so differences of energies, and forces and stress; in eV and Å."""
    script = tmp_path / "compare.py"
    script.write_text(COMPARE, encoding="utf-8")
    found = json.loads(run(python_of("sevennet"), str(script)).splitlines()[-1])
    assert found["force"] > 1, "there is something to compare"
    assert found["force_difference"] < 2e-4
    assert found["energy_difference"] < 2e-4
    assert found["stress_difference"] < 2e-5
    assert found["saved"] == 0


COMPARE = """
import json, tempfile
from pathlib import Path
import numpy as np, torch
from ase.build import molecule
from sevenn.calculator import SevenNetCalculator
from saltern.config import StudentConfig
from saltern.potentials import Network, Potential, SalternCalculator, save

config = StudentConfig(network="sevennet", start="sevennet-0")
network = Network(config, (1, 8), shifts=[0.0, 0.0], scale=0.7, neighbours=40.0)
about = {"baseline": "none", "closest": [[0.0, 0.0], [0.0, 0.0]], "permittivities": {}}
path = Path(tempfile.mkdtemp()) / "m.safetensors"
save(path, network, about)
ours, theirs = SalternCalculator(Potential([network], about)), SevenNetCalculator("7net-0", device="cpu")
atoms = molecule("H2O")
atoms.set_cell([4.1, 4.3, 4.5])
atoms.pbc = True
atoms = atoms.repeat(2)
rng = np.random.default_rng(0)
told = []
for _ in range(2):
    atoms.positions += rng.normal(scale=0.08, size=atoms.positions.shape)
    told.append([(atoms.copy(), c.get_potential_energy(atoms), c.get_forces(atoms), c.get_stress(atoms))
                 for c in (ours, theirs)])
loaded = SalternCalculator(path, device="cpu")
again = loaded.get_forces(told[1][0][0])
(a, b), (c, d) = told
print(json.dumps({
    "force": float(np.abs(b[2]).max()),
    "force_difference": float(max(np.abs(a[2] - b[2]).max(), np.abs(c[2] - d[2]).max())),
    "energy_difference": float(abs((c[1] - a[1]) - (d[1] - b[1]))),
    "stress_difference": float(np.abs(c[3] - d[3]).max()),
    "saved": float(np.abs(again - c[2]).max()),
}))
"""


def spec(network: str) -> str:
    told = TrainSpec(baseline=BaselineConfig(), student=StudentConfig(network=network), train=TrainConfig(epochs=1))
    return told.model_dump_json()


@pytest.mark.parametrize("network", NETWORKS)
def test_a_missing_package_is_named_in_one_line(
    network: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr("saltern.potentials.backends.find_spec", lambda _: None)
    monkeypatch.setenv(f"SALTERN_{network.upper()}", str(Path(sys.executable).parent))
    assert main(["train", "release", "m", "m.csv", "--member", "0", "--spec", spec(network)]) == 2
    said = capsys.readouterr().err
    assert said.startswith(f"saltern: student.network: {network} needs the package")
    assert f"SALTERN_{network.upper()}=PREFIX/bin" in said
    assert said.count("\n") == 1


def test_the_command_goes_on_in_the_environment_that_a_variable_names(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("saltern.potentials.backends.find_spec", lambda _: None)
    monkeypatch.setenv("SALTERN_MACE", str(tmp_path))
    (tmp_path / "python").touch()
    called: list[list[str]] = []
    monkeypatch.setattr("os.execv", lambda _, command: called.append(command))
    arguments = ["train", "release", "m", "m.csv", "--member", "0", "--spec", spec("mace")]
    assert main(arguments) == 2
    assert called == [[str(tmp_path / "python"), "-m", "saltern", *arguments]]
