"""The species library: formulas, charges and shapes."""

from __future__ import annotations

from itertools import combinations

import numpy as np
import pytest
from scipy.spatial.distance import pdist, squareform

from saltern.systems import SOLVENTS, SPECIES, WATER, Species

EVERY = [*SPECIES.values(), WATER]
POLYATOMIC = [species for species in EVERY if not species.is_monatomic]

FORMULAS = {
    "NH4+": {"N": 1, "H": 4},
    "H3O+": {"O": 1, "H": 3},
    "OH-": {"O": 1, "H": 1},
    "NO3-": {"N": 1, "O": 3},
    "ClO4-": {"Cl": 1, "O": 4},
    "BF4-": {"B": 1, "F": 4},
    "PF6-": {"P": 1, "F": 6},
    "SO4^2-": {"S": 1, "O": 4},
    "CO3^2-": {"C": 1, "O": 3},
    "TFSI-": {"C": 2, "F": 6, "S": 2, "O": 4, "N": 1},
    "H2O": {"H": 2, "O": 1},
}

VALENCE_ELECTRONS = {"H": 1, "B": 3, "C": 4, "N": 5, "O": 6, "F": 7, "P": 5, "S": 6, "Cl": 7}

# angles between bonds at the central atom, degrees
ANGLES = {
    "NH4+": {109.47},
    "H3O+": {113.6},
    "NO3-": {120.0},
    "ClO4-": {109.47},
    "BF4-": {109.47},
    "PF6-": {90.0, 180.0},
    "SO4^2-": {109.47},
    "CO3^2-": {120.0},
    "H2O": {104.52},
}


def angle(species: Species, i: int, centre: int, j: int) -> float:
    x = species.positions
    left, right = x[i] - x[centre], x[j] - x[centre]
    return float(np.degrees(np.arccos(left @ right / np.linalg.norm(left) / np.linalg.norm(right))))


@pytest.mark.parametrize("species", POLYATOMIC, ids=lambda s: s.name)
def test_formula_and_closed_shell(species: Species) -> None:
    counts = {e: species.elements.count(e) for e in set(species.elements)}
    assert counts == FORMULAS[species.name]
    electrons = sum(VALENCE_ELECTRONS[e] for e in species.elements) - species.charge
    assert electrons % 2 == 0, "an ion with an odd number of electrons has the wrong charge or formula"


@pytest.mark.parametrize("species", EVERY, ids=lambda s: s.name)
def test_baseline_charge_is_the_formal_one_on_one_atom(species: Species) -> None:
    assert species.charges.sum() == species.charge
    assert np.count_nonzero(species.charges) == (species.charge != 0)


@pytest.mark.parametrize("species", POLYATOMIC, ids=lambda s: s.name)
def test_bonds_are_bonds_and_nothing_else_is(species: Species) -> None:
    """Bonded atoms stand at the sum of their covalent radii within 0.3 Å; others are clearly farther apart."""
    from ase.data import atomic_numbers, covalent_radii

    distances = squareform(pdist(species.positions))
    assert pdist(species.positions).min() > 0.9
    reach = {e: covalent_radii[atomic_numbers[e]] for e in species.elements}
    bonds = {tuple(sorted(bond)) for bond in species.bonds}
    for i, j in combinations(range(len(species.elements)), 2):
        expected = reach[species.elements[i]] + reach[species.elements[j]]
        if (i, j) in bonds:
            assert abs(distances[i, j] - expected) < 0.3
        else:
            assert distances[i, j] > expected + 0.5
    assert len(bonds) == len(species.elements) - 1


@pytest.mark.parametrize("name", ANGLES)
def test_symmetric_around_the_central_atom(name: str) -> None:
    species = WATER if name == "H2O" else SPECIES[name]
    outer = range(1, len(species.elements))
    lengths = np.linalg.norm(species.positions[1:] - species.positions[0], axis=1)
    assert np.ptp(lengths) < 1e-9
    found = {round(angle(species, i, 0, j), 2) for i, j in combinations(outer, 2)}
    assert found == ANGLES[name]


def test_sulfate_oxygens_are_all_equally_far_from_each_other() -> None:
    oxygens = SPECIES["SO4^2-"].positions[1:]
    assert pdist(oxygens) == pytest.approx(1.49 * np.sqrt(8 / 3))


def test_tfsi_has_its_two_fold_axis_and_published_angles() -> None:
    species = SPECIES["TFSI-"]
    distances = squareform(pdist(species.positions))
    nitrogen, sulfurs = 0, (1, 2)
    assert angle(species, 1, nitrogen, 2) == pytest.approx(125.6, abs=0.01)
    # around sulfur (N, two O, C) and around carbon (S, three F): Canongia Lopes and Padua 2004
    around = {(0, 1, 3): 113.6, (0, 1, 7): 103.5, (3, 1, 4): 118.5, (3, 1, 7): 102.6, (4, 1, 7): 102.6}
    around |= {(1, 7, 9): 111.7, (9, 7, 10): 107.1}
    for (i, centre, j), wanted in around.items():
        assert angle(species, i, centre, j) == pytest.approx(wanted, abs=4.0)
    # what the two halves see of themselves is the same: sorted distances from either sulfur
    assert np.sort(distances[sulfurs[0]]) == pytest.approx(np.sort(distances[sulfurs[1]]), abs=1e-6)
    carbons = [i for i, e in enumerate(species.elements) if e == "C"]
    normal = np.cross(species.positions[1], species.positions[2])
    above = species.positions[carbons] @ normal
    assert above[0] * above[1] < 0, "trans: the CF3 groups lie on opposite sides of the S-N-S plane"


def test_masses() -> None:
    """Standard atomic weights."""
    assert WATER.mass == pytest.approx(18.015, abs=1e-3)
    assert SPECIES["SO4^2-"].mass == pytest.approx(96.06, abs=0.01)
    assert SPECIES["TFSI-"].mass == pytest.approx(280.14, abs=0.02)


def test_names_are_unique() -> None:
    names = [name for s in EVERY for name in (s.name, *s.aliases)]
    assert len(names) == len(set(names))
    assert all(name == species.name for name, species in SPECIES.items())
    assert set(SOLVENTS) == {"water"}
