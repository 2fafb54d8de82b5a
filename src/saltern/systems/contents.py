"""What is in a system's box: how many of what, how big, how dense."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from math import ceil

from saltern.config import Box, System
from saltern.errors import did_you_mean
from saltern.systems.density import solution_density
from saltern.systems.errors import ElectrolyteError
from saltern.systems.salts import Salt, parse_salt
from saltern.systems.seeds import check_seed
from saltern.systems.solvents import SOLVENTS, Solvent, Sourced
from saltern.systems.species import Species
from saltern.units import AVOGADRO

_ROUNDING = 0.3
"""Largest relative difference between the molality asked for and the one that whole formula units give."""


@dataclass(frozen=True)
class Contents:
    """The box of a system before anything is placed in it."""

    molecules: tuple[tuple[Species, int], ...]
    """Solvent, cations and anions with their numbers, in the order in which they stand in a frame."""
    molality: float
    """The one that is reached with whole formula units (mol/kg)."""
    density: Sourced
    """Density (g/cm³)."""
    permittivity: Sourced
    """Relative permittivity of the solvent."""

    @cached_property
    def edge(self) -> float:
        """Edge of the cubic box (Å)."""
        mass = sum(count * species.mass for species, count in self.molecules)
        return float((mass / AVOGADRO / self.density.value) ** (1 / 3) * 1e8)

    @property
    def counts(self) -> dict[str, int]:
        """Number of molecules of each species by name."""
        return {species.name: count for species, count in self.molecules}

    @property
    def atoms(self) -> int:
        """Number of atoms."""
        return sum(count * len(species.elements) for species, count in self.molecules)


def box_of(system: System) -> Box:
    """What counts about a system when a campaign is sized.

    Raises:
        ElectrolyteError: as `contents_of`.
    """
    contents = contents_of(system)
    solvent, count = contents.molecules[0]
    return Box(contents.atoms, contents.atoms - count * len(solvent.elements), system.levels, system.labelled)


def contents_of(system: System) -> Contents:
    """Work out a system's box.

    Formula units are rounded to the nearest whole number, but at least one where a molality is asked for. Water
    molecules that a strong acid turns into hydronium are counted in `solvent_molecules` and in the molality.

    Raises:
        ElectrolyteError: (a `UserError`) for an unknown salt or solvent, a molality that the box cannot hold, or
            a density or permittivity that is not known.
    """
    solvent = _solvent(system.solvent)
    salt = parse_salt(system.salt) if system.salt else None
    units, molality = _formula_units(system, solvent, salt)
    molecules = [(solvent.species, system.solvent_molecules)]
    if salt and units:
        left = system.solvent_molecules - units * salt.protonated
        molecules = [(solvent.species, left), (salt.cation, units * salt.cations), (salt.anion, units * salt.anions)]
    contents = Contents(
        tuple((species, count) for species, count in molecules if count),
        molality,
        _density(system, solvent, salt, molality),
        Sourced(system.permittivity, "given") if system.permittivity else solvent.permittivity(system.temperature),
    )
    check_seed(system, contents.molecules[1:], contents.edge)
    return contents


def _solvent(name: str) -> Solvent:
    """The solvent of that name."""
    if name not in SOLVENTS:
        raise ElectrolyteError("solvent", name, f"{', '.join(SOLVENTS)}{did_you_mean(name, list(SOLVENTS))}")
    return SOLVENTS[name]


def _formula_units(system: System, solvent: Solvent, salt: Salt | None) -> tuple[int, float]:
    """Formula units in the box and the molality that they make."""
    if system.molality == 0:
        return 0, 0.0
    if salt is None:
        raise ElectrolyteError("molality", system.molality, "0 without a salt")
    step = 1000 / (system.solvent_molecules * solvent.species.mass)
    units = max(1, round(system.molality / step))
    reached = units * step
    if abs(reached - system.molality) > _ROUNDING * system.molality:
        needed = ceil(1000 / ((1 + _ROUNDING) * system.molality * solvent.species.mass))
        raise ElectrolyteError(
            "molality",
            system.molality,
            f"multiples of {step:.3g} mol/kg with {system.solvent_molecules} solvent molecules; this one needs "
            f"at least {needed} solvent_molecules",
        )
    if units * salt.protonated > system.solvent_molecules:
        raise ElectrolyteError("molality", system.molality, "less acid than there is water to take up its protons")
    return units, reached


def _density(system: System, solvent: Solvent, salt: Salt | None, molality: float) -> Sourced:
    """The density given, or the one known."""
    if system.density:
        return Sourced(system.density, "given")
    if salt is None:
        return solvent.density(system.temperature)
    return solution_density(salt, solvent, molality, system.temperature)
