"""The page: one HTML file that needs nothing else, and the same in a few lines of text."""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Sequence
from importlib.resources import files
from pathlib import Path
from typing import Any

from saltern.report import figures, snapshot, words
from saltern.report.data import LevelData, ReportData, Snapshot
from saltern.report.experiment import experiment
from saltern.report.pictures import draw
from saltern.store import whole_file
from saltern.text import counted

COMPARED = ("self-diffusion", "coordination number")
"""Quantities that are also drawn."""
SUMMARISED = {"first peak position": "peak", "coordination number": "neighbours", "self-diffusion": "D"}
"""Quantities in the summary, and what they are called there."""
_PICTURED_ATOMS = 1500
"""Atoms in all pictures for print together."""


def build(data: ReportData, path: Path, pictures: Path) -> None:
    """Write the page to `path`, and its figures as files into a directory; the same data gives the same bytes."""
    page = render(data)
    draw(data, page, pictures)
    with whole_file(path) as temporary:
        temporary.write_text(page, encoding="utf-8")


def render(data: ReportData) -> str:
    """The page as HTML, with styles, figures, data and script inside."""
    from jinja2 import Environment, PackageLoader, StrictUndefined

    environment = Environment(
        loader=PackageLoader("saltern.report", "."),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters |= {
        "counted": counted,
        "pm": words.plus_minus,
        "percent": words.percent,
        "number": words.number,
        "duration": words.duration,
        "unit": words.unit,
        "species": words.species,
        "slug": _slug,
        "pretty": lambda value: json.dumps(value, indent=1, sort_keys=True, ensure_ascii=False),
    }
    package = files("saltern.report")
    return environment.get_template("page.html").render(
        data=data,
        words=words,
        colours=figures.SERIES,
        style=package.joinpath("style.css").read_text(encoding="utf-8"),
        script=package.joinpath("viewer.js").read_text(encoding="utf-8"),
        sources=_sources(data),
        views=[_view(data, level) for level in data.levels],
        viewer=_viewer(data),
    )


def summary(data: ReportData) -> str:
    """The results in a few lines, for a terminal."""
    lines = [f"{data.campaign}: {counted(len(data.systems), 'system')}, {words.cpu_time(data.cost)} of processor time"]
    for level in data.levels:
        refused = "".join(f", {count} {reason}" for reason, count in level.reasons.items())
        lines += [
            f"{level.name}: dataset {level.root_hash[:12]}, labelled with {', '.join(level.methods)}",
            f"  {level.requested} frames requested = {level.accepted} accepted + "
            f"{level.requested - level.accepted} quarantined{refused}",
            *(f"  {told}" for told in [words.taught(level)] if told),
            f"  {_accuracy(level)}; {words.simulated(level)} simulated",
        ]
        lines += [f"  {line}" for line in words.trust(level)]
        lines += [f"  {data.system(row.system).label}: {words.like(row)}" for row in level.likeness]
        lines += [f"  {data.system(row.system).label}: {words.grown(row)}" for row in level.growth]
        lines += [f"  {data.system(row.system).label}: {row.stopped}" for row in level.health if row.stopped]
        lines += [f"  {data.system(row.system).label}: {words.left(row)}" for row in level.health if row.left]
        lines += [f"  {data.system(s).label}: {'; '.join(parts)}" for s, parts in _measured(level).items()]
        doubted = sum(not row.believed and row.quantity == "self-diffusion" for row in level.properties)
        if doubted:
            lines.append(
                f"  {doubted} diffusion coefficients are not yet diffusive: longer runs are needed (see the report)"
            )
    return "\n".join(lines) + "\n"


def _accuracy(level: LevelData) -> str:
    """How good the student is, in what makes sense for its labels."""
    if level.mean_force:
        return f"on held-out frames {words.explained(level)}"
    return f"force error on held-out frames {words.force_error(level)}"


def _measured(level: LevelData) -> dict[str, list[str]]:
    """The numbers of each system that can be believed, where ions meet the solvent and how they move."""
    parts: dict[str, list[str]] = {}
    for row in level.properties:
        told = SUMMARISED.get(row.quantity)
        hydration = row.species.endswith("-O") and row.species != "O-O"
        if told is None or not row.believed or row.value.value is None or not (told == "D" or hydration):
            continue
        known = f" (experiment {row.experiment.value:g})" if row.experiment else ""
        text = f"{told} {row.species} {words.plus_minus(row.value)} {words.unit(row.unit)}".strip()
        parts.setdefault(row.system, []).append(text + known)
    return parts


def _view(data: ReportData, level: LevelData) -> dict[str, Any]:
    """A level's figures and its rows in the order in which they are shown."""
    suffix = _slug(level.name)
    salts = {
        salt: number for number, salt in enumerate(dict.fromkeys(row.salt for row in (*data.systems, *data.others)))
    }
    accuracy = []
    if level.force_parity:
        accuracy.append(figures.force_parity(f"forces-{suffix}", level.force_parity))
        accuracy.append(figures.force_errors(f"force-errors-{suffix}", level.force_parity))
    if level.calibration and level.calibration.bins:
        accuracy.append(figures.calibration(f"spread-{suffix}", level.calibration))
    if level.energy_parity:
        coloured = [(p, salts[data.system(p.group).salt]) for p in level.energy_parity]
        accuracy.append(figures.energy_parity(f"energies-{suffix}", coloured))
    if level.learning:
        accuracy.append(figures.learning_curves(f"learning-{suffix}", level.learning))
    return {
        "level": level,
        "suffix": f"-{suffix}" if len(data.levels) > 1 else "",
        "title": f" ({level.name})" if len(data.levels) > 1 else "",
        "accuracy": accuracy,
        "salts": {salt or "pure solvent": number % figures.SERIES for salt, number in salts.items()},
        "growth": [
            figures.growth(f"growth-{suffix}-{row.system}", data.system(row.system).label, row)
            for row in level.growth
            if row.seen
        ],
        "structure": _structure(data, level, suffix),
        "mean_forces": _mean_forces(data, level, suffix),
        "at_rest": _at_rest(level, suffix),
        "comparisons": _comparisons(data, level, suffix),
        "by_temperature": _by_temperature(data, level, suffix),
        "electrolytes": {name: number % figures.SERIES for number, name in enumerate(_electrolytes(data))},
        "compared": [row for row in level.properties if row.experiment is not None],
        "quantities": _grouped((row.quantity, row) for row in level.properties),
    }


def _structure(data: ReportData, level: LevelData, suffix: str) -> list[dict[str, Any]]:
    """g(r) by electrolyte: one panel a pair, temperatures and system repeats laid over each other."""
    shown = []
    electrolytes = _grouped((data.system(curve.system).electrolyte, curve) for curve in level.curves)
    for electrolyte, curves in electrolytes.items():
        systems = sorted({c.system for c in curves}, key=lambda s: (data.system(s).temperature, s))
        colours = {system: number for number, system in enumerate(systems)}
        coldest = data.system(systems[0])
        panels: list[str] = []
        for pair, of_pair in _grouped((f"{c.pair[0]}-{c.pair[1]}", c) for c in curves).items():
            known = [
                experiment("first peak position", pair, s.salt, s.molality, s.temperature)
                for s in map(data.system, systems)
            ]
            mark = next((k.value for k in known if k is not None), None)
            layers = [(c, colours[c.system]) for c in sorted(of_pair, key=lambda c: colours[c.system])]
            key = f"rdf-{suffix}-{systems[0]}-{pair}"
            teacher = [row for row in level.likeness if row.system in systems and "-".join(row.pair) == pair]
            panels.append(figures.radial_distributions(key, pair.replace("-", "–"), layers, mark, teacher))
        legend = [(number % figures.SERIES, f"{data.system(s).temperature:g} K") for s, number in colours.items()]
        shown.append({"title": electrolyte, "salt": coldest.salt, "legend": legend, "panels": panels})
    return shown


def _mean_forces(data: ReportData, level: LevelData, suffix: str) -> list[dict[str, Any]]:
    """Potentials of mean force by system, one panel a pair."""
    shown = []
    by_system = _grouped((c.system, c) for c in level.mean_forces if len(c.r))
    for system, curves in by_system.items():
        key = f"pmf-{suffix}-{system}"
        panels = [figures.mean_force("-".join((key, *c.pair)), "–".join(c.pair), c) for c in curves]
        shown.append({"title": data.system(system).label, "panels": panels})
    return shown


def _at_rest(level: LevelData, suffix: str) -> list[str]:
    """Crystals of each salt, then two ions alone, one panel a pair."""
    by_salt = _grouped((row.salt, row) for row in level.crystals)
    panels = [figures.crystals(f"crystals-{suffix}-{salt}", salt, rows) for salt, rows in by_salt.items()]
    alone = [pair.curve for pair in level.ion_pairs]
    return panels + [figures.mean_force("-".join(("alone", suffix, *c.pair)), "–".join(c.pair), c) for c in alone]


def _comparisons(data: ReportData, level: LevelData, suffix: str) -> list[str]:
    """Chosen properties over systems, one figure a species."""
    found: list[str] = []
    for quantity in COMPARED:
        rows = [r for r in level.properties if r.quantity == quantity and r.value.value is not None]
        for species, of_species in _grouped((r.species, r) for r in rows).items():
            title = f"{quantity[0].upper()}{quantity[1:]}, {species.replace('-', '–')}"
            named = [(data.system(r.system).label.replace(" mol/kg", " m"), r) for r in of_species]
            key = f"{_slug(quantity)}-{suffix}-{species}"
            found.append(figures.comparison(key, title, words.unit(of_species[0].unit) or "neighbours", named))
    return found


def _by_temperature(data: ReportData, level: LevelData, suffix: str) -> list[str]:
    """Chosen properties against temperature, one figure a species, where an electrolyte has more than one."""
    colours = {name: number for number, name in enumerate(_electrolytes(data))}
    found: list[str] = []
    for quantity in COMPARED:
        rows = [r for r in level.properties if r.quantity == quantity and r.value.value is not None]
        for species, of_species in _grouped((r.species, r) for r in rows).items():
            lines = []
            for name, of_one in _grouped((data.system(r.system).electrolyte, r) for r in of_species).items():
                points = sorted(((data.system(r.system).temperature, r) for r in of_one), key=lambda point: point[0])
                if points[0][0] < points[-1][0]:
                    lines.append((points, colours[name]))
            if lines:
                title = f"{quantity[0].upper()}{quantity[1:]}, {species.replace('-', '–')}"
                unit = words.unit(of_species[0].unit) or "neighbours"
                key = f"{_slug(quantity)}-over-temperature-{suffix}-{species}"
                found.append(figures.by_temperature(key, title, unit, lines))
    return found


def _electrolytes(data: ReportData) -> list[str]:
    """Their names, each once."""
    return list(dict.fromkeys(row.electrolyte for row in data.systems))


def _viewer(data: ReportData) -> dict[str, Any] | None:
    """Frames of all levels for viewer.js, and pictures of the last ones for print."""
    films = [
        (data.system(film[-1].system).label + (f" ({level.name})" if len(data.levels) > 1 else ""), film)
        for level in data.levels
        for film in level.films
    ]
    if not films:
        return None
    shown = [(label, film[-1]) for label, film in films]
    elements = snapshot.elements([last for _, last in shown])
    content = json.dumps(
        {"films": [snapshot.drawn(film, label) for label, film in films], "elements": elements}, separators=(",", ":")
    )
    return {
        "labels": [label for label, _ in films],
        # a script element ends at the first '</', whatever its type
        "json": content.replace("<", "\\u003c"),
        "pictures": _pictures(shown),
        "elements": list(elements.values()),
    }


def _pictures(shown: Sequence[tuple[str, Snapshot]]) -> list[tuple[str, str]]:
    """Pictures of the first frames, as many as keep the page light."""
    pictures: list[tuple[str, str]] = []
    atoms = 0
    for label, frame in shown:
        atoms += len(frame.numbers)
        if pictures and atoms > _PICTURED_ATOMS:
            break
        heavy_only = atoms > _PICTURED_ATOMS
        pictures.append((label, snapshot.picture(frame, f"Final frame of {label}", heavy_only)))
    return pictures


def _sources(data: ReportData) -> list[str]:
    """Every source that the tables cite, in the order of their numbers."""
    cited = [text for row in data.systems for text in (row.density_source, row.permittivity_source)]
    cited += [row.experiment.source for level in data.levels for row in level.properties if row.experiment]
    return list(dict.fromkeys(text for text in cited if text))


def _grouped(pairs: Iterable[tuple[str, Any]]) -> dict[str, list[Any]]:
    """Values by key, keys in the order in which they first came."""
    groups: dict[str, list[Any]] = {}
    for key, value in pairs:
        groups.setdefault(key, []).append(value)
    return groups


def _slug(text: str) -> str:
    """Letters, digits and hyphens, for ids."""
    return re.sub(r"[^a-z0-9]+", "-", text.lower()).strip("-")
