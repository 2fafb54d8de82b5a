"""What a frame must pass before it is computed, and its label before it is believed."""

import numpy as np
import pytest

from saltern.engines import REASONS, Label
from saltern.errors import LabelError
from saltern.labelling import gates

CELL = np.diag([6.0, 7.0, 8.0])
SHEARED = np.array([[6.0, 0.0, 0.0], [5.5, 3.0, 0.0], [0.0, 0.0, 8.0]])


def label(**changes) -> Label:
    """A good label of two atoms, changed."""
    good = {
        "energy": -1.0,
        "forces": np.array([[3.0, 4.0, 0.0], [-3.0, -4.0, 0.0]]),
        "stress": np.zeros((3, 3)),
        "iterations": 9,
        "cpu_seconds": 1.0,
        "scf_path": "broyden",
    }
    return Label(**{**good, **changes})


def reason(check, *arguments) -> str:
    """Why the check refuses; '' when it does not."""
    try:
        check(*arguments)
    except LabelError as error:
        assert error.reason in REASONS
        assert error.detail
        return error.reason
    return ""


@pytest.mark.parametrize("bad", [np.nan, np.inf])
def test_structure(bad):
    positions = np.ones((2, 3))
    assert reason(gates.check_structure, positions, CELL) == ""
    positions[1, 2] = bad
    assert reason(gates.check_structure, positions, CELL) == "structure-not-valid"
    cell = CELL.copy()
    cell[0, 1] = bad
    assert reason(gates.check_structure, np.ones((2, 3)), cell) == "structure-not-valid"


def test_a_flat_cell_is_no_structure():
    assert reason(gates.check_structure, np.ones((2, 3)), np.diag([5.0, 5.0, 0.0])) == "structure-not-valid"
    assert reason(gates.check_structure, np.ones((2, 3)), -CELL) == ""  # a left-handed one is


@pytest.mark.parametrize(
    ("cell", "second"),
    [
        (CELL, [0.55, 0.0, 0.0]),
        (CELL, [5.45, 0.0, 0.0]),  # across a face
        (CELL, [6 * 9 - 0.3, 7 * -40 + 0.3, 8 * 100 - 0.3]),  # unwrapped, across a corner
        (SHEARED, [-0.5 + 0.2, 3.0 + 0.2, 0.2]),  # minus one vector plus another: not the nearest in fractions
        (CELL, [0.0, 0.0, 0.0]),
    ],
)
def test_two_atoms_too_close(cell, second):
    positions = np.array([[0.0, 0.0, 0.0], second])
    assert reason(gates.check_distances, positions, cell, 0.6) == "atoms-too-close"


@pytest.mark.parametrize(("cell", "second"), [(CELL, [0.61, 0.0, 0.0]), (SHEARED, [3.0, 1.5, 4.0])])
def test_far_enough(cell, second):
    assert reason(gates.check_distances, np.array([[0.0, 0.0, 0.0], second]), cell, 0.6) == ""


def test_an_atom_too_close_to_its_own_image():
    assert reason(gates.check_distances, np.zeros((1, 3)), np.diag([0.5, 6.0, 6.0]), 0.6) == "atoms-too-close"


def test_the_complaint_names_the_pair_and_the_distance():
    with pytest.raises(LabelError, match=r"atoms [12] and [12] are 0\.400 Å apart, less than 0\.6"):
        gates.check_distances(np.array([[3, 3, 3], [1, 1, 1], [1, 1.4, 1]]), CELL, 0.6)


@pytest.mark.parametrize(
    "change",
    [
        {"energy": np.nan},
        {"forces": np.array([[0, 0, np.inf], [0, 0, 0]])},
        {"stress": np.full((3, 3), np.nan)},
    ],
)
def test_finite(change):
    assert reason(gates.check_finite, label()) == ""
    assert reason(gates.check_finite, label(**change)) == "label-not-finite"


def test_largest_force_is_a_length_not_a_component():
    assert reason(gates.check_largest_force, label(), 5.01) == ""
    assert reason(gates.check_largest_force, label(), 4.99) == "force-too-large"


def test_net_force():
    assert reason(gates.check_net_force, label(), 1e-12) == ""
    off = label(forces=np.array([[3.0, 4.0, 0.0], [-2.4, -4.0, 0.0]]))
    assert reason(gates.check_net_force, off, 0.61) == ""
    assert reason(gates.check_net_force, off, 0.59) == "net-force"


def test_the_quick_look_for_near_atoms_sees_what_a_neighbour_list_sees():
    from ase.neighborlist import primitive_neighbor_list

    rng = np.random.default_rng(8)
    refused = 0
    for _ in range(60):
        cell = np.eye(3) * 4 + rng.normal(size=(3, 3)) * 0.8
        positions = rng.uniform(-4, 8, size=(14, 3))
        near = len(primitive_neighbor_list("i", (True, True, True), cell, positions, 0.6)) > 0
        assert (reason(gates.check_distances, positions, cell, 0.6) != "") == near
        refused += near
    assert 10 < refused < 50
