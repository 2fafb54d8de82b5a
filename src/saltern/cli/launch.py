"""Starting a command as several processes that work together.

Within a SLURM job `srun` starts them, so that SLURM places, binds, accounts and ends them, on several nodes too.
Elsewhere they are children of this process. torchrun would do for neither: under SLURM it would hide its processes from
the scheduler, and on one machine it opens a port to the network, loses the exit code of wrong input (2) and puts forty
lines of its own round a one-line error.

One process that ends badly ends all at once, however it went, and so does the end of the launcher; otherwise the others
would wait for it, or go on beside the next attempt.
"""

from __future__ import annotations

import os
import shutil
import socket
import subprocess
import sys
import threading
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor, as_completed
from pathlib import Path
from tempfile import TemporaryDirectory

from saltern.progress import say

THREADS = ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS")
"""Variables that say how many threads a process may use."""


def launch(command: Sequence[str], processes: int, output: Path) -> int:
    """Run `command` as several processes and wait for them.

    Each is given `--rendezvous FILE`, a name that all share, and finds its number with `place`. The cores that this
    process may use are divided among them.

    Args:
        command: program and arguments.
        processes: how many.
        output: what the command makes; the meeting place lies beside it, on the file system that all nodes share.

    Returns:
        The exit code: 0 when all ended well, otherwise that of a process that did not; 1 after a signal.
    """
    cores = int(os.environ.get(THREADS[0]) or len(os.sched_getaffinity(0)))
    threads = max(1, cores // processes)
    environment = {**os.environ, **dict.fromkeys(THREADS, str(threads))}
    output.parent.mkdir(parents=True, exist_ok=True)
    prefix = f".{output.name}.meeting-"
    for left in output.parent.glob(f"{prefix}*"):
        shutil.rmtree(left, ignore_errors=True)
    with TemporaryDirectory(prefix=prefix, dir=output.parent) as meeting:
        command = [*command, "--rendezvous", f"{meeting}/processes"]
        if "SLURM_JOB_ID" in os.environ:
            srun = ["srun", f"--ntasks={processes}", f"--cpus-per-task={threads}", "--kill-on-bad-exit=1"]
            return subprocess.run([*srun, *command], check=False, env=environment).returncode
        return _children(command, processes, environment)


def place() -> tuple[int, int]:
    """Number of this process among all, and among those of its node."""
    names = ("SLURM_PROCID", "SLURM_LOCALID") if "SLURM_JOB_ID" in os.environ else ("RANK", "LOCAL_RANK")
    return int(os.environ[names[0]]), int(os.environ[names[1]])


def end_with_launcher() -> None:
    """End this process at once when a launcher on this machine has gone, however it went; srun sees to its own."""
    if "SLURM_JOB_ID" not in os.environ:
        threading.Thread(target=_await_end, daemon=True).start()


def _await_end() -> None:
    """The launcher holds the other end of standard input and never writes."""
    os.read(sys.stdin.fileno(), 1)
    os._exit(1)


def _children(command: Sequence[str], processes: int, environment: dict[str, str]) -> int:
    """Processes on this machine, which talk over the loopback interface."""
    loopback = next((name for _, name in socket.if_nameindex() if name.startswith("lo")), "lo")
    children = [
        subprocess.Popen(
            command, stdin=subprocess.PIPE,
            env={**environment, "GLOO_SOCKET_IFNAME": loopback, "RANK": str(n), "LOCAL_RANK": str(n)},
        )
        for n in range(processes)
    ]  # fmt: skip
    failed = 0
    with ThreadPoolExecutor(processes) as pool:
        waiting = {pool.submit(child.wait): number for number, child in enumerate(children)}
        try:
            for ended in as_completed(waiting):
                if ended.result() and not failed:
                    failed = ended.result()
                    how = f"signal {-failed}" if failed < 0 else f"exit code {failed}"
                    say(f"process {waiting[ended]} of {processes} ended with {how}; the others are ended")
                    _kill(children)
        finally:
            _kill(children)
    return failed if failed >= 0 else 1


def _kill(children: Sequence[subprocess.Popen[bytes]]) -> None:
    for child in children:
        child.kill()
