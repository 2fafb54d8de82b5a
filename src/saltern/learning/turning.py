"""Frames turned at random, for networks that have to learn that energies do not depend on it."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import torch
from torch import Tensor

from saltern.frames import Array
from saltern.learning.dataset import Example


def turned(example: Example, *seed: int) -> Example:
    """An example after a rotation, and a mirror image in every second case: the same for the same seed."""
    turn = torch.from_numpy(random_turn(*seed))

    def along(vectors: Tensor) -> Tensor:
        return (vectors.double() @ turn.T).to(vectors.dtype)

    return replace(
        example,
        vectors=along(example.vectors),
        forces=along(example.forces),
        stress=turn @ example.stress @ turn.T,
    )


def random_turn(*seed: int) -> Array:
    """An orthogonal matrix (3, 3), each as likely as any other (F. Mezzadri, Notices of the AMS 54, 592 (2007))."""
    matrix, triangular = np.linalg.qr(np.random.default_rng(seed).normal(size=(3, 3)))
    turn: Array = matrix * np.sign(np.diag(triangular))
    return turn
