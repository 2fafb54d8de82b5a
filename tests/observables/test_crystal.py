"""Crystals are found where there is one, and nowhere else."""

import json

import numpy as np
import pytest

from saltern.frames import Frames
from saltern.observables import first_lasting, measure, order, peaks, solid_cluster, structure_factors

CONTACT = 3.75
EDGE = 29.8


def rocksalt(cells: int, constant: float = 6.0, noise: float = 0.0):
    """Positions and charges of a periodic crystal, and its cell."""
    grid = np.stack(np.meshgrid(*[np.arange(2 * cells)] * 3, indexing="ij"), axis=-1).reshape(-1, 3)
    positions = grid * constant / 2 + noise * np.random.default_rng(1).normal(size=grid.shape)
    return positions, np.where(grid.sum(axis=1) % 2, -1.0, 1.0), cells * constant * np.eye(3)


def random_ions(count: int, seed: int, apart: float = 2.7):
    """Ions at random in a box of 29.8 Å, none nearer to another than `apart`."""
    rng = np.random.default_rng(seed)
    found = np.zeros((0, 3))
    while len(found) < count:
        point = rng.random(3) * EDGE
        away = found - point
        away -= EDGE * np.rint(away / EDGE)
        if not len(found) or (np.linalg.norm(away, axis=1) > apart).all():
            found = np.vstack([found, point])
    return found, np.where(np.arange(count) % 2, -1.0, 1.0)


def of_one(positions, charges, cell):
    found = order(positions[None], cell[None], charges, CONTACT)
    return int(found.solid[0]), int(found.octahedral[0]), int(found.cluster[0]), float(found.spacing[0])


@pytest.mark.parametrize("noise", [0.0, 0.25])
def test_a_bulk_crystal_is_all_solid_and_octahedral(noise):
    """The figures for bulk rocksalt at room temperature, where ions move by 0.25 Å along each axis."""
    positions, charges, cell = rocksalt(4, noise=noise)
    solid, octahedral, cluster, spacing = of_one(positions, charges, cell)
    assert (solid, cluster) == (256, 512)
    assert octahedral == 512 if noise == 0 else octahedral > 400
    assert spacing == pytest.approx(3.0, abs=1e-6 if noise == 0 else 0.1)


def test_a_solution_and_a_disordered_aggregate_have_no_crystal():
    for seed in range(5):
        assert of_one(*random_ions(128, seed), EDGE * np.eye(3))[:2] == (0, 0)
    # every ion of the aggregate touches another one, and 3 on average
    rng = np.random.default_rng(3)
    positions, charges, _ = rocksalt(4)
    inside = (positions < 15).all(axis=1)
    melted = positions[inside] + rng.uniform(-1.4, 1.4, (inside.sum(), 3))
    solid, octahedral, cluster, _ = of_one(melted, charges[inside], EDGE * np.eye(3))
    assert cluster > 100
    assert solid == 0
    assert octahedral <= 7


def test_a_cube_of_64_ions_has_32_octahedral_ones():
    positions, charges, _ = rocksalt(2)
    others, signs = random_ions(64, 5)
    outside = (others > 13.5).any(axis=1)
    both, all_charges = np.vstack([positions + 1, others[outside]]), np.concatenate([charges, signs[outside]])
    solid, octahedral, cluster, spacing = of_one(both, all_charges, EDGE * np.eye(3))
    assert octahedral == 32
    assert cluster >= 64
    assert spacing == pytest.approx(3.0, abs=0.02)
    assert 10 <= solid <= 32


def test_neither_wrapping_nor_another_cell_of_the_same_lattice_changes_anything():
    positions, charges, cell = rocksalt(3, noise=0.2)
    turned = np.linalg.qr(np.random.default_rng(2).normal(size=(3, 3)))[0]
    sheared = np.array([[1, 0, 0], [1, 1, 0], [0, -1, 1]]) @ cell
    expected = of_one(positions, charges, cell)
    thrown = positions + np.random.default_rng(4).integers(-3, 4, positions.shape) @ cell
    assert of_one(thrown, charges, cell) == pytest.approx(expected)
    assert of_one(thrown @ turned, charges, sheared @ turned) == pytest.approx(expected)


def test_few_ions_are_no_crystal():
    assert solid_cluster(np.zeros((0, 3)), np.eye(3) * 9) == 0
    assert of_one(np.array([[0.0, 0, 0], [2.8, 0, 0]]), np.array([1.0, -1]), np.eye(3) * 20)[:3] == (0, 0, 2)


@pytest.mark.parametrize(
    ("sizes", "first"),
    [([0, 3, 11, 2, 12, 15, 14], 4), ([0, 12, 11], 1), ([12, 13], 0), ([0, 20, 3], None), ([], None)],
)
def test_a_crystal_is_there_from_when_it_stays(sizes, first):
    assert first_lasting(np.array(sizes), 10) == first


def test_ideal_ions_scatter_as_one_everywhere():
    rng = np.random.default_rng(0)
    k, values = structure_factors(rng.random((40, 64, 3)) * EDGE, np.tile(EDGE * np.eye(3), (40, 1, 1)))
    seen = np.isfinite(k)
    assert seen.sum() > 45
    np.testing.assert_allclose(values[:, seen].mean(axis=0)[5:], 1, atol=0.1)


def test_bragg_peaks_of_a_lattice():
    """A face-centred sub-lattice: S = N where h, k, l are all even or all odd, 0 at all other vectors of the box."""
    positions, charges, cell = rocksalt(3)
    cations = positions[charges > 0]
    skewed = np.array([[1, 0, 0], [1, 1, 0], [0, 0, 1]]) @ cell
    for box in (cell, skewed):
        k, (values,) = structure_factors(cations[None], box[None], 5.0, 0.02)
        norms = np.stack(np.meshgrid(*[np.arange(-14, 15)] * 3, indexing="ij"), -1).reshape(-1, 3)
        length = 2 * np.pi / 18 * np.linalg.norm(norms, axis=1)
        bragg = (norms % 3 == 0).all(axis=1) & np.isin((norms // 3 % 2).sum(axis=1), (0, 3))
        inside = (length > 0) & (length < 5.0 * (1 - 1e-9))
        bins = (length[inside] / 0.02).astype(int)
        expected = np.bincount(bins, weights=len(cations) * bragg[inside], minlength=250)
        np.testing.assert_allclose(
            np.nan_to_num(values), expected / np.maximum(np.bincount(bins, minlength=250), 1), atol=1e-6
        )
    found = peaks(k, values, 6.0)
    for name, squares in (("111", 3), ("200", 4), ("220", 8)):
        assert found[name].k == pytest.approx(2 * np.pi * np.sqrt(squares) / 6.0, abs=0.02)
        assert found[name].value > 10


def growing(since: int | None, seed: int, frames: int = 40) -> Frames:
    """Ions that are a solution until, in some frame, half of them become a cube."""
    rng = np.random.default_rng(seed)
    cube, signs, _ = rocksalt(2)
    others, charges = random_ions(128, seed)
    positions = np.tile(others, (frames, 1, 1)) + rng.normal(scale=0.02, size=(frames, 128, 3))
    cations, anions = np.flatnonzero(charges > 0)[:32], np.flatnonzero(charges < 0)[:32]
    if since is not None:
        positions[since:, cations] = cube[signs > 0] + 9 + rng.normal(scale=0.1, size=(frames - since, 32, 3))
        positions[since:, anions] = cube[signs < 0] + 9 + rng.normal(scale=0.1, size=(frames - since, 32, 3))
    return Frames.uniform(
        np.where(charges > 0, 11, 17),
        frames,
        positions=positions,
        cell=EDGE * np.eye(3),
        charges=charges,
        molecules=np.arange(128),
        time=np.arange(frames) * 500.0,
        temperature=300.0,
    )


def test_crystals_of_simulations_are_measured_with_their_time_and_their_lattice():
    """Looked at every 1 ps: a crystal from 6 ps on, one from 14 ps on, and none in 20 ps."""
    runs = [growing(12, 0), growing(28, 1), growing(None, 2)]
    (entry,) = measure(runs, ["crystal"], 0.1, 5, contact_A=CONTACT)["crystal"]
    json.dumps(entry, allow_nan=False)
    assert [run["crystal_since"]["value"] for run in entry["replicas"]] == [6.0, 14.0, None]
    assert [run["lattice"] for run in entry["replicas"]] == ["rocksalt", "rocksalt", None]
    assert [len(run["solid"]) for run in entry["replicas"]] == [20] * 3
    assert max(entry["replicas"][2]["solid"]) == 0
    assert entry["waiting_time"] == {"value": 20.0, "error": pytest.approx(20 / 2**0.5), "unit": "ps"}
    assert entry["lattice_constant"]["value"] == pytest.approx(6.0, abs=0.05)
    sizes = np.concatenate([run["solid"] for run in entry["replicas"]])
    assert entry["solid"]["value"] == pytest.approx(sizes.mean())
    assert 1 < entry["solid"]["error"] < entry["solid"]["value"]
    # 32 of 64 cations scatter as one, over the shell of all directions
    assert entry["reflections"]["111"]["value"]["value"] > 1.5


def test_structure_is_that_of_the_solution_before_a_crystal_grows():
    """Of 6 + 14 + 20 ps; where there is a crystal from the start, of all the time."""
    runs = [growing(12, 0), growing(28, 1), growing(None, 2)]
    cut = [run.select(range(n)) for run, n in zip(runs, (12, 28, 40), strict=True)]
    properties = ["rdf", "pmf", "coordination"]
    runs, cut = ([run.with_arrays(permittivity=np.full(len(run), 72.0)) for run in group] for group in (runs, cut))
    found = measure(runs, [*properties, "crystal"], 0.1, 5, contact_A=CONTACT)
    assert found["crystal"][0]["solution"] == {"value": 5.5 + 13.5 + 19.5, "error": None, "unit": "ps"}
    solution, everything = (measure(group, properties, 0.1, 5) for group in (cut, runs))
    assert {name: found[name] for name in properties} == {name: solution[name] for name in properties}
    assert found["rdf"] != everything["rdf"]
    seeded = measure([growing(0, 0), growing(0, 1)], ["rdf", "crystal"], 0.1, 5, contact_A=CONTACT)
    assert seeded["crystal"][0]["solution"]["value"] is None
    assert seeded["rdf"] == measure([growing(0, 0), growing(0, 1)], ["rdf"], 0.1, 5)["rdf"]


def test_ions_that_touch_are_told_by_the_first_minimum():
    positions, charges, cell = rocksalt(3)
    noise = np.random.default_rng(6).normal(scale=0.25, size=(20, *positions.shape))
    frames = Frames.uniform(
        np.where(charges > 0, 11, 17),
        20,
        positions=positions + noise,
        cell=cell,
        charges=charges,
        molecules=np.arange(len(charges)),
        time=np.arange(20) * 1000.0,
        temperature=300.0,
    )
    (entry,) = measure([frames], ["crystal"], 0.1, 5)["crystal"]
    assert 3.6 < entry["contact"]["value"] < 4.6
    assert entry["solid"]["value"] > 100
    assert entry["waiting_time"]["value"] is None  # a crystal that was there from the start did not form


def test_ions_with_solvent_between_them_do_not_touch():
    """Pairs at 5.2 Å alone: the minimum behind them is not that of contact, and counts by contact are left out."""
    rng = np.random.default_rng(8)
    cations = rng.random((60, 20, 3)) * EDGE
    towards = rng.normal(size=cations.shape)
    anions = cations + towards / np.linalg.norm(towards, axis=-1, keepdims=True) * rng.normal(5.2, 0.3, (60, 20, 1))
    frames = Frames.uniform(
        np.array([11] * 20 + [17] * 20),
        60,
        positions=np.concatenate([cations, anions], axis=1),
        cell=EDGE * np.eye(3),
        charges=np.array([1.0] * 20 + [-1.0] * 20),
        molecules=np.arange(40),
        time=np.arange(60) * 1000.0,
        temperature=300.0,
    )
    (entry,) = measure([frames], ["crystal"], 0.1, 5)["crystal"]
    assert entry["contact"]["value"] is None
    assert entry["octahedral"]["value"] is entry["cluster"]["value"] is None
    assert entry["solid"]["value"] == 0
    assert "give contact_A" in entry["remark"]


def test_no_crystal_of_neutral_atoms():
    frames = growing(0, 5, 4)
    assert measure([frames.with_arrays(charges=np.zeros(4 * 128))], ["crystal"], 0.1, 2)["crystal"] == []


def test_a_central_atom_stands_for_a_polyatomic_ion():
    """Sodium nitrate: rocksalt of Na and N is found, whatever the oxygens do."""
    positions, charges, cell = rocksalt(2)
    arms = 1.25 * np.array([[1, 0, 0], [-0.5, 0.866, 0], [-0.5, -0.866, 0]])
    sodium, nitrogen = positions[charges > 0], positions[charges < 0]
    nitrate = np.concatenate([nitrogen[:, None], nitrogen[:, None] + arms], axis=1).reshape(-1, 3)
    frames = Frames.uniform(
        np.array([11] * 32 + [7, 8, 8, 8] * 32),
        2,
        positions=np.concatenate([sodium, nitrate]),
        cell=cell,
        charges=np.array([1.0] * 32 + [0.5, -0.5, -0.5, -0.5] * 32),
        molecules=np.concatenate([np.arange(32), 32 + np.repeat(np.arange(32), 4)]),
        time=np.arange(2) * 1000.0,
        temperature=300.0,
    )
    (entry,) = measure([frames], ["crystal"], 0.1, 2, contact_A=CONTACT)["crystal"]
    assert (entry["solid"]["value"], entry["octahedral"]["value"], entry["cluster"]["value"]) == (32, 64, 64)
