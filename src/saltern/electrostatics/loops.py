"""Ewald's two sums as compiled loops."""

from __future__ import annotations

import ctypes
from functools import cache
from importlib.resources import files
from itertools import pairwise, product

import numpy as np
import torch
from numpy.polynomial import Chebyshev, chebyshev
from scipy.special import erfc
from torch import Tensor

from saltern.electrostatics.lattice import RANGE, Coulomb, images_of, number_of_waves, waves
from saltern.frames import Array
from saltern.machine_code import compiled

COST_OF_IMAGE, COST_OF_PAIR = 3.0, 30.0
"""Time of looking at one image of a pair, and of a pair that is near, relative to one term of a wave, measured."""

FURTHER = 1.04
"""Near pairs end here sharply, and what is left out has one sign in all copies of a crystal: so a tenth of it only."""

LOWEST, OCTAVES = 2.0**-4, 9
"""Intervals of y = α² r² begin at a quarter of 1/α and go beyond the cutoff, at RANGE²; erfc itself is used below."""

STEPS, ORDER = 16, 8
"""Intervals in an octave, and coefficients in each, as in loops.c."""


@cache
def library() -> ctypes.CDLL | None:
    """The loops, where they can be compiled."""
    return compiled((files("saltern.electrostatics") / "loops.c").read_text(encoding="utf-8"))


@cache
def screening() -> Array:
    """Middle of each interval of y, and coefficients of erfc(√y)/√y about it; see loops.c."""
    edges = [LOWEST * 2.0**octave * (1 + step / STEPS) for octave in range(OCTAVES) for step in range(STEPS)]
    rows = []
    for low, high in pairwise([*edges, LOWEST * 2.0**OCTAVES]):
        found = Chebyshev.interpolate(lambda y: erfc(np.sqrt(y)) / np.sqrt(y), ORDER - 1, (low, high))
        scaled = chebyshev.cheb2poly(found.coef) / (0.5 * (high - low)) ** np.arange(ORDER)
        rows.append([0.5 * (low + high), *scaled])
    return np.array(rows)


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
        images = _by_octant(images_of(cell, self.cutoff), cell, self.cutoff)
        self.starts = np.cumsum([0, *map(len, images)])
        self.images, self.waves = np.concatenate(images), (np.ascontiguousarray(whole), weight, strain)

    @staticmethod
    def cost(cell: Array, ions: int, cutoff: float) -> float:
        """How long the sums take when near pairs are cut off there (Å), in any unit."""
        volume = abs(float(np.linalg.det(cell)))
        sphere = 4 / 3 * np.pi / volume
        # 0.43: half the diagonal of a cube of edge 1/2, by which _by_octant looks further
        looked_at, near = sphere * (cutoff + 0.43 * volume ** (1 / 3)) ** 3, sphere * cutoff**3
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
            ctypes.c_double(self.alpha), ctypes.c_double(self.cutoff), _start(self.starts), _start(self.images),
            _start(screening()), ctypes.c_double(LOWEST),
            _long(len(whole)), _start(whole), _start(weight), _start(strain),
            _start(energy), _start(near), _start(along), _start(stress),
        )  # fmt: skip
        forces = near + 2 * np.pi * along @ self.inverse.T
        found = energy.sum(1), forces, stress.sum(1) / self.volume
        return Coulomb(*(torch.from_numpy(a.reshape((*lead, *a.shape[1:]))) for a in found))


def _by_octant(images: Array, cell: Array, cutoff: float) -> list[Array]:
    """Lattice vectors (image, 3) that can bring a pair within the cutoff, for each octant of its nearest image.

    Those that bring the sphere about the octant near enough.
    """
    middles = np.array(list(product((-0.25, 0.25), repeat=3))) @ cell
    radius = np.linalg.norm(middles, axis=1).max()
    return [images[np.linalg.norm(images + middle, axis=1) <= cutoff + radius] for middle in middles]


def _long(number: int) -> ctypes.c_long:
    return ctypes.c_long(number)


def _start(array: Array) -> ctypes.c_void_p:
    """Where the numbers of a contiguous array begin."""
    return ctypes.c_void_p(array.ctypes.data)
