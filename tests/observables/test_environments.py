"""Surroundings of atoms, and whether a simulation went where there are none like them in the training frames."""

from pathlib import Path

import numpy as np
import pytest

from saltern.frames import Frames
from saltern.observables import Known, TrainingEnvironments, environments, new_environments
from saltern.store import FrameReader, write_shard

A = 5.64
REACH = 8.0


def rocksalt(copies: int = 2) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Positions, cell and signs of a crystal."""
    sites = np.stack(np.meshgrid(*[np.arange(2 * copies)] * 3, indexing="ij"), axis=-1).reshape(-1, 3)
    return sites * A / 2, np.eye(3) * A * copies, np.where(sites.sum(axis=1) % 2, -1.0, 1.0)


def test_shells_of_rocksalt() -> None:
    positions, cell, signs = rocksalt()
    found = REACH * np.exp(environments(positions, cell, signs, np.array([-1.0, 1.0])) * np.sqrt(24))
    unlike = [A / 2] * 6 + [np.sqrt(3) * A / 2] * 6
    like = [A / np.sqrt(2)] * 12
    assert found[signs < 0] == pytest.approx(np.tile(like + unlike, (32, 1)))
    assert found[signs > 0] == pytest.approx(np.tile(unlike + like, (32, 1)))


def test_a_cell_smaller_than_the_reach_is_as_good() -> None:
    small, large = (environments(*rocksalt(n), np.array([-1.0, 1.0]))[0] for n in (1, 2))
    assert small == pytest.approx(large)


def test_nothing_jumps_where_a_neighbour_comes_within_reach() -> None:
    def of(distance: float) -> np.ndarray:
        positions = np.array([[0.0, 0, 0], [distance, 0, 0]])
        return environments(positions, 40 * np.eye(3), np.array([11, 17]), np.array([11, 17]))

    step = 1e-4
    before, after = of(REACH - step), of(REACH + step)
    assert np.abs(after - before).max() < 2 * step / REACH
    # the distance of two environments is the root mean square over 24 neighbours, 23 of which are missing in both
    moved = np.linalg.norm(of(3.0) - of(2.5), axis=1)
    assert moved == pytest.approx([np.log(3.0 / 2.5) / np.sqrt(24)] * 2)


def test_the_nearest_known_one_is_of_the_same_kind() -> None:
    known = Known([(np.array([[0.0, 0.0], [3.0, 4.0]]), np.array([1, 8])), (np.array([[1.0, 0.0]]), np.array([1]))])
    asked = np.array([[0.9, 0.0], [0.9, 0.0], [0.0, 0.0]])
    assert known.distances(asked, np.array([1, 8, 11])) == pytest.approx([0.1, np.hypot(2.1, 4), np.inf])


def test_the_nearest_is_found_near_and_far():
    """Asked are points from 0.0001 to 1 away from known ones, more than are looked at at once."""
    rng = np.random.default_rng(0)
    points, away = rng.normal(size=(300, 24)), rng.normal(size=(4000, 24))
    away *= np.geomspace(1e-4, 1, 4000)[:, None] / np.linalg.norm(away, axis=1, keepdims=True)
    asked = points[rng.integers(300, size=4000)] + away
    direct = np.min([np.linalg.norm(asked - point, axis=1) for point in points], axis=0)
    found = Known([(points, np.ones(300))]).distances(asked, np.ones(4000))
    np.testing.assert_allclose(found, direct, rtol=1e-9)
    assert Known([(points, np.ones(300))]).distances(asked[:0], np.ones(0)).shape == (0,)


def fluid(frames: int, seed: int, spacing: float = 3.2) -> Frames:
    """Argon and neon around the sites of a cube, thrown about."""
    rng = np.random.default_rng(seed)
    sites = spacing * np.stack(np.meshgrid(*[np.arange(3)] * 3, indexing="ij"), axis=-1).reshape(-1, 3)
    return Frames.uniform(
        np.array([18] * 13 + [10] * 14), frames, positions=sites + rng.normal(scale=0.25, size=(frames, 27, 3)),
        cell=3 * spacing * np.eye(3), charges=np.zeros(27), molecules=np.arange(27), energy=0.0,
        system=np.array(["fluid"]), trajectory=np.array(["r0000"]), time=np.arange(frames) * 10.0,
    )  # fmt: skip


@pytest.fixture
def training(tmp_path: Path) -> TrainingEnvironments:
    write_shard(tmp_path / "shard.h5", fluid(300, 0), {})
    return TrainingEnvironments(FrameReader(tmp_path, ["shard.h5"], np.zeros(300), np.arange(300)))


def test_frames_like_the_held_out_ones_have_one_atom_in_a_hundred_with_new_surroundings(
    training: TrainingEnvironments,
) -> None:
    held = fluid(150, 1)
    distances = training.distances(held)
    usual = {name: np.quantile(distances[held["numbers"] == z], 0.99) for name, z in (("Ar", 18), ("Ne", 10))}
    same = new_environments([fluid(50, 2), fluid(50, 3)], training, usual, 5)
    assert same["value"] == pytest.approx(0.01, abs=0.005)
    assert 0 < same["error"] < 0.01
    denser = new_environments([fluid(50, 2, spacing=2.9)], training, usual, 5)
    assert denser["value"] > 0.3
    # of an element of which nothing is known, nothing is said
    argon = new_environments([fluid(50, 2, spacing=2.9)], training, {"Ar": usual["Ar"]}, 5)
    assert 0 < argon["value"] < denser["value"]
