"""Equations of motion, thermostat, units."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from ase import units

from saltern.config import SimulateConfig
from saltern.dynamics.motion import Motion, State, generator_of, inertia, thermal_velocities
from saltern.dynamics.run import Run
from saltern.dynamics.surface import Surface
from saltern.units import BOLTZMANN


def motion_at_rest(potential: Any, frames: Any, timestep: float) -> Motion:
    positions = frames.stacked("positions").copy()
    state = State(positions, np.zeros_like(positions), np.zeros(len(frames)), [])
    return Motion(Surface(potential, frames), state, frames["temperature"], timestep, 100.0)


def crystal_run(crystal: Any, temperatures: list[float], **settings: Any) -> Run:
    config = SimulateConfig(**{"equilibrate_ps": 0, "timestep_fs": 4, **settings})
    frames = crystal.frames(temperatures)
    return Run.begun(crystal.potential(), frames, config, "test", range(len(frames)))


def conserved(run: Run, steps: int, *, thermostat: bool) -> np.ndarray:
    energies = np.empty((steps, len(run.names)))
    for row in energies:
        run.motion.step(thermostat=thermostat)
        row[:] = run.motion.conserved_energy
    return energies


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


def test_energy_error_is_second_order_in_the_time_step(crystal: Any) -> None:
    def error(timestep: float) -> float:
        run = crystal_run(crystal, [300.0], ensemble="nve", timestep_fs=timestep)
        return float(conserved(run, round(2000 / timestep), thermostat=False).std())

    assert error(4.0) / error(2.0) == pytest.approx(4.0, rel=0.1)


def test_energy_does_not_drift(crystal: Any) -> None:
    """A fluid's energy drifts by less than 1e-3 kT per atom and ps, and scatters by less than 1e-3 kT per atom."""
    run = Run.begun(crystal.fluid(), crystal.frames([300.0]), SimulateConfig(timestep_fs=2), "test", [0])
    energies = conserved(run, 4000, thermostat=False)[:, 0] / (32 * BOLTZMANN * 300)
    assert abs(np.polyfit(np.arange(4000) / 500, energies, 1)[0]) < 1e-4
    assert energies.std() < 1e-3


def test_momentum_is_conserved(crystal: Any) -> None:
    run = crystal_run(crystal, [300.0])
    conserved(run, 500, thermostat=True)
    momentum = (run.motion.inertia * run.motion.state.velocities).sum(axis=1)
    assert np.abs(momentum).max() < 1e-10


def test_dynamics_is_reversible(crystal: Any) -> None:
    run = crystal_run(crystal, [300.0])
    state = run.motion.state
    start = state.positions.copy()
    conserved(run, 300, thermostat=False)
    assert np.abs(state.positions - start).max() > 0.1
    state.velocities = -state.velocities
    conserved(run, 300, thermostat=False)
    np.testing.assert_allclose(state.positions, start, atol=1e-10)


def test_thermostat_samples_the_canonical_ensemble(crystal: Any) -> None:
    """Mean and variance of the kinetic temperature at two temperatures at once.

    Its variance is 2 T²/f in the canonical ensemble, and about half of that here without a thermostat.
    """
    wanted = np.repeat([200.0, 400.0], 8)
    config = SimulateConfig(equilibrate_ps=0, timestep_fs=4, thermostat_fs=10)
    motion = Run.begun(crystal.fluid(), crystal.frames(wanted.tolist()), config, "test", range(16)).motion
    series = np.empty((2000, 16))
    for row in series:
        motion.step(thermostat=True)
        row[:] = motion.temperature
    relative = series[400:] / wanted
    means = relative.mean(axis=0).reshape(2, 8)
    errors = means.std(axis=1, ddof=1) / np.sqrt(8)
    assert (errors < 0.005).all()
    np.testing.assert_array_less(np.abs(means.mean(axis=1) - 1), 4 * errors)
    variances = relative.var(axis=0).reshape(2, 8).mean(axis=1)
    np.testing.assert_allclose(variances, 2 / motion.freedom, rtol=0.06)


def test_heat_of_the_thermostat_is_accounted_for(crystal: Any) -> None:
    run = crystal_run(crystal, [300.0, 100.0], timestep_fs=1, thermostat_fs=20)
    energies = conserved(run, 1000, thermostat=True)
    assert np.abs(run.motion.state.heat).min() > 0.05
    assert (energies.std(axis=0) < 2e-3).all()


def test_equipartition_of_initial_velocities(crystal: Any) -> None:
    """Light and heavy atoms at the same temperature, in f = 3 N - 3 degrees of freedom."""
    weights = inertia(crystal.numbers)
    draws = np.stack([thermal_velocities(crystal.numbers, 300.0, generator_of(0, "x", i)) for i in range(2000)])
    assert np.abs((weights * draws).sum(axis=1)).max() < 1e-12
    share = 1 - weights[:, 0] / weights.sum()  # what each atom keeps when the centre of mass is put to rest
    each = (weights * draws**2).mean(axis=(0, 2)) / (BOLTZMANN * 300.0 * share)
    for number in (10, 18):
        assert each[crystal.numbers == number].mean() == pytest.approx(1.0, abs=0.01)


def test_a_replica_has_its_own_random_numbers() -> None:
    draw = {key: generator_of(*key).random() for key in [(0, "a", 0), (1, "a", 0), (0, "b", 0), (0, "a", 1)]}
    assert len(set(draw.values())) == 4
    assert generator_of(0, "a", 1).random() == draw[0, "a", 1]
