"""Potentials with known answers, with the interface of `saltern.potentials.Potential`."""

from __future__ import annotations

from collections.abc import Callable
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch

from saltern.frames import Frames

LATTICE = 5.3
FCC = np.array([[0, 0, 0], [0, 0.5, 0.5], [0.5, 0, 0.5], [0.5, 0.5, 0]]) * LATTICE


class Springs:
    """Atoms joined by springs, ½ k (r - r0)² each; the committee's members differ in k by `doubt` of it.

    `spares` counts down the evaluations until the process is interrupted.
    """

    device = torch.device("cpu")
    members = 3
    hashes = ("springs",)

    def __init__(self, pairs: Any, shifts: Any, *, k: float, r0: float, doubt: float = 0.0) -> None:
        self.first, self.second = torch.tensor(pairs).T
        self.shifts = torch.tensor(shifts)
        self.k, self.r0, self.doubt = k, r0, doubt
        self.species: tuple[int, ...] = (1, 10, 18)
        self.permittivities: dict[str, float] = {}
        self.permittivity: float | None = None
        self.evaluations = 0
        self.spares = -1

    def evaluate(self, batch: Any, *, spread: bool = False) -> Any:
        if self.spares == self.evaluations:
            raise KeyboardInterrupt
        self.evaluations += 1
        x = batch.positions.reshape(batch.systems, -1, 3)
        d = x[:, self.second] - x[:, self.first] + self.shifts
        r = d.norm(dim=2)
        pull = (self.k * (r - self.r0) / r)[..., None] * d
        forces = torch.zeros_like(x).index_add(1, self.first, pull).index_add(1, self.second, -pull)
        energy = 0.5 * self.k * (r - self.r0).square()
        doubts = self.doubt * forces.norm(dim=2)
        doubted = {"spread": doubts.max(dim=1).values, "atom_spread": doubts.flatten()} if spread else {"spread": None}
        return SimpleNamespace(energy=energy.sum(dim=1), forces=forces.reshape(-1, 3), **doubted)


class Fluid:
    """Soft spheres, u(r) = 1 eV (1 - r²/c²)⁴ up to c = 5.3 Å, where three derivatives are zero.

    On the lattice of `Crystal` they melt, so that energy wanders among all degrees of freedom, which it does not
    among springs.
    """

    device = torch.device("cpu")
    members = 1
    reach = LATTICE
    first, second = map(torch.tensor, np.triu_indices(32, 1))

    def evaluate(self, batch: Any, **_: Any) -> Any:
        x = batch.positions.reshape(batch.systems, -1, 3)
        d = x[:, self.second] - x[:, self.first]
        d = d - 2 * LATTICE * torch.round(d / (2 * LATTICE))
        inside = (1 - d.square().sum(dim=2) / self.reach**2).clamp(min=0)
        pull = (-8 / self.reach**2 * inside**3)[..., None] * d
        forces = torch.zeros_like(x).index_add(1, self.first, pull).index_add(1, self.second, -pull)
        return SimpleNamespace(energy=(inside**4).sum(dim=1), forces=forces.reshape(-1, 3), spread=None)


class Crystal:
    """Argon and neon on a face-centred lattice of 32 sites, neighbours joined by springs in two directions."""

    def __init__(self) -> None:
        cells = np.stack(np.meshgrid(*(np.arange(2),) * 3, indexing="ij"), axis=-1).reshape(-1, 1, 3)
        self.cell = 2 * LATTICE * np.eye(3)
        self.sites = (cells * LATTICE + FCC).reshape(-1, 3)
        self.numbers = np.where(np.arange(32) % 4 == 0, 10, 18)

    def potential(self, *, doubt: float = 0.0) -> Springs:
        first, second = np.triu_indices(32, 1)
        step = self.sites[second] - self.sites[first]
        shifts = -np.round(step / (2 * LATTICE)) * 2 * LATTICE
        near = np.linalg.norm(step + shifts, axis=1) < 0.75 * LATTICE
        pairs = np.stack([first, second], axis=1)[near]
        return Springs(pairs, shifts[near], k=1.0, r0=LATTICE / np.sqrt(2), doubt=doubt)

    def fluid(self) -> Fluid:
        return Fluid()

    def frames(self, temperatures: list[float], trajectories: list[str] | None = None) -> Frames:
        count = len(temperatures)
        names = trajectories or [f"r{i:04d}" for i in range(count)]
        return Frames.uniform(
            self.numbers, count, positions=self.sites, cell=self.cell, charges=np.zeros(32), molecules=np.arange(32),
            system=np.array(["crystal"]), trajectory=np.array(names), temperature=np.array(temperatures),
            permittivity=78.3,
        )  # fmt: skip


@pytest.fixture
def crystal() -> Crystal:
    return Crystal()


@pytest.fixture
def dimer() -> Callable[..., tuple[Springs, Frames]]:
    """Two argon atoms on a spring, some distance apart across the boundary of a box of 20 Å."""

    def build(distance: float, *, k: float = 2.0, r0: float = 3.0) -> tuple[Springs, Frames]:
        frames = Frames.uniform(
            np.array([10, 18]), 1, positions=np.array([[0.2, 0, 0], [20.2 - distance, 0, 0]]), cell=20 * np.eye(3),
            charges=np.zeros(2), molecules=np.arange(2), system=np.array(["dimer"]), trajectory=np.array(["r0000"]),
            temperature=300.0, permittivity=78.3,
        )  # fmt: skip
        return Springs([[0, 1]], [[-20.0, 0, 0]], k=k, r0=r0), frames

    return build
