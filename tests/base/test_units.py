"""Constants against figures that are known by other routes."""

import math

import ase.units
import pytest

from saltern import units


def test_constants_agree_with_ase() -> None:
    assert pytest.approx(ase.units.Hartree, rel=1e-7) == units.HARTREE
    assert pytest.approx(ase.units.Bohr, rel=1e-8) == units.BOHR
    assert pytest.approx(ase.units.kB, rel=1e-6) == units.BOLTZMANN
    assert pytest.approx(ase.units.kcal / ase.units.mol, rel=1e-7) == units.KCAL_PER_MOL
    assert pytest.approx(ase.units.kJ / ase.units.mol, rel=1e-7) == units.KJ_PER_MOL
    assert pytest.approx(ase.units.GPa, rel=1e-7) == 1 / units.EV_PER_A3_IN_GPA


def test_hartree_per_bohr_is_the_published_conversion() -> None:
    assert pytest.approx(51.42206747, rel=1e-8) == units.HARTREE / units.BOHR


def test_coulomb_constant_is_hartree_times_bohr() -> None:
    assert pytest.approx(units.HARTREE * units.BOHR, rel=1e-9) == units.COULOMB


def test_bjerrum_length_of_water() -> None:
    """7.11 Å at 300 K and a permittivity of 78.3."""
    length = units.COULOMB / (78.3 * units.BOLTZMANN * 300)
    assert length == pytest.approx(7.11, abs=0.01)


def test_mass_times_velocity_squared() -> None:
    """An oxygen molecule at 300 K moves at sqrt(3 k T / m) = 484 m/s."""
    speed = math.sqrt(3 * units.BOLTZMANN * 300 / (31.998 * units.MASS_TIMES_VELOCITY_SQUARED))
    assert speed * 1e5 == pytest.approx(483.6, abs=0.5)


def test_diffusion_unit() -> None:
    """1 Å²/ps is 1e-8 m²/s."""
    assert pytest.approx(10) == 1e-3 * units.A2_PER_FS_IN_1E9_M2_S
