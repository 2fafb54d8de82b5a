"""Equations of motion, thermostat, units."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from ase import units

from saltern.dynamics.motion import Motion, State, generator_of, inertia, thermal_velocities
from saltern.dynamics.surface import Surface
from saltern.units import BOLTZMANN


def motion_at_rest(potential: Any, frames: Any, timestep: float) -> Motion:
    positions = frames.stacked("positions").copy()
    state = State(positions, np.zeros_like(positions), np.zeros(len(frames)), np.zeros((len(frames), 2, 0)), [])
    return Motion(Surface(potential, frames), state, frames["temperature"], timestep, 100.0)


def test_kinetic_energy_of_a_free_particle(dimer: Any) -> None:
    motion = motion_at_rest(*dimer(3.0), timestep=1.0)
    motion.state.velocities[0, 1] = [0.0, 0.01, 0.0]
    assert motion.kinetic_energy[0] == pytest.approx(0.5 * 39.948 * (0.01 / units.fs) ** 2, rel=1e-6)
    assert motion.temperature[0] == pytest.approx(2 * motion.kinetic_energy[0] / (3 * units.kB), rel=1e-6)


def test_period_of_a_dimer(dimer: Any) -> None:
    """2π sqrt(μ/k), with a stretch across the box's boundary."""
    motion = motion_at_rest(*dimer(3.05, k=2.0), timestep=0.5)
    lengths = []
    for _ in range(4000):
        motion.step(thermostat=False)
        x = motion.state.positions[0, :, 0]
        lengths.append(x[1] - x[0] - 20.0)
    stretch = -np.array(lengths) - 3.0
    down = np.flatnonzero((stretch[:-1] > 0) & (stretch[1:] <= 0))
    times = 0.5 * (down + stretch[down] / (stretch[down] - stretch[down + 1]))
    neon, argon = 20.1797, 39.948
    reduced = neon * argon / (neon + argon) / units.fs**2
    assert len(times) > 10
    assert np.diff(times).mean() == pytest.approx(2 * np.pi * np.sqrt(reduced / 2.0), rel=2e-4)


def test_free_drift_is_a_straight_line(dimer: Any) -> None:
    motion = motion_at_rest(*dimer(3.0), timestep=2.0)
    motion.state.velocities[0] = [0.03, -0.02, 0.01]
    start = motion.state.positions.copy()
    for _ in range(500):
        motion.step(thermostat=False)
    # 30 Å in a box of 20 Å: positions stay unwrapped
    expected = np.broadcast_to([30.0, -20.0, 10.0], (1, 2, 3))
    np.testing.assert_allclose(motion.state.positions - start, expected, atol=1e-9)


def test_equipartition_of_initial_velocities(crystal: Any) -> None:
    """Light and heavy atoms at the same temperature, in f = 3 N - 3 degrees of freedom."""
    weights = inertia(crystal.numbers)
    draws = np.stack([thermal_velocities(weights, 300.0, generator_of(0, "x", i)) for i in range(2000)])
    assert np.abs((weights * draws).sum(axis=1)).max() < 1e-12
    share = 1 - weights[:, 0] / weights.sum()  # what each atom keeps when the centre of mass is put to rest
    each = (weights * draws**2).mean(axis=(0, 2)) / (BOLTZMANN * 300.0 * share)
    for number in (10, 18):
        assert each[crystal.numbers == number].mean() == pytest.approx(1.0, abs=0.01)


def test_a_replica_has_its_own_random_numbers() -> None:
    draw = {key: generator_of(*key).random() for key in [(0, "a", 0), (1, "a", 0), (0, "b", 0), (0, "a", 1)]}
    assert len(set(draw.values())) == 4
    assert generator_of(0, "a", 1).random() == draw[0, "a", 1]
