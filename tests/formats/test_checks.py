"""Units and signs against energies and forces that are known in closed form."""

import numpy as np
import pytest

from saltern.errors import UserError
from saltern.frames import Frames
from saltern.store.formats.checks import check_batch, check_distances, check_forces, check_work
from saltern.store.formats.quantities import NATIVE
from saltern.units import BOHR, HARTREE, KCAL_PER_MOL

CELL = np.array([[8.0, 0, 0], [1.0, 8.0, 0], [0.0, 1.0, 8.0]])
STIFFNESS = 8.0


def crystal(count: int = 12, *, step: float = 0.02, seed: int = 0) -> Frames:
    """A walk of 8 bonded pairs in a harmonic well, E = k x²/2, F = -k x: eV, Å; half of the atoms cross the border."""
    rng = np.random.default_rng(seed)
    corners = np.array([[i, j, k] for i in (0, 1) for j in (0, 1) for k in (0, 1)]) / 2 @ CELL
    rest = np.concatenate([corners, corners + np.array([0.97, 0, 0])])
    walk = np.cumsum(rng.normal(size=(count, 16, 3)) * step, axis=0)
    x = rng.normal(size=(16, 3)) * 0.1 + walk
    x -= x.mean(axis=1, keepdims=True)
    fractional = (rest + x) @ np.linalg.inv(CELL)
    return Frames.uniform(
        np.array([8] * 8 + [1] * 8), count,
        positions=(fractional - np.floor(fractional)) @ CELL, cell=CELL, forces=-STIFFNESS * x,
        energy=STIFFNESS / 2 * (x**2).sum(axis=(1, 2)) - 1e4,
    )  # fmt: skip


def wheres(frames: Frames) -> list[str]:
    return [f"x.xyz: frame {i + 1}" for i in range(len(frames))]


@pytest.mark.parametrize("thorough", [True, False])
def test_a_harmonic_crystal_passes(thorough: bool) -> None:
    frames = crystal()
    check_batch(frames, wheres(frames), NATIVE, thorough=thorough)


@pytest.mark.parametrize(
    ("forces", "energies", "message"),
    [
        (-1.0, 1.0, r"changes by -1 times.*; the forces have the wrong sign"),
        (1.0, 1 / HARTREE, r"changes by 0\.0367 times.*energies in Hartree would fit"),
        (1.0, HARTREE, r"changes by 27\.2 times"),
        (1.0, 1 / KCAL_PER_MOL, r"changes by 23\.1 times"),
        (-1.0, 1 / HARTREE, r"changes by -0\.0367.*energies in Hartree with the other sign would fit"),
        (BOHR / HARTREE, 1.0, r"changes by 51\.4 times.*forces in Hartree/bohr would fit"),
        (BOHR, 1.0, r"changes by 1\.89 times.*forces in eV/bohr would fit"),
    ],
)
def test_slope_between_energy_and_work_tells_the_mistake(forces: float, energies: float, message: str) -> None:
    """Scaled numbers, read as eV and Å: the slope is the ratio of the scales, whatever the crystal."""
    frames = crystal(24, step=0.03)
    frames = frames.with_arrays(forces=frames["forces"] * forces, energy=frames["energy"] * energies)
    with pytest.raises(UserError, match=message):
        check_work(frames, wheres(frames), NATIVE)


def test_forces_of_other_frames_are_noticed() -> None:
    frames = crystal(30)
    order = np.random.default_rng(1).permutation(30)
    with pytest.raises(UserError, match=r"do not change with the work of the forces.*same frames"):
        check_work(frames.with_arrays(energy=frames["energy"][order]), wheres(frames), NATIVE, thorough=False)


def test_nothing_is_asked_of_frames_that_are_far_apart_or_have_no_energy() -> None:
    far = crystal(12, step=0.5)
    check_work(far.with_arrays(energy=-far["energy"]), wheres(far), NATIVE)
    near = crystal()
    check_work(near.with_arrays(energy=np.full(12, np.nan), forces=-near["forces"]), wheres(near), NATIVE)


def test_shuffled_frames_of_several_systems_are_compared_with_their_like() -> None:
    mixed = Frames.concatenate([crystal(seed=0), crystal(seed=5)]).select(np.random.default_rng(0).permutation(24))
    other = Frames.uniform(
        np.array([8, 1]), 3, positions=np.array([[0, 0, 0], [0.97, 0, 0]]), cell=CELL, forces=0.0, energy=0.0
    )
    frames = Frames.concatenate([mixed, other])
    check_work(frames, wheres(frames), NATIVE)
    with pytest.raises(UserError, match="wrong sign"):
        check_work(frames.with_arrays(forces=-frames["forces"]), wheres(frames), NATIVE)


def test_forces_on_a_part_of_the_atoms_are_noticed() -> None:
    frames = crystal()
    forces = frames["forces"].copy()
    forces[5 * 16 : 6 * 16] = np.abs(forces[5 * 16 : 6 * 16])
    with pytest.raises(UserError, match=r"frame 6: the forces add up to .* on 16 atoms"):
        check_forces(frames.with_arrays(forces=forces), wheres(frames), NATIVE)


def test_atoms_on_top_of_each_other_are_found_across_the_border() -> None:
    frames = crystal()
    positions = frames["positions"].copy()
    positions[2 * 16 + 1] = positions[2 * 16] + CELL[1] - CELL[2] + [0.3, 0, 0]
    with pytest.raises(UserError, match=r"frame 3: two atoms are 0\.3 Å apart"):
        check_distances(frames.with_arrays(positions=positions), wheres(frames), NATIVE)


def test_ions_alone_need_no_bond() -> None:
    salt = Frames.uniform(np.array([11, 17]), 2, positions=np.array([[0, 0, 0], [4.0, 4, 4]]), cell=CELL)
    check_distances(salt, wheres(salt), NATIVE)
    bohr = crystal()
    bohr = bohr.with_arrays(positions=bohr["positions"] / BOHR, cell=bohr["cell"] / BOHR)
    with pytest.raises(UserError, match=r"no hydrogen has a neighbour.*read as Å; bohr would fit"):
        check_distances(bohr, wheres(bohr), NATIVE)
