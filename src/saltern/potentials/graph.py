"""What a network sees of systems, and what follows from the energies that it finds."""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor


class Graph(NamedTuple):
    """What the network sees of one or more systems.

    `vectors` (pair, 3) lead from atom `first` to atom `second` in Å and every pair stands once; `species` (atom,)
    are positions in the network's table; `system_index` (atom,) counts `systems`.
    """

    vectors: Tensor
    first: Tensor
    second: Tensor
    species: Tensor
    system_index: Tensor
    systems: int


class Derivatives(NamedTuple):
    """What follows from the gradient of energies; `pull` (pair, 3) is that by the vectors, in eV/Å."""

    graph: Graph
    pull: Tensor

    @property
    def forces(self) -> Tensor:
        """(atom, 3) in eV/Å, float64."""
        pull = self.pull.double()
        forces = pull.new_zeros(len(self.graph.species), 3).index_add(0, self.graph.first, pull)
        return forces.index_add(0, self.graph.second, -pull)

    @property
    def virial(self) -> Tensor:
        """Strain derivative of the energy, (system, 3, 3) in eV, float64."""
        graph, pull = self.graph, self.pull.double()
        outer = (graph.vectors.detach().double().unsqueeze(2) * pull.unsqueeze(1)).flatten(1)
        system = graph.system_index.index_select(0, graph.first)
        virial = pull.new_zeros(graph.systems, 9).index_add(0, system, outer).view(-1, 3, 3)
        return (virial + virial.mT) / 2


def derivatives(energy: Tensor, graph: Graph, create_graph: bool = False) -> Derivatives:
    """What follows from energies (system,) that were computed from `graph.vectors`.

    All positions and strains act through the vectors, so forces and strain derivative follow from one gradient.
    """
    (pull,) = torch.autograd.grad(energy.sum(), graph.vectors, create_graph=create_graph)
    return Derivatives(graph, pull)
