"""Ewald sum of screened point charges, with closed-form forces and stress.

P. P. Ewald, Ann. Phys. 369, 253 (1921); in the notation of Allen and Tildesley, Computer Simulation of Liquids
(2nd ed., 2017), section 6.2, with conducting ("tin-foil") boundary. The stress is the strain derivative of the
same terms (D. M. Heyes, Phys. Rev. B 49, 755 (1994)).

Everything that depends on cell and charges alone (lattice vectors, wave vectors, their weights, the interaction of
each charge with its own images) is kept between calls, because in molecular dynamics only positions change.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import NamedTuple

import numpy as np
import torch
from scipy.special import erfc
from torch import Tensor

from saltern.frames import Array
from saltern.units import COULOMB

RANGE = 5.2
"""Both sums are cut where their terms have fallen to exp(-RANGE²), some 1e-12 of the nearest pair's."""

CHUNK = 2**18
"""Terms evaluated at once; bounds memory and stays in the processor's cache."""

COST_OF_PAIR = 1.5
"""Time of one term of the real-space sum relative to one of the reciprocal sum, measured on a CPU."""


class Coulomb(NamedTuple):
    """Screened electrostatic energy () in eV, forces (atom, 3) in eV/Å, stress (3, 3) in eV/Å³, all float64."""

    energy: Tensor
    forces: Tensor
    stress: Tensor


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


@dataclass(frozen=True)
class _Plan:
    """All that does not change with positions, in units of e²/Å, for one cell and one set of charges."""

    ions: Tensor
    charges: Tensor
    cell: Tensor
    inverse: Tensor
    volume: float
    alpha: float
    images: Tensor
    twice_images: Tensor
    images_squared: Tensor
    pairs: tuple[_Pairs, ...]
    waves: tuple[_Waves, ...]
    own_energy: float
    own_stress: Tensor


def screened_coulomb(
    positions: Tensor, charges: Tensor, cell: Tensor, permittivity: float, *, splitting: float | None = None
) -> Coulomb:
    """Energy, forces and stress of point charges in a periodic box filled with a dielectric.

    E = 1/(4π ε0 ε) · ½ Σ q_i q_j / r over all pairs and images, converged to about 1e-11 of the energy of a
    contact pair. Atoms without charge are left out. The result is not differentiable by autograd.

    Args:
        positions: (atom, 3) in Å, wrapped or not; or (replica, atom, 3) for several copies of one system, and then
            every result has that axis in front.
        charges: (atom,) in e.
        cell: (3, 3) in Å, rows are the cell vectors; any shape.
        permittivity: relative permittivity ε of the medium.
        splitting: Ewald's α in 1/Å; by default the one that is quickest for this system.

    Raises:
        ValueError: when the charges do not add up to zero.
    """
    plan = _plan(_bytes(cell), _bytes(charges), splitting, positions.device)
    replicas = positions.shape[:-2]
    forces = torch.zeros(*positions.shape, dtype=torch.float64, device=positions.device)
    if not len(plan.ions):
        energy = forces.new_zeros(replicas)
        return Coulomb(energy, forces, forces.new_zeros(*replicas, 3, 3))
    fractional = positions.detach().double().index_select(-2, plan.ions) @ plan.inverse
    fractional = fractional - fractional.round()
    near = _real_sum(plan, fractional)
    far = _reciprocal_sum(plan, fractional)
    scale = COULOMB / permittivity
    forces.index_copy_(-2, plan.ions, scale * (near.forces + far.forces))
    energy = scale * (near.energy + far.energy + plan.own_energy)
    return Coulomb(energy, forces, scale * (near.stress + far.stress + plan.own_stress))


def _real_sum(plan: _Plan, fractional: Tensor) -> Coulomb:
    """Pairs and their images through erfc(αr)/r, in e²/Å.

    With r = d + R, sums over images R of slope·r and slope·r·r are written as matrix products of slope with R, so
    that no array over pairs, images and components is ever made.
    """
    ions = len(plan.ions)
    square = fractional.new_zeros(*fractional.shape[:-2], ions * ions, 3)
    energy, stress = fractional.new_zeros(()), fractional.new_zeros(3, 3)
    for pairs in plan.pairs:
        step = fractional.index_select(-2, pairs.first) - fractional.index_select(-2, pairs.second)
        d = (step - step.round()) @ plan.cell
        squared = d @ plan.twice_images + plan.images_squared + (d * d).sum(-1, keepdim=True)
        scaled = plan.alpha * squared.sqrt()
        bare = pairs.product * (torch.erfc(scaled) / scaled)
        slope = (bare + pairs.gauss * torch.exp(-scaled * scaled)) / squared
        cross = slope @ plan.images
        pull = d * slope.sum(-1, keepdim=True) + cross
        energy = energy + bare.sum((-2, -1))
        stress = stress + d.mT @ pull + cross.mT @ d + (plan.images.mT * slope.sum(-2).unsqueeze(-2)) @ plan.images
        # a pair has a place of its own, so that no two terms race for one sum on a GPU
        square.index_copy_(-2, pairs.place, pull)
    square = square.reshape(*square.shape[:-2], ions, ions, 3)
    forces = square.sum(-2) - square.sum(-3)
    # `bare` and `slope` were 1/α of what they stand for
    return Coulomb(plan.alpha * energy, plan.alpha * forces, -plan.alpha / plan.volume * stress)


def _reciprocal_sum(plan: _Plan, fractional: Tensor) -> Coulomb:
    """Gaussian clouds through their Fourier series, in e²/Å."""
    energy, stress, forces = (fractional.new_zeros(()) for _ in range(3))
    for waves in plan.waves:
        phase = fractional @ waves.whole
        cosine, sine = torch.cos(phase), torch.sin(phase)
        real, imaginary = plan.charges @ cosine, plan.charges @ sine
        share = waves.weight * (real * real + imaginary * imaginary)
        energy = energy + share.sum(-1)
        stress = stress + share @ waves.strain
        forces = forces + sine @ (real.unsqueeze(-1) * waves.slope) - cosine @ (imaginary.unsqueeze(-1) * waves.slope)
    stress = stress.reshape(*stress.shape[:-1], 3, 3)
    return Coulomb(energy, plan.charges.unsqueeze(-1) * forces, stress / plan.volume)


def _bytes(tensor: Tensor) -> bytes:
    """The values of a tensor, as something to look up a plan by."""
    return tensor.detach().double().cpu().numpy().tobytes()


@lru_cache(maxsize=32)
def _plan(cell_bytes: bytes, charge_bytes: bytes, splitting: float | None, device: torch.device) -> _Plan:
    """Prepare the sums for one cell and one set of charges."""
    cell = np.frombuffer(cell_bytes).reshape(3, 3)
    charges = np.frombuffer(charge_bytes)
    if abs(charges.sum()) > 1e-6:
        raise ValueError(f"the charges of a periodic box must add up to zero, these add up to {charges.sum():g} e")
    ions = np.flatnonzero(charges)
    carried = charges[ions]
    alpha = splitting or _quickest_splitting(cell, len(ions))
    images = _images(cell, RANGE / alpha)
    volume = abs(float(np.linalg.det(cell)))
    own_energy, own_stress = _own_images(images, alpha, volume)
    square = float(carried @ carried)

    def tensor(array: Array) -> Tensor:
        return torch.tensor(array, device=device)

    return _Plan(
        ions=torch.tensor(ions, device=device),
        charges=tensor(carried),
        cell=tensor(cell),
        inverse=tensor(np.linalg.inv(cell)),
        volume=volume,
        alpha=alpha,
        images=tensor(images),
        twice_images=tensor(2 * images.T),
        images_squared=tensor((images**2).sum(1)),
        pairs=_pair_chunks(carried, len(images), device),
        waves=_wave_chunks(cell, alpha, len(ions), device),
        own_energy=square * (own_energy - alpha / math.sqrt(math.pi)),
        own_stress=tensor(square * own_stress),
    )


def _quickest_splitting(cell: Array, ions: int) -> float:
    """The α for which the two sums together take the least time."""
    heights = _heights(cell)
    volume = float(np.prod(np.linalg.norm(cell, axis=1)))

    def cost(cutoff: float) -> float:
        pairs = ions * (ions - 1) / 2 * float(np.prod(2 * _reach(heights, cutoff) + 1))
        waves = volume * (2 * RANGE**2 / cutoff) ** 3 / (12 * math.pi**2)
        return COST_OF_PAIR * pairs + ions * waves

    shells = (0.5, 1.0, 1.5, 2.0, 2.5, 3.0)
    return RANGE / min((shell * float(heights.min()) for shell in shells), key=cost)


def _heights(cell: Array) -> Array:
    """Distances between opposite faces of the cell."""
    heights: Array = 1 / np.linalg.norm(np.linalg.inv(cell), axis=0)
    return heights


def _reach(heights: Array, cutoff: float) -> Array:
    """How many cells away, along each vector, an image of a nearest-image pair can be within the cutoff."""
    reach: Array = np.ceil(cutoff / heights - 0.5 - 1e-9).astype(np.int64)
    return reach


def _grid(reach: Array) -> Array:
    """All integer triples from -reach to reach, (triple, 3)."""
    axes = np.meshgrid(*(np.arange(-n, n + 1) for n in reach), indexing="ij")
    return np.stack(axes, axis=-1).reshape(-1, 3)


def _images(cell: Array, cutoff: float) -> Array:
    """Lattice vectors (image, 3) that can bring a nearest-image pair within the cutoff."""
    vectors = _grid(_reach(_heights(cell), cutoff)) @ cell
    corners = _grid(np.array([1, 1, 1])) @ cell / 2
    furthest = np.linalg.norm(corners, axis=1).max()
    near: Array = vectors[np.linalg.norm(vectors, axis=1) <= cutoff + furthest]
    return near


def _own_images(images: Array, alpha: float, volume: float) -> tuple[float, Array]:
    """Energy and stress of a unit charge with its own images in the real-space sum."""
    r = images[np.any(images != 0, axis=1)]
    distance = np.linalg.norm(r, axis=1)
    bare = erfc(alpha * distance) / distance
    slope = (bare + 2 * alpha / math.sqrt(math.pi) * np.exp(-((alpha * distance) ** 2))) / distance**2
    return float(bare.sum()) / 2, -np.einsum("m,ma,mb->ab", slope, r, r) / (2 * volume)


def _pair_chunks(charges: Array, images: int, device: torch.device) -> tuple[_Pairs, ...]:
    """All pairs of different ions."""
    first, second = np.triu_indices(len(charges), 1)
    product = (charges[first] * charges[second])[:, None]
    columns = (first, second, first * len(charges) + second, product, 2 / math.sqrt(math.pi) * product)
    return tuple(_Pairs(*parts) for parts in _chunks(columns, images, device))


def _wave_chunks(cell: Array, alpha: float, ions: int, device: torch.device) -> tuple[_Waves, ...]:
    """Wave vectors of one half of the sphere |k| <= 2 α RANGE."""
    reciprocal = 2 * math.pi * np.linalg.inv(cell).T
    cutoff = 2 * alpha * RANGE
    whole = _grid(np.floor(cutoff * np.linalg.norm(cell, axis=1) / (2 * math.pi)).astype(np.int64))
    whole = whole[len(whole) // 2 + 1 :]
    k = whole @ reciprocal
    inside = (k**2).sum(1) <= cutoff**2
    whole, k = whole[inside], k[inside]
    squared = (k**2).sum(1)
    weight = 4 * math.pi / abs(np.linalg.det(cell)) * np.exp(-squared / (4 * alpha**2)) / squared
    outer = np.einsum("k,ka,kb->kab", 2 * (1 / squared + 1 / (4 * alpha**2)), k, k) - np.eye(3)
    columns = (2 * math.pi * whole, weight, 2 * weight[:, None] * k, outer.reshape(-1, 9))
    return tuple(_Waves(whole.T.contiguous(), *rest) for whole, *rest in _chunks(columns, ions, device))


def _chunks(columns: Sequence[Array], width: int, device: torch.device) -> list[tuple[Tensor, ...]]:
    """The same rows of all columns, in groups that make at most CHUNK terms of `width` each."""
    rows = max(1, CHUNK // max(1, width))
    starts = range(0, len(columns[0]), rows)
    return [tuple(torch.tensor(column[s : s + rows], device=device) for column in columns) for s in starts]
