"""What is in a dataset: forces by element, energies, stresses and distances by system.

Sums are exact, so the numbers are the same bits in whatever batches, by whatever workers and in whatever order the
frames were counted.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from fractions import Fraction
from math import inf, isqrt
from typing import Any

import numpy as np

from saltern.frames import Array, Frames
from saltern.store.duplicates import neighbour_distances

PERCENTILES = (1, 50, 99)
CONTACT_A = 4.0
"""Pairs of elements that never come nearer than this (Å) have no shortest distance."""
_BINS = {"force": 0.01, "energy": 1e-4, "stress": 1e-5}
"""Widths of the histograms from which percentiles are read: eV/Å, eV per atom, eV/Å³."""
_LABELS = ("energy_per_atom_eV", "stress_trace_eV_A3")
_SCALE = 1126
"""Every finite float64 is a whole multiple of 2 to the minus this."""


@dataclass
class Tally:
    """Count, sums, extremes and histogram of a quantity; values that are not finite are counted as missing."""

    bin: float
    count: int = 0
    missing: int = 0
    sum: int = 0
    squares: int = 0
    least: float = inf
    most: float = -inf
    histogram: Counter[int] = field(default_factory=Counter)

    def add(self, values: Array) -> None:
        """Count values, (n,)."""
        finite = values[np.isfinite(values)].astype(np.float64)
        self.missing += len(values) - len(finite)
        if not len(finite):
            return
        self.count += len(finite)
        self.sum += _exact_sum(finite)
        self.squares += _exact_sum(finite * finite) + _exact_sum(_square_errors(finite))
        self.least, self.most = min(self.least, float(finite.min())), max(self.most, float(finite.max()))
        bins, counts = np.unique(np.floor(finite / self.bin).astype(np.int64), return_counts=True)
        self.histogram.update(dict(zip(bins.tolist(), counts.tolist(), strict=True)))

    def merge(self, other: Tally) -> None:
        """Count what another one has counted."""
        self.count += other.count
        self.missing += other.missing
        self.sum += other.sum
        self.squares += other.squares
        self.least, self.most = min(self.least, other.least), max(self.most, other.most)
        self.histogram.update(other.histogram)

    def plain(self) -> dict[str, Any]:
        """What JSON can hold; nothing but the counts when there was no value.

        Percentiles are the middle of a bin, so right to half its width.
        """
        told: dict[str, Any] = {"count": self.count}
        if self.missing:
            told["missing"] = self.missing
        if self.count:
            told |= {"mean": float(Fraction(self.sum, self.count << _SCALE)), "std": self._deviation()}
            told |= {"min": self.least, "max": self.most}
            told |= {f"p{p}": self._percentile(p) for p in PERCENTILES}
        return told

    def _deviation(self) -> float:
        """Standard deviation over all values."""
        # count² times the variance, in units of 2 ** (-2 * _SCALE)
        spread = self.count * (self.squares << _SCALE) - self.sum * self.sum
        return float(Fraction(isqrt(max(spread, 0)), self.count << _SCALE))

    def _percentile(self, percent: int) -> float:
        """The middle of the bin below whose upper edge that share of the values lies."""
        wanted, seen = self.count * percent, 0
        for place in sorted(self.histogram):
            seen += self.histogram[place]
            if 100 * seen >= wanted:
                break
        return round((place + 0.5) * self.bin, 9)


def _exact_sum(values: Array) -> int:
    """The sum of finite float64 in units of 2 ** -`_SCALE`, without any rounding."""
    mantissas, exponents = np.frexp(values)
    whole = np.ldexp(mantissas, 53).astype(np.int64)
    total = 0
    for exponent in np.unique(exponents).tolist():
        here = whole[exponents == exponent]
        # two halves, so that the sum of 2 ** 36 of them still fits
        high, low = int((here >> 26).sum()), int((here & (2**26 - 1)).sum())
        total += ((high << 26) + low) << (exponent - 53 + _SCALE)
    return total


def _square_errors(values: Array) -> Array:
    """What rounding takes from the squares of float64, itself without rounding (Dekker, Numer. Math. 18, 224 (1971)).

    A spread of 1 meV around -600 eV would else be lost in it.
    """
    shifted = values * 134217729.0
    high = shifted - (shifted - values)
    low = values - high
    errors: Array = ((high * high - values * values) + 2 * high * low) + low * low
    return errors


@dataclass
class SystemTally:
    """What is counted of one system."""

    frames: int = 0
    atoms: int = 0
    energy: Tally = field(default_factory=lambda: Tally(_BINS["energy"]))
    stress: Tally = field(default_factory=lambda: Tally(_BINS["stress"]))
    temperatures: set[float] = field(default_factory=set)
    shortest: dict[str, float] = field(default_factory=dict)

    def merge(self, other: SystemTally) -> None:
        """Count what another one has counted."""
        self.frames += other.frames
        self.atoms += other.atoms
        self.energy.merge(other.energy)
        self.stress.merge(other.stress)
        self.temperatures |= other.temperatures
        self.shorten(other.shortest)

    def shorten(self, found: Mapping[str, float]) -> None:
        """Keep the shorter distance of each pair of elements."""
        for pair, distance in found.items():
            self.shortest[pair] = min(distance, self.shortest.get(pair, inf))

    def plain(self) -> dict[str, Any]:
        """What JSON can hold."""
        return {
            "frames": self.frames,
            "atoms": self.atoms,
            "energy_per_atom_eV": self.energy.plain(),
            "stress_trace_eV_A3": self.stress.plain(),
            "temperature_K": sorted(self.temperatures),
            "shortest_A": dict(sorted(self.shortest.items())),
        }


@dataclass
class Statistics:
    """What is counted of a dataset or a part of it."""

    forces: dict[str, Tally] = field(default_factory=dict)
    """Magnitude of the force (eV/Å) by element."""
    systems: dict[str, SystemTally] = field(default_factory=dict)

    def add(self, frames: Frames) -> None:
        """Count frames: numbers, positions, cell and system, and what is known of forces, energy and stress."""
        if "forces" in frames:
            self._add_forces(frames)
        for system in np.unique(frames["system"]).tolist():
            self._add_system(self.systems.setdefault(system, SystemTally()), frames.select(frames["system"] == system))

    def _add_forces(self, frames: Frames) -> None:
        """Forces by element."""
        magnitudes = np.sqrt(np.square(frames["forces"]).sum(axis=1))
        for number in np.unique(frames["numbers"]).tolist():
            tally = self.forces.setdefault(_symbol(number), Tally(_BINS["force"]))
            tally.add(magnitudes[frames["numbers"] == number])

    def _add_system(self, tally: SystemTally, frames: Frames) -> None:
        """Frames of one system."""
        tally.frames += len(frames)
        tally.atoms += int(frames.offsets[-1])
        if "energy" in frames:
            tally.energy.add(frames["energy"] / frames.atom_counts)
        if "stress" in frames:
            tally.stress.add(np.trace(frames["stress"], axis1=1, axis2=2))
        if "temperature" in frames:
            tally.temperatures.update(t for t in frames["temperature"].tolist() if np.isfinite(t))
        for i in range(len(frames)):
            tally.shorten(_shortest(*(frames.of(i, name) for name in ("numbers", "positions", "cell"))))

    def merge(self, other: Statistics) -> None:
        """Count what another one has counted."""
        for element, tally in other.forces.items():
            self.forces.setdefault(element, Tally(tally.bin)).merge(tally)
        for system, counted in other.systems.items():
            self.systems.setdefault(system, SystemTally()).merge(counted)

    def plain(self, molalities: Mapping[str, float] | None = None) -> dict[str, Any]:
        """What JSON can hold.

        Args:
            molalities: of the systems (mol/kg), where they are known; frames do not tell.
        """
        known = molalities or {}
        systems = {name: self.systems[name].plain() for name in sorted(self.systems)}
        return {
            "elements": {name: {"force_eV_A": self.forces[name].plain()} for name in sorted(self.forces)},
            "systems": {name: {**told, "molality_mol_kg": known.get(name)} for name, told in systems.items()},
        }


def statistics_of(batches: Iterable[Frames]) -> Statistics:
    """Count batches of frames, of which one is in memory at a time; what several workers counted can be merged."""
    counted = Statistics()
    for frames in batches:
        counted.add(frames)
    return counted


def _symbol(number: int) -> str:
    """An element's symbol."""
    from ase.data import chemical_symbols

    return str(chemical_symbols[number])


def _shortest(numbers: Array, positions: Array, cell: Array) -> dict[str, float]:
    """The shortest distance of each pair of elements (Å), such as 'H-O'."""
    first, second, distance = neighbour_distances(positions, cell, CONTACT_A)
    found: defaultdict[tuple[int, int], float] = defaultdict(lambda: inf)
    pairs = numbers[first].astype(np.int64) * 256 + numbers[second]
    for code in np.unique(pairs).tolist():
        key = tuple(sorted(divmod(code, 256)))
        found[key] = min(found[key], float(distance[pairs == code].min()))
    return {"-".join(map(_symbol, key)): value for key, value in found.items()}


def labels_in_words(plain: Mapping[str, Any] | None) -> str:
    """What frames are labelled with, by `Statistics.plain`; all of it where that is not known."""
    systems = plain["systems"].values() if plain else []
    known = {name: not plain or any(told[name]["count"] for told in systems) for name in _LABELS}
    energies, stresses = known.values()
    return {
        (True, True): "Energies, forces and stresses",
        (True, False): "Energies and forces",
        (False, True): "Forces and stresses",
        (False, False): "Forces",
    }[energies, stresses]


def statistics_tables(plain: Mapping[str, Any]) -> str:
    """Markdown tables of `Statistics.plain`, by element and by system."""
    forces = {element: told["force_eV_A"] for element, told in plain["elements"].items()}
    elements = [
        [element, f"{told['count']}", *_numbers(told, ("mean", "std", "p99", "max"), 3)]
        for element, told in forces.items()
    ]
    systems = [
        [
            f"`{system}`",
            f"{told['frames']}",
            f"{told['atoms'] / max(told['frames'], 1):g}",
            *_numbers(told["energy_per_atom_eV"], ("mean", "std"), 4),
            *_numbers(told["stress_trace_eV_A3"], ("mean", "std"), 5),
            ", ".join(f"{pair} {distance:.2f}" for pair, distance in told["shortest_A"].items()),
        ]
        for system, told in plain["systems"].items()
    ]
    return "\n\n".join(
        [
            _table(["element", "forces", "mean (eV/Å)", "std", "99 % below", "largest"], elements),
            _table(
                [
                    "system", "frames", "atoms", "energy per atom (eV)", "std", "stress trace (eV/Å³)", "std",
                    "shortest distances (Å)",
                ],
                systems,
            ),
        ]
    )  # fmt: skip


def _numbers(told: Mapping[str, Any], names: Iterable[str], digits: int) -> list[str]:
    """Some numbers of a tally, or dashes."""
    return [f"{told[name]:.{digits}f}" if name in told else "-" for name in names]


def _table(head: list[str], rows: list[list[str]]) -> str:
    """A table in Markdown."""
    return "\n".join(f"| {' | '.join(cells)} |" for cells in [head, ["---"] * len(head), *rows])
