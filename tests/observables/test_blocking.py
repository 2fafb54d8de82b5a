"""Block errors against the known error of autoregressive noise."""

import numpy as np
import pytest

from saltern.observables import block_means, estimate, pooled


def autoregressive(rng: np.random.Generator, length: int, memory: float) -> np.ndarray:
    """x[t] = memory x[t-1] + noise, of unit variance."""
    from scipy.signal import lfilter

    noise = rng.normal(scale=np.sqrt(1 - memory**2), size=length)
    noise[0] = rng.normal()
    return lfilter([1.0], [1.0, -memory], noise)


def test_error_of_correlated_noise_is_that_of_the_mean():
    memory, length, blocks = 0.9, 20_000, 20
    # variance of the mean of a long AR(1) series: (1 + memory) / (1 - memory) / length
    exact = np.sqrt((1 + memory) / (1 - memory) / length)
    errors = [estimate([autoregressive(np.random.default_rng(s), length, memory)], blocks).error for s in range(40)]
    naive = 1 / np.sqrt(length)
    assert np.sqrt(np.mean(np.square(errors))) == pytest.approx(exact, rel=0.08)
    assert naive < 0.3 * exact


def test_replicas_are_pooled_by_their_length():
    long, short = np.full(30, 2.0), np.full(10, 6.0)
    assert estimate([long, short], 5).value == pytest.approx(3.0)


def test_two_replicas_have_the_error_of_twice_the_data():
    series = [autoregressive(np.random.default_rng(s), 5000, 0.5) for s in range(200)]
    one = np.mean([estimate([x], 10).error ** 2 for x in series])
    two = np.mean([estimate(series[i : i + 2], 10).error ** 2 for i in range(0, 200, 2)])
    assert two == pytest.approx(one / 2, rel=0.1)


def test_unequal_blocks_cover_every_frame():
    means, lengths = block_means(np.arange(11.0), 3)
    assert lengths.sum() == 11
    assert (means * lengths).sum() == pytest.approx(55)
    assert pooled(means, lengths)[0] == pytest.approx(5.0)


def test_two_blocks_by_hand():
    """Means 1 and 3: standard deviation sqrt(2), standard error sqrt(2) / sqrt(2)."""
    assert estimate([np.array([0.0, 2.0, 2.0, 4.0])], 2) == (2.0, pytest.approx(1.0))


def test_one_block_has_a_value_and_no_error():
    found = estimate([np.array([4.0])], 5)
    assert found.value == 4.0
    assert np.isnan(found.error)
