"""Cubic B-splines on a grid of distances, as which all radial functions are evaluated.

A network's radial functions depend on the distance alone, so they are asked for at the knots, half a hundred distances
instead of thousands of pairs, and what they say are the coefficients of a spline. The spline is the radial function,
not an approximation to it: forces are its derivative. It has two continuous derivatives, and both and its value vanish
at the cutoff, where the coefficients of the last knots are zero.
"""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor

SPACING_A = 0.1
"""Å between knots, at most. Bonds of water spread over 0.2 Å."""


class Interpolation(NamedTuple):
    """Four coefficients of a spline, from the one of `knots` (pair,), times `factors` (pair, 4), are its value."""

    knots: Tensor
    factors: Tensor


def knots(cutoff: float) -> Tensor:
    """Where the coefficients stand, in units of the last place where one may differ from zero, float64.

    The first is before 0, and three are at 1 or beyond.
    """
    pieces = intervals(cutoff)
    return torch.arange(-1, pieces + 2, dtype=torch.float64) / (pieces - 1)


def interpolation(distances: Tensor, cutoff: float) -> Interpolation:
    """Where distances (pair,) in Å, below the cutoff, stand between the knots; differentiable in them."""
    whole, t = _places(distances, cutoff)
    s = 1 - t
    factors = (s**3, 4 - 6 * t**2 + 3 * t**3, 4 - 6 * s**2 + 3 * s**3, t**3)
    return Interpolation(whole, torch.stack(factors, 1) / 6)


def slopes(distances: Tensor, cutoff: float) -> Interpolation:
    """The same, with factors (1/Å) that give the spline's derivative by the distance."""
    whole, t = _places(distances, cutoff)
    s = 1 - t
    factors = (-(s**2), t * (3 * t - 4), s * (4 - 3 * s), t**2)
    return Interpolation(whole, torch.stack(factors, 1) * (intervals(cutoff) / cutoff / 2))


def _places(distances: Tensor, cutoff: float) -> tuple[Tensor, Tensor]:
    """The knot before each distance, and how far beyond it the distance is, between 0 and 1."""
    places = distances * (intervals(cutoff) / cutoff)
    # rounding may bring a pair that is just within the cutoff onto it
    whole = places.detach().floor().clamp(max=intervals(cutoff) - 1)
    return whole.long(), places - whole


def intervals(cutoff: float) -> int:
    """Pieces of a spline up to a cutoff in Å."""
    return -int(-cutoff // SPACING_A)
