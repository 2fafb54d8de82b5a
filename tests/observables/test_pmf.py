"""Potentials of mean force against those that g(r) was made of."""

import numpy as np
import pytest
from test_measure import solution

from saltern.observables import RadialDistribution, bjerrum_length, mean_force, measure
from saltern.units import BOLTZMANN

R = np.arange(0.025, 14, 0.05)


def rdf_of(total, error=0.01) -> RadialDistribution:
    """g(r) of a potential in kT, with the same error everywhere."""
    g = np.exp(-total)
    rng = np.random.default_rng(0)
    noisy = g + error * rng.normal(size=len(g)) * (g > 1e-3)
    zero = np.zeros_like(g)
    edges = R + 0.025
    return RadialDistribution(R, edges, noisy, np.full_like(g, error), zero, zero, noisy[None], np.ones(1))


def short_range(r):
    """A wall, two wells and the barrier between them, about those of sodium chloride."""
    hills = ((-1.0, 2.9, 0.35), (2.6, 3.68, 0.45), (-0.7, 5.2, 0.6))
    return (2.6 / r) ** 24 + sum(height * np.exp(-(((r - place) / width) ** 2)) for height, place, width in hills)


def test_bjerrum_length_is_the_published_one():
    """7.11 Å at 300 K with a permittivity of 78.3 and 7.74 Å with 72."""
    assert bjerrum_length(78.3, 300) == pytest.approx(7.11, abs=0.005)
    assert bjerrum_length(72, 300) == pytest.approx(7.74, abs=0.005)


def test_charges_without_structure_have_minus_the_coulomb_energy_left():
    found = mean_force(rdf_of(np.zeros_like(R), 1e-6), -1.0, 72, 300)
    np.testing.assert_allclose(found.total, 0, atol=1e-5)
    np.testing.assert_allclose(found.short_range, bjerrum_length(72, 300) / R, rtol=1e-3)


@pytest.mark.parametrize("charges", [-1.0, 0.0, 4.0])
def test_what_g_was_made_of_is_found_again(charges):
    coulomb = charges * bjerrum_length(78.3, 300) / R
    made = short_range(R)
    found = mean_force(rdf_of(made + coulomb, 1e-3), charges, 78.3, 300)
    seen = np.exp(-made - coulomb) > 0.05
    assert seen.sum() > 20
    np.testing.assert_allclose(found.short_range[seen], made[seen], atol=0.1)
    assert (np.abs(found.short_range - made)[seen] < 5 * found.error[seen]).all()


def test_minima_and_the_barrier_are_those_of_the_short_range_part():
    coulomb = -bjerrum_length(78.3, 300) / R
    made = short_range(R)
    found = mean_force(rdf_of(made + coulomb, 5e-3), -1.0, 78.3, 300)
    fine = np.linspace(2.4, 8, 5000)
    exact = short_range(fine)
    between = [(2.4, 3.3), (3.3, 4.3), (4.3, 6.5)]
    points = (found.contact, found.barrier, found.separated)
    for point, (low, high), least in zip(points, between, (1, -1, 1), strict=True):
        inside = (fine > low) & (fine < high)
        place = np.argmin(least * exact[inside])
        assert point.position == pytest.approx(fine[inside][place], abs=0.1)
        assert point.value.value == pytest.approx(exact[inside][place], abs=0.15)
        assert point.value.error < 0.1


def test_nothing_is_found_where_g_is_noise():
    found = mean_force(rdf_of(np.zeros_like(R), 2.0), 0.0, 78.3, 300)
    assert (found.contact, found.barrier, found.separated) == (None, None, None)


def test_it_is_measured_for_ions_alone():
    frames = solution(0).with_arrays(permittivity=np.full(2000, 72.0))
    entries = measure([frames], ["pmf"], 0.1, 5)["pmf"]
    assert [entry["pair"] for entry in entries] == [["Na", "Na"], ["Na", "Cl"], ["Cl", "Cl"]]
    r, total, short = (np.array(entries[1][name]["values"], dtype=float) for name in ("r", "total", "short_range"))
    np.testing.assert_allclose((short - total)[20:], 14.399645 / (72 * BOLTZMANN * 298.15) / r[20:], rtol=1e-6)
