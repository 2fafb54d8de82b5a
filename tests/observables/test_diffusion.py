"""Diffusion against random walks and the published finite-size correction."""

import numpy as np
import pytest

from saltern.errors import SalternError
from saltern.observables import Trajectory, diffusion, finite_size_correction, water_viscosity
from saltern.units import A2_PER_FS_IN_1E9_M2_S

STEP, INTERVAL = 0.3, 200.0
EXACT = STEP**2 / (2 * INTERVAL)
"""D = sigma² / (2 dt) of a walk with a step of sigma along each axis."""


def walk(seed, frames=2000, atoms=16, ghosts=200, drift=0.0):
    """Random walkers among heavy atoms at rest, which keep the centre of mass still; all drift together."""
    rng = np.random.default_rng(seed)
    moved = np.cumsum(rng.normal(scale=STEP, size=(frames, atoms, 3)), axis=0)
    positions = np.concatenate([moved, np.zeros((frames, ghosts, 3))], axis=1)
    positions += drift * np.arange(frames)[:, None, None]
    cells = np.broadcast_to(np.eye(3) * 10.0, (frames, 3, 3))
    masses = np.concatenate([np.ones(atoms), np.full(ghosts, 1e6)])
    return Trajectory(positions, cells, np.arange(atoms + ghosts), masses, INTERVAL)


def test_random_walk_has_its_coefficient_and_is_diffusive():
    found = diffusion([walk(0, 8000), walk(1, 8000)], np.arange(16), 5)
    assert found.coefficient.value == pytest.approx(EXACT, abs=3 * found.coefficient.error)
    assert found.coefficient.error < 0.05 * EXACT
    assert found.window == (2000.0, 20000.0)
    assert found.slope.value == pytest.approx(1, abs=3 * found.slope.error)
    assert found.diffusive
    assert np.allclose(found.msd / (6 * EXACT * found.lags), 1, atol=0.1)


def test_error_bars_are_honest():
    """Over 30 walks about 68 % lie within one standard error (a little less, from ten blocks), hardly any beyond 4."""
    found = [diffusion([walk(seed)], np.arange(16), 10).coefficient for seed in range(30)]
    deviation = np.array([(f.value - EXACT) / f.error for f in found])
    assert 0.45 < np.mean(np.abs(deviation) < 1) < 0.9
    assert np.abs(deviation).max() < 5
    scatter = np.std([f.value for f in found], ddof=1)
    assert np.sqrt(np.mean([f.error**2 for f in found])) == pytest.approx(scatter, rel=0.35)


def test_common_drift_is_not_diffusion():
    still = diffusion([walk(3)], np.arange(16), 5)
    moving = diffusion([walk(3, drift=0.05)], np.arange(16), 5)
    assert moving.coefficient.value == pytest.approx(still.coefficient.value, rel=1e-6)


def test_one_origin_of_many_is_not_enough_to_pass():
    """All origins count: half of the walkers' time at rest gives half the coefficient."""
    first = walk(4, frames=6000, atoms=40)
    positions = first.positions.copy()
    positions[3000:] = positions[2999]
    halted = Trajectory(positions, first.cells, first.molecules, first.masses, INTERVAL)
    assert diffusion([halted], np.arange(40), 6).coefficient.value == pytest.approx(EXACT / 2, rel=0.06)


def test_caged_atoms_are_reported_as_not_diffusive():
    rng = np.random.default_rng(5)
    rattling = Trajectory(
        rng.normal(scale=0.2, size=(2000, 10, 3)), np.tile(np.eye(3), (2000, 1, 1)), np.arange(10), np.ones(10), 200.0
    )
    found = diffusion([rattling], np.arange(10), 5)
    assert not found.diffusive
    assert found.slope.value < 0.2


def test_flight_is_reported_as_not_diffusive():
    rng = np.random.default_rng(6)
    positions = np.arange(2000)[:, None, None] * rng.normal(size=(1, 10, 3))
    flying = Trajectory(positions, np.tile(np.eye(3), (2000, 1, 1)), np.arange(10), np.ones(10), 200.0)
    found = diffusion([flying], np.arange(10), 5)
    assert found.slope.value == pytest.approx(2)
    assert not found.diffusive


def test_a_window_before_a_picosecond_is_never_diffusive():
    short = walk(7, frames=500)
    quick = Trajectory(short.positions, short.cells, short.molecules, short.masses, 2.0)
    found = diffusion([quick], np.arange(16), 5)
    assert found.window[1] == pytest.approx(100)
    assert found.slope.value == pytest.approx(1, abs=0.3)
    assert not found.diffusive


def test_too_few_frames_are_refused():
    with pytest.raises(SalternError, match="too short"):
        diffusion([walk(8, frames=12)], np.arange(16), 5)


def test_finite_size_correction_of_the_published_water_box():
    """21.6 Å, 300 K, 0.888 mPa s: 0.325e-9 m²/s; twice the box, half the correction."""
    corrected = finite_size_correction(300.0, 0.888, 21.6) * A2_PER_FS_IN_1E9_M2_S
    assert corrected == pytest.approx(0.325, abs=0.0005)
    assert finite_size_correction(300.0, 0.888, 43.2) * A2_PER_FS_IN_1E9_M2_S == pytest.approx(corrected / 2)


@pytest.mark.parametrize(
    ("celsius", "mPas"),
    # Kestin, Sokolov and Wakeham, J. Phys. Chem. Ref. Data 7, 941 (1978); 100 C: IAPWS R12-08
    [(0, 1.7916), (20, 1.002), (25, 0.8901), (50, 0.5471), (100, 0.2817)],
)
def test_viscosity_of_water_is_that_of_the_tables(celsius, mPas):
    assert water_viscosity(celsius + 273.15) == pytest.approx(mPas, rel=0.002)


def test_viscosity_of_ice_is_refused():
    with pytest.raises(SalternError, match=r"253\.15 to 383\.15"):
        water_viscosity(200.0)
