"""Means and standard errors of correlated series, by fixed blocks.

A trajectory is cut into a few long blocks, the blocks of all replicas are pooled, and the standard error is
that of their mean: Flyvbjerg and Petersen, J. Chem. Phys. 91, 461 (1989), at one fixed block length. It is right
when a block is much longer than the correlation time. From n blocks the error bar itself is uncertain by
1 / sqrt(2 (n - 1)) of its size (their eq. 28), 35 % for 5 blocks.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

Array = NDArray[Any]


class Estimate(NamedTuple):
    """A value with its standard error, which is NaN where a single block leaves it unknown."""

    value: float
    error: float


def block_means(series: Array, blocks: int) -> tuple[Array, Array]:
    """Cut a series into consecutive blocks of nearly equal length.

    Args:
        series: (frame, ...) values.
        blocks: number of blocks; a shorter series gives one block for each entry.

    Returns:
        (block, ...) means and (block,) lengths.
    """
    parts = np.array_split(series, min(blocks, len(series))) if len(series) else []
    shape = (len(parts), *series.shape[1:])
    means = np.array([part.mean(axis=0) for part in parts], dtype=np.float64).reshape(shape)
    return means, np.array([len(part) for part in parts], dtype=np.float64)


def pooled(means: Array, weights: Array) -> tuple[Array, Array]:
    """Weighted mean over blocks and its standard error.

    Args:
        means: (block, ...) block means, taken as independent.
        weights: (block,) lengths of the blocks.

    Returns:
        (...) mean and (...) standard error; NaN where there is no block, or no second one.
    """
    count = len(means)
    if count == 0:
        return np.full(means.shape[1:], np.nan), np.full(means.shape[1:], np.nan)
    share = (weights / weights.sum()).reshape(-1, *[1] * (means.ndim - 1))
    mean = (share * means).sum(axis=0)
    if count == 1:
        return mean, np.full(means.shape[1:], np.nan)
    variance = (share**2 * (means - mean) ** 2).sum(axis=0) * count / (count - 1)
    return mean, np.sqrt(variance)


def estimate(replicas: Sequence[Array], blocks: int) -> Estimate:
    """Mean and standard error of a scalar over replicas.

    Args:
        replicas: one (frame,) series for each replica.
        blocks: blocks that each replica is cut into.
    """
    parts = [block_means(np.asarray(series), blocks) for series in replicas]
    mean, error = pooled(np.concatenate([p[0] for p in parts]), np.concatenate([p[1] for p in parts]))
    return Estimate(float(mean), float(error))


def plain(value: float) -> float | None:
    """A float that JSON knows; None where it is not finite."""
    return float(value) if np.isfinite(value) else None
