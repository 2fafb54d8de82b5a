"""Equations of motion: velocity Verlet, and stochastic velocity rescaling for a canonical ensemble."""

from __future__ import annotations

from collections.abc import Sequence
from copy import copy
from dataclasses import dataclass
from hashlib import sha256

import numpy as np

from saltern.dynamics.surface import Surface
from saltern.frames import Array
from saltern.units import BOLTZMANN, MASS_TIMES_VELOCITY_SQUARED


@dataclass
class State:
    """Where some replicas of one system are: with the surface, all that their future depends on.

    Attributes:
        positions: (replica, atom, 3) in Å, unwrapped.
        velocities: (replica, atom, 3) in Å/fs.
        heat: (replica,) energy that the thermostat gave so far, in eV.
        generators: one source of random numbers for each replica, so that none depends on its neighbours.
    """

    positions: Array
    velocities: Array
    heat: Array
    generators: list[np.random.Generator]

    def select(self, rows: Sequence[int] | Array) -> State:
        """The same for some of the replicas."""
        generators = [self.generators[row] for row in rows]
        return State(self.positions[rows], self.velocities[rows], self.heat[rows], generators)


class Motion:
    """Replicas of one system in motion.

    Args:
        surface: their potential.
        state: where they start.
        temperatures: (replica,) of their thermostats, in K.
        timestep: in fs.
        relaxation: time constant of the thermostat in fs.
    """

    def __init__(self, surface: Surface, state: State, temperatures: Array, timestep: float, relaxation: float) -> None:
        self.surface = surface
        self.state = state
        self.temperatures = temperatures
        self.timestep = timestep
        self.relaxation = relaxation
        self.inertia = inertia(surface.starts.of(0, "numbers"))
        self.evaluate()

    @property
    def freedom(self) -> int:
        """Degrees of freedom of one replica, whose centre of mass is at rest."""
        return 3 * len(self.inertia) - 3

    @property
    def kinetic_energy(self) -> Array:
        """(replica,) in eV."""
        squares = self.inertia * self.state.velocities**2
        energy: Array = 0.5 * squares.reshape(len(squares), -1).sum(axis=1)
        return energy

    @property
    def temperature(self) -> Array:
        """(replica,) kinetic temperature in K."""
        return 2 * self.kinetic_energy / (self.freedom * BOLTZMANN)

    @property
    def conserved_energy(self) -> Array:
        """(replica,) total energy minus the heat that the thermostat gave, in eV."""
        return self.kinetic_energy + self.point.energy - self.state.heat

    def select(self, rows: Sequence[int] | Array) -> Motion:
        """The same for some of the replicas."""
        other = copy(self)
        other.surface, other.state = self.surface.select(rows), self.state.select(rows)
        other.temperatures, other.point = self.temperatures[rows], self.point.select(rows)
        return other

    def evaluate(self, spread: bool = False) -> None:
        """Find energies and forces where the replicas are."""
        self.point = self.surface(self.state.positions, spread)

    def step(self, *, thermostat: bool, spread: bool = False) -> None:
        """Move by one time step: half a kick, a drift, half a kick, then the thermostat."""
        state = self.state
        half = self.timestep / (2 * self.inertia)
        velocities = state.velocities + half * self.point.forces
        state.positions = state.positions + self.timestep * velocities
        self.evaluate(spread)
        state.velocities = velocities + half * self.point.forces
        if thermostat:
            self._rescale()

    def _rescale(self) -> None:
        """Let the thermostat act for one time step.

        G. Bussi, D. Donadio, M. Parrinello, J. Chem. Phys. 126, 014101 (2007), eqs. (A7) and (A8): the kinetic
        energy makes an exact step of its stochastic equation of motion.
        """
        state, kinetic = self.state, self.kinetic_energy
        normal = np.array([g.standard_normal() for g in state.generators])
        others = np.array([g.chisquare(self.freedom - 1) for g in state.generators])
        kept = np.exp(-self.timestep / self.relaxation)
        fresh = (1 - kept) * BOLTZMANN * self.temperatures / (2 * kinetic)
        squared = kept + fresh * (normal**2 + others) + 2 * normal * np.sqrt(kept * fresh)
        factor = np.copysign(np.sqrt(squared), normal + np.sqrt(kept / fresh))
        state.velocities = factor[:, None, None] * state.velocities
        state.heat = state.heat + (squared - 1) * kinetic


def inertia(numbers: Array) -> Array:
    """Masses (atom, 1) in eV fs²/Å²: acceleration is force over this, kinetic energy half of this times v²."""
    from ase.data import atomic_masses

    return np.asarray(atomic_masses[numbers] * MASS_TIMES_VELOCITY_SQUARED)[:, None]


def thermal_velocities(numbers: Array, temperature: float, generator: np.random.Generator) -> Array:
    """Velocities (atom, 3) in Å/fs from Maxwell and Boltzmann's distribution, the centre of mass at rest."""
    weights = inertia(numbers)
    velocities = generator.standard_normal((len(numbers), 3)) * np.sqrt(BOLTZMANN * temperature / weights)
    rest: Array = velocities - (weights * velocities).sum(axis=0) / weights.sum()
    return rest


def generator_of(seed: int, purpose: str, replica: int) -> np.random.Generator:
    """A replica's own source of random numbers; `purpose` says what for, such as 'simulate NaCl-3f9c2a'."""
    return np.random.default_rng([seed, int.from_bytes(sha256(purpose.encode()).digest()[:8]), replica])
