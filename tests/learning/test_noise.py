"""Labels from displacements: drawn as they should be, and what they say of a density that is known."""

import numpy as np
import pytest
import torch

from saltern.frames import Frames
from saltern.learning.dataset import COPIES, Examples
from saltern.learning.group import ALONE
from saltern.learning.noise import Noise
from saltern.learning.pairs import fit_pairs
from saltern.potentials import Batch, baseline
from saltern.units import BOLTZMANN

THERMAL = BOLTZMANN * 300.0
WIDTH, SIGMA = 1.0, 0.3
CUTOFF = 6.0


def springs(count: int, seed: int) -> Frames:
    """27 pairs of hydrogens, each held together by an ideal spring, too far from each other to be within the cutoff."""
    rng = np.random.default_rng(seed)
    sites = np.stack(np.meshgrid(*[[0.0, 14.0, 28.0]] * 3), -1).reshape(-1, 3)
    apart = rng.normal(scale=WIDTH, size=(count, 27, 3))
    positions = np.concatenate([sites + apart / 2, sites - apart / 2], 1)
    return Frames.uniform(
        np.ones(54, int), count, positions=positions, cell=np.eye(3) * 42.0, temperature=300.0, charges=0.0,
        permittivity=1.0, energy=np.nan, forces=np.nan,
    )  # fmt: skip


def test_displacements_are_those_of_seed_epoch_and_frame(liquid) -> None:
    frames, noise = liquid(4), Noise(0.1, 7)
    whole = noise(frames, [3, 5, 8, 9], 4)
    part = noise(frames.select([2, 0]), [8, 3], 4)
    np.testing.assert_array_equal(whole.select([2, 0])["positions"], part["positions"])
    steps = {
        key: Noise(0.1, seed)(frames, numbers, epoch)["positions"] - frames["positions"]
        for key, seed, numbers, epoch in [
            ("first", 7, [3, 5, 8, 9], 4), ("mirror", 7, [3, 5, 8, 9], 5), ("next", 7, [3, 5, 8, 9], 6),
            ("seed", 8, [3, 5, 8, 9], 4), ("frame", 7, [4, 6, 7, 10], 4),
        ]
    }  # fmt: skip
    np.testing.assert_allclose(steps["mirror"], -steps["first"], atol=1e-12)
    for other in ("next", "seed", "frame"):
        assert abs(np.corrcoef(steps[other].ravel(), steps["first"].ravel())[0, 1]) < 0.2
    assert steps["first"].std() == pytest.approx(0.1, rel=0.1)
    np.testing.assert_allclose(whole["forces"], -THERMAL * steps["first"] / 0.1**2, atol=1e-10)
    assert np.isnan(whole["energy"]).all()


def test_baseline_and_pairs_are_those_of_the_displaced_positions(liquid, held) -> None:
    frames = liquid(2)
    frames = frames.with_arrays(charges=np.where(frames["numbers"] == 11, 1.0, -1.0))
    data = Examples(held(frames), "coulomb", (11, 17), 7.0, torch.float64, Noise(0.2, 1))
    moved = Noise(0.2, 1)(frames.select([1]), [1], 3)
    data.epoch = 3
    (example,) = data.get([1])
    expected = moved["forces"] - baseline(Batch.of(moved)).forces.numpy()
    np.testing.assert_allclose(example.forces, expected, atol=1e-12)
    apart = moved["positions"][example.second] - moved["positions"][example.first] - example.vectors.numpy()
    np.testing.assert_allclose(apart, np.round(apart / 16.0) * 16.0, atol=1e-9)
    data.epoch = 5
    assert not torch.equal(data.get([1])[0].forces, example.forces), "another epoch, other displacements"
    assert not data.complete, "so none is kept"


def constant(seed: int, held) -> float:
    """Of the spring that fits best, from the slopes of the spline where there are many samples, eV/Å²."""
    data = Examples(held(springs(20, seed)), "none", (1,), CUTOFF, torch.float64, Noise(SIGMA, seed))
    pair, _ = fit_pairs(data, CUTOFF, np.ones(20), ALONE)
    r = torch.linspace(0.8, 2.4, 33, dtype=torch.float64)
    vectors = torch.stack([torch.zeros(33), torch.zeros(33), r], 1)
    rows = pair.force_rows(vectors, 2 * torch.arange(33), 2 * torch.arange(33) + 1, torch.zeros(66, dtype=torch.int64))
    slopes = (rows @ pair.coefficients.flatten()).view(33, 2, 3)[:, 0, 2]
    return float((slopes * r).sum() / (r * r).sum())


def test_positions_of_ideal_springs_give_the_spring(held) -> None:
    """Displacements of both ends widen the distribution of the vector between them: WIDTH² + 2 SIGMA²."""
    found = [constant(seed, held) for seed in range(8)]
    mean, error = np.mean(found), np.std(found, ddof=1) / np.sqrt(8)
    expected = THERMAL / (WIDTH**2 + 2 * SIGMA**2)
    assert error < 0.03 * expected
    assert abs(mean - expected) < 3 * error
    assert COPIES % 2 == 0, "displacements come in opposite pairs"
    assert abs(mean - THERMAL / WIDTH**2) > 3 * error, "the smoothing is seen"
