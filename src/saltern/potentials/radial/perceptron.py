"""Radial functions from two hidden layers on Bessel functions, as in NequIP."""

from __future__ import annotations

from torch import Tensor
from torch.nn import functional

from saltern.config import StudentConfig
from saltern.potentials.draw import Draw
from saltern.potentials.radial.base import Radial
from saltern.potentials.radial.basis import bessel, envelope
from saltern.potentials.radial.spline import knots

SILU_SCALE = 1.68
"""Makes the mean square of silu(x) 1 for normal x."""


class Perceptron(Radial):
    """Hidden layers of its own for each interaction layer."""

    basis: Tensor
    envelope: Tensor

    def __init__(self, config: StudentConfig, draw: Draw) -> None:
        super().__init__()
        places, self.width = knots(config.r_max_A), config.radial_width
        self.register_buffer("basis", bessel(places, config.bessel), persistent=False)
        self.register_buffer("envelope", envelope(places).unsqueeze(1), persistent=False)
        self.into = draw((config.layers, config.bessel, self.width), config.bessel)
        self.hidden = draw((config.layers, self.width, self.width), self.width)

    def forward(self) -> Tensor:
        """Values at the knots, (layer, knot, width)."""
        first = functional.silu(self.basis @ self.into) * SILU_SCALE
        return functional.silu(first @ self.hidden) * self.envelope
