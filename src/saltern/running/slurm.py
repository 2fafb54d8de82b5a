"""What SLURM knows about the jobs of one working directory."""

from __future__ import annotations

import re
import shutil
import subprocess
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

from saltern.errors import UserError

_AT_ONCE = 1000
"""Jobs that SLURM's accounting is asked about in one command line."""


@dataclass(frozen=True)
class Job:
    """A job that Snakemake submitted."""

    number: int
    state: str
    rule: str


def jobs(directory: Path, states: str | None = None) -> list[Job]:
    """The user's jobs that a Snakemake at work in `directory` submitted.

    They are known by their working directory and by the comment that Snakemake's SLURM plugin gives them; anything else
    that the user submitted from there is left alone.

    Args:
        directory: the working directory of the campaign.
        states: SLURM's states, comma-separated; by default all in which a job waits, runs or is being ended.
    """
    chosen = ["--states", states] if states else []
    answer = _ask("squeue", "--me", "--noheader", "--format", "%A|%T|%k|%Z", *chosen)
    found = {}
    for line in answer.splitlines():
        number, state, comment, place = line.split("|", 3)
        match = re.match(r"(?:rule|group)_(.+?)(?:_wildcards_|$)", comment)
        if match and Path(place).resolve() == directory.resolve():
            found[int(number)] = Job(int(number), state, match[1])
    return list(found.values())


def states(numbers: Sequence[int]) -> dict[int, str]:
    """The states of jobs, as far as SLURM remembers them; of its queue, which remembers minutes, without accounting.

    Raises:
        UserError: SLURM's commands are missing or it does not answer.
    """
    if shutil.which("squeue") is None:
        raise UserError("squeue is not on PATH")
    if _accounting_answers():
        asked = ("sacct", "--allocations", "--noheader", "--parsable2", "--format", "JobIDRaw,State", "--jobs")
        parts = [numbers[start : start + _AT_ONCE] for start in range(0, len(numbers), _AT_ONCE)]
        answers = [_ask(*asked, ",".join(map(str, part))) for part in parts]
    else:
        answers = [_ask("squeue", "--me", "--noheader", "--states", "all", "--format", "%A|%T")]
    told = dict(line.split("|") for answer in answers for line in answer.splitlines())
    return {number: told[str(number)] for number in numbers if str(number) in told}


def in_words(found: Iterable[Job]) -> str:
    """Such as `2 label running, 1 train pending`."""
    counts = Counter(f"{job.rule} {job.state.lower()}" for job in found)
    return ", ".join(f"{number} {what}" for what, number in sorted(counts.items()))


def cancel(found: Iterable[Job]) -> None:
    """Cancel jobs; those that have ended meanwhile are no error."""
    subprocess.run(["scancel", *(str(job.number) for job in found)], check=False, capture_output=True)


def requeue(job: Job) -> str:
    """Let a job start again under its own number; returns SLURM's complaint, empty when it obeyed."""
    done = subprocess.run(["scontrol", "requeue", str(job.number)], check=False, capture_output=True, text=True)
    return "" if done.returncode == 0 else " ".join(done.stderr.split())


@dataclass(frozen=True)
class Site:
    """How this cluster is set up.

    Attributes:
        accounting: whether `sacct` can be asked for states.
        remembers_s: how long the queue remembers a job that has ended.
    """

    accounting: bool
    remembers_s: int


def site() -> Site:
    """Ask the cluster how it is set up.

    Raises:
        UserError: SLURM's commands are missing or its controller does not answer.
    """
    missing = [program for program in ("sbatch", "squeue", "scontrol") if shutil.which(program) is None]
    if missing:
        raise UserError(
            f"the profile needs SLURM, and {missing[0]} is not on PATH; run it on a login node of the cluster"
        )
    config = dict(re.findall(r"^(\w+) += *(.*)$", _ask("scontrol", "show", "config"), re.MULTILINE))
    age = re.match(r"\d+", config.get("MinJobAge", ""))
    stored = config.get("AccountingStorageType", "").strip() not in ("", "(null)", "accounting_storage/none")
    return Site(stored and _accounting_answers(), int(age[0]) if age else 300)


def without_accounting(site: Site, first_look_s: int) -> list[str]:
    """Arguments for Snakemake where sacct cannot be asked, for it would wait for ever; none where it can.

    Args:
        site: the cluster.
        first_look_s: `slurm-init-seconds-before-status-checks` of the profile.
    """
    if site.accounting:
        return []
    # the plugin goes back to sacct unless the queue remembers jobs for three times its first wait
    shorter = max(1, min(first_look_s, site.remembers_s // 3))
    wait = [] if shorter == first_look_s else ["--slurm-init-seconds-before-status-checks", str(shorter)]
    return ["--slurm-status-command", "squeue", "--slurm-no-account", *wait]


def _accounting_answers() -> bool:
    """Whether sacct works; where it does not, a Snakemake that asks it waits for ever."""
    if shutil.which("sacct") is None:
        return False
    try:
        asked = subprocess.run(["sacct", "--allocations", "--noheader"], check=False, capture_output=True, timeout=60)
    except subprocess.TimeoutExpired:
        return False
    return asked.returncode == 0


def _ask(*command: str) -> str:
    """Run one of SLURM's commands."""
    done = subprocess.run(command, check=False, capture_output=True, text=True)
    if done.returncode != 0:
        raise UserError(f"{' '.join(command[:2])}: SLURM does not answer ({' '.join(done.stderr.split())})")
    return done.stdout
