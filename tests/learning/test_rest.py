"""What a student of mean forces says of ions at rest."""

import json
from pathlib import Path

import numpy as np
import pytest
import torch

from saltern.config import StudentConfig
from saltern.learning import at_rest
from saltern.potentials import Network, Potential, save
from saltern.potentials.static import Salt, salts
from saltern.units import BOLTZMANN, COULOMB

STUDENT = StudentConfig(r_max_A=5.0, layers=1, l_max=1, features=4, radial_width=8)
TOLD = {
    "baseline": "coulomb",
    "closest": [[2.7] * 3] * 3,
    "permittivities": {"a": 72.0, "b": 72.0, "c": 60.0},
    "charges": {"Na": 1.0, "Cl": -1.0, "K": 1.0},
}


def member(path: Path, seed: int) -> Potential:
    network = Network(STUDENT, (11, 17, 19), shifts=[-3.0, 5.0, 1.0], scale=1.0, neighbours=6.0, dtype=torch.float64)
    draw = torch.Generator().manual_seed(seed)
    network.readout.data = 0.05 * torch.randn(network.readout.shape, generator=draw, dtype=torch.float64)
    save(path, network, TOLD)
    return Potential.load([path], device="cpu")


def test_every_salt_has_its_crystals_and_every_pair_comes_once(tmp_path: Path) -> None:
    members = [member(tmp_path / f"{seed}.safetensors", seed) for seed in range(2)]
    found = at_rest(members, 300.0)
    json.dumps(found, allow_nan=False)
    assert [(*row["ions"], row["lattice"]) for row in found["crystals"][:4:3]] == [
        ("Na", "Cl", "rocksalt"), ("Na", "Cl", "rocksalt, cube of 64 ions"),
    ]  # fmt: skip
    assert [row["ions"] for row in found["crystals"]] == [["Na", "Cl"]] * 4 + [["K", "Cl"]] * 4
    assert [row["pair"] for row in found["pairs"]] == [
        ["Na", "Cl"], ["Na", "Na"], ["Cl", "Cl"], ["K", "Cl"], ["K", "K"],
    ]  # fmt: skip
    r = np.array(found["pairs"][1]["r"])
    total, short_range = (np.array(found["pairs"][1][name]["values"]) for name in ("total", "short_range"))
    np.testing.assert_allclose(total - short_range, COULOMB / 72 / r / (BOLTZMANN * 300))
    assert max(found["pairs"][0]["short_range"]["error"]) > 0
    alone = at_rest(members[:1], 300.0)
    assert set(alone["pairs"][0]["total"]["error"]) == {None}


@pytest.mark.parametrize(
    ("charges", "expected"),
    [
        ({"Na": 1.0, "Cl": -1.0, "O": 0.0}, [Salt(11, 17, 1.0, 72.0)]),
        ({"Mg": 2.0, "Cl": -1.0, "O": None}, []),
        ({"Mg": 2.0, "O": -2.0}, [Salt(12, 8, 2.0, 72.0)]),
        ({}, []),
    ],
)
def test_salts_are_of_two_ions_with_the_same_charge(charges: dict[str, float | None], expected: list[Salt]) -> None:
    assert salts(charges, {"a": 72.0, "b": 60.0, "c": 72.0}) == expected
    assert salts(charges, {}) == []
