"""Real spherical harmonics and the coefficients that couple them.

Only couplings with l1 + l2 + l3 even exist here. Those are proportional to the integrals of three harmonics
(Gaunt coefficients), because the 3j symbol (l1 l2 l3; 0 0 0) vanishes for odd sums only, so they are computed by a
quadrature that is exact for polynomials and need no tables and no phase conventions.
"""

from __future__ import annotations

import math
from functools import cache
from itertools import product
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor

L_LIMIT = 3
"""Highest order for which the harmonics are written out."""


class Path(NamedTuple):
    """Features of order `inner` times harmonics of order `edge` give features of order `outer`."""

    inner: int
    edge: int
    outer: int


def paths(inner_max: int, edge_max: int, outer_max: int) -> list[Path]:
    """All couplings of polar tensors that the triangle inequality allows, sorted by the outcome's order.

    An even sum of the three orders keeps parity (-1)^l everywhere: no pseudotensors arise, so that energies
    are the same for mirror images.
    """
    orders = product(range(outer_max + 1), range(inner_max + 1), range(edge_max + 1))
    return [Path(a, b, c) for c, a, b in orders if abs(a - b) <= c <= a + b and (a + b + c) % 2 == 0]


def harmonics(directions: Tensor, l_max: int) -> Tensor:
    """Real spherical harmonics, scaled so that the mean of each square over the sphere is 1.

    Args:
        directions: (..., 3) unit vectors.
        l_max: highest order, at most 3.

    Returns:
        (..., (l_max + 1)²), order by order.
    """
    x, y, z = directions.unbind(-1)
    parts = [torch.ones_like(x)]
    if l_max >= 1:
        parts += [math.sqrt(3) * x, math.sqrt(3) * y, math.sqrt(3) * z]
    if l_max >= 2:
        xy, xx_yy, zz = x * y, x * x - y * y, z * z
        a, b = math.sqrt(15), math.sqrt(5) / 2
        parts += [a * xy, a * y * z, b * (3 * zz - 1), a * x * z, a / 2 * xx_yy]
    if l_max >= 3:
        a, b, c, d = math.sqrt(35 / 8), math.sqrt(105), math.sqrt(21 / 8), math.sqrt(7) / 2
        f = 5 * zz - 1
        parts += [a * y * (2 * x * x + xx_yy), b * xy * z, c * y * f, d * z * (f - 2), c * x * f, b / 2 * z * xx_yy]
        parts += [a * x * (xx_yy - 2 * y * y)]
    return torch.stack(parts, -1)


def block(order: int) -> slice:
    """Where the components of one order stand."""
    return slice(order**2, (order + 1) ** 2)


@cache
def coupling(path: Path) -> Tensor:
    """Coefficients (edge component, outer component, inner component) of one path, float64.

    They are scaled so that inputs whose components have unit variance give an outcome of unit variance.
    """
    directions, weights = _quadrature()
    values = harmonics(directions, L_LIMIT)
    inner, edge, outer = (values[:, block(order)] for order in path)
    integrals = torch.einsum("p,pe,po,pi->eoi", weights, edge, outer, inner)
    integrals[integrals.abs() < 1e-12] = 0
    scaled: Tensor = integrals * math.sqrt(2 * path.outer + 1) / integrals.norm()
    return scaled


@cache
def _quadrature() -> tuple[Tensor, Tensor]:
    """Directions (point, 3) and weights (point,) whose weighted mean is exact for products of three harmonics."""
    degree = 3 * L_LIMIT
    z, share = np.polynomial.legendre.leggauss(degree // 2 + 1)
    angle = 2 * np.pi * np.arange(degree + 1) / (degree + 1)
    radius = np.sqrt(1 - z**2)[:, None]
    points = np.stack(np.broadcast_arrays(radius * np.cos(angle), radius * np.sin(angle), z[:, None]), -1)
    weights = np.repeat(share / 2 / len(angle), len(angle))
    return torch.tensor(points.reshape(-1, 3)), torch.tensor(weights)
