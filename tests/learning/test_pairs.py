"""Splines of pairs by least squares: what they return of a known potential, and how wrong they are."""

import numpy as np
import pytest
import torch

from saltern.config import StudentConfig, TrainConfig, TrainSpec
from saltern.config.stages import BaselineConfig
from saltern.learning import train
from saltern.learning.dataset import Examples, collate
from saltern.learning.group import ALONE
from saltern.learning.pairs import fit_pairs
from saltern.learning.resampling import drawn, units
from saltern.potentials import Batch, PairSpline, Potential, derivatives
from saltern.store import Release

SPECIES = (11, 17)
CUTOFF = 7.0


def fitted(frames, held, weights=None) -> tuple[PairSpline, float]:
    data = Examples(held(frames), "none", SPECIES, CUTOFF, torch.float64)
    return fit_pairs(data, CUTOFF, np.ones(len(frames)) if weights is None else weights, ALONE)


def slopes_of(pair: PairSpline, distances: np.ndarray, kind: int) -> np.ndarray:
    """dU/dr of a spline, from the force on the second of two atoms."""
    species = torch.tensor({0: [0, 0], 1: [0, 1], 2: [1, 1]}[kind])
    found = []
    for r in distances:
        rows = pair.force_rows(torch.tensor([[0.0, 0.0, r]]), torch.tensor([0]), torch.tensor([1]), species)
        found.append(-float(rows[5] @ pair.coefficients.flatten()))
    return np.array(found)


def error(pair: PairSpline, liquid) -> float:
    """Root mean square error of the slopes where there are samples, eV/Å, over all pairs."""
    r = np.linspace(2.6, CUTOFF, 60)
    found = [slopes_of(pair, r, kind) - liquid.slope(r, np.full(len(r), kind != 1)) for kind in range(3)]
    return float(np.sqrt(np.mean(np.square(found))))


def test_a_known_pair_potential_comes_back(liquid, held) -> None:
    frames = liquid(60)
    pair, left = fitted(frames, held)
    scale = np.sqrt((frames["forces"] ** 2).mean())
    assert np.sqrt(left) < 1e-3 * scale
    assert error(pair, liquid) < 1e-3 * np.abs(liquid.slope(np.linspace(2.6, CUTOFF, 60), np.True_)).max()


def test_what_is_fitted_is_the_gradient_of_the_energy(liquid, held) -> None:
    """And so the forces of a simulation are the labels, on frames that were not fitted."""
    pair, _ = fitted(liquid(60), held)
    frames = liquid(3, seed=1)
    batch = collate(Examples(held(frames), "none", SPECIES, CUTOFF, torch.float64).get(range(3)), torch.device("cpu"))
    forces = derivatives(pair(batch.graph), batch.graph).forces
    np.testing.assert_allclose(forces, frames["forces"], atol=1e-3 * np.abs(frames["forces"]).max())
    rows = pair.force_rows(batch.graph.vectors.detach(), *batch.graph[1:4])
    np.testing.assert_allclose((rows @ pair.coefficients.flatten()).view(-1, 3), forces, atol=1e-12)


def test_the_error_falls_with_the_root_of_the_number_of_frames(liquid, held) -> None:
    few, many = (
        np.mean([error(fitted(liquid(n, 0.3, seed), held)[0], liquid) for seed in range(3)]) for n in (25, 400)
    )
    assert few / many == pytest.approx(4, rel=0.25)


def test_the_spread_of_resampled_trajectories_is_the_error(liquid, held) -> None:
    """Member 0 is off by what the others are spread by, on average over distances."""
    frames = liquid(120, 0.3)
    unit = units(frames["trajectory"])
    r = np.linspace(2.8, CUTOFF - 0.3, 40)
    members = [slopes_of(fitted(frames, held, drawn(unit, seed))[0], r, 1) for seed in range(1, 9)]
    off = slopes_of(fitted(frames, held)[0], r, 1) - liquid.slope(r, np.False_)
    assert np.sqrt((off**2).mean()) == pytest.approx(np.std(members, axis=0, ddof=1).mean(), rel=0.35)


def test_where_there_are_no_samples_the_spline_is_straight_or_nothing(liquid, held) -> None:
    pair, _ = fitted(liquid(60), held)
    inside = slopes_of(pair, np.array([0.3, 1.0, 1.8]), 1)
    np.testing.assert_allclose(inside, inside[0], rtol=0.02)
    frames = liquid(60)
    sodium = frames.with_arrays(numbers=np.full_like(frames["numbers"], 11))
    data = Examples(held(sodium), "none", SPECIES, CUTOFF, torch.float64)
    never, _ = fit_pairs(data, CUTOFF, np.ones(60), ALONE)
    assert float(never.coefficients[1:].abs().max()) == 0, "elements that are not there"


def test_units_are_trajectories_or_blocks_of_them() -> None:
    many = np.array([f"t{i}" for i in range(20)]).repeat(3)
    assert len(np.unique(units(many))) == 20
    few = np.array(["a", "b"] * 50)
    blocks = units(few)
    assert len(np.unique(blocks)) == 10
    for name in "ab":
        own = blocks[few == name]
        assert (np.diff(own) >= 0).all(), "blocks are consecutive"
        assert np.bincount(own)[own.min() :].tolist() == [10] * 5
    assert not set(blocks[few == "a"]) & set(blocks[few == "b"])
    times = drawn(blocks, 1)
    assert times.sum() == pytest.approx(100)
    assert len(np.unique(times)) > 1


def spec(network: str, prior: str = "none", **changes: object) -> TrainSpec:
    student = StudentConfig(network=network, prior=prior, r_max_A=CUTOFF, layers=1, l_max=1, features=4, radial_width=8)
    settings = {"epochs": 2, "batch": 20, "device": "cpu", "energy_weight": 0.0, **changes}
    return TrainSpec(baseline=BaselineConfig(kind="none"), student=student, train=TrainConfig.model_validate(settings))


@pytest.fixture
def release(liquid, held, monkeypatch, tmp_path):
    """A release of frames in memory."""
    frames = liquid(60, 0.1)
    parts = {"train": frames.select(range(48)), "validation": frames.select(range(48, 60))}
    import pandas as pd

    index = pd.DataFrame({"split": ["train"], "system": ["liquid"], "permittivity": [1.0]})
    found = Release.__new__(Release)
    for name, value in {"directory": tmp_path, "manifest": {"root_hash": "0"}, "index": index}.items():
        object.__setattr__(found, name, value)
    monkeypatch.setattr(Release, "reader", lambda _, split: held(parts[split]))
    return found


def test_it_is_trained_saved_and_loaded_like_any_student(release, tmp_path) -> None:
    for member in range(3):
        train(release, spec("pair"), member, tmp_path / f"{member}", tmp_path / f"{member}.csv", "train")
    committee = Potential.load([tmp_path / "0", tmp_path / "1", tmp_path / "2"], device="cpu")
    batch = Batch.of(release.reader("validation").held)
    found = committee.evaluate(batch, spread=True)
    assert found.spread is not None
    assert float(found.spread.min()) > 0, "members differ in the trajectories that they were fitted to"
    whole = committee._networks[0].pair
    assert whole is not None
    alone, _ = fitted(release.reader("train").held, type(release.reader("train")))
    np.testing.assert_allclose(whole.coefficients, alone.coefficients, atol=1e-5)
    rows = (tmp_path / "0.csv").read_text().splitlines()
    assert len(rows) == 2
    validated = float(rows[1].split(",")[3])
    labels = release.reader("validation").held["forces"]
    assert validated == pytest.approx(1000 * np.sqrt(((found.forces.numpy() - labels) ** 2).mean()), rel=1e-3)
    assert validated < 115, "of which 100 are the noise"


def test_a_network_that_learned_nothing_on_pairs_is_the_pairs(release, tmp_path) -> None:
    told = {"precision": "float64", "learning_rate": 1e-30}
    train(release, spec("pair", **told), 0, tmp_path / "p", tmp_path / "p.csv", "train")
    train(release, spec("equivariant", "pair", **told), 0, tmp_path / "n", tmp_path / "n.csv", "train")
    batch = Batch.of(release.reader("validation").held)
    alone, under = (Potential.load([tmp_path / n], device="cpu").evaluate(batch, stress=True) for n in "pn")
    np.testing.assert_allclose(under.forces, alone.forces, atol=1e-12)
    np.testing.assert_allclose(under.energy, alone.energy, atol=1e-12)
    np.testing.assert_allclose(under.stress, alone.stress, atol=1e-12)
    assert float(alone.forces.abs().max()) > 0.1


def test_a_network_learns_what_pairs_leave(release, tmp_path) -> None:
    train(release, spec("equivariant", "pair", epochs=3), 0, tmp_path / "n", tmp_path / "n.csv", "train")
    network = Potential.load([tmp_path / "n"], device="cpu")._networks[0]
    assert float(network.readout.abs().max()) > 0
    assert network.scale == pytest.approx(0.1, rel=0.05), "what is left is the noise"
