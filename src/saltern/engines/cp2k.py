"""CP2K: density-functional theory or tight binding by an installed program, many frames in one process."""

from __future__ import annotations

import contextlib
import hashlib
import json
import re
import shlex
import shutil
import subprocess
import tempfile
from collections.abc import Generator, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from saltern.config import Cp2kTeacher
from saltern.engines.base import Failure, Label, Question, cpu_time
from saltern.engines.cp2k_input import COARSEST_RY, GRID_RATIO, RUNGS, Rung, Wavefunctions, batch_input, trajectory
from saltern.engines.cp2k_output import Output, parse_frame
from saltern.engines.cp2k_process import environment, run
from saltern.errors import EngineError, LabelError, UserError
from saltern.frames import Array
from saltern.store.files import file_hash

PROGRAM = "cp2k.psmp"

ALIKE_A = 0.8
"""Frames whose atoms lie no further apart than this (Å, root mean square) share a good guess of their orbitals."""

LONGEST_CHAIN = 20
"""Frames in a row that start one from the other. What a frame's orbitals started from can be lost only to here."""

HOW = {"command", "threads", "reuse"}
"""Options that say how the answer is found, not what is asked."""

GRID = {"basis", "cutoff_Ry", "relative_cutoff_Ry", "smoothing"}
"""Options that tight binding has no use for."""


class Cp2kEngine:
    """CP2K with its own trajectory reader: one process for as many frames as go together.

    A frame that is like the one before starts from its orbitals, the others from the atoms. Which do follows from the
    frames alone, and the orbitals of the last frame stay in the directory, so a run that was killed and started again
    goes on as if nothing had happened, to the last bit.
    """

    name = "cp2k"

    def __init__(self, teacher: Cp2kTeacher) -> None:
        self._teacher = teacher
        self._command = _find(teacher.command)
        self.version, self.build = _version(self._command)
        self.method: str = teacher.method
        self.settings: Mapping[str, object] = _settings(teacher)

    def answers(
        self, questions: Sequence[Question], wanted: Sequence[int], directory: Path
    ) -> Iterator[Label | Failure]:
        """See `Engine.answers`.

        Where the electronic structure does not converge it is sought again in other ways, from the atoms and with the
        same level of theory (`cp2k_input.RUNGS`).

        Raises:
            EngineError: when CP2K was stopped or its files are gone, which says nothing about the frame.
        """
        linked = _links(questions) if self._teacher.reuse and self.method != "gfn1-xtb" else [False] * len(questions)
        rest, kept = list(wanted), _Kept(directory, self.settings)
        try:
            while rest:
                stretch = _next_stretch(questions, rest, linked, kept)
                for index, answer in self._stretch(questions, stretch, linked, kept):
                    if index == rest[0]:
                        rest.pop(0)
                        yield answer
        except OSError as error:
            raise EngineError(f"{directory}: {error.strerror}; run it again once that is mended") from error

    def _stretch(
        self, questions: Sequence[Question], stretch: Stretch, linked: list[bool], kept: _Kept
    ) -> Iterator[tuple[int, Label | Failure]]:
        """Frames that one process can do, up to the first that fails; that one is sought in other ways."""
        seconds = 0.0
        with _scratch(kept.directory) as scratch:
            if stretch.start is not None:
                # a copy: CP2K would go on from the atoms where a second writer of the batch had removed it meanwhile
                shutil.copyfile(stretch.start, scratch / START)
            texts = self._run(scratch, [questions[i] for i in stretch.frames], RUNGS[0], stretch.orbitals)
            for index in stretch.frames:
                path = RUNGS[0].name + (CONTINUED if linked[index] else "")
                try:
                    text, seconds = _next(texts)
                    output = self._parsed(text, questions[index])
                except LabelError as error:
                    failure = Failure(error.reason, error.detail, seconds, path)
                    break
                if stretch.orbitals.kept:
                    kept.add(questions[index], scratch, output.steps)
                yield index, Label(*output, cpu_seconds=seconds, scf_path=path)
                if linked[index]:
                    kept.drop(questions[index - 1])
            else:
                return
            texts.close()  # ends the process
        yield index, self._escalated(questions[index], failure, kept.directory, again=linked[index])
        if index + 1 < len(linked):
            linked[index + 1] = False

    def _escalated(self, question: Question, failure: Failure, directory: Path, *, again: bool) -> Label | Failure:
        """The answer of the first way that converges, or the last failure; `again` tries the first way, too."""
        for rung in RUNGS if again else RUNGS[1:]:
            if failure.reason != "scf-not-converged":
                break
            start = cpu_time()
            path = f"{failure.scf_path} > {rung.name}"
            with _scratch(directory) as scratch:
                try:
                    text, _ = _next(self._run(scratch, [question], rung, Wavefunctions()))
                    output = self._parsed(text, question)
                except LabelError as error:
                    failure = Failure(error.reason, error.detail, failure.cpu_seconds + cpu_time() - start, path)
                else:
                    return Label(*output, cpu_seconds=failure.cpu_seconds + cpu_time() - start, scf_path=path)
        return failure

    def _parsed(self, text: str, question: Question) -> Output:
        return parse_frame(text, len(question.numbers), response=self.method == "dc-r2scan")

    def _run(
        self, scratch: Path, questions: Sequence[Question], rung: Rung, orbitals: Wavefunctions
    ) -> Generator[tuple[str, float]]:
        """Start CP2K on some frames; gives what it prints about each, and its CPU seconds."""
        text = batch_input(self._teacher, self.version, questions, rung, orbitals)
        (scratch / "batch.inp").write_text(text, encoding="utf-8")
        (scratch / "frames.xyz").write_text(trajectory(questions), encoding="utf-8")
        return run(self._command, scratch, self._teacher.threads)


CONTINUED = "-continued"
"""Marks the attempt that started from the frame before."""

START = "start.wfn"
"""The orbitals that the first frame of a process starts from, beside its input."""


@dataclass(frozen=True)
class Stretch:
    """Frames for one process, and what becomes of their orbitals."""

    frames: Sequence[int]
    orbitals: Wavefunctions = field(default_factory=Wavefunctions)
    start: Path | None = None
    """What `orbitals.first` is copied from."""


def _settings(teacher: Cp2kTeacher) -> dict[str, object]:
    """What is asked: every option that may change a label, and how the grids follow from the cutoff."""
    if teacher.method == "gfn1-xtb":
        return teacher.model_dump(exclude=HOW | GRID)
    return {**teacher.model_dump(exclude=HOW), "grid_ratio": GRID_RATIO, "coarsest_grid_Ry": COARSEST_RY}


def _links(questions: Sequence[Question]) -> list[bool]:
    """Whether each frame starts from the one before."""
    linked, length = [], 0
    for index, question in enumerate(questions):
        follows = index > 0 and length < LONGEST_CHAIN and _alike(questions[index - 1], question)
        length = length + 1 if follows else 1
        linked.append(follows)
    return linked


def _alike(one: Question, other: Question) -> bool:
    """Whether the orbitals of one frame are a good guess for the other."""
    if not _same_box(one, other):
        return False
    apart = np.linalg.solve(one.cell.T, (other.positions - one.positions).T).T
    distances: Array = (apart - np.round(apart)) @ one.cell
    return bool(np.sqrt(np.mean(np.sum(distances**2, axis=1))) < ALIKE_A)


def _same_box(one: Question, other: Question) -> bool:
    """Whether two frames differ in positions only, so that one process can do both."""
    return (
        np.array_equal(one.numbers, other.numbers)
        and np.array_equal(one.cell, other.cell)
        and one.charge == other.charge
    )


def _next_stretch(questions: Sequence[Question], wanted: Sequence[int], linked: Sequence[bool], kept: _Kept) -> Stretch:
    """What to do next: a chain with the first wanted frame, or the unlinked frames from there on.

    A wanted frame whose predecessor's orbitals are lost is reached again from the start of its chain.
    """
    first = last = wanted[0]
    known = set(wanted)
    while last + 1 in known and linked[last + 1]:
        last += 1
    start = None
    while linked[first] and (start := kept.find(questions[first - 1])) is None:
        first -= 1
    if first != last or linked[first]:
        return Stretch(range(first, last + 1), Wavefunctions(kept=True, first=START if start else None), start)
    alone = []
    for index in wanted:
        chained = linked[index] or (index + 1 in known and linked[index + 1])
        if chained or not _same_box(questions[wanted[0]], questions[index]):
            break
        alone.append(index)
    return Stretch(alone or [first])


class _Kept:
    """The orbitals of finished frames, in files for the frames that start from them.

    A name says of which frame and settings the orbitals are, for the batch may have been another's before a kill. It
    ends with the hash of the file: of orbitals that are cut off CP2K aborts, and a flipped bit gives other labels.
    """

    def __init__(self, directory: Path, settings: Mapping[str, object]) -> None:
        self.directory = directory
        self._settings = json.dumps(settings, sort_keys=True).encode()

    def find(self, question: Question) -> Path | None:
        """The orbitals of a frame, or None when they are not there or damaged."""
        found = self.directory.glob(f"{self._name(question)}-*.wfn")
        return next((path for path in found if path.stem.endswith(f"-{file_hash(path)}")), None)

    def add(self, question: Question, scratch: Path, steps: int) -> None:
        """Keep the orbitals that CP2K wrote last, whole or not at all.

        Their file's name ends with the number of steps; where it is another frame's, this one's can be found again.
        """
        latest = max(scratch.glob("batch-orbitals-*.wfn"), key=lambda path: path.stat().st_mtime_ns, default=None)
        if latest is not None and latest.stem.endswith(f"_{steps}"):
            latest.replace(self.directory / f"{self._name(question)}-{file_hash(latest)}.wfn")

    def drop(self, question: Question) -> None:
        """Remove the orbitals of a frame."""
        for path in self.directory.glob(f"{self._name(question)}-*.wfn"):
            path.unlink(missing_ok=True)

    def _name(self, question: Question) -> str:
        coordinates = (question.numbers.tobytes(), question.positions.tobytes(), question.cell.tobytes())
        return hashlib.sha256(b"".join((*coordinates, self._settings))).hexdigest()[:32]


@contextlib.contextmanager
def _scratch(directory: Path) -> Iterator[Path]:
    """A directory for one process, gone when it is done with."""
    path = Path(tempfile.mkdtemp(dir=directory))
    try:
        yield path
    finally:
        shutil.rmtree(path, ignore_errors=True)


def _next(texts: Iterator[tuple[str, float]]) -> tuple[str, float]:
    """What CP2K printed about the next frame.

    Raises:
        EngineError: when it ended well but said nothing about it.
    """
    try:
        return next(texts)
    except StopIteration:
        raise EngineError("CP2K's output holds nothing about a frame (was the disk full?); run it again") from None


def _find(command: str | None) -> list[str]:
    """The command with its program's path.

    Raises:
        UserError: when the program is not there.
    """
    words = shlex.split(command or PROGRAM)
    found = shutil.which(words[0]) if words else None
    if found is None:
        where = f"'{command}' is no program" if command is not None else f"{PROGRAM} is not in PATH"
        raise UserError(
            f"teacher.command: {where}; install CP2K (`apt install cp2k` or `conda install -c conda-forge cp2k`) "
            "or give its path or a container's command"
        )
    return [str(Path(found).absolute()), *words[1:]]


def _version(command: Sequence[str]) -> tuple[str, str]:
    """What the program says it is, such as `2023.1`, and how it was made.

    Raises:
        UserError: when it is not CP2K.
    """
    shown = shlex.join(command)
    try:
        process = subprocess.run(
            [*command, "--version"], env=environment(command), capture_output=True, text=True, check=False, timeout=120
        )
    except (OSError, subprocess.TimeoutExpired) as error:
        raise UserError(f"teacher.command: '{shown}' cannot be run ({error})") from error
    found = re.search(r"CP2K version (\S+)", process.stdout)
    if found is None:
        raise UserError(f"teacher.command: '{shown}' is not CP2K; expected a {PROGRAM}")
    facts = re.findall(r"^ *(?:Source code revision|cp2kflags:|compiler:) *(.+?) *$", process.stdout, re.MULTILINE)
    return found[1], "; ".join(facts)
