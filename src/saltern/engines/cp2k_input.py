"""CP2K's input file for a row of frames of the same atoms."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np

from saltern.config import Cp2kTeacher
from saltern.engines.base import Question
from saltern.errors import UserError
from saltern.frames import Array

Value = str | int | float | bool

EPS_DEFAULT = 1e-12
"""What decides the reach of the Gaussians, the overlap's accuracy and the rest."""

COARSEST_RY = 20.0
GRID_RATIO = 1.5
"""Cutoff of the coarsest grid at least, and ratio of the cutoffs of two neighbouring grids (CP2K has 4 grids, ratio 3).

A Gaussian goes to the coarsest grid that `REL_CUTOFF` allows. The nearer the grids lie, the less is wasted on one
that is finer than asked: at 1200 Ry this halves the time on the grids, with the same energy to 2e-8 Hartree.
"""

VALENCE = {
    "H": 1, "Li": 3, "B": 3, "C": 4, "N": 5, "O": 6, "F": 7, "Na": 9, "Mg": 10, "P": 5, "S": 6, "Cl": 7, "K": 9,
    "Ca": 10, "Br": 7, "Rb": 9, "I": 7, "Cs": 9,
}  # fmt: skip
"""Electrons outside the core of the elements for which CP2K's data files hold a DZVP-MOLOPT-SR-GTH basis and the
pseudopotential of every method. Alkali and earth alkali metals keep their semi-core electrons."""

FITTED_FAR = ("K", "Ca", "Rb", "I", "Cs")
"""Elements whose smallest auxiliary basis for exact exchange is cFIT7; the others have cFIT3."""

PSEUDOPOTENTIALS = {
    "r2scan": ("POTENTIAL_UZH", "GTH-SCAN"),
    "dc-r2scan": ("POTENTIAL_UZH", "GTH-SCAN"),
    "revpbe-d3": ("GTH_POTENTIALS", "GTH-PBE"),
    "blyp-d3": ("GTH_POTENTIALS", "GTH-BLYP"),
    "pbe0": ("POTENTIAL_UZH", "GTH-PBE0"),
}
"""Data file and family of each method. GTH-SCAN was made for SCAN and is what r2SCAN is used with."""


@dataclass(frozen=True)
class Section:
    """One section: lines of a keyword and its values, then the sections inside."""

    name: str
    lines: tuple[tuple[Value, ...], ...] = ()
    sections: tuple[Section, ...] = ()

    def render(self, indent: str = "") -> Iterator[str]:
        """The lines of the input file."""
        yield f"{indent}&{self.name}"
        for line in self.lines:
            yield f"{indent}  {' '.join(map(_word, line))}"
        for section in self.sections:
            yield from section.render(indent + "  ")
        yield f"{indent}&END {self.name.split()[0]}"


@dataclass(frozen=True)
class Rung:
    """One way of seeking the electronic structure; the level of theory is the same on all."""

    name: str
    minimiser: Section
    inner_steps: int
    outer_steps: int
    """0 where steps are not taken in two loops, but densities mixed."""


def _transformation(*lines: tuple[Value, ...]) -> Section:
    return Section("OT", lines)


RUNGS = (
    Rung("ot-diis", _transformation(("MINIMIZER", "DIIS"), ("PRECONDITIONER", "FULL_ALL")), 20, 10),
    Rung(
        "ot-cg",
        _transformation(("MINIMIZER", "CG"), ("LINESEARCH", "3PNT"), ("PRECONDITIONER", "FULL_ALL")),
        40,
        10,
    ),
    Rung(
        "ot-cg-small-steps",
        _transformation(
            ("MINIMIZER", "CG"),
            ("LINESEARCH", "GOLD"),
            ("STEPSIZE", 0.03),
            ("PRECONDITIONER", "FULL_SINGLE_INVERSE"),
        ),
        60,
        10,
    ),
    Rung(
        "diagonalization-broyden",
        Section("DIAGONALIZATION", (("ALGORITHM", "STANDARD"),)),
        300,
        0,
    ),
)
"""From the quickest to the most patient: each starts from the atoms and only runs where the one before failed."""


@dataclass(frozen=True)
class Wavefunctions:
    """What is done with the orbitals of one frame for the sake of the next."""

    kept: bool = False
    """Whether each frame starts from the orbitals of the one before, and leaves its own in a file."""
    first: str | None = None
    """File with the orbitals that the first frame starts from; from the atoms where there is none."""


def trajectory(questions: Sequence[Question]) -> str:
    """The frames as CP2K reads them, every bit of the positions kept."""
    lines = []
    for index, question in enumerate(questions):
        lines += [f"{len(question.numbers):8d}", f" i = {index:8d}, time = {index:12.3f}, E = 0.0"]
        lines += [
            f"{symbol} {x!r} {y!r} {z!r}"
            for symbol, (x, y, z) in zip(symbols(question), question.positions.tolist(), strict=True)
        ]
    return "\n".join([*lines, ""])


def symbols(question: Question) -> list[str]:
    """Symbol of the element of each atom."""
    from ase.data import chemical_symbols

    return [chemical_symbols[z] for z in question.numbers.tolist()]


def batch_input(
    teacher: Cp2kTeacher,
    version: str,
    questions: Sequence[Question],
    rung: Rung = RUNGS[0],
    wavefunctions: Wavefunctions | None = None,
) -> str:
    """The input for energy, forces and stress of frames with the same atoms, cell and charge.

    Args:
        teacher: level of theory.
        version: of the program that will read the input.
        questions: the frames; their positions are read from the file `frames.xyz`.
        rung: how the electronic structure is sought.
        wavefunctions: whether a frame starts from the one before; by default each starts from the atoms.

    Raises:
        UserError: for an element that the method has no pseudopotential and basis for.
    """
    force_eval = Section(
        "FORCE_EVAL",
        (("METHOD", "QUICKSTEP"), ("STRESS_TENSOR", "ANALYTICAL")),
        (
            Section("PRINT", sections=(Section("FORCES ON", (("NDIGITS", 12),)), Section("STRESS_TENSOR ON"))),
            _dft(teacher, questions[0], rung, wavefunctions or Wavefunctions()),
            _subsys(teacher, questions[0]),
        ),
    )
    head = Section("GLOBAL", (("PROJECT", "batch"), ("RUN_TYPE", "MD"), ("PRINT_LEVEL", "MEDIUM")))
    return "\n".join([*head.render(), *_motion(version, len(questions)).render(), *force_eval.render(), ""])


def _word(value: Value) -> str:
    """One value as CP2K reads it."""
    if isinstance(value, bool):
        return "T" if value else "F"
    return value if isinstance(value, str) else repr(value)


def _motion(version: str, frames: int) -> Section:
    """A trajectory that is read instead of integrated."""
    # renamed in 2024.1; years have four digits, so the text compares as the number does
    evaluate: tuple[tuple[Value, ...], ...] = (("EVAL", "ENERGY_FORCES"),)
    if version < "2024":
        evaluate = (("EVAL_ENERGY_FORCES", True), ("EVAL_FORCES", True))
    which = (("FIRST_SNAPSHOT", 1), ("LAST_SNAPSHOT", frames), ("STRIDE", 1))
    read = Section("REFTRAJ", (("TRAJ_FILE_NAME", "frames.xyz"), *which, *evaluate))
    written = tuple(Section(f"{name} OFF") for name in ("RESTART", "RESTART_HISTORY", "TRAJECTORY", "VELOCITIES"))
    return Section(
        "MOTION",
        (),
        (Section("MD", (("ENSEMBLE", "REFTRAJ"), ("STEPS", frames)), (read,)), Section("PRINT", (), written)),
    )


def _dft(teacher: Cp2kTeacher, question: Question, rung: Rung, wavefunctions: Wavefunctions) -> Section:
    """The electronic structure."""
    lines: list[tuple[Value, ...]] = [("CHARGE", question.charge)]
    if wavefunctions.first:
        lines.append(("WFN_RESTART_FILE_NAME", wavefunctions.first))
    accuracy = (
        ("EPS_DEFAULT", EPS_DEFAULT),
        ("EXTRAPOLATION", "USE_PREV_WF" if wavefunctions.kept else "USE_GUESS"),
    )
    scf = _scf(teacher, rung, wavefunctions)
    if teacher.method == "gfn1-xtb":
        xtb = Section("XTB", (("DO_EWALD", True), ("CHECK_ATOMIC_CHARGES", False)))
        return Section("DFT", tuple(lines), (Section("QS", (("METHOD", "XTB"), *accuracy), (xtb,)), scf))
    exact = teacher.method in ("pbe0", "dc-r2scan")
    bases = ("BASIS_MOLOPT", *(("BASIS_ADMM", "BASIS_ADMM_MOLOPT") if exact else ()))
    lines += [("BASIS_SET_FILE_NAME", name) for name in bases]
    lines.append(("POTENTIAL_FILE_NAME", PSEUDOPOTENTIALS[teacher.method][0]))
    sections = [
        Section("QS", accuracy),
        _grids(teacher),
        scf,
        _functional(teacher, question),
    ]
    if exact:
        sections.append(_auxiliary(teacher.method))
    if teacher.method == "dc-r2scan":
        sections.append(_density_correction(teacher))
    return Section("DFT", tuple(lines), tuple(sections))


def grid_levels(cutoff_Ry: float) -> int:
    """Number of grids, from the finest to that of `COARSEST_RY`."""
    return 1 + max(0, math.floor(math.log(cutoff_Ry / COARSEST_RY, GRID_RATIO)))


def _grids(teacher: Cp2kTeacher) -> Section:
    """The grids of density and potential."""
    fineness = (("CUTOFF", teacher.cutoff_Ry), ("REL_CUTOFF", teacher.relative_cutoff_Ry))
    levels = (("NGRIDS", grid_levels(teacher.cutoff_Ry)), ("PROGRESSION_FACTOR", GRID_RATIO))
    return Section("MGRID", (*fineness, *levels))


def _scf(teacher: Cp2kTeacher, rung: Rung, wavefunctions: Wavefunctions) -> Section:
    """The search for self-consistency."""
    from_atoms = "MOPAC" if teacher.method == "gfn1-xtb" else "ATOMIC"
    guess = "RESTART" if wavefunctions.first else from_atoms
    sections = [rung.minimiser]
    if rung.outer_steps:
        sections.append(Section("OUTER_SCF", (("EPS_SCF", teacher.eps_scf), ("MAX_SCF", rung.outer_steps))))
    else:
        sections.append(Section("MIXING", (("METHOD", "BROYDEN_MIXING"), ("ALPHA", 0.1), ("NBROYDEN", 8))))
    each = Section("EACH", (("QS_SCF", 0), ("MD", 1)))
    file = Section("RESTART ON", (("FILENAME", "orbitals"), ("COMMON_ITERATION_LEVELS", 0)), (each,))
    sections.append(Section("PRINT", sections=(file if wavefunctions.kept else Section("RESTART OFF"),)))
    lines = (("EPS_SCF", teacher.eps_scf), ("MAX_SCF", rung.inner_steps), ("SCF_GUESS", guess))
    return Section("SCF", lines, tuple(sections))


def _functional(teacher: Cp2kTeacher, question: Question) -> Section:
    """Exchange and correlation of the self-consistent field.

    r2SCAN: Furness et al., J. Phys. Chem. Lett. 11, 8208 (2020), from libxc. revPBE: Zhang, Yang, Phys. Rev. Lett.
    80, 890 (1998); BLYP: Becke, Phys. Rev. A 38, 3098 (1988), Lee, Yang, Parr, Phys. Rev. B 37, 785 (1988); both with
    the D3 dispersion of Grimme et al., J. Chem. Phys. 132, 154104 (2010), zero damping. PBE0: Adamo, Barone, J. Chem.
    Phys. 110, 6158 (1999).
    """
    sections: tuple[Section, ...]
    if teacher.method == "r2scan":
        sections = (_r2scan(),)
    elif teacher.method == "revpbe-d3":
        sections = _with_dispersion("revPBE", Section("PBE", (("PARAMETRIZATION", "REVPBE"),)))
    elif teacher.method == "blyp-d3":
        sections = _with_dispersion("BLYP", Section("BECKE88"), Section("LYP"))
    elif teacher.method == "pbe0":
        density = Section("XC_FUNCTIONAL", (), (Section("PBE", (("SCALE_X", 0.75), ("SCALE_C", 1.0))),))
        sections = (density, _exact_exchange(0.25, _truncated(question.cell)))
    else:
        # the Hartree-Fock density; with the whole Coulomb operator, as in the paper: a truncated one has no response
        exchange = _exact_exchange(1.0, (("POTENTIAL_TYPE", "COULOMB"),))
        return Section("XC", sections=(Section("XC_FUNCTIONAL NONE"), exchange))
    return Section("XC", sections=(*sections, *_smoothing(teacher)))


def _smoothing(teacher: Cp2kTeacher) -> tuple[Section, ...]:
    """How the density is smoothed for exchange and correlation, and their derivatives in the same way."""
    if teacher.smoothing == "none":
        return ()
    kind = teacher.smoothing.upper()
    return (Section("XC_GRID", (("XC_SMOOTH_RHO", kind), ("XC_DERIV", f"{kind}_SMOOTH"))),)


def _r2scan() -> Section:
    return Section("XC_FUNCTIONAL", (), (Section("MGGA_X_R2SCAN"), Section("MGGA_C_R2SCAN")))


def _with_dispersion(reference: str, *functional: Section) -> tuple[Section, ...]:
    """A functional with the D3 dispersion that was fitted for it."""
    pairs = Section(
        "PAIR_POTENTIAL",
        (("TYPE", "DFTD3"), ("PARAMETER_FILE_NAME", "dftd3.dat"), ("REFERENCE_FUNCTIONAL", reference)),
    )
    dispersion = Section("VDW_POTENTIAL", (("POTENTIAL_TYPE", "PAIR_POTENTIAL"),), (pairs,))
    return Section("XC_FUNCTIONAL", (), functional), dispersion


def _exact_exchange(fraction: float, operator: tuple[tuple[Value, ...], ...]) -> Section:
    """Hartree-Fock exchange."""
    screening = (("EPS_SCHWARZ", 1e-7), ("EPS_SCHWARZ_FORCES", 1e-6), ("SCREEN_ON_INITIAL_P", False))
    return Section(
        "HF",
        (("FRACTION", fraction),),
        (
            Section("SCREENING", screening),
            Section("INTERACTION_POTENTIAL", operator),
            Section("MEMORY", (("MAX_MEMORY", 2000), ("EPS_STORAGE_SCALING", 0.1))),
        ),
    )


def _truncated(cell: Array) -> tuple[tuple[Value, ...], ...]:
    """The Coulomb operator cut off where the box ends.

    Guidon, Hutter, VandeVondele, J. Chem. Theory Comput. 5, 3010 (2009): within half the box the exchange of an
    insulator is all there, and without a cutoff its sum at the Γ point has no limit.
    """
    heights = abs(np.linalg.det(cell)) / np.linalg.norm(np.cross(cell[[1, 2, 0]], cell[[2, 0, 1]]), axis=1)
    reach = float(np.floor(49 * heights.min()) / 100)
    return (("POTENTIAL_TYPE", "TRUNCATED"), ("CUTOFF_RADIUS", reach), ("T_C_G_DATA", "t_c_g.dat"))


def _auxiliary(method: str) -> Section:
    """Exchange in a small auxiliary basis, corrected by a density functional.

    Guidon, Hutter, VandeVondele, J. Chem. Theory Comput. 6, 2348 (2010). Orbitals are not purified where their
    response is needed.
    """
    purification = "NONE" if method == "dc-r2scan" else "MO_DIAG"
    return Section(
        "AUXILIARY_DENSITY_MATRIX_METHOD", (("METHOD", "BASIS_PROJECTION"), ("ADMM_PURIFICATION_METHOD", purification))
    )


def _density_correction(teacher: Cp2kTeacher) -> Section:
    """The energy and forces of r2SCAN at the Hartree-Fock density.

    As in arXiv 2310.12535; the theory is in Sim, Song, Burke, J. Phys. Chem. Lett. 9, 6385 (2018).
    """
    response = Section("RESPONSE_SOLVER", (("EPS", 1e-10), ("METHOD", "AO_ORTHO"), ("PRECONDITIONER", "MULTI_LEVEL")))
    functional = Section("XC", sections=(_r2scan(), *_smoothing(teacher)))
    return Section("ENERGY_CORRECTION", (("ENERGY_FUNCTIONAL", "DCDFT"),), (functional, response))


def _subsys(teacher: Cp2kTeacher, question: Question) -> Section:
    """Cell, atoms and, for density functionals, what stands for each element."""
    vectors = tuple((name, *row) for name, row in zip("ABC", question.cell.tolist(), strict=True))
    atoms = tuple((s, *p) for s, p in zip(symbols(question), question.positions.tolist(), strict=True))
    elements = () if teacher.method == "gfn1-xtb" else sorted(set(symbols(question)))
    kinds = tuple(_kind(teacher, symbol) for symbol in elements)
    return Section("SUBSYS", (), (Section("CELL", vectors), Section("COORD", atoms), *kinds))


def _kind(teacher: Cp2kTeacher, symbol: str) -> Section:
    """Bases and pseudopotential of one element."""
    if symbol not in VALENCE:
        known = ", ".join(VALENCE)
        raise UserError(
            f"cp2k: method {teacher.method} has no basis and pseudopotential for {symbol}; allowed: {known}"
        )
    bases: list[tuple[Value, ...]] = [("BASIS_SET", teacher.basis)]
    if teacher.method in ("pbe0", "dc-r2scan"):
        bases.append(("BASIS_SET", "AUX_FIT", "cFIT7" if symbol in FITTED_FAR else "cFIT3"))
    family = PSEUDOPOTENTIALS[teacher.method][1]
    return Section(f"KIND {symbol}", (*bases, ("POTENTIAL", f"{family}-q{VALENCE[symbol]}")))
