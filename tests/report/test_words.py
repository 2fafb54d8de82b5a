"""Numbers and names as they are printed."""

from dataclasses import replace

import numpy as np
import pytest

from saltern.report import figures, render, summary, words
from saltern.report.data import Growth, Measured


@pytest.mark.parametrize(
    ("value", "error", "printed"),
    [
        (1.23456, 0.0421, "1.235 ± 0.042"),
        (-0.012, 0.0035, "−0.0120 ± 0.0035"),
        (298.4371, 12.4, "298 ± 12"),
        (51.2, None, "51.2"),
        (-3.05e-10, None, "−3.05e−10"),
        (0.0, 0.0, "0"),
        (4.0, 1.2e-16, "4.00"),
        (None, None, "–"),
        (float("nan"), 1.0, "–"),
        (3.25, float("nan"), "3.25"),
    ],
)
def test_error_decides_the_digits(value, error, printed):
    assert words.plus_minus(Measured(value, error)) == printed


@pytest.mark.parametrize(("seconds", "printed"), [(4.2, "4.20 s"), (95, "1.58 min"), (7200, "2.00 h"), (0, "0 s")])
def test_durations_are_short(seconds, printed):
    assert words.duration(seconds) == printed


@pytest.mark.parametrize(
    ("name", "printed"),
    [("Na+", "Na⁺"), ("Mg2+", "Mg²⁺"), ("NH4+", "NH₄⁺"), ("SO4^2-", "SO₄²⁻"), ("H2O", "H₂O"), ("water", "water")],
)
def test_species_have_their_indices(name, printed):
    assert words.species(name) == printed


WEIGHTS = {"energy_weight": 1.0, "force_weight": 100.0, "stress_weight": 0.0}


@pytest.mark.parametrize(
    ("train", "student", "printed"),
    [
        (WEIGHTS, {}, "taught by energies and forces"),
        (
            {**WEIGHTS, "energy_weight": 0.0, "start_level": "cheap"},
            {},
            "taught by forces, from the potential of level cheap",
        ),
        (WEIGHTS, {"start": "somewhere/mace.model"}, "taught by energies and forces, from mace.model"),
        ({"objective": "score", "noise_A": 0.1}, {}, "taught by positions, displaced by 0.1 Å"),
        (
            {**WEIGHTS, "objective": "relative_entropy", "start_level": "longer"},
            {"start": None},
            "taught by g(r), in one step of relative entropy, from the potential of level longer",
        ),
    ],
)
def test_what_a_student_learned_from_is_told(data, train, student, printed):
    assert words.taught(replace(data.levels[0], spec={"train": {"train": train, "student": student}})) == printed


def test_nothing_is_said_of_a_training_that_is_not_known(data):
    level = replace(data.levels[0], spec={})
    told = replace(data, levels=(level,))
    assert words.taught(level) == ""
    assert "taught by" not in render(told) + summary(told)
    assert "The student was taught by energies and forces." in render(data)
    assert "\n  taught by energies and forces\n" in summary(data)


def test_structure_before_a_crystal_grew_is_told():
    grown = Growth("x", 1.0, (np.array([0, 4, 12, 13]),), (True,), 1.5)
    assert words.grown(grown).endswith("13.0 in the last tenth; g(r) is that of the 1.5 ps before one grew")
    assert "g(r)" not in words.grown(replace(grown, solution=None))


def test_the_members_that_crystallise_are_told():
    sizes = (np.array([0, 12, 13]), np.array([0, 1, 0]), np.array([0, 0, 12]))
    grown = Growth("x", 1.0, sizes, (True, False, True), drivers=("m0000", "m0001", "m0000"))
    assert "2 of 3 replicas end with a crystal, driven by m0000 2 of 2, m0001 0 of 1; cations" in words.grown(grown)
    drawn = figures.growth("key", "NaCl", grown)
    assert "m0000" in drawn and "m0001" in drawn
    assert drawn.count("var(--s0)") == 2 * drawn.count("var(--s1)") - 1, "of one member twice, and its name"
