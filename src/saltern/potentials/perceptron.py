"""The network of two layers that several kinds of layers are made of."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional

from saltern.potentials.draw import Draw


class Perceptron(nn.Module):
    """Two linear layers with a silu between them."""

    def __init__(self, inner: int, width: int, outer: int, draw: Draw) -> None:
        super().__init__()
        self.first, self.bias = draw((inner, width), inner), nn.Parameter(torch.zeros(width))
        self.second = draw((width, outer), width)

    def forward(self, x: Tensor) -> Tensor:
        """(atom, outer) from (atom, inner)."""
        return functional.silu(x @ self.first + self.bias) @ self.second
