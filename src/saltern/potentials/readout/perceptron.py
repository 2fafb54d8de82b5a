"""The energy of an atom is that of a network of two layers on its last features."""

from __future__ import annotations

from torch import Tensor, nn

from saltern.potentials.draw import Draw
from saltern.potentials.perceptron import Perceptron


class Deeper(nn.Module):
    """The features, and what a network of two layers adds to them."""

    def __init__(self, features: int, draw: Draw) -> None:
        super().__init__()
        self.more = Perceptron(features, features, features, draw)

    def forward(self, features: Tensor) -> Tensor:
        """(atom, feature) from (atom, feature)."""
        added: Tensor = self.more(features)
        return features + added
