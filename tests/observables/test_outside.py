"""When a simulation has left what its potential was trained on."""

import numpy as np
import pytest

from saltern.frames import Frames
from saltern.observables import outside

USUAL = {"O": 0.30, "H": 0.10}
CALIBRATION = {"factor": {"value": 2.0, "error": 0.1}, "usual": USUAL}


def replica(spread: np.ndarray) -> Frames:
    """Frames of an oxygen and two hydrogens with these spreads (frame, 3)."""
    return Frames.uniform(np.array([8, 1, 1]), len(spread), force_spread=spread.astype(np.float32))


def test_atoms_are_counted_by_the_limit_of_their_element() -> None:
    spread = np.full((40, 3), 0.05)
    spread[:, 0] = 0.2  # usual for oxygen, not for hydrogen
    spread[20:, 1] = 0.2
    spread[1::2] = np.nan  # not asked
    found = outside([replica(spread), replica(np.full((4, 3), np.nan))], CALIBRATION, 4)
    assert found is not None
    assert found["frames"] == 20
    assert found["atoms"]["value"] == pytest.approx(10 / 60)
    # four blocks: two without and two with a third of the atoms outside
    assert found["atoms"]["error"] == pytest.approx(np.std([0, 0, 1 / 3, 1 / 3], ddof=1) / 2, rel=0.01)
    square = np.nanmean(spread**2) / 3
    assert found["force_error"]["value"] == pytest.approx(1000 * 2.0 * np.sqrt(square), rel=1e-5)
    assert found["force_error"]["error"] > 1000 * 0.1 * np.sqrt(square), "the factor's own error is in it"


def test_frames_like_the_held_out_ones_have_one_atom_in_a_hundred_outside() -> None:
    rng = np.random.default_rng(0)
    held, seen = rng.lognormal(-3, 1, (2, 20000, 3))
    usual = {"O": np.quantile(held[:, 0], 0.99), "H": np.quantile(held[:, 1:], 0.99)}
    found = outside([replica(seen)], {**CALIBRATION, "usual": usual}, 5)
    assert found is not None
    assert found["atoms"]["value"] == pytest.approx(0.01, abs=0.002)


@pytest.mark.parametrize("calibration", [None, {"factor": {"value": None, "error": None}, "usual": USUAL}])
def test_a_committee_that_says_nothing(calibration: object) -> None:
    assert outside([replica(np.full((4, 3), 0.1))], calibration, 2) is None  # type: ignore[arg-type]
    assert outside([replica(np.zeros((4, 3)))], CALIBRATION, 2) is None
    bare = Frames.uniform(np.array([8, 1, 1]), 2, positions=np.zeros((3, 3)))
    assert outside([bare], CALIBRATION, 2) is None
