"""A running CP2K: what it has written so far, what it has cost, and why it ended."""

from __future__ import annotations

import os
import resource
import signal
import subprocess
import time
from collections.abc import Generator, Iterator, Sequence
from pathlib import Path

import psutil

from saltern.children import tie_to_parent
from saltern.engines.cp2k_output import abort_message, ended_normally, split_finished
from saltern.errors import EngineError, LabelError

POLL_S = 0.05
"""Between two looks at a file that grows by a frame in seconds to minutes."""

STOPPED = {signal.SIGHUP, signal.SIGINT, signal.SIGKILL, signal.SIGTERM, signal.SIGXCPU}
"""Signals that come from outside, so that they say nothing about the frame."""


OF_A_TASK = {"SLURM_NODELIST", "SLURM_STEPID", "SLURM_STEP_ID"}
"""By these Open MPI takes a process for a task of srun, and ends it where SLURM lacks the matching PMI."""


def environment(command: Sequence[str]) -> dict[str, str]:
    """The environment of CP2K: where it is started as a single process, that process is no task of srun.

    A command such as `srun cp2k.psmp` gets all variables.
    """
    return {name: value for name, value in os.environ.items() if len(command) > 1 or name not in OF_A_TASK}


def run(command: Sequence[str], directory: Path, threads: int) -> Generator[tuple[str, float]]:
    """Run CP2K on `batch.inp` and give the text about each frame as soon as it is finished, with its CPU seconds.

    CP2K ends with the iterator and, whatever kills it, with this process.

    Raises:
        LabelError: when CP2K gave up on the frame after those given.
        EngineError: when it was stopped, or its output is cut off (a full disk: CP2K exits with 0), or its
            directory is gone; none of these says anything about a frame.
    """
    with (directory / "batch.err").open("wb") as errors:
        process = subprocess.Popen(
            [*command, "-i", "batch.inp", "-o", "batch.out"],
            cwd=directory,
            env={**environment(command), "OMP_NUM_THREADS": str(threads)},
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=errors,
            preexec_fn=tie_to_parent,  # noqa: PLW1509, this process has no other thread that holds a lock
        )
    try:
        yield from _finished(process, directory / "batch.out")
        _check_end(process.returncode, command[0], directory)
    finally:
        process.kill()
        process.wait()


def _finished(process: subprocess.Popen[bytes], output: Path) -> Iterator[tuple[str, float]]:
    """Frame after frame, until the process has ended."""
    before = _children_seconds()
    spent, position, rest = 0.0, 0, ""
    while True:
        ended = process.poll() is not None
        new = _read(output, position)
        if new:
            position += len(new)
            frames, rest = split_finished(rest + new.decode("ascii", errors="replace"))
            total = _children_seconds() - before if ended else _cpu_seconds(process.pid)
            for text in frames:
                yield text, (total - spent) / len(frames)
            spent = total if frames else spent
        elif ended:
            return
        else:
            time.sleep(POLL_S)


def _children_seconds() -> float:
    """Processor time of the children that have ended (s)."""
    usage = resource.getrusage(resource.RUSAGE_CHILDREN)
    return usage.ru_utime + usage.ru_stime


def _cpu_seconds(pid: int) -> float:
    """Processor time of a running process and its descendants so far (s)."""
    try:
        process = psutil.Process(pid)
        times = [part.cpu_times() for part in (process, *process.children(recursive=True))]
    except psutil.Error:
        return 0.0
    return float(sum(part.user + part.system for part in times))


def _read(path: Path, position: int = 0) -> bytes:
    """What the file holds from a position on; nothing when it is not there."""
    try:
        with path.open("rb") as file:
            file.seek(position)
            return file.read()
    except FileNotFoundError:
        return b""


def _check_end(status: int, program: str, directory: Path) -> None:
    """Tell an end that says something about a frame from one that does not."""
    if not directory.is_dir():
        raise EngineError(f"{program}: its directory {directory} was removed while it ran")
    # MPI passes a signal on as 128 + its number
    number = -status if status < 0 else status - 128
    if number in STOPPED:
        raise EngineError(f"{program}: stopped by signal {number}")
    text = _read(directory / "batch.out").decode("ascii", errors="replace")
    if status == 0:
        if not ended_normally(text):
            raise EngineError(f"{program}: the output is cut off (is the disk full?)")
        return
    complaint = abort_message(text) or " ".join(_read(directory / "batch.err").decode(errors="replace").split())
    reason = "scf-not-converged" if "SCF run NOT converged" in complaint else "engine-failed"
    raise LabelError(reason, f"CP2K ended with exit status {status}: {complaint}")
