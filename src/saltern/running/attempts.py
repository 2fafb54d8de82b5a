"""What ended each SLURM job that did not succeed, from the logs that SLURM itself wrote.

SLURM's plugin for Snakemake reports a job that outgrew its memory and one that failed alike ("FAILED, reason unknown").
SLURM's own log of the job, kept under `logs/slurm/rule_RULE/WILDCARDS/JOB.log`, tells them apart. Where it does not,
as of a job that was ended in the moment it was done, SLURM is asked for the job's state.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from saltern.errors import UserError
from saltern.running import slurm

Outcome = Literal["out of memory", "time limit", "preempted", "node failure", "requeued", "cancelled", "error"]
"""What ended an attempt; `requeued` is `scontrol requeue` by a person."""

_SIGNS: tuple[tuple[str, Outcome], ...] = (
    (r"oom[-_]kill event|exceeded (?:job )?memory limit", "out of memory"),
    (r"CANCELLED AT \S+ DUE TO TIME LIMIT", "time limit"),
    (r"CANCELLED AT \S+ DUE TO PREEMPTION", "preempted"),
    (r"CANCELLED AT \S+ DUE TO NODE FAIL", "node failure"),
    (r"CANCELLED AT \S+ DUE TO JOB REQUEUE", "requeued"),
    (r"(?:JOB|STEP) \S+ ON \S+ CANCELLED AT", "cancelled"),
    (r"Exiting because a job execution failed", "error"),
)
"""Messages of slurmstepd and, last, of Snakemake; an attempt has the first of these outcomes that its log shows."""

_STATES: dict[str, Outcome] = {
    "OUT_OF_MEMORY": "out of memory", "TIMEOUT": "time limit", "DEADLINE": "time limit", "PREEMPTED": "preempted",
    "NODE_FAIL": "node failure", "BOOT_FAIL": "node failure", "CANCELLED": "cancelled", "FAILED": "error",
}  # fmt: skip
"""The same in SLURM's words for a job's state."""

_START = re.compile(r"^ *Command: .*--executor slurm-jobstep", re.MULTILINE)
_WILDCARDS = re.compile(r"^ {4}wildcards: (.*)$", re.MULTILINE)
_DONE = "steps (100%) done"


@dataclass(frozen=True)
class Attempt:
    """One attempt of a job that did not succeed.

    Attributes:
        rule: the rule of the workflow.
        wildcards: their values by name; empty for a rule without, or when the job died before it could say.
        job: SLURM's job number. Attempts that SLURM itself restarted (requeued) share it.
        outcome: what ended it.
    """

    rule: str
    wildcards: dict[str, str]
    job: int
    outcome: Outcome


def attempts(logdir: Path, since: float = 0) -> list[Attempt]:
    """Read every attempt that did not succeed, in the order of the job numbers.

    A log may end in the middle: its job may still run (then the attempt is left out), or its node may have died before
    it could write. And a job whose work was done may still have been ended. So the state of jobs whose log tells of no
    failure is asked of SLURM's accounting, or, without one, of its queue, which remembers jobs for some minutes.

    Args:
        logdir: the profile's `slurm-logdir`; one that does not exist has no attempts.
        since: leaves out logs that were last written before this time, seconds since the epoch.
    """
    logs = sorted((int(log.stem), log) for log in logdir.glob("rule_*/**/*.log") if log.stem.isdigit())
    told = [_Log(job, log.relative_to(logdir).parts[0], log) for job, log in logs if log.stat().st_mtime >= since]
    states = _states([log.job for log in told if log.outcomes[-1] in (None, "done")])
    found = []
    for log in told:
        *before, last = log.outcomes
        # an attempt that was followed by another one without a last word ran on a node that died
        for outcome in [*(word or "node failure" for word in before), states.get(log.job, last)]:
            if outcome is not None and outcome != "done":
                found.append(Attempt(log.rule, log.wildcards, log.job, outcome))
    return found


def succeeded(text: str) -> bool:
    """Whether the last attempt in a log did what it was to do."""
    return _outcomes(text)[-1] == "done"


class _Log:
    """One log: of one job, with an attempt for each time that SLURM started it."""

    def __init__(self, job: int, folder: str, path: Path) -> None:
        text = path.read_text(errors="replace")
        wildcards = _WILDCARDS.search(text)
        self.job = job
        self.rule = folder.removeprefix("rule_")
        self.wildcards = dict(pair.split("=", 1) for pair in wildcards[1].split(", ")) if wildcards else {}
        self.outcomes = _outcomes(text)


def _outcomes(text: str) -> list[Outcome | Literal["done"] | None]:
    """How each attempt in one log ended, at least one; None where it does not say."""
    starts = [match.start() for match in _START.finditer(text)] or [0]
    return [_outcome(text[start:end]) for start, end in zip(starts, [*starts[1:], len(text)], strict=True)]


def _outcome(attempt: str) -> Outcome | Literal["done"] | None:
    """How an attempt ended by the text of its log."""
    # two Snakemakes run in each job, one in the other, and both must have said it; SLURM may end the job even then
    done = attempt.count(_DONE) == 2
    left = attempt.rpartition(_DONE)[2] if done else attempt
    found = next((outcome for sign, outcome in _SIGNS if re.search(sign, left, re.IGNORECASE)), None)
    return found or ("done" if done else None)


def _states(jobs: Sequence[int]) -> dict[int, Outcome]:
    """What ended jobs that did not succeed, as far as SLURM remembers; empty where there is no SLURM."""
    try:
        told = slurm.states(jobs) if jobs else {}
    except UserError:
        return {}
    # "CANCELLED by 1000"
    return {job: _STATES[word] for job, state in told.items() if (word := state.split()[0]) in _STATES}
