"""A few steps downhill before dynamics starts."""

from __future__ import annotations

import numpy as np

from saltern.dynamics.surface import Surface
from saltern.frames import Array

LARGEST_FORCE = 3.0
"""eV/Å; in water at room temperature the largest force on any of some hundred atoms is about this."""

LONGEST_MOVE = 0.1
"""Å by which any atom moves in one step, however steep it is where two atoms overlap."""

STEPS = 100


def relax(surface: Surface, positions: Array) -> Array:
    """Take the worst forces out of a starting configuration, by steepest descent with an adaptive step.

    It stops where no force is larger than LARGEST_FORCE, or after STEPS evaluations: packed boxes and frames of
    another potential have contacts that a first step of dynamics would turn into heat. No replica depends on the
    others. A configuration that has no such force comes back as it is.

    Args:
        surface: potential of the replicas.
        positions: (replica, atom, 3) in Å.

    Returns:
        (replica, atom, 3) positions in Å, of no higher energy.
    """
    point = surface(positions)
    energy, forces = point.energy, point.forces
    rate = np.full(len(positions), 0.01)  # Å per eV/Å
    for _ in range(STEPS):
        largest = np.linalg.norm(forces, axis=2).max(axis=1)
        rough = largest > LARGEST_FORCE
        if not rough.any():
            break
        reach = np.minimum(rate, LONGEST_MOVE / np.maximum(largest, LARGEST_FORCE)) * rough
        tried = positions + reach[:, None, None] * forces
        point = surface(tried)
        better = rough & (point.energy < energy)
        rate = np.where(better, 1.2 * rate, np.where(rough, 0.5 * rate, rate))
        energy = np.where(better, point.energy, energy)
        chosen = better[:, None, None]
        positions, forces = np.where(chosen, tried, positions), np.where(chosen, point.forces, forces)
    return positions
