"""Self-diffusion: mean squared displacements, Einstein's relation and the finite-size correction."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from saltern.errors import SalternError
from saltern.observables.blocking import Estimate, block_means, pooled
from saltern.observables.trajectory import Trajectory
from saltern.units import BOLTZMANN, EV_PER_A3_IN_GPA

Array = NDArray[Any]

YEH_HUMMER = 2.837297
"""Constant of a cubic lattice, Yeh and Hummer (2004), eq. 12."""
WINDOW_START = 2000.0
"""fs. Ballistic motion and rattling in the cage of neighbours are over in liquid water near room temperature."""
WINDOW_END = 20000.0
"""fs. Longer lags have fewer independent displacements and add noise, not information."""
EARLIEST_DIFFUSIVE = 1000.0
"""fs. Before it, the exponent of the displacement passes through 1 on its way from 2 (ballistic) to the cage."""
DIFFUSIVE_SLOPE = 0.1
"""A window is called diffusive when the log-log slope of the displacement is within this of 1."""
_LAGS = 40
_ATOMS_AT_ONCE = 64


@dataclass(frozen=True)
class Diffusion:
    """Mean squared displacement of a group of atoms and what follows from it.

    Attributes:
        lags: (lag,) in fs.
        msd: (lag,) mean squared displacement in Å².
        msd_error: (lag,) its standard error.
        window: lags in fs that D is fitted to.
        coefficient: D in Å²/fs, not corrected for the size of the box.
        slope: log-log slope of the displacement in the window; 1 in diffusion.
        diffusive: whether the window starts late enough and the slope is near enough to 1 to believe D.
    """

    lags: Array
    msd: Array
    msd_error: Array
    window: tuple[float, float]
    coefficient: Estimate
    slope: Estimate
    diffusive: bool


def diffusion(
    replicas: Sequence[Trajectory], atoms: Array, blocks: int, window: tuple[float, float] | None = None
) -> Diffusion:
    """Self-diffusion coefficient from displacements over all time origins.

    D = d<|r(t) - r(0)|²>/dt / 6, by a least-squares line with intercept in `window`. The centre of mass of all
    atoms is held fixed. Origins are cut into blocks, the blocks of all replicas pooled, and the standard error is
    that of the blocks' slopes.

    Args:
        replicas: trajectories of the same atoms, unwrapped.
        atoms: (n,) indices of the atoms that are followed.
        blocks: blocks that each replica's origins are cut into.
        window: lags in fs; by default 2 to 20 ps, or a tenth to a half of the shortest block where that is less.

    Raises:
        SalternError: when the shortest replica is too short for two lags in the window.
    """
    interval = replicas[0].interval
    shortest = min(len(t) for t in replicas) * interval / blocks
    if window is None:
        window = (min(WINDOW_START, 0.1 * shortest), min(WINDOW_END, 0.5 * shortest))
    inside = _steps(window, interval, _LAGS)
    if len(inside) < 2 or inside[-1] >= min(len(t) for t in replicas):
        raise SalternError(f"blocks of {shortest:g} fs, saved every {interval:g} fs, are too short to see diffusion")
    before = np.unique(np.geomspace(1, inside[0], 20).astype(np.int64))
    steps = np.union1d(before, inside)
    parts = [_displacements(t, atoms, steps, blocks) for t in replicas]
    squared, weights = np.concatenate([p[0] for p in parts]), np.concatenate([p[1] for p in parts])
    msd, msd_error = pooled(squared, weights)
    chosen = np.isin(steps, inside)
    lags = steps * interval
    coefficient = _fitted(lags[chosen], squared[:, chosen], weights, msd[chosen])
    # atoms that never move have no exponent: NaN, which is not diffusive either
    with np.errstate(divide="ignore", invalid="ignore"):
        slope = _fitted(np.log(lags[chosen]), np.log(squared[:, chosen]), weights, np.log(msd[chosen]))
    start, end = float(lags[chosen][0]), float(lags[chosen][-1])
    diffusive = start >= EARLIEST_DIFFUSIVE and abs(slope.value - 1) <= DIFFUSIVE_SLOPE
    return Diffusion(
        lags,
        msd,
        msd_error,
        (start, end),
        Estimate(coefficient.value / 6, coefficient.error / 6),
        slope,
        diffusive,
    )


def finite_size_correction(temperature: float, viscosity_mPas: float, edge: float) -> float:
    """What a periodic box takes from a diffusion coefficient: 2.837297 k T / (6 π η L).

    I.-C. Yeh and G. Hummer, J. Phys. Chem. B 108, 15873 (2004), eq. 12. Strictly for a cubic box; for others the
    cube root of the volume is taken for L.

    Args:
        temperature: in K.
        viscosity_mPas: shear viscosity in mPa s.
        edge: edge of the box in Å.

    Returns:
        the correction in Å²/fs, to be added to the coefficient that was measured.
    """
    # 1 mPa s = 1000 GPa fs
    viscosity = 1000.0 * viscosity_mPas / EV_PER_A3_IN_GPA
    return YEH_HUMMER * BOLTZMANN * temperature / (6 * np.pi * viscosity * edge)


def water_viscosity(temperature: float) -> float:
    """Shear viscosity of liquid water at 0.1 MPa, in mPa s.

    J. Pátek, J. Hrubý, J. Klomfar, M. Součková and A. H. Harvey, J. Phys. Chem. Ref. Data 38, 21 (2009), adopted as
    IAPWS SR6-08 (eq. 7): valid from 253 to 383 K, 1 % or better.

    Args:
        temperature: in K.

    Raises:
        SalternError: outside that range.
    """
    if not 253.15 <= temperature <= 383.15:
        raise SalternError(f"the viscosity of water is known from 253.15 to 383.15 K, not at {temperature:g} K")
    reduced = temperature / 300
    terms = ((280.68, -1.9), (511.45, -7.7), (61.131, -19.6), (0.45903, -40.0))
    return 1e-3 * float(sum(factor * reduced**power for factor, power in terms))


def _steps(window: tuple[float, float], interval: float, count: int) -> Array:
    """Lags within a window as whole numbers of frames, at most `count`."""
    low, high = max(1, int(np.ceil(window[0] / interval - 1e-9))), int(window[1] / interval + 1e-9)
    if high < low:
        return np.zeros(0, dtype=np.int64)
    return np.unique(np.linspace(low, high, min(count, high - low + 1)).astype(np.int64))


def _displacements(trajectory: Trajectory, atoms: Array, steps: Array, blocks: int) -> tuple[Array, Array]:
    """Mean squared displacement of each block of origins, (block, lag) in Å², and (block,) weights."""
    share = trajectory.masses / trajectory.masses.sum()
    centre = np.einsum("fax,a->fx", trajectory.positions, share)
    squared = [np.zeros(len(trajectory) - step) for step in steps]
    for start in range(0, len(atoms), _ATOMS_AT_ONCE):
        moving = trajectory.positions[:, atoms[start : start + _ATOMS_AT_ONCE]] - centre[:, None, :]
        for index, step in enumerate(steps):
            squared[index] += np.square(moving[step:] - moving[:-step]).sum(axis=(1, 2)) / len(atoms)
    count = min(blocks, len(squared[-1]))
    means = np.array([block_means(series, count)[0] for series in squared])
    return means.T, np.full(count, len(trajectory) / count)


def _fitted(x: Array, blocks: Array, weights: Array, whole: Array) -> Estimate:
    """Slope of the least-squares line through `whole` (point,), its error from those of `blocks` (block, point)."""
    centred = (x - x.mean()) / ((x - x.mean()) ** 2).sum()
    _, error = pooled(blocks @ centred, weights)
    return Estimate(float(whole @ centred), float(error))
