"""Whether there is a crystal in frames: the proof that a potential was not shown one."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from saltern.frames import Frames
from saltern.observables.crystal import CRYSTAL, Order, octahedral, order
from saltern.observables.environments import environments
from saltern.observables.ions import ion_centres
from saltern.observables.nucleation import contact_distance
from saltern.observables.scattering import structure_factors
from saltern.observables.trajectory import Trajectory

Array = NDArray[Any]

AUDITED = ("numbers", "positions", "cell", "charges", "molecules")
"""What is looked at in a frame."""
K_MIN, K_MAX = 1.4, 4.0
"""1/Å; the strongest Bragg peaks of alkali halides lie between. Below, a shell of directions has few wave vectors."""


@dataclass
class Findings:
    """The most crystalline of some frames.

    Attributes:
        frames: number of frames looked at.
        ions: ions in the largest of them.
        crystals: frames with a crystal.
        solid: cations in the largest solid-like cluster of any frame.
        octahedral: most octahedral ions of any frame.
        cluster: ions in the largest cluster in contact of any frame; both -1 where it was not told which touch.
        peak: largest structure factor of the cations in any frame from K_MIN to K_MAX, averaged over directions.
        peak_k: where it is, in 1/Å.
    """

    frames: int = 0
    ions: int = 0
    crystals: int = 0
    solid: int = 0
    octahedral: int = -1
    cluster: int = -1
    peak: float = float("nan")
    peak_k: float = float("nan")

    def add(self, frames: Frames, contact: float | None) -> None:
        """Look at frames of one system.

        Args:
            frames: with the quantities in `AUDITED`.
            contact: distance in Å within which a cation and an anion touch; None where it is not known.
        """
        for alike in _alike(frames):
            positions, signs = _ions(alike)
            self.frames += len(alike)
            self.ions = max(self.ions, len(signs))
            if (signs > 0).any():
                self._add_order(order(positions, alike["cell"], signs, contact))
                self._add_scattering(*structure_factors(positions[:, signs > 0], alike["cell"], K_MAX))

    def merge(self, other: Findings) -> None:
        """Add what was found in other frames."""
        self.frames += other.frames
        self.crystals += other.crystals
        for name in ("ions", "solid", "octahedral", "cluster"):
            setattr(self, name, max(getattr(self, name), getattr(other, name)))
        self._add_peak(other.peak, other.peak_k)

    def _add_order(self, found: Order) -> None:
        self.crystals += int((found.solid >= CRYSTAL).sum())
        self.solid = max(self.solid, int(found.solid.max()))
        self.octahedral = max(self.octahedral, int(found.octahedral.max()))
        self.cluster = max(self.cluster, int(found.cluster.max()))

    def _add_scattering(self, k: Array, values: Array) -> None:
        values = np.where(k >= K_MIN, np.nan_to_num(values), 0.0)
        frame, place = np.unravel_index(int(values.argmax()), values.shape)
        self._add_peak(float(values[frame, place]), float(k[place]))

    def _add_peak(self, value: float, k: float) -> None:
        if value > self.peak or np.isnan(self.peak):
            self.peak, self.peak_k = value, k


def contact_of(frames: Frames) -> float | None:
    """First minimum of the cation-anion g(r) of frames of one system, in Å; None where noise hides it."""
    frames = next(_alike(frames))
    positions, signs = _ions(frames)
    if not ((signs > 0).any() and (signs < 0).any()):
        return None
    of_ions = Trajectory(positions, frames["cell"], np.arange(len(signs)), np.ones(len(signs)), 1.0)
    return contact_distance([of_ions], np.flatnonzero(signs > 0), np.flatnonzero(signs < 0))


def planted(frames: Frames, contact: float) -> Frames | None:
    """The same frames with a crystal put in: a control that a crystal would be seen.

    The first ions become a cube of rocksalt of 64 ions, three quarters of the contact distance apart, and thrown about
    by thermal noise; the others stay where they are. None where there are not so many ions, or too little room.

    Args:
        frames: with the quantities in `AUDITED`, of one system.
        contact: distance in Å within which a cation and an anion touch.
    """
    centres, signs = ion_centres(*(frames.of(0, name) for name in ("numbers", "charges", "molecules")))
    chosen = [centres[signs == sign][:32] for sign in (1, -1)]
    spacing = 0.75 * contact
    if min(map(len, chosen)) < 32 or (np.linalg.norm(frames["cell"], axis=2) < 5 * spacing).any():
        return None
    sites = np.stack(np.meshgrid(*[np.arange(4)] * 3, indexing="ij"), axis=-1).reshape(-1, 3)
    odd = sites.sum(axis=1) % 2 == 1
    positions = frames.stacked("positions").copy()
    noise = np.random.default_rng(0).normal(scale=0.05 * spacing, size=(len(frames), 64, 3))
    positions[:, chosen[0]] = spacing * sites[~odd] + noise[:, :32]
    positions[:, chosen[1]] = spacing * sites[odd] + noise[:, 32:]
    return frames.with_arrays(positions=positions.reshape(-1, 3))


def has_crystal(frames: Frames) -> Array:
    """Which of some frames of the same atoms hold a crystal, (frame,)."""
    positions, signs = _ions(frames)
    return order(positions, frames["cell"], signs, None).solid >= CRYSTAL


def frame_environments(frames: Frames, contact: float | None = None) -> Iterator[tuple[Array, Array]]:
    """Environments (ion, length) of each frame's ions, with the ions' signs (ion,).

    Args:
        frames: with the quantities in `AUDITED`.
        contact: distance in Å within which a cation and an anion touch; where it is given, only octahedral ions are
            looked at.
    """
    for alike in _alike(frames):
        positions, signs = _ions(alike)
        for points, cell in zip(positions, alike["cell"], strict=True):
            chosen = slice(None) if contact is None else octahedral(points, cell, signs, contact)
            yield environments(points, cell, signs, np.array([-1.0, 1.0]))[chosen], signs[chosen]


def _alike(frames: Frames) -> Iterator[Frames]:
    """Frames of the same atoms together: all at once, or one by one."""
    counts = frames.atom_counts
    same = len(frames) > 0 and (counts == counts[0]).all()
    if same and (frames.stacked("numbers") == frames.of(0, "numbers")).all():
        yield frames
    else:
        yield from frames


def _ions(frames: Frames) -> tuple[Array, Array]:
    """Positions (frame, ion, 3) and signs (ion,) of the ions of frames of the same atoms."""
    centres, signs = ion_centres(*(frames.of(0, name) for name in ("numbers", "charges", "molecules")))
    return frames.stacked("positions")[:, centres], signs
