"""Densities of solutions, each with its source."""

from __future__ import annotations

import csv
from functools import cache
from importlib import resources
from math import exp, sqrt

from saltern.systems.errors import ElectrolyteError
from saltern.systems.salts import Salt
from saltern.systems.solvents import CELSIUS, Solvent, Sourced

_FARTHEST = 2.0
"""Correlations are not used beyond this many times the highest molality they were fitted to."""

_LIMITING_SLOPE = 1.868
"""Debye-Hückel limiting slope of apparent molar volumes in water at 25 °C, cm³ kg^(1/2) mol^(-3/2) for a 1:1 salt:
O. Redlich, D. M. Meyer, Chem. Rev. 64, 221 (1964)."""


def solution_density(salt: Salt, solvent: Solvent, molality: float, temperature: float) -> Sourced:
    """Density of a solution (g/cm³).

    The first of these that knows the salt: the correlation of M. Laliberté (J. Chem. Eng. Data 54, 1725 (2009),
    form of M. Laliberté, W. E. Cooper, J. Chem. Eng. Data 49, 1141 (2004)), apparent molar volumes fitted to
    tabulated densities, and the sum of ionic volumes with the limiting slope. Outside the range of
    a correlation the salt's apparent density or volume is held at the edge of it, and the source says so.

    Args:
        salt: the salt.
        solvent: the solvent; only water has salts in it.
        molality: mol of salt per kg of solvent.
        temperature: K.

    Raises:
        ElectrolyteError: when no correlation covers it.
    """
    pure = solvent.density(temperature)
    if molality == 0:
        return pure
    for volume in (_laliberte, _fitted, _ionic):
        found = volume(salt, molality, temperature - CELSIUS)
        if found is not None:
            # mass over volume for 1 kg of solvent, in g and cm³
            value = (1000 + molality * salt.mass) / (1000 / pure.value + molality * found.value)
            return Sourced(value, f"{found.source}; {pure.source}")
    raise ElectrolyteError(
        "density", None, f"a number (g/cm3), for there is no correlation for {salt.name} in {solvent.name}"
    )


def _laliberte(salt: Salt, molality: float, t: float) -> Sourced | None:
    """Apparent molar volume (cm³/mol) from Laliberté's apparent density of the salt at the mass fraction w.

    It is (c0 w + c1) exp(1e-6 (t + c4)²) / (w + c2 + c3 t) in kg/m³, t in °C.
    """
    row = _rows("laliberte_2009.csv").get(salt.name)
    if row is None:
        return None
    fraction = molality * salt.mass / (1000 + molality * salt.mass)
    highest = 1000 * row["w_max"] / (1 - row["w_max"]) / salt.mass
    t_held, note = _held(salt, molality, highest, t, row)
    w = min(fraction, row["w_max"])
    apparent = (
        (row["c0"] * w + row["c1"]) * exp(1e-6 * (t_held + row["c4"]) ** 2) / (w + row["c2"] + row["c3"] * t_held)
    )
    return Sourced(1000 * salt.mass / apparent, f"{salt.name}: Laliberte 2009{note}")


def _fitted(salt: Salt, molality: float, t: float) -> Sourced | None:
    """Apparent molar volume a + b m^(1/2) + c m + d (t - 25) + e (t - 25)² (cm³/mol)."""
    row = _rows("apparent_volumes.csv").get(salt.name)
    if row is None:
        return None
    t_held, note = _held(salt, molality, row["m_max"], t, row)
    m, dt = min(molality, row["m_max"]), t_held - 25
    value = row["a"] + row["b"] * sqrt(m) + row["c"] * m + row["d"] * dt + row["e"] * dt**2
    return Sourced(value, f"{salt.name}: apparent molar volumes fitted to tabulated densities{note}")


def _ionic(salt: Salt, molality: float, _: float) -> Sourced | None:
    """Sum of the ions' volumes at 25 °C and the limiting slope (cm³/mol).

    Against Laliberté's densities of 37 salts at 25 °C it is right within 0.4 % up to 2 mol/kg and 1.3 % up to 4 mol/kg
    for salts of singly charged ions, within 1.6 % and 3.4 % for the others.
    """
    if salt.cation.volume is None or salt.anion.volume is None:
        return None
    volume = salt.cations * salt.cation.volume + salt.anions * salt.anion.volume
    valence = (salt.cations * salt.cation.charge**2 + salt.anions * salt.anion.charge**2) / 2
    value = volume + _LIMITING_SLOPE * valence**1.5 * sqrt(molality)
    return Sourced(value, f"{salt.name}: sum of ionic volumes at 25 C (Millero 1971), an estimate")


def _held(salt: Salt, molality: float, highest: float, t: float, row: dict[str, float]) -> tuple[float, str]:
    """The temperature at which a salt's volume is taken (°C), and what to say of being outside the fitted range."""
    if molality > _FARTHEST * highest:
        raise ElectrolyteError(
            "density", None, f"a number (g/cm3), for the correlation for {salt.name} ends at {highest:.3g} mol/kg"
        )
    t_held = min(max(t, row["t_min_C"]), row["t_max_C"])
    notes = []
    if t_held != t:
        notes.append(f"{t_held:g} C")
    if molality > highest:
        notes.append(f"{highest:.3g} mol/kg")
    return t_held, f", its volume held at that of {' and '.join(notes)}" if notes else ""


@cache
def _rows(file: str) -> dict[str, dict[str, float]]:
    """A packaged table by salt."""
    text = resources.files(__package__).joinpath(file).read_text(encoding="utf-8")
    return {
        row["salt"]: {key: float(value) for key, value in row.items() if key not in ("salt", "source")}
        for row in csv.DictReader(text.splitlines())
    }
