"""Which published value a simulated one may stand beside."""

import csv
from pathlib import Path

import pytest

from saltern.report.experiment import _table, experiment

REFERENCE = Path(__file__).parents[3] / "shared" / "reference" / "expt_misc.csv"


def test_water_follows_the_temperature():
    assert experiment("self-diffusion", "water", "", 0.0, 298.15).value == 2.299
    assert experiment("self-diffusion", "water", "", 0.0, 350.0) is None
    assert experiment("self-diffusion", "water", "", 0.0, 352.0).value == 6.557


def test_pure_water_beside_a_solution_is_said_to_be_pure_water():
    found = experiment("self-diffusion", "water", "NaCl", 2.3, 298.15)
    assert found.value == 2.299
    assert "pure water" in found.remark
    assert "pure water" not in experiment("self-diffusion", "water", "", 0.0, 298.15).remark


def test_same_salt_and_molality_go_before_the_limiting_value():
    near = experiment("self-diffusion", "Cl", "LiCl", 2.31, 298.15)
    assert near.value == 1.472
    assert "LiCl 2.194 mol/kg" in near.remark
    limiting = experiment("self-diffusion", "Cl", "NaCl", 2.31, 298.15)
    assert limiting.value == 2.032
    assert "limiting value, infinite dilution" in limiting.remark


def test_another_molality_of_the_same_salt_does_not_apply():
    found = experiment("coordination number", "Li-O", "LiCl", 3.0, 299.0)
    assert (found.value, found.uncertainty) == (4.9, 0.3)
    assert experiment("coordination number", "Li-O", "LiCl", 2.0, 298.15) is None
    assert experiment("coordination number", "Li-O", "LiBr", 3.0, 298.15) is None


def test_temperature_must_be_within_two_kelvin():
    assert experiment("self-diffusion", "Na", "NaCl", 1.0, 300.0) is not None
    assert experiment("self-diffusion", "Na", "NaCl", 1.0, 300.2) is None


def test_position_without_a_stated_concentration_says_so():
    assert "concentration not stated" in experiment("first peak position", "K-O", "KCl", 2.4, 298.15).remark


def test_every_row_has_its_source_and_unit():
    for row in _table():
        assert len(row.source) > 20
        assert row.unit or row.quantity == "coordination number"


@pytest.mark.skipif(not REFERENCE.exists(), reason="the reference tables are not beside this checkout")
def test_only_checked_figures_of_the_reference_are_used():
    """No value appears here that the reference table marks as recalled from memory."""
    with REFERENCE.open(encoding="utf-8") as handle:
        rows = list(csv.DictReader(handle))
    checked = {row["value"].split("+-")[0] for row in rows if "recalled" not in row["status"]}
    assert {f"{row.value:g}" for row in _table()} <= {f"{float(v):g}" for v in checked}
