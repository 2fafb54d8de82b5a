"""Salts from their names."""

from __future__ import annotations

import pytest
from pymatgen.core import Composition

from saltern.errors import UserError
from saltern.systems import parse_salt
from saltern.systems.salts import _by_spelling

NAMED = {
    "NaCl": ("Na+", 1, "Cl-", 1),
    "Na2SO4": ("Na+", 2, "SO4^2-", 1),
    "(NH4)2SO4": ("NH4+", 2, "SO4^2-", 1),
    "NH4NO3": ("NH4+", 1, "NO3-", 1),
    "LiPF6": ("Li+", 1, "PF6-", 1),
    "LiTFSI": ("Li+", 1, "TFSI-", 1),
    "Mg(TFSI)2": ("Mg2+", 1, "TFSI-", 2),
    "MgCl2": ("Mg2+", 1, "Cl-", 2),
    "NaOH": ("Na+", 1, "OH-", 1),
    "CaCO3": ("Ca2+", 1, "CO3^2-", 1),
    "Ca(OH)2": ("Ca2+", 1, "OH-", 2),
    "LiN(SO2CF3)2": ("Li+", 1, "TFSI-", 1),
    "HCl": ("H3O+", 1, "Cl-", 1),
    "H3OCl": ("H3O+", 1, "Cl-", 1),
    "N2H4O3": ("NH4+", 1, "NO3-", 1),
}


@pytest.mark.parametrize("name", NAMED)
def test_ions_and_stoichiometry(name: str) -> None:
    salt = parse_salt(name)
    assert (salt.cation.name, salt.cations, salt.anion.name, salt.anions) == NAMED[name]


def test_every_salt_is_neutral_and_spells_its_own_composition() -> None:
    """pymatgen reads every formula as the composition that the ions add up to (TFSI stands for no elements)."""
    for spelling, salt in _by_spelling().items():
        assert salt.cations * salt.cation.charge + salt.anions * salt.anion.charge == 0
        if "TFSI" in spelling or "NTf2" in spelling or "H3O" in spelling:
            continue
        read = {str(element): amount for element, amount in Composition(spelling).items()}
        assert read == salt.composition, spelling
        assert float(Composition(spelling).weight) == pytest.approx(salt.mass, rel=5e-4)


@pytest.mark.parametrize(
    ("wrong", "meant"),
    [("NaCI", "NaCl"), ("nacl", "NaCl"), ("KCL", "KCl"), ("MgCl", "MgCl2"), ("LiTSFI", "LiTFSI"), ("NaSO4", "Na2SO4")],
)
def test_unknown_salt_names_the_nearest(wrong: str, meant: str) -> None:
    with pytest.raises(UserError, match=f"'{wrong}'.*did you mean '{meant}'") as caught:
        parse_salt(wrong)
    assert len(caught.value.lines) == 1


@pytest.mark.parametrize("wrong", ["H2O", "HF", "sugar", "", "((", "Na"])
def test_what_is_no_salt_is_refused(wrong: str) -> None:
    with pytest.raises(UserError, match="one cation and one anion"):
        parse_salt(wrong)
