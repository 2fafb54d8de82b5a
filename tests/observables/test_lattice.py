"""Crystals get the name of their lattice, whatever their size, their noise and how they lie in the box."""

import numpy as np
import pytest

from saltern.observables import lattice_name

FACES = np.array([[0, 0, 0], [0, 0.5, 0.5], [0.5, 0, 0.5], [0.5, 0.5, 0]])
EVERYWHERE = {
    "rocksalt": (FACES, FACES + 0.5, 6.0, 3),
    "zincblende": (FACES, FACES + 0.25, 6.8, 3),
    "CsCl": (np.zeros((1, 3)), np.full((1, 3), 0.5), 4.2, 5),
}


def crystal(cations, anions, constant, cells, noise, seed=0):
    """A periodic crystal, turned at random: positions, cell, charges."""
    rng = np.random.default_rng(seed)
    grid = np.stack(np.meshgrid(*[np.arange(cells)] * 3, indexing="ij"), axis=-1).reshape(-1, 1, 3)
    points = constant * np.concatenate([(grid + cations).reshape(-1, 3), (grid + anions).reshape(-1, 3)])
    charges = np.repeat([1.0, -1.0], len(points) // 2)
    turned = np.linalg.qr(rng.normal(size=(3, 3)))[0]
    return (points + rng.normal(scale=noise, size=points.shape)) @ turned, cells * constant * turned, charges


@pytest.mark.parametrize("name", EVERYWHERE)
@pytest.mark.parametrize("noise", [0.0, 0.25])
def test_a_bulk_crystal_is_named(name, noise):
    positions, cell, charges = crystal(*EVERYWHERE[name], noise)
    assert lattice_name(positions, cell, charges, charges > 0) == name
    thrown = positions + np.random.default_rng(1).integers(-2, 3, positions.shape) @ cell
    assert lattice_name(thrown, cell, charges, charges > 0) == name


def test_cations_in_place_do_not_make_a_lattice_without_anions_in_theirs():
    """Face-centred cations among anions at random, and rocksalt whose anions are all moved by an eighth of the cell."""
    positions, cell, charges = crystal(*EVERYWHERE["rocksalt"], 0.1)
    rng = np.random.default_rng(2)
    melted = np.where(charges[:, None] > 0, positions, rng.random(positions.shape) @ cell)
    assert lattice_name(melted, cell, charges, charges > 0) is None
    moved = crystal(FACES, FACES + np.array([0.5, 0.5, 0.25]), 6.0, 3, 0.05)
    assert lattice_name(*moved, moved[2] > 0) is None


def test_a_solution_has_no_lattice():
    for seed in range(5):
        points = np.random.default_rng(seed).random((128, 3)) * 29.8
        charges = np.repeat([1.0, -1.0], 64)
        assert lattice_name(points, 29.8 * np.eye(3), charges, charges > 0) is None


def test_too_few_ions_have_no_lattice():
    positions, cell, charges = crystal(FACES, FACES + 0.5, 6.0, 1, 0.0)
    assert lattice_name(positions, cell, charges, charges > 0) is None
    assert lattice_name(positions, cell, charges, np.zeros(8, dtype=bool)) is None
