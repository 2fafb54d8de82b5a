"""A network as the rest of Saltern knows it: energies of systems from their pairs, whatever its layers are."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import torch
from torch import Tensor, nn

from saltern.config import StudentConfig
from saltern.potentials.backends import backend
from saltern.potentials.backends.base import Peer
from saltern.potentials.cartesian import Cartesian
from saltern.potentials.draw import Draw
from saltern.potentials.equivariant import Equivariant
from saltern.potentials.graph import Graph
from saltern.potentials.pair import NoLayers, PairSpline
from saltern.potentials.readout import readout
from saltern.potentials.unconstrained import Unconstrained

BODIES = {"equivariant": Equivariant, "cartesian": Cartesian, "unconstrained": Unconstrained, "pair": NoLayers}
"""Layers by the name that a campaign gives them: from `Graph` to scalars (atom, feature). Others are `backends`."""


class Network(nn.Module):
    """Energies of systems from their pairs.

    Attributes:
        config: its shape.
        species: atomic numbers it knows, ascending.
        shifts: (species,) energy of an isolated atom in eV, float64.
        scale: eV per unit of the last layer's outcome.
        neighbours: average number of neighbours, by which sums over them are scaled.
        pair: splines of the distance, where they are the student or stand beneath its layers.
        closed: whether there is nothing else, so that nothing is trained.

    Weights are drawn from `seed`, the same for every `dtype`; those of another package as that package draws them.
    `shape` is that of a saved network which began as a checkpoint of such a package.
    """

    shifts: Tensor

    def __init__(
        self,
        config: StudentConfig,
        species: Sequence[int],
        *,
        shifts: Sequence[float],
        scale: float,
        neighbours: float,
        seed: int = 0,
        dtype: torch.dtype = torch.float32,
        shape: Mapping[str, Any] | None = None,
    ) -> None:
        super().__init__()
        self.config, self.species = config, tuple(species)
        self.scale, self.neighbours = scale, neighbours
        draw = Draw(seed)
        self.body = _body(config, self.species, neighbours, draw, seed, dtype, shape)
        self.closed = config.network == "pair"
        self.pair = (
            PairSpline(config.r_max_A, len(species), config.kernels == "auto")
            if self.closed or config.prior == "pair"
            else None
        )
        self.before_readout = readout(config, draw)
        self.readout = nn.Parameter(_readout(self.body, len(species), 0 if self.closed else config.features, scale))
        # coupling coefficients are made in float64, so that symmetries hold to its precision where it is asked for
        self.to(dtype)
        self.register_buffer("shifts", torch.tensor(shifts, dtype=torch.float64), persistent=False)

    def forward(self, graph: Graph) -> Tensor:
        """Energies (system,) in eV, float64, differentiable in `graph.vectors`."""
        atoms = self.atomic(graph).double() * self.scale + self.shifts.index_select(0, graph.species)
        energies = atoms.new_zeros(graph.systems).index_add(0, graph.system_index, atoms)
        return energies if self.pair is None else energies + self.pair(graph)

    @property
    def shape(self) -> Mapping[str, Any] | None:
        """What a checkpoint said of the layers, where `config` does not."""
        return self.body.shape if isinstance(self.body, Peer) else None

    def learned(self) -> dict[str, Tensor]:
        """What was learned, by name: weights, and the coefficients of splines. All else follows from the arguments."""
        splines = {} if self.pair is None else {"pair.coefficients": self.pair.coefficients}
        return {**dict(self.named_parameters()), **splines}

    def matrices(self) -> list[nn.Parameter]:
        """Weights (..., row, column) that turn features into features; of networks of other packages none is known.

        Not the readout and the embedding, of which each element has its own part.
        """
        if isinstance(self.body, Peer):
            return []
        return [weight for name, weight in self.body.named_parameters() if weight.ndim > 1 and name != "embedding"]

    def atomic(self, graph: Graph) -> Tensor:
        """What the readout gives for each atom, (atom,), before scale and shift."""
        return self.contributions(graph).sum(1)

    def contributions(self, graph: Graph) -> Tensor:
        """What every feature of the last layer adds to that, (atom, feature)."""
        features: Tensor = self.before_readout(self.body(graph))
        return features * self.readout.index_select(0, graph.species)


def _body(
    config: StudentConfig,
    species: Sequence[int],
    neighbours: float,
    draw: Draw,
    seed: int,
    dtype: torch.dtype,
    shape: Mapping[str, Any] | None,
) -> nn.Module:
    if config.network in BODIES:
        body: nn.Module = BODIES[config.network](config, len(species), neighbours, draw)
        return body
    return backend(config, species, neighbours, seed, dtype, shape)


def _readout(body: nn.Module, species: int, features: int, scale: float) -> Tensor:
    """What the features of an element count for at first, (species, feature).

    Zero: a random readout starts with forces that are mostly wrong, which costs hundreds of steps. Networks of other
    packages have a readout of their own, of which every element gets a multiple.
    """
    if not isinstance(body, Peer):
        return torch.zeros(species, features)
    return torch.full((species, 1), 1.0 if body.unit is None else body.unit / scale)
