"""What is counted of a dataset."""

import json

import numpy as np
import pytest

from saltern.frames import Frames
from saltern.store.statistics import Statistics, Tally, statistics_of, statistics_tables


def some_frames(count: int = 40, seed: int = 0) -> Frames:
    """Waters with a sodium, of two systems, with forces of very different size."""
    rng = np.random.default_rng(seed)
    water = np.array([[0, 0, 0], [0.96, 0, 0], [-0.24, 0.93, 0]])
    positions = np.concatenate([water, [[0, 0, 2.4]]]) + rng.normal(0, 0.01, (count, 4, 3))
    return Frames.uniform(
        np.array([8, 1, 1, 11]), count, positions=positions, cell=np.eye(3) * 9,
        forces=rng.normal(size=(count, 4, 3)) * 10 ** rng.uniform(-6, 1, (count, 4, 1)),
        energy=-620.0 + rng.normal(0, 1e-3, count), stress=rng.normal(0, 1e-3, (count, 3, 3)),
        system=np.where(np.arange(count) % 3, "a", "b"), temperature=np.where(np.arange(count) % 2, 300.0, 350.0),
    )  # fmt: skip


def test_numbers_are_those_of_numpy() -> None:
    frames = some_frames(200)
    plain = statistics_of([frames]).plain({"a": 1.5})
    force = np.linalg.norm(frames.stacked("forces")[:, 1:3], axis=-1).ravel()
    told = plain["elements"]["H"]["force_eV_A"]
    assert told["count"] == 400
    assert (told["mean"], told["std"]) == pytest.approx((force.mean(), force.std()), rel=1e-13)
    assert (told["min"], told["max"]) == pytest.approx((force.min(), force.max()), rel=1e-15)
    for percent in (1, 50, 99):
        assert told[f"p{percent}"] == pytest.approx(np.percentile(force, percent, method="inverted_cdf"), abs=0.005001)
    a = frames.select(frames["system"] == "a")
    told = plain["systems"]["a"]
    assert (told["frames"], told["atoms"], told["molality_mol_kg"]) == (len(a), 4 * len(a), 1.5)
    assert plain["systems"]["b"]["molality_mol_kg"] is None
    energy = a["energy"] / 4
    assert told["energy_per_atom_eV"]["mean"] == pytest.approx(energy.mean(), rel=1e-15)
    assert told["energy_per_atom_eV"]["std"] == pytest.approx(energy.std(), rel=1e-11)
    trace = np.trace(a["stress"], axis1=1, axis2=2)
    assert told["stress_trace_eV_A3"]["mean"] == pytest.approx(trace.mean(), rel=1e-12)
    assert told["temperature_K"] == [300.0, 350.0]


def test_any_batches_by_any_workers_in_any_order_give_the_same_bits() -> None:
    """Floating-point sums would differ in the last digits."""
    frames = some_frames(300)
    whole = json.dumps(statistics_of([frames]).plain())
    rng = np.random.default_rng(1)
    for size in (2, 7, 60):
        parts = [statistics_of([frames.select(rows)]) for rows in np.array_split(rng.permutation(300), size)]
        while len(parts) > 1:  # a tree, as workers would merge
            first, second = parts.pop(0), parts.pop(0)
            first.merge(second)
            parts.append(first)
        assert json.dumps(parts[0].plain()) == whole
    assert json.dumps(statistics_of(frames.select(rows) for rows in np.array_split(np.arange(300), 9)).plain()) == whole


def test_merging_leaves_the_parts_as_they_were() -> None:
    one, other = statistics_of([some_frames(10)]), statistics_of([some_frames(10, seed=1)])
    before = json.dumps(other.plain())
    total = Statistics()
    for part in (other, one):
        total.merge(part)
    assert json.dumps(other.plain()) == before
    assert total.plain()["systems"]["a"]["frames"] == 12


def test_sums_are_exact_where_floats_lose_digits() -> None:
    tally = Tally(1.0)
    tally.add(np.array([1e16, 1.0, -1e16, 1.0, 5e-324, -5e-324]))
    assert tally.plain()["mean"] == 2 / 6
    alike = Tally(1e-4)
    alike.add(np.full(1000, -155.123456789))
    assert alike.plain()["mean"] == -155.123456789
    assert alike.plain()["std"] == 0


def test_what_is_missing_is_counted_and_poisons_nothing() -> None:
    frames = some_frames(9)
    stress = frames["stress"].copy()
    stress[2] = np.nan
    told = statistics_of([frames.with_arrays(stress=stress, system=np.full(9, "a"))]).plain()["systems"]["a"]
    assert (told["stress_trace_eV_A3"]["count"], told["stress_trace_eV_A3"]["missing"]) == (8, 1)
    assert np.isfinite(told["stress_trace_eV_A3"]["mean"])
    bare = Frames(frames.offsets, {name: frames[name] for name in ("numbers", "positions", "cell", "system")})
    plain = json.loads(json.dumps(statistics_of([bare]).plain(), allow_nan=False))
    assert plain["elements"] == {}
    assert plain["systems"]["a"]["energy_per_atom_eV"] == {"count": 0}
    assert "| - | - |" in statistics_tables(plain)


def test_shortest_distances_are_by_pair_and_across_the_boundary() -> None:
    positions = np.array([[[0.1, 5, 5], [8.9, 5, 5], [4.5, 5, 5], [0.1, 5, 7.5]]])
    frames = Frames.uniform(
        np.array([8, 1, 17, 11]), 1, positions=positions, cell=np.eye(3) * 9.8, system=np.array(["a"])
    )
    shortest = statistics_of([frames]).plain()["systems"]["a"]["shortest_A"]
    assert set(shortest) == {"H-O", "O-Na", "H-Na"}  # chlorine is further than a contact from everything
    assert (shortest["H-O"], shortest["O-Na"]) == pytest.approx((1.0, 2.5))


def test_tables_show_the_numbers() -> None:
    frames = some_frames()
    plain = statistics_of([frames]).plain()
    text = statistics_tables(plain)
    assert f"| Na | 40 | {plain['elements']['Na']['force_eV_A']['mean']:.3f} |" in text
    row = next(line for line in text.splitlines() if line.startswith("| `a` |"))
    assert "| 26 | 4 | -155.00" in row
    assert f"H-O {plain['systems']['a']['shortest_A']['H-O']:.2f}" in row
    assert len({line.count("|") for line in text.splitlines() if "`" in line or "shortest" in line}) == 1
