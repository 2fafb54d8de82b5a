"""A network that is told directions and has to learn from turned frames what they mean.

Atoms carry scalars alone. A layer sums over neighbours their features times learned functions of the distance times
harmonics of the direction, and gives all components of all sums to a network of two layers. Nothing makes the energy
the same when the system turns; in training every frame is turned at random at each step (`learning.turning`), as in
PET (S. Pozdnyakov, M. Ceriotti, NeurIPS 2023, arXiv 2305.19302) and Orb (arXiv 2410.22570). Translations, images and
the exchange of like atoms are symmetries by construction, and forces are a gradient, as everywhere.
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


class Layer(nn.Module):
    """What neighbours tell, direction by direction, and what an atom makes of it."""

    def __init__(self, width: int, config: StudentConfig, draw: Draw) -> None:
        super().__init__()
        channels = config.features
        self.convolution = message(config, 0, config.l_max, config.l_max, draw)
        self.before = draw((channels, channels), channels)
        self.radial = draw((width, len(self.convolution.paths) * channels), width)
        told = (sum(self.convolution.rows_to) + 1) * channels
        self.update = Perceptron(told, 2 * channels, channels, draw)

    def forward(self, x: Tensor, functions: Tensor, pairs: Geometry, graph: Graph) -> Tensor:
        """Scalars (atom, channel) after the layer."""
        sums = self.convolution((x @ self.before).unsqueeze(1), functions @ self.radial, pairs, graph)
        update: Tensor = self.update(torch.cat([sums.flatten(1), x], 1))
        return (x + update) / math.sqrt(2)


class Unconstrained(nn.Module):
    """Layers, one after the other."""

    def __init__(self, config: StudentConfig, species: int, neighbours: float, draw: Draw) -> None:
        super().__init__()
        self.config, self.neighbours = config, neighbours
        self.embedding = draw((species, config.features), 1)
        self.radial = radial(config, draw)
        self.layers = nn.ModuleList(Layer(self.radial.width, config, draw) for _ in range(config.layers))

    def forward(self, graph: Graph) -> Tensor:
        """Scalars (atom, feature) after the last layer."""
        pairs = geometry(graph, self.config.r_max_A, self.config.l_max, self.config.kernels == "auto")
        functions = self.radial() / math.sqrt(self.neighbours)
        x = self.embedding.index_select(0, graph.species)
        for layer, part in zip(self.layers, functions.unbind(0), strict=True):
            x = layer(x, part, pairs, graph)
        return x
