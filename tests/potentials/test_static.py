"""Energies of ions at rest: lattices against Madelung's constants, pairs against a sum of Gaussians."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pandas as pd
import pytest
import torch
from scipy.optimize import brentq

from saltern.cli import main
from saltern.config import StudentConfig
from saltern.potentials import Network, Potential, save
from saltern.potentials.batch import Batch
from saltern.potentials.core import STIFFNESS
from saltern.potentials.static import CUBE, LATTICES, Salt, lattice_curve, mean_force_curve
from saltern.units import BOLTZMANN, COULOMB

MADELUNG = {"rocksalt": 1.747564594633, "zincblende": 1.638055, "CsCl": 1.762675}
CONTACTS = {"rocksalt": 6, "zincblende": 4, "CsCl": 8}
"""Contacts of a pair of ions."""
WALL = 2.8
TOLD = {
    "baseline": "coulomb",
    "closest": [[3.0, WALL], [WALL, 3.0]],
    "permittivities": {"NaCl": 72.0},
    "charges": {"Na": 1.0, "Cl": -1.0},
}


def network(strength: float = 0.0, seed: int = 0) -> Network:
    """A network of random weights whose output is scaled; 0 leaves constants of the elements alone."""
    shape = StudentConfig(r_max_A=5.0, layers=2, l_max=1, features=4, radial_width=8)
    made = Network(shape, (11, 17), seed=seed, shifts=[-3.0, 5.0], scale=1.0, neighbours=6.0, dtype=torch.float64)
    draw = torch.Generator().manual_seed(seed)
    made.readout.data = strength * torch.randn(made.readout.shape, generator=draw, dtype=torch.float64)
    return made


@pytest.mark.parametrize("lattice", list(LATTICES))
def test_coulomb_energies_have_madelungs_constants(lattice: str) -> None:
    """And the elements' constants, 2 eV a pair, drop out."""
    curve = lattice_curve([Potential([network()], TOLD)], Salt(11, 17, 1.0, 1.0), lattice, WALL, 4.0)
    expected = -MADELUNG[lattice] * COULOMB / curve.contact
    np.testing.assert_allclose(curve.energy[0], expected, rtol=1e-6)
    assert np.isnan(curve.minimum).all()  # the least energy is at the end


@pytest.mark.parametrize("lattice", list(LATTICES))
def test_the_minimum_is_where_attraction_and_wall_balance(lattice: str) -> None:
    permittivity = 72.0
    curve = lattice_curve([Potential([network()], TOLD)], Salt(11, 17, 1.0, permittivity), lattice, 2.6, 4.0)
    strength = MADELUNG[lattice] * COULOMB / permittivity
    place = brentq(lambda r: strength / r**2 - 3 * STIFFNESS * CONTACTS[lattice] * (WALL - r) ** 2, 2.65, WALL)
    energy = -strength / place + STIFFNESS * CONTACTS[lattice] * (WALL - place) ** 3
    (constant, found) = curve.minimum[0]
    assert constant * LATTICES[lattice].contact == pytest.approx(place, abs=1e-3)
    assert found == pytest.approx(energy, abs=1e-5)


def test_a_network_counts_and_its_committee_spreads() -> None:
    members = [Potential([network(0.3, seed)], TOLD) for seed in range(3)]
    salt = Salt(11, 17, 1.0, 72.0)
    curve = lattice_curve(members, salt, "rocksalt", 2.8, 4.0)
    alone = lattice_curve(members[1:2], salt, "rocksalt", 2.8, 4.0)
    np.testing.assert_allclose(curve.energy[1], alone.energy[0], atol=1e-10)
    assert curve.energy.std(axis=0).min() > 1e-4
    # with every ion beyond the network's reach only the screened charges are left
    far = lattice_curve(members, salt, "rocksalt", 5.1, 6.0)
    np.testing.assert_allclose(
        far.energy, np.tile(-MADELUNG["rocksalt"] * COULOMB / 72 / far.contact, (3, 1)), rtol=1e-6
    )


def test_a_free_cube_has_less_than_the_bulk() -> None:
    """The Madelung energy of a 4x4x4 cube of ions, summed directly, in its own box."""
    salt = Salt(11, 17, 1.0, 1.0)
    curve = lattice_curve([Potential([network()], TOLD)], salt, CUBE, 3.0, 3.2)
    grid = np.stack(np.meshgrid(*[np.arange(4.0)] * 3, indexing="ij"), axis=-1).reshape(-1, 3)
    charge = 1 - 2 * (grid.sum(axis=1) % 2)
    i, j = np.triu_indices(64, 1)
    direct = COULOMB * (charge[i] * charge[j] / np.linalg.norm(3 * (grid[i] - grid[j]), axis=1)).sum() / 32
    assert curve.energy[0, 0] == pytest.approx(direct, rel=1e-3)


class Wave:
    """Two ions alone with a known energy: a wave of 0.1 eV from the top to the bottom, and 2 eV where they are far."""

    device, r_max = torch.device("cpu"), 6.0

    def __init__(self, first: float) -> None:
        self.first = first

    def evaluate(self, batch: Batch) -> SimpleNamespace:
        first, second = batch.positions.reshape(-1, 2, 3).unbind(1)
        r = (second - first).norm(dim=1)
        return SimpleNamespace(energy=2 - torch.where(r < 15, 0.05 * torch.cos(2 * np.pi * (r - self.first) / 2.4), 0))


def test_two_ions_alone_have_their_minima_and_their_barrier() -> None:
    curve = mean_force_curve([Wave(2.9), Wave(3.0)], Salt(11, 17, 1.0, 72.0), (11, 17), 2.5, 12.0)
    for found, place, energy in (
        (curve.contact, 2.9, -0.05),
        (curve.barrier, 4.1, 0.05),
        (curve.separated, 5.3, -0.05),
    ):
        np.testing.assert_allclose(found.distance, [place, place + 0.1], atol=1e-4)
        np.testing.assert_allclose(found.energy, energy, atol=1e-6)
    np.testing.assert_allclose(curve.coulomb, -COULOMB / 72 / curve.distance)
    alike = mean_force_curve([Wave(2.9)], Salt(11, 17, 1.0, 72.0), (17, 17), 3.0, 4.0)
    np.testing.assert_allclose(alike.coulomb, COULOMB / 72 / alike.distance)
    assert np.isnan(alike.contact.distance).all()


@pytest.fixture
def committee(tmp_path: Path) -> list[str]:
    paths = [tmp_path / f"m{seed:04d}.safetensors" for seed in range(2)]
    for seed, path in enumerate(paths):
        save(path, network(0.05, seed), TOLD)
    return [str(path) for path in paths]


def test_the_command_prints_a_table(committee: list[str], tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["lattice", *committee, "--curve", str(tmp_path / "curve.csv")]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert lines[0].startswith("permittivity 72; 2 members")
    assert [line[:26].strip() for line in lines[2:]] == [*LATTICES, CUBE]
    assert (tmp_path / "curve.csv").read_text().startswith("lattice,a_A,contact_A,member,energy_eV\nrocksalt,")


def test_the_command_prints_mean_forces(
    committee: list[str], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["pmf", *committee, "--temperature", "300", "--curve", str(tmp_path / "curve.csv")]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert lines[0] == "permittivity 72; 2 members; short-range part in kT at 300 K"
    assert [line.split()[0] for line in lines[2:]] == ["Na-Cl", "Na-Na", "Cl-Cl"]
    table = pd.read_csv(tmp_path / "curve.csv")
    # beyond the cutoff there is the screened Coulomb energy alone
    far = table[(table.pair == "Na-Cl") & (table.r_A > 5.0)]
    np.testing.assert_allclose(far.short_range_kT, 0, atol=1e-9)
    np.testing.assert_allclose(far.total_kT, -COULOMB / 72 / far.r_A / (BOLTZMANN * 300))
    assert table.groupby(["pair", "member"]).size().min() > 300
    assert main(["pmf", *committee, "--temperature", "0"]) == 2
    assert "--temperature 0: above 0" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("options", "said"),
    [
        (["--ions", "Na", "Br"], "knows the charges of: Na +1, Cl -1"),
        (["--ions", "Cl", "Na"], "a cation and an anion of the same charge"),
        (["--permittivity", "0"], "--permittivity 0: above 0"),
        (["--contact", "3", "2"], "the smaller one first"),
    ],
)
def test_nonsense_is_refused_in_a_line(
    committee: list[str], options: list[str], said: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["lattice", *committee, *options]) == 2
    told = capsys.readouterr().err
    assert said in told
    assert told.count("\n") == 1
