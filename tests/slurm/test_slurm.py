"""Campaigns on a real SLURM with accounting, started for these tests and gone after them."""

import re
import subprocess
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from saltern.running import attempts

ROOT = Path(__file__).parents[2]
TINY = ROOT / "tests/workflow/tiny.yaml"
TRAPS = Path(__file__).with_name("traps.smk")

pytestmark = pytest.mark.slurm

Environment = dict[str, str]


@pytest.fixture(scope="module")
def traps(cluster: Environment, workplace: Any, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Any]:
    """A run into all traps at once. Most of it is waiting: it goes on beside the next test, and the last one looks."""
    here = workplace(tmp_path_factory.mktemp("traps"), cluster)
    here.run = here.start(TINY, TRAPS, handed_on=["--jobs", "5"])
    yield here
    here.run.kill()


def test_traps_spring(traps: Any) -> None:
    traps.until(lambda: all(traps.lines(f"{name}.starts") for name in ["time", "requeued", "cancelled", "node"]))
    # more processors than either node has left: both low jobs must give way
    traps.ask("sbatch", "--nodes=2", "--ntasks=2", "--cpus-per-task=4", "--time=1", "--output=/dev/null", "--wrap=true")
    (node,) = traps.ask("sinfo", "--noheader", "--partition=gpu", "--format=%N")
    traps.ask("scontrol", "update", f"node={node}", "state=down", "reason=test")
    traps.until(lambda: "was preempted and cancelled; requeued it" in traps.said())
    (state,) = traps.ask("sinfo", "--noheader", "--partition=gpu", "--format=%T")
    if state == "down":
        traps.ask("scontrol", "update", f"node={node}", "state=resume")


def jobs_by_rule(output: str) -> dict[str, int]:
    """The table "Job stats", without the rules that run in the main process."""
    table = output.split("Job stats:")[1].split("\n\n", maxsplit=1)[0]
    jobs = {rule: int(count) for rule, count in re.findall(r"^(\w+) +(\d+)$", table, re.MULTILINE)}
    return {rule: count for rule, count in jobs.items() if rule not in {"all", "total"}}


def test_every_job_of_a_campaign_runs_through_slurm(
    cluster: Environment, workplace: Any, one_system: Path, tmp_path: Path
) -> None:
    here = workplace(tmp_path, cluster)
    expected = jobs_by_rule(here.finish(one_system, ROOT / "Snakefile"))

    accounted = subprocess.run(
        ["sacct", "--allocations", "--noheader", "--parsable2", "--format", "State,WorkDir"],
        check=True, env=cluster, capture_output=True, text=True,
    )  # fmt: skip
    states = [line.split("|")[0] for line in accounted.stdout.splitlines() if line.endswith(f"|{tmp_path}")]
    assert states == ["COMPLETED"] * sum(expected.values())
    logs = [log.relative_to(tmp_path / "logs/slurm").parts[0] for log in tmp_path.glob("logs/slurm/**/*.log")]
    assert {rule: logs.count(f"rule_{rule}") for rule in expected} == expected
    assert attempts(tmp_path / "logs/slurm") == []
    assert (tmp_path / "results/tiny/report.html").is_file()

    assert "Nothing to be done" in here.finish(one_system, ROOT / "Snakefile")


def test_traps_are_survived_and_told_apart(traps: Any) -> None:
    code = traps.run.wait(300)
    if code and "Unable to open file assigned" in traps.said():
        # once in some runs: a node that failed is called "None assigned", and the plugin gives that to sbatch as words
        pytest.xfail("plugin 2.8 excludes a node that has no name yet; the same command goes on")
    assert code == 0, traps.said()
    found = attempts(traps.place / "logs/slurm")
    assert {attempt.rule: attempt.outcome for attempt in found} == {
        "memory": "out of memory",
        "time": "time limit",
        "requeued": "preempted",
        "cancelled": "preempted",
        "node": "node failure",
    }
    assert len(found) == 5
    starts = {rule: traps.lines(f"{rule}.starts") for rule in ["memory", "time", "requeued", "cancelled", "node"]}
    same_job = {rule: len(set(jobs)) == 1 for rule, jobs in starts.items()}
    assert Counter(map(len, starts.values())) == {2: 5}
    assert same_job == {"memory": False, "time": False, "requeued": True, "cancelled": True, "node": True}

    def asked(rule: str, what: str) -> list[str]:
        return traps.ask("sacct", "--allocations", "--noheader", f"--format={what}", f"--jobs={','.join(starts[rule])}")

    assert asked("memory", "ReqMem") == ["300M", "1200M"]
    assert asked("time", "Timelimit") == ["00:01:00", "00:02:00"]
    assert traps.lines("node.out")[0] in {"0", "1"}, "a GPU was given to the job"
