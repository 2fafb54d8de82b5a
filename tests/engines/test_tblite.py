"""tblite's labels: against published numbers, finite differences and symmetry; what it refuses."""

from pathlib import Path

import numpy as np
import pytest

from saltern.config import TbliteTeacher
from saltern.engines import REASONS, Engine, Failure, Label, Question, make_engine
from saltern.engines.tblite import _proven_cycles
from saltern.errors import LabelError
from saltern.units import BOHR, HARTREE

WATER = np.array([[0.0, 0.0, 0.119262], [0.0, 0.763239, -0.477047], [0.0, -0.763239, -0.477047]])


def ask(engine: Engine, numbers: np.ndarray, positions: np.ndarray, cell: np.ndarray, charge: int) -> Label | Failure:
    """The answer to one question."""
    [answer] = engine.answers([Question(numbers, positions, cell, charge)], [0], Path())
    return answer


def rotation(rng: np.random.Generator) -> np.ndarray:
    """A random proper rotation."""
    q, r = np.linalg.qr(rng.normal(size=(3, 3)))
    q = q * np.sign(np.diag(r))
    return q * np.linalg.det(q)


def brine() -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Four waters, Na and Cl in a slightly sheared box; nothing in it is symmetric."""
    rng = np.random.default_rng(7)
    cell = np.array([[6.2, 0.0, 0.0], [0.3, 6.0, 0.0], [-0.2, 0.4, 5.8]])
    sites = np.array([[0, 0, 0], [1, 1, 0], [1, 0, 1], [0, 1, 1], [1, 0, 0], [0, 1, 0]]) / 2 + 0.1
    centres = sites @ cell
    positions = np.concatenate([*(WATER @ rotation(rng).T + c for c in centres[:4]), centres[4:]])
    return np.array([8, 1, 1] * 4 + [11, 17]), positions, cell


@pytest.fixture(scope="module")
def engine():
    return make_engine(TbliteTeacher())


@pytest.fixture(scope="module")
def label(engine):
    return ask(engine, *brine(), 0)


def test_dry_ice_as_in_tblites_own_tests(engine):
    # CO2 crystal: total energy, forces and stress that tblite's authors test its ASE interface against
    positions = np.array(
        [
            [0.9441259872, 0.9437851680, 0.9543505632],
            [3.7179966528, 0.9556570368, 3.7316862240],
            [3.7159517376, 3.7149292800, 0.9692330016],
            [0.9529872864, 3.7220864832, 3.7296981120],
            [1.6213905408, 1.6190616096, 1.6313879040],
            [0.2656685664, 0.2694175776, 0.2776540416],
            [4.3914553920, 1.6346256864, 3.0545920000],
            [3.0440834880, 0.2764611744, 4.4080419264],
            [4.3910577696, 3.0416409504, 0.2881058304],
            [3.0399936576, 4.3879335936, 1.6497353376],
            [0.2741322432, 4.4003734944, 3.0573754368],
            [1.6312174944, 3.0434586528, 4.4023048032],
        ]
    )
    label = ask(engine, np.array([6] * 4 + [8] * 8), positions, np.eye(3) * 5.68032, 0)
    assert label.energy == pytest.approx(-1256.958705929313, abs=5e-5)
    assert label.forces[0] == pytest.approx([-0.07360394, -0.05603834, -0.06036344], abs=2e-5)
    assert label.forces[4] == pytest.approx([-1.91909901, -1.91825110, -1.92230737], abs=2e-5)
    assert np.diag(label.stress) == pytest.approx([5.92641700e-02, 5.92616112e-02, 5.93210045e-02], abs=1e-5)


def test_forces_are_the_slope_of_the_energy(engine, label):
    numbers, positions, cell = brine()
    h = 2e-3
    for atom, axis in [(0, 0), (4, 2), (13, 1)]:
        energies = []
        for sign in (1, -1):
            moved = positions.copy()
            moved[atom, axis] += sign * h
            energies.append(ask(engine, numbers, moved, cell, 0).energy)
        assert label.forces[atom, axis] == pytest.approx(-(energies[0] - energies[1]) / (2 * h), abs=2e-4)


@pytest.mark.parametrize(("i", "j"), [(0, 0), (1, 2)])
def test_stress_is_the_slope_of_the_energy_with_strain(engine, label, i, j):
    numbers, positions, cell = brine()
    h = 1e-3
    energies = []
    for sign in (1, -1):
        strain = np.zeros((3, 3))
        strain[i, j] += sign * h / 2
        strain[j, i] += sign * h / 2
        energies.append(ask(engine, numbers, positions @ (np.eye(3) + strain), cell @ (np.eye(3) + strain), 0).energy)
    slope = (energies[0] - energies[1]) / (2 * h) / np.linalg.det(cell)
    assert abs(slope) > 5e-4  # else the sign would not be tested
    assert label.stress[i, j] == pytest.approx(slope, abs=2e-5)


def test_turned_shifted_and_unwrapped(engine, label):
    numbers, positions, cell = brine()
    turn = rotation(np.random.default_rng(1))
    turned = ask(engine, numbers, positions @ turn.T, cell @ turn.T, 0)
    assert turned.energy == pytest.approx(label.energy, abs=1e-8)
    assert turned.forces == pytest.approx(label.forces @ turn.T, abs=1e-8)
    assert turned.stress == pytest.approx(turn @ label.stress @ turn.T, abs=1e-9)
    unwrapped = positions.copy()
    unwrapped[3:6] += 5 * cell[0] - 40 * cell[2]
    assert ask(engine, numbers, unwrapped, cell, 0).forces == pytest.approx(label.forces, abs=1e-9)
    shifted = ask(engine, numbers, positions + np.array([1.3, -0.4, 9.1]), cell, 0)
    assert shifted.forces == pytest.approx(label.forces, abs=1e-3)


def test_every_bit_is_the_same_whatever_came_before(engine, label):
    numbers, positions, cell = brine()
    ask(engine, numbers, positions + np.random.default_rng(2).normal(size=positions.shape) * 0.05, cell, 0)
    assert (ask(engine, numbers, positions, cell, 0).forces == label.forces).all()


def test_the_charge_is_heard(engine):
    cell = np.eye(3) * 9.0
    neutral, cation = (ask(engine, np.array([11]), np.zeros((1, 3)), cell, charge) for charge in (0, 1))
    # the ionization energy of sodium is 5.1 eV; the sign says whether an electron was taken or added
    assert 2 < cation.energy - neutral.energy < 10


def test_provenance(engine, label):
    assert (engine.name, engine.method) == ("tblite", "GFN1-xTB")
    assert engine.version[0].isdigit()
    assert engine.settings["accuracy"] == TbliteTeacher().accuracy
    assert engine.build == f"tblite {engine.version} from its wheel"
    assert label.scf_path == "broyden"
    assert 4 < label.iterations < 40
    assert label.cpu_seconds > 0


def test_silane_with_gfn2_as_in_tblites_documentation():
    corners = np.array([[0, 0, 0], [1, 1, -1], [-1, -1, -1], [1, -1, 1], [-1, 1, 1]])
    engine = make_engine(TbliteTeacher(method="GFN2-xTB"))
    label = ask(engine, np.array([14, 1, 1, 1, 1]), corners * 1.617683897558 * BOHR, np.eye(3) * 20, 0)
    assert label.energy == pytest.approx(-3.763233750684 * HARTREE, abs=2e-3)


def test_electronic_temperature_reaches_tblite(label):
    hot = ask(make_engine(TbliteTeacher(electronic_temperature_K=20000)), *brine(), 0)
    assert hot.energy < label.energy - 0.1  # a free energy: electronic entropy lowers it


@pytest.mark.parametrize("accuracy", [10.0, 0.01])
def test_tighter_accuracy_takes_more_cycles(label, accuracy):
    other = ask(make_engine(TbliteTeacher(accuracy=accuracy)), *brine(), 0)
    assert (other.iterations > label.iterations) == (accuracy < TbliteTeacher().accuracy)


def test_an_unconverged_frame_is_refused():
    failure = ask(make_engine(TbliteTeacher(max_iterations=5)), *brine(), 0)
    assert failure.reason == "scf-not-converged"
    assert failure.reason in REASONS


def test_coincident_atoms_are_refused(engine):
    numbers, positions, cell = brine()
    positions[1] = positions[2]
    assert ask(engine, numbers, positions, cell, 0).reason in REASONS


def test_convergence_must_be_stated():
    header = "  cycle        total energy    energy error   density error"
    good = "     10     -142.3457718260  -1.5847945E-10   1.1499719E-06"
    assert _proven_cycles([header, good, "", " total:   1.559 sec"], 0.1) == 10
    for lines in ([header], [header, good.replace("E-06", "E-05")], [header, good.replace("1.1499719E-06", "NaN")]):
        with pytest.raises(LabelError, match="scf-not-converged"):
            _proven_cycles(lines, 0.1)
