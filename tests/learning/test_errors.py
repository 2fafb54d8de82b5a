"""Errors by where an atom is, and whether a committee's spread is right."""

from pathlib import Path

import numpy as np
import pytest
import torch

from saltern.config import StudentConfig
from saltern.engines import classical_forces
from saltern.frames import Frames
from saltern.learning import held_out_errors
from saltern.learning.calibration import calibration, usual
from saltern.learning.environments import CLASSES, classed, environments
from saltern.learning.jackknife import group_sums, jackknife
from saltern.potentials import Batch, Network, Potential, save

STUDENT = StudentConfig(r_max_A=4.0, layers=1, l_max=1, features=4, radial_width=8)


def test_the_error_of_a_mean_is_the_usual_one_and_of_one_group_unknown() -> None:
    values = np.random.default_rng(0).normal(size=(8, 5))
    rows = np.stack([values.ravel(), np.ones(40)], 1)
    sums = group_sums(rows, np.repeat(np.arange(8) * 3, 5))
    assert sums.shape == (8, 2)
    value, error = jackknife(sums, lambda s: s[..., 0] / s[..., 1])
    assert value == pytest.approx(values.mean())
    assert error == pytest.approx(values.mean(1).std(ddof=1) / np.sqrt(8))
    value, error = jackknife(sums[:1], lambda s: s[..., 0] / s[..., 1])
    assert value == pytest.approx(values[0].mean())
    assert np.isnan(error)


def committee(trust: float, groups: int = 40) -> tuple[np.ndarray, ...]:
    """Errors, spreads and trajectories of 8000 atoms whose forces are wrong by `trust` times what is said."""
    rng = np.random.default_rng(1)
    spreads = rng.lognormal(-3, 0.8, 8000)
    errors = np.linalg.norm(trust * spreads[:, None] / np.sqrt(3) * rng.normal(size=(8000, 3)), axis=1)
    return errors, spreads, np.arange(8000) % groups


@pytest.mark.parametrize("trust", [0.5, 1.0, 2.0])
def test_a_committee_that_is_too_sure_is_found_out(trust: float) -> None:
    found = calibration(*committee(trust))
    factor, rank = found["factor"], found["rank"]
    assert abs(factor["value"] - trust) < 4 * factor["error"]
    assert factor["error"] < 0.05 * trust
    assert 0.6 < rank["value"] < 0.95
    assert found["trajectories"] == 40
    spread, error = (np.array([b["spread"] for b in found["bins"]]), [b["error"]["value"] for b in found["bins"]])
    assert len(spread) == 10
    assert (np.diff(spread) > 0).all()
    np.testing.assert_allclose(error / spread, trust, rtol=0.1)


def test_a_spread_that_says_nothing_has_no_rank_correlation() -> None:
    errors, spreads, trajectories = committee(1.0)
    found = calibration(np.random.default_rng(2).permutation(errors), spreads, trajectories)
    assert abs(found["rank"]["value"]) < 4 * found["rank"]["error"] < 0.1
    assert found["rank"]["value"] == pytest.approx(0, abs=0.05)


def test_error_bars_know_that_atoms_of_a_trajectory_are_not_independent() -> None:
    """Every trajectory wrong by one number: 8000 atoms tell no more than 20."""
    rng = np.random.default_rng(3)
    scale = rng.uniform(0.5, 1.5, 20)
    trajectories = np.repeat(np.arange(20), 400)
    found = calibration(scale[trajectories], np.ones(8000), trajectories)
    expected = (scale**2).std(ddof=1) / np.sqrt(20) / (2 * np.sqrt((scale**2).mean()))
    assert found["factor"]["error"] == pytest.approx(expected, rel=0.05)
    alone = calibration(np.ones(8000), np.ones(8000), np.zeros(8000))
    assert alone["factor"] == {"value": 1.0, "error": None}


def test_the_usual_is_exceeded_by_one_atom_in_a_hundred_of_its_element() -> None:
    _, spreads, _ = committee(1.0)
    numbers = np.where(np.arange(8000) % 2, 1, 8)
    spreads = spreads * np.where(numbers == 1, 1, 10)
    limits = usual(numbers, spreads)
    for z, symbol in ((1, "H"), (8, "O")):
        assert (spreads[numbers == z] > limits[symbol]).mean() == pytest.approx(0.01, abs=0.001)


def solution(distance: float) -> Frames:
    """Na and Cl some distance apart across the boundary, a water at the sodium, one at the chloride, one far off."""
    water = np.array([[0.0, 0, 0], [0.76, 0.59, 0], [-0.76, 0.59, 0]])
    sodium, chloride = np.array([0.5, 10.0, 10.0]), np.array([30.5 - distance, 10.0, 10.0])
    away = np.array([15.0, 25.0, 25.0])
    waters = [water + sodium + [0, 2.4, 0], water + chloride - [0, 0.59 + 2.2, 0], water + away]
    return Frames.uniform(
        np.array([11, 17] + [8, 1, 1] * 3), 1, positions=np.concatenate([[sodium, chloride], *waters]),
        cell=30 * np.eye(3), charges=np.array([1.0, -1.0] + [0.0] * 9), permittivity=78.0,
        molecules=np.array([0, 1, 2, 2, 2, 3, 3, 3, 4, 4, 4]),
    )  # fmt: skip


@pytest.mark.parametrize(("distance", "expected"), [(2.7, 1), (3.4, 1), (3.7, 2), (5.0, 2), (6.3, 3), (12.0, 3)])
def test_ions_are_in_contact_share_solvent_or_are_free(distance: float, expected: int) -> None:
    """Contact and solvent-shared pairs of NaCl in water are at 2.7 and 5 Å, with a barrier at 3.6."""
    found = environments(solution(distance))
    assert found[:2].tolist() == [expected, expected]
    assert [CLASSES[c] for c in found[2:]] == ["solvent next to an ion"] * 6 + ["other solvent"] * 3


def test_ions_of_one_sign_are_free_however_near() -> None:
    frames = solution(2.7)
    alike = frames.with_arrays(charges=np.abs(frames["charges"]))
    assert environments(alike)[:2].tolist() == [3, 3]
    assert environments(frames.select([])).tolist() == []


def test_ions_of_a_crystal_are_crowded_but_at_its_corners() -> None:
    places = np.stack(np.meshgrid(*[range(4)] * 3, indexing="ij"), -1).reshape(-1, 3)
    odd = places.sum(1) % 2 == 1
    cube = Frames.uniform(
        np.where(odd, 17, 11), 1, positions=2.9 * places, cell=40 * np.eye(3), charges=np.where(odd, -1.0, 1.0),
        molecules=np.arange(64), permittivity=72.0,
    )  # fmt: skip
    corners = np.isin(places, (0, 3)).all(1)
    assert environments(cube).tolist() == np.where(corners, 1, 0).tolist()
    assert [(name, of.sum()) for name, of in classed(cube)] == [(CLASSES[0], 56), (CLASSES[1], 8)]


def random_network(seed: int, **student: str) -> Network:
    config = STUDENT.model_copy(update=student)
    network = Network(config, (1, 8, 11, 17), shifts=[0.0] * 4, scale=1.0, neighbours=8.0, seed=seed)
    generator = torch.Generator().manual_seed(seed)
    network.readout.data = torch.randn(network.readout.shape, generator=generator)
    return network


def test_rows_are_what_numpy_says_of_the_members(tmp_path: Path) -> None:
    one, rng = solution(2.7), np.random.default_rng(5)
    moved = [one.with_arrays(positions=one["positions"] + rng.normal(scale=0.05, size=(11, 3))) for _ in range(6)]
    frames = Frames.concatenate(moved).with_arrays(
        forces=rng.normal(size=(66, 3)), energy=rng.normal(size=6), system=["s"] * 6,
        trajectory=["a", "a", "b", "b", "c", "c"],
    )  # fmt: skip
    walls = [[0.0] * 4] * 4
    about = {"baseline": "coulomb", "closest": walls, "permittivities": {"s": 78.0}}
    empty = Network(STUDENT, (1, 8, 11, 17), shifts=[0.0] * 4, scale=1.0, neighbours=8.0)
    for name, network in (("a", random_network(1)), ("b", random_network(2)), ("c", empty)):
        save(tmp_path / name, network, about)
    paths = [tmp_path / name for name in "abc"]
    members = [Potential.load([p], device="cpu").evaluate(Batch.of(frames)).forces.numpy() for p in paths]
    errors = members - frames["forces"]
    spread = np.sqrt(np.var(members, axis=0).sum(1))

    found = held_out_errors(Potential.load(paths, device="cpu"), frames, "evaluate")
    for row, of in ((found["errors"][0], slice(None)), (found["environments"][0], np.arange(66) % 11 < 2)):
        assert row["rmse"]["value"] == pytest.approx(1000 * np.sqrt((errors[0][of] ** 2).mean()))
        assert row["baseline"]["value"] == pytest.approx(1000 * np.sqrt((errors[2][of] ** 2).mean()))
        assert row["spread"]["value"] == pytest.approx(1000 * np.sqrt((spread[of] ** 2).mean() / 3), rel=1e-5)
        assert row["rmse"]["error"] > 0
    assert [row["what"].removeprefix("force on ") for row in found["environments"]] == [CLASSES[1], *CLASSES[4:]]
    factor = np.sqrt((errors[0] ** 2).sum() / (spread**2).sum())
    assert found["calibration"]["factor"]["value"] == pytest.approx(factor, rel=1e-5)
    assert set(found["calibration"]["usual"]) == {"H", "O", "Na", "Cl"}
    trained, _, nothing = found["members"]
    classical = found["errors"][0]["classical"]["value"]
    assert classical == pytest.approx(1000 * np.sqrt(((classical_forces(frames) - frames["forces"]) ** 2).mean()))
    assert trained["rmse"]["value"] == pytest.approx(found["errors"][0]["rmse"]["value"])
    assert nothing["share"] == {"value": pytest.approx(1), "error": pytest.approx(0)}
    assert (trained["silent"], nothing["silent"]) == (0, 1)

    alone = held_out_errors(Potential.load(paths[:1], device="cpu"), frames, "evaluate")
    assert alone["calibration"] is None
    assert alone["errors"][0]["spread"] is None


def test_networks_that_add_nothing_to_their_splines_are_silent_and_have_no_spread(tmp_path: Path) -> None:
    """Noise can push a readout towards nothing, and two nothings agree to rounding; which is no certainty."""
    rng, paths = np.random.default_rng(2), [tmp_path / name for name in "ab"]
    frames = solution(2.7).with_arrays(
        forces=rng.normal(size=(11, 3)), energy=[np.nan], system=["s"], trajectory=["a"]
    )  # fmt: skip
    for loudness, silent in ((1.0, [0, 0]), (1e-6, [1, 1])):
        for seed, path in enumerate(paths):
            network = random_network(seed, prior="pair")
            network.readout.data *= loudness
            assert network.pair is not None
            network.pair.coefficients.copy_(torch.linspace(1, 0, network.pair.coefficients.shape[1]))
            save(path, network, {"baseline": "none", "closest": [[0.0] * 4] * 4, "permittivities": {}})
        found = held_out_errors(Potential.load(paths, device="cpu"), frames, "evaluate")
        assert [member["silent"] for member in found["members"]] == silent
        assert (found["calibration"] is None) == (found["errors"][0]["spread"] is None) == all(silent)


def test_a_feature_that_is_not_read_out_is_silent(tmp_path: Path) -> None:
    network = random_network(1)
    network.readout.data[:, 3] = 0
    save(tmp_path / "m", network, {"baseline": "none", "closest": [[0.0] * 4] * 4, "permittivities": {}})
    frames = solution(2.7).with_arrays(forces=np.ones((11, 3)), energy=[np.nan], system=["s"], trajectory=["a"])
    found = held_out_errors(Potential.load([tmp_path / "m"], device="cpu"), frames, "evaluate")
    assert found["members"][0]["silent"] == pytest.approx(1 / 4)
    assert found["errors"][0]["baseline"] == {"value": pytest.approx(1000), "error": None}
    assert found["errors"][0]["classical"] is None  # a mean force has none
