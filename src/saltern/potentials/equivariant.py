"""NequIP's interaction layers, with what they share computed once.

S. Batzner et al., Nat. Commun. 13, 2453 (2022). Atoms carry `features` channels of tensors of order 0 to l_max. A
layer multiplies each neighbour's features with the spherical harmonics of the direction to it (all couplings of
`paths`), weighs every coupling of every channel with a learned function of the distance, sums over neighbours,
mixes channels, adds a mixing of the atom's own features that depends on its species, and passes through a gate.

All features are polar tensors: a vector turns its sign in a mirror, as a force does, and no pseudotensors arise
("parity off" with the paths that would need them left out). Energies are therefore the same for mirror images. The
first layer only meets scalars, and of the last only scalars are needed.
"""

from __future__ import annotations

import math
from itertools import pairwise

import torch
from torch import Tensor, nn
from torch.nn import functional

from saltern.config import StudentConfig
from saltern.potentials.draw import Draw
from saltern.potentials.geometry import Geometry, geometry
from saltern.potentials.graph import Graph
from saltern.potentials.harmonics import block
from saltern.potentials.message import message
from saltern.potentials.radial import radial

GATE_SCALE = 1.75
"""Makes up for what gates take: the mean squares of sigmoid(x) and of x sigmoid(x) are about 1/3 for normal x."""


class Layer(nn.Module):
    """One interaction layer, from features up to order `inner` to features up to order `outer`."""

    orders: Tensor

    def __init__(self, inner: int, outer: int, species: int, width: int, config: StudentConfig, draw: Draw) -> None:
        super().__init__()
        channels = config.features
        self.convolution = message(config, inner, config.l_max, outer, draw)
        self.outer, self.channels = outer, channels
        paths_to = self.convolution.paths_to
        self.before = draw((inner + 1, channels, channels), channels)
        self.radial = draw((width, sum(paths_to) * channels), width)
        self.mix = nn.ParameterList(draw((n * channels, channels), 2 * n * channels) for n in paths_to)
        shared = range(min(inner, outer) + 1)
        self.own = nn.ParameterList(draw((species * channels, channels), 2 * channels) for _ in shared)
        scalars = paths_to[0] + species
        # scalars gate themselves
        self.gate = draw((scalars * channels, outer * channels), scalars * channels) if outer else None
        orders = torch.tensor([order for order in range(max(inner, outer) + 1) for _ in range(2 * order + 1)])
        self.register_buffer("orders", orders, persistent=False)

    def forward(self, x: Tensor, functions: Tensor, pairs: Geometry, graph: Graph, one_hot: Tensor) -> Tensor:
        """Features (atom, component, channel) after the layer."""
        mixing = self.before.index_select(0, self.orders[: x.shape[1]])
        mixed = torch.bmm(x.transpose(0, 1), mixing).transpose(0, 1)
        messages = torch.split(
            self.convolution(mixed, functions @ self.radial, pairs, graph), self.convolution.rows_to, dim=1
        )
        own = (x.unsqueeze(2) * one_hot).flatten(2)
        parts = [m.reshape(len(x), 2 * order + 1, -1) @ self.mix[order] for order, m in enumerate(messages)]
        for order, matrix in enumerate(self.own):
            parts[order] = parts[order] + own[:, block(order)] @ matrix
        logits = parts[0]
        if self.gate is not None:
            scalars = torch.cat([messages[0].flatten(1), own[:, 0]], 1)
            logits = torch.cat([logits, (scalars @ self.gate).view(len(x), self.outer, self.channels)], 1)
        gates = torch.sigmoid(logits).index_select(1, self.orders[: (self.outer + 1) ** 2])
        return torch.cat(parts, 1) * gates * GATE_SCALE


class Equivariant(nn.Module):
    """Interaction layers, one after the other."""

    def __init__(self, config: StudentConfig, species: int, neighbours: float, draw: Draw) -> None:
        super().__init__()
        self.config, self.species, self.neighbours = config, species, neighbours
        orders = [0, *[config.l_max] * (config.layers - 1), 0]
        self.embedding = draw((species, config.features), 1)
        self.radial = radial(config, draw)
        self.layers = nn.ModuleList(
            Layer(inner, outer, species, self.radial.width, config, draw) for inner, outer in pairwise(orders)
        )

    def forward(self, graph: Graph) -> Tensor:
        """Scalars (atom, feature) after the last layer."""
        pairs = geometry(graph, self.config.r_max_A, self.config.l_max, self.config.kernels == "auto")
        functions = self.radial() / math.sqrt(self.neighbours)
        one_hot = functional.one_hot(graph.species, self.species).to(functions).unsqueeze(1).unsqueeze(3)
        x = self.embedding.index_select(0, graph.species).unsqueeze(1)
        for layer, part in zip(self.layers, functions.unbind(0), strict=True):
            x = layer(x, part, pairs, graph, one_hot)
        return x[:, 0]
