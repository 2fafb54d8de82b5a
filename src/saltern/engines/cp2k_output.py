"""What CP2K said about each frame of a batch, believed only where the output itself proves it."""

from __future__ import annotations

import re
from typing import Any, NamedTuple

import numpy as np

from saltern.errors import EngineError, LabelError
from saltern.frames import Array
from saltern.units import BOHR, EV_PER_A3_IN_GPA, HARTREE

_NUMBER = r"[-+]?\d+\.\d+(?:[EeDd][-+]?\d+)?"
_END_OF_FRAME = re.compile(r"^ (?:MD_INI\| MD initialization$|MD\| Step number +\d+$)", re.MULTILINE)
# up to 2024 "[a.u.]:", since 2025 "[hartree]"
_ENERGY = re.compile(rf"^ ENERGY\| Total FORCE_EVAL \( QS \) energy \[\S+\]:? +({_NUMBER})$", re.MULTILINE)
_FORCES = re.compile(
    rf"^ (?:ATOMIC FORCES in \[a\.u\.\]|FORCES\| Atomic forces \[hartree/bohr\])$(.*?)"
    rf"^ (?:SUM OF ATOMIC FORCES|FORCES\| Sum) +({_NUMBER}) +({_NUMBER}) +({_NUMBER})",
    re.MULTILINE | re.DOTALL,
)
_FORCE = re.compile(
    rf"^ (?:FORCES\|)? +(\d+) +(?:\d+ +[A-Z][a-z]? +)?({_NUMBER}) +({_NUMBER}) +({_NUMBER})(?: +{_NUMBER})?$",
    re.MULTILINE,
)
_TENSOR = re.compile(
    rf"^ STRESS\| Analytical stress tensor \[(\S+)\]$(.*?)^ STRESS\| 1/3 Trace +({_NUMBER})$", re.MULTILINE | re.DOTALL
)
_STRESS = re.compile(rf"^ STRESS\| +([xyz]) +({_NUMBER}) +({_NUMBER}) +({_NUMBER})$", re.MULTILINE)
_CONVERGED = re.compile(r"SCF run converged in +(\d+) steps")
_OUTER_CONVERGED = re.compile(r"outer SCF loop converged in +\d+ iterations or +(\d+) steps")
_RESPONSE = "The linear solver converged in"
_NOT_CONVERGED = ("NOT converged", "FAILED to converge", "not converged", "did not converge")
_ABORT = re.compile(r"^ \* \[ABORT\].*?$(.*?)^ \*{40,}$", re.MULTILINE | re.DOTALL)
_UNPRINTABLE = re.compile(
    r"^ (?:ENERGY\||STRESS\||FORCES\|| +\d+ +\d+ +[A-Z][a-z]? ).*(?:\*{4}|\bNaN\b|\bInf)", re.MULTILINE
)
"""A result that CP2K could not print: too large for its columns, or no number."""
_MARGIN = 9
"""Columns left of the message in CP2K's box, in which it draws a figure."""
_SUM_AGREES = 1e-6
"""Hartree/bohr: how well the sum of the forces that are printed agrees with the sum that CP2K prints."""
_TRACE_AGREES = 1e-6
"""Likewise for the trace of the stress, as a share of its largest component."""
_GPA = {"GPa": 1.0, "bar": 1e-4}


class Output(NamedTuple):
    """Energy (eV), forces (atom, 3) eV/Å, stress (3, 3) eV/Å³ positive in tension, and steps of the SCF."""

    energy: float
    forces: Array
    stress: Array
    steps: int


def split_finished(text: str) -> tuple[list[str], str]:
    """The text about each frame that CP2K has finished, in their order, and the text about the one in flight.

    What CP2K prints about a frame is followed by the step of the trajectory that it was.
    """
    marks = [match.start() for match in _END_OF_FRAME.finditer(text)]
    frames = [text[first:last] for first, last in zip([0, *marks], marks, strict=False)]
    return frames, text[marks[-1] + 1 :] if marks else text


def ended_normally(text: str) -> bool:
    """Whether CP2K reached the end of its program."""
    return "PROGRAM ENDED AT" in text


def abort_message(text: str) -> str:
    """What CP2K wrote into its box of asterisks when it gave up, on one line; empty when there is none."""
    found = _ABORT.search(text)
    return " ".join(word for line in found[1].splitlines() for word in line[_MARGIN:-1].split()) if found else ""


def parse_frame(text: str, atoms: int, *, response: bool = False) -> Output:
    """Read what was printed about one frame.

    CP2K 2023.1 exits with 0 after an unconverged SCF and prints its energy and forces all the same, so the
    statement of convergence is required and its contrary excluded. On a disk that was full for a moment a piece of the
    output is lost without a word. So a frame is refused for what the output says, never for what it does not say.

    Args:
        text: one of the finished frames of `split_finished`.
        atoms: number of atoms of the frame.
        response: whether the forces need the response of the orbitals, which must converge as well.

    Raises:
        LabelError: when the output says that nothing converged, or a result is no number.
        EngineError: when convergence, energy, forces or stress are not there once and whole.
    """
    if any(words in text for words in _NOT_CONVERGED):
        raise LabelError("scf-not-converged", "CP2K reported an SCF that did not converge")
    if _UNPRINTABLE.search(text):
        raise LabelError("engine-failed", "CP2K found a result that is no number, or too large to print")
    steps = _OUTER_CONVERGED.findall(text) or _CONVERGED.findall(text)
    if not steps or not _CONVERGED.search(text):
        raise _lost("no word on the SCF's convergence")
    if response and _RESPONSE not in text:
        raise LabelError("scf-not-converged", "CP2K did not report a converged response of the orbitals")
    energy = float(_only("energy", _ENERGY.findall(text))) * HARTREE
    # before the energy a density-corrected method prints parts of its stress
    text = text[text.index(" ENERGY|") :]
    return Output(
        energy,
        _forces(text, atoms) * HARTREE / BOHR,
        # CP2K prints the pressure-like tensor: the strain derivative of the energy has the other sign
        -_stress(text) / EV_PER_A3_IN_GPA,
        int(steps[-1]),
    )


def _only(what: str, found: list[Any]) -> Any:
    """The single match, or a complaint."""
    if len(found) != 1:
        raise _lost(f"{len(found)} times the {what}, expected once")
    return found[0]


def _lost(what: str) -> EngineError:
    """The error of an output of which a piece is missing: it says nothing about the frame."""
    return EngineError(f"CP2K's output holds {what}: a piece of it is lost (was the disk full?); run it again")


def _forces(text: str, atoms: int) -> Array:
    """(atom, 3), Hartree/bohr."""
    table, *total = _only("forces", _FORCES.findall(text))
    rows = _FORCE.findall(table)
    if [int(row[0]) for row in rows] != list(range(1, atoms + 1)):
        raise _lost(f"whole forces of {len(rows)} of {atoms} atoms")
    forces: Array = np.array([row[1:] for row in rows], dtype=np.float64)
    if np.abs(forces.sum(axis=0) - np.array(total, dtype=np.float64)).max() > _SUM_AGREES:
        raise _lost("forces that are not those of their sum")
    return forces


def _stress(text: str) -> Array:
    """(3, 3), GPa, as printed."""
    unit, table, third = _only("stress", _TENSOR.findall(text))
    rows = _STRESS.findall(table)
    if [row[0] for row in rows] != ["x", "y", "z"] or unit not in _GPA:
        raise _lost("no whole stress tensor")
    stress: Array = np.array([row[1:] for row in rows], dtype=np.float64)
    if abs(np.trace(stress) / 3 - float(third)) > _TRACE_AGREES * np.abs(stress).max():
        raise _lost("a stress that is not that of its trace")
    return stress * _GPA[unit]
