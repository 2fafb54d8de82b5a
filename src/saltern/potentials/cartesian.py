"""A network of scalars and vectors, in the manner of PaiNN.

K. T. Schütt, O. T. Unke, M. Gastegger, ICML 2021 (arXiv 2102.03150). Messages carry neighbours' scalars, their vectors
and directions times scalars, and here scalar products of vectors with directions too, each weighed by learned functions
of the distance. An update then mixes what an atom has: the lengths of its vectors enter a network of two layers that
scales vectors and adds to scalars.

Unlike there, factors of vectors are bounded and scalar products are divided by lengths: where atoms come close,
features would otherwise grow with a power of themselves in each block (to 1e13 eV in a test). And the last scalars are
read out as they are: a layer that is linear before a readout that is linear, too, trains to outcomes without effect.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn

from saltern.config import StudentConfig
from saltern.potentials.draw import Draw
from saltern.potentials.geometry import Geometry, geometry
from saltern.potentials.graph import Graph
from saltern.potentials.message import message
from saltern.potentials.perceptron import Perceptron
from saltern.potentials.radial import radial


class Block(nn.Module):
    """A message from all neighbours and an update; `inner` is 0 where features are still scalars alone."""

    def __init__(self, inner: int, width: int, config: StudentConfig, draw: Draw) -> None:
        super().__init__()
        channels = self.channels = config.features
        self.convolution = message(config, inner, 1, 1, draw)
        self.gate = Perceptron(channels, channels, (inner + 1) * channels, draw)
        self.radial = draw((width, len(self.convolution.paths) * channels), width)
        self.mix = nn.ParameterList(draw((n * channels, channels), n * channels) for n in self.convolution.paths_to)
        self.turn = draw((channels, 2 * channels), channels)
        self.update = Perceptron(2 * channels, channels, 3 * channels, draw)

    def forward(self, x: Tensor, functions: Tensor, pairs: Geometry, graph: Graph) -> Tensor:
        """Features (atom, 4, channel), scalar before vector, after the block."""
        x = self._with_messages(x, functions, pairs, graph)
        scalars, vectors = x[:, 0], x[:, 1:]
        left, right = (vectors @ self.turn).chunk(2, dim=2)
        lengths = (1 + right.square().sum(1)).sqrt()
        grow, product, more = self.update(torch.cat([scalars, lengths], 1)).chunk(3, dim=1)
        scalars = scalars + more + torch.tanh(product) * (left * right).sum(1) / lengths
        return torch.cat([scalars.unsqueeze(1), vectors + torch.tanh(grow).unsqueeze(1) * left], 1) / math.sqrt(2)

    def _with_messages(self, x: Tensor, functions: Tensor, pairs: Geometry, graph: Graph) -> Tensor:
        """What all neighbours send, added to what the atom has."""
        gates = self.gate(x[:, 0]).view(len(x), -1, self.channels)
        sent = gates if x.shape[1] == 1 else torch.cat([gates[:, :1], torch.tanh(gates[:, 1:]) * x[:, 1:]], 1)
        sums = self.convolution(sent, functions @ self.radial, pairs, graph)
        parts = torch.split(sums, self.convolution.rows_to, dim=1)
        mixed = [part.reshape(len(x), n, -1) @ mix for part, n, mix in zip(parts, (1, 3), self.mix, strict=True)]
        if x.shape[1] == 1:
            return torch.cat([x + mixed[0], mixed[1]], 1)
        return x + torch.cat(mixed, 1)


class Cartesian(nn.Module):
    """Blocks, one after the other."""

    def __init__(self, config: StudentConfig, species: int, neighbours: float, draw: Draw) -> None:
        super().__init__()
        self.r_max, self.neighbours, self.fast = config.r_max_A, neighbours, config.kernels == "auto"
        self.embedding = draw((species, config.features), 1)
        self.radial = radial(config, draw)
        self.blocks = nn.ModuleList(
            Block(min(number, 1), self.radial.width, config, draw) for number in range(config.layers)
        )

    def forward(self, graph: Graph) -> Tensor:
        """Scalars (atom, feature) after the last block."""
        pairs = geometry(graph, self.r_max, 1, self.fast)
        functions = self.radial() / math.sqrt(self.neighbours)
        x = self.embedding.index_select(0, graph.species).unsqueeze(1)
        for block, part in zip(self.blocks, functions.unbind(0), strict=True):
            x = block(x, part, pairs, graph)
        return x[:, 0]
