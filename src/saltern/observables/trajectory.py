"""What the observables need of a trajectory: plain arrays."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from saltern.frames import Frames
from saltern.units import BOLTZMANN

Array = NDArray[Any]


@dataclass(frozen=True)
class Trajectory:
    """One replica: the same atoms in frames at equal distances in time.

    Attributes:
        positions: (frame, atom, 3) unwrapped positions in Å.
        cells: (frame, 3, 3) cell vectors as rows in Å.
        molecules: (atom,) index of the molecule or ion of each atom.
        masses: (atom,) in u.
        interval: time between frames in fs.
        weights: (frame,) how much each frame counts in g(r); None is all alike.
    """

    positions: Array
    cells: Array
    molecules: Array
    masses: Array
    interval: float
    weights: Array | None = None

    def __len__(self) -> int:
        """Number of frames."""
        return len(self.positions)

    @property
    def counts(self) -> Array:
        """How much each frame counts, (frame,)."""
        return np.ones(len(self)) if self.weights is None else self.weights

    @property
    def volumes(self) -> Array:
        """Volume of each frame's cell in Å³, (frame,)."""
        return np.asarray(np.abs(np.linalg.det(self.cells)))


def unordered(frames: Frames) -> Trajectory:
    """Frames of the same atoms whose times do not matter.

    Those of a biased dynamics count as they would without the bias, exp(bias energy / kT): G. M. Torrie, J. P. Valleau,
    J. Comput. Phys. 23, 187 (1977).

    Args:
        frames: with numbers, positions, cell and molecules; with bias_energy (NaN: no bias) also temperature.
    """
    from ase.data import atomic_masses

    weights = None
    if "bias_energy" in frames:
        weights = np.exp(np.nan_to_num(frames["bias_energy"]) / (BOLTZMANN * frames["temperature"]))
    masses = np.asarray(atomic_masses[frames.of(0, "numbers")])
    return Trajectory(frames.stacked("positions"), frames["cell"], frames.of(0, "molecules"), masses, np.nan, weights)


def unmoved(trajectories: Sequence[Frames]) -> list[Frames]:
    """The trajectories that no bias moved; all where it moved each of them.

    Beside a liquid as it is, frames that are pushed together would count for nothing, up to the least number there is.

    Args:
        trajectories: frames of each.
    """
    alone = [t for t in trajectories if "bias_energy" not in t or not np.nan_to_num(t["bias_energy"]).any()]
    return alone or list(trajectories)


def effective(weights: Array) -> float:
    """As how many frames of equal weight some count in a mean: L. Kish, Survey Sampling (1965).

    Args:
        weights: (frame,) how much each counts.
    """
    return float(weights.sum() ** 2 / (weights**2).sum())


def perpendicular_widths(cells: Array) -> Array:
    """Distances between opposite faces of the cells.

    Args:
        cells: (frame, 3, 3) cell vectors as rows in Å.

    Returns:
        (frame, 3) widths in Å.
    """
    # columns of the inverse are the face normals over the widths
    return np.asarray(1.0 / np.linalg.norm(np.linalg.inv(cells), axis=1))
