"""CP2K: density-functional theory or tight binding by an installed program, one process a frame."""

from __future__ import annotations

import os
import re
import shutil
import signal
import subprocess
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

from saltern.config import Cp2kTeacher
from saltern.engines.base import Failure, Label, Question, cpu_time
from saltern.engines.cp2k_input import frame_input
from saltern.engines.cp2k_output import Output, abort_message, ended_normally, parse_output
from saltern.errors import LabelError, SalternError, UserError

PROGRAM = "cp2k.psmp"

STOPPED = {signal.SIGHUP, signal.SIGINT, signal.SIGKILL, signal.SIGTERM, signal.SIGXCPU}
"""Signals that come from outside, so that they say nothing about the frame."""


class Cp2kEngine:
    """One CP2K process a frame, in a directory of its own."""

    name = "cp2k"

    def __init__(self, teacher: Cp2kTeacher) -> None:
        self._teacher = teacher
        self._executable = _find(teacher.executable)
        self.version = _version(self._executable)
        self.build = ""
        self.method: str = teacher.method
        self.settings: Mapping[str, object] = teacher.model_dump(exclude={"executable"})

    def answers(self, questions: Sequence[Question], directory: Path) -> Iterator[Label | Failure]:
        """See `Engine.answers`."""
        for question in questions:
            start = cpu_time()
            try:
                output = self._run(Path(tempfile.mkdtemp(dir=directory)), question)
            except LabelError as error:
                yield Failure(error.reason, error.detail, cpu_time() - start, "ot-diis")
            else:
                yield Label(*output, cpu_seconds=cpu_time() - start, scf_path="ot-diis")

    def _run(self, directory: Path, question: Question) -> Output:
        """Run CP2K on an input and read what it wrote."""
        atoms = len(question.numbers)
        text = frame_input(self._teacher, question.numbers, question.positions, question.cell, question.charge)
        (directory / "frame.inp").write_text(text, encoding="utf-8")
        process = subprocess.run(
            [self._executable, "-i", "frame.inp", "-o", "frame.out"],
            cwd=directory,
            env={**os.environ, "OMP_NUM_THREADS": "1"},
            stdin=subprocess.DEVNULL,
            capture_output=True,
            check=False,
        )
        # MPI passes a signal on as 128 + its number
        number = -process.returncode if process.returncode < 0 else process.returncode - 128
        if number in STOPPED:
            raise SalternError(f"{self._executable}: stopped by signal {number}; see {directory}")
        path = directory / "frame.out"
        output = path.read_text(encoding="utf-8", errors="replace") if path.exists() else ""
        if process.returncode == 0 and not ended_normally(output):
            raise SalternError(f"{self._executable}: the output is cut off (is the disk full?); see {directory}")
        try:
            if process.returncode != 0:
                complaint = abort_message(output) or " ".join(process.stderr.decode(errors="replace").split())
                raise LabelError("engine-failed", f"exit status {process.returncode}, {complaint}")
            return parse_output(output, atoms)
        except LabelError as error:
            raise LabelError(error.reason, f"{error.detail}; see {directory}") from error


def _find(executable: str | None) -> str:
    """Path of the program.

    Raises:
        UserError: when it is not there.
    """
    found = shutil.which(executable or PROGRAM)
    if found is None:
        where = f"'{executable}' is no program" if executable else f"{PROGRAM} is not in PATH"
        raise UserError(
            f"teacher.executable: {where}; install CP2K (`apt install cp2k` or `conda install -c conda-forge cp2k`) "
            "or give its path"
        )
    return str(Path(found).absolute())


def _version(executable: str) -> str:
    """What the program says it is, such as `2023.1`.

    Raises:
        UserError: when it is not CP2K.
    """
    try:
        process = subprocess.run([executable, "--version"], capture_output=True, text=True, check=False, timeout=60)
    except (OSError, subprocess.TimeoutExpired) as error:
        raise UserError(f"teacher.executable: '{executable}' cannot be run ({error})") from error
    found = re.search(r"CP2K version (\S+)", process.stdout)
    if found is None:
        raise UserError(f"teacher.executable: '{executable}' is not CP2K; expected a {PROGRAM}")
    return found[1]
