"""What the observables need of a trajectory: plain arrays."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

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
    """

    positions: Array
    cells: Array
    molecules: Array
    masses: Array
    interval: float

    def __len__(self) -> int:
        """Number of frames."""
        return len(self.positions)

    @property
    def volumes(self) -> Array:
        """Volume of each frame's cell in Å³, (frame,)."""
        return np.asarray(np.abs(np.linalg.det(self.cells)))


def perpendicular_widths(cells: Array) -> Array:
    """Distances between opposite faces of the cells.

    Args:
        cells: (frame, 3, 3) cell vectors as rows in Å.

    Returns:
        (frame, 3) widths in Å.
    """
    # columns of the inverse are the face normals over the widths
    return np.asarray(1.0 / np.linalg.norm(np.linalg.inv(cells), axis=1))
