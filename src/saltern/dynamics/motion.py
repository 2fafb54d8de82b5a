"""Equations of motion: velocity Verlet, with places where a thermostat may act."""

from __future__ import annotations

from collections.abc import Sequence
from copy import copy
from dataclasses import dataclass
from hashlib import sha256

import numpy as np

from saltern.dynamics.surface import Point, Surface
from saltern.frames import Array
from saltern.units import BOLTZMANN, MASS_TIMES_VELOCITY_SQUARED


@dataclass
class State:
    """Where some replicas of one system are: with the surface, all that their future depends on.

    Attributes:
        positions: (replica, atom, 3) in Å, unwrapped.
        velocities: (replica, atom, 3) in Å/fs.
        heat: (replica,) energy that the thermostat gave so far, in eV.
        bath: (replica, 2, link) positions and velocities (1/fs) of the thermostat's own degrees of freedom, if any.
        generators: one source of random numbers for each replica, so that none depends on its neighbours.
    """

    positions: Array
    velocities: Array
    heat: Array
    bath: Array
    generators: list[np.random.Generator]

    def select(self, rows: Sequence[int] | Array) -> State:
        """The same for some of the replicas."""
        generators = [self.generators[row] for row in rows]
        return State(self.positions[rows], self.velocities[rows], self.heat[rows], self.bath[rows], generators)


class Free:
    """No thermostat. What a thermostat does differently in a time step, it overrides; see `thermostats`."""

    links = 0
    """Degrees of freedom of its own."""

    def before(self, motion: Motion) -> None:
        """Act before the first half of the kick."""

    def drift(self, motion: Motion) -> None:
        """Move the atoms for one time step."""
        motion.state.positions = motion.state.positions + motion.timestep * motion.state.velocities

    def after(self, motion: Motion) -> None:
        """Act after the second half of the kick."""


FREE = Free()


class Motion:
    """Replicas of one system in motion.

    Args:
        surface: their potential.
        state: where they start.
        temperatures: (replica,) of their thermostats, in K.
        timestep: in fs.
        relaxation: time constant of the thermostat in fs.
        thermostat: what keeps the temperature where that is asked for.
    """

    def __init__(
        self,
        surface: Surface,
        state: State,
        temperatures: Array,
        timestep: float,
        relaxation: float,
        thermostat: Free = FREE,
    ) -> None:
        self.surface = surface
        self.state = state
        self.temperatures = temperatures
        self.timestep = timestep
        self.relaxation = relaxation
        self.thermostat = thermostat
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
        """Move by one time step, alone."""
        self.begin_step(thermostat=thermostat)
        self.end_step(self.surface(self.state.positions, spread), thermostat=thermostat)

    def begin_step(self, *, thermostat: bool) -> None:
        """Half a kick and a drift, with the thermostat where it acts; what follows is the forces there."""
        acting = self.thermostat if thermostat else FREE
        acting.before(self)
        self._kick()
        acting.drift(self)

    def end_step(self, point: Point, *, thermostat: bool) -> None:
        """Half a kick by the forces where the replicas came to."""
        self.point = point
        self._kick()
        (self.thermostat if thermostat else FREE).after(self)

    def _kick(self) -> None:
        """Half a time step of the forces."""
        self.state.velocities = self.state.velocities + self.timestep / (2 * self.inertia) * self.point.forces


def inertia(numbers: Array) -> Array:
    """Masses (atom, 1) in eV fs²/Å²: acceleration is force over this, kinetic energy half of this times v²."""
    from ase.data import atomic_masses

    return np.asarray(atomic_masses[numbers] * MASS_TIMES_VELOCITY_SQUARED)[:, None]


def thermal_velocities(weights: Array, temperature: float, generator: np.random.Generator) -> Array:
    """Velocities (atom, 3) in Å/fs from Maxwell and Boltzmann's distribution, the centre of mass at rest.

    Args:
        weights: (atom, 1) inertia, from `inertia`.
        temperature: in K.
        generator: source of random numbers.
    """
    velocities = generator.standard_normal((len(weights), 3)) * np.sqrt(BOLTZMANN * temperature / weights)
    rest: Array = velocities - (weights * velocities).sum(axis=0) / weights.sum()
    return rest


def generator_of(seed: int, purpose: str, replica: int) -> np.random.Generator:
    """A replica's own source of random numbers; `purpose` says what for, such as 'simulate NaCl-3f9c2a'."""
    return np.random.default_rng([seed, int.from_bytes(sha256(purpose.encode()).digest()[:8]), replica])
