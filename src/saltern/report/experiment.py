"""Published experimental values, and which of them a simulated property may be compared with."""

from __future__ import annotations

import csv
from dataclasses import dataclass
from functools import cache
from importlib.resources import files

TEMPERATURE_TOLERANCE = 2.0
"""K."""
MOLALITY_TOLERANCE = 0.1
"""Relative."""


@dataclass(frozen=True)
class Experiment:
    """A published value; `remark` says under which conditions it was measured."""

    value: float
    uncertainty: float | None
    unit: str
    source: str
    remark: str


@dataclass(frozen=True)
class _Row:
    """A row of experiment.csv; no salt and no molality where the source does not depend on or state them."""

    quantity: str
    species: str
    salt: str
    molality: float | None
    temperature: float
    value: float
    uncertainty: float | None
    unit: str
    source: str


@cache
def _table() -> tuple[_Row, ...]:
    text = files("saltern.report").joinpath("experiment.csv").read_text(encoding="utf-8")
    return tuple(
        _Row(
            row["quantity"],
            row["species"],
            row["salt"],
            float(row["molality"]) if row["molality"] else None,
            float(row["temperature_K"]),
            float(row["value"]),
            float(row["uncertainty"]) if row["uncertainty"] else None,
            row["unit"],
            row["source"],
        )
        for row in csv.DictReader(text.splitlines())
    )


def experiment(quantity: str, species: str, salt: str, molality: float, temperature: float) -> Experiment | None:
    """The experimental value that applies, or None.

    A value applies within 2 K. One of the same salt within 10 % of the molality goes before one whose source states
    no concentration, and that before the limiting value at infinite dilution, which the remark then says.

    Args:
        quantity: such as 'self-diffusion'.
        species: ion, molecule, or pair such as 'Li-O'.
        salt: formula; '' for the pure solvent.
        molality: in mol/kg.
        temperature: in K.
    """
    ranked = []
    for row in _table():
        away = abs(row.temperature - temperature)
        if (row.quantity, row.species) != (quantity, species) or away > TEMPERATURE_TOLERANCE:
            continue
        rank = _rank(row, salt, molality)
        if rank is not None:
            ranked.append((rank, away, row))
    if not ranked:
        return None
    row = min(ranked, key=lambda entry: entry[:2])[2]
    return Experiment(row.value, row.uncertainty, row.unit, row.source, _conditions(row, molality))


def _rank(row: _Row, salt: str, molality: float) -> tuple[int, float] | None:
    """How near the conditions are, smaller is nearer; None when the row does not apply."""
    if row.salt:
        away = abs((row.molality or 0) - molality)
        return (0, away) if row.salt == salt and away <= MOLALITY_TOLERANCE * molality else None
    return (1 if row.molality is None else 2, 0.0)


def _conditions(row: _Row, molality: float) -> str:
    """What a reader must know before comparing."""
    at = f"{row.temperature:g} K"
    if row.salt:
        return f"{row.salt} {row.molality:g} mol/kg, {at}"
    if row.molality is None:
        return f"concentration not stated, {at}"
    if molality == 0:
        return at
    pure = row.species in ("water", "O-O")
    return f"pure water, {at}" if pure else f"limiting value, infinite dilution, {at}"
