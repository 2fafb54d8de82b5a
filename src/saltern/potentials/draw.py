"""Initial weights."""

from __future__ import annotations

import math

import torch
from torch import nn


class Draw:
    """Draws initial weights of variance 1/fan_in from a generator of its own."""

    def __init__(self, seed: int) -> None:
        self.generator = torch.Generator().manual_seed(seed)

    def __call__(self, shape: tuple[int, ...], fan_in: int) -> nn.Parameter:
        """Weights of the given shape."""
        return nn.Parameter(torch.randn(shape, generator=self.generator) / math.sqrt(fan_in))
