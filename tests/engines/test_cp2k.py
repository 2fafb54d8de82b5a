"""CP2K's labels against finite differences, and every way in which its output must not be believed."""

import os
import re
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import psutil
import pytest

from saltern.config import Cp2kTeacher
from saltern.engines import Failure, Label, Question, cp2k, make_engine
from saltern.engines.cp2k_input import RUNGS, Rung, Section, batch_input, trajectory
from saltern.engines.cp2k_output import abort_message, parse_frame, split_finished
from saltern.errors import EngineError, LabelError, UserError
from saltern.units import BOHR, HARTREE

needs_cp2k = pytest.mark.skipif(
    shutil.which("cp2k.psmp") is None and "CI" not in os.environ, reason="cp2k.psmp is not installed"
)

POSITIONS = np.array([[4.0, 4.0, 4.1], [4.0, 4.76, 4.66], [4.0, 3.24, 4.7]])
WATER = Question(np.array([8, 1, 1]), POSITIONS, np.eye(3) * 8.0, 0)
SMALL = Question(np.array([8, 1, 1]), POSITIONS - 1.5, np.eye(3) * 5.0, 0)
HYDROGEN = Question(np.array([1, 1]), np.array([[2.03, 2.01, 1.6], [2.0, 2.05, 2.36]]), np.eye(3) * 4, 0)
QUICK = Cp2kTeacher(method="revpbe-d3", basis="SZV-MOLOPT-SR-GTH", cutoff_Ry=100, relative_cutoff_Ry=30)

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

FIRST, SECOND = (
    "\n MD_INI| MD initialization\n MD_INI| Potential energy [hartree]  -0.5E+01\n",
    "\n MD| ****\n MD| Step number                                    2\n MD| Time [fs]    0.0\n",
)
"""What follows the text about the first frame and about a later one."""

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


def answers(
    teacher: Cp2kTeacher, questions: Sequence[Question], directory: Path, wanted: Sequence[int] | None = None
) -> list[Label | Failure]:
    """What CP2K says about the frames that are wanted, by default all."""
    wanted = range(len(questions)) if wanted is None else wanted
    return list(make_engine(teacher).answers(questions, wanted, directory))


def moved(question: Question, displacement: np.ndarray) -> Question:
    """The same with other positions."""
    return Question(question.numbers, question.positions + displacement, question.cell, question.charge)


def strained(question: Question, strain: np.ndarray) -> Question:
    """The same in a strained box."""
    grid = np.eye(3) + strain
    return Question(question.numbers, question.positions @ grid, question.cell @ grid, question.charge)


def walk(frames: int, step: float = 0.05) -> list[Question]:
    """A water that moves a little from frame to frame."""
    steps = np.random.default_rng(5).normal(size=(frames, 3, 3)) * step
    return [moved(SMALL, displacement) for displacement in np.cumsum(steps, axis=0)]


def same(one: Label, other: Label) -> bool:
    """Whether two labels agree in every bit, and in how they were found."""
    return (
        one.energy == other.energy
        and bool((one.forces == other.forces).all())
        and bool((one.stress == other.stress).all())
        and (one.iterations, one.scf_path) == (other.iterations, other.scf_path)
    )


def test_units_and_signs_of_an_output():
    output = parse_frame(OUTPUT, 3)
    assert output.energy == pytest.approx(-156.97863734, abs=1e-7)
    assert output.forces[1] == pytest.approx([4.4624e-7, 0.676426567, 0.364404960], abs=1e-8)
    assert output.stress[1] == pytest.approx([-1.4432e-10, -5.742246e-4, -1.0769756e-3], rel=1e-4)
    assert output.steps == 25


def test_the_words_of_cp2k_2025_mean_the_same():
    # its tables as public outputs show them; that version itself has not been run here
    rows = re.findall(r"^ +(\d+) +\d+ +[HO] +(\S+) +(\S+) +(\S+)$", OUTPUT, re.MULTILINE)
    table = "".join(f" FORCES| {row[0]:>6} {row[1]} {row[2]} {row[3]} 1.0E-02\n" for row in rows)
    forces = f" FORCES| Atomic forces [hartree/bohr]\n FORCES| Atom x y z |f|\n{table} FORCES| Sum 0.0 0.0 0.0 0.0\n"
    text = OUTPUT.replace("energy [a.u.]:", "energy [hartree]")
    new = text[: text.index(" ATOMIC FORCES")] + forces + text[text.index(" STRESS|") :]
    assert "ATOMIC" not in new
    for one, other in zip(parse_frame(new, 3), parse_frame(OUTPUT, 3), strict=True):
        assert np.array_equal(one, other)
    bars = OUTPUT.replace("[GPa]", "[bar]", 1)
    assert parse_frame(bars, 3).stress == pytest.approx(parse_frame(OUTPUT, 3).stress * 1e-4)


@pytest.mark.parametrize(
    ("old", "new", "reason"),
    [
        (CONVERGED, UNCONVERGED, "scf-not-converged"),
        (CONVERGED, CONVERGED + UNCONVERGED, "scf-not-converged"),
        ("-5.768858518316263", "*" * 18, "engine-failed"),
        ("0.007086548197", "*" * 14, "engine-failed"),
        ("9.20009252779E-02", "NaN", "engine-failed"),
    ],
)
def test_an_output_that_says_it_failed_is_refused(old, new, reason):
    with pytest.raises(LabelError) as error:
        parse_frame(OUTPUT.replace(old, new), 3)
    assert error.value.reason == reason


@pytest.mark.parametrize(
    ("old", "new"),
    [
        (CONVERGED, ""),
        (" ENERGY|", " ENERGIE|"),
        ("      2      2      H           0.000000008678     0.013154402385     0.007086548197\n", ""),
        ("0.007086548197", "0.0070"),
        ("9.20009252779E-02", "9.2E-02"),
        (" SUM OF ATOMIC FORCES", ""),
        (OUTPUT[OUTPUT.index(" STRESS|") :], ""),
        ("tensor [GPa]", "tensor [kbar]"),
        (OUTPUT, OUTPUT + OUTPUT),
    ],
)
def test_an_output_of_which_a_piece_is_lost_is_held_against_no_frame(old, new):
    """A disk that was full for a moment: CP2K goes on and ends well."""
    with pytest.raises(EngineError, match="a piece of it is lost"):
        parse_frame(OUTPUT.replace(old, new), 3)


def test_whatever_piece_of_an_output_is_lost_there_is_no_verdict_and_no_other_label():
    """Buffers are lost as a whole, so a piece is longer than a line."""
    expected = parse_frame(OUTPUT, 3)
    rng = np.random.default_rng(0)
    for _ in range(2000):
        first = int(rng.integers(len(OUTPUT) - 80))
        last = int(rng.integers(first + 80, len(OUTPUT)))
        try:
            found = parse_frame(OUTPUT[:first] + OUTPUT[last:], 3)
        except EngineError:
            continue
        # the number of steps is no part of the answer
        assert all(map(np.array_equal, found[:3], expected[:3])), (first, last)


def test_forces_that_need_a_response_need_its_convergence():
    with pytest.raises(LabelError, match="response"):
        parse_frame(OUTPUT, 3, response=True)
    proven = OUTPUT.replace(" ENERGY|", " The linear solver converged in    7 iterations.\n\n ENERGY|")
    assert parse_frame(proven, 3, response=True).energy == parse_frame(OUTPUT, 3).energy


def test_an_output_of_another_frame_is_refused():
    with pytest.raises(EngineError, match="3 of 4 atoms"):
        parse_frame(OUTPUT, 4)


def test_a_frame_is_finished_when_its_step_is():
    other = OUTPUT.replace("-5.768858518316263", "-5.800000000000000")
    text = "header\n" + OUTPUT + FIRST + other + SECOND + OUTPUT
    for end, finished in ((len("header\n" + OUTPUT), 0), (text.index(other) + 50, 1), (len(text), 2)):
        assert len(split_finished(text[:end])[0]) == finished
    frames, rest = split_finished(text)
    assert [parse_frame(frame, 3).energy / HARTREE for frame in frames] == pytest.approx([-5.768858518, -5.8])
    # in whatever pieces it is read
    pieces, given = "", []
    for start in range(0, len(text), 97):
        new, pieces = split_finished(pieces + text[start : start + 97])
        given += new
    assert [parse_frame(frame, 3).energy for frame in given] == [parse_frame(frame, 3).energy for frame in frames]
    assert parse_frame(rest, 3).energy == parse_frame(OUTPUT, 3).energy


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
    question = Question(np.array([8, 11]), POSITIONS[:2] / 3, np.eye(3) * 8, -1)
    lines = [line.strip() for line in batch_input(teacher, "2023.1", [question] * 3).splitlines()]
    for line in ("CHARGE -1", "CUTOFF 450.0", "REL_CUTOFF 55.0", "POTENTIAL GTH-SCAN-q9", "&KIND Na", "STEPS 3"):
        assert line in lines
    assert lines.count("EPS_SCF 3e-07") == 2  # of the inner and the outer loop
    assert "EVAL_FORCES T" in lines
    assert "EVAL ENERGY_FORCES" in batch_input(teacher, "2024.1", [question])
    rows = trajectory([question, question]).splitlines()
    assert len(rows) == 2 * 4
    assert [float(word) for word in rows[3].split()[1:]] == (POSITIONS[1] / 3).tolist()  # every bit


def test_density_is_smoothed_where_a_density_functional_is():
    smooth = Cp2kTeacher(method="revpbe-d3", smoothing="nn10")
    assert "XC_SMOOTH_RHO NN10" in batch_input(smooth, "2023.1", [WATER])
    assert "XC_DERIV NN10_SMOOTH" in batch_input(smooth, "2023.1", [WATER])
    assert "XC_GRID" not in batch_input(Cp2kTeacher(method="revpbe-d3"), "2023.1", [WATER])
    corrected = batch_input(Cp2kTeacher(method="dc-r2scan", smoothing="nn50"), "2023.1", [WATER])
    assert corrected.count("XC_SMOOTH_RHO NN50") == 1
    assert corrected.index("&ENERGY_CORRECTION") < corrected.index("XC_SMOOTH_RHO")


def test_only_the_way_to_the_answer_differs_between_rungs():
    texts = [batch_input(Cp2kTeacher(method="pbe0"), "2023.1", [WATER], rung) for rung in RUNGS]
    without = {re.sub(r"&SCF\n.*?&END SCF\n", "", text, flags=re.DOTALL) for text in texts}
    assert len(set(texts)) == len(RUNGS)
    assert len(without) == 1
    assert all(text.count("EPS_SCF 1e-06") >= 1 for text in texts)


def test_an_element_without_pseudopotential_is_the_users_mistake():
    xenon = Question(np.array([54]), np.zeros((1, 3)), np.eye(3) * 8, 0)
    with pytest.raises(UserError, match="no basis and pseudopotential for Xe; allowed: H, Li"):
        batch_input(Cp2kTeacher(), "2023.1", [xenon])


@pytest.mark.skipif(not Path("/usr/share/cp2k").is_dir(), reason="CP2K's data files are not in /usr/share/cp2k")
@pytest.mark.parametrize("method", ["r2scan", "dc-r2scan", "revpbe-d3", "blyp-d3", "pbe0"])
def test_every_element_of_every_method_is_in_cp2ks_data_files(method):
    from ase.data import atomic_numbers

    from saltern.engines.cp2k_input import VALENCE

    data = Path("/usr/share/cp2k")
    for symbol in VALENCE:
        question = Question(np.array([atomic_numbers[symbol]]), np.zeros((1, 3)), np.eye(3) * 8, 0)
        text = batch_input(Cp2kTeacher(method=method), "2023.1", [question])
        for keyword, file_keyword in (("POTENTIAL", "POTENTIAL_FILE_NAME"), ("BASIS_SET", "BASIS_SET_FILE_NAME")):
            files = [data / name for name in re.findall(rf"^ *{file_keyword} (\S+)$", text, re.MULTILINE)]
            content = "\n".join(file.read_text() for file in files)
            for name in re.findall(rf"^ *{keyword}(?: AUX_FIT)? (\S+)$", text, re.MULTILINE):
                assert re.search(rf"^ *{symbol} .*{re.escape(name)}(\s|$)", content, re.MULTILINE), (symbol, name)


def test_a_missing_program_is_said_in_one_line():
    with pytest.raises(UserError, match=r"'no-such-cp2k' is no program; install CP2K \(`apt install cp2k`"):
        make_engine(Cp2kTeacher(command="no-such-cp2k"))
    with pytest.raises(UserError, match="is not CP2K"):
        make_engine(Cp2kTeacher(command=shutil.which("true")))


def program(directory: Path, body: str) -> Cp2kTeacher:
    """An executable that says it is CP2K and then does what `body` says."""
    path = directory / "program"
    path.write_text(
        f'#!/bin/sh\ncase "$*" in *--version) echo " CP2K version 2023.1"; exit 0;; esac\n{body}\n', encoding="utf-8"
    )
    path.chmod(0o755)
    # as in a container: a command with arguments of its own
    return Cp2kTeacher(command=f"/usr/bin/env {path}")


@pytest.mark.parametrize(("body", "message"), [("kill -9 $$", "stopped by signal 9"), ("exit 143", "by signal 15")])
def test_a_kill_is_not_held_against_the_frame(tmp_path, body, message):
    with pytest.raises(EngineError, match=message):
        answers(program(tmp_path, body), [WATER], tmp_path)


@pytest.mark.parametrize("kept", [0, 200, len(OUTPUT)])
def test_an_output_cut_off_is_not_held_against_the_frame(tmp_path, kept):
    # a full disk: CP2K exits with 0
    (tmp_path / "frame").write_text(OUTPUT[:kept])
    with pytest.raises(EngineError, match="cut off"):
        answers(program(tmp_path, f"cp {tmp_path}/frame batch.out"), [WATER], tmp_path)


def test_a_lost_directory_is_not_held_against_the_frame(tmp_path):
    with pytest.raises(EngineError, match="was removed while it ran"):
        answers(program(tmp_path, 'rm -r "$PWD"; exit 1'), [WATER], tmp_path)
    with pytest.raises(EngineError, match="No such file or directory; run it again"):
        answers(program(tmp_path, "exit 0"), [WATER], tmp_path / "gone")


def test_frames_before_the_one_that_breaks_are_kept(tmp_path):
    (tmp_path / "frame").write_text(OUTPUT + FIRST)
    (tmp_path / "abort").write_text(ABORT)
    teacher = program(tmp_path, f"cat {tmp_path}/frame {tmp_path}/abort > batch.out; exit 1")
    found = answers(teacher.model_copy(update={"reuse": False}), walk(2), tmp_path)
    assert found[0].energy == parse_frame(OUTPUT, 3).energy
    assert found[1].reason == "engine-failed"
    assert "odd number of electrons" in found[1].detail


@needs_cp2k
def test_version_and_build_are_told():
    engine = make_engine(Cp2kTeacher())
    assert engine.version.startswith("20")
    assert "compiler" not in engine.build
    assert "libxc" in engine.build


@needs_cp2k
def test_tight_binding_forces_and_stress_are_slopes_of_the_energy(tmp_path):
    step, strain = np.zeros((3, 3)), np.zeros((3, 3))
    step[0, 1], strain[1, 2], strain[2, 1] = 2e-3, 1e-3, 1e-3
    questions = [WATER, moved(WATER, step), moved(WATER, -step), strained(WATER, strain), strained(WATER, -strain)]
    label, *others = answers(Cp2kTeacher(method="gfn1-xtb"), questions, tmp_path)
    energies = [other.energy for other in others]
    assert abs(label.forces[0, 1]) > 0.5
    assert label.forces[0, 1] == pytest.approx(-(energies[0] - energies[1]) / 4e-3, abs=1e-3)
    assert label.stress[1, 2] == pytest.approx((energies[2] - energies[3]) / 4e-3 / 512, abs=2e-6)
    assert label.cpu_seconds > 0.1
    assert not list(tmp_path.iterdir())  # nothing is left


@needs_cp2k
@pytest.mark.parametrize(
    ("method", "energy"),
    [("revpbe-d3", -32.3671), ("blyp-d3", -32.1625), ("r2scan", -32.1988), ("pbe0", -32.0065), ("dc-r2scan", -32.1959)],
)
def test_hydrogen_with_density_functionals(tmp_path, method, energy):
    # regression values of this input with CP2K 2023.1; the exact energy of H2 is -31.96 eV
    step, strain = np.zeros((2, 3)), np.zeros((3, 3))
    step[1, 2], strain[2, 2] = 0.01, 0.004
    questions = [HYDROGEN, moved(HYDROGEN, step), moved(HYDROGEN, -step)]
    questions += [strained(HYDROGEN, strain), strained(HYDROGEN, -strain)]
    teacher = Cp2kTeacher(method=method, cutoff_Ry=250, relative_cutoff_Ry=50, reuse=False)
    label, *others = answers(teacher, questions, tmp_path)
    energies = [other.energy for other in others]
    assert label.energy == pytest.approx(energy, abs=1e-3)
    # what remains is the grid's: the slope is over one point of it
    assert label.forces[1, 2] == pytest.approx(-(energies[0] - energies[1]) / 0.02, abs=0.01)
    assert label.stress[2, 2] == pytest.approx((energies[2] - energies[3]) / 0.008 / 64, abs=2e-4)
    assert abs(label.forces[1, 2]) > 0.5


@needs_cp2k
def test_a_frame_that_starts_from_its_neighbour_has_the_same_label(tmp_path):
    questions = walk(3)
    warm = answers(QUICK, questions, tmp_path)
    cold = answers(QUICK.model_copy(update={"reuse": False}), questions, tmp_path)
    assert [label.scf_path for label in warm] == ["ot-diis", "ot-diis-continued", "ot-diis-continued"]
    assert [label.scf_path for label in cold] == ["ot-diis"] * 3
    for one, other in zip(warm[1:], cold[1:], strict=True):
        assert one.iterations < 0.7 * other.iterations
        assert np.abs(one.forces - other.forces).max() < 2e-6 * HARTREE / BOHR
        assert one.energy == pytest.approx(other.energy, abs=1e-8)
    assert same(warm[0], cold[0])


@needs_cp2k
def test_a_run_taken_up_again_gives_the_same_bits(tmp_path):
    questions = walk(4)
    (tmp_path / "whole").mkdir()
    whole = answers(QUICK, questions, tmp_path / "whole")
    # killed after the second frame, gone on from its orbitals
    (tmp_path / "killed").mkdir()
    running = make_engine(QUICK).answers(questions, range(4), tmp_path / "killed")
    before = [next(running), next(running)]
    running.close()
    after = answers(QUICK, questions, tmp_path / "killed", [2, 3])
    assert all(map(same, whole, before + after))
    # the orbitals are lost: reached again from the start of the chain
    (tmp_path / "lost").mkdir()
    [last] = answers(QUICK, questions, tmp_path / "lost", [3])
    assert same(last, whole[3])


@needs_cp2k
def test_frames_that_are_not_alike_start_from_the_atoms(tmp_path):
    far = moved(SMALL, np.array([[0, 0, 0], [0, -1.52, 0], [0, 1.52, 0]]))  # its hydrogens all but exchanged
    larger = Question(SMALL.numbers, SMALL.positions, np.eye(3) * 5.1, 0)
    found = answers(QUICK, [SMALL, far, larger, moved(larger, np.full((3, 3), 1e-3))], tmp_path)
    assert [label.scf_path for label in found] == ["ot-diis", "ot-diis", "ot-diis", "ot-diis-continued"]


@needs_cp2k
def test_every_rung_finds_the_same_answer(tmp_path, monkeypatch):
    label = answers(Cp2kTeacher(method="gfn1-xtb"), [WATER], tmp_path)[0]
    impatient = [Rung(rung.name, rung.minimiser, 1, min(rung.outer_steps, 1)) for rung in RUNGS]
    for failing in range(1, len(RUNGS)):
        monkeypatch.setattr(cp2k, "RUNGS", (*impatient[:failing], *RUNGS[failing:]))
        found = answers(Cp2kTeacher(method="gfn1-xtb"), [WATER], tmp_path)[0]
        assert found.scf_path == " > ".join(rung.name for rung in RUNGS[: failing + 1])
        assert found.energy == pytest.approx(label.energy, abs=1e-7)
        assert np.abs(found.forces - label.forces).max() < 5e-5


@needs_cp2k
def test_what_fails_on_every_rung_is_refused_and_the_batch_goes_on(tmp_path, monkeypatch):
    impatient = tuple(Rung(rung.name, rung.minimiser, 1, min(rung.outer_steps, 1)) for rung in RUNGS)
    monkeypatch.setattr(cp2k, "RUNGS", impatient)
    found = answers(Cp2kTeacher(method="gfn1-xtb"), walk(2), tmp_path)
    assert [failure.reason for failure in found] == ["scf-not-converged"] * 2
    assert found[1].scf_path == "ot-diis > ot-cg > ot-cg-small-steps > diagonalization-broyden"
    assert found[1].cpu_seconds > 0.5


@needs_cp2k
def test_a_chain_begins_anew_after_a_frame_that_did_not_converge(tmp_path, monkeypatch):
    parse = cp2k.parse_frame
    texts: list[str] = []

    def second_fails(text: str, atoms: int, *, response: bool) -> object:
        texts.append(text)
        return parse(text if len(texts) != 2 else UNCONVERGED, atoms, response=response)

    monkeypatch.setattr(cp2k, "parse_frame", second_fails)
    found = answers(QUICK, walk(4), tmp_path)
    paths = [label.scf_path for label in found]
    assert paths == ["ot-diis", "ot-diis-continued > ot-diis", "ot-diis", "ot-diis-continued"]


@needs_cp2k
def test_what_cp2k_refuses_is_refused(tmp_path):
    odd = Question(WATER.numbers, WATER.positions, WATER.cell, 1)
    [failure] = answers(Cp2kTeacher(method="gfn1-xtb"), [odd], tmp_path)
    assert failure.reason == "engine-failed"
    assert "odd number of electrons" in failure.detail


SCRIPT = """
import sys
from pathlib import Path
import numpy as np
from saltern.config import Cp2kTeacher
from saltern.engines import Question, make_engine
question = Question(np.array([8, 1, 1]), np.array({positions}), np.eye(3) * 8.0, 0)
list(make_engine(Cp2kTeacher(cutoff_Ry=900)).answers([question], [0], Path(sys.argv[1])))
"""


@needs_cp2k
@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGKILL])
def test_no_cp2k_outlives_the_process_that_started_it(tmp_path, number):
    script = SCRIPT.format(positions=POSITIONS.tolist())
    with subprocess.Popen([sys.executable, "-c", script, str(tmp_path)]) as process:
        deadline = time.monotonic() + 60
        while not list(tmp_path.glob("*/batch.out")) and time.monotonic() < deadline:
            time.sleep(0.05)
        running = psutil.Process(process.pid).children()
        process.send_signal(number)
    gone, alive = psutil.wait_procs(running, timeout=10)
    assert gone
    assert not alive
