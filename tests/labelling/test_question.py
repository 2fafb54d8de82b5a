"""The key of a question: the same for the same question, another for any other."""

import subprocess
import sys

import numpy as np
import pytest

from saltern.labelling import label_key

NUMBERS = np.array([8, 1, 1], dtype=np.int32)
POSITIONS = np.array([[0.0, 0.0, 0.119262], [0.0, 0.763239, -0.477047], [0.0, -0.763239, -0.477047]])
CELL = np.diag([5.0, 6.0, 7.0])
ASKED = {
    "numbers": NUMBERS,
    "positions": POSITIONS,
    "cell": CELL,
    "charge": 0,
    "engine": "tblite",
    "version": "0.8.0",
    "settings": {"method": "GFN1-xTB", "accuracy": 0.1},
}
KEY = "17f93986d41cd917ea3080be2cab732ecc31c7459352ea885747e7cc4988b78c"


def nudged(array: np.ndarray, index: tuple[int, int]) -> np.ndarray:
    """The same but for the last bit of one number."""
    other = array.copy()
    other[index] = np.nextafter(other[index], 10)
    return other


def test_the_key_never_changes():
    # a literal: labels stored under a key must be found by every later version
    assert label_key(**ASKED) == KEY


@pytest.mark.parametrize(
    "change",
    [
        {"numbers": np.array([8, 1, 9])},
        {"positions": nudged(POSITIONS, (2, 1))},
        {"positions": POSITIONS[[0, 2, 1]]},
        {"cell": nudged(CELL, (0, 0))},
        {"cell": np.diag([6.0, 5.0, 7.0])},
        {"charge": 1},
        {"engine": "cp2k"},
        {"version": "0.8.1"},
        {"settings": {"method": "GFN2-xTB", "accuracy": 0.1}},
        {"settings": {"method": "GFN1-xTB", "accuracy": 0.2}},
        {"settings": {"method": "GFN1-xTB"}},
    ],
)
def test_any_change_gives_another_key(change):
    assert label_key(**{**ASKED, **change}) != KEY


@pytest.mark.parametrize(
    "change",
    [
        {"settings": {"accuracy": 0.1, "method": "GFN1-xTB"}},
        {"numbers": NUMBERS.astype(np.int64)},
        {"positions": np.asfortranarray(POSITIONS)},
        {"positions": np.where(POSITIONS == 0, -0.0, POSITIONS)},
        {"cell": CELL.astype(">f8")},
    ],
)
def test_the_same_question_in_another_guise_has_the_same_key(change):
    assert label_key(**{**ASKED, **change}) == KEY


def test_the_key_is_the_same_in_another_process():
    code = (
        "import numpy as np; from saltern.labelling import label_key; "
        f"print(label_key(np.array([8, 1, 1]), np.array({POSITIONS.tolist()}), np.diag([5.0, 6, 7]), 0, 'tblite', "
        "'0.8.0', {'accuracy': 0.1, 'method': 'GFN1-xTB'}))"
    )
    output = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout
    assert output.strip() == KEY
