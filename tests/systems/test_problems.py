"""Mistakes that are found before anything runs."""

from __future__ import annotations

import subprocess
import sys
from typing import Any

import pytest

from saltern.config import campaign_from
from saltern.errors import UserError
from saltern.systems import problems


def lines(systems: list[dict[str, Any]], **student: Any) -> tuple[str, ...]:
    """What is said about a campaign; nothing when it is right."""
    level = {"name": "atoms", "teacher": {"engine": "tblite"}, "student": {"r_max_A": 4.5, **student}}
    try:
        campaign_from({"campaign": "x", "systems": systems, "levels": [level]}, "x.yaml", [problems])
    except UserError as error:
        return error.lines
    return ()


def test_right_campaign() -> None:
    assert lines([{"salt": "NaCl", "molality": [2.3, 4.6], "solvent_molecules": 24}, {"solvent_molecules": 32}]) == ()


@pytest.mark.parametrize(
    ("entry", "where", "what"),
    [
        ({"salt": "NaCI", "molality": 2}, "systems.0.salt: 'NaCI'", "did you mean 'NaCl'"),
        ({"solvent": "watr"}, "systems.0.solvent: 'watr'", "did you mean 'water'"),
        ({"salt": "LiTFSI", "molality": 2}, "systems.0.density: None", "no correlation for LiTFSI in water"),
        ({"temperature": 500}, "systems.0.density: None", "0-150 C"),
        ({"temperature": 400}, "systems.0.permittivity: None", "0-100 C"),
        ({"salt": "NaCl"}, "systems.0.molality: None", "0 for the pure solvent"),
        ({"molality": 1}, "systems.0.molality: 1.0", "0 without a salt"),
        ({"salt": "NaCl", "molality": 0.1}, "systems.0.molality: 0.1", "at least 427 solvent_molecules"),
    ],
)
def test_mistake_is_told_in_one_line(entry: dict[str, Any], where: str, what: str) -> None:
    (line,) = lines([entry])
    assert line.startswith(f"x.yaml: {where} is not allowed; allowed: ")
    assert what in line


def test_advice_on_molality_is_right() -> None:
    entry = {"salt": "NaCl", "molality": 0.1}
    assert len(lines([{**entry, "solvent_molecules": 426}])) == 1
    assert lines([{**entry, "solvent_molecules": 427}]) == ()


def test_cutoff_against_box() -> None:
    """24 waters fill 8.97 Å: from there on an atom sees its own image."""
    systems = [{"solvent_molecules": 100}, {"solvent_molecules": 24}]
    (line,) = lines(systems, r_max_A=9.0)
    assert "levels.0.student.r_max_A: 9.0" in line
    assert "at most 8.96 Å" in line
    assert lines(systems, r_max_A=8.95) == ()


def test_every_mistake_is_told_once() -> None:
    """Two temperatures of an entry with an unknown salt are one mistake, not two."""
    found = lines([{"salt": "NaCI", "molality": 2, "temperature": [300, 310]}, {"salt": "KCL", "molality": 2}])
    assert [line.split(": ")[1] for line in found] == ["systems.0.salt", "systems.1.salt"]


def test_check_is_light() -> None:
    """The Snakefile is parsed for every job: the check may not import the heavy libraries."""
    code = (
        "import sys; from saltern.systems import problems; from saltern.config import load_campaign; "
        "load_campaign('config/demo.yaml', [problems]); "
        "print([m for m in ('pymatgen', 'scipy', 'pandas', 'torch', 'openmm') if m in sys.modules])"
    )
    found = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert found.stdout.strip() == "[]"


@pytest.mark.parametrize(
    ("changes", "expected"),
    [
        ({}, None),
        (
            {"within_A": 6},
            "settled.0.within_A: 6.0 is not allowed; allowed: at most 4.88 Å, half of the",
        ),
        ({"within_A": 6, "system": "large"}, None),
        ({"system": "larg"}, "settled.0.system: 'larg' is not allowed; allowed: one of small, large"),
        ({"pair": ["Na", "Chloride"]}, "settled.0.pair: 'Chloride' is not allowed; allowed: symbols of two elements"),
    ],
)
def test_what_settles_must_fit_into_the_boxes(changes: dict[str, Any], expected: str | None) -> None:
    settled = {"pair": ["Na", "Cl"], "within_A": 3.75, "coordination": 0.67, **changes}
    level = {"name": "ions", "teacher": {"engine": "openmm"}, "sample": {"engine": "packed"},
             "train": {"energy_weight": 0}, "label": {"settled": settled}}  # fmt: skip
    systems = [{"salt": "NaCl", "molality": 2, "solvent_molecules": n, "name": name}
               for name, n in (("small", 30), ("large", 100))]  # fmt: skip
    campaign = {"campaign": "x", "systems": systems, "levels": [level]}
    if expected is None:
        campaign_from(campaign, "x.yaml", [problems])
        return
    with pytest.raises(UserError) as caught:
        campaign_from(campaign, "x.yaml", [problems])
    assert caught.value.lines[0].startswith(f"x.yaml: levels.0.label.{expected}")
