"""Checks of a campaign that need chemistry, and the table of its systems."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import suppress
from typing import Any

from ase.data import atomic_numbers

from saltern.config import Box, Campaign, Problem, SettledConfig, SystemEntry, exceeded
from saltern.frames import Frames
from saltern.systems.contents import box_of, contents_of
from saltern.systems.errors import ElectrolyteError


def problems(campaign: Campaign) -> list[Problem]:
    """Find systems that cannot be made, and cutoffs that a box is too small for.

    The student's cutoff may not be longer than the box's edge: beyond it an atom would see its own image.
    """
    found: list[Problem] = []
    edges: dict[str, float] = {}
    for index, entry in enumerate(campaign.systems):
        found += _forgotten(index, entry)
        for system in entry.expand():
            try:
                edges[system.id] = contents_of(system).edge
            except ElectrolyteError as error:
                problem = Problem(f"systems.{index}.{error.key}", error.value, error.allowed)
                found += [problem] if problem not in found else []
    return [*found, *_too_small(campaign, edges)]


def _forgotten(index: int, entry: SystemEntry) -> list[Problem]:
    """A salt without a molality, which would silently be the pure solvent."""
    if entry.salt and "molality" not in entry.model_fields_set:
        return [Problem(f"systems.{index}.molality", None, f"mol/kg of {entry.salt}, or 0 for the pure solvent")]
    return []


def _too_small(campaign: Campaign, edges: Mapping[str, float]) -> Iterator[Problem]:
    """Levels whose cutoff is longer than the edge of the smallest box."""
    for index, level in enumerate(campaign.levels):
        here = {system: edges[system] for system in campaign.systems_of(level) if system in edges}
        if not here:
            continue
        smallest = min(here, key=lambda system: here[system])
        yield from _too_far(f"levels.{index}.label.settled", level.label.settled, here)
        if level.student.r_max_A > here[smallest]:
            yield Problem(
                f"levels.{index}.student.r_max_A",
                level.student.r_max_A,
                f"at most {here[smallest]:.2f} Å, the edge of the box of {smallest}, so that no atom is within the "
                "cutoff of its own image: a smaller r_max_A or more solvent_molecules",
            )


def _too_far(at: str, asked: Sequence[SettledConfig], edges: Mapping[str, float]) -> Iterator[Problem]:
    """Coordination within more than half of a box's edge, and of a system or an element that is not there."""
    for number, entry in enumerate(asked):
        if entry.system is not None and entry.system not in edges:
            yield Problem(f"{at}.{number}.system", entry.system, f"one of {', '.join(edges)}")
            continue
        unknown = [element for element in entry.pair if element not in atomic_numbers]
        if unknown:
            yield Problem(f"{at}.{number}.pair", unknown[0], "symbols of two elements")
        half = min(edge for system, edge in edges.items() if entry.system in (None, system)) / 2
        if entry.within_A > half:
            allowed = f"at most {half:.2f} Å, half of the edge of the smallest box that it is about"
            yield Problem(f"{at}.{number}.within_A", entry.within_A, allowed)


def too_large(campaign: Campaign) -> list[Problem]:
    """Find limits of the campaign that it does not keep; systems that cannot be made count nothing."""
    boxes: dict[str, Box] = {}
    for name, system in campaign.expanded().items():
        with suppress(ElectrolyteError):
            boxes[name] = box_of(system)
    return exceeded(campaign, boxes)


def table(composed: Iterable[tuple[Frames, Mapping[str, Any]]]) -> list[dict[str, object]]:
    """Rows of `systems.tsv`: what each system's identifier stands for.

    Args:
        composed: what `compose` made of each system.
    """
    return [_row(frames, about) for frames, about in composed]


def _row(frames: Frames, about: Mapping[str, Any]) -> dict[str, object]:
    """One system."""
    system = about["system"]
    return {
        "id": about["id"],
        "role": system["role"],
        "salt": system["salt"] or "",
        "solvent": system["solvent"],
        "molality_asked_mol_kg": system["molality"],
        "molality_mol_kg": round(about["molality"], 4),
        "temperature_K": system["temperature"],
        "molecules": ", ".join(f"{count} {name}" for name, count in about["species"].items()),
        "atoms": int(frames.atom_counts[0]),
        "edge_A": round(float(frames["cell"][0, 0, 0]), 4),
        "density_g_cm3": round(about["density_g_cm3"], 5),
        "density_source": about["density_source"],
        "permittivity": round(float(frames["permittivity"][0]), 3),
        "permittivity_source": about["permittivity_source"],
        "seed": system["seed"],
    }
