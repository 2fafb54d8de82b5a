"""CP2K's input file for one frame."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from saltern.config import Cp2kTeacher
from saltern.errors import UserError
from saltern.frames import Array

Value = str | int | float | bool

INNER_STEPS, OUTER_STEPS = 20, 10
"""Steps of the orbital transformation between two preconditioners, and how many of these there may be."""

VALENCE = {1: 1, 3: 3, 8: 6, 9: 7, 11: 9, 12: 10, 17: 7, 19: 9, 20: 10, 35: 7, 37: 9, 53: 7, 55: 9}
"""Electrons outside the core, by atomic number, of the elements for which CP2K's data files hold a
DZVP-MOLOPT-SR-GTH basis and both the GTH-PBE and the GTH-SCAN pseudopotential."""


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


def _word(value: Value) -> str:
    """One value as CP2K reads it."""
    if isinstance(value, bool):
        return "T" if value else "F"
    return value if isinstance(value, str) else repr(value)


def frame_input(teacher: Cp2kTeacher, numbers: Array, positions: Array, cell: Array, charge: int) -> str:
    """The input for energy, forces and stress of one frame; arguments as in `Engine.label`.

    Raises:
        UserError: for an element that the method has no pseudopotential and basis for.
    """
    force_eval = Section(
        "FORCE_EVAL",
        (("METHOD", "QUICKSTEP"), ("STRESS_TENSOR", "ANALYTICAL")),
        (
            Section("PRINT", sections=(Section("FORCES ON", (("NDIGITS", 12),)), Section("STRESS_TENSOR ON"))),
            _dft(teacher, charge),
            _subsys(teacher, numbers, positions, cell),
        ),
    )
    head = Section("GLOBAL", (("PROJECT", "frame"), ("RUN_TYPE", "ENERGY_FORCE"), ("PRINT_LEVEL", "MEDIUM")))
    return "\n".join([*head.render(), *force_eval.render(), ""])


def _dft(teacher: Cp2kTeacher, charge: int) -> Section:
    """The electronic structure."""
    tight_binding = teacher.method == "gfn1-xtb"
    scf = Section(
        "SCF",
        (("EPS_SCF", teacher.eps_scf), ("MAX_SCF", INNER_STEPS), ("SCF_GUESS", "MOPAC" if tight_binding else "ATOMIC")),
        (
            Section("OT", (("MINIMIZER", "DIIS"), ("PRECONDITIONER", "FULL_ALL"))),
            Section("OUTER_SCF", (("EPS_SCF", teacher.eps_scf), ("MAX_SCF", OUTER_STEPS))),
            Section("PRINT", sections=(Section("RESTART OFF"),)),
        ),
    )
    accuracy = ("EPS_DEFAULT", 1e-12)
    if tight_binding:
        xtb = Section("XTB", (("DO_EWALD", True), ("CHECK_ATOMIC_CHARGES", False)))
        return Section("DFT", (("CHARGE", charge),), (Section("QS", (("METHOD", "XTB"), accuracy), (xtb,)), scf))
    potentials = "POTENTIAL_UZH" if teacher.method == "r2scan" else "GTH_POTENTIALS"
    grid = Section("MGRID", (("CUTOFF", teacher.cutoff_Ry), ("REL_CUTOFF", teacher.relative_cutoff_Ry)))
    return Section(
        "DFT",
        (("CHARGE", charge), ("BASIS_SET_FILE_NAME", "BASIS_MOLOPT"), ("POTENTIAL_FILE_NAME", potentials)),
        (Section("QS", (accuracy,)), grid, scf, _functional(teacher.method)),
    )


def _functional(method: str) -> Section:
    """Exchange and correlation.

    r2SCAN: Furness et al., J. Phys. Chem. Lett. 11, 8208 (2020), from libxc. revPBE: Zhang, Yang, Phys. Rev. Lett.
    80, 890 (1998), with the D3 dispersion of Grimme et al., J. Chem. Phys. 132, 154104 (2010), zero damping.
    """
    if method == "r2scan":
        return Section(
            "XC", sections=(Section("XC_FUNCTIONAL", (), (Section("MGGA_X_R2SCAN"), Section("MGGA_C_R2SCAN"))),)
        )
    pairs = Section(
        "PAIR_POTENTIAL",
        (("TYPE", "DFTD3"), ("PARAMETER_FILE_NAME", "dftd3.dat"), ("REFERENCE_FUNCTIONAL", "revPBE")),
    )
    return Section(
        "XC",
        sections=(
            Section("XC_FUNCTIONAL", (), (Section("PBE", (("PARAMETRIZATION", "REVPBE"),)),)),
            Section("VDW_POTENTIAL", (("POTENTIAL_TYPE", "PAIR_POTENTIAL"),), (pairs,)),
        ),
    )


def _subsys(teacher: Cp2kTeacher, numbers: Array, positions: Array, cell: Array) -> Section:
    """Cell, atoms and, for density functionals, what stands for each element."""
    from ase.data import chemical_symbols

    vectors = tuple((name, *row) for name, row in zip("ABC", cell.tolist(), strict=True))
    atoms = tuple((chemical_symbols[z], *p) for z, p in zip(numbers.tolist(), positions.tolist(), strict=True))
    elements = () if teacher.method == "gfn1-xtb" else sorted(set(numbers.tolist()))
    kinds = tuple(_kind(teacher.method, z, chemical_symbols[z]) for z in elements)
    return Section("SUBSYS", (), (Section("CELL", vectors), Section("COORD", atoms), *kinds))


def _kind(method: str, number: int, symbol: str) -> Section:
    """Basis and pseudopotential of one element."""
    if number not in VALENCE:
        from ase.data import chemical_symbols

        known = ", ".join(chemical_symbols[z] for z in VALENCE)
        raise UserError(f"cp2k: method {method} has no basis and pseudopotential for {symbol}; allowed: {known}")
    family = "GTH-SCAN" if method == "r2scan" else "GTH-PBE"
    return Section(
        f"KIND {symbol}",
        (("BASIS_SET", "DZVP-MOLOPT-SR-GTH"), ("POTENTIAL", f"{family}-q{VALENCE[number]}")),
    )
