"""CP2K's labels against finite differences, and every way in which its output must not be believed."""

import os
import shutil
import tempfile
from pathlib import Path

import numpy as np
import pytest

from saltern.config import Cp2kTeacher
from saltern.engines import Engine, Failure, Label, Question, make_engine
from saltern.engines.cp2k_input import Section, frame_input
from saltern.engines.cp2k_output import abort_message, parse_output
from saltern.errors import LabelError, SalternError, UserError

needs_cp2k = pytest.mark.skipif(
    shutil.which("cp2k.psmp") is None and "CI" not in os.environ, reason="cp2k.psmp is not installed"
)

NUMBERS = np.array([8, 1, 1])
POSITIONS = np.array([[4.0, 4.0, 4.1], [4.0, 4.76, 4.66], [4.0, 3.24, 4.7]])
CELL = np.eye(3) * 8.0

OUTPUT = """\
  *** SCF run converged in     5 steps ***

  outer SCF iter =    2 RMS gradient =   0.27E-06 energy =         -5.7688585183
  outer SCF loop converged in   2 iterations or   25 steps

 ENERGY| Total FORCE_EVAL ( QS ) energy [a.u.]:               -5.768858518316263

 ATOMIC FORCES in [a.u.]

 # Atom   Kind   Element          X                  Y                  Z
      1      1      O          -0.000000013575    -0.018761553646    -0.000058946276
      2      2      H           0.000000008678     0.013154402385     0.007086548197
      3      2      H           0.000000004897     0.005607151261    -0.007027601920
 SUM OF ATOMIC FORCES           0.000000000000     0.000000000000    -0.000000000000     0.000000000000

 STRESS| Analytical stress tensor [GPa]
 STRESS|                        x                   y                   z
 STRESS|      x        1.09134891303E-04   2.31230665409E-08   6.27381974058E-08
 STRESS|      y        2.31230665409E-08   9.20009252779E-02   1.72550519124E-01
 STRESS|      z        6.27381974058E-08   1.72550519124E-01  -1.56102497851E-02
 STRESS| 1/3 Trace                                             2.54999367947E-02
 STRESS| Determinant                                          -3.40608239479E-06

 STRESS| Eigenvectors and eigenvalues of the analytical stress tensor [GPa]
 STRESS|                        1                   2                   3
 STRESS| Eigenvalues  -1.42549573384E-01   1.09134891299E-04   2.18940248877E-01
 STRESS|      x          -0.000000258195      1.000000000000      0.000000255007
 STRESS|      y          -0.592584179576     -0.000000358413      0.805508528891
 STRESS|      z           0.805508528891      0.000000056865      0.592584179576
"""
"""What CP2K 2023.1 printed for one water with GFN1-xTB."""

CONVERGED = OUTPUT[: OUTPUT.index(" ENERGY|")]

UNCONVERGED = """\
  Leaving inner SCF loop after reaching    20 steps.

  outer SCF iter =   11 RMS gradient =   0.20E-01 energy =         -6.1158101803
  outer SCF loop FAILED to converge after   11 iterations or  220 steps


 *** WARNING in qs_scf.F:601 :: SCF run NOT converged ***

"""
"""What it printed instead where the SCF did not converge; energy, forces and stress followed all the same."""

ABORT = """\
 *******************************************************************************
 *   ___                                                                       *
 *  /   \\                                                                      *
 * [ABORT]                                                                     *
 *  \\___/            Use the LSD option for an odd number of electrons         *
 *    |                                                                        *
 *  O/|                                                                        *
 * /| |                                                                        *
 * / \\                                                   qs_environment.F:1375 *
 *******************************************************************************
"""


@pytest.fixture
def scratch(tmp_path: Path) -> Path:
    """A program and what it writes."""
    return tmp_path


def ask(engine: Engine, numbers: np.ndarray, positions: np.ndarray, cell: np.ndarray, charge: int) -> Label | Failure:
    """The answer to one question."""
    with tempfile.TemporaryDirectory() as directory:
        [answer] = engine.answers([Question(numbers, positions, cell, charge)], Path(directory))
    return answer


def test_units_and_signs_of_an_output():
    output = parse_output(OUTPUT, 3)
    assert output.energy == pytest.approx(-156.97863734, abs=1e-7)
    assert output.forces[1] == pytest.approx([4.4624e-7, 0.676426567, 0.364404960], abs=1e-8)
    assert output.stress[1] == pytest.approx([-1.4432e-10, -5.742246e-4, -1.0769756e-3], rel=1e-4)
    assert output.steps == 25


@pytest.mark.parametrize(
    ("old", "new", "reason"),
    [
        (CONVERGED, UNCONVERGED, "scf-not-converged"),
        (CONVERGED, CONVERGED + UNCONVERGED, "scf-not-converged"),
        (CONVERGED, "", "scf-not-converged"),
        (" ENERGY|", " ENERGIE|", "engine-failed"),
        ("-5.768858518316263", "*" * 18, "engine-failed"),
        ("0.007086548197", "*" * 14, "engine-failed"),
        ("      2      2      H           0.000000008678     0.013154402385     0.007086548197\n", "", "engine-failed"),
        (" SUM OF ATOMIC FORCES", "", "engine-failed"),
        ("9.20009252779E-02", "NaN", "engine-failed"),
        (OUTPUT[OUTPUT.index(" STRESS|") :], "", "engine-failed"),
        (OUTPUT, OUTPUT + OUTPUT, "engine-failed"),
    ],
)
def test_an_output_that_proves_nothing_is_refused(old, new, reason):
    with pytest.raises(LabelError) as error:
        parse_output(OUTPUT.replace(old, new), 3)
    assert error.value.reason == reason


def test_an_output_of_another_frame_is_refused():
    with pytest.raises(LabelError, match="3 of 4 atoms"):
        parse_output(OUTPUT, 4)


def test_why_cp2k_gave_up():
    assert abort_message(ABORT) == "Use the LSD option for an odd number of electrons qs_environment.F:1375"
    assert abort_message(OUTPUT) == ""


def test_sections_are_nested_and_typed():
    inner = Section("KIND O", (("MASS", 15.999), ("GHOST", False), ("A", 1, 2.5e-13)))
    assert list(Section("SUBSYS", (), (inner,)).render()) == [
        "&SUBSYS",
        "  &KIND O",
        "    MASS 15.999",
        "    GHOST F",
        "    A 1 2.5e-13",
        "  &END KIND",
        "&END SUBSYS",
    ]


def test_what_is_asked_is_in_the_input():
    teacher = Cp2kTeacher(method="r2scan", cutoff_Ry=450, relative_cutoff_Ry=55, eps_scf=3e-7)
    text = frame_input(teacher, np.array([8, 11]), POSITIONS[:2] / 3, CELL, -1)
    lines = [line.strip() for line in text.splitlines()]
    for line in ("CHARGE -1", "CUTOFF 450.0", "REL_CUTOFF 55.0", "POTENTIAL GTH-SCAN-q9", "&KIND Na"):
        assert line in lines
    assert lines.count("EPS_SCF 3e-07") == 2  # of the inner and the outer loop
    row = next(line for line in lines if line.startswith("Na ")).split()
    assert [float(word) for word in row[1:]] == (POSITIONS[1] / 3).tolist()  # every bit


def test_an_element_without_pseudopotential_is_the_users_mistake():
    with pytest.raises(UserError, match="no basis and pseudopotential for Xe; allowed: H, Li"):
        frame_input(Cp2kTeacher(), np.array([54]), np.zeros((1, 3)), CELL, 0)


def test_a_missing_program_is_said_in_one_line():
    with pytest.raises(UserError, match=r"'no-such-cp2k' is no program; install CP2K \(`apt install cp2k`"):
        make_engine(Cp2kTeacher(executable="no-such-cp2k"))
    with pytest.raises(UserError, match="is not CP2K"):
        make_engine(Cp2kTeacher(executable=shutil.which("true")))


def program(directory: Path, body: str) -> str:
    """An executable that says it is CP2K and then does what `body` says."""
    path = directory / "program"
    path.write_text(f'#!/bin/sh\ntest "$1" = --version && echo " CP2K version 2023.1" && exit 0\n{body}\n')
    path.chmod(0o755)
    return str(path)


@pytest.mark.parametrize(("body", "message"), [("kill -9 $$", "stopped by signal 9"), ("exit 143", "by signal 15")])
def test_a_kill_is_not_held_against_the_frame(scratch, body, message):
    engine = make_engine(Cp2kTeacher(executable=program(scratch, body)))
    with pytest.raises(SalternError, match=message) as error:
        ask(engine, NUMBERS, POSITIONS, CELL, 0)
    assert not isinstance(error.value, LabelError)


@pytest.mark.parametrize("kept", [0, 200, len(OUTPUT)])
def test_an_output_cut_off_is_not_held_against_the_frame(scratch, kept):
    # a full disk: CP2K exits with 0
    (scratch / "frame").write_text(OUTPUT[:kept])
    engine = make_engine(Cp2kTeacher(executable=program(scratch, f"cp {scratch}/frame frame.out")))
    with pytest.raises(SalternError, match="cut off") as error:
        ask(engine, NUMBERS, POSITIONS, CELL, 0)
    assert not isinstance(error.value, LabelError)


@needs_cp2k
def test_forces_and_stress_are_slopes_of_the_energy():
    engine = make_engine(Cp2kTeacher(method="gfn1-xtb"))
    label = ask(engine, NUMBERS, POSITIONS, CELL, 0)
    h = 2e-3
    moved = np.zeros((3, 3))
    moved[0, 1] = h
    strain = np.zeros((3, 3))
    strain[1, 2] = strain[2, 1] = h / 2
    energies = []
    for sign in (1, -1):
        grid = np.eye(3) + sign * strain
        energies.append(
            [
                ask(engine, NUMBERS, POSITIONS + sign * moved, CELL, 0).energy,
                ask(engine, NUMBERS, POSITIONS @ grid, CELL @ grid, 0).energy,
            ]
        )
    slopes = (np.array(energies[0]) - energies[1]) / (2 * h)
    assert abs(label.forces[0, 1]) > 0.5
    assert label.forces[0, 1] == pytest.approx(-slopes[0], abs=1e-3)
    assert label.stress[1, 2] == pytest.approx(slopes[1] / 512, abs=2e-6)
    assert (engine.name, engine.method) == ("cp2k", "gfn1-xtb")
    assert engine.version.startswith("20")
    assert label.cpu_seconds > 0.1


@needs_cp2k
@pytest.mark.parametrize(("method", "energy"), [("r2scan", -32.2026), ("revpbe-d3", -32.3716)])
def test_hydrogen_with_density_functionals(method, energy):
    # regression values of this input with CP2K 2023.1; the exact energy of H2 is -31.96 eV
    engine = make_engine(Cp2kTeacher(method=method, cutoff_Ry=200, relative_cutoff_Ry=40))
    label = ask(engine, np.array([1, 1]), np.array([[2, 2, 1.6], [2, 2, 2.35]]), np.eye(3) * 4, 0)
    assert label.energy == pytest.approx(energy, abs=1e-3)


@needs_cp2k
def test_an_unconverged_frame_is_refused():
    failure = ask(make_engine(Cp2kTeacher(method="gfn1-xtb", eps_scf=1e-30)), NUMBERS, POSITIONS, CELL, 0)
    assert failure.reason == "scf-not-converged"


@needs_cp2k
def test_what_cp2k_refuses_is_refused():
    failure = ask(make_engine(Cp2kTeacher(method="gfn1-xtb")), NUMBERS, POSITIONS, CELL, 1)
    assert failure.reason == "engine-failed"
    assert "odd number of electrons" in failure.detail
