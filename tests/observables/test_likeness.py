"""Likeness of two liquids: nothing but noise between samples of one, and the difference that was put in."""

import numpy as np
import pytest

from saltern.errors import SalternError
from saltern.frames import Frames
from saltern.observables import RadialDistribution, measure
from saltern.observables.likeness import likeness

R = np.arange(0.05, 12, 0.1)


def sampled(rng: np.random.Generator, shift: float = 0.0, blocks: int = 20, noise: float = 0.2) -> RadialDistribution:
    """g(r) = 1 + shift beyond 2 Å and anything below, each bin of each block with normal noise."""
    block_g = np.where(R < 2, 50 * rng.random(), 1 + shift) + noise * rng.normal(size=(blocks, len(R)))
    g, error = block_g.mean(0), block_g.std(0, ddof=1) / np.sqrt(blocks)
    nothing = np.zeros(len(R))
    return RadialDistribution(R, R + 0.05, g, error, nothing, nothing, block_g, np.ones(blocks))


def test_two_samples_of_one_liquid_differ_by_their_noise() -> None:
    rng = np.random.default_rng(0)
    found = [likeness(sampled(rng), sampled(rng, blocks=40)) for _ in range(20)]
    expected = 0.2 * np.sqrt(1 / 20 + 1 / 40)
    assert np.mean([f.noise for f in found]) == pytest.approx(expected, rel=0.05)
    assert np.mean([f.difference.value for f in found]) == pytest.approx(expected, rel=0.05)
    assert found[0].last == pytest.approx(R[-1])


def test_a_difference_is_found_with_its_error() -> None:
    rng = np.random.default_rng(1)
    found = [likeness(sampled(rng, shift=0.3), sampled(rng)).difference for _ in range(200)]
    values = np.array([f.value for f in found])
    assert values.mean() == pytest.approx(np.hypot(0.3, 0.2 * np.sqrt(2 / 20)), rel=0.01)
    assert np.mean([f.error for f in found]) == pytest.approx(values.std(), rel=0.2)


def test_what_cannot_be_compared_is_refused() -> None:
    one = sampled(np.random.default_rng(0))
    with pytest.raises(SalternError, match="different bins"):
        likeness(one, RadialDistribution(R + 0.01, *(getattr(one, n) for n in list(one.__dict__)[1:])))


def gas(count: int, seed: int) -> Frames:
    """Ions of an ideal gas."""
    rng = np.random.default_rng(seed)
    return Frames.uniform(
        np.array([11, 11, 17, 17]), count, positions=8 * rng.random((count, 4, 3)), cell=8 * np.eye(3),
        charges=np.array([1.0, 1.0, -1.0, -1.0]), molecules=np.arange(4), time=np.sort(rng.random(count)),
        temperature=300.0,
    )  # fmt: skip


def test_frames_of_a_teacher_need_no_even_times_and_a_lone_one_says_nothing() -> None:
    even = gas(400, 0).with_arrays(time=np.arange(400.0))
    found = measure([even], [], 0.2, 5, teacher=[gas(300, 1), gas(1, 2)])["teacher"]
    assert [entry["pair"] for entry in found] == [["Na", "Na"], ["Na", "Cl"], ["Cl", "Cl"]]
    for entry in found:
        difference = entry["difference"]["value"]
        assert 0.7 * entry["noise"]["value"] < difference < 1.4 * entry["noise"]["value"]
        assert entry["last"]["value"] == pytest.approx(3.9)
    assert "teacher" not in measure([even], [], 0.2, 5, teacher=[gas(1, 2)])


def test_the_liquid_of_a_biased_teacher_is_that_without_the_bias() -> None:
    """A tenth of its frames have all contacts, and count for as little as if they were not there."""
    even, plain, other = gas(400, 0).with_arrays(time=np.arange(400.0)), gas(270, 1), gas(30, 3)
    collapsed = Frames.concatenate([plain, other.with_arrays(positions=other["positions"] / 4)])
    energies = np.where(np.arange(300) < 270, 0.0, -1.0)
    whole, unbiased, biased = (
        measure([even], [], 0.2, 1, teacher=[frames])["teacher"][1]["g"]["values"]
        for frames in (plain, collapsed.with_arrays(bias_energy=energies), collapsed)
    )
    np.testing.assert_allclose(unbiased, whole, atol=1e-9)
    assert not np.allclose(biased, whole, atol=0.1)


def test_where_some_trajectories_feel_a_bias_the_others_are_the_liquid() -> None:
    even, plain, pushed = gas(400, 0).with_arrays(time=np.arange(400.0)), gas(270, 1), gas(30, 3)
    plain = plain.with_arrays(bias_energy=np.full(270, np.nan), temperature=np.full(270, 300.0))
    pushed = pushed.with_arrays(
        positions=pushed["positions"] / 4, bias_energy=np.full(30, -90.0), temperature=np.full(30, 300.0)
    )  # whose weight is 0 in double precision
    alone, beside = (
        measure([even], [], 0.2, 1, teacher=frames)["teacher"][1]["g"]["values"]
        for frames in ([plain], [pushed, plain])
    )
    np.testing.assert_array_equal(beside, alone)
    mixed = Frames.concatenate([plain, pushed])  # of a merged release whose trajectories have the same name
    within = measure([even], [], 0.2, 1, teacher=[mixed])["teacher"][1]["g"]["values"]
    np.testing.assert_allclose(within, alone, atol=1e-12)
