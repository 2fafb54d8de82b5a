"""Energy drift and temperature against constructed series."""

import numpy as np
import pytest

from saltern.observables import energy_drift, estimate, kinetic_temperature
from saltern.units import BOLTZMANN, MASS_TIMES_VELOCITY_SQUARED


def test_drift_is_the_slope_per_atom_and_picosecond():
    times = np.arange(5000) * 10.0
    exact = 0.02  # meV/atom/ps
    energies = -1234.5 + exact * 1e-6 * 96 * times
    found = energy_drift([times], [energies], 96)
    assert found.value == pytest.approx(exact)
    assert found.error == pytest.approx(0, abs=1e-9)


def test_oscillation_does_not_look_like_certainty():
    """Slow noise: the standard error covers the slope that noise alone gives."""
    from scipy.signal import lfilter

    times = np.arange(20_000) * 10.0
    deviations = []
    for seed in range(40):
        rng = np.random.default_rng(seed)
        noise = lfilter([1.0], [1.0, -0.95], rng.normal(scale=1e-3, size=len(times)))
        found = energy_drift([times], [noise], 10)
        deviations.append(found.value / found.error)
    assert 0.45 < np.mean(np.abs(deviations) < 1) < 0.9


def test_replicas_average_and_shrink_the_error():
    rng = np.random.default_rng(0)
    times = np.arange(1000.0)
    series = [1e-6 * times + rng.normal(scale=1e-4, size=1000) for _ in range(9)]
    one, nine = energy_drift([times], series[:1], 1), energy_drift([times] * 9, series, 1)
    assert nine.value == pytest.approx(1.0, abs=4 * nine.error)
    assert nine.error < 0.6 * one.error


def test_maxwell_boltzmann_velocities_have_their_temperature():
    """3 N - 3 degrees of freedom: with 3 N a box of 8 atoms would be 12 % too cold."""
    rng = np.random.default_rng(1)
    mass, temperature = 22.99, 350.0
    scale = np.sqrt(BOLTZMANN * temperature / (mass * MASS_TIMES_VELOCITY_SQUARED))
    velocities = rng.normal(scale=scale, size=(4000, 8, 3))
    velocities -= velocities.mean(axis=1, keepdims=True)
    kinetic = 0.5 * mass * MASS_TIMES_VELOCITY_SQUARED * (velocities**2).sum(axis=(1, 2))
    found = estimate([kinetic_temperature(kinetic, 8)], 10)
    assert found.value == pytest.approx(temperature, abs=4 * found.error)
    assert found.error < 3
