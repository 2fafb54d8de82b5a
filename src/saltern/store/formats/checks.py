"""Whether foreign numbers can be what they are said to be: units and signs."""

from __future__ import annotations

import itertools
from collections.abc import Iterable, Iterator, Sequence

import numpy as np

from saltern.errors import UserError
from saltern.frames import Array, Frames
from saltern.store.formats.quantities import ENERGIES, FORCES, Units, energy_factor, force_factor, length_factor

FORCE_RMS = (0.05, 10.0)
"""Root mean square of a force component in eV/Å; LIQUID_RMS in kcal/mol/Å would read as 18."""

LIQUID_RMS = 0.8
"""That of water at room temperature (PBE0-TS 0.81, DC-r2SCAN with LiCl 0.79)."""

NET_FORCE = 0.5
"""Largest net force, as a fraction of what independent forces of the same size would add up to."""

SHORTEST = 0.5
"""Å between two atoms, whatever they are."""

BONDS = (0.62, 1.5)
"""Shortest distance as a multiple of the sum of the covalent radii, over a batch. The upper one holds for hydrogen,
which is never without a bond. A bohr read as an Å makes 1.9 of what should be 1, an Å read as a bohr 0.5."""

REACH = 3.0
"""Å within which neighbours are sought; longer than any bond of hydrogen that is allowed."""

CLOSE = 0.1
"""Root mean square displacement in Å between two frames below which the trapezoidal rule holds: on the 48 such pairs
of 320 frames of liquid water (PBE0-TS) the slope is 0.97 and the correlation 0.98."""

MIN_PAIRS = 8
MIN_WORK = 0.02
"""eV, standard deviation over the pairs; less could drown in the convergence of the energies."""

SLOPES = (0.8, 1.25)


def check_batch(frames: Frames, wheres: Sequence[str], units: Units, *, thorough: bool = True) -> None:
    """Ask whether frames, converted from `units`, can be true.

    Args:
        frames: in eV and Å, with numbers, positions, cell, forces, energy.
        wheres: file and frame of each, for the message.
        units: what they were converted from.
        thorough: compare every two frames with each other, not only those that follow each other.

    Raises:
        UserError: naming what is wrong, and the unit or sign that would fit if one does.
    """
    check_forces(frames, wheres, units)
    check_distances(frames, wheres, units)
    check_work(frames, wheres, units, thorough=thorough)


def check_forces(frames: Frames, wheres: Sequence[str], units: Units) -> None:
    """The size of the forces over all frames, and that they add up to nothing in each.

    Raises:
        UserError: when they are no forces of condensed matter in this unit, or do not belong to whole frames.
    """
    forces = frames["forces"]
    size = float(np.sqrt(np.mean(forces**2)))
    if not FORCE_RMS[0] <= size <= FORCE_RMS[1]:
        given = force_factor(units.force)
        sizes = {unit: size * force_factor(unit) / given for unit in FORCES}
        likely = sorted(sizes, key=lambda unit: abs(np.log(sizes[unit] / LIQUID_RMS)))
        fitting = [unit for unit in likely if 0.3 < sizes[unit] / LIQUID_RMS < 3][:2]
        allowed = f"{FORCE_RMS[0]} to {FORCE_RMS[1]} eV/Å"
        raise UserError(
            f"{_span(wheres)}: forces in {units.force} would be {size:.3g} eV/Å rms, allowed {allowed}{_fits(fitting)}"
        )
    counts = frames.atom_counts
    net = np.linalg.norm(np.add.reduceat(forces, frames.offsets[:-1]), axis=1)
    share = net / (size * np.sqrt(3 * counts))
    worst = int(np.argmax(share))
    if share[worst] > NET_FORCE:
        raise UserError(
            f"{wheres[worst]}: the forces add up to {net[worst]:.3g} eV/Å on {counts[worst]} atoms, allowed "
            f"{NET_FORCE * size * np.sqrt(3 * counts[worst]):.3g}; are atoms missing?"
        )


def check_distances(frames: Frames, wheres: Sequence[str], units: Units) -> None:
    """The shortest distance, and the shortest of hydrogen, by the sum of the covalent radii.

    Raises:
        UserError: when atoms are on top of each other, or hydrogen has no bond in any frame.
    """
    shortest = [_shortest(frame) for frame in frames]
    distance, ratio, bond = (np.array(column) for column in zip(*shortest, strict=True))
    worst = int(np.argmin(ratio))
    if distance.min() < SHORTEST or ratio[worst] < BONDS[0]:
        fitting = _lengths(float(ratio[worst]), units)
        raise UserError(
            f"{wheres[worst]}: two atoms are {distance[worst]:.3g} Å apart, read as {units.length}; allowed is "
            f"{SHORTEST} Å and {BONDS[0]} of their covalent radii{_fits(fitting)}"
        )
    if (frames["numbers"] == 1).any() and bond.min() > BONDS[1]:
        raise UserError(
            f"{_span(wheres)}: no hydrogen has a neighbour within {BONDS[1]} of their covalent radii, read as "
            f"{units.length}{_fits(_lengths(float(bond.min()), units))}"
        )


def _shortest(frame: Frames) -> tuple[float, float, float]:
    """Shortest distance (Å), shortest by covalent radii, and shortest of hydrogen by covalent radii."""
    from ase.data import covalent_radii
    from vesin import NeighborList

    numbers = frame["numbers"]
    first, second, distances = NeighborList(cutoff=REACH, full_list=False).compute(
        points=frame["positions"], box=frame["cell"][0], periodic=True, quantities="ijd"
    )
    if not len(distances):
        return np.inf, np.inf, np.inf
    one, two = numbers[first.astype(np.int64)], numbers[second.astype(np.int64)]
    ratios = distances / (covalent_radii[one] + covalent_radii[two])
    bonds = ratios[(one == 1) | (two == 1)]
    return float(distances.min()), float(ratios.min()), float(bonds.min(initial=np.inf))


def _lengths(ratio: float, units: Units) -> list[str]:
    """Units of length that would make a bond of the shortest distance, which now has this ratio."""
    if not np.isfinite(ratio):
        return ["Å"] if units.length == "nm" else []
    given = length_factor(units.length)
    return [unit for unit in ("Å", "bohr", "nm") if 0.75 < ratio * length_factor(unit) / given < 1.3]


def check_work(frames: Frames, wheres: Sequence[str], units: Units, *, thorough: bool = True) -> None:
    """Between close frames of the same atoms the energy must change by minus the work of the mean force.

    Where fewer than `MIN_PAIRS` frames are close, or the work is too small to be seen, nothing is asked.

    Raises:
        UserError: when energies and forces are in different units, of different sign, or of different frames.
    """
    pairs = np.array([pair for group in _groups(frames) for pair in _pairs(group, thorough)]).reshape(-1, 2)
    if len(pairs) < MIN_PAIRS or pairs.std(axis=0).max() < MIN_WORK:
        return
    work, change = pairs.T
    slope = float(work @ change / (work @ work))
    correlation = float(np.corrcoef(work, change)[0, 1])
    if abs(correlation) < 0.5:
        raise UserError(
            f"{_span(wheres)}: the energies of {len(pairs)} pairs of close frames do not change with the work of the "
            f"forces (correlation {correlation:.2f}); are they of the same frames?"
        )
    if abs(correlation) > 0.9 and not SLOPES[0] < slope < SLOPES[1]:
        raise UserError(
            f"{_span(wheres)}: between {len(pairs)} pairs of close frames the energy in {units.energy} changes by "
            f"{slope:.3g} times the work of the forces in {units.force}; allowed is {SLOPES[0]} to {SLOPES[1]}"
            f"{_remedies(slope, float(np.sqrt(np.mean(frames['forces'] ** 2))), units)}"
        )


def _groups(frames: Frames) -> Iterable[Frames]:
    """Frames with energies of the same atoms in the same cell."""
    known = frames.select(np.isfinite(frames["energy"]))
    keys = [(known.of(i, "numbers").tobytes(), known.of(i, "cell").tobytes()) for i in range(len(known))]
    order = sorted(range(len(known)), key=lambda i: keys[i])
    return (known.select(list(group)) for _, group in itertools.groupby(order, key=lambda i: keys[i]))


def _pairs(frames: Frames, thorough: bool) -> Iterator[tuple[float, float]]:
    """Minus the work of the mean force, and the change of the energy, both in eV, between close frames."""
    forces, cell = frames.stacked("forces"), frames["cell"][0]
    positions = frames.stacked("positions") @ np.linalg.inv(cell)
    some = positions[:, :: max(1, positions.shape[1] // 16)]
    for lag in range(1, len(frames) if thorough else 2):
        # a few atoms tell most frames apart, before all of them are looked at
        perhaps = np.flatnonzero(_rms(_moved(some[:-lag], some[lag:], cell)) < 2 * CLOSE)
        moved = _moved(positions[perhaps], positions[perhaps + lag], cell)
        near = _rms(moved) < CLOSE
        close = perhaps[near]
        mean = (forces[close + lag] + forces[close]) / 2
        change = frames["energy"][close + lag] - frames["energy"][close]
        yield from zip(-(mean * moved[near]).sum(axis=(1, 2)), change, strict=True)


def _moved(before: Array, after: Array, cell: Array) -> Array:
    """Displacements (frame, atom, 3) in Å by the nearest image, from positions in units of the cell."""
    fractional = after - before
    moved: Array = (fractional - np.round(fractional)) @ cell
    return moved


def _rms(moved: Array) -> Array:
    """Root mean square of the components of each frame, (frame,)."""
    sizes: Array = np.sqrt((moved**2).mean(axis=(1, 2)))
    return sizes


def _remedies(slope: float, size: float, units: Units) -> str:
    """Which one change would make the slope 1, with forces that are now of this size in eV/Å."""
    if SLOPES[0] < -slope < SLOPES[1]:
        return "; the forces have the wrong sign"
    force, energy = force_factor(units.force), energy_factor(units.energy)
    possible = [unit for unit in FORCES if FORCE_RMS[0] <= size * force_factor(unit) / force <= FORCE_RMS[1]]
    changes = {f"forces in {unit}": force / force_factor(unit) for unit in possible}
    changes |= {f"energies in {unit}": energy_factor(unit) / energy for unit in ENERGIES}
    sign = " with the other sign" if slope < 0 else ""
    return _fits([text + sign for text, factor in changes.items() if 0.87 < abs(slope) * factor < 1.15])


def _fits(words: Sequence[str]) -> str:
    return f"; {' or '.join(words)} would fit" if words else ""


def _span(wheres: Sequence[str]) -> str:
    return wheres[0] if len(wheres) == 1 else f"{wheres[0]} and {len(wheres) - 1} more"
