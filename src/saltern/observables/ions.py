"""One atom for each ion."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

Array = NDArray[Any]


def ion_centres(numbers: Array, charges: Array, molecules: Array) -> tuple[Array, Array]:
    """The atoms that stand for the ions, and the ions' signs; the solvent is left out.

    Of a polyatomic ion it is the heavy atom whose element it has once, as N in nitrate.

    Args:
        numbers: (atom,) atomic numbers.
        charges: (atom,) in e; 0 for atoms of the solvent.
        molecules: (atom,) index of the molecule or ion of each atom.

    Returns:
        (ion,) indices of atoms, in the order of the ions, and (ion,) 1.0 or -1.0.
    """
    centres, signs = [], []
    for molecule in np.unique(molecules[charges != 0]):
        atoms = np.flatnonzero(molecules == molecule)
        kinds, first, counts = np.unique(numbers[atoms], return_index=True, return_counts=True)
        # heavy elements that are there once, then hydrogen, then what is there several times
        best = np.lexsort((kinds, kinds == 1, counts > 1))[0]
        centres.append(int(atoms[first[best]]))
        signs.append(float(np.sign(np.round(charges[atoms].sum(), 6))))
    found, sign = np.array(centres, dtype=np.int64), np.array(signs)
    return found[sign != 0], sign[sign != 0]
