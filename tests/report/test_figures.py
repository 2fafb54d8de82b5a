"""Figures that must say what the data says, in both colour schemes."""

import re

import numpy as np
import pytest

from saltern.report import figures
from saltern.report.data import Curve, Measured, Parity, PropertyRow
from saltern.report.experiment import Experiment


@pytest.fixture(scope="module")
def curve():
    r = np.arange(0.05, 6, 0.05)
    return Curve("x", ("Na", "O"), r, 1 + 2 * np.exp(-((r - 2.4) ** 2) / 0.02), np.full(len(r), 0.05))


def test_colours_are_the_pages(curve):
    """No fixed colour is left that would vanish on a dark page."""
    svg = figures.radial_distributions("k", "Na–O", [(curve, 0), (curve, 3)], 2.4)
    assert "var(--s0)" in svg
    assert "var(--s3)" in svg
    assert "currentColor" in svg
    assert set(re.findall(r"#[0-9a-f]{6}\b", svg)) == set()


def test_figure_is_the_same_twice_and_its_ids_are_its_own(curve):
    first = figures.radial_distributions("a", "Na–O", [(curve, 0)], None)
    assert first == figures.radial_distributions("a", "Na–O", [(curve, 0)], None)
    ids = set(re.findall(r'id="([^"]+)"', first))
    assert ids
    assert all(i.startswith("a-") for i in ids)
    used = set(re.findall(r'(?:url\(#|href="#)([^")]+)', first))
    assert used <= ids


def test_curves_are_spoken_for_those_who_do_not_see_them(curve):
    svg = figures.radial_distributions("a", "Na–O", [(curve, 0)], None)
    assert 'role="img"' in svg
    assert re.search(r'aria-label="[^"]*Na–O; largest value (3\.00|2\.99) at 2\.4', svg)


def test_numbers_are_short_in_paths_but_whole_in_labels(curve):
    svg = figures.radial_distributions("a", "Na–O", [(curve, 0)], None)
    assert not re.search(r'd="[^"]*\d\.\d{3}', svg)
    parity = Parity("O", np.linspace(-1, 1, 4000), np.linspace(-1, 1, 4000) + 1e-3)
    assert ">0.001<" in figures.force_errors("e", [parity])


def test_parity_of_many_points_stays_small():
    rng = np.random.default_rng(0)
    reference = rng.normal(size=300_000)
    svg = figures.force_parity("p", [Parity("O", reference, reference + 0.1 * rng.normal(size=300_000))])
    assert len(svg) < 60_000
    assert "300000 force components" in svg


def test_comparison_speaks_both_values_and_marks_doubt():
    measured = Experiment(2.3, None, "", "somewhere", "")
    good = PropertyRow("a", "self-diffusion", "water", Measured(2.21, 0.1), "", measured)
    bad = PropertyRow("b", "self-diffusion", "water", Measured(1.1, 0.2), "", None, "short", believed=False)
    svg = figures.comparison("c", "Water", "unit", [("one", good), ("two", bad)])
    assert "one 2.21, experiment 2.3; two 1.1" in svg
    # a filled dot and a hollow one
    markers = re.findall(r'<use [^>]*style="([^"]*)"', svg)
    assert sum("fill: var(--s0)" in style for style in markers) == 1
