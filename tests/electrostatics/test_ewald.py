"""The Coulomb baseline against lattice constants, finite differences and torch-pme."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import pytest
import torch
from scipy.special import erfc
from torch import Tensor

from saltern.electrostatics import Coulomb, ewald, loops, screened_coulomb
from saltern.machine_code import compiler
from saltern.units import COULOMB

CUBE = 9.3 * torch.eye(3, dtype=torch.float64)
TRICLINIC = torch.tensor([[9.3, 0.0, 0.0], [2.5, 8.1, 0.0], [-3.0, 2.2, 10.4]], dtype=torch.float64)
SLAB = torch.diag(torch.tensor([6.0, 7.0, 31.0], dtype=torch.float64))


@pytest.fixture(autouse=True, params=["loops", "operations"])
def sums(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Everything here holds for compiled loops, and for operations on tensors."""
    if request.param == "loops" and compiler() is None:
        pytest.skip("needs a C compiler (cc)")
    if request.param == "operations":
        monkeypatch.setattr(loops, "library", lambda: None)
    ewald._plan.cache_clear()
    yield
    ewald._plan.cache_clear()


def random_ions(count: int, cell: Tensor, seed: int = 0) -> tuple[Tensor, Tensor]:
    """Ions of both signs anywhere in the cell, with two of charge 2 among them."""
    generator = np.random.default_rng(seed)
    charges = np.tile([1.0, -1.0], count // 2)
    charges[:2] = 2.0, -2.0
    return torch.tensor(generator.random((count, 3))) @ cell, torch.tensor(charges)


def assert_same(one: Coulomb, other: Coulomb, tolerance: float = 1e-10) -> None:
    for a, b in zip(one, other, strict=True):
        torch.testing.assert_close(a, b, rtol=0, atol=tolerance)


FCC = [[0, 0, 0], [0, 0.5, 0.5], [0.5, 0, 0.5], [0.5, 0.5, 0]]
LATTICES = {
    "rocksalt": (FCC, [0.5, 0.5, 0.5], 0.5, 1.747564594633),
    "CsCl": ([[0, 0, 0]], [0.5, 0.5, 0.5], np.sqrt(3) / 2, 1.762674773070),
    "zincblende": (FCC, [0.25, 0.25, 0.25], np.sqrt(3) / 4, 1.638055053388),
}


@pytest.mark.parametrize("lattice", LATTICES)
def test_madelung_constant(lattice: str) -> None:
    basis, shift, nearest, madelung = LATTICES[lattice]
    a = 5.64
    sites = np.concatenate([np.array(basis), np.array(basis) + shift]) * a
    charges = np.repeat([1.0, -1.0], len(basis))
    cell = a * torch.eye(3, dtype=torch.float64)
    result = screened_coulomb(torch.tensor(sites), torch.tensor(charges), cell, 1.0)
    expected = -len(basis) * madelung * COULOMB / (nearest * a)
    assert result.energy.item() == pytest.approx(expected, rel=2e-12)
    assert result.forces.abs().max() < 1e-11
    # E scales as 1/a, so that the trace of the stress is -E/V
    assert torch.allclose(result.stress, -result.energy / (3 * a**3) * torch.eye(3, dtype=torch.float64), atol=1e-12)


def test_far_from_its_images_a_pair_feels_coulombs_law() -> None:
    """Images lower the energy of a lone pair by 2π p²/(3V) (Makov and Payne, Phys. Rev. B 51, 4014 (1995))."""
    length, separation = 400.0, 3.0
    positions = torch.tensor([[0.0, 0.0, 0.0], [separation, 0.0, 0.0]], dtype=torch.float64)
    charges = torch.tensor([1.0, -1.0], dtype=torch.float64)
    result = screened_coulomb(positions, charges, length * torch.eye(3, dtype=torch.float64), 78.3)
    images = -2 * np.pi * separation**2 / (3 * length**3)
    assert result.energy.item() == pytest.approx(COULOMB / 78.3 * (-1 / separation + images), rel=2e-10)
    pull = COULOMB / 78.3 * (1 / separation**2 + 2 * images / separation)
    assert result.forces[0, 0].item() == pytest.approx(pull, rel=1e-8)


def test_permittivity_divides_everything() -> None:
    positions, charges = random_ions(8, TRICLINIC)
    bare = screened_coulomb(positions, charges, TRICLINIC, 1.0)
    screened = screened_coulomb(positions, charges, TRICLINIC, 78.3)
    for one, other in zip(bare, screened, strict=True):
        torch.testing.assert_close(one / 78.3, other, rtol=1e-14, atol=0)


@pytest.mark.parametrize("cell", [CUBE, TRICLINIC, SLAB], ids=["cube", "triclinic", "slab"])
@pytest.mark.parametrize("splitting", [0.25, 0.5, 0.8])
def test_splitting_does_not_matter(cell: Tensor, splitting: float) -> None:
    positions, charges = random_ions(8, cell)
    assert_same(
        screened_coulomb(positions, charges, cell, 1.0, splitting=splitting),
        screened_coulomb(positions, charges, cell, 1.0),
    )


@pytest.mark.parametrize("cell", [CUBE, TRICLINIC, SLAB], ids=["cube", "triclinic", "slab"])
def test_forces_are_minus_the_gradient(cell: Tensor) -> None:
    positions, charges = random_ions(4, cell)
    forces = screened_coulomb(positions, charges, cell, 1.0).forces
    h = 1e-4
    for atom, axis in np.ndindex(4, 3):
        step = torch.zeros_like(positions)
        step[atom, axis] = h
        up, down = (screened_coulomb(positions + s * step, charges, cell, 1.0).energy for s in (1, -1))
        assert (down - up).item() / (2 * h) == pytest.approx(forces[atom, axis].item(), abs=1e-6)
    assert forces.sum(0).abs().max() < 1e-11


@pytest.mark.parametrize("cell", [CUBE, TRICLINIC, SLAB], ids=["cube", "triclinic", "slab"])
def test_stress_is_the_derivative_to_strain(cell: Tensor) -> None:
    positions, charges = random_ions(4, cell)
    stress = screened_coulomb(positions, charges, cell, 1.0).stress
    volume, h = torch.linalg.det(cell).item(), 1e-5
    for a, b in np.ndindex(3, 3):
        strain = torch.zeros(3, 3, dtype=torch.float64)
        strain[a, b] += h / 2
        strain[b, a] += h / 2
        up, down = (
            screened_coulomb(positions @ deform, charges, cell @ deform, 1.0).energy
            for deform in (torch.eye(3) + s * strain for s in (1, -1))
        )
        assert (up - down).item() / (2 * h * volume) == pytest.approx(stress[a, b].item(), abs=1e-8)


def test_translation_and_unwrapped_positions_do_not_matter() -> None:
    positions, charges = random_ions(8, TRICLINIC)
    cells = torch.tensor(np.random.default_rng(1).integers(-50, 50, (8, 3)), dtype=torch.float64)
    moved = positions + cells @ TRICLINIC + torch.tensor([1.3, -0.4, 7.7])
    assert_same(
        screened_coulomb(moved, charges, TRICLINIC, 1.0), screened_coulomb(positions, charges, TRICLINIC, 1.0), 1e-11
    )


def test_neutral_atoms_are_left_out() -> None:
    positions, charges = random_ions(6, CUBE)
    ions = torch.tensor([1, 2, 5, 7, 8, 9])
    everyone, carried = torch.rand(12, 3, dtype=torch.float64) * 9.3, torch.zeros(12, dtype=torch.float64)
    everyone[ions], carried[ions] = positions, charges
    # a water atom on top of an ion must not matter either
    everyone[0] = everyone[1]
    alone, among = screened_coulomb(positions, charges, CUBE, 2.0), screened_coulomb(everyone, carried, CUBE, 2.0)
    assert_same(alone, Coulomb(among.energy, among.forces[ions], among.stress), 0.0)
    assert (among.forces[carried == 0] == 0).all()
    nothing = screened_coulomb(everyone, torch.zeros_like(carried), CUBE, 2.0)
    assert_same(nothing, Coulomb(torch.tensor(0.0).double(), torch.zeros(12, 3).double(), torch.zeros(3, 3).double()))


def test_a_doubled_box_has_twice_the_energy() -> None:
    positions, charges = random_ions(8, TRICLINIC)
    single = screened_coulomb(positions, charges, TRICLINIC, 1.0)
    double = screened_coulomb(
        torch.cat([positions, positions + TRICLINIC[1]]),
        charges.repeat(2),
        TRICLINIC * torch.tensor([1.0, 2.0, 1.0]).double()[:, None],
        1.0,
    )
    assert_same(Coulomb(2 * single.energy, single.forces.repeat(2, 1), single.stress), double)


def test_replicas_at_once_are_the_same_as_one_by_one() -> None:
    several = torch.stack([random_ions(8, TRICLINIC, seed)[0] for seed in range(3)])
    charges = random_ions(8, TRICLINIC)[1]
    together = screened_coulomb(several, charges, TRICLINIC, 78.3)
    for index, positions in enumerate(several):
        one = Coulomb(*(part[index] for part in together))
        assert_same(one, screened_coulomb(positions, charges, TRICLINIC, 78.3), 1e-14)


@pytest.mark.parametrize("apart", [0.02, 0.2, 0.7, 1.1, 1.9, 2.5])
def test_ions_that_nearly_touch_obey_coulombs_law(apart: float) -> None:
    """Below the first interval of the table, at its edge and in it: what another ion adds at a distance is smooth."""
    cell = 12 * torch.eye(3, dtype=torch.float64)
    charges = torch.tensor([1.0, -1.0], dtype=torch.float64)
    positions = torch.tensor([[0, 0, 0], [apart, 0, 0]], dtype=torch.float64)
    found = screened_coulomb(positions, charges, cell, 1.0, splitting=0.6)
    other = screened_coulomb(positions, charges, cell, 1.0, splitting=1.5)
    assert found.energy.item() == pytest.approx(other.energy.item(), abs=1e-9)
    torch.testing.assert_close(found.forces, other.forces, rtol=1e-11, atol=1e-9)
    assert found.forces[0, 0].item() == pytest.approx(COULOMB / apart**2, rel=0.05)


def test_the_table_of_the_compiled_loops_is_erfc() -> None:
    """Values to rounding, slopes nearly so: in the middle of every interval and at both of its ends."""
    table = loops.screening()
    width = loops.LOWEST * 2.0 ** np.repeat(np.arange(loops.OCTAVES), loops.STEPS) / loops.STEPS
    for place in (-0.5, -0.2, 0.0, 0.3, 0.5):
        u = place * width
        y = table[:, 0] + u
        value = sum(table[:, 1 + n] * u**n for n in range(loops.ORDER))
        slope = sum(n * table[:, 1 + n] * u ** (n - 1) for n in range(1, loops.ORDER))
        bare = erfc(np.sqrt(y)) / np.sqrt(y)
        np.testing.assert_allclose(value, bare, rtol=1e-13, atol=1e-14)
        np.testing.assert_allclose(slope, -(bare + 2 / np.sqrt(np.pi) * np.exp(-y)) / (2 * y), rtol=1e-11, atol=1e-12)


def test_many_ions_in_chunks_are_a_repeated_small_box() -> None:
    """216 copies of two ion pairs: 864 ions in 43 Å, beyond one chunk of pairs and of waves."""
    cell = 7.2 * torch.eye(3, dtype=torch.float64)
    positions, charges = random_ions(4, cell)
    copies = torch.cartesian_prod(*(torch.arange(6.0, dtype=torch.float64),) * 3) @ cell
    many = (positions[None] + copies[:, None]).reshape(-1, 3)
    small = screened_coulomb(positions, charges, cell, 1.0)
    large = screened_coulomb(many, charges.repeat(216), 6 * cell, 1.0)
    assert large.energy.item() == pytest.approx(216 * small.energy.item(), abs=1e-9)
    torch.testing.assert_close(large.forces, small.forces.repeat(216, 1), rtol=0, atol=1e-10)
    torch.testing.assert_close(large.stress, small.stress, rtol=0, atol=1e-11)


def test_net_charge_is_refused() -> None:
    positions, charges = random_ions(4, CUBE)
    with pytest.raises(ValueError, match="add up to 1 e"):
        screened_coulomb(positions, charges + 0.25, CUBE, 1.0)


@pytest.fixture
def double_precision() -> Iterator[None]:
    """torch-pme keeps its constants in torch's default precision."""
    before = torch.get_default_dtype()
    torch.set_default_dtype(torch.float64)
    yield
    torch.set_default_dtype(before)


@pytest.mark.usefixtures("double_precision")
@pytest.mark.parametrize("cell", [CUBE, TRICLINIC], ids=["cube", "triclinic"])
def test_peer_torch_pme(cell: Tensor) -> None:
    from torchpme import CoulombPotential, EwaldCalculator
    from vesin import NeighborList

    positions, charges = random_ions(8, cell)
    strain = torch.zeros(3, 3, dtype=torch.float64, requires_grad=True)
    moving = positions.clone().requires_grad_(True)
    deform = torch.eye(3) + (strain + strain.T) / 2
    i, j, shifts = NeighborList(cutoff=9.0, full_list=False).compute(
        points=positions.numpy(), box=cell.numpy(), periodic=True, quantities="ijS"
    )
    pairs = torch.tensor(np.stack([i, j], axis=1).astype(np.int64))
    apart = moving[pairs[:, 1]] - moving[pairs[:, 0]] + torch.tensor(shifts, dtype=torch.float64) @ cell
    # torch-pme's wave vectors end at half of 2π/lr_wavelength
    calculator = EwaldCalculator(CoulombPotential(smearing=0.9), lr_wavelength=0.35)
    potential = calculator(charges[:, None], cell @ deform, moving @ deform, pairs, (apart @ deform).norm(dim=1))
    energy = COULOMB * (potential[:, 0] * charges).sum()
    gradient, virial = torch.autograd.grad(energy, (moving, strain))
    ours = screened_coulomb(positions, charges, cell, 1.0)
    assert_same(ours, Coulomb(energy.detach(), -gradient, virial / torch.linalg.det(cell)), 1e-8)
