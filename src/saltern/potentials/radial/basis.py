"""Functions of the distance u, in units of that where they end, of which radial functions are made."""

from __future__ import annotations

import math

import torch
from torch import Tensor

ENVELOPE_POWER = 6
"""p of the polynomial cutoff, as in NequIP."""


def bessel(u: Tensor, count: int) -> Tensor:
    """Bessel functions sin(n π u)/u (Gasteiger et al., ICLR 2020), (..., count).

    They are scaled to a mean square of 1 over the unit sphere.
    """
    order = torch.arange(1, count + 1, dtype=u.dtype, device=u.device)
    return math.sqrt(2 / 3) * math.pi * order * torch.sinc(order * u.unsqueeze(-1))


def envelope(u: Tensor) -> Tensor:
    """1 at 0, falling to 0 at 1 with zero slope and curvature there (Gasteiger et al., eq. 8); 0 beyond."""
    p, u = ENVELOPE_POWER, u.clamp(max=1)
    factors = ((p + 1) * (p + 2) / 2, p * (p + 2), p * (p + 1) / 2)
    return 1 - u**p * (factors[0] - u * (factors[1] - u * factors[2]))
