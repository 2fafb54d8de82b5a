"""Crystallisation in simulations: how large crystals are, when they come, and that they scatter as one."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from saltern.observables.blocking import Estimate, block_means, estimate, pooled
from saltern.observables.coordination import first_shell
from saltern.observables.crystal import CRYSTAL, Order, first_lasting, order, solid_ions
from saltern.observables.lattice import lattice_name
from saltern.observables.rdf import radial_distribution
from saltern.observables.scattering import Peak, peaks, structure_factors
from saltern.observables.trajectory import Trajectory

Array = NDArray[Any]

CONTACT_BIN = 0.05
"""Å. Bin of the g(r) whose first minimum tells which ions touch."""
FARTHEST_CONTACT = 5.3
"""Å. Ions of the largest alkali halide, CsI, touch at 3.96 Å. Where the first minimum lies beyond this, it is that of
ions with solvent between them, and those that touch were too rare to show."""

EMBRYO = 2
"""Octahedral ions that stay are a crystal that grows: a frame of a solution has one at most."""


@dataclass(frozen=True)
class Crystallisation:
    """How much of the ions is a crystal.

    Attributes:
        contact: distance in Å within which a cation and an anion touch; None where it could not be told.
        interval: time between the frames looked at in fs.
        orders: one for each replica.
        solid: mean of the cations in the largest solid-like cluster.
        octahedral: mean of the octahedral ions.
        cluster: mean of the ions in the largest cluster in contact; both NaN without `contact`.
        constant: lattice constant in Å, of rocksalt, by the octahedral ions of frames with a crystal.
        first: time in fs since when each replica has a crystal; None where it has none at its end.
        lattices: of the crystal that each replica has in its last frame; None where it has none, or of another lattice
            than `lattice_name` knows.
        waiting: mean time in fs until a solution has a crystal.
        k: (bin,) in 1/Å.
        scattering: (bin,) structure factor of the cations.
        scattering_error: (bin,) its standard error.
        reflections: peaks of the structure factor near rocksalt's first reflections, in frames with a crystal.
    """

    contact: float | None
    interval: float
    orders: tuple[Order, ...]
    solid: Estimate
    octahedral: Estimate
    cluster: Estimate
    constant: Estimate
    first: tuple[float | None, ...]
    lattices: tuple[str | None, ...]
    waiting: Estimate
    k: Array
    scattering: Array
    scattering_error: Array
    reflections: dict[str, Peak]


def crystallisation(
    replicas: Sequence[Trajectory],
    cations: Array,
    anions: Array,
    blocks: int,
    every: float,
    contact: float | None = None,
) -> Crystallisation:
    """Look for crystals of the given ions.

    Args:
        replicas: trajectories of the same atoms.
        cations: (n,) indices of the cations, one atom each.
        anions: (m,) indices of the anions, one atom each.
        blocks: blocks that each replica is cut into for standard errors.
        every: time between the frames looked at in fs.
        contact: distance in Å within which a cation and an anion touch, by default the first minimum of their g(r).
    """
    stride = max(1, round(every / replicas[0].interval))
    seen = [_every(trajectory, stride) for trajectory in replicas]
    if contact is None:
        contact = contact_distance(seen, cations, anions)
    ions = np.concatenate([cations, anions])
    charges = np.repeat([1.0, -1.0], [len(cations), len(anions)])
    orders = tuple(order(t.positions[:, ions], t.cells, charges, contact) for t in seen)
    starts = [first_lasting(o.solid) for o in orders]
    interval = seen[0].interval
    k, factors = _scattering(seen, cations)
    parts = [block_means(values, blocks) for values in factors]
    mean, error = pooled(np.concatenate([p[0] for p in parts]), np.concatenate([p[1] for p in parts]))
    unknown = Estimate(np.nan, np.nan)
    crystals = [o.solid >= CRYSTAL for o in orders]
    constant = _constant([2 * o.spacing[c] for o, c in zip(orders, crystals, strict=True)], blocks)
    return Crystallisation(
        contact,
        interval,
        orders,
        estimate([o.solid for o in orders], blocks),
        unknown if contact is None else estimate([o.octahedral for o in orders], blocks),
        unknown if contact is None else estimate([o.cluster for o in orders], blocks),
        constant,
        tuple(None if start is None else start * interval for start in starts),
        tuple(
            None if start is None else _last_lattice(t, ions, charges) for t, start in zip(seen, starts, strict=True)
        ),
        waiting_time([len(t) for t in seen], starts, interval),
        k,
        mean,
        error,
        _reflections(k, factors, crystals, constant.value),
    )


def before_growth(replicas: Sequence[Trajectory], found: Crystallisation, least: int) -> list[Trajectory]:
    """Replicas as far as they are a solution: up to the frame from which on there are always `EMBRYO` octahedral ions.

    Args:
        replicas: those in which `found` was found.
        found: what `crystallisation` says of them.
        least: frames that a part must have to be kept.

    Returns:
        as many as have such a part; whole replicas where none does, as with a crystal from the start.
    """
    parts = []
    for trajectory, seen in zip(replicas, found.orders, strict=True):
        begun = first_lasting(seen.octahedral, EMBRYO)
        frames = len(trajectory) if begun is None else round(begun * found.interval / trajectory.interval)
        if frames >= least:
            kept = replace(trajectory, positions=trajectory.positions[:frames], cells=trajectory.cells[:frames])
            parts.append(kept)
    return parts or list(replicas)


def contact_distance(replicas: Sequence[Trajectory], cations: Array, anions: Array) -> float | None:
    """First minimum of the cation-anion g(r) in Å; None where noise hides it, or it is not of ions that touch."""
    rdf = radial_distribution(replicas, cations, anions, CONTACT_BIN, 5)
    minimum = first_shell(rdf).minimum
    if minimum is None or rdf.edges[minimum] > FARTHEST_CONTACT:
        return None
    return float(rdf.edges[minimum])


def waiting_time(lengths: Sequence[int], starts: Sequence[int | None], interval: float) -> Estimate:
    """Mean time until a crystal forms, in the unit of `interval`, for events that come at random.

    All time without a crystal over the number of crystals, which counts replicas that end without one: the estimate
    of largest likelihood for exponential waiting times (B. Epstein and M. Sobel, J. Am. Stat. Assoc. 48, 486 (1953)).
    Its standard error is its value over the root of that number. Replicas that start with a crystal are left out.

    Args:
        lengths: number of frames of each replica.
        starts: first frame with a crystal, None where there is none.
        interval: time between frames.
    """
    waited = sum(length if start is None else start for length, start in zip(lengths, starts, strict=True))
    events = sum(1 for start in starts if start)
    if not events:
        return Estimate(np.nan, np.nan)
    return Estimate(waited * interval / events, waited * interval / events**1.5)


def _last_lattice(trajectory: Trajectory, ions: Array, charges: Array) -> str | None:
    """Lattice of the crystal in the last frame."""
    points, cell = trajectory.positions[-1][ions], trajectory.cells[-1]
    crystal = np.zeros(len(ions), dtype=bool)
    crystal[charges > 0] = solid_ions(points[charges > 0], cell)
    return lattice_name(points, cell, charges, crystal)


def _every(trajectory: Trajectory, stride: int) -> Trajectory:
    """Each so many-th frame of a trajectory."""
    return replace(
        trajectory,
        positions=trajectory.positions[::stride],
        cells=trajectory.cells[::stride],
        interval=stride * trajectory.interval,
    )


def _scattering(replicas: Sequence[Trajectory], cations: Array) -> tuple[Array, list[Array]]:
    """Wave vectors (bin,) and for each replica the cations' structure factor (frame, bin), where the box has some."""
    found = [structure_factors(t.positions[:, cations], t.cells) for t in replicas]
    known = np.isfinite(found[0][0]) & np.all([np.isfinite(values).all(axis=0) for _, values in found], axis=0)
    return found[0][0][known], [values[:, known] for _, values in found]


def _constant(replicas: Sequence[Array], blocks: int) -> Estimate:
    """Lattice constant from its values in the frames that have one."""
    known = [values[np.isfinite(values)] for values in replicas]
    some = [values for values in known if len(values)]
    return estimate(some, blocks) if some else Estimate(np.nan, np.nan)


def _reflections(k: Array, factors: Sequence[Array], crystals: Sequence[Array], constant: float) -> dict[str, Peak]:
    """Peaks of the structure factor over all frames with a crystal."""
    if not np.isfinite(constant):
        return {}
    frames = np.concatenate([values[chosen] for values, chosen in zip(factors, crystals, strict=True)])
    return peaks(k, frames.mean(axis=0), constant)
