"""Radial distribution functions against the ideal gas and perfect lattices."""

from dataclasses import replace

import numpy as np
import pytest

from saltern.errors import SalternError
from saltern.observables import (
    Trajectory,
    coordination_number,
    effective,
    first_peak,
    first_shell,
    radial_distribution,
)

TRICLINIC = np.array([[14.0, 0.0, 0.0], [5.0, 13.0, 0.0], [-3.0, 4.0, 12.0]])


def trajectory(positions, cell, molecules=None):
    frames, atoms = positions.shape[:2]
    cells = np.broadcast_to(cell, (frames, 3, 3)).copy()
    return Trajectory(positions, cells, np.arange(atoms) if molecules is None else molecules, np.ones(atoms), 1.0)


def ideal_gas(cell, frames, atoms, seed=0):
    """Uniform positions, thrown over many periodic images as unwrapped ones are."""
    rng = np.random.default_rng(seed)
    return trajectory((rng.random((frames, atoms, 3)) + rng.integers(-3, 4, (frames, atoms, 3))) @ cell, cell)


@pytest.mark.parametrize("cell", [np.diag([12.0, 13.0, 15.0]), TRICLINIC], ids=["orthorhombic", "triclinic"])
def test_ideal_gas_is_one_everywhere(cell):
    atoms = np.arange(8)
    gas = ideal_gas(cell, 4000, 20)
    for first, second in ((atoms, atoms), (atoms, np.arange(8, 20))):
        rdf = radial_distribution([gas], first, second, 0.25, 10)
        outer = rdf.r > 1.5
        deviation = (rdf.g - 1)[outer] / rdf.error[outer]
        # 1/sqrt(counts) in every bin, and no bias over all of them: 8 atoms of one species without N - 1 give 0.875
        assert np.abs(deviation).max() < 5
        assert np.average(rdf.g[outer], weights=rdf.r[outer] ** 2) == pytest.approx(1, abs=0.005)


def test_error_bars_of_the_ideal_gas_are_poissonian():
    gas = ideal_gas(TRICLINIC, 3000, 20)
    rdf = radial_distribution([gas], np.arange(20), np.arange(20), 0.25, 30)
    volume = np.linalg.det(TRICLINIC)
    shell = 4 / 3 * np.pi * (rdf.edges**3 - (rdf.edges - 0.25) ** 3)
    expected = 1 / np.sqrt(3000 * 190 * shell / volume)
    assert np.mean((rdf.error / expected)[4:] ** 2) == pytest.approx(1, abs=0.25)


def test_weights_undo_a_bias():
    """Of an ideal gas those frames are kept with pairs near 4 Å, and each counts as often as it would be there."""
    cell = np.diag([12.0] * 3)
    gas = ideal_gas(cell, 20000, 4)
    apart = gas.positions[:, 0] - gas.positions[:, 1]
    distance = np.linalg.norm(apart - 12 * np.rint(apart / 12), axis=1)
    bias = -2 * np.exp(-((distance - 4) ** 2) / (2 * 0.5**2))
    kept = np.random.default_rng(1).random(20000) < np.exp(-bias - 2)
    biased = trajectory(gas.positions[kept], cell)
    unbiased = replace(biased, weights=np.exp(bias[kept]))
    wrong, right = (radial_distribution([one], np.array([0]), np.array([1]), 0.5, 10) for one in (biased, unbiased))
    assert wrong.g[8] > 2
    outer = right.r > 2
    assert np.abs((right.g - 1)[outer] / right.error[outer]).max() < 4
    inside = 4 / 3 * np.pi * right.edges[-1] ** 3 / 12**3
    assert right.neighbours[-1] == pytest.approx(inside, rel=0.05)
    assert effective(biased.counts) == len(biased)
    assert effective(np.array([2.0, 1.0, 1.0])) == pytest.approx(16 / 6)


def test_running_number_counts_all_neighbours():
    gas = ideal_gas(np.diag([10.0] * 3), 500, 30)
    rdf = radial_distribution([gas], np.arange(10), np.arange(10, 30), 0.1, 5)
    inside = 4 / 3 * np.pi * rdf.edges[-1] ** 3 / 1000
    assert rdf.neighbours[-1] == pytest.approx(20 * inside, rel=0.02)


def rocksalt(repeats, spacing=2.8):
    grid = np.stack(np.meshgrid(*[np.arange(2 * n) for n in repeats], indexing="ij"), axis=-1).reshape(-1, 3)
    cation = grid.sum(axis=1) % 2 == 0
    return grid * spacing + 0.3, np.flatnonzero(cation), np.flatnonzero(~cation), np.diag(2.0 * np.array(repeats))


def test_rocksalt_shells_are_6_12_8():
    spacing = 2.8
    positions, cations, anions, cell = rocksalt((2, 2, 2))
    crystal = trajectory(positions[None], cell * spacing)
    unlike = radial_distribution([crystal], cations, anions, 0.045, 2)
    like = radial_distribution([crystal], cations, cations, 0.045, 2)
    assert coordination_number(unlike, 1.2 * spacing).number.value == pytest.approx(6)
    assert coordination_number(like, 1.6 * spacing).number.value == pytest.approx(12)
    assert coordination_number(unlike, 1.85 * spacing).number.value == pytest.approx(6 + 8)
    occupied = np.flatnonzero(unlike.g)
    assert np.allclose(unlike.r[occupied], spacing * np.sqrt([1, 3]), atol=0.05)


def test_any_cell_of_a_lattice_gives_the_same():
    """The same crystal, described by a rectangular cell and by a sheared one."""
    positions, cations, _, cell = rocksalt((3, 2, 2))
    noise = np.random.default_rng(1).normal(scale=0.1, size=positions.shape)
    box = cell * 2.8
    shear = np.array([[1, 0, 0], [1, 1, 0], [0, -1, 1]])
    straight = radial_distribution([trajectory((positions + noise)[None], box)], cations, cations, 0.05, 2)
    sheared = radial_distribution([trajectory((positions + noise)[None], shear @ box)], cations, cations, 0.05, 2)
    shared = min(len(straight.r), len(sheared.r))
    assert shared > 40
    assert np.allclose(straight.g[:shared], sheared.g[:shared])


def test_pairs_are_counted_across_the_boundary():
    """Two atoms 1 Å apart through a face, one of them unwrapped twenty cells away."""
    positions = np.array([[[0.5, 1.0, 1.0], [7.5 + 20 * 8, 1.0, 1.0]]])
    rdf = radial_distribution([trajectory(positions, np.eye(3) * 8)], np.array([0]), np.array([1]), 0.3, 2)
    assert rdf.neighbours[rdf.edges < 0.95][-1] == 0
    assert rdf.neighbours[rdf.edges > 1.1][0] == 1


def test_atoms_of_one_molecule_are_not_its_neighbours():
    """Dimers of an ideal gas: g of the atoms is 1 when the partner is left out of counts and normalisation."""
    rng = np.random.default_rng(2)
    centres = rng.random((3000, 6, 1, 3)) * 10
    positions = (centres + np.array([0, 1.0])[:, None] * np.array([1.0, 0, 0])).reshape(3000, 12, 3)
    gas = trajectory(positions, np.eye(3) * 10, np.arange(12) // 2)
    rdf = radial_distribution([gas], np.arange(12), np.arange(12), 0.25, 10)
    assert np.average(rdf.g, weights=rdf.r**2) == pytest.approx(1, abs=0.01)
    assert rdf.g[3:5] == pytest.approx(1, abs=0.2)


def test_changing_cells_are_normalised_frame_by_frame():
    rng = np.random.default_rng(3)
    edges = np.where(np.arange(4000) % 2, 8.0, 14.0)
    cells = edges[:, None, None] * np.eye(3)
    gas = Trajectory(rng.random((4000, 12, 3)) * edges[:, None, None], cells, np.arange(12), np.ones(12), 1.0)
    rdf = radial_distribution([gas], np.arange(12), np.arange(12), 0.2, 10)
    assert np.average(rdf.g, weights=rdf.r**2) == pytest.approx(1, abs=0.01)


def test_range_beyond_half_the_cell_is_refused():
    gas = ideal_gas(TRICLINIC, 2, 4)
    with pytest.raises(SalternError, match="half the smallest width"):
        radial_distribution([gas], np.arange(4), np.arange(4), 0.1, 2, r_max=6.9)


def shells(depth, frames, seed=0, atoms=24):
    """An ion with six neighbours near 2.4 Å, a gap as deep as asked, and a gas beyond 3.5 Å."""
    rng = np.random.default_rng(seed)
    direction = rng.normal(size=(frames, atoms, 3))
    direction /= np.linalg.norm(direction, axis=-1, keepdims=True)
    near = rng.normal(2.4, 0.1, (frames, 6))
    low = np.where(rng.random((frames, atoms - 6)) < depth, 2.9, 3.5)
    far = np.cbrt(rng.uniform(low**3, 6.0**3))
    positions = np.zeros((frames, atoms + 1, 3))
    positions[:, 1:] = direction * np.concatenate([near, far], axis=1)[..., None]
    return trajectory(positions, np.eye(3) * 12.0)


def test_first_shell_and_its_number_are_found_in_noise():
    rdf = radial_distribution([shells(0.3, 400)], np.array([0]), np.arange(1, 25), 0.05, 5)
    found = coordination_number(rdf)
    position, height = first_peak(rdf)
    assert found.cutoff == pytest.approx(2.8, abs=0.15)
    assert found.number.value == pytest.approx(6, abs=0.05)
    # g ~ n(r) / r²: its maximum lies below the mean distance by 2 sigma² / r
    assert position.value == pytest.approx(2.4 - 2 * 0.1**2 / 2.4, abs=0.01)
    assert position.error < 0.02
    assert height.value > 5


def test_noise_alone_has_no_shell():
    gas = ideal_gas(np.diag([12.0] * 3), 60, 6)
    rdf = radial_distribution([gas], np.arange(3), np.arange(3, 6), 0.05, 5)
    assert first_shell(rdf).minimum is None
    assert coordination_number(rdf).cutoff is None
