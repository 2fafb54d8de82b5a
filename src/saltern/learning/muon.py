"""Muon: steps of matrices along orthogonalised momentum.

After K. Jordan and others, "Muon: an optimizer for hidden layers in neural networks" (2024). A step of Adam is large
where gradients of single weights are steady; one of Muon changes what a matrix does to every direction of its input by
as much. torch.optim.Muon takes single matrices only and each by itself; here weights may be stacks of matrices, and
those of one shape share their products, for small networks spend their time on calling.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import Tensor

MOMENTUM = 0.95
"""Decay of the average of the gradient; the step looks ahead (Nesterov)."""

SIZE = 0.2
"""Root mean square of a step's elements per unit of learning rate, about that of Adam, so that one rate serves both
(J. Liu and others, arXiv 2502.16982)."""

STEPS = 5
COEFFICIENTS = (3.4445, -4.7750, 2.0315)
"""Of Jordan's iteration, which takes every singular value to between 0.7 and 1.2, and does so fast."""


class Muon(torch.optim.Optimizer):
    """Steps of weights (..., row, column) that are matrices or stacks of them.

    Args:
        weights: at least one.
        lr: learning rate.

    Raises:
        ValueError: for a weight that is no matrix.
    """

    def __init__(self, weights: Sequence[Tensor], lr: float) -> None:
        if any(weight.ndim < 2 for weight in weights):
            raise ValueError("Muon is for matrices")
        super().__init__(weights, {"lr": lr})

    @torch.no_grad()
    def step(self, closure: Callable[[], Any] | None = None) -> None:  # type: ignore[override]
        """One step along the gradients."""
        assert closure is None, "gradients are there already"
        for group in self.param_groups:
            alike: dict[tuple[int, ...], list[Tensor]] = {}
            for weight in group["params"]:
                alike.setdefault(tuple(weight.shape[-2:]), []).append(weight)
            for shape, weights in alike.items():
                along = orthogonal(torch.cat([self._ahead(weight).reshape(-1, *shape) for weight in weights]))
                begin = 0
                for weight in weights:
                    end = begin + weight[..., 0, 0].numel()
                    weight.add_(along[begin:end].view_as(weight), alpha=-group["lr"] * SIZE * max(shape) ** 0.5)
                    begin = end

    def _ahead(self, weight: Tensor) -> Tensor:
        """The momentum of a weight, and what it will be if the gradient stays."""
        assert weight.grad is not None
        momentum: Tensor = self.state[weight].setdefault("momentum", torch.zeros_like(weight))
        momentum.lerp_(weight.grad, 1 - MOMENTUM)
        return weight.grad.lerp(momentum, MOMENTUM)


def orthogonal(matrices: Tensor) -> Tensor:
    """About the nearest matrices (..., row, column) whose singular values are all one; zero where they are zero."""
    wide = matrices.shape[-2] > matrices.shape[-1]
    x: Tensor = matrices.mT if wide else matrices
    x = x / (torch.linalg.matrix_norm(x, keepdim=True) + 1e-7)
    first, second, third = COEFFICIENTS
    for _ in range(STEPS):
        product = x @ x.mT
        x = first * x + (second * product + third * product @ product) @ x
    return x.mT if wide else x
