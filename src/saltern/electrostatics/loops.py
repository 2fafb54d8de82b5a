"""Ewald's two sums as compiled loops."""

from __future__ import annotations

import ctypes
from functools import cache
from importlib.resources import files

import numpy as np
import torch
from torch import Tensor

from saltern.electrostatics.lattice import RANGE, Coulomb, images_of, number_of_waves, waves
from saltern.frames import Array
from saltern.machine_code import compiled

COST_OF_IMAGE, COST_OF_PAIR = 1.0, 30.0
"""Time of looking at one image of a pair, and of a pair that is near, relative to one term of a wave, measured."""

FURTHER = 1.04
"""Near pairs end here sharply, and what is left out has one sign in all copies of a crystal: so a tenth of it only."""


@cache
def library() -> ctypes.CDLL | None:
    """The loops, where they can be compiled."""
    return compiled((files("saltern.electrostatics") / "loops.c").read_text(encoding="utf-8"))


class Loops:
    """The sums for one cell and one set of charges, in units of e²/Å."""

    def __init__(self, cell: Array, charges: Array, alpha: float) -> None:
        """Args: cell in Å, charges of the ions in e, Ewald's α in 1/Å."""
        whole, _, weight, strain = waves(cell, alpha)
        self.volume, self.inverse = abs(float(np.linalg.det(cell))), np.linalg.inv(cell)
        self.charges, self.cell, self.alpha, self.cutoff = (
            charges,
            np.ascontiguousarray(cell),
            alpha,
            FURTHER * RANGE / alpha,
        )
        self.images, self.waves = (
            np.ascontiguousarray(images_of(cell, self.cutoff)),
            (np.ascontiguousarray(whole), weight, strain),
        )

    @staticmethod
    def cost(cell: Array, ions: int, cutoff: float) -> float:
        """How long the sums take when near pairs are cut off there (Å), in any unit."""
        volume = abs(float(np.linalg.det(cell)))
        looked_at = max(27.0, 1.5 * (2 * cutoff) ** 3 / volume)
        near = 4 / 3 * np.pi * cutoff**3 / volume
        pairs = ions * (ions - 1) / 2 * (COST_OF_IMAGE * looked_at + COST_OF_PAIR * near)
        return float(pairs + ions * number_of_waves(cell, cutoff))

    def __call__(self, fractional: Tensor) -> Coulomb:
        """Both sums at wrapped fractional positions (..., ion, 3)."""
        library_ = library()
        assert library_ is not None
        at = np.ascontiguousarray(fractional.numpy())
        *lead, ions, _ = at.shape
        replicas = int(np.prod(lead, dtype=int))
        energy, stress = np.zeros((replicas, 2)), np.zeros((replicas, 2, 3, 3))
        near, along = np.zeros((replicas, ions, 3)), np.zeros((replicas, ions, 3))
        whole, weight, strain = self.waves
        library_.sums(
            _long(replicas), _long(ions), _start(at), _start(self.charges), _start(self.cell),
            ctypes.c_double(self.alpha), ctypes.c_double(self.cutoff), _long(len(self.images)), _start(self.images),
            _long(len(whole)), _start(whole), _start(weight), _start(strain),
            _start(energy), _start(near), _start(along), _start(stress),
        )  # fmt: skip
        forces = near + 2 * np.pi * along @ self.inverse.T
        found = energy.sum(1), forces, stress.sum(1) / self.volume
        return Coulomb(*(torch.from_numpy(a.reshape((*lead, *a.shape[1:]))) for a in found))


def _long(number: int) -> ctypes.c_long:
    return ctypes.c_long(number)


def _start(array: Array) -> ctypes.c_void_p:
    """Where the numbers of a contiguous array begin."""
    return ctypes.c_void_p(array.ctypes.data)
