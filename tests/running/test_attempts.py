"""What the logs of SLURM say; tests/slurm has the same on logs that a cluster has just written."""

from pathlib import Path

import pytest

from saltern.running import attempts

BATCH = (
    "  Command: snakemake --target-jobs label:system=salt,batch=b0001 --executor slurm-jobstep --jobs 1 --mode remote\n"
)
STEP = "  Command: snakemake --target-jobs label:system=salt,batch=b0001 --mode remote\n"
START = f"{BATCH}rule label:\n    output: o.h5\n    wildcards: system=salt, batch=b0001\n{STEP}localrule label:\n"
DONE = "1 of 1 steps (100%) done\n" * 2
ERROR = "Exiting because a job execution failed. Look above for error messages\n"
KILLED = "slurmstepd-node1: error: *** JOB 7 ON node1 CANCELLED AT 2026-11-22T20:53:39{} ***\n"
MEMORY = "slurmstepd-node1: error: Detected 1 oom-kill event(s) in StepId=7.batch. Some of your processes may have\n"


def outcomes(tmp_path: Path, text: str) -> list[str]:
    log = tmp_path / "rule_label/salt_b0001/7.log"
    log.parent.mkdir(parents=True, exist_ok=True)
    log.write_text(text)
    found = attempts(tmp_path)
    assert all(one.rule == "label" and one.job == 7 for one in found)
    assert all(one.wildcards == {"system": "salt", "batch": "b0001"} for one in found)
    return [one.outcome for one in found]


@pytest.mark.parametrize(
    ("end", "expected"),
    [
        (DONE, []),
        # the stage was killed for its memory, so Snakemake says that the job failed
        (ERROR + MEMORY, ["out of memory"]),
        ("slurmstepd: error: StepId=7.0 exceeded memory limit (536 > 300), being killed\n" + ERROR, ["out of memory"]),
        (KILLED.format(" DUE TO TIME LIMIT") + ERROR, ["time limit"]),
        (KILLED.format(" DUE TO PREEMPTION"), ["preempted"]),
        (KILLED.format(" DUE TO NODE FAILURE, SEE SLURMCTLD LOG FOR DETAILS"), ["node failure"]),
        (KILLED.format(" DUE TO JOB REQUEUE"), ["requeued"]),
        (KILLED.format(""), ["cancelled"]),
        (ERROR, ["error"]),
        # the stage is done, but the job was ended before Snakemake had checked what it made
        ("1 of 1 steps (100%) done\n" + KILLED.format(" DUE TO TIME LIMIT"), ["time limit"]),
        # both have said that it is done, and yet SLURM ended the job, and Snakemake will start it again
        (DONE + KILLED.format(" DUE TO TIME LIMIT"), ["time limit"]),
        (KILLED.format(" DUE TO PREEMPTION") + DONE, []),
        # it may still run
        ("", []),
    ],
)
def test_the_end_of_a_log_says_what_ended_the_job(tmp_path: Path, end: str, expected: list[str]) -> None:
    assert outcomes(tmp_path, START + end) == expected


def test_a_job_that_slurm_restarted_has_several_attempts(tmp_path: Path) -> None:
    preempted = START + KILLED.format(" DUE TO PREEMPTION")
    without_a_last_word = START
    assert outcomes(tmp_path, preempted + without_a_last_word + START + DONE) == ["preempted", "node failure"]


def test_old_logs_are_left_out(tmp_path: Path) -> None:
    assert outcomes(tmp_path, START + ERROR) == ["error"]
    written = (tmp_path / "rule_label/salt_b0001/7.log").stat().st_mtime
    assert attempts(tmp_path, since=written + 1) == []


def test_no_logs_no_attempts(tmp_path: Path) -> None:
    assert attempts(tmp_path / "nowhere") == []


@pytest.mark.parametrize("accounting", [True, False])
def test_a_job_that_was_ended_as_it_was_done_is_known_by_its_state(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, accounting: bool
) -> None:
    """No cluster ends a job in that moment when asked to, so these are SLURM's words without SLURM."""
    words = {"sacct": "echo '7|TIMEOUT'" if accounting else "exit 1", "squeue": "echo '7|TIMEOUT'; echo '8|FAILED'"}
    for name, script in words.items():
        (tmp_path / name).write_text(f"#!/bin/sh\n{script}\n")
        (tmp_path / name).chmod(0o755)
    monkeypatch.setenv("PATH", str(tmp_path), prepend=":")
    assert outcomes(tmp_path / "logs", START + DONE) == ["time limit"]
    assert outcomes(tmp_path / "logs", START + ERROR) == ["error"], "the log says more than a state"
