"""The structure factor, in which a crystal shows as Bragg peaks."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

Array = NDArray[Any]

K_MAX = 5.0
"""1/Å. Bragg peaks of alkali halides up to (420) lie below it."""
K_BIN = 0.1
"""1/Å."""
REFLECTIONS = {"111": 3, "200": 4, "220": 8}
"""Reflections of a face-centred cubic lattice with the largest spacings, and h² + k² + l² of each."""
NEAR = 0.06
"""How far from its place a peak is looked for, as a share of k; (111) and (200) are 15 % apart."""


class Peak(NamedTuple):
    """Where the structure factor is largest near a reflection (1/Å), and how large."""

    k: float
    value: float


def structure_factors(
    positions: Array, cells: Array, k_max: float = K_MAX, k_bin: float = K_BIN
) -> tuple[Array, Array]:
    """S(k) = |Σ exp(i k·r)|² / N of one kind of ions at the wave vectors of the box, averaged over directions.

    Args:
        positions: (frame, ion, 3) in Å, wrapped or not.
        cells: (frame, 3, 3) cell vectors as rows in Å.
        k_max: longest wave vector in 1/Å.
        k_bin: width of a bin of k in 1/Å.

    Returns:
        (bin,) mean length of the wave vectors of a bin in 1/Å, and (frame, bin) S; both NaN where the box has none.
    """
    bins = round(k_max / k_bin)
    found = np.full((len(positions), bins), np.nan)
    lengths = np.full(bins, np.nan)
    known: Array | None = None
    for number, (points, cell) in enumerate(zip(positions, cells, strict=True)):
        if known is None or not np.array_equal(cell, known):
            known, (index, k, which) = cell, _wave_vectors(cell, k_max, k_bin)
            counts = np.bincount(which, minlength=bins)
        with np.errstate(invalid="ignore"):
            if number == 0:
                lengths = np.bincount(which, weights=k, minlength=bins) / counts
            values = _intensity(points @ np.linalg.inv(cell), index)
            found[number] = np.bincount(which, weights=values, minlength=bins) / counts
    return lengths, found


def peaks(k: Array, values: Array, constant: float) -> dict[str, Peak]:
    """The largest S near each of rocksalt's first reflections, by their indices; those beyond `k` are left out.

    A sub-lattice of rocksalt is face-centred cubic, and shows all of them.

    Args:
        k: (bin,) in 1/Å.
        values: (bin,) S.
        constant: lattice constant in Å.
    """
    found = {}
    for name, squares in REFLECTIONS.items():
        place = 2 * np.pi * np.sqrt(squares) / constant
        near = np.flatnonzero((np.abs(k - place) <= NEAR * place) & np.isfinite(values))
        if len(near):
            top = near[np.argmax(values[near])]
            found[name] = Peak(float(k[top]), float(values[top]))
    return found


def _wave_vectors(cell: Array, k_max: float, k_bin: float) -> tuple[Array, Array, Array]:
    """Indices (vector, 3) of one of each pair k and -k up to `k_max`, their lengths (1/Å) and their bins."""
    reciprocal = 2 * np.pi * np.linalg.inv(cell).T
    most = np.floor(k_max * np.linalg.norm(cell, axis=1) / (2 * np.pi)).astype(int)
    h, k, l_ = (np.arange(low, n + 1) for low, n in zip((0, -most[1], -most[2]), most, strict=True))
    index = np.stack(np.meshgrid(h, k, l_, indexing="ij"), axis=-1).reshape(-1, 3)
    half = (index[:, 0] > 0) | ((index[:, 0] == 0) & ((index[:, 1] > 0) | ((index[:, 1] == 0) & (index[:, 2] > 0))))
    length = np.linalg.norm(index @ reciprocal, axis=1)
    chosen = half & (length < k_max * (1 - 1e-9))
    return index[chosen], length[chosen], (length[chosen] / k_bin).astype(np.int64)


def _intensity(fractional: Array, index: Array) -> Array:
    """|Σ exp(2 π i index·x)|² / N of every wave vector, (vector,): phases along the three axes, then one product."""
    most = np.abs(index).max(axis=0)
    phases = [np.exp(2j * np.pi * np.outer(np.arange(-n, n + 1), fractional[:, axis])) for axis, n in enumerate(most)]
    planes = (phases[0][most[0] :, None] * phases[1][None]).reshape(-1, len(fractional))
    amplitudes = (planes @ phases[2].T).reshape(most[0] + 1, 2 * most[1] + 1, 2 * most[2] + 1)
    chosen = amplitudes[index[:, 0], index[:, 1] + most[1], index[:, 2] + most[2]]
    return np.asarray((chosen.real**2 + chosen.imag**2) / len(fractional))
