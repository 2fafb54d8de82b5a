"""Health of a simulation: drift of the conserved energy, temperature."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from saltern.observables.blocking import Estimate, block_means
from saltern.units import BOLTZMANN

Array = NDArray[Any]

_PIECES = 10


def energy_drift(times: Sequence[Array], energies: Sequence[Array], atoms: int) -> Estimate:
    """Slope of the conserved energy in meV/atom/ps, with its standard error.

    Each replica is cut into ten pieces, a line is fitted to their means, and its standard error is that of the fit:
    averaging first takes out the oscillations that would make neighbouring frames look independent.

    Args:
        times: one (frame,) array in fs for each replica.
        energies: one (frame,) array in eV for each replica.
        atoms: number of atoms.
    """
    fits = [_line(t, e) for t, e in zip(times, energies, strict=True) if len(t) > 2]
    if not fits:
        return Estimate(np.nan, np.nan)
    scale = 1e6 / atoms  # eV/fs to meV/ps, for each atom
    slope = float(np.mean([f.value for f in fits])) * scale
    error = float(np.sqrt(np.sum([f.error**2 for f in fits]))) / len(fits) * scale
    return Estimate(slope, error)


def kinetic_temperature(kinetic_energy: Array, atoms: int) -> Array:
    """Temperature in K of each frame, 2 K / ((3 N - 3) k): the centre of mass is at rest.

    Args:
        kinetic_energy: (frame,) in eV.
        atoms: number of atoms.
    """
    return np.asarray(2 * kinetic_energy / ((3 * atoms - 3) * BOLTZMANN))


def _line(times: Array, energies: Array) -> Estimate:
    """Slope of the line through the means of ten pieces, and its standard error."""
    x, weights = block_means(times, _PIECES)
    y, _ = block_means(energies, _PIECES)
    slope, intercept = np.polyfit(x, y, 1, w=np.sqrt(weights))
    residual = y - slope * x - intercept
    variance = (residual**2).sum() / (len(x) - 2)
    return Estimate(float(slope), float(np.sqrt(variance / ((x - x.mean()) ** 2).sum())))
