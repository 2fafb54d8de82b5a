"""Normalised losses: what noise leaves, what pairs explain, and how sure that is."""

import numpy as np
import pytest
import torch

from saltern.config import StudentConfig
from saltern.frames import Frames
from saltern.learning.dataset import Examples
from saltern.learning.environments import classed
from saltern.learning.explained import explained
from saltern.learning.group import ALONE
from saltern.learning.members import evaluated
from saltern.learning.pairs import fit_pairs
from saltern.potentials import Network, PairSpline, Potential

SPECIES, CUTOFF = (11, 17), 7.0
NOISE = 0.1


def student(coefficients: torch.Tensor | None = None) -> Potential:
    config = StudentConfig(network="pair", r_max_A=CUTOFF)
    network = Network(config, SPECIES, shifts=[0.0, 0.0], scale=1.0, neighbours=1.0, dtype=torch.float64)
    if coefficients is not None:
        assert network.pair is not None
        network.pair.coefficients.copy_(coefficients)
    return Potential([network], {"baseline": "none", "closest": [[0.0] * 2] * 2, "permittivities": {}})


def best_pairs(frames: Frames, held) -> PairSpline:
    data = Examples(held(frames), "none", SPECIES, CUTOFF, torch.float64)
    return fit_pairs(data, CUTOFF, np.ones(len(frames)), ALONE)[0]


def rows_of(potential: Potential, training, test: Frames) -> list:
    return explained(potential, evaluated(potential, test), training, test, classed(test))


@pytest.fixture(scope="module")
def frames(liquid) -> Frames:
    return liquid(432, NOISE)


def test_who_says_nothing_leaves_everything_and_pairs_leave_the_noise(frames, held) -> None:
    training, test = frames.select(range(384)), frames.select(range(384, 432))
    rows = rows_of(student(), held(training), test)
    assert [row["what"] for row in rows] == ["force", "force on Na", "force on Cl"]
    whole = rows[0]
    assert whole["loss"]["value"] == pytest.approx(1, abs=1e-12)
    assert whole["loss"]["error"] == pytest.approx(0, abs=1e-12)
    assert whole["gain"]["value"] == pytest.approx(whole["pairs"]["value"] - 1)
    noise = NOISE**2 / (test["forces"] ** 2).mean()
    assert 0.5 < noise < 0.95
    assert 0 < whole["pairs"]["error"] < 0.03
    assert abs(whole["pairs"]["value"] - noise) < 3 * whole["pairs"]["error"] + 0.01


def test_the_best_pairs_gain_nothing_over_themselves_and_the_truth_does(frames, held, liquid) -> None:
    training, test = frames.select(range(384)), frames.select(range(384, 432))
    same = rows_of(student(best_pairs(training, held).coefficients), held(training), test)[0]
    assert same["gain"]["value"] == pytest.approx(0, abs=1e-9)
    assert same["gain"]["error"] < 1e-9 < same["loss"]["error"], "draws are the same for both"
    few = training.select(range(12))
    truth = best_pairs(liquid(60), held)
    gain = rows_of(student(truth.coefficients), held(few), test)[0]["gain"]
    assert gain["value"] > 2 * gain["error"] > 0, "splines fitted to few noisy frames are worse than the truth"


def test_the_error_of_a_single_frame_is_not_known(frames, held) -> None:
    row = rows_of(student(), held(frames.select(range(24))), frames.select([0]))[0]
    assert row["loss"]["error"] is None
