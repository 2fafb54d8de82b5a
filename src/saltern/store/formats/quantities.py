"""Units in which other programs write, in words."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from saltern.errors import UserError, did_you_mean
from saltern.store.formats.base import ImportOptions
from saltern.units import BOHR, HARTREE, KCAL_PER_MOL, KJ_PER_MOL

ENERGIES = {"eV": 1.0, "Hartree": HARTREE, "Ry": HARTREE / 2, "kcal/mol": KCAL_PER_MOL, "kJ/mol": KJ_PER_MOL}
"""eV."""

LENGTHS = {"Å": 1.0, "bohr": BOHR, "nm": 10.0, "A": 1.0, "Angstrom": 1.0}
"""Å."""

FORCES = ("eV/Å", "Hartree/bohr", "Hartree/Å", "Ry/bohr", "eV/bohr", "kcal/mol/Å", "kJ/mol/nm", "kJ/mol/Å")
"""Those that programs write; any energy by any length is understood."""


@dataclass(frozen=True)
class Units:
    """Units of a source; `force` in words such as 'eV/Å'."""

    energy: str
    length: str
    force: str


NATIVE = Units("eV", "Å", "eV/Å")


def energy_factor(unit: str) -> float:
    """How many eV a unit of energy is.

    Raises:
        UserError: for an unknown unit.
    """
    return _known("energy", unit, ENERGIES)


def length_factor(unit: str) -> float:
    """How many Å a unit of length is; raises as `energy_factor`."""
    return _known("length", unit, LENGTHS)


def force_factor(unit: str) -> float:
    """How many eV/Å a unit of force is, named as energy/length; raises as `energy_factor`."""
    energy, slash, length = unit.rpartition("/")
    if not slash:
        raise UserError(f"force unit '{unit}' is not an energy by a length, as 'eV/Å' is")
    return energy_factor(energy) / length_factor(length)


def _known(kind: str, unit: str, table: Mapping[str, float]) -> float:
    if unit not in table:
        raise UserError(
            f"unknown {kind} unit '{unit}'; allowed are {', '.join(table)}{did_you_mean(unit, list(table))}"
        )
    return table[unit]


def units_of(options: ImportOptions, native: Units) -> Units:
    """The units that the options tell, and the format's own for the others."""
    energy, length = options.energy_unit or native.energy, options.length_unit or native.length
    told = options.energy_unit or options.length_unit
    return Units(energy, length, options.force_unit or (f"{energy}/{length}" if told else native.force))
