"""When a trajectory is stopped, and how it is started gently."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch

from saltern.dynamics.guards import Contacts
from saltern.dynamics.relax import LARGEST_FORCE, relax
from saltern.dynamics.surface import Surface, known_to
from saltern.errors import UserError

TRICLINIC = np.array([[9.0, 0, 0], [3.0, 8.0, 0], [-2.0, 1.0, 10.0]])


def nearest(positions: np.ndarray, cell: np.ndarray) -> tuple[float, set[int]]:
    """Closest pair by going through all images."""
    images = np.stack(np.meshgrid(*(np.arange(-2, 3),) * 3, indexing="ij"), axis=-1).reshape(-1, 3) @ cell
    wrapped = (positions @ np.linalg.inv(cell) % 1.0) @ cell
    first, second = np.triu_indices(len(positions), 1)
    distances = np.linalg.norm((wrapped[second] - wrapped[first])[:, None] + images, axis=2).min(axis=1)
    best = int(distances.argmin())
    return float(distances[best]), {int(first[best]), int(second[best])}


def test_contacts_are_those_of_a_search_through_all_images() -> None:
    """Two walks of 20 atoms through a skewed box; the list is renewed on the way."""
    generator = np.random.default_rng(3)
    positions = generator.uniform(-20, 20, (2, 20, 3))
    contacts, limit, seen = Contacts(np.stack([TRICLINIC, TRICLINIC]), 0.8), 0.8, set()
    for _ in range(300):
        positions = positions + generator.normal(scale=0.08, size=positions.shape)
        found = {row: (distance, {a, b}) for row, a, b, distance in contacts.closer(positions)}
        for row in range(2):
            distance, pair = nearest(positions[row], TRICLINIC)
            assert (row in found) == (distance < limit)
            if row in found:
                seen.add(row)
                assert found[row][0] == pytest.approx(distance, abs=1e-9)
                assert found[row][1] == pair
    assert seen == {0, 1}


def test_relaxing_takes_out_contacts_and_leaves_the_rest_alone(dimer: Any) -> None:
    potential, frames = dimer(1.0, k=20.0)
    surface = Surface(potential, frames)
    start = frames.stacked("positions").copy()
    end = relax(surface, start)
    assert np.linalg.norm(surface(start).forces, axis=2).max() > 10 * LARGEST_FORCE
    assert np.linalg.norm(surface(end).forces, axis=2).max() <= LARGEST_FORCE
    assert np.array_equal(relax(surface, end), end)


def test_relaxing_survives_atoms_on_top_of_each_other() -> None:
    """Repulsion as 1/r¹²: the first force is astronomic, no atom may be thrown further than a step."""

    def evaluate(batch: Any, *, spread: bool = False) -> Any:
        x = batch.positions.detach().requires_grad_(True)
        energy = (2.0 / (x[1] - x[0]).norm()) ** 12
        (gradient,) = torch.autograd.grad(energy, x)
        return SimpleNamespace(energy=energy.detach()[None], forces=-gradient, spread=None)

    from saltern.frames import Frames

    frames = Frames.uniform(
        np.array([18, 18]), 1, positions=np.array([[0, 0, 0], [0.05, 0, 0]]), cell=20 * np.eye(3),
        charges=np.zeros(2), permittivity=1.0,
    )  # fmt: skip
    potential: Any = SimpleNamespace(device="cpu", members=1, evaluate=evaluate)
    surface = Surface(potential, frames)
    end = relax(surface, frames.stacked("positions").copy())
    assert np.linalg.norm(surface(end).forces, axis=2).max() <= LARGEST_FORCE
    assert 2.0 < np.linalg.norm(end[0, 1] - end[0, 0]) < 3.5


def test_a_potential_with_its_own_permittivity_takes_any_system(crystal: Any) -> None:
    potential, frames = crystal.potential(), crystal.frames([300.0, 310.0])
    potential.permittivities, potential.permittivity = {"crystal": 50.0}, 50.0
    assert known_to(potential, frames)["permittivity"].tolist() == [50.0, 50.0]
    assert frames["permittivity"].tolist() == [78.3, 78.3]


def test_unknown_elements_and_another_permittivity_are_refused(crystal: Any) -> None:
    potential, frames = crystal.potential(), crystal.frames([300.0])
    assert known_to(potential, frames) is frames
    potential.permittivities = {"crystal": 50.0}
    with pytest.raises(UserError, match=r"crystal: permittivity is 78\.3, .* trained with 50"):
        known_to(potential, frames)
    potential.species = (10,)
    with pytest.raises(UserError, match="Ar is unknown to the potential, which was trained on Ne"):
        known_to(potential, frames)
