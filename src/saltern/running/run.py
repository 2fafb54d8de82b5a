"""Run a campaign with Snakemake, or take it up again in whatever state it was left."""

from __future__ import annotations

import contextlib
import os
import re
import subprocess
import time
from collections import Counter
from pathlib import Path

from saltern.config import load_campaign
from saltern.errors import UserError
from saltern.progress import say
from saltern.running import processes, records, slurm
from saltern.running.attempts import attempts
from saltern.running.lock import Lock, locked
from saltern.running.plan import Plan
from saltern.running.supervise import supervise

_DRY_RUN = re.compile(r"-[A-Za-z]*n[A-Za-z]*|--dry-?run")
_FIRST_LOOK = "slurm-init-seconds-before-status-checks"


def run(plan: Plan) -> int:
    """Run a campaign to its end; returns Snakemake's exit code.

    Raises:
        UserError: the campaign or the profile is wrong, another run is at work, or SLURM does not answer.
    """
    plan.check()
    if any(_DRY_RUN.fullmatch(argument) for argument in plan.arguments):
        return subprocess.run(plan.command(), check=False, env=plan.environment()).returncode
    try:
        with locked(plan.directory) as lock:
            return _run(plan, lock)
    except KeyboardInterrupt:
        say("saltern run: stopped; the same command goes on from here")
        return 130


def _run(plan: Plan, lock: Lock) -> int:
    """Start Snakemake, again if it loses track of its jobs, until it ends by itself."""
    while True:
        processes.end_orphans(plan.directory)
        if _clear_stale_lock(plan.directory):
            lock.submitting("")
        more = _prepare_slurm(plan, lock) if plan.on_slurm else []
        _mend_times(plan.directory / "results", plan.directory / load_campaign(plan.campaign).label_store / "recalls")
        lock.submitting(records.fingerprint(plan.campaign, plan.snakefile, plan.arguments))
        begun = time.time()
        code = supervise(plan, more)
        if plan.on_slurm:
            _say_what_failed(plan, begun)
        if code is not None:
            return code


def _clear_stale_lock(directory: Path) -> bool:
    """Remove the lock that a Snakemake started by hand left when it was killed; returns whether there was one."""
    locks = list((directory / ".snakemake" / "locks").glob("*.lock"))
    if not locks:
        return False
    processes.refuse_other_snakemake(directory)
    for lock in locks:
        lock.unlink(missing_ok=True)
    say("saltern run: removed the lock of a Snakemake that was killed")
    return True


def _mend_times(*directories: Path) -> None:
    """Bring files of the future, left by a clock that was set back, to the present.

    Snakemake fails every job whose output is older than its input, and so all that follow from such a file.
    """
    now, mended = time.time(), 0
    for path in (path for directory in directories for path in directory.rglob("*")):
        with contextlib.suppress(FileNotFoundError):
            if path.lstat().st_mtime > now:
                os.utime(path, (now, now), follow_symlinks=False)
                mended += 1
    if mended:
        say(f"saltern run: {mended} file(s) were from the future; gave them the present time (was the clock set back?)")


def _prepare_slurm(plan: Plan, lock: Lock) -> list[str]:
    """Make sure that no job of an earlier run is left, and return the arguments that this cluster needs."""
    more = slurm.without_accounting(slurm.site(), int(str(plan.settings.get(_FIRST_LOOK, 40))))
    if more:
        say("saltern run: this SLURM keeps no accounting; squeue is asked for states of jobs, and no account is given")
    _settle(plan)
    outputs = records.unrecorded(plan.directory, plan.logdir)
    if not outputs:
        return more
    finished = f"{len(outputs)} file(s) were finished after Snakemake was killed"
    if lock.fingerprint == records.fingerprint(plan.campaign, plan.snakefile, plan.arguments):
        touch = plan.command("--touch", "--force", *outputs, "--cores", "1", "--rerun-triggers", "mtime")
        if subprocess.run(touch, check=False, env=plan.environment(), capture_output=True).returncode == 0:
            say(f"saltern run: {finished}; taking them over")
            return more
    say(f"saltern run: {finished}, of a campaign or code that may have been another; making them again")
    return ["--forcerun", *outputs, *more]


def _settle(plan: Plan) -> None:
    """Wait until no job of an earlier run is left in the queue, or cancel them."""
    left = slurm.jobs(plan.directory)
    if not left:
        return
    words = slurm.in_words(left)
    if plan.cancel_leftovers:
        say(f"saltern run: cancelling the jobs of an earlier run ({words})")
        slurm.cancel(left)
    else:
        say(
            f"saltern run: jobs of an earlier run are still in the queue ({words}); waiting for them, since the same "
            "work must not be submitted twice (--cancel-leftovers ends them instead)"
        )
    said = time.monotonic()
    while left:
        time.sleep(min(plan.poll_s, 5))
        left = _jobs_if_told(plan.directory, left)
        if left and (slurm.in_words(left) != words or time.monotonic() - said > 300):
            words, said = slurm.in_words(left), time.monotonic()
            say(f"saltern run: waiting for {words}")


def _jobs_if_told(directory: Path, before: list[slurm.Job]) -> list[slurm.Job]:
    """The jobs in the queue; those of the last look while SLURM's controller is away."""
    try:
        return slurm.jobs(directory)
    except UserError:
        return before


def _say_what_failed(plan: Plan, begun: float) -> None:
    """Name what ended the attempts that failed, and what is still in the queue."""
    failed = Counter(f"{attempt.rule}: {attempt.outcome}" for attempt in attempts(plan.logdir, since=begun))
    if failed:
        words = "; ".join(f"{number} × {what}" for what, number in sorted(failed.items()))
        say(f"saltern run: attempts that failed: {words}")
    left = _jobs_if_told(plan.directory, [])
    if left:
        say(f"saltern run: still in the queue: {slurm.in_words(left)}; the same command waits for them")
