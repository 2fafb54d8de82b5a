"""From what `observe` wrote to rows and curves."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from typing import Any

import numpy as np

from saltern.frames import Array
from saltern.report.data import (
    CrystalRow,
    Curve,
    Growth,
    HealthRow,
    IonPair,
    LikenessRow,
    MeanForceCurve,
    Measured,
    PropertyRow,
    SystemRow,
)
from saltern.report.experiment import Experiment, experiment

PMF_ERROR = 1.0
"""kT. Where ions met so rarely that the error is larger, a potential of mean force is not drawn."""
PMF_HIGHEST = 8.0
"""kT. Up to here potentials of mean force of two ions alone are drawn."""
PMF_POINTS = {"contact": "contact minimum", "barrier": "barrier", "separated": "solvent-separated minimum"}
"""What the report calls places of a potential of mean force."""


def curves(system: SystemRow, measured: Mapping[str, Any]) -> list[Curve]:
    """g(r) of every pair."""
    return [
        Curve(
            system.id,
            (entry["pair"][0], entry["pair"][1]),
            np.array(entry["r"]["values"], dtype=np.float64),
            np.array(entry["g"]["values"], dtype=np.float64),
            np.array(entry["g"]["error"], dtype=np.float64),
        )
        for entry in measured.get("rdf", [])
    ]


def likeness_rows(system: SystemRow, measured: Mapping[str, Any]) -> list[LikenessRow]:
    """What tells the student's liquid from the teacher's, where its frames are one."""
    return [
        LikenessRow(
            system.id,
            (entry["pair"][0], entry["pair"][1]),
            _measured(entry["difference"]),
            entry["noise"]["value"],
            entry["last"]["value"],
            _measured(entry["heights"][0]),
            _measured(entry["heights"][1]),
            np.array(entry["r"]["values"], dtype=np.float64),
            np.array(entry["g"]["values"], dtype=np.float64),
        )
        for entry in measured.get("teacher", [])
    ]


def mean_forces(system: SystemRow, measured: Mapping[str, Any]) -> list[MeanForceCurve]:
    """Potential of mean force of every pair of ions, without the distances at which they were hardly ever met."""
    found = []
    for entry in measured.get("pmf", []):
        columns = (entry["r"], entry["total"], entry["short_range"])
        r, total, short_range = (np.array(column["values"], dtype=np.float64) for column in columns)
        error = np.array(entry["total"]["error"], dtype=np.float64)
        seen = np.isfinite(total) & (error < PMF_ERROR)
        pair = (entry["pair"][0], entry["pair"][1])
        found.append(MeanForceCurve(system.id, pair, r[seen], total[seen], short_range[seen], error[seen]))
    return found


def crystal_rows(errors: Mapping[str, Any]) -> tuple[CrystalRow, ...]:
    """Crystals at rest, of what `evaluate` wrote."""
    return tuple(
        CrystalRow(
            "".join(entry["ions"]),
            entry["lattice"],
            entry["permittivity"],
            _measured(entry["minimum"]["constant"]),
            _measured(entry["minimum"]["energy"]),
            np.array(entry["contact"], dtype=np.float64),
            *_curve(entry["energy"]),
        )
        for entry in errors.get("crystals", [])
    )


def growths(system: SystemRow, measured: Mapping[str, Any]) -> list[Growth]:
    """How crystals came and went."""
    drivers = measured["drivers"]
    several = len(set(drivers.values())) > 1
    return [
        Growth(
            system.id,
            entry["interval"]["value"],
            tuple(np.array(run["solid"], dtype=np.int64) for run in entry["replicas"]),
            tuple(run["crystal_since"]["value"] is not None for run in entry["replicas"]),
            entry["solution"]["value"],
            tuple(f"m{drivers[run['replica']]:04d}" for run in entry["replicas"]) if several else (),
        )
        for entry in measured.get("crystal", [])
    ]


def ion_pairs(errors: Mapping[str, Any]) -> tuple[IonPair, ...]:
    """Two ions alone, of what `evaluate` wrote, without the distances at which the wall is all that counts."""
    found = []
    for entry in errors.get("pairs", []):
        r = np.array(entry["r"], dtype=np.float64)
        (total, error), (short_range, _) = (_curve(entry[name]) for name in ("total", "short_range"))
        shown = total < PMF_HIGHEST
        pair = (entry["pair"][0], entry["pair"][1])
        curve = MeanForceCurve("", pair, r[shown], total[shown], short_range[shown], error[shown])
        places = ((_measured(entry[name]["position"]), _measured(entry[name]["value"])) for name in PMF_POINTS)
        found.append(IonPair(curve, *places))
    return tuple(found)


def _curve(entry: Mapping[str, Any]) -> tuple[Array, Array]:
    """Values and their errors, zero where they are unknown."""
    values, errors = (np.array(entry[name], dtype=np.float64) for name in ("values", "error"))
    return values, np.nan_to_num(errors)


def property_rows(system: SystemRow, measured: Mapping[str, Any]) -> list[PropertyRow]:
    """Every number that was measured, with its experimental counterpart."""
    rows = []
    for entry in measured.get("rdf", []):
        pair = "-".join(entry["pair"])
        rows.append(_row(system, "first peak position", pair, entry["peak_position"], entry["remark"]))
        rows.append(_row(system, "first peak height", pair, entry["peak_height"], entry["remark"]))
    for entry in measured.get("coordination", []):
        pair = f"{entry['centre']}-{entry['neighbour']}"
        cutoff = entry["cutoff"]["value"]
        remark = entry["remark"] or f"within {cutoff:.2f} Å"
        rows.append(_row(system, "coordination number", pair, entry, remark))
    for entry in measured.get("pmf", []):
        pair, remark = "-".join(entry["pair"]), entry["remark"]
        for point, name in PMF_POINTS.items():
            rows.append(_row(system, f"{name} of the PMF, distance", pair, entry[point]["position"], remark))
            rows.append(_row(system, f"{name} of the PMF, short-range part", pair, entry[point]["value"], remark))
    for entry in measured.get("crystal", []):
        rows += _crystal_rows(system, entry)
    for entry in measured.get("diffusion", []):
        believed = bool(entry["diffusive"])
        remark = entry["remark"]
        rows.append(_row(system, "self-diffusion", entry["species"], entry["corrected"], remark, believed))
        uncorrected = _row(
            system, "self-diffusion in the box", entry["species"], entry["uncorrected"], _window(entry), believed
        )
        rows.append(uncorrected)
    return rows


def _crystal_rows(system: SystemRow, entry: Mapping[str, Any]) -> list[PropertyRow]:
    """How much of the ions is a crystal."""
    salt, runs = system.salt, entry["replicas"]
    largest = max((max(run["solid"], default=0) for run in runs), default=0)
    begun = [run["crystal_since"]["value"] for run in runs]
    since = ", ".join(f"{time:g} ps" for time in begun if time is not None)
    told = f"{sum(time is not None for time in begun)} of {len(runs)} replicas end with a crystal"
    told += f", there since {since}" if since else ""
    contact = entry["contact"]["value"]
    touching = entry["remark"] or f"contact within {contact:.2f} Å"
    constant, named = entry["lattice_constant"], Counter(run["lattice"] for run in runs if run["lattice"])
    lattices = "".join(f"; {name} at the end of {count} of {len(runs)} replicas" for name, count in named.items())
    rows = [
        _row(system, "cations in the largest crystal", salt, entry["solid"], "mean over time"),
        _row(system, "cations in the largest crystal, at most", salt, {"value": largest, "unit": ""}, ""),
        _row(system, "octahedral ions", salt, entry["octahedral"], touching),
        _row(system, "ions in the largest cluster in contact", salt, entry["cluster"], touching),
        _row(
            system,
            "waiting time for a crystal",
            salt,
            entry["waiting_time"],
            told,
        ),
        _row(system, "lattice constant of the crystal", salt, constant, f"by contacts of octahedral ions{lattices}"),
    ]
    for name, peak in entry["reflections"].items():
        remark = f"of the cations, at {peak['k']['value']:.2f} 1/Å"
        rows.append(_row(system, f"structure factor near ({name})", salt, peak["value"], remark))
    return rows


def health(system: SystemRow, measured: Mapping[str, Any], stopped: str) -> HealthRow:
    """How the simulations of one system went."""
    drift, outside = measured.get("drift", {}), measured.get("outside")
    return HealthRow(
        system.id,
        measured["replicas"],
        measured["length"]["value"],
        _measured(drift.get("energy_drift", {})),
        _measured(drift.get("mean_temperature", {})),
        drift.get("largest_spread", {}).get("value"),
        stopped,
        outside=_measured(outside["atoms"]) if outside else None,
        force_error=_measured(outside["force_error"]) if outside else None,
        new=_measured(measured["new_environments"]) if "new_environments" in measured else None,
    )


def _measured(entry: Mapping[str, Any]) -> Measured:
    return Measured(entry.get("value"), entry.get("error"))


def _row(
    system: SystemRow, quantity: str, species: str, entry: Mapping[str, Any], remark: str, believed: bool = True
) -> PropertyRow:
    """One row; only what was measured is compared."""
    found: Experiment | None = None
    if entry["value"] is not None:
        found = experiment(quantity, species, system.salt, system.molality, system.temperature)
    return PropertyRow(system.id, quantity, species, _measured(entry), entry["unit"], found, remark, believed)


def _window(entry: Mapping[str, Any]) -> str:
    """What the fit was made from."""
    if "window" not in entry:
        return ""
    window, slope = entry["window"], entry["slope"]["value"]
    exponent = "unknown" if slope is None else f"{slope:.2f}"
    return f"as in the periodic box; {window['start']:g} to {window['end']:g} ps, log-log slope {exponent}"
