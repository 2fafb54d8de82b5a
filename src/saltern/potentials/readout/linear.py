"""The energy of an atom is linear in its last features."""

from __future__ import annotations

from torch import Tensor, nn

from saltern.potentials.draw import Draw


class Linear(nn.Module):
    """The features as they are."""

    def __init__(self, *_: int | Draw) -> None:
        super().__init__()

    def forward(self, features: Tensor) -> Tensor:
        """(atom, feature) from (atom, feature)."""
        return features
