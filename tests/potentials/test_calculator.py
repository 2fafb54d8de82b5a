"""The potential as a calculator of ASE."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest
import torch
from ase import Atoms
from ase.build import molecule
from ase.calculators.fd import calculate_numerical_forces, calculate_numerical_stress
from ase.filters import FrechetCellFilter
from ase.md.velocitydistribution import thermalize_momenta
from ase.md.verlet import VelocityVerlet
from ase.optimize import BFGS
from ase.units import fs

from saltern.config import StudentConfig
from saltern.errors import UserError
from saltern.frames import Frames
from saltern.potentials import Batch, Network, Potential, SalternCalculator, element_charges, save

SPECIES = (1, 8, 11, 17)
WALLS = [[1.6, 1.0, 2.0, 2.0], [1.0, 2.4, 2.2, 2.8], [2.0, 2.2, 3.6, 2.4], [2.0, 2.8, 2.4, 3.6]]
CHARGES = {"H": 0.0, "O": 0.0, "Na": 1.0, "Cl": -1.0}
TOLD = {"baseline": "coulomb", "closest": WALLS, "permittivities": {"a": 78.3, "b": 78.3}, "charges": CHARGES}


def file(path: Path, seed: int = 0, **told: object) -> Path:
    """A network with random weights, in double precision."""
    shape = StudentConfig(r_max_A=4.0, layers=2, l_max=1, features=4, radial_width=8)
    settings = {"shifts": [0.0] * 4, "scale": 0.3, "neighbours": 20.0, "dtype": torch.float64}
    network = Network(shape, SPECIES, seed=seed, **settings)
    draw = torch.Generator().manual_seed(seed)
    network.readout.data = torch.randn(network.readout.shape, generator=draw, dtype=torch.float64)
    save(path, network, {**TOLD, **told})
    return path


@pytest.fixture
def committee(tmp_path: Path) -> Sequence[Path]:
    return [file(tmp_path / f"m{seed:04d}.safetensors", seed) for seed in range(3)]


def brine(charges: bool = False) -> Atoms:
    """Six waters and a pair of ions in a skewed box."""
    rng, edge = np.random.default_rng(0), 7.5
    atoms = Atoms(cell=[[edge, 0, 0], [1.5, edge, 0], [0, -1.0, edge]], pbc=True)
    sites = np.stack(np.meshgrid(*[[0.0, 0.5]] * 3), -1).reshape(-1, 3) @ atoms.cell.array
    for site, kind in zip(sites, ["H2O"] * 6 + ["Na", "Cl"], strict=True):
        piece = molecule("H2O") if kind == "H2O" else Atoms(kind)
        piece.rotate(360 * rng.random(), rng.normal(size=3))
        piece.translate(site + rng.normal(scale=0.2, size=3))
        atoms += piece
    if charges:
        atoms.set_initial_charges([CHARGES[s] for s in atoms.get_chemical_symbols()])
    return atoms


def frames_of(atoms: Atoms, permittivity: float = 78.3) -> Frames:
    charges = [CHARGES[s] for s in atoms.get_chemical_symbols()]
    return Frames.uniform(
        atoms.numbers, 1, positions=atoms.positions, cell=atoms.cell.array, charges=charges, permittivity=permittivity
    )


def test_it_gives_what_the_potential_gives(committee: Sequence[Path]) -> None:
    """Also after the atoms moved, after the cell changed, and after two became other elements."""
    potential = Potential.load(committee, "cpu")
    atoms = brine()
    atoms.calc = SalternCalculator(committee, device="cpu")

    def check() -> None:
        found = potential.evaluate(Batch.of(frames_of(atoms)), stress=True, spread=True)
        assert found.stress is not None
        assert found.spread is not None
        assert atoms.get_potential_energy() == pytest.approx(float(found.energy), abs=1e-10)
        np.testing.assert_allclose(atoms.get_forces(), found.forces, atol=1e-10)
        np.testing.assert_allclose(atoms.get_stress(voigt=False), found.stress[0], atol=1e-12)
        assert atoms.calc.results["committee_spread"] == pytest.approx(float(found.spread), abs=1e-10)
        assert float(found.spread) > 0.01

    check()
    atoms.rattle(0.1, seed=1)
    check()
    atoms.set_cell(atoms.cell.array * 1.02, scale_atoms=True)
    check()
    atoms.symbols[0], atoms.symbols[1] = "Na", "Cl"
    check()


def test_one_line_with_one_file(committee: Sequence[Path]) -> None:
    atoms = brine()
    atoms.calc = SalternCalculator(str(committee[0]))
    found = Potential.load(committee[:1], "cpu").evaluate(Batch.of(frames_of(atoms)))
    assert atoms.get_potential_energy() == pytest.approx(float(found.energy))
    assert "committee_spread" not in atoms.calc.results


def test_forces_and_stress_are_derivatives_of_the_energy(committee: Sequence[Path]) -> None:
    atoms = brine()
    atoms.calc = SalternCalculator(committee[0], device="cpu")
    forces, stress = atoms.get_forces(), atoms.get_stress()
    chosen = [0, 5, 18, 19]
    np.testing.assert_allclose(forces[chosen], calculate_numerical_forces(atoms, 1e-4, iatoms=chosen), atol=1e-6)
    np.testing.assert_allclose(stress, calculate_numerical_stress(atoms, eps=1e-5), atol=1e-7)


def test_an_optimiser_and_molecular_dynamics_of_ase_run_on_it(committee: Sequence[Path]) -> None:
    atoms = brine()
    atoms.calc = SalternCalculator(committee[0], device="cpu")
    before = atoms.get_potential_energy()
    BFGS(FrechetCellFilter(atoms), logfile=None).run(fmax=0.5, steps=40)
    assert atoms.get_potential_energy() < before - 0.1
    thermalize_momenta(atoms, temperature_K=300, rng=np.random.default_rng(0))
    dynamics = VelocityVerlet(atoms, timestep=0.5 * fs)
    energies: list[tuple[float, float]] = []
    dynamics.attach(lambda: energies.append((atoms.get_potential_energy(), atoms.get_total_energy())))
    dynamics.run(60)
    potential, total = np.array(energies).T
    assert np.ptp(potential) > 0.05
    assert total.std() < 0.02 * potential.std()


def test_charges_and_permittivity_come_from_the_potential_unless_given(tmp_path: Path) -> None:
    known, silent = file(tmp_path / "known.safetensors"), file(tmp_path / "silent.safetensors", charges=None)

    def energy(path: Path, atoms: Atoms, **given: object) -> float:
        atoms.calc = SalternCalculator(path, device="cpu", **given)
        return float(atoms.get_potential_energy())

    expected = energy(known, brine())
    halved = float(Potential.load([known], "cpu").evaluate(Batch.of(frames_of(brine(), 39.15))).energy)
    assert abs(halved - expected) > 1e-3
    assert energy(known, brine(), permittivity=39.15) == pytest.approx(halved)
    assert energy(silent, brine(charges=True)) == pytest.approx(expected)
    assert energy(silent, brine(), charges={"Na": 1.0, "Cl": -1.0}) == pytest.approx(expected)
    with pytest.raises(
        UserError, match=r"charges: those of Cl, H, Na, O in the baseline are not known \(the file does"
    ):
        energy(silent, brine())


def test_what_cannot_be_known_is_asked_for(tmp_path: Path) -> None:
    several = file(tmp_path / "several.safetensors", permittivities={"a": 78.3, "b": 62.5})
    atoms = brine()
    atoms.calc = SalternCalculator(several, device="cpu")
    with pytest.raises(UserError, match=r"permittivity: not given, and the potential was trained with 62\.5, 78\.3"):
        atoms.get_potential_energy()
    del atoms[[18, 19]]
    atoms.get_potential_energy()  # water without ions needs no permittivity
    atoms = brine()
    atoms.calc = SalternCalculator(file(tmp_path / "two.safetensors", charges={**CHARGES, "O": None}), device="cpu")
    with pytest.raises(UserError, match=r"charges: those of O .* differ from atom to atom"):
        atoms.get_potential_energy()
    atoms.set_initial_charges([0.0] * 19 + [-1.0])
    with pytest.raises(UserError, match="charges: they add up to -1 e; allowed: 0"):
        atoms.get_potential_energy()
    atoms.pbc = [True, True, False]
    with pytest.raises(UserError, match="not periodic in all three directions"):
        atoms.get_potential_energy()
    with pytest.raises(UserError, match="permittivity: -1 is not allowed"):
        SalternCalculator(several, permittivity=-1)
    unknown = Atoms("He", cell=[9] * 3, pbc=True, calculator=SalternCalculator(several, device="cpu"))
    with pytest.raises(UserError, match="He is unknown to the potential"):
        unknown.get_potential_energy()


def test_charges_of_elements() -> None:
    """The oxygen of water and that of a sulphate differ; frames without charges carry none."""
    frames = Frames.uniform(
        np.array([1, 8, 8, 16, 11]), 2, positions=np.zeros((5, 3)), cell=np.eye(3), charges=[0, 0, -0.5, 0, 1.0]
    )
    assert element_charges(frames) == {"H": 0.0, "O": None, "Na": 1.0, "S": 0.0}
    bare = Frames(frames.offsets, {"numbers": frames["numbers"]})
    assert element_charges(bare) == dict.fromkeys(["H", "O", "Na", "S"], 0.0)


def test_importing_potentials_does_not_import_calculators_of_ase() -> None:
    code = "import sys, saltern.potentials; print('ase.calculators.calculator' in sys.modules)"
    assert subprocess.check_output([sys.executable, "-c", code], text=True).strip() == "False"
