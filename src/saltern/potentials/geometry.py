"""What all layers need to know of pairs of atoms, found once: harmonics of directions, and places between knots.

On a CPU with a C compiler both are compiled, with their derivatives; elsewhere they are operations on tensors, against
which the kernels are tested.
"""

from __future__ import annotations

import ctypes
from functools import cache
from typing import Any, NamedTuple

import torch
from torch import Tensor
from torch.autograd import Function
from torch.autograd.function import once_differentiable

from saltern.machine_code import compiled
from saltern.potentials.geometry_source import source
from saltern.potentials.graph import Graph
from saltern.potentials.harmonics import harmonics
from saltern.potentials.kernels import C_NAMES, call, refused
from saltern.potentials.radial.spline import interpolation, intervals


class Geometry(NamedTuple):
    """Of every pair, `harmonics` (pair, component) of its direction and where its distance stands among the knots."""

    harmonics: Tensor
    knots: Tensor
    factors: Tensor


def geometry(graph: Graph, cutoff: float, l_max: int, fast: bool) -> Geometry:
    """Harmonics up to order `l_max`, and places among the knots up to a cutoff in Å.

    They are differentiable in the vectors of the graph, and where `fast` lets them be compiled their gradient is
    differentiable in what it is linear in: weights behind them have second derivatives, positions have none.
    """
    vectors = graph.vectors
    kernel = _kernel(l_max, vectors.dtype) if fast and vectors.device.type == "cpu" else None
    if kernel is None:
        distances = vectors.square().sum(1).sqrt()
        return Geometry(harmonics(vectors / distances.unsqueeze(1), l_max), *interpolation(distances, cutoff))
    pieces = intervals(cutoff)
    return Geometry(*Values.apply(kernel, (l_max + 1) ** 2, pieces / cutoff, pieces - 1, vectors.contiguous()))  # type: ignore[no-untyped-call]


class Values(Function):
    """Harmonics (pair, component), knots (pair,) and factors (pair, 4) of vectors (pair, 3)."""

    @staticmethod
    def forward(  # noqa: D102
        ctx: Any, kernel: ctypes.CDLL, components: int, scale: float, last: int, vectors: Tensor
    ) -> tuple[Tensor, Tensor, Tensor]:
        ctx.told = kernel, scale, last
        ctx.save_for_backward(vectors)
        pairs = len(vectors)
        found = vectors.new_empty(pairs, components), vectors.new_empty(pairs, 4)
        knots = torch.empty(pairs, dtype=torch.int64)
        call(kernel.values, pairs, scale, last, vectors, found[0], knots, found[1])
        ctx.mark_non_differentiable(knots)
        return found[0], knots, found[1]

    @staticmethod
    def backward(ctx: Any, by_harmonics: Tensor, _: None, by_factors: Tensor) -> Any:  # noqa: D102
        pulled = Pull.apply(*ctx.told, *ctx.saved_tensors, by_harmonics, by_factors)  # type: ignore[no-untyped-call]
        return None, None, None, None, pulled


class Pull(Function):
    """The energy's derivative by vectors, from those by harmonics and factors."""

    @staticmethod
    def forward(ctx: Any, kernel: ctypes.CDLL, scale: float, last: int, *inputs: Tensor) -> Tensor:  # noqa: D102
        vectors, *pulls = inputs
        ctx.told = kernel, scale, last
        ctx.save_for_backward(*inputs)
        found = torch.empty_like(vectors)
        call(kernel.pull, len(vectors), scale, last, vectors, *(pull.contiguous() for pull in pulls), found)
        return found

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, along: Tensor) -> Any:  # noqa: D102
        kernel, scale, last = ctx.told
        vectors, *pulls = ctx.saved_tensors
        found = [torch.empty_like(pull, memory_format=torch.contiguous_format) for pull in pulls]
        call(kernel.push, len(vectors), scale, last, vectors, along.contiguous(), *found)
        return None, None, None, refused(vectors), *found


@cache
def _kernel(l_max: int, dtype: torch.dtype) -> ctypes.CDLL | None:
    """The compiled loops, where there can be some."""
    return compiled(source(l_max, C_NAMES[dtype]))
