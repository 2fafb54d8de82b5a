"""Integrators against theory: conservation, reversal, and what they sample."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from scipy.stats import chi2, kstest

from saltern.config import SimulateConfig
from saltern.dynamics.motion import Motion
from saltern.dynamics.run import Run
from saltern.frames import Frames
from saltern.units import BOLTZMANN

THERMOSTATS = ["bussi", "langevin", "nose-hoover"]
WAYS = [None, *THERMOSTATS]
"""None is velocity Verlet alone."""


def motion_of(potential: Any, frames: Frames, thermostat: str | None, **settings: Any) -> Motion:
    chosen = {"thermostat": thermostat} if thermostat else {}
    config = SimulateConfig(**{"equilibrate_ps": 0, "timestep_fs": 4, **chosen, **settings})
    return Run.begun(potential, frames, config, "test", range(len(frames))).motion


def conserved(motion: Motion, steps: int, thermostat: str | None) -> np.ndarray:
    energies = np.empty((steps, len(motion.temperatures)))
    for row in energies:
        motion.step(thermostat=thermostat is not None)
        row[:] = motion.conserved_energy
    return energies


def wells(crystal: Any, count: int) -> tuple[Any, Frames, float]:
    """Neon and argon on a spring of no length, in some copies, and its frequency: a harmonic oscillator in space."""
    frames = Frames.uniform(
        np.array([10, 18]), count, positions=np.array([[0.2, 0, 0], [0.25, 0.01, 0.02]]), cell=20 * np.eye(3),
        charges=np.zeros(2), molecules=np.arange(2), system=np.array(["well"]),
        trajectory=np.array([f"r{i:04d}" for i in range(count)]), temperature=300.0, permittivity=78.3,
    )  # fmt: skip
    potential = type(crystal.potential())([[0, 1]], [[0.0, 0, 0]], k=2.0, r0=0.0)
    inertia = np.array([20.1797, 39.948]) / 0.0982269478846**2  # ASE's unit of time in fs, squared
    return potential, frames, float(np.sqrt(2.0 * inertia.sum() / inertia.prod()))


@pytest.mark.parametrize("way", WAYS)
def test_energy_error_is_second_order_in_the_time_step(way: str | None, crystal: Any) -> None:
    """What is conserved wanders four times as far with twice the step."""

    def error(timestep: float) -> float:
        motion = motion_of(crystal.fluid(), crystal.frames([300.0] * 8), way, timestep_fs=timestep)
        return float(np.sqrt(conserved(motion, round(1000 / timestep), way).var(axis=0).mean()))

    assert error(4.0) / error(2.0) == pytest.approx(4.0, rel=0.2)


@pytest.mark.parametrize("way", [None, "nose-hoover"])
def test_energy_does_not_drift(way: str | None, crystal: Any) -> None:
    """A fluid's (extended) energy drifts by less than 1e-3 kT per atom and ps, and scatters by less than that."""
    energies = conserved(motion_of(crystal.fluid(), crystal.frames([300.0]), way, timestep_fs=2), 2000, way)
    energies = energies[:, 0] / (32 * BOLTZMANN * 300)
    assert abs(np.polyfit(np.arange(2000) / 500, energies, 1)[0]) < 1e-4
    assert energies.std() < 1e-3


@pytest.mark.parametrize("thermostat", THERMOSTATS)
def test_heat_of_the_thermostat_is_accounted_for(thermostat: str, crystal: Any) -> None:
    frames = crystal.frames([300.0, 100.0])
    motion = motion_of(crystal.potential(), frames, thermostat, timestep_fs=1, thermostat_fs=20)
    energies = conserved(motion, 1000, thermostat)
    assert np.abs(motion.state.heat).min() > 0.05
    assert (energies.std(axis=0) < 2e-3).all()


@pytest.mark.parametrize("way", WAYS)
def test_momentum_is_conserved(way: str | None, crystal: Any) -> None:
    motion = motion_of(crystal.potential(), crystal.frames([300.0]), way)
    conserved(motion, 500, way)
    assert np.abs((motion.inertia * motion.state.velocities).sum(axis=1)).max() < 1e-10


@pytest.mark.parametrize("way", [None, "nose-hoover"])
def test_dynamics_is_reversible(way: str | None, crystal: Any) -> None:
    motion = motion_of(crystal.potential(), crystal.frames([300.0]), way)
    state = motion.state
    start = state.positions.copy()
    conserved(motion, 300, way)
    assert np.abs(state.positions - start).max() > 0.1
    state.velocities = -state.velocities
    state.bath = state.bath * [[[1.0], [-1.0]]]
    assert way is None or np.abs(state.bath).min() > 1e-6
    conserved(motion, 300, way)
    np.testing.assert_allclose(state.positions, start, atol=1e-10)
    np.testing.assert_allclose(state.bath, 0, atol=1e-8)


@pytest.mark.parametrize("thermostat", THERMOSTATS)
def test_the_canonical_ensemble_is_sampled(thermostat: str, crystal: Any) -> None:
    """Twice the kinetic energy over kT is distributed as chi² of f degrees of freedom, at two temperatures at once.

    Its variance in a fluid is about half of that without a thermostat.
    """
    wanted = np.repeat([200.0, 400.0], 8)
    relaxation = 10 if thermostat == "bussi" else 40
    motion = motion_of(crystal.fluid(), crystal.frames(wanted.tolist()), thermostat, thermostat_fs=relaxation)
    series = np.empty((2500, 16))
    for row in series:
        motion.step(thermostat=True)
        row[:] = motion.temperature
    relative = series[500:] / wanted
    means = relative.mean(axis=0).reshape(2, 8)
    errors = means.std(axis=1, ddof=1) / np.sqrt(8)
    assert (errors < 0.005).all()
    np.testing.assert_array_less(np.abs(means.mean(axis=1) - 1), 4 * errors)
    variances = relative.var(axis=0).reshape(2, 8).mean(axis=1)
    np.testing.assert_allclose(variances, 2 / motion.freedom, rtol=0.06)
    # 50 steps, 200 fs, apart
    drawn = motion.freedom * relative[::50].ravel()
    assert kstest(drawn, chi2(motion.freedom).cdf).pvalue > 1e-3


def test_langevin_samples_a_harmonic_well_as_its_theory_says(crystal: Any) -> None:
    """With a step of h: positions exactly, velocities colder by (h ω)²/4; Leimkuhler and Matthews 2013.

    The step is ten times what anybody would choose, so that other splittings (the error of whose positions is of that
    order) are seen to be others. 768 oscillators, four standard errors.
    """
    potential, frames, frequency = wells(crystal, 256)
    step = 1 / frequency
    motion = motion_of(potential, frames, "langevin", timestep_fs=1)
    motion.timestep, motion.relaxation = step, step
    stretch, speed = np.empty((1200, 256)), np.empty((1200, 256))
    for row in range(1200):
        motion.step(thermostat=True)
        apart = motion.state.positions[:, 1] - motion.state.positions[:, 0]
        stretch[row] = potential.k * (apart**2).sum(axis=1) / (3 * BOLTZMANN * 300)
        speed[row] = motion.temperature / 300
    for found, expected in ((stretch[100:], 1.0), (speed[100:], 0.75)):
        error = found.mean(axis=0).std(ddof=1) / 16
        assert error < 0.005
        assert abs(found.mean() - expected) < 4 * error
    # one reading of each oscillator: velocities are normal, so their squares add up to chi² of three
    assert kstest(3 * speed[-1] / 0.75, chi2(3).cdf).pvalue > 1e-3
    assert kstest(3 * stretch[-1], chi2(3).cdf).pvalue > 1e-3
