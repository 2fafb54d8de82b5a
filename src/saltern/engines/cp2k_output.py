"""What CP2K said about one frame, believed only where the output itself proves it."""

from __future__ import annotations

import re
from typing import NamedTuple

import numpy as np

from saltern.errors import LabelError
from saltern.frames import Array
from saltern.units import BOHR, EV_PER_A3_IN_GPA, HARTREE

_NUMBER = r"[-+]?\d+\.\d+(?:[EeDd][-+]?\d+)?"
_ENERGY = re.compile(rf"^ ENERGY\| Total FORCE_EVAL \( QS \) energy \[\S+\]: +({_NUMBER})$", re.MULTILINE)
_FORCES = re.compile(r"^ ATOMIC FORCES in \[a\.u\.\]$(.*?)^ SUM OF ATOMIC FORCES", re.MULTILINE | re.DOTALL)
_FORCE = re.compile(rf"^ +(\d+) +\d+ +[A-Z][a-z]? +({_NUMBER}) +({_NUMBER}) +({_NUMBER})$", re.MULTILINE)
_STRESS = re.compile(rf"^ STRESS\| +([xyz]) +({_NUMBER}) +({_NUMBER}) +({_NUMBER})$", re.MULTILINE)
_CONVERGED = re.compile(r"outer SCF loop converged in +\d+ iterations or +(\d+) steps")
_ABORT = re.compile(r"^ \* \[ABORT\].*?$(.*?)^ \*{40,}$", re.MULTILINE | re.DOTALL)
_MARGIN = 9
"""Columns left of the message in CP2K's box, in which it draws a figure."""


class Output(NamedTuple):
    """Energy (eV), forces (atom, 3) eV/Å, stress (3, 3) eV/Å³ positive in tension, and steps of the SCF."""

    energy: float
    forces: Array
    stress: Array
    steps: int


def ended_normally(text: str) -> bool:
    """Whether CP2K reached the end of its program."""
    return "PROGRAM ENDED AT" in text


def abort_message(text: str) -> str:
    """What CP2K wrote into its box of asterisks when it gave up, on one line; empty when there is none."""
    found = _ABORT.search(text)
    return " ".join(word for line in found[1].splitlines() for word in line[_MARGIN:-1].split()) if found else ""


def parse_output(text: str, atoms: int) -> Output:
    """Read the output of one frame made with `cp2k_input.frame_input`.

    CP2K 2023.1 exits with 0 after an unconverged SCF and prints its energy and forces all the same, so the
    statement of convergence is required and its contrary excluded.

    Args:
        text: the whole output file.
        atoms: number of atoms of the frame.

    Raises:
        LabelError: when convergence is not proven, or energy, forces or stress are not there once and whole.
    """
    converged = _CONVERGED.findall(text)
    if "NOT converged" in text or "FAILED to converge" in text or "SCF run converged in" not in text or not converged:
        raise LabelError("scf-not-converged", "CP2K did not report a converged SCF")
    return Output(
        float(_only("energy", _ENERGY.findall(text))) * HARTREE,
        _forces(text, atoms) * HARTREE / BOHR,
        # CP2K prints the pressure-like tensor: the strain derivative of the energy has the other sign
        -_stress(text) / EV_PER_A3_IN_GPA,
        int(converged[-1]),
    )


def _only(what: str, found: list[str]) -> str:
    """The single match, or a complaint."""
    if len(found) != 1:
        raise LabelError("engine-failed", f"CP2K's output holds {len(found)} times the {what}, expected once")
    return found[0]


def _forces(text: str, atoms: int) -> Array:
    """(atom, 3), Hartree/bohr."""
    rows = _FORCE.findall(_only("forces", _FORCES.findall(text)))
    if [int(row[0]) for row in rows] != list(range(1, atoms + 1)):
        raise LabelError("engine-failed", f"CP2K's output holds whole forces of {len(rows)} of {atoms} atoms")
    return np.array([row[1:] for row in rows], dtype=np.float64)


def _stress(text: str) -> Array:
    """(3, 3), GPa, as printed."""
    rows = _STRESS.findall(text)[:3]
    if [row[0] for row in rows] != ["x", "y", "z"]:
        raise LabelError("engine-failed", "CP2K's output holds no whole stress tensor")
    return np.array([row[1:] for row in rows], dtype=np.float64)
