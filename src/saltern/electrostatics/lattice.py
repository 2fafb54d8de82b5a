"""What Ewald's sums run over: images of a pair, and waves of a cell."""

from __future__ import annotations

import math
from typing import NamedTuple

import numpy as np
from scipy.special import erfc
from torch import Tensor

from saltern.frames import Array

RANGE = 5.2
"""Both sums are cut where their terms have fallen to exp(-RANGE²), some 1e-12 of the nearest pair's."""


class Coulomb(NamedTuple):
    """Electrostatic energy () in eV, forces (atom, 3) in eV/Å, stress (3, 3) in eV/Å³, all float64."""

    energy: Tensor
    forces: Tensor
    stress: Tensor


def heights(cell: Array) -> Array:
    """Distances between opposite faces of the cell."""
    found: Array = 1 / np.linalg.norm(np.linalg.inv(cell), axis=0)
    return found


def reach(between: Array, cutoff: float) -> Array:
    """How many cells away, along each vector, an image of a nearest-image pair can be within the cutoff."""
    found: Array = np.ceil(cutoff / between - 0.5 - 1e-9).astype(np.int64)
    return found


def _grid(most: Array) -> Array:
    """All integer triples from -most to most, (triple, 3)."""
    axes = np.meshgrid(*(np.arange(-n, n + 1) for n in most), indexing="ij")
    return np.stack(axes, axis=-1).reshape(-1, 3)


def images_of(cell: Array, cutoff: float) -> Array:
    """Lattice vectors (image, 3) that can bring a nearest-image pair within the cutoff."""
    vectors = _grid(reach(heights(cell), cutoff)) @ cell
    corners = _grid(np.array([1, 1, 1])) @ cell / 2
    furthest = np.linalg.norm(corners, axis=1).max()
    near: Array = vectors[np.linalg.norm(vectors, axis=1) <= cutoff + furthest]
    return near


def own_images(images: Array, alpha: float, volume: float) -> tuple[float, Array]:
    """Energy and stress of a unit charge with its own images in the real-space sum."""
    r = images[np.any(images != 0, axis=1)]
    distance = np.linalg.norm(r, axis=1)
    bare = erfc(alpha * distance) / distance
    slope = (bare + 2 * alpha / math.sqrt(math.pi) * np.exp(-((alpha * distance) ** 2))) / distance**2
    return float(bare.sum()) / 2, -np.einsum("m,ma,mb->ab", slope, r, r) / (2 * volume)


def number_of_waves(cell: Array, cutoff: float) -> float:
    """About how many waves there are when near pairs are cut off there (Å)."""
    volume = float(np.prod(np.linalg.norm(cell, axis=1)))
    return volume * (2 * RANGE**2 / cutoff) ** 3 / (12 * math.pi**2)


def waves(cell: Array, alpha: float) -> tuple[Array, Array, Array, Array]:
    """Waves of one half of the sphere |k| <= 2 α RANGE; those that share their first two indices stand together.

    Returns:
        Miller indices (wave, 3), wave vectors k (wave, 3) in 1/Å, 4π exp(-k²/4α²)/(V k²) (wave,) in 1/Å, and the
        derivative of its logarithm by strain (wave, 9).
    """
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
    return whole, k, weight, outer.reshape(-1, 9)
