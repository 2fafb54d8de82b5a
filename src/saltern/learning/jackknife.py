"""Standard errors over groups that are independent of each other, such as trajectories."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from saltern.frames import Array

Statistic = Callable[[Array], Array]
"""From sums (..., term) to a number (...), or to some (..., number)."""


def group_sums(terms: Array, group: Array) -> Array:
    """Sums (group, term) over the rows of each group.

    Args:
        terms: (row, term).
        group: (row,) number of the group that a row belongs to; numbers without a row are left out.
    """
    _, place = np.unique(group, return_inverse=True)
    sums = np.zeros((place.max(initial=-1) + 1, terms.shape[1]))
    np.add.at(sums, place, terms)
    return sums


def jackknife(sums: Array, then: Statistic) -> tuple[Array, Array]:
    """A function of sums over all groups, and its standard error by leaving out one group at a time.

    B. Efron and C. Stein, Ann. Stat. 9, 586 (1981), eq. 1.4. Of a mean over groups of the same size it is the usual
    standard error.

    Args:
        sums: (group, term).
        then: the function.

    Returns:
        Value and standard error, which is NaN for a single group.
    """
    total, count = sums.sum(0), len(sums)
    with np.errstate(invalid="ignore", divide="ignore"):
        value, without = then(total), then(total - sums)
        error = np.sqrt((count - 1) / count * ((without - without.mean(0)) ** 2).sum(0))
    return value, error if count > 1 else np.full_like(value, np.nan)
