"""Boxes that start with a crystal."""

from __future__ import annotations

import numpy as np
import pytest

from saltern.config import SeedCrystal, System, SystemEntry
from saltern.systems import compose, contents_of
from saltern.systems.errors import ElectrolyteError
from saltern.systems.packing import closest_contact

SEEDED = System(salt="NaCl", molality=6.9, solvent_molecules=400, seed_crystal=SeedCrystal(), role="test")


def test_a_box_holds_the_crystal_the_other_ions_and_no_water_between() -> None:
    frames, about = compose(SEEDED)
    edge = float(frames["cell"][0, 0, 0])
    kinds = np.array(about["molecule_species"])[frames["molecules"]]
    cations, anions = (frames["positions"][kinds == name] for name in ("Na+", "Cl-"))
    assert len(cations) == len(anions) == 50
    inner = np.concatenate([cations[:32], anions[:32]])
    apart = np.linalg.norm(cations[:32, None] - anions[None, :32], axis=-1)
    # 144 contacts of a cube of 64 ions, at half the lattice constant
    assert ((apart > 2.999) & (apart < 3.001)).sum() == 144
    np.testing.assert_allclose(inner.mean(axis=0), edge / 2)
    assert apart.min() > 2.999
    others = np.concatenate([cations[32:], anions[32:]])
    between = inner[:, None] - others[None]
    assert np.linalg.norm(between - edge * np.round(between / edge), axis=-1).min() > 3
    water = frames["positions"][kinds == "H2O"] % edge
    low, high = inner.min(axis=0) + 0.1, inner.max(axis=0) - 0.1
    assert not ((water > low) & (water < high)).all(axis=1).any()
    assert closest_contact(frames["positions"], frames["molecules"], edge, 3.0) > 1.5


def test_systems_without_one_are_called_what_they_were_and_others_by_what_they_start_with() -> None:
    plain = System(salt="NaCl", molality=2.3, solvent_molecules=24)
    assert "seed_crystal" not in plain.definition
    assert SEEDED.id != SEEDED.model_copy(update={"seed_crystal": None}).id
    entry = SystemEntry(salt="NaCl", molality=(6.9,), solvent_molecules=400, seed_crystal=SeedCrystal(), role="test")
    assert entry.expand()[0].id == System.model_validate_json(SEEDED.model_dump_json()).id == SEEDED.id


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"role": "train"}, "role: 'train' is not allowed; allowed: test or simulate for a system with a seed_crystal"),
        ({"salt": "Na2SO4", "density": 1.3}, "a salt of two ions of one atom each"),
        ({"salt": "CaCl2"}, "a salt of two ions of one atom each and of opposite charge"),
        ({"molality": 2.0}, "at most 28 ions, which is what the box holds"),
        ({"seed_crystal": {"constant_A": 9.8}}, "seed_crystal: '64 ions' is not allowed; allowed: a box of 24.50 Å"),
    ],
)
def test_crystals_that_no_box_can_start_with_are_refused(changes: dict[str, object], said: str) -> None:
    with pytest.raises(ElectrolyteError) as caught:
        contents_of(System(**{**SEEDED.model_dump(), **changes}))
    assert said in str(caught.value)
