"""A sum over neighbours in which some count for more, by what they are.

Every channel of a neighbour has a weight, the exponential of a linear map of the neighbour's scalars, and the sum is
divided by how much the neighbours weigh on average: softmax attention whose logits know the sender alone. So it takes
the compiled sums as they are. Logits that know both atoms would need second derivatives of the sums by harmonics.
"""

from __future__ import annotations

import torch
from torch import Tensor

from saltern.config import StudentConfig
from saltern.potentials.draw import Draw
from saltern.potentials.geometry import Geometry
from saltern.potentials.graph import Graph
from saltern.potentials.message.convolution import Convolution
from saltern.potentials.radial.basis import envelope

STEEPEST = 1.5
"""Largest logit, for features may grow without a limit."""


class Attention(Convolution):
    """The sums of a convolution, neighbours weighed."""

    def __init__(self, inner: int, edge: int, outer: int, config: StudentConfig, draw: Draw) -> None:
        super().__init__(inner, edge, outer, config, draw)
        self.cutoff = config.r_max_A
        self.key = draw((config.features, config.features), config.features)

    def forward(self, x: Tensor, table: Tensor, geometry: Geometry, graph: Graph) -> Tensor:
        """Sums (atom, row, channel), from the arguments of a convolution."""
        weights = torch.exp(STEEPEST * torch.tanh(x[:, 0] @ self.key))
        sums = super().forward(x * weights.unsqueeze(1), table, geometry, graph)
        near = envelope(graph.vectors.square().sum(1).sqrt() / self.cutoff).unsqueeze(1)
        # the atom itself counts as one neighbour of weight one, so that nobody's neighbours weigh nothing
        count, total = (1 + _around(w, near, graph) for w in (torch.ones_like(weights), weights))
        return sums * (count / total).unsqueeze(1)


def _around(weights: Tensor, near: Tensor, graph: Graph) -> Tensor:
    """Sums (atom, channel) of neighbours' weights, which fade towards the cutoff."""
    none = torch.zeros_like(weights)
    from_second = none.index_add(0, graph.first, near * weights.index_select(0, graph.second))
    return from_second.index_add(0, graph.second, near * weights.index_select(0, graph.first))
