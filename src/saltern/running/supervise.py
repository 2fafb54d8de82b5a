"""Looking after a Snakemake while it runs."""

from __future__ import annotations

import os
import signal
import subprocess
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from threading import Event
from types import FrameType

from saltern.children import tie_to_parent
from saltern.errors import UserError
from saltern.progress import say
from saltern.running import processes, slurm
from saltern.running.plan import Plan


def supervise(plan: Plan, more: Sequence[str]) -> int | None:
    """Run Snakemake; returns its exit code, or None when it had to be killed because it waited for nothing."""
    watch = _Watch(plan) if plan.on_slurm else None
    snakemake = subprocess.Popen(
        plan.command(*more),
        env=plan.environment(),
        stdin=subprocess.DEVNULL,
        process_group=0,  # Ctrl-C comes here only, to be handed on once
        preexec_fn=tie_to_parent,  # noqa: PLW1509, there are no threads here
    )
    with _signals_handed_on(snakemake, plan.on_slurm) as interrupted:
        while True:
            try:
                code = snakemake.wait(plan.poll_s)
                break
            except subprocess.TimeoutExpired:
                if watch is not None and not interrupted.is_set() and watch.look(snakemake.pid):
                    say("saltern run: Snakemake waits for jobs that SLURM does not have any more; starting it again")
                    snakemake.kill()
                    snakemake.wait()
                    return None
    if code < 0:
        say(f"saltern run: Snakemake was killed by signal {-code}; the same command goes on from here")
        return 128 - code
    return code


@contextmanager
def _signals_handed_on(snakemake: subprocess.Popen[bytes], on_slurm: bool) -> Iterator[Event]:
    """Hand SIGINT, once, and SIGTERM on to Snakemake; yields whether there was a SIGINT."""
    interrupted = Event()

    def interrupt(_number: int, _frame: FrameType | None) -> None:
        if interrupted.is_set():
            # a second one would make Snakemake leave its SLURM jobs running
            say("saltern run: still ending the jobs")
            return
        interrupted.set()
        if on_slurm:
            say("saltern run: interrupted; Snakemake cancels its jobs, which takes some seconds")
            snakemake.send_signal(signal.SIGINT)
        else:
            say("saltern run: interrupted; ending the running stages")
            os.killpg(snakemake.pid, signal.SIGINT)

    def terminate(_number: int, _frame: FrameType | None) -> None:
        say("saltern run: asked to end; Snakemake starts no more jobs and waits for those that run")
        snakemake.send_signal(signal.SIGTERM)

    before = [(number, signal.getsignal(number)) for number in (signal.SIGINT, signal.SIGTERM)]
    signal.signal(signal.SIGINT, interrupt)
    signal.signal(signal.SIGTERM, terminate)
    try:
        yield interrupted
    finally:
        for number, handler in before:
            signal.signal(number, handler)


class _Watch:
    """Looks after the jobs of a running Snakemake."""

    def __init__(self, plan: Plan) -> None:
        self._plan = plan
        # of an earlier Snakemake: this one submits their work anew
        self._told = {job.number for job in slurm.jobs(plan.directory, "PREEMPTED")}
        self._last_seen: float | None = None

    def look(self, pid: int) -> bool:
        """Bring back preempted jobs; returns whether Snakemake waits for jobs that are not there.

        A job that is preempted in a partition with PreemptMode=CANCEL is over for SLURM, but not for the plugin, which
        waits for it for ever. Requeued it keeps its number, so that the plugin sees it finish.
        """
        try:
            preempted = [job for job in slurm.jobs(self._plan.directory, "PREEMPTED") if job.number not in self._told]
            left = slurm.jobs(self._plan.directory)
        except UserError:
            return False
        for job in preempted:
            self._bring_back(job)
        if left or (self._last_seen is not None and processes.has_children(pid)):
            self._last_seen = time.monotonic()
        return self._last_seen is not None and time.monotonic() - self._last_seen > self._plan.patience_s

    def _bring_back(self, job: slurm.Job) -> None:
        """Requeue a preempted job."""
        complaint = slurm.requeue(job)
        if not complaint:
            say(f"saltern run: job {job.number} ({job.rule}) was preempted and cancelled; requeued it")
            return
        self._told.add(job.number)
        say(
            f"saltern run: job {job.number} ({job.rule}) was preempted and cancelled, and SLURM does not requeue it "
            f"({complaint}); it will be submitted anew when the other jobs have ended"
        )
