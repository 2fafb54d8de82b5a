"""Ewald's two sums as operations on tensors, for GPUs and where there is no C compiler."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from saltern.electrostatics.lattice import Coulomb, heights, number_of_waves, reach, waves
from saltern.frames import Array

CHUNK = 2**18
"""Terms evaluated at once; bounds memory and stays in the processor's cache."""

COST_OF_PAIR = 1.5
"""Time of one term of the real-space sum relative to one of the reciprocal sum, measured on a CPU."""


@dataclass(frozen=True)
class _Pairs:
    """A chunk of pairs of ions.

    `first` and `second` (pair,) are their rows, `place` (pair,) is first · ions + second, `product` (pair, 1) is
    the product of charges, `gauss` (pair, 1) that times 2/√π.
    """

    first: Tensor
    second: Tensor
    place: Tensor
    product: Tensor
    gauss: Tensor


@dataclass(frozen=True)
class _Waves:
    """A chunk of wave vectors, one of each ±k.

    `whole` (3, wave) are the Miller indices times 2π, `weight` (wave,) is 4π exp(-k²/4α²)/(V k²), `slope`
    (wave, 3) is twice that times k, `strain` (wave, 9) is d(ln weight)/d(strain).
    """

    whole: Tensor
    weight: Tensor
    slope: Tensor
    strain: Tensor


class Operations:
    """The sums for one cell and one set of charges, in units of e²/Å, for positions on one device."""

    def __init__(self, cell: Array, charges: Array, alpha: float, images: Array, device: torch.device) -> None:
        """Args: cell in Å, charges of the ions in e, Ewald's α in 1/Å, images (image, 3) in Å to look at, device."""

        def tensor(array: Array) -> Tensor:
            return torch.tensor(array, device=device)

        self.charges, self.cell, self.alpha = tensor(charges), tensor(cell), alpha
        self.volume = abs(float(np.linalg.det(cell)))
        self.images = tensor(images)
        self.twice_images = tensor(2 * images.T)
        self.images_squared = tensor((images**2).sum(1))
        self.pairs = _pair_chunks(charges, len(images), device)
        self.waves = _wave_chunks(cell, alpha, len(charges), device)

    @staticmethod
    def cost(cell: Array, ions: int, cutoff: float) -> float:
        """How long the sums take when near pairs are cut off there (Å), in any unit."""
        pairs = ions * (ions - 1) / 2 * float(np.prod(2 * reach(heights(cell), cutoff) + 1))
        return COST_OF_PAIR * pairs + ions * number_of_waves(cell, cutoff)

    def __call__(self, fractional: Tensor) -> Coulomb:
        """Both sums at wrapped fractional positions (..., ion, 3)."""
        near, far = self._near(fractional), self._far(fractional)
        return Coulomb(near.energy + far.energy, near.forces + far.forces, near.stress + far.stress)

    def _near(self, fractional: Tensor) -> Coulomb:
        """Pairs and their images through erfc(αr)/r, in e²/Å.

        With r = d + R, sums over images R of slope·r and slope·r·r are written as matrix products of slope with R, so
        that no array over pairs, images and components is ever made.
        """
        ions = len(self.charges)
        square = fractional.new_zeros(*fractional.shape[:-2], ions * ions, 3)
        energy, stress = fractional.new_zeros(()), fractional.new_zeros(3, 3)
        for pairs in self.pairs:
            step = fractional.index_select(-2, pairs.first) - fractional.index_select(-2, pairs.second)
            d = (step - step.round()) @ self.cell
            squared = d @ self.twice_images + self.images_squared + (d * d).sum(-1, keepdim=True)
            scaled = self.alpha * squared.sqrt()
            bare = pairs.product * (torch.erfc(scaled) / scaled)
            slope = (bare + pairs.gauss * torch.exp(-scaled * scaled)) / squared
            cross = slope @ self.images
            pull = d * slope.sum(-1, keepdim=True) + cross
            energy = energy + bare.sum((-2, -1))
            stress = stress + d.mT @ pull + cross.mT @ d
            stress = stress + (self.images.mT * slope.sum(-2).unsqueeze(-2)) @ self.images
            # a pair has a place of its own, so that no two terms race for one sum on a GPU
            square.index_copy_(-2, pairs.place, pull)
        square = square.reshape(*square.shape[:-2], ions, ions, 3)
        forces = square.sum(-2) - square.sum(-3)
        # `bare` and `slope` were 1/α of what they stand for
        return Coulomb(self.alpha * energy, self.alpha * forces, -self.alpha / self.volume * stress)

    def _far(self, fractional: Tensor) -> Coulomb:
        """Gaussian clouds through their Fourier series, in e²/Å."""
        energy, stress, forces = (fractional.new_zeros(()) for _ in range(3))
        for part in self.waves:
            phase = fractional @ part.whole
            cosine, sine = torch.cos(phase), torch.sin(phase)
            real, imaginary = self.charges @ cosine, self.charges @ sine
            share = part.weight * (real * real + imaginary * imaginary)
            energy = energy + share.sum(-1)
            stress = stress + share @ part.strain
            up, down = real.unsqueeze(-1) * part.slope, imaginary.unsqueeze(-1) * part.slope
            forces = forces + sine @ up - cosine @ down
        stress = stress.reshape(*stress.shape[:-1], 3, 3)
        return Coulomb(energy, self.charges.unsqueeze(-1) * forces, stress / self.volume)


def _pair_chunks(charges: Array, images: int, device: torch.device) -> tuple[_Pairs, ...]:
    """All pairs of different ions."""
    first, second = np.triu_indices(len(charges), 1)
    product = (charges[first] * charges[second])[:, None]
    columns = (first, second, first * len(charges) + second, product, 2 / math.sqrt(math.pi) * product)
    return tuple(_Pairs(*parts) for parts in _chunks(columns, images, device))


def _wave_chunks(cell: Array, alpha: float, ions: int, device: torch.device) -> tuple[_Waves, ...]:
    """Wave vectors of one half of the sphere."""
    whole, k, weight, strain = waves(cell, alpha)
    columns = (2 * math.pi * whole, weight, 2 * weight[:, None] * k, strain)
    return tuple(_Waves(part.T.contiguous(), *rest) for part, *rest in _chunks(columns, ions, device))


def _chunks(columns: Sequence[Array], width: int, device: torch.device) -> list[tuple[Tensor, ...]]:
    """The same rows of all columns, in groups that make at most CHUNK terms of `width` each."""
    rows = max(1, CHUNK // max(1, width))
    starts = range(0, len(columns[0]), rows)
    return [tuple(torch.tensor(column[s : s + rows], device=device) for column in columns) for s in starts]
