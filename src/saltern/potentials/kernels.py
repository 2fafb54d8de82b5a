"""The sum over neighbours as machine code: compiled here, for one coupling, number of channels and precision.

A layer's sum over neighbours is linear in radial weights, in harmonics and in features, and so are its derivatives. As
operations on tensors each coupling passes arrays of all pairs, rows and channels through memory; written out
(`kernel_source`), what belongs to a pair stays in the processor, and coefficients that are zero cost nothing.
docs/results/learning.md has the figures.

The text depends on integers alone, so a potential's file cannot bring code.
"""

from __future__ import annotations

import ctypes
from typing import Any

import torch
from torch import Tensor
from torch.autograd import Function
from torch.autograd.function import once_differentiable

VECTOR_BYTES = 32
"""Channels are worked on in vectors of this size (AVX2) or less."""

C_NAMES = {torch.float32: "float", torch.float64: "double"}


def lanes(channels: int, dtype: torch.dtype) -> int:
    """Channels of a vector: the largest power of two that divides them and fits."""
    return min(channels & -channels, VECTOR_BYTES // dtype.itemsize)


def call(function: Any, pairs: int, *arguments: Tensor | float | int | None) -> None:
    """Run one of a kernel's functions over all pairs; arrays are contiguous."""
    function(ctypes.c_long(pairs), *map(_argument, arguments))


def _argument(value: Tensor | float | int | None) -> Any:
    """As C takes it."""
    if value is None:
        return None
    if isinstance(value, Tensor):
        return ctypes.c_void_p(value.data_ptr())
    return ctypes.c_double(value) if isinstance(value, float) else ctypes.c_long(value)


def refused(like: Tensor) -> Tensor:
    """NaN of a tensor's shape: nobody needs second derivatives by positions; who asks for them shall not get zero."""
    return like.new_full((), float("nan")).expand_as(like)


class Sums(Function):
    """Sums over neighbours (atom, row, channel), from contiguous arrays.

    They are differentiable by table, factors, harmonics and features, and what is found by the last three is so
    by table and features.
    """

    @staticmethod
    def forward(ctx: Any, kernel: ctypes.CDLL, rows: int, *inputs: Tensor) -> Tensor:  # noqa: D102
        first, second, knots, *arrays = inputs
        features = arrays[-1]
        ctx.kernel = kernel
        # inputs as they are: a copy made here would be cut off from what is differentiated a second time
        ctx.save_for_backward(*inputs)
        out = features.new_zeros(len(features), rows, features.shape[2])
        call(kernel.sums, len(first), first, second, knots, *arrays, out)
        return out

    @staticmethod
    def backward(ctx: Any, pull: Tensor) -> Any:  # noqa: D102
        learns = ctx.needs_input_grad[5]
        found = Gradient.apply(ctx.kernel, learns, *ctx.saved_tensors, pull)  # type: ignore[no-untyped-call]
        return None, None, None, None, None, *found


class Gradient(Function):
    """Derivatives of the energy by table, factors, harmonics and features, from that by the sums."""

    @staticmethod
    def forward(ctx: Any, kernel: ctypes.CDLL, learns: bool, *inputs: Tensor) -> tuple[Tensor | None, ...]:  # noqa: D102
        first, second, knots, *arrays, pull = inputs
        table, factors, harmonics, features = arrays
        pull = pull.contiguous()
        ctx.kernel = kernel
        ctx.save_for_backward(first, second, knots, *arrays, pull)
        by_table = torch.zeros_like(table) if learns else None
        found = torch.empty_like(factors), torch.empty_like(harmonics), torch.zeros_like(features)
        call(kernel.gradient, len(first), first, second, knots, *arrays, pull, by_table, *found)
        if by_table is not None:
            ctx.mark_non_differentiable(by_table)
        return by_table, *found

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, _: Tensor, *along: Tensor) -> Any:  # noqa: D102
        first, second, knots, *arrays, pull = ctx.saved_tensors
        found = [torch.zeros_like(arrays[0]), torch.zeros_like(arrays[3]), torch.zeros_like(pull)]
        tangents = (tensor.contiguous() for tensor in along)
        call(ctx.kernel.tangent, len(first), first, second, knots, *arrays, pull, *tangents, *found)
        by_table, by_features, by_pull = found
        by_factors, by_harmonics = map(refused, arrays[1:3])
        return None, None, None, None, None, by_table, by_factors, by_harmonics, by_features, by_pull
