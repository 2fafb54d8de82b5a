"""Packed boxes."""

from __future__ import annotations

from itertools import product

import numpy as np
import pytest

from saltern.config import System
from saltern.errors import UserError
from saltern.frames import Frames
from saltern.systems import SPECIES, WATER, compose, contents_of, table
from saltern.systems.packing import closest_contact, spread
from saltern.units import AVOGADRO

SIXTEEN_PAIRS = System(salt="NaCl", molality=4.44, solvent_molecules=200)

BOXES = {
    "water": System(solvent_molecules=32),
    "NaCl": System(salt="NaCl", molality=2.3, solvent_molecules=24, temperature=350),
    "Na2SO4": System(salt="Na2SO4", molality=1.7, solvent_molecules=32),
    "HCl": System(salt="HCl", molality=3.5, solvent_molecules=32),
    "LiTFSI": System(salt="LiTFSI", molality=5, solvent_molecules=32, density=1.35),
}


def edge_of(frames: Frames) -> float:
    return float(frames["cell"][0, 0, 0])


@pytest.mark.parametrize("name", BOXES)
def test_box(name: str) -> None:
    """Mass over volume is the density, charges cancel, molecules keep their shape and their distance."""
    system = BOXES[name]
    frames, about = compose(system)
    edge = edge_of(frames)
    species = [WATER if n == "H2O" else SPECIES[n] for n in about["molecule_species"]]
    mass = sum(s.mass for s in species)
    assert mass / AVOGADRO / (edge * 1e-8) ** 3 == pytest.approx(about["density_g_cm3"], rel=1e-9)
    assert frames["charges"].sum() == 0
    assert closest_contact(frames["positions"], frames["molecules"], edge, 3.0) > 1.5
    for number, one in enumerate(species):
        atoms = frames["molecules"] == number
        assert (frames["numbers"][atoms] == one.numbers).all()
        assert (frames["charges"][atoms] == one.charges).all()
        inside = frames["positions"][atoms]
        lengths = [np.linalg.norm(inside[i] - inside[j]) for i, j in one.bonds]
        wanted = [np.linalg.norm(one.positions[i] - one.positions[j]) for i, j in one.bonds]
        assert lengths == pytest.approx(wanted, abs=1e-4)
    assert frames["system"][0] == system.id == about["id"]
    assert frames["temperature"][0] == system.temperature


def test_molality_counts_what_is_in_the_box() -> None:
    _, about = compose(SIXTEEN_PAIRS)
    assert about["species"] == {"H2O": 200, "Na+": 16, "Cl-": 16}
    assert about["molality"] == pytest.approx(16 / (200 * 18.015e-3), rel=1e-4)


def test_acid_protonates_water_of_the_box() -> None:
    contents = contents_of(BOXES["HCl"])
    assert contents.counts == {"H2O": 30, "H3O+": 2, "Cl-": 2}
    assert contents.molality == pytest.approx(2 / (32 * 18.015e-3), rel=1e-4)
    mass = sum(n * s.mass for s, n in contents.molecules)
    assert mass == pytest.approx(32 * 18.015 + 2 * 36.458, rel=1e-5)


@pytest.mark.parametrize("seed", range(4))
def test_ions_start_well_mixed(seed: int) -> None:
    """A start with the ions in one octant is still clustered after nanoseconds."""
    frames, about = compose(SIXTEEN_PAIRS.model_copy(update={"seed": seed}))
    edge = edge_of(frames)
    ions = np.array(about["molecule_species"])[frames["molecules"]] != "H2O"
    positions = frames["positions"][ions]
    octants = {tuple(o) for o in (positions % edge > edge / 2).astype(int)}
    assert octants == set(product((0, 1), repeat=3))
    closest = closest_contact(positions, np.arange(32), edge, 0.5 * edge)
    # random points come as close as 0.07 of the edge, a perfect lattice 0.35
    assert closest > 0.2 * edge
    sodium = frames["numbers"][ions] == 11
    # the cations are not on one side of the anions: their centres coincide within the scatter of 16 points
    phases = np.exp(2j * np.pi * positions / edge)
    assert abs(phases[sodium].mean(axis=0) - phases[~sodium].mean(axis=0)).max() < 1.0


def test_spread_is_far_from_random() -> None:
    points = spread(64, 1.0, np.random.default_rng(3))
    random = np.random.default_rng(3).random((64, 3))
    owners = np.arange(64)
    assert closest_contact(points, owners, 1.0, 1.0) > 3 * closest_contact(random, owners, 1.0, 1.0)


def test_contact_is_found_across_the_faces() -> None:
    positions = np.array([[0.1, 5.0, 5.0], [9.8, 5.0, 5.0], [5.0, 5.0, 5.0], [5.4, 5.0, 5.0]])
    assert closest_contact(positions, np.array([0, 1, 2, 2]), 10.0, 2.0) == pytest.approx(0.3)


def test_same_seed_same_box() -> None:
    system = BOXES["NaCl"]
    first, again = compose(system, 1)[0], compose(system, 1)[0]
    assert np.array_equal(first["positions"], again["positions"])
    others = [compose(system, 2)[0], compose(system.model_copy(update={"seed": 9}), 1)[0]]
    for other in others:
        assert np.abs(first["positions"] - other["positions"]).max() > 1


def test_given_density_and_permittivity_are_used() -> None:
    frames, about = compose(System(solvent_molecules=16, density=0.9, permittivity=50))
    assert (about["density_g_cm3"], about["density_source"]) == (0.9, "given")
    assert frames["permittivity"][0] == 50
    assert about["permittivity_source"] == "given"


def test_no_room() -> None:
    with pytest.raises(UserError, match=r"finds no room for 4 H2O in a box of 2.90 Å \(4.9000 g/cm3\)"):
        compose(System(solvent_molecules=4, density=4.9))


def test_table_says_what_each_system_is() -> None:
    (row,) = table([compose(BOXES["NaCl"])])
    assert row["molecules"] == "24 H2O, 1 Na+, 1 Cl-"
    assert row["molality_asked_mol_kg"] == 2.3
    assert row["molality_mol_kg"] == pytest.approx(2.3128, abs=1e-4)
    assert row["density_source"] == "NaCl: Laliberte 2009; water: Kell 1975"
    assert row["role"] == "train"
