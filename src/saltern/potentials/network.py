"""The network: NequIP's interaction layers, with what they share computed once.

S. Batzner et al., Nat. Commun. 13, 2453 (2022). Atoms carry `features` channels of tensors of order 0 to l_max. A
layer multiplies each neighbour's features with the spherical harmonics of the direction to it (all couplings of
`paths`), weighs every coupling of every channel with a learned function of the distance, sums over neighbours,
mixes channels, adds a mixing of the atom's own features that depends on its species, and passes through a gate. The
energy of an atom is read from its scalars after the last layer.

All features are polar tensors: a vector turns its sign in a mirror, as a force does, and no pseudotensors arise
("parity off" with the paths that would need them left out). Energies are therefore the same for mirror images.

What is written differently here, without changing what is computed:
- Harmonics and their contraction with the coupling coefficients do not depend on weights: one tensor serves all
  layers of the same shape, and a layer's couplings are one batched matrix product with it.
- Every pair is stored once. Turning its vector round turns the sign of the odd harmonics, which is the same as
  turning the sign of odd features before and after, so both directions share harmonics and radial weights.
- The first layer only meets scalars, and of the last only scalars are needed.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from itertools import pairwise
from typing import NamedTuple

import torch
from torch import Tensor, nn
from torch.nn import functional

from saltern.config import StudentConfig
from saltern.potentials.harmonics import block, coupling, harmonics, paths

ENVELOPE_POWER = 6
"""p of the polynomial cutoff, as in the original; value, slope and curvature vanish at the cutoff."""

GATE_SCALE = 1.75
"""Makes up for what gates take: the mean squares of sigmoid(x) and of x sigmoid(x) are about 1/3 for normal x."""

SILU_SCALE = 1.68
"""Makes the mean square of silu(x) 1 for normal x."""


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


class Draw:
    """Draws initial weights of variance 1/fan_in from a generator of its own."""

    def __init__(self, seed: int) -> None:
        self.generator = torch.Generator().manual_seed(seed)

    def __call__(self, shape: tuple[int, ...], fan_in: int) -> nn.Parameter:
        """Weights of the given shape."""
        return nn.Parameter(torch.randn(shape, generator=self.generator) / math.sqrt(fan_in))


class Derivatives(NamedTuple):
    """Forces (atom, 3) in eV/Å and strain derivative of the energy (system, 3, 3) in eV, both float64."""

    forces: Tensor
    virial: Tensor


def radial_basis(distances: Tensor, cutoff: float, count: int) -> Tensor:
    """Bessel functions sin(n π r/c)/r (Gasteiger et al., ICLR 2020), (pair, count).

    They are scaled to a mean square of 1 over the cutoff's sphere.
    """
    order = torch.arange(1, count + 1, dtype=distances.dtype, device=distances.device)
    r = distances.unsqueeze(1)
    return math.sqrt(2 / 3) * cutoff * torch.sin(math.pi / cutoff * order * r) / r


def envelope(distances: Tensor, cutoff: float) -> Tensor:
    """1 at 0, falling to 0 at the cutoff with zero slope and curvature there (Gasteiger et al., eq. 8), (pair,)."""
    p, u = ENVELOPE_POWER, distances / cutoff
    factors = ((p + 1) * (p + 2) / 2, p * (p + 2), p * (p + 1) / 2)
    return 1 - u**p * (factors[0] - u * (factors[1] - u * factors[2]))


def derivatives(energy: Tensor, graph: Graph, create_graph: bool = False) -> Derivatives:
    """Forces and strain derivative of energies (system,) that were computed from `graph.vectors`.

    All positions and strains act through the vectors, so both follow from one gradient.
    """
    (pull,) = torch.autograd.grad(energy.sum(), graph.vectors, create_graph=create_graph)
    pull, vectors = pull.double(), (graph.vectors if create_graph else graph.vectors.detach()).double()
    forces = pull.new_zeros(len(graph.species), 3).index_add(0, graph.first, pull)
    outer = (vectors.unsqueeze(2) * pull.unsqueeze(1)).flatten(1)
    system = graph.system_index.index_select(0, graph.first)
    virial = pull.new_zeros(graph.systems, 9).index_add(0, system, outer).view(-1, 3, 3)
    return Derivatives(forces.index_add(0, graph.second, -pull), (virial + virial.mT) / 2)


class Coupling(nn.Module):
    """All couplings of features up to `inner` with harmonics up to `edge` to features up to `outer`.

    Rows of the outcome are sorted by order, component and path, so that mixing the paths of one order is one
    matrix product.
    """

    coefficients: Tensor
    row_path: Tensor
    row_signs: Tensor

    def __init__(self, inner: int, edge: int, outer: int) -> None:
        super().__init__()
        self.paths = paths(inner, edge, outer)
        self.columns = (inner + 1) ** 2
        self.paths_to = [sum(path.outer == order for path in self.paths) for order in range(outer + 1)]
        self.rows_to = [(2 * order + 1) * count for order, count in enumerate(self.paths_to)]
        rows = sorted((p.outer, m, number) for number, p in enumerate(self.paths) for m in range(2 * p.outer + 1))
        dense = torch.zeros((edge + 1) ** 2, len(rows), self.columns, dtype=torch.float64)
        for row, (_, component, number) in enumerate(rows):
            path = self.paths[number]
            dense[block(path.edge), row, block(path.inner)] = coupling(path)[:, component]
        self.register_buffer("coefficients", dense.flatten(1), persistent=False)
        self.register_buffer("row_path", torch.tensor([number for _, _, number in rows]), persistent=False)
        self.register_buffer("row_signs", torch.tensor([[(-1.0) ** order] for order, _, _ in rows]), persistent=False)

    def forward(self, edge_harmonics: Tensor) -> Tensor:
        """The coefficients contracted with harmonics (pair, component): (pair, row, inner component)."""
        contracted = edge_harmonics @ self.coefficients
        return contracted.view(len(contracted), len(self.row_path), self.columns)


class Layer(nn.Module):
    """One interaction layer, from features up to order `inner` to features up to order `outer`."""

    orders: Tensor
    signs: Tensor

    def __init__(self, inner: int, edge: int, outer: int, species: int, channels: int, width: int, draw: Draw) -> None:
        super().__init__()
        self.coupling = Coupling(inner, edge, outer)
        self.outer, self.channels = outer, channels
        self.before = draw((inner + 1, channels, channels), channels)
        self.radial = draw((width, len(self.coupling.paths), channels), width)
        self.mix = nn.ParameterList(draw((n * channels, channels), 2 * n * channels) for n in self.coupling.paths_to)
        shared = range(min(inner, outer) + 1)
        self.own = nn.ParameterList(draw((species * channels, channels), 2 * channels) for _ in shared)
        scalars = self.coupling.paths_to[0] + species
        self.gate = draw((scalars * channels, outer * channels), scalars * channels)
        orders = torch.tensor([order for order in range(max(inner, outer) + 1) for _ in range(2 * order + 1)])
        self.register_buffer("orders", orders, persistent=False)
        self.register_buffer("signs", (-1.0) ** orders.unsqueeze(1), persistent=False)

    def forward(self, x: Tensor, hidden: Tensor, coupled: Tensor, graph: Graph, one_hot: Tensor) -> Tensor:
        """Features (atom, component, channel) after the layer."""
        messages = torch.split(self._sum_over_neighbours(x, hidden, coupled, graph), self.coupling.rows_to, dim=1)
        own = (x.unsqueeze(2) * one_hot).flatten(2)
        parts = [m.reshape(len(x), 2 * order + 1, -1) @ self.mix[order] for order, m in enumerate(messages)]
        for order, weights in enumerate(self.own):
            parts[order] = parts[order] + own[:, block(order)] @ weights
        logits = parts[0]
        if self.outer:
            scalars = torch.cat([messages[0].flatten(1), own[:, 0]], 1)
            logits = torch.cat([logits, (scalars @ self.gate).view(len(x), self.outer, self.channels)], 1)
        gates = torch.sigmoid(logits).index_select(1, self.orders[: (self.outer + 1) ** 2])
        return torch.cat(parts, 1) * gates * GATE_SCALE

    def _sum_over_neighbours(self, x: Tensor, hidden: Tensor, coupled: Tensor, graph: Graph) -> Tensor:
        """Weighted couplings with all neighbours, (atom, row, channel)."""
        components = x.shape[1]
        mixing = self.before.index_select(0, self.orders[:components])
        x = torch.bmm(x.transpose(0, 1), mixing).transpose(0, 1)
        turned = x * self.signs[:components]
        radial = self.radial.index_select(1, self.coupling.row_path).flatten(1)
        weights = (hidden @ radial).view(len(hidden), len(self.coupling.row_path), self.channels)
        to_first = weights * torch.bmm(coupled, x.index_select(0, graph.second))
        to_second = weights * torch.bmm(coupled, turned.index_select(0, graph.first))
        summed: Tensor = to_first.new_zeros(1, 1, 1).expand(len(x), *to_first.shape[1:])
        from_second = summed.index_add(0, graph.first, to_first)
        return from_second + self.coupling.row_signs * summed.index_add(0, graph.second, to_second)


class Network(nn.Module):
    """Energies of systems from their pairs.

    Attributes:
        config: its shape.
        species: atomic numbers it knows, ascending.
        shifts: (species,) energy of an isolated atom in eV, float64.
        scale: eV per unit of the last layer's outcome.
        neighbours: average number of neighbours, by which sums over them are scaled.

    Weights are drawn from `seed`, the same for every `dtype`.
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
    ) -> None:
        super().__init__()
        self.config, self.species = config, tuple(species)
        self.scale, self.neighbours = scale, neighbours
        draw = Draw(seed)
        channels, width, kinds = config.features, config.radial_width, len(species)
        orders = [0, *[config.l_max] * (config.layers - 1), 0]
        self.embedding = draw((kinds, channels), 1)
        self.radial_in = draw((config.bessel, config.layers * width), config.bessel)
        self.radial = draw((config.layers, width, width), width)
        self.layers = nn.ModuleList(
            Layer(inner, config.l_max, outer, kinds, channels, width, draw) for inner, outer in pairwise(orders)
        )
        # from zero: a random readout starts with forces that are mostly wrong, which costs hundreds of steps
        self.readout = nn.Parameter(torch.zeros(kinds, channels))
        # coupling coefficients are made in float64, so that symmetries hold to its precision where it is asked for
        self.to(dtype)
        self.register_buffer("shifts", torch.tensor(shifts, dtype=torch.float64), persistent=False)

    def forward(self, graph: Graph) -> Tensor:
        """Energies (system,) in eV, float64, differentiable in `graph.vectors`."""
        atoms = self.atomic(graph).double() * self.scale + self.shifts.index_select(0, graph.species)
        return atoms.new_zeros(graph.systems).index_add(0, graph.system_index, atoms)

    def atomic(self, graph: Graph) -> Tensor:
        """What the last layer gives for each atom, (atom,), before scale and shift."""
        config = self.config
        distances = graph.vectors.square().sum(1).sqrt()
        angular = harmonics(graph.vectors / distances.unsqueeze(1), config.l_max)
        hidden = self._radial_networks(distances)
        one_hot = functional.one_hot(graph.species, len(self.species)).to(angular).unsqueeze(1).unsqueeze(3)
        x = self.embedding.index_select(0, graph.species).unsqueeze(1)
        coupled: dict[tuple[int, int], Tensor] = {}
        for layer, part in zip(self.layers, hidden.unbind(0), strict=True):
            assert isinstance(layer, Layer)
            shape = (layer.coupling.columns, layer.outer)
            if shape not in coupled:
                coupled[shape] = layer.coupling(angular)
            x = layer(x, part, coupled[shape], graph, one_hot)
        return (x[:, 0] * self.readout.index_select(0, graph.species)).sum(1)

    def _radial_networks(self, distances: Tensor) -> Tensor:
        """The last hidden layer of every interaction layer's radial network, (layer, pair, width).

        It fades at the cutoff, so that what the layer makes of it linearly does so too.
        """
        cutoff, layers = self.config.r_max_A, self.config.layers
        first = functional.silu(radial_basis(distances, cutoff, self.config.bessel) @ self.radial_in)
        by_layer = first.view(len(distances), layers, self.config.radial_width).transpose(0, 1)
        second = functional.silu(torch.bmm(by_layer, self.radial) * SILU_SCALE)
        return second * (envelope(distances, cutoff) / math.sqrt(self.neighbours)).unsqueeze(1)
