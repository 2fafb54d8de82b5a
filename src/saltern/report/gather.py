"""From the directory of a campaign's results to what the page shows."""

from __future__ import annotations

import csv
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from importlib import metadata
from math import nan
from pathlib import Path
from types import MappingProxyType
from typing import Any

import numpy as np

from saltern import __version__
from saltern.config import state_id
from saltern.errors import UserError
from saltern.report.data import (
    Calibration,
    CostRow,
    Explained,
    HeldOutError,
    LearningCurve,
    LedgerRow,
    LevelData,
    Measured,
    MemberRow,
    Parity,
    ReportData,
    Snapshot,
    SystemRow,
)
from saltern.report.properties import (
    crystal_rows,
    curves,
    growths,
    health,
    ion_pairs,
    likeness_rows,
    mean_forces,
    property_rows,
)
from saltern.report.snapshot import off_middle, snapshot
from saltern.store import ledger_of, open_release, read_frames, read_json, read_metadata, spaced_frames

STAGES = ("compose", "sample", "label", "collect", "release", "train", "evaluate", "simulate", "audit", "observe")
FILM = 25
"""Frames of ions without solvent that are shown: some 60 kB of the page for 128 ions."""
SOFTWARE = ("tblite", "openmm", "torch", "numpy", "scipy", "snakemake")


def gather(
    results: Path, levels: Sequence[str], temperatures: Mapping[str, Sequence[float]] = MappingProxyType({})
) -> ReportData:
    """Read everything that the stages of a campaign wrote.

    Args:
        results: directory of the campaign, with systems.tsv, systems/, cost/ and one directory for each level.
        levels: names of the levels, in order.
        temperatures: where every system of a level was simulated (K); of a level that is not here, at its own.

    Raises:
        UserError: when a file is missing or not whole.
    """
    systems = [_system(results / "systems" / f"{name}.h5") for name in _listed(results / "systems.tsv")]
    states = {
        name: _states([s for s in systems if not s.levels or name in s.levels], temperatures.get(name, ()))
        for name in levels
    }
    known = {row.id: row for row in systems}
    others = {row.id: row for name in levels for row in _learned_from(results / name, known)}
    others |= {row.id: row for rows in states.values() for row in rows if row.id not in known}
    return ReportData(
        campaign=results.name,
        systems=tuple(systems),
        levels=tuple(_level(results / name, states[name]) for name in levels),
        cost=tuple(_cost(results, levels)),
        versions={"saltern": __version__, **{name: metadata.version(name) for name in SOFTWARE}},
        others=tuple(others.values()),
    )


def _states(systems: Sequence[SystemRow], temperatures: Sequence[float]) -> list[SystemRow]:
    """Every system at every temperature at which it was simulated."""
    return [
        replace(system, id=state_id(system.id, system.temperature, temperature), temperature=temperature)
        for system in systems
        for temperature in temperatures or (system.temperature,)
    ]


def _listed(path: Path) -> list[str]:
    """Identifiers of the campaign's systems, in its order."""
    try:
        with path.open(encoding="utf-8", newline="") as handle:
            return [row["id"] for row in csv.DictReader(handle, dialect="excel-tab")]
    except (OSError, KeyError) as error:
        raise UserError(f"{path}: not a table of systems ({error})") from error


def _learned_from(level: Path, known: Collection[str]) -> Iterator[SystemRow]:
    """Systems of a level's dataset that are not the campaign's, where potentials are published, as far as is known."""
    for name, about in open_release(level / "dataset").manifest["systems"].items():
        if name not in known:
            asked = about["system"]
            what = (asked["salt"] or "", asked.get("solvent", name), asked["role"], about["molality"])
            yield SystemRow(name, *what, asked["temperature"], {}, nan, nan, "", nan, "")


def _system(path: Path) -> SystemRow:
    """One composed system."""
    frames, about = read_frames(path), read_metadata(path)
    asked = about["system"]
    return SystemRow(
        id=about["id"],
        salt=asked["salt"] or "",
        solvent=asked["solvent"],
        role=asked["role"],
        molality=about["molality"],
        temperature=asked["temperature"],
        counts=about["species"],
        box_edge=float(np.cbrt(abs(np.linalg.det(frames["cell"][0])))),
        density=about["density_g_cm3"],
        density_source=about["density_source"],
        permittivity=float(frames["permittivity"][0]),
        permittivity_source=about["permittivity_source"],
        levels=tuple(asked.get("levels") or ()),
        seed_ions=(asked.get("seed_crystal") or {}).get("ions", 0),
    )


def _level(directory: Path, states: Sequence[SystemRow]) -> LevelData:
    """One level: its dataset, its potential and its simulations."""
    release = open_release(directory / "dataset")
    manifest = release.manifest
    errors = read_json(directory / "errors.json")
    measured = {state.id: read_json(directory / "properties" / f"{state.id}.json") for state in states}
    runs = {s: [directory / "properties" / path for path in found["trajectories"]] for s, found in measured.items()}
    about = {system: [read_metadata(path) for path in paths] for system, paths in runs.items()}
    requested = {name: entry["requested"] for name, entry in manifest["ledger"]["systems"].items()}
    ledger = ledger_of(release.index, requested)
    learning = tuple(_learning(path) for path in sorted((directory / "potentials").glob("*.csv")))
    return LevelData(
        name=directory.name,
        methods=tuple(manifest["methods"]),
        method_cpu_seconds={name: account.cpu_seconds for name, account in ledger.methods.items()},
        root_hash=manifest["root_hash"],
        ledger=tuple(
            LedgerRow(s, requested[s], account.accepted, account.quarantined, account.cpu_seconds)
            for s, account in ledger.systems.items()
        ),
        errors=tuple(_held_out(entry) for entry in errors["errors"]),
        environments=tuple(_held_out(entry) for entry in errors.get("environments", [])),
        calibration=_calibration(errors.get("calibration")),
        members=_members(errors, learning),
        force_parity=tuple(_parity(errors["force_parity"])),
        energy_parity=tuple(_parity(errors["energy_parity"])),
        learning=learning,
        curves=tuple(curve for s in states for curve in curves(s, measured[s.id])),
        likeness=tuple(row for s in states for row in likeness_rows(s, measured[s.id])),
        mean_forces=tuple(curve for s in states for curve in mean_forces(s, measured[s.id])),
        crystals=crystal_rows(errors),
        growth=tuple(row for s in states for row in growths(s, measured[s.id])),
        ion_pairs=ion_pairs(errors),
        audit=_text(directory / "audit.txt"),
        properties=tuple(row for s in states for row in property_rows(s, measured[s.id])),
        health=tuple(health(s, measured[s.id], _stopped(about[s.id])) for s in states),
        films=tuple(_film(runs[s], about[s], measured[s]) for s in _first_states(runs) if runs[s]),
        explained=tuple(_explained(entry) for entry in errors.get("explained", [])),
        spec={
            **({"train": errors["training"]} if errors.get("training") else {}),
            **{stage: entry[stage] for entries in about.values() for entry in entries for stage in _told(entry)},
        },
    )


def _text(path: Path) -> str:
    """A file that only some campaigns have."""
    return path.read_text(encoding="utf-8") if path.is_file() else ""


def _first_states(states: Iterable[str]) -> list[str]:
    """One temperature of each system."""
    first: dict[str, str] = {}
    for state in states:
        first.setdefault(state.partition("_")[0], state)
    return list(first.values())


def _film(
    paths: Sequence[Path], about: Sequence[Mapping[str, Any]], measured: Mapping[str, Any]
) -> tuple[Snapshot, ...]:
    """Frames of the replica with the largest crystal at its end, or else of the first one.

    Of a box with solvent, that is large and mixed anyway, the last frame alone. A film is shifted so that most ions of
    its last frame, and so a crystal, are in the middle of the cell.
    """
    files = {replica: path for path, entry in zip(paths, about, strict=True) for replica in entry["stopped"]}
    crystals = {run["replica"]: run["solid"][-1] for entry in measured.get("crystal", []) for run in entry["replicas"]}
    replica = max(files, key=lambda name: crystals.get(name, 0))
    last = snapshot(spaced_frames(files[replica], replica, 1))
    if last.solvent.any():
        return (last,)
    frames = spaced_frames(files[replica], replica, FILM)
    shift = off_middle(last.positions, last.cell)
    frames = frames.with_arrays(positions=frames["positions"] - shift)
    return tuple(snapshot(frames, index) for index in range(len(frames)))


def _held_out(entry: Mapping[str, Any]) -> HeldOutError:
    """One row of errors.json."""
    return HeldOutError(
        entry["what"],
        Measured(**entry["rmse"]),
        Measured(**entry["mae"]),
        entry["reference"],
        entry["unit"],
        entry["count"],
        *(Measured(**entry[name]) if entry.get(name) else None for name in ("baseline", "classical", "spread")),
    )


def _calibration(entry: Mapping[str, Any] | None) -> Calibration | None:
    """What errors.json says of the committee's spread."""
    if entry is None:
        return None
    bins = tuple((part["spread"], Measured(**part["error"])) for part in entry["bins"] if part["spread"])
    return Calibration(Measured(**entry["factor"]), Measured(**entry["rank"]), bins, entry["trajectories"])


def _members(errors: Mapping[str, Any], learning: Sequence[LearningCurve]) -> tuple[MemberRow, ...]:
    """Every network of errors.json with the end of its learning curve."""
    classical = errors["errors"][0].get("classical") if errors["errors"] else None
    ends = {curve.member: (curve.last, curve.kept, curve.ended) for curve in learning}
    return tuple(
        MemberRow(
            entry["member"],
            Measured(**entry["rmse"]),
            Measured(**entry["share"]),
            entry["silent"],
            *ends.get(entry["member"], (0, 0, "")),
            None if classical is None else classical["value"],
            tuple(entry.get("unmoved", ())),
        )
        for entry in errors.get("members", [])
    )


def _explained(entry: Mapping[str, Any]) -> Explained:
    """One row of what errors.json says of normalised losses."""
    return Explained(entry["what"], *(Measured(**entry[name]) for name in ("loss", "pairs", "gain")))


def _parity(groups: Mapping[str, Mapping[str, Sequence[float]]]) -> list[Parity]:
    """Reference and prediction by element or by system."""
    return [
        Parity(name, np.array(pair["reference"], dtype=np.float64), np.array(pair["predicted"], dtype=np.float64))
        for name, pair in groups.items()
    ]


def _learning(path: Path) -> LearningCurve:
    """One member's learning curve; epochs without validation are left out."""
    with path.open(encoding="utf-8", newline="") as handle:
        every = list(csv.DictReader(handle))
    rows = [row for row in every if row["validation_force_rmse_meV_A"]]
    end = every[-1] if every else {}
    last, kept, ended = int(end.get("epoch", 0)), int(end.get("kept_epoch", 0)), end.get("ended", "")
    errors = [float(row["validation_force_rmse_meV_A"]) / 1000 for row in rows]
    return LearningCurve(path.stem, np.array([int(row["epoch"]) for row in rows]), np.array(errors), last, kept, ended)


def _stopped(about: Sequence[Mapping[str, Any]]) -> str:
    """Why replicas ended early, all in one line."""
    reasons = {name: reason for entry in about for name, reason in entry["stopped"].items() if reason}
    return "; ".join(f"{name} {reason}" for name, reason in sorted(reasons.items()))


def _told(about: Mapping[str, Any]) -> list[str]:
    """Stages whose settings a file's metadata carry."""
    return [stage for stage in STAGES if isinstance(about.get(stage), Mapping)]


def _cost(results: Path, levels: Sequence[str]) -> list[CostRow]:
    """What each stage took, from Snakemake's benchmark files."""
    rows = []
    for stage in STAGES:
        for name in ("", *levels):
            folder = results / name / "cost"
            files = sorted({*folder.glob(f"{stage}.tsv"), *(folder / stage).rglob("*.tsv")})
            label = f"{stage} ({name})" if name and len(levels) > 1 else stage
            if files:
                rows.append(_stage_cost(label, files))
    return rows


def _stage_cost(stage: str, files: Sequence[Path]) -> CostRow:
    """Sum over the jobs of one stage; a job too short to be measured counts nothing."""
    jobs: list[dict[str, str]] = []
    for path in files:
        with path.open(encoding="utf-8", newline="") as handle:
            jobs.extend(csv.DictReader(handle, dialect="excel-tab"))
    return CostRow(
        stage,
        len(jobs),
        sum(_amount(job["cpu_time"]) for job in jobs),
        sum(_amount(job["s"]) for job in jobs),
        max((_amount(job["max_rss"]) for job in jobs), default=0.0),
    )


def _amount(text: str) -> float:
    """A number of a benchmark file, where a dash or NA stands for what could not be measured."""
    try:
        return float(text)
    except ValueError:
        return 0.0
