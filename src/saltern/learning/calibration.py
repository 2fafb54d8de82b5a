"""Whether a committee's spread says how wrong its forces are."""

from __future__ import annotations

from typing import Any

import numpy as np

from saltern.frames import Array
from saltern.learning.jackknife import group_sums, jackknife

BINS = 10
"""Of equal numbers of atoms, from the most certain to the most doubtful."""

USUAL = 0.99
"""Share of the held-out atoms that are within what counts as usual."""


def calibration(errors: Array, spreads: Array, group: Array) -> dict[str, Any]:
    """Error of the forces against the committee's spread.

    Both are of one component: length of the vector over √3. A committee whose spread is right has a factor of 1; one
    that is surer of itself than it should be has a larger one.

    Args:
        errors: (atom,) length of the error of the force in eV/Å.
        spreads: (atom,) standard deviation of the force over the committee in eV/Å.
        group: (atom,) number of the trajectory.

    Returns:
        'factor', root mean square error over root mean square spread, and 'rank', Spearman's correlation of both, each
        with its standard error; 'bins', tenths of the atoms by their spread, with spread and error in meV/Å, root mean
        squares; 'trajectories', how many.
    """
    from scipy.stats import rankdata

    ranks = rankdata(spreads)
    place = np.minimum((BINS * (ranks - 0.5) / len(ranks)).astype(int), BINS - 1)
    inside = place[:, None] == np.arange(BINS)
    squares = np.stack([errors, spreads], 1) ** 2 / 3
    parts = (*squares.T, np.ones(len(ranks)))
    binned = group_sums(np.concatenate([inside * part[:, None] for part in parts], 1), group)
    value, error = jackknife(binned, lambda s: 1000 * np.sqrt(s[..., :BINS] / s[..., 2 * BINS :]))
    spread, _ = jackknife(binned, lambda s: 1000 * np.sqrt(s[..., BINS : 2 * BINS] / s[..., 2 * BINS :]))
    return {
        "factor": number(*jackknife(group_sums(squares, group), lambda s: np.sqrt(s[..., 0] / s[..., 1]))),
        "rank": number(*_correlation(ranks, rankdata(errors), group)),
        "bins": [{"spread": plain(s), "error": number(v, e)} for s, v, e in zip(spread, value, error, strict=True)],
        "trajectories": len(binned),
    }


def usual(numbers: Array, values: Array) -> dict[str, float]:
    """What `USUAL` of the atoms of each element keep below, by symbol."""
    from ase.data import chemical_symbols

    return {chemical_symbols[z]: float(np.quantile(values[numbers == z], USUAL)) for z in np.unique(numbers)}


def number(value: Any, error: Any) -> dict[str, float | None]:
    """A number for JSON, None where it is unknown."""
    return {"value": plain(value), "error": plain(error)}


def plain(value: Any) -> float | None:
    """A float that JSON knows."""
    return float(value) if np.isfinite(value) else None


def _correlation(x: Array, y: Array, group: Array) -> tuple[Array, Array]:
    """Pearson's correlation coefficient and its standard error; of ranks it is Spearman's."""
    x, y = x - x.mean(), y - y.mean()
    sums = group_sums(np.stack([np.ones(len(x)), x, y, x * x, y * y, x * y], 1), group)

    def coefficient(s: Array) -> Array:
        count, mx, my, xx, yy, xy = np.moveaxis(s, -1, 0)
        return np.asarray((xy - mx * my / count) / np.sqrt((xx - mx**2 / count) * (yy - my**2 / count)))

    return jackknife(sums, coefficient)
