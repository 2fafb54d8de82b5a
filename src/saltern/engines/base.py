"""What a teacher is: something that gives energy, forces and stress of one frame, or says why not."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Protocol

from saltern.frames import Array

REASONS: dict[str, str] = {
    "structure-not-valid": "a position or the cell is not finite, or the cell has no volume; not computed",
    "atoms-too-close": "two atoms are closer than the limit; not computed",
    "scf-not-converged": "the electronic structure did not converge",
    "engine-failed": "the engine gave up or left out a result",
    "label-not-finite": "the energy, a force or the stress is not a finite number",
    "force-too-large": "a force is larger than the limit",
    "net-force": "the forces do not add up to zero within the limit",
}
"""Every reason of a `LabelError`, and so every reason in a ledger, with its meaning."""


@dataclass(frozen=True)
class Label:
    """What an engine found for one frame."""

    energy: float
    """Total energy (eV)."""
    forces: Array
    """(atom, 3), eV/Å."""
    stress: Array
    """(3, 3), eV/Å³, positive in tension."""
    converged: bool
    """Whether the engine proved that the electronic structure converged."""
    iterations: int
    """Self-consistency iterations; -1 when the engine does not tell."""
    cpu_seconds: float
    """Processor time of this label (s)."""


class Engine(Protocol):
    """A teacher. Equal name, version and settings mean equal labels."""

    @property
    def name(self) -> str:
        """Name in the campaign file, such as `tblite`."""

    @property
    def version(self) -> str:
        """The program's own version, such as `0.8.0`."""

    @property
    def method(self) -> str:
        """Level of theory, such as `GFN1-xTB`."""

    @property
    def settings(self) -> Mapping[str, object]:
        """Everything else that the label depends on besides the frame; JSON can hold it."""

    def label(self, numbers: Array, positions: Array, cell: Array, charge: int) -> Label:
        """Label one frame, periodic in all three directions.

        Args:
            numbers: (atom,) atomic numbers.
            positions: (atom, 3), Å; atoms may lie outside the cell.
            cell: (3, 3), Å, vectors as rows.
            charge: total charge, e.

        Raises:
            LabelError: with one of `REASONS`, when this frame has no label.
            UserError: when the engine cannot label frames of this kind at all.
        """


def cpu_time() -> float:
    """Processor time of this process and of the children it has waited for (s)."""
    return sum(os.times()[:4])
