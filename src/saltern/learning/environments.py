"""Which atoms of an electrolyte are where: crowded ions, ions in contact, sharing solvent, free; and the solvent.

Molecules and ions are as far apart as the gap between their surfaces, the smallest over pairs of their atoms of the
distance minus two radii. With the covalent radii of B. Cordero and others, Dalton Trans. 2832 (2008), which are in
ASE, ions that touch have a gap of about 0: the sums are 2.30 Å for LiCl, 2.68 for NaCl and 3.05 for KCl.
"""

from __future__ import annotations

import numpy as np
import torch

from saltern.frames import Array, Frames
from saltern.potentials import Batch, NeighbourList

CONTACT = 0.8
"""Å. Gaps below: the first minimum of g(r) is there, such as at 3.5 Å for NaCl and at 3.1 Å for sodium and oxygen."""
SHARED = 3.4
"""Å. Gaps below, of ions: there is room for one solvent molecule between them, about 2.8 Å, and some play."""
HYDROGEN = 1.1
"""Å. With it a hydrogen that is bound to another molecule's oxygen or chloride is 1.8 or 2.1 Å away from it."""

CROWDED = 4
"""Counter-ions in contact; few ions of a solution have as many, and most of those of a crystal."""

CLASSES = (
    "ions in contact with four counter-ions or more",
    "ions in contact with one to three counter-ions",
    "ions that share solvent with a counter-ion",
    "free ions",
    "solvent next to an ion",
    "other solvent",
)

Classes = list[tuple[str, Array]]
"""Names of classes, and which atoms (atom,) are in each."""


def classed(frames: Frames) -> Classes:
    """The classes that there are, with which atoms (atom,) are in each; none where frames do not say what is an ion.

    Args:
        frames: with numbers, positions and cell.
    """
    if not {"charges", "molecules"} <= set(frames.arrays):
        return []
    of = environments(frames)
    return [(CLASSES[c], of == c) for c in np.unique(of)]


def environments(frames: Frames) -> Array:
    """The place of every atom in `CLASSES`, (atom,); all atoms of a molecule are in the same.

    Args:
        frames: with numbers, positions, cell, charges and molecules.
    """
    return np.concatenate([_of_frame(frame) for frame in frames] or [np.zeros(0, np.int64)])


def _of_frame(frame: Frames) -> Array:
    """One frame's atoms."""
    _, molecule = np.unique(frame["molecules"], return_inverse=True)
    charge = np.bincount(molecule, weights=frame["charges"])
    first, second, gap = _gaps(frame, molecule)
    to_counter_ion, to_ion = np.full((2, len(charge)), np.inf)
    touched = np.zeros(len(charge), np.int64)
    for a, b in ((first, second), (second, first)):
        opposite, ionic = charge[a] * charge[b] < 0, charge[b] != 0
        np.minimum.at(to_counter_ion, a[opposite], gap[opposite])
        np.minimum.at(to_ion, a[ionic], gap[ionic])
        np.add.at(touched, a[opposite & (gap < CONTACT)], 1)
    of_ion = (touched < CROWDED).astype(int) + (to_counter_ion >= CONTACT) + (to_counter_ion >= SHARED)
    found: Array = np.where(charge != 0, of_ion, 4 + (to_ion >= CONTACT))[molecule]
    return found


def _gaps(frame: Frames, molecule: Array) -> tuple[Array, Array, Array]:
    """Gaps (pair,) in Å between atoms of different molecules, as far as they matter, and both molecules (pair,)."""
    from ase.data import covalent_radii

    radii = np.where(frame["numbers"] == 1, HYDROGEN, covalent_radii[frame["numbers"]])
    pairs = NeighbourList(float(2 * radii.max() + SHARED), skin=0.0).pairs(Batch.of(frame, torch.device("cpu")))
    first, second = pairs.first.numpy(), pairs.second.numpy()
    gap = pairs.vectors.norm(dim=1).numpy() - radii[first] - radii[second]
    apart = molecule[first] != molecule[second]
    return molecule[first[apart]], molecule[second[apart]], gap[apart]
