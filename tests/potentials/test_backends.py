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


@pytest.mark.parametrize("network", ["sevennet", "mace"])
def test_a_universal_model_gives_what_its_own_calculator_gives(network: str, tmp_path: Path) -> None:
    """Energies but for those of free atoms, so differences of energies, and forces and stress; in eV and Å."""
    script = tmp_path / "compare.py"
    script.write_text(UNIVERSAL[network] + COMPARE, encoding="utf-8")
    found = json.loads(run(python_of(network), str(script), str(tmp_path)).splitlines()[-1])
    assert found["force"] > 1, "there is something to compare"
    assert found["force_difference"] < 2e-4
    assert found["energy_difference"] < 2e-4
    assert found["stress_difference"] < 2e-5
    assert found["saved"] == 0


UNIVERSAL = {
    "sevennet": """
from sevenn.calculator import SevenNetCalculator as Calculator
told, own = {"network": "sevennet", "start": "sevennet-0"}, {"model": "7net-0", "device": "cpu"}
""",
    # of the kind of MACE-OMAT-0: other elements, too, a repulsion, densities, vectors, a shift, double precision
    "mace": """
import sys, warnings
warnings.filterwarnings("ignore")
import numpy as np, torch
from mace import modules
from mace.calculators import MACECalculator as Calculator
from mace.modules.blocks import o3
torch.set_default_dtype(torch.float64)
torch.manual_seed(0)
model = modules.ScaleShiftMACE(
    r_max=4.5, num_bessel=6, num_polynomial_cutoff=5, max_ell=2, num_interactions=2, num_elements=4,
    interaction_cls=modules.interaction_classes["RealAgnosticDensityResidualInteractionBlock"],
    interaction_cls_first=modules.interaction_classes["RealAgnosticDensityInteractionBlock"],
    hidden_irreps=o3.Irreps("8x0e+8x1o"), MLP_irreps=o3.Irreps("4x0e"), gate=torch.nn.functional.silu,
    atomic_energies=np.array([-1.0, -2.0, -3.0, -4.0]), avg_num_neighbors=np.float64(17.0),
    atomic_numbers=[1, 3, 8, 17], correlation=2, radial_MLP=[16, 16], pair_repulsion=True,
    distance_transform="Agnesi", atomic_inter_scale=3.0, atomic_inter_shift=0.4, heads=["pbe"],
)
with torch.no_grad():
    model.radial_embedding.bessel_fn.bessel_weights *= 1.1
torch.save(model, sys.argv[1] + "/mace.model")
torch.set_default_dtype(torch.float32)
told = {"network": "mace", "start": sys.argv[1] + "/mace.model", "r_max_A": 4.5}
own = {"model_paths": told["start"], "device": "cpu", "default_dtype": "float64"}
""",
}
"""Makes a model where its package brings none; says what a campaign is told of it, and its own calculator."""

COMPARE = """
import json, sys
from pathlib import Path
import numpy as np, torch
from ase.build import molecule
from saltern.config import StudentConfig
from saltern.potentials import Network, Potential, SalternCalculator, save

network = Network(StudentConfig(**told), (1, 8), shifts=[0.0, 0.0], scale=0.7, neighbours=40.0)
about = {"baseline": "none", "closest": [[0.0, 0.0], [0.0, 0.0]], "permittivities": {}}
path = Path(sys.argv[1]) / "m.safetensors"
save(path, network, about)
ours, theirs = SalternCalculator(Potential([network], about)), Calculator(**own)
atoms = molecule("H2O")
atoms.set_cell([4.1, 4.3, 4.5])
atoms.pbc = True
atoms = atoms.repeat(2)
rng = np.random.default_rng(0)
found = []
for _ in range(2):
    atoms.positions += rng.normal(scale=0.08, size=atoms.positions.shape)
    found.append([(atoms.copy(), c.get_potential_energy(atoms), c.get_forces(atoms), c.get_stress(atoms))
                  for c in (ours, theirs)])
# of a checkpoint nothing is needed any more
(Path(sys.argv[1]) / "mace.model").unlink(missing_ok=True)
again = SalternCalculator(path, device="cpu").get_forces(found[1][0][0])
(a, b), (c, d) = found
print(json.dumps({
    "force": float(np.abs(b[2]).max()),
    "force_difference": float(max(np.abs(a[2] - b[2]).max(), np.abs(c[2] - d[2]).max())),
    "energy_difference": float(abs((c[1] - a[1]) - (d[1] - b[1]))),
    "stress_difference": float(np.abs(c[3] - d[3]).max()),
    "saved": float(np.abs(again - c[2]).max()),
}))
"""


def test_a_checkpoint_is_read_and_not_run(tmp_path: Path) -> None:
    """Neither by a pickle that calls something, nor by one that is no model; what is wrong is told in one line."""
    script = tmp_path / "harmful.py"
    script.write_text(HARMFUL, encoding="utf-8")
    *found, ran = run(python_of("mace"), str(script), str(tmp_path)).splitlines()[-5:]
    assert ran == "False"
    assert "harmful.model holds system; allowed: ScaleShiftMACE, a whole model of MACE" in found[0]
    assert "text.model: not a checkpoint of MACE (no archive as torch.save makes it)" in found[1]
    assert found[2].startswith("student.r_max_A: 5 is not allowed; allowed: 3, the cutoff of ")
    assert found[3].endswith("small.model does not know Na; allowed: leave it out")


HARMFUL = """
import os, sys, warnings
warnings.filterwarnings("ignore")
from pathlib import Path
import numpy as np, torch
from mace import modules
from mace.modules.blocks import o3
from saltern.config import StudentConfig
from saltern.errors import UserError
from saltern.potentials import Network

place = Path(sys.argv[1])

class Harmful:
    def __reduce__(self):
        return os.system, (f"touch {place}/ran",)

torch.save(Harmful(), place / "harmful.model")
(place / "text.model").write_text("no model")
block = modules.interaction_classes["RealAgnosticResidualInteractionBlock"]
torch.save(modules.ScaleShiftMACE(
    r_max=3.0, num_bessel=2, num_polynomial_cutoff=5, max_ell=1, num_interactions=1, num_elements=2,
    interaction_cls=block, interaction_cls_first=block, hidden_irreps=o3.Irreps("2x0e"), MLP_irreps=o3.Irreps("2x0e"),
    atomic_energies=np.zeros(2), avg_num_neighbors=9.0, atomic_numbers=[1, 8], correlation=1,
    gate=torch.nn.functional.silu, radial_MLP=[4], atomic_inter_scale=1.0, atomic_inter_shift=0.0,
), place / "small.model")
for name, cutoff, species in [("harmful", 5, [1, 8]), ("text", 5, [1, 8]), ("small", 5, [1, 8]), ("small", 3, [1, 11])]:
    config = StudentConfig(network="mace", start=str(place / f"{name}.model"), r_max_A=cutoff)
    try:
        Network(config, species, shifts=[0.0, 0.0], scale=1.0, neighbours=9.0)
        print("nothing was said")
    except UserError as error:
        print(error)
print((place / "ran").exists())
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
