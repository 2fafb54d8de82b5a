"""Processes of this machine that belong to a run of a working directory."""

from __future__ import annotations

import signal
from collections.abc import Iterator
from pathlib import Path

import psutil

from saltern.errors import UserError
from saltern.progress import say

MARK = "SALTERN_RUN"
"""Environment variable that a run gives to all processes it starts: its working directory."""

_PATIENCE_S = 20.0


def end_orphans(directory: Path) -> None:
    """End local processes that a killed run left behind: they would write what the next run writes.

    What they had not finished is done again in any case, since Snakemake cannot know that they finished it.
    """
    orphans = [process for process in _local() if _environment(process).get(MARK) == str(directory)]
    if not orphans:
        return
    say(f"saltern run: ending {len(orphans)} process(es) that an earlier run, killed, left behind")
    for process in orphans:
        _send(process, signal.SIGTERM)
    _, deaf = psutil.wait_procs(orphans, timeout=_PATIENCE_S)
    for process in deaf:
        _send(process, signal.SIGKILL)
    psutil.wait_procs(deaf, timeout=_PATIENCE_S)


def refuse_other_snakemake(directory: Path) -> None:
    """A Snakemake that was started by hand does not take our lock.

    Raises:
        UserError: one is at work in this directory, on this machine.
    """
    for process in _local():
        try:
            here = process.cwd() == str(directory) and "snakemake" in " ".join(process.cmdline())
        except psutil.Error:
            continue
        if here:
            raise UserError(f"a Snakemake started by hand is still at work in {directory} (process {process.pid})")


def has_children(pid: int) -> bool:
    """Whether a process is waiting for another one."""
    try:
        return bool(psutil.Process(pid).children())
    except psutil.Error:
        return False


def _local() -> Iterator[psutil.Process]:
    """Other processes that are no SLURM job; a node may be this very machine."""
    own = psutil.Process().pid
    return (
        process
        for process in psutil.process_iter()
        if process.pid != own and "SLURM_JOB_ID" not in _environment(process)
    )


def _environment(process: psutil.Process) -> dict[str, str]:
    """The environment with which a process was started; empty for those of other users."""
    try:
        return dict(process.environ())
    except (psutil.Error, OSError):
        return {}


def _send(process: psutil.Process, number: signal.Signals) -> None:
    try:
        process.send_signal(number)
    except psutil.NoSuchProcess:
        return
