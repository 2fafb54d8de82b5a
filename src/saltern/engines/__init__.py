"""Teachers behind one protocol: `make_engine` gives the one a campaign asks for."""

from __future__ import annotations

from saltern.config import TbliteTeacher, Teacher
from saltern.engines.base import REASONS, Engine, Failure, Label, Question, cpu_time

__all__ = ["REASONS", "Engine", "Failure", "Label", "Question", "cpu_time", "make_engine"]


def make_engine(teacher: Teacher) -> Engine:
    """The engine of a campaign's `teacher` section.

    Raises:
        UserError: when its program is not installed.
    """
    if isinstance(teacher, TbliteTeacher):
        from saltern.engines.tblite import TbliteEngine

        return TbliteEngine(teacher)
    from saltern.engines.cp2k import Cp2kEngine

    return Cp2kEngine(teacher)
