"""What a teacher is: something that gives energy, forces and stress of frames, or says why not."""

from __future__ import annotations

import resource
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
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
    "teacher-stopped": "the dynamics of a teacher that moves had to be stopped before it came to the frame",
    "not-settled": "the trajectory's coordination is not that of the solution in equilibrium",
}
"""Every reason of a `LabelError` or a `Failure`, and so every reason in a ledger, with its meaning."""


@dataclass(frozen=True)
class Question:
    """One frame, periodic in all three directions, as an engine is asked about it."""

    numbers: Array
    """(atom,) atomic numbers."""
    positions: Array
    """(atom, 3), Å; atoms may lie outside the cell."""
    cell: Array
    """(3, 3), Å, vectors as rows."""
    charge: int
    """Total charge, e."""


@dataclass(frozen=True)
class Label:
    """What an engine found for one frame, its electronic structure, where there is one, proven to be converged."""

    energy: float
    """Total energy (eV)."""
    forces: Array
    """(atom, 3), eV/Å."""
    stress: Array
    """(3, 3), eV/Å³, positive in tension."""
    iterations: int
    """Self-consistency iterations; -1 when the engine does not tell, or has none."""
    cpu_seconds: float
    """Processor time of this label (s), all attempts together."""
    scf_path: str
    """How the electronic structure was sought: the attempts in their order, the last one converged; or nothing."""


@dataclass(frozen=True)
class Failure:
    """Why an engine has no label for one frame, whatever it tried."""

    reason: str
    """One of `REASONS`."""
    detail: str
    """The engine's own words, for people."""
    cpu_seconds: float
    """Processor time of all attempts (s)."""
    scf_path: str
    """The attempts in their order."""


class Engine(Protocol):
    """A teacher. Equal name, version and settings mean equal labels."""

    @property
    def name(self) -> str:
        """Name in the campaign file, such as `tblite`."""

    @property
    def version(self) -> str:
        """The program's own version, such as `0.8.0`."""

    @property
    def build(self) -> str:
        """How that program was made (compiler, libraries), as far as it tells; for the record only."""

    @property
    def method(self) -> str:
        """Level of theory, such as `GFN1-xTB`."""

    @property
    def settings(self) -> Mapping[str, object]:
        """Everything else that the label depends on besides the frame; JSON can hold it."""

    def answers(
        self, questions: Sequence[Question], wanted: Sequence[int], directory: Path
    ) -> Iterator[Label | Failure]:
        """Answer some of a row of questions one after another, each as soon as it is settled.

        The same row gives the same answers, to the last bit, however many calls are needed to get them all.

        Args:
            questions: the frames, in the order of their trajectories, so that neighbours are often alike.
            wanted: which of them to answer, in ascending order; the others are known already.
            directory: scratch space that only this row of questions uses. It may be empty or hold what an earlier,
                killed run left there.

        Raises:
            UserError: when the engine cannot label frames of this kind at all.
            EngineError: when it was stopped from outside or its files are gone, which says nothing about a frame.
        """


def cpu_time() -> float:
    """Processor time of this process and of the children it has waited for (s)."""
    usage = (resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN))
    return sum(part.ru_utime + part.ru_stime for part in usage)
