"""Molecules that a periodic box has cut, and some of many frames."""

import numpy as np

from saltern.frames import evenly, whole_molecules


def test_some_of_many_are_spread_over_all() -> None:
    assert evenly(10, 4).tolist() == [0, 3, 6, 9]
    assert evenly(9, 4).tolist() == [0, 3, 6]
    assert evenly(3, 100).tolist() == [0, 1, 2]
    assert evenly(3, 0).tolist() == [0]
    assert evenly(0, 5).tolist() == []


def test_molecules_are_made_whole_in_any_cell() -> None:
    """Each around its first atom, wherever its parts were wrapped to."""
    rng = np.random.default_rng(1)
    cell = np.array([[9.0, 0, 0], [2.5, 8.0, 0], [-1.0, 1.5, 7.0]])
    molecules = np.repeat(np.arange(5), 3)
    centres = np.repeat(rng.uniform(-20, 20, (5, 3)), 3, axis=0)
    whole = centres + rng.uniform(-1, 1, (15, 3)) * (np.arange(15) % 3 > 0)[:, None]
    broken = whole + rng.integers(-2, 3, (15, 3)) @ cell
    found = whole_molecules(broken, cell, molecules)
    first = np.arange(15) // 3 * 3
    np.testing.assert_allclose(found - found[first], whole - whole[first], atol=1e-12)
    np.testing.assert_array_equal(found[::3], broken[::3])
