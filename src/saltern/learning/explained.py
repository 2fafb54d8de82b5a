"""How much of the force labels a student explains: what tells good from bad where labels are mostly noise.

The normalised loss is the mean square error over the mean square of labels minus baseline: 0 for a student that is
right, 1 for one that says nothing, and for a perfect student of mean forces the share of the solvent's noise, which may
be 0.98. So it is compared with that of the best sum over pairs, on the same frames and trajectories.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import torch

from saltern.frames import Array, Frames
from saltern.learning.dataset import Examples, examples
from saltern.learning.environments import Classes
from saltern.learning.group import ALONE
from saltern.learning.members import Found
from saltern.learning.pairs import fit_pairs
from saltern.learning.resampling import names, units
from saltern.potentials import PairSpline, Potential
from saltern.store import FrameReader

RESAMPLES = 1000
"""Draws of the bootstrap over trajectories."""

PAIR_FRAMES = 20_000
"""The splines are fitted to as many training frames at most, spread evenly. They are some hundred numbers, and noise in
millions of labels makes the error larger by the share of the one in the other, 1e-5 to 1e-4: too little for a lead."""


def explained(
    potential: Potential, found: Found, training: FrameReader, frames: Frames, classes: Classes
) -> list[dict[str, Any]]:
    """Normalised losses on held-out frames, of the first member and of splines of pairs.

    Args:
        potential: the committee.
        found: what it gives for the held-out frames.
        training: the frames that it was trained on.
        frames: held-out frames with labels.
        classes: of their atoms, what `classed` gives.

    Returns:
        Rows for 'force', for the force on each element and on the atoms of each class, with `loss` of
        the student, `pairs` of the splines, with the same cutoff and baseline, and `gain`, the second less the first.
        Each is a value and its standard error, by bootstrap over trajectories, or blocks of them where there are few;
        the error is None of a single frame.
    """
    from ase.data import chemical_symbols

    left, off = frames["forces"] - found.baseline, frames["forces"] - found.forces
    pairs = left - _pair_forces(_best_pairs(potential, training), frames, potential.species)
    squares = np.stack([(array**2).sum(1) for array in (left, off, pairs)], 1)
    unit = np.repeat(units(names(frames["system"], frames["trajectory"])), frames.atom_counts)
    numbers = frames["numbers"]
    rows = [_row("force", squares, unit)]
    parts = [(chemical_symbols[z], of) for z, of in _elements(numbers)] + classes
    return rows + [_row(f"force on {name}", squares[of], unit[of]) for name, of in parts]


def _elements(numbers: Array) -> list[tuple[int, Array]]:
    """Atomic numbers, and which atoms are of each."""
    return [(int(z), numbers == z) for z in np.unique(numbers)]


def _best_pairs(potential: Potential, training: FrameReader) -> PairSpline:
    """Splines fitted to the training frames."""
    chosen = np.linspace(0, len(training) - 1, min(len(training), PAIR_FRAMES)).round().astype(int)
    known = (potential.baseline, potential.species, potential.r_max, torch.float64)
    data = Examples(training.subset(chosen), *known, permittivity=potential.permittivity)
    return fit_pairs(data, potential.r_max, np.ones(len(chosen)), ALONE)[0]


def _pair_forces(pair: PairSpline, frames: Frames, species: tuple[int, ...]) -> Array:
    """Forces of splines, (atom, 3) in eV/Å."""
    found = []
    for frame in frames:
        (e,) = examples(frame, "none", species, pair.cutoff, torch.float64)
        rows = pair.force_rows(e.vectors, e.first, e.second, e.species)
        found.append((rows @ pair.coefficients.flatten()).view(-1, 3).numpy())
    return np.concatenate(found)


def _row(what: str, squares: Array, unit: Array) -> dict[str, Any]:
    """Normalised losses from squares (atom, 3) of labels, of the student's errors and of the splines'."""
    unit = np.unique(unit, return_inverse=True)[1]
    sums = np.stack([np.bincount(unit, column) for column in squares.T], 1)
    draws = np.random.default_rng(0).integers(len(sums), size=(RESAMPLES, len(sums)))
    whole, drawn = _losses(sums.sum(0)), _losses(sums[draws].sum(1))
    errors = drawn.std(0, ddof=1).tolist() if len(sums) > 1 else [None] * 3
    cells = zip(("loss", "pairs", "gain"), whole.tolist(), errors, strict=True)
    return {"what": what, **{name: {"value": value, "error": error} for name, value, error in cells}}


def _losses(sums: Array) -> Array:
    """Normalised losses of student and splines and their difference, (..., 3), from sums (..., 3) of squares."""
    student, pairs = sums[..., 1] / sums[..., 0], sums[..., 2] / sums[..., 0]
    return np.stack([student, pairs, pairs - student], -1)
