"""Radial functions that are series of Bessel functions: no hidden layers."""

from __future__ import annotations

from torch import Tensor

from saltern.config import StudentConfig
from saltern.potentials.draw import Draw
from saltern.potentials.radial.base import Radial
from saltern.potentials.radial.basis import bessel, envelope
from saltern.potentials.radial.spline import knots


class Series(Radial):
    """The same functions for every interaction layer."""

    functions: Tensor

    def __init__(self, config: StudentConfig, draw: Draw) -> None:  # noqa: ARG002
        super().__init__()
        places, self.width = knots(config.r_max_A), config.bessel
        functions = bessel(places, self.width) * envelope(places).unsqueeze(1)
        self.register_buffer("functions", functions.expand(config.layers, -1, -1), persistent=False)

    def forward(self) -> Tensor:
        """Values at the knots, (layer, knot, width)."""
        return self.functions
