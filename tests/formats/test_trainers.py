"""Exports against the programs that they are for, each in an environment of its own.

SALTERN_NEQUIP and SALTERN_MACE name the directories with their programs; without them PATH is searched.
"""

import os
import re
import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from saltern.frames import Frames
from saltern.store.formats import EXPORTS

Splits = dict[str, list[Frames]]


def program(name: str, variable: str) -> str:
    """The program, or the test is skipped with its name."""
    found = shutil.which(name, path=os.environ.get(variable))
    if found is None:
        pytest.skip(f"{name} is not installed ({variable} can name its directory)")
    return found


def run(*command: str, folder: Path) -> str:
    """What a program says; one thread, for the other tests' sake."""
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    done = subprocess.run(
        command, cwd=folder, env=environment, capture_output=True, text=True, check=False, timeout=400
    )
    assert done.returncode == 0, (done.stdout + done.stderr)[-4000:]
    return done.stdout + done.stderr


@pytest.fixture
def tested(splits: Splits, make_frames: Callable[..., Frames]) -> Splits:
    """Splits with a test set of trained elements."""
    return {**splits, "test": [make_frames([17, 8, 1, 1, 11], 2, 9, "d")]}


def test_nequip_trains_as_it_stands(tmp_path: Path, tested: Splits, about: dict[str, object]) -> None:
    """Energies an atom start at their mean by element: hundreds of eV, if keys or shifts were not understood."""
    nequip = program("nequip-train", "SALTERN_NEQUIP")
    folder = tmp_path / "out"
    EXPORTS["nequip"](tested, folder, about)
    said = run(nequip, "-cp", str(folder), "-cn", "nequip", "trainer.max_epochs=1", folder=folder)
    assert list(folder.glob("outputs/*/*/best.ckpt"))
    errors = dict(re.findall(r"test0_epoch/(\w+)\s+│\s+([-\d.e+]+)", said))
    assert float(errors["per_atom_energy_rmse"]) < 1
    assert 0.5 < float(errors["forces_rmse"]) < 3


def test_mace_trains_as_it_stands(tmp_path: Path, tested: Splits, about: dict[str, object]) -> None:
    mace = program("mace_run_train", "SALTERN_MACE")
    folder = tmp_path / "out"
    EXPORTS["mace"](tested, folder, about)
    said = run(mace, "--config", "mace.yaml", "--max_num_epochs", "1", folder=folder)
    assert (folder / "salt-water.model").exists()
    ((energy, force),) = re.findall(r"Epoch 0: .*RMSE_E_per_atom=\s*([\d.]+) meV, RMSE_F=\s*([\d.]+) meV", said)
    assert float(energy) < 1000
    assert 500 < float(force) < 3000


def test_mace_reads_lmdb_with_the_reader_of_fair_chemistry(
    tmp_path: Path, splits: Splits, about: dict[str, object]
) -> None:
    python = Path(program("mace_run_train", "SALTERN_MACE")).with_name("python")
    EXPORTS["lmdb"](splits, tmp_path / "out", about)
    script = (
        "import sys, numpy as np; from mace.tools.fairchem_dataset import AseDBDataset as D; "
        "frames = [d.get_atoms(i) for d in [D(config={'src': sys.argv[1]})] for i in range(len(d))]; "
        "np.savez(sys.argv[2], positions=np.concatenate([a.positions for a in frames]), "
        "forces=np.concatenate([a.get_forces() for a in frames]), cell=np.stack([a.cell.array for a in frames]), "
        "energy=[a.get_potential_energy() for a in frames], stress=[a.get_stress(voigt=False) for a in frames])"
    )
    run(str(python), "-c", script, str(tmp_path / "out" / "train.aselmdb"), str(tmp_path / "x.npz"), folder=tmp_path)
    whole = Frames.concatenate(splits["train"])
    with np.load(tmp_path / "x.npz") as read:
        assert set(read) == {"positions", "forces", "cell", "energy", "stress"}
        for name in read:
            np.testing.assert_array_equal(read[name], whole[name])
