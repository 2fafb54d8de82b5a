"""The whole set of properties of a small made-up solution."""

import json

import numpy as np
import pytest

from saltern.errors import SalternError
from saltern.frames import Frames
from saltern.observables import measure
from saltern.units import BOLTZMANN

WATER = np.array([[0.0, 0, 0], [0.96, 0, 0], [-0.24, 0.93, 0]])
EDGE, FRAMES, STEP = 9.0, 2000, 0.5


def solution(seed, frames=FRAMES, temperature=298.15):
    """2 Na+, 2 Cl- and 20 rigid waters that all walk at random, in a box of 9 Å."""
    rng = np.random.default_rng(seed)
    units = 24
    centres = rng.random((units, 3)) * EDGE + np.cumsum(rng.normal(scale=STEP, size=(frames, units, 3)), axis=0)
    positions = np.concatenate([centres[:, :4], (centres[:, 4:, None] + WATER).reshape(frames, 60, 3)], axis=1)
    numbers = np.array([11, 11, 17, 17] + [8, 1, 1] * 20)
    atoms = len(numbers)
    return Frames.uniform(
        numbers,
        frames,
        positions=positions,
        cell=np.eye(3) * EDGE,
        charges=np.array([1.0, 1, -1, -1] + [0.0] * 60),
        molecules=np.array([0, 1, 2, 3] + [4 + i // 3 for i in range(60)]),
        time=np.arange(frames) * 100.0,
        temperature=temperature,
        conserved_energy=-5.0 + 1e-9 * np.arange(frames),
        kinetic_energy=1.5 * (atoms - 1) * BOLTZMANN * temperature * rng.normal(1, 0.05, frames),
        committee_spread=np.where(np.arange(frames) % 50 == 0, 0.1 + 0.001 * np.arange(frames), np.nan),
    )


@pytest.fixture(scope="module")
def result():
    return measure([solution(0), solution(1)], ["rdf", "coordination", "diffusion", "drift"], 0.1, 5, None)


def test_result_is_strict_json_with_units(result):
    json.dumps(result, allow_nan=False)
    assert result["diffusion"][0]["corrected"]["unit"] == "1e-9 m²/s"
    assert result["length"] == {"value": pytest.approx(2 * 199.9), "error": None, "unit": "ps"}


def test_ions_without_solvent_have_no_diffusion():
    whole = solution(0, frames=200)
    ions = np.arange(200 * 64).reshape(200, 64)[:, :4].ravel()
    per_atom = ("numbers", "positions", "charges", "molecules")
    arrays = {name: array[ions] if name in per_atom else array for name, array in whole.arrays.items()}
    bare = measure([Frames(np.arange(201) * 4, arrays)], ["rdf", "diffusion"], 0.1, 5)
    assert bare["diffusion"] == []
    assert len(bare["rdf"]) == 3


def test_pairs_are_ions_and_heavy_solvent_atoms(result):
    assert [e["pair"] for e in result["rdf"]] == [
        ["Na", "Na"],
        ["Na", "Cl"],
        ["Na", "O"],
        ["Cl", "Cl"],
        ["Cl", "O"],
        ["O", "O"],
    ]
    shells = [(e["centre"], e["neighbour"]) for e in result["coordination"]]
    assert shells == [("Na", "Cl"), ("Cl", "Na"), ("Na", "O"), ("Cl", "O")]
    assert [e["species"] for e in result["diffusion"]] == ["Na", "Cl", "water"]


def test_ideal_mixture_has_flat_curves_and_says_that_it_has_no_shell(result):
    for entry in result["rdf"]:
        r, g = np.array(entry["r"]["values"]), np.array(entry["g"]["values"])
        assert np.average(g, weights=r**2) == pytest.approx(1, abs=0.15)
        assert len(entry["g"]["error"]) == len(r)
    assert all(e["value"] is None and "no first minimum" in e["remark"] for e in result["coordination"])


def test_diffusion_is_that_of_the_walk_and_the_correction_is_added(result):
    exact = STEP**2 / (2 * 100.0) * 1e4
    for entry in result["diffusion"]:
        measured, corrected = entry["uncorrected"], entry["corrected"]
        assert measured["value"] == pytest.approx(exact, abs=4 * measured["error"])
        assert measured["error"] < 0.3 * exact
        assert corrected["value"] - measured["value"] == pytest.approx(entry["correction"]["value"])
        assert entry["viscosity"]["value"] == pytest.approx(0.890, abs=1e-3)
        assert entry["box_edge"]["value"] == pytest.approx(EDGE)
        assert entry["window"] == {"start": pytest.approx(2.0), "end": pytest.approx(20.0), "unit": "ps"}


def test_drift_temperature_and_largest_spread(result):
    drift = result["drift"]
    assert drift["energy_drift"]["value"] == pytest.approx(1e-9 / 100 * 1e6 / 64, rel=1e-3)
    assert drift["mean_temperature"]["value"] == pytest.approx(298.15, abs=4 * drift["mean_temperature"]["error"])
    assert drift["largest_spread"]["value"] == pytest.approx(0.1 + 1.95)


def test_oxygen_of_an_ion_is_not_that_of_water():
    """A nitrate's own oxygens are neither its neighbours nor the solvent."""
    rng = np.random.default_rng(6)
    numbers = np.array([11, 7, 8, 8, 8] + [8, 1, 1] * 4)
    frames = Frames.uniform(
        numbers,
        40,
        positions=rng.random((40, 17, 3)) * EDGE,
        cell=np.eye(3) * EDGE,
        charges=np.array([1.0, -1.0, 0.0, 0.0, 0.0] + [0.0] * 12),
        molecules=np.array([0, 1, 1, 1, 1] + [2 + i // 3 for i in range(12)]),
        time=np.arange(40) * 100.0,
        temperature=300.0,
    )
    found = measure([frames], ["rdf", "coordination", "diffusion"], 0.5, 2, None)
    assert [e["species"] for e in found["diffusion"]] == ["Na", "NO3", "water"]
    shells = {(e["centre"], e["neighbour"]) for e in found["coordination"]}
    assert {("Na", "N(NO3)"), ("Na", "O"), ("Na", "O(NO3)"), ("O(NO3)", "O")} <= shells
    assert ("N(NO3)", "O(NO3)") not in shells


def test_neighbours_are_counted_from_either_ion():
    """Two Cl- at 2.5 Å from each of two Ca2+ that are 6 Å apart: Ca has two Cl, Cl has one Ca."""
    rng = np.random.default_rng(7)
    count = 400
    direction = rng.normal(size=(count, 5, 3))
    direction /= np.linalg.norm(direction, axis=-1, keepdims=True)
    reach = 2.5 + 0.1 * rng.normal(size=(count, 4, 1))
    calcium = np.stack([np.zeros((count, 3)), 6.0 * direction[:, 4]], axis=1)
    chloride = np.repeat(calcium, 2, axis=1) + reach * direction[:, :4]
    frames = Frames.uniform(
        np.array([20, 20, 17, 17, 17, 17]),
        count,
        positions=np.concatenate([calcium, chloride], axis=1),
        cell=np.eye(3) * 20.0,
        charges=np.array([2.0, 2, -1, -1, -1, -1]),
        molecules=np.arange(6),
        time=np.arange(count) * 100.0,
        temperature=300.0,
    )
    shells = {
        (e["centre"], e["neighbour"]): e["value"] for e in measure([frames], ["coordination"], 0.1, 5)["coordination"]
    }
    assert shells == {("Ca", "Cl"): pytest.approx(2, abs=0.1), ("Cl", "Ca"): pytest.approx(1, abs=0.05)}


def test_given_viscosity_is_used():
    entry = measure([solution(2, 200)], ["diffusion"], 0.1, 5, 1.78)["diffusion"][0]
    assert entry["viscosity"] == {"value": 1.78, "error": None, "unit": "mPa s", "source": "given in the campaign"}


def test_short_trajectory_is_a_remark_and_not_a_failure():
    entry = measure([solution(3, 8)], ["diffusion", "coordination"], 0.1, 5, None)["diffusion"][0]
    assert entry["corrected"]["value"] is None
    assert not entry["diffusive"]
    assert "too short" in entry["remark"]


def test_replica_that_stopped_early_does_not_spoil_the_others():
    whole, stopped, lost = solution(8, 400), solution(9, 30), solution(10, 1)
    found = measure([whole, stopped, lost], ["diffusion", "rdf"], 0.1, 5, None)
    alone = measure([whole], ["diffusion"], 0.1, 5, None)
    assert found["replicas"] == 2
    assert found["diffusion"][0]["uncorrected"] == alone["diffusion"][0]["uncorrected"]
    assert "1 of 2 replicas stopped too early" in found["diffusion"][0]["remark"]


def test_nothing_but_single_frames_is_refused():
    with pytest.raises(SalternError, match="nothing can be measured"):
        measure([solution(11, 1)], ["rdf"], 0.1, 5, None)


def test_temperature_without_a_viscosity_is_left_uncorrected():
    entry = measure([solution(4, 200, temperature=500.0)], ["diffusion"], 0.1, 5, None)["diffusion"][0]
    assert entry["uncorrected"]["value"] > 0
    assert entry["corrected"]["value"] is None
    assert "253.15" in entry["remark"]


def test_uneven_frames_are_refused():
    frames = solution(5, 10)
    times = frames["time"].copy()
    times[4:] += 50
    with pytest.raises(SalternError, match="equal distances"):
        measure([frames.with_arrays(time=times)], ["rdf"], 0.1, 5, None)
