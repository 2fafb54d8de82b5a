"""What kinds of radial functions have in common."""

from __future__ import annotations

from torch import Tensor, nn


class Radial(nn.Module):
    """Radial functions of every interaction layer, up to a linear map that belongs to the layer.

    Attributes:
        width: how many there are for each layer.
    """

    width: int

    def forward(self) -> Tensor:
        """Their values at `spline.knots`, (layer, knot, width): of mean square about 1, and 0 at the last three."""
        raise NotImplementedError
