"""A liquid whose potential is known: ions with a pair potential, labelled with noise on demand."""

import numpy as np
import pytest

from saltern.frames import Array, Frames
from saltern.potentials import Batch, NeighbourList

EDGE, IONS, CUTOFF = 16.0, 24, 7.0


class Liquid:
    """`liquid(count, noise, seed)` are frames of random ions at least 2.4 Å apart; noise in eV/Å."""

    cutoff = CUTOFF

    @staticmethod
    def slope(distances: Array, like: Array) -> Array:
        """dU/dr in eV/Å at distances (pair,), of like (True) or unlike elements (pair,)."""
        return slope(distances, like)

    def __call__(self, count: int, noise: float = 0.0, seed: int = 0) -> Frames:
        return _liquid(count, noise, seed)


@pytest.fixture(scope="session")
def liquid() -> Liquid:
    return Liquid()


def slope(distances: Array, like: Array) -> Array:
    """A wall, a well and a barrier, all fading at the cutoff with value, slope and curvature."""
    u = np.clip(1 - distances / CUTOFF, 0, None)
    sign = np.where(like, 1.0, -0.7)
    wave, turn = np.cos(2.2 * distances), -2.2 * np.sin(2.2 * distances)
    return sign * (turn * u**4 - 4 / CUTOFF * wave * u**3) * 0.4


def _liquid(count: int, noise: float, seed: int) -> Frames:
    rng = np.random.default_rng(seed)
    numbers = np.where(np.arange(IONS) % 2, 17, 11)
    frames = Frames.uniform(
        numbers, count,
        positions=np.stack([_apart(rng) for _ in range(count)]), cell=np.eye(3) * EDGE, charges=0.0, permittivity=1.0,
        system=np.array(["liquid"]), trajectory=np.array([f"t{i % 12:02d}" for i in range(count)]),
        temperature=300.0, energy=np.nan,
    )  # fmt: skip
    batch = Batch.of(frames)
    pairs = NeighbourList(CUTOFF, skin=0.0).pairs(batch)
    first, second, vectors = pairs.first.numpy(), pairs.second.numpy(), pairs.vectors.numpy()
    distances = np.linalg.norm(vectors, axis=1)
    like = frames["numbers"][first] == frames["numbers"][second]
    pull = (slope(distances, like) / distances)[:, None] * vectors
    forces = rng.normal(scale=noise, size=(count * IONS, 3)) if noise else np.zeros((count * IONS, 3))
    np.add.at(forces, first, pull)
    np.add.at(forces, second, -pull)
    return frames.with_arrays(forces=forces)


def _apart(rng: np.random.Generator) -> Array:
    """Points in the box, drawn again where they are too near to those before."""
    found = np.empty((0, 3))
    while len(found) < IONS:
        point = rng.random(3) * EDGE
        steps = found - point
        steps -= EDGE * np.round(steps / EDGE)
        if (np.linalg.norm(steps, axis=1) > 2.4).all():
            found = np.vstack([found, point])
    return found


class Held:
    """Frames in memory, as a reader gives them."""

    def __init__(self, frames: Frames) -> None:
        self.held = frames

    def __len__(self) -> int:
        return len(self.held)

    def subset(self, indices) -> "Held":
        return Held(self.held.select(indices))

    def has(self, name: str) -> bool:
        return name in self.held

    def frames(self, indices, names) -> Frames:
        chosen = self.held.select(indices)
        return Frames(chosen.offsets, {name: chosen[name] for name in names})

    def batches(self, names):
        if len(self.held):
            yield self.frames(range(len(self.held)), names)


@pytest.fixture(scope="session")
def held() -> type[Held]:
    return Held
