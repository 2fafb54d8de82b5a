"""Potentials of mean force in the report, from what `observe` wrote."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from saltern.report import render
from saltern.report.data import MeanForceCurve
from saltern.report.figures import mean_force
from saltern.report.properties import mean_forces

R = np.arange(0.025, 12, 0.05)
COULOMB = -7.74 / R


def entry() -> dict:
    """As for sodium chloride at 4 mol/kg; where no ions meet, and where hardly any do, nothing is known."""
    hills = ((-0.5, 2.9, 0.35), (2.65, 3.67, 0.45), (-0.6, 5.2, 0.6))
    short = (2.5 / R) ** 24 + sum(height * np.exp(-(((R - place) / width) ** 2)) for height, place, width in hills)
    error = np.where(R < 2.5, 2.0, 0.02 + 0.2 * (np.abs(R - 3.67) < 0.2))
    known = [value if r > 2.3 else None for r, value in zip(R, short + COULOMB, strict=True)]
    return {
        "pair": ["Na", "Cl"],
        "r": {"values": R.tolist()},
        "total": {"values": known, "error": [e if v is not None else None for e, v in zip(error, known, strict=True)]},
        "short_range": {"values": [v and s for v, s in zip(known, short, strict=True)]},
    }


@pytest.fixture
def curve(data) -> MeanForceCurve:
    (found,) = mean_forces(data.systems[0], {"pmf": [entry()]})
    return found


def test_only_what_g_tells_is_drawn_and_the_two_differ_by_the_coulomb_energy(curve: MeanForceCurve) -> None:
    assert curve.r[0] == pytest.approx(2.525)
    assert len(curve.r) == (R > 2.5).sum()
    np.testing.assert_allclose(curve.coulomb, -7.74 / curve.r)


def test_the_figure_says_where_the_short_range_part_is_least(curve: MeanForceCurve) -> None:
    svg = mean_force("k", "Na–Cl", curve)
    assert "smallest value of its short-range part -0.6" in svg
    assert {"var(--s0)", "var(--s1)", "currentColor", "stroke-dasharray"} <= {
        word for word in ("var(--s0)", "var(--s1)", "currentColor", "stroke-dasharray") if word in svg
    }


def test_the_page_has_it_with_its_legend_and_lists_the_section(data, curve: MeanForceCurve) -> None:
    (level,) = data.levels
    alone = replace(data, levels=(replace(level, curves=(), mean_forces=(curve,)),))
    page = render(alone)
    assert 'href="#structure"' in page
    assert "Potentials of mean force, LiCl" in page or "Potentials of mean force, NaCl" in page
    assert "Coulomb energy screened by the solvent" in page
    assert "Radial distribution functions; bands" not in page
    assert "Potentials of mean force" not in render(data)
