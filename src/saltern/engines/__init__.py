"""Teachers behind one protocol: `make_engine` gives the one a campaign asks for."""

from __future__ import annotations

from saltern.config import Cp2kTeacher, SevennetTeacher, TbliteTeacher, Teacher
from saltern.engines.base import REASONS, Engine, Failure, Label, Question, cpu_time
from saltern.engines.moving import ClassicalTeacher, MovingTeacher, Point, Trajectory
from saltern.engines.openmm import classical_forces
from saltern.errors import SalternError

__all__ = [
    "REASONS",
    "ClassicalTeacher",
    "Engine",
    "Failure",
    "Label",
    "MovingTeacher",
    "Point",
    "Question",
    "Trajectory",
    "classical_forces",
    "cpu_time",
    "make_engine",
]


def make_engine(teacher: Teacher) -> Engine:
    """The engine of a campaign's `teacher` section.

    Raises:
        UserError: when its program is not installed.
        SalternError: for a teacher that moves, which answers no questions.
    """
    if isinstance(teacher, TbliteTeacher):
        from saltern.engines.tblite import TbliteEngine

        return TbliteEngine(teacher)
    if isinstance(teacher, Cp2kTeacher):
        from saltern.engines.cp2k import Cp2kEngine

        return Cp2kEngine(teacher)
    if isinstance(teacher, SevennetTeacher):
        from saltern.potentials.backends import require

        require(teacher.engine, "teacher.engine")
        from saltern.engines.sevennet import SevennetEngine

        return SevennetEngine(teacher)
    raise SalternError(f"{teacher.engine} makes labels only by moving")
