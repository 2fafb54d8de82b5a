"""The charges that elements carry in the baseline."""

from __future__ import annotations

import numpy as np

from saltern.frames import Frames


def element_charges(frames: Frames) -> dict[str, float | None]:
    """Charge of every element in e, by symbol; None for one that carries different charges in different atoms.

    Frames without charges carry none.
    """
    from ase.data import chemical_symbols

    numbers = frames["numbers"]
    charges = frames["charges"] if "charges" in frames else np.zeros(len(numbers))
    found: dict[str, float | None] = {}
    for number in np.unique(numbers).tolist():
        values = np.unique(charges[numbers == number])
        found[chemical_symbols[number]] = float(values[0]) if len(values) == 1 else None
    return found
