"""What is made of an atom's last features before they are weighed by element: one kind a file, chosen by `readout`."""

from __future__ import annotations

from torch import nn

from saltern.config import StudentConfig
from saltern.potentials.draw import Draw
from saltern.potentials.readout.perceptron import Deeper

__all__ = ["readout"]

KINDS: dict[str, type[nn.Identity | Deeper]] = {"linear": nn.Identity, "perceptron": Deeper}


def readout(config: StudentConfig, draw: Draw) -> nn.Module:
    """From features (atom, feature) to what counts of them, of the same shape."""
    return KINDS[config.readout](config.features, draw)
