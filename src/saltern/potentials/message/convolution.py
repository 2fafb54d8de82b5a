"""The sum over neighbours that all our networks are made of.

Every pair of atoms is stored once. Turning its vector round turns the sign of the odd harmonics, so both directions
share harmonics and radial weights. On a CPU with a C compiler the sum and its derivatives are compiled (`kernels`);
elsewhere they are batched matrix products, against which the kernels are tested.
"""

from __future__ import annotations

import ctypes
from functools import cache

import torch
from torch import Tensor, nn

from saltern.config import StudentConfig
from saltern.machine_code import compiled
from saltern.potentials import kernels
from saltern.potentials.draw import Draw
from saltern.potentials.geometry import Geometry
from saltern.potentials.graph import Graph
from saltern.potentials.harmonics import Path, block, coupling, paths
from saltern.potentials.kernel_source import source


class Convolution(nn.Module):
    """Features up to order `inner` of all neighbours times harmonics up to `edge`, coupled to all orders up to `outer`.

    Rows of the outcome are sorted by order, component and path, so that mixing the paths of one order is one
    matrix product.

    Attributes:
        paths: the couplings.
        paths_to: how many of them lead to each order.
        rows_to: rows of each order.
    """

    coefficients: Tensor
    row_path: Tensor
    row_signs: Tensor
    signs: Tensor

    def __init__(self, inner: int, edge: int, outer: int, config: StudentConfig, _draw: Draw) -> None:
        """Find the couplings; other kinds of messages draw weights, too."""
        super().__init__()
        self.paths = tuple(paths(inner, edge, outer))
        self.channels, self.compiled = config.features, config.kernels == "auto"
        self.paths_to = [sum(path.outer == order for path in self.paths) for order in range(outer + 1)]
        self.rows_to = [(2 * order + 1) * count for order, count in enumerate(self.paths_to)]
        rows = sorted((p.outer, m, number) for number, p in enumerate(self.paths) for m in range(2 * p.outer + 1))
        self.places = tuple(
            tuple(at for at, row in enumerate(rows) if row[2] == number) for number in range(len(self.paths))
        )
        dense = torch.zeros((edge + 1) ** 2, len(rows), (inner + 1) ** 2, dtype=torch.float64)
        for row, (_, component, number) in enumerate(rows):
            path = self.paths[number]
            dense[block(path.edge), row, block(path.inner)] = coupling(path)[:, component]
        orders = torch.tensor([order for order in range(inner + 1) for _ in range(2 * order + 1)])
        self.register_buffer("coefficients", dense.flatten(1), persistent=False)
        self.register_buffer("row_path", torch.tensor([number for _, _, number in rows]), persistent=False)
        self.register_buffer("row_signs", torch.tensor([[(-1.0) ** order] for order, _, _ in rows]), persistent=False)
        self.register_buffer("signs", (-1.0) ** orders.unsqueeze(1), persistent=False)

    def forward(self, x: Tensor, table: Tensor, geometry: Geometry, graph: Graph) -> Tensor:
        """Sums (atom, row, channel).

        Args:
            x: features (atom, component, channel).
            table: radial weights at the knots, (knot, path · channel).
            geometry: of the pairs.
            graph: who is whose neighbour.
        """
        kernel = None
        if self.compiled and x.device.type == "cpu":
            kernel = _kernel(self.paths, self.places, len(self.signs), len(self.coefficients), self.channels, x.dtype)
        if kernel is None:
            return self._as_products(x, table, geometry, graph)
        pairs = (graph.first, graph.second, geometry.knots)
        arrays = (array.contiguous() for array in (table, geometry.factors, geometry.harmonics, x))
        sums: Tensor = kernels.Sums.apply(kernel, len(self.row_path), *pairs, *arrays)  # type: ignore[no-untyped-call]
        return sums

    def _as_products(self, x: Tensor, table: Tensor, geometry: Geometry, graph: Graph) -> Tensor:
        """The same through operations on tensors."""
        near = torch.stack([table.index_select(0, geometry.knots + n) for n in range(4)], 1)
        weights = torch.bmm(geometry.factors.unsqueeze(1), near).view(len(near), len(self.paths), self.channels)
        weights = weights.index_select(1, self.row_path)
        coupled = (geometry.harmonics @ self.coefficients).view(len(weights), len(self.row_path), len(self.signs))
        to_first = weights * torch.bmm(coupled, x.index_select(0, graph.second))
        to_second = weights * torch.bmm(coupled, (x * self.signs).index_select(0, graph.first))
        none: Tensor = to_first.new_zeros(1, 1, 1).expand(len(x), *to_first.shape[1:])
        from_second = none.index_add(0, graph.first, to_first)
        return from_second + self.row_signs * none.index_add(0, graph.second, to_second)


@cache
def _kernel(
    paths: tuple[Path, ...], rows: tuple[tuple[int, ...], ...], inner: int, edge: int, channels: int, dtype: torch.dtype
) -> ctypes.CDLL | None:
    """The compiled sums of a coupling, where there can be some."""
    real, lanes = kernels.C_NAMES[dtype], kernels.lanes(channels, dtype)
    return compiled(source(paths, rows, inner, edge, channels, real, lanes))
