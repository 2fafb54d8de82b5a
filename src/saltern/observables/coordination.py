"""The first shell: where it peaks, where it ends, how many neighbours it holds."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from saltern.observables.blocking import Estimate, pooled
from saltern.observables.rdf import RadialDistribution

Array = NDArray[Any]

SMOOTHING = 0.08
"""Standard deviation in Å of the Gaussian that g is smoothed with before extrema are sought."""
SIGNIFICANCE = 3.0
"""A rise or a fall of g counts when it is larger than this many standard errors."""
SMALLEST_STEP = 0.05
"""... and larger than this."""


class Shell(NamedTuple):
    """Bins of the first peak and of the minimum behind it; None for what could not be told from noise."""

    peak: int | None
    minimum: int | None


@dataclass(frozen=True)
class Coordination:
    """Number of neighbours within `cutoff` (Å); `number` is NaN and `cutoff` None when no shell was found."""

    number: Estimate
    cutoff: float | None


def first_shell(rdf: RadialDistribution) -> Shell:
    """Find the first peak of g and the first minimum behind it.

    g is smoothed over 0.08 Å with the shells' volumes as weights. A maximum is accepted once g has fallen from it,
    and a minimum once g has risen from it, by more than three standard errors and 0.05.
    """
    g, error = smoothed(rdf)
    peak = next_maximum(g, error, 0)
    minimum = None if peak is None else next_maximum(-g, error, peak)
    return Shell(peak, minimum)


def coordination_number(rdf: RadialDistribution, cutoff: float | None = None) -> Coordination:
    """Number of neighbours within `cutoff`, by default the first minimum of g.

    Args:
        rdf: from `radial_distribution`.
        cutoff: in Å, at most `rdf.edges[-1]`.

    Raises:
        ValueError: for a cutoff beyond the range of g.
    """
    if cutoff is None:
        minimum = first_shell(rdf).minimum
        if minimum is None:
            return Coordination(Estimate(np.nan, np.nan), None)
        cutoff = float(rdf.edges[minimum])
    if cutoff > rdf.edges[-1] * (1 + 1e-9):
        raise ValueError(f"cutoff {cutoff} Å is beyond the range of g, {rdf.edges[-1]:.3f} Å")
    edges = np.concatenate([[0.0], rdf.edges])
    number = np.interp(cutoff, edges, np.concatenate([[0.0], rdf.neighbours]))
    error = np.interp(cutoff, edges, np.concatenate([[0.0], rdf.neighbours_error]))
    return Coordination(Estimate(float(number), float(error)), cutoff)


def first_peak(rdf: RadialDistribution) -> tuple[Estimate, Estimate] | None:
    """Position (Å) and height of the first peak of g, with standard errors by blocks; None when there is none.

    The position is the vertex of a parabola through the smoothed g, sought within 0.3 Å of the peak in every block.
    """
    peak = first_shell(rdf).peak
    if peak is None:
        return None
    width = rdf.r[1] - rdf.r[0] if len(rdf.r) > 1 else rdf.edges[0]
    reach = max(1, round(0.3 / width))
    window = slice(max(0, peak - reach), peak + reach + 1)
    kernel = _kernel(rdf)
    blocks = np.array([_vertex(rdf.r[window], (kernel @ g)[window]) for g in rdf.block_g])
    value = _vertex(rdf.r[window], (kernel @ rdf.g)[window])
    _, error = pooled(blocks, rdf.weights)
    return Estimate(value[0], float(error[0])), Estimate(float(rdf.g[window].max()), float(rdf.error[peak]))


def _vertex(r: Array, g: Array) -> tuple[float, float]:
    """Position and height of the parabola through the largest value and its neighbours."""
    top = int(np.argmax(g))
    if top in (0, len(g) - 1):
        return float(r[top]), float(g[top])
    left, middle, right = g[top - 1 : top + 2]
    curvature = left - 2 * middle + right
    shift = 0.5 * (left - right) / curvature if curvature else 0.0
    return float(r[top] + shift * (r[top + 1] - r[top])), float(middle - 0.25 * (left - right) * shift)


def _kernel(rdf: RadialDistribution) -> Array:
    """Matrix (bin, bin) that smooths g; its rows add up to 1."""
    weight = np.exp(-0.5 * ((rdf.r[:, None] - rdf.r[None, :]) / SMOOTHING) ** 2) * rdf.r[None, :] ** 2
    return np.asarray(weight / weight.sum(axis=1, keepdims=True))


def smoothed(rdf: RadialDistribution) -> tuple[Array, Array]:
    """Smoothed g and its standard error, bins taken as independent; an unknown error counts as zero."""
    kernel = _kernel(rdf)
    return kernel @ rdf.g, np.sqrt(kernel**2 @ np.nan_to_num(rdf.error) ** 2)


def next_maximum(g: Array, error: Array, start: int) -> int | None:
    """First maximum from `start` on that g has significantly fallen from afterwards, None where there is none."""
    best = start
    for i in range(start, len(g)):
        if g[i] > g[best]:
            best = i
        elif g[best] - g[i] > max(SMALLEST_STEP, SIGNIFICANCE * float(np.hypot(error[i], error[best]))):
            return best
    return None
