"""Solvents: what a box of each is filled with, how dense it is and how it screens charges."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import NamedTuple

from saltern.systems.errors import ElectrolyteError
from saltern.systems.species import WATER, Species

CELSIUS = 273.15
"""K at 0 °C."""

_MILD_K = 15.0
"""How far outside their measured range correlations of temperature are still used (K)."""


class Sourced(NamedTuple):
    """A number and where it comes from."""

    value: float
    source: str


@dataclass(frozen=True)
class Solvent:
    """A pure liquid. `density` (g/cm³) and `permittivity` (relative) are functions of temperature (K)."""

    name: str
    species: Species
    density: Callable[[float], Sourced]
    permittivity: Callable[[float], Sourced]


def water_density(temperature: float) -> Sourced:
    """Density of water at 1 atm (g/cm³): G. S. Kell, J. Chem. Eng. Data 20, 97 (1975), equation 16.

    Raises:
        ElectrolyteError: far outside 0-150 °C.
    """
    t = temperature - CELSIUS
    note = _range_note("density", "g/cm3", temperature, 0.0, 150.0)
    top = 999.83952 + t * (
        16.945176 + t * (-7.9870401e-3 + t * (-46.170461e-6 + t * (105.56302e-9 - 280.54253e-12 * t)))
    )
    return Sourced(top / (1 + 16.879850e-3 * t) / 1000, f"water: Kell 1975{note}")


def water_permittivity(temperature: float) -> Sourced:
    """Static relative permittivity of water: C. G. Malmberg, A. A. Maryott, J. Res. NBS 56, 1 (1956).

    Raises:
        ElectrolyteError: far outside 0-100 °C.
    """
    t = temperature - CELSIUS
    note = _range_note("permittivity", "relative", temperature, 0.0, 100.0)
    value = 87.740 - 0.40008 * t + 9.398e-4 * t**2 - 1.410e-6 * t**3
    return Sourced(value, f"water: Malmberg and Maryott 1956{note}")


def _range_note(key: str, unit: str, temperature: float, low: float, high: float) -> str:
    """What to say of a temperature outside low to high (°C): nothing inside, a note near by, an error beyond."""
    t = temperature - CELSIUS
    if low <= t <= high:
        return ""
    if low - _MILD_K <= t <= high + _MILD_K:
        return f", extrapolated to {t:.1f} C from {low:g}-{high:g} C"
    raise ElectrolyteError(
        key,
        None,
        f"a number ({unit}), for at {temperature:g} K the correlation for water, {low:g}-{high:g} C, says nothing",
    )


SOLVENTS: dict[str, Solvent] = {"water": Solvent("water", WATER, water_density, water_permittivity)}
"""Solvents by name."""
