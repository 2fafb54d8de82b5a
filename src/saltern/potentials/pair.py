"""A potential between pairs of elements: a spline of the distance for each, the best that looks at no more than two.

U is a sum over pairs of cubic B-splines on the knots that radial functions have (`radial.spline`), so value, slope and
curvature vanish at the cutoff. It is linear in its coefficients: forces determine them by linear least squares
(`saltern.learning.pairs`), and nothing is trained.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional

from saltern.config import StudentConfig
from saltern.potentials.draw import Draw
from saltern.potentials.geometry import geometry
from saltern.potentials.graph import Graph
from saltern.potentials.radial.spline import Interpolation, interpolation, knots, slopes


class PairSpline(nn.Module):
    """Splines of the distance, one for each two elements.

    Attributes:
        coefficients: (two elements, knot) in eV, up to the last that may differ from zero. They belong to the state
            and are no parameters, for no gradient changes them.
        step: distance of the knots in Å.
    """

    coefficients: Tensor
    kinds: Tensor

    def __init__(self, cutoff: float, species: int, fast: bool = True) -> None:
        """Make splines that are zero; cutoff in Å, and whether what can be compiled is."""
        super().__init__()
        self.fast = fast
        free = len(knots(cutoff)) - 3
        self.cutoff, self.step = cutoff, cutoff / free
        first, second = torch.triu_indices(species, species)
        kinds = torch.zeros(species, species, dtype=torch.int64)
        kinds[first, second] = kinds[second, first] = torch.arange(len(first))
        self.register_buffer("kinds", kinds, persistent=False)
        self.register_buffer("coefficients", torch.zeros(len(first), free, dtype=torch.float64))

    def forward(self, graph: Graph) -> Tensor:
        """Energies (system,) in eV, float64, differentiable in the vectors of the graph."""
        energies = self._energies(graph)
        system = graph.system_index.index_select(0, graph.first)
        return energies.new_zeros(graph.systems).index_add(0, system, energies)

    def atomic(self, graph: Graph) -> Tensor:
        """Energies (atom,) in eV, half of a pair's for each of the two."""
        energies, atoms = self._energies(graph), torch.cat([graph.first, graph.second])
        return energies.new_zeros(len(graph.species)).index_add(0, atoms, 0.5 * energies.repeat(2))

    def sums(self, vectors: Tensor, first: Tensor, second: Tensor, species: Tensor) -> Tensor:
        """What each coefficient gives to the energy of one system, (coefficient,), eV per eV; as `force_rows`."""
        place = interpolation(vectors.double().square().sum(1).sqrt(), self.cutoff)
        column, factors = self._columns(place, self._kind(species, first, second))
        sums = factors.new_zeros(self.coefficients.numel())
        # what is beyond the last coefficient is zero, wherever it is added
        return sums.index_add_(0, column.clamp(max=len(sums) - 1).flatten(), factors.flatten())

    def force_rows(self, vectors: Tensor, first: Tensor, second: Tensor, species: Tensor) -> Tensor:
        """What each coefficient gives to the forces of one system, (3 · atom, coefficient) in eV/Å per eV.

        Args:
            vectors: (pair, 3) in Å, from `first` to `second`, every pair once.
            first: (pair,) atoms.
            second: (pair,) atoms.
            species: (atom,) places of the elements.
        """
        count = self.coefficients.numel()
        distances = vectors.double().square().sum(1).sqrt()
        column, factors = self._columns(slopes(distances, self.cutoff), self._kind(species, first, second))
        pull = factors.unsqueeze(2) * (vectors.double() / distances.unsqueeze(1)).unsqueeze(1)
        rows = pull.new_zeros(len(species) * count, 3)
        for atoms, sign in ((first, 1), (second, -1)):
            # what is beyond the last coefficient is zero, wherever it is added
            target = (atoms.unsqueeze(1) * count + column).clamp(max=len(rows) - 1)
            rows.index_add_(0, target.flatten(), sign * pull.flatten(0, 1))
        return rows.view(len(species), count, 3).transpose(1, 2).reshape(-1, count)

    def bends(self) -> Tensor:
        """Curvature at every knot where it is not zero from each coefficient of one spline, (knot, knot), 1/Å²."""
        free = self.coefficients.shape[1]
        unit = torch.eye(free + 2, dtype=torch.float64)
        return (unit[:-2] - 2 * unit[1:-1] + unit[2:])[:, :free] / self.step**2

    def _energies(self, graph: Graph) -> Tensor:
        """Energies (pair,) in eV, float64."""
        place = geometry(graph, self.cutoff, 0, self.fast)
        near = functional.pad(self.coefficients, (0, 3)).unfold(1, 4, 1).flatten(0, 1)
        row = self._kind(graph.species, graph.first, graph.second) * self.coefficients.shape[1] + place.knots
        return (near.index_select(0, row) * place.factors).sum(1).double()

    def _columns(self, place: Interpolation, kind: Tensor) -> tuple[Tensor, Tensor]:
        """The coefficients (pair, 4) that each pair touches, and their factors, zero beyond a spline's last."""
        count = self.coefficients.shape[1]
        knot = place.knots.unsqueeze(1) + torch.arange(4)
        return kind.unsqueeze(1) * count + knot, torch.where(knot < count, place.factors, 0.0)

    def _kind(self, species: Tensor, first: Tensor, second: Tensor) -> Tensor:
        """Which two elements each pair is of."""
        return self.kinds[species.index_select(0, first), species.index_select(0, second)]


class NoLayers(nn.Module):
    """What stands in the place of layers where pairs are all there is."""

    def __init__(self, *_: StudentConfig | int | float | Draw) -> None:
        super().__init__()

    def forward(self, graph: Graph) -> Tensor:
        """No scalars, (atom, 0)."""
        return graph.vectors.new_zeros(len(graph.species), 0)
