"""Frames that two splits share, or almost."""

import json

import numpy as np
import pytest
from numpy.typing import NDArray
from scipy.spatial.transform import Rotation

from saltern.config import CollectConfig
from saltern.errors import UserError
from saltern.frames import Frames
from saltern.store.duplicates import (
    CUTOFF_A,
    _cutoff,
    duplicate_report,
    fingerprint,
    fingerprints,
    near_duplicates,
    nearest_pairs,
    neighbour_distances,
    refuse_near_duplicates,
)

Array = NDArray[np.float64]
EDGE = 7.8
WATER = np.array([[0, 0, 0], [0.76, 0.59, 0], [-0.76, 0.59, 0]])
NUMBERS = np.array([*[8, 1, 1] * 16, 11, 17])


def brine(rng: np.random.Generator) -> Array:
    """Sixteen waters and an ion pair, (50, 3), placed on a jittered lattice and turned at random."""
    lattice = np.array([(x / 3, y / 3, z / 2) for x in range(3) for y in range(3) for z in range(2)]) * EDGE
    places = rng.permutation(lattice) + rng.normal(0, 0.25, (18, 3))
    waters = [place + turn.apply(WATER) for place, turn in zip(places, Rotation.random(16, rng=rng), strict=False)]
    return np.concatenate([*waters, places[16:]])


def packings(count: int, seed: int = 0) -> list[Array]:
    rng = np.random.default_rng(seed)
    return [brine(rng) for _ in range(count)]


def frames_of(positions: list[Array], numbers: NDArray[np.int64] = NUMBERS, start: int = 0) -> Frames:
    count = len(positions)
    return Frames.uniform(
        numbers, count, positions=np.array(positions), cell=np.eye(3) * EDGE, system=np.array(["brine"]),
        trajectory=np.array([f"t{i % 3}" for i in range(count)]), time=np.arange(count) * 10.0,
        label_key=np.array([f"key{i + start:05d}" for i in range(count)]),
    )  # fmt: skip


def distance(one: Array, other: Array) -> float:
    return float(np.linalg.norm(one.astype(np.float64) - other))


def test_fingerprint_ignores_shift_turn_mirror_order_and_wrapping() -> None:
    rng = np.random.default_rng(1)
    positions, cell = brine(rng), np.eye(3) * EDGE + rng.normal(0, 0.2, (3, 3))
    one = fingerprint(NUMBERS, positions, cell)
    turn = Rotation.random(rng=rng).as_matrix()
    turn[:, 0] *= -1  # and a mirror
    order = rng.permutation(50)
    moved = (positions + rng.integers(-2, 3, (50, 3)) @ cell + [1.1, -2.3, 40]) @ turn
    np.testing.assert_allclose(fingerprint(NUMBERS[order], moved[order], cell @ turn), one, atol=1e-5)
    swapped = NUMBERS.copy()
    swapped[[48, 49]] = [17, 11]
    assert distance(fingerprint(swapped, positions, cell), one) > 0.05  # Na and Cl are not the same


def test_distances_hold_every_image_of_a_box_smaller_than_the_cutoff() -> None:
    """One atom in a cube of 2 Å: 6 images at 2, 12 at 2√2, 8 at 2√3, 6 at 4."""
    _, _, found = neighbour_distances(np.zeros((1, 3)), np.eye(3) * 2, 4.1)
    values, counts = np.unique(found.round(6), return_counts=True)
    np.testing.assert_allclose(values, [2, 2 * 2**0.5, 2 * 3**0.5, 4], atol=1e-6)
    assert counts.tolist() == [6, 12, 8, 6]


def test_fingerprint_of_one_atom_is_its_three_nearest_images() -> None:
    """In a box of 2, 4.5 and 6 Å: two images at 2, then two at 4. In a wide one it is looked further than 5 Å."""
    found = fingerprint(np.array([11]), np.zeros((1, 3)), np.diag([2, 4.5, 6]))
    np.testing.assert_allclose(found * 3**0.5, [2, 2, 4, *[0] * 15], atol=1e-6)
    np.testing.assert_allclose(fingerprint(np.array([11]), np.zeros((1, 3)), np.eye(3) * 6)[:3] * 3**0.5, 6, atol=1e-6)


def test_supercell_has_the_fingerprint_of_its_cell_but_for_the_number_of_atoms() -> None:
    """√N is the only thing in it that knows about size."""
    positions = packings(1)[0]
    double = np.concatenate([positions, positions + np.array([EDGE, 0, 0])])
    one = fingerprint(NUMBERS, positions, np.eye(3) * EDGE)
    two = fingerprint(np.tile(NUMBERS, 2), double, np.diag([2 * EDGE, EDGE, EDGE]))
    np.testing.assert_allclose(two, one * 2**0.5, rtol=1e-4, atol=1e-3)


def test_default_threshold_is_between_displaced_frames_and_independent_ones() -> None:
    rng = np.random.default_rng(2)
    cell, threshold = np.eye(3) * EDGE, CollectConfig().near_duplicate_A
    sets = packings(60)
    prints = np.array([fingerprint(NUMBERS, positions, cell) for positions in sets], dtype=np.float64)
    rattled = np.array([fingerprint(NUMBERS, p + rng.normal(0, 0.01, p.shape), cell) for p in sets])
    between = np.linalg.norm(prints[:, None] - prints, axis=-1)[np.triu_indices(60, 1)]
    displaced = np.linalg.norm(prints - rattled, axis=1)
    assert displaced.min() > 0.005
    assert displaced.max() < threshold < 0.6 * between.min()


def test_ions_without_their_solvent_are_told_apart() -> None:
    """At 4 mol/l most ions have no other within 5 Å."""
    rng = np.random.default_rng(5)
    numbers, cell = np.array([11] * 32 + [17] * 32), 23.7 * np.eye(3)
    one, other = (23.7 * rng.random((64, 3)) for _ in range(2))
    moved = one + rng.normal(scale=0.01, size=one.shape)
    prints = [fingerprint(numbers, positions, cell) for positions in (one, other, moved)]
    assert np.linalg.norm(prints[0] - prints[1]) > 1
    assert np.linalg.norm(prints[0] - prints[2]) < 0.05
    assert _cutoff(64, cell) == 11.0
    assert _cutoff(192, 12.4 * np.eye(3)) == CUTOFF_A


def test_a_hidden_twin_is_found_named_and_refused() -> None:
    rng = np.random.default_rng(3)
    positions = packings(40)
    groups = [np.flatnonzero(z == NUMBERS) for z in (8, 1, 11, 17)]
    twin = np.empty((50, 3))
    # shifted, displaced by 0.005 Å, and its atoms in another order within each element
    twin[np.concatenate(groups)] = positions[5][np.concatenate([rng.permutation(group) for group in groups])]
    twin += rng.normal([1, 2, 3], 0.005, (50, 3))
    frames = frames_of([*positions, twin])
    splits = ["train"] * 30 + ["validation"] * 5 + ["test"] * 6
    pairs = nearest_pairs(fingerprints(frames, splits))
    assert len(pairs) == 11
    near = near_duplicates(pairs, 0.05)
    assert [(pair.first.label_key, pair.second.label_key) for pair in near] == [("key00040", "key00005")]
    assert 0.003 < near[0].distance < 0.03
    with pytest.raises(UserError) as caught:
        refuse_near_duplicates(pairs, 0.05)
    assert caught.value.lines == (
        "collect.near_duplicate_A: the test frame key00040 (brine, t1, 400 fs) and the train frame key00005 "
        f"(brine, t2, 50 fs) are {near[0].distance:.4f} Å apart; allowed: at least 0.05, or near_duplicate_A: 0",
    )
    refuse_near_duplicates(pairs, 0)


def test_splits_are_compared_with_the_right_others() -> None:
    """The same frame everywhere: twins within a split are nobody's business, those across splits are."""
    frames = frames_of([packings(1)[0]] * 7)
    pairs = nearest_pairs(fingerprints(frames, ["train", "train", "validation", "validation", "test", "test", ""]))
    found = {(pair.first.label_key, pair.second.label_key) for pair in pairs}
    assert found == {(f"key0000{i}", "key00000") for i in (2, 3, 4, 5)}
    assert {pair.distance for pair in pairs} == {0.0}
    only = nearest_pairs(fingerprints(frames.select([0, 1]), ["validation", "test"]))
    assert [(pair.first.split, pair.second.split) for pair in only] == [("test", "validation")]
    assert nearest_pairs(fingerprints(frames, ["train"] * 7)) == []


def test_only_frames_of_one_composition_are_compared() -> None:
    positions = packings(2)
    salt, swapped = frames_of(positions[:1]), frames_of(positions[:1], np.where(NUMBERS == 11, 19, NUMBERS), start=1)
    both = Frames.concatenate([salt, swapped])
    assert nearest_pairs(fingerprints(both, ["train", "test"])) == []
    assert [part.composition for part in fingerprints(both, ["train", "test"])] == [
        "H32 O16 Cl1 K1", "H32 O16 Na1 Cl1",
    ]  # fmt: skip


def test_batches_and_their_order_change_nothing() -> None:
    frames = frames_of(packings(10) * 3)  # two training frames are equally near to every other one
    splits = np.array(["train"] * 20 + ["test", "validation"] * 5)
    whole = nearest_pairs(fingerprints(frames, splits))
    assert {pair.second.label_key for pair in whole} == {f"key0000{i}" for i in range(10)}
    groups = np.array_split(np.random.default_rng(4).permutation(30), 7)
    parts = [part for rows in groups for part in fingerprints(frames.select(rows), splits[rows])]
    assert nearest_pairs(parts) == whole


def test_blocks_find_what_all_pairs_find(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("saltern.store.duplicates._ROWS", 4)
    monkeypatch.setattr("saltern.store.duplicates._COLUMNS", 7)
    frames = frames_of(packings(50))
    splits = np.array(["train"] * 30 + ["test"] * 20)
    values = fingerprints(frames, splits)[0].values.astype(np.float64)
    table = np.linalg.norm(values[30:, None] - values[:30], axis=-1)
    pairs = sorted(nearest_pairs(fingerprints(frames, splits)), key=lambda pair: pair.first.label_key)
    assert [int(pair.second.label_key[3:]) for pair in pairs] == table.argmin(axis=1).tolist()
    np.testing.assert_allclose([pair.distance for pair in pairs], table.min(axis=1), atol=1e-6)


def test_report_is_json_and_adds_up() -> None:
    positions = packings(40)
    frames = frames_of([*positions, positions[0]]).with_arrays(time=np.full(41, np.nan))
    pairs = nearest_pairs(fingerprints(frames, ["train"] * 20 + ["test"] * 21))
    report = json.loads(json.dumps(duplicate_report(pairs, 0.05), allow_nan=False))
    assert (report["compared"], report["near"], report["threshold_A"]) == (21, 1, 0.05)
    assert sum(bin_["frames"] for bin_ in report["histogram"]) == 21
    assert report["histogram"][0] == {"from_A": 0.0, "frames": 1}
    assert report["percentiles_A"]["p0"] == 0.0 < report["percentiles_A"]["p50"]
    assert report["closest"][0]["first"]["label_key"] == "key00040"
    assert report["closest"][0]["second"] == {
        "label_key": "key00000", "system": "brine", "trajectory": "t0", "time": None, "split": "train",
    }  # fmt: skip
    empty = duplicate_report([], 0.05)
    assert (empty["compared"], empty["percentiles_A"], empty["closest"]) == (0, {}, [])
