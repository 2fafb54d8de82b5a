"""Campaigns on a real SLURM that keeps no accounting: nothing to ask but the queue. Some of them are killed."""

import os
import re
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import psutil
import pytest
import yaml

from saltern.running.slurm import Site, without_accounting

ROOT = Path(__file__).parents[2]
TINY = ROOT / "tests/workflow/tiny.yaml"
STEADY = Path(__file__).with_name("steady.smk")
SPOT = Path(__file__).with_name("spot.smk")

Environment = dict[str, str]

NOT_REQUEUED = """
from pathlib import Path
from saltern.running import Plan, run
raise SystemExit(run(Plan(campaign=Path({campaign!r}), profile=Path("profile"), directory=Path.cwd(),
    snakefile=Path({snakefile!r}), arguments=["--slurm-init-seconds-before-status-checks", "3"], cancel_leftovers=False,
    poll_s=1, patience_s=60)))
"""


@pytest.fixture(scope="module")
def whole(
    cluster_without_accounting: Environment, workplace: Any, one_system: Path, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Any]:
    """A run of a whole campaign, one short job after the other; it goes on beside the other tests."""
    here = workplace(tmp_path_factory.mktemp("whole"), cluster_without_accounting)
    here.run = here.start(one_system, ROOT / "Snakefile")
    yield here
    here.run.kill()


@pytest.mark.slurm
def test_it_is_told_that_there_is_no_accounting(whole: Any) -> None:
    whole.until(lambda: "this SLURM keeps no accounting" in whole.said())


def campaign_named(name: str, place: Path) -> Path:
    """The tiny campaign under another name, in the same file."""
    path = place / "campaign.yaml"
    path.write_text(yaml.safe_dump({**yaml.safe_load(TINY.read_text()), "campaign": name}))
    return path


def started(here: Any, times: int) -> bool:
    """Whether both steady jobs have been started so often."""
    return all(here.lines(f"{name}.log").count("start") == times for name in ["one", "two"])


@pytest.mark.slurm
def test_a_killed_run_is_taken_up_without_a_second_writer(
    cluster_without_accounting: Environment, workplace: Any, tmp_path: Path
) -> None:
    here = workplace(tmp_path, {**cluster_without_accounting, "SECONDS_EACH": "12"})
    campaign = campaign_named("first", tmp_path)
    run = here.start(campaign, STEADY)
    here.until(lambda: started(here, 1))
    own = ["sbatch", "--parsable", "--time=5", "--output=/dev/null", "--wrap=sleep 300"]
    (by_hand,) = here.ask(*own, f"--chdir={tmp_path}")
    (elsewhere,) = here.ask(*own, f"--chdir={tmp_path.parent}", "--comment=rule_steady")
    (snakemake,) = (child for child in psutil.Process(run.pid).children() if "snakemake" in " ".join(child.cmdline()))
    snakemake.send_signal(signal.SIGKILL)
    assert run.wait(30) == 128 + signal.SIGKILL

    again = here.start(campaign, STEADY, log="again.log")
    here.until(lambda: "waiting for them" in here.said("again.log"))
    third = here.start(campaign, STEADY, log="third.log")
    assert third.wait(60) == 2
    assert f"another run is still at work in {tmp_path}/results (process {again.pid} on " in here.said("third.log")
    assert again.wait(300) == 0, here.said("again.log")

    assert here.lines("one.log") == here.lines("two.log") == ["start", "end"], "nothing was done twice"
    assert "2 file(s) were finished after Snakemake was killed; taking them over" in here.said("again.log")
    assert here.ask("squeue", "--noheader", "--format=%T", f"--jobs={by_hand},{elsewhere}") == ["RUNNING"] * 2
    here.ask("scancel", by_hand, elsewhere)
    assert "Nothing to be done" in here.finish(campaign, STEADY)

    # what was taken over is known to have been made for the first campaign
    plan = here.finish(campaign_named("second", tmp_path), STEADY, handed_on=["--dry-run"])
    assert re.search(r"^steady +2$", plan, re.MULTILINE), plan


@pytest.mark.slurm
def test_what_was_finished_for_another_campaign_is_made_again(
    cluster_without_accounting: Environment, workplace: Any, tmp_path: Path
) -> None:
    here = workplace(tmp_path, {**cluster_without_accounting, "SECONDS_EACH": "3"})
    run = here.start(campaign_named("first", tmp_path), STEADY)
    here.until(lambda: started(here, 1))
    run.kill()

    said = here.finish(campaign_named("second", tmp_path), STEADY)
    assert "of a campaign or code that may have been another; making them again" in said
    assert (tmp_path / "one.out").read_text() == (tmp_path / "two.out").read_text() == "second\n"
    assert here.lines("one.log") == ["start", "end"] * 2


@pytest.mark.slurm
def test_leftovers_are_cancelled_when_asked_for(
    cluster_without_accounting: Environment, workplace: Any, tmp_path: Path
) -> None:
    here = workplace(tmp_path, {**cluster_without_accounting, "SECONDS_EACH": "300"})
    campaign = campaign_named("first", tmp_path)
    run = here.start(campaign, STEADY)
    here.until(lambda: started(here, 1))
    run.kill()

    here.environment["SECONDS_EACH"] = "0"
    said = here.finish(campaign, STEADY, "--cancel-leftovers")
    assert "cancelling the jobs of an earlier run (2 steady running)" in said
    assert here.lines("one.log") == ["start", "start", "end"]


@pytest.mark.slurm
def test_ctrl_c_ends_the_jobs(cluster_without_accounting: Environment, workplace: Any, tmp_path: Path) -> None:
    here = workplace(tmp_path, {**cluster_without_accounting, "SECONDS_EACH": "300"})
    run = here.start(TINY, STEADY)
    here.until(lambda: here.lines("one.log") and here.lines("two.log"))
    run.send_signal(signal.SIGINT)
    here.until(lambda: "Snakemake cancels its jobs" in here.said())
    run.send_signal(signal.SIGINT)
    assert run.wait(60) == 1, here.said()
    # SLURM may take some seconds to forget jobs that have ended
    here.until(lambda: str(tmp_path) not in here.ask("squeue", "--noheader", "--format=%Z"))
    assert "end" not in here.lines("one.log")


@pytest.mark.slurm
def test_a_preempted_job_that_slurm_does_not_requeue_is_submitted_anew(
    cluster_without_accounting: Environment, workplace: Any, tmp_path: Path
) -> None:
    profile = yaml.safe_load((ROOT / "profiles/slurm-ci/config.yaml").read_text())
    del profile["slurm-requeue"]
    (tmp_path / "profile").mkdir()
    (tmp_path / "profile/config.yaml").write_text(yaml.safe_dump(profile))
    here = workplace(tmp_path, {**cluster_without_accounting, "SBATCH_NO_REQUEUE": "1"})
    with (tmp_path / "run.log").open("w") as log:
        run = subprocess.Popen(
            [sys.executable, "-c", NOT_REQUEUED.format(campaign=str(TINY), snakefile=str(SPOT))],
            cwd=tmp_path, env=here.environment, stdout=log, stderr=subprocess.STDOUT,
        )  # fmt: skip
    try:
        here.until(lambda: here.lines("spot.starts"))
        (node,) = here.ask("squeue", "--noheader", "--partition=spotx", "--format=%N")
        # more processors than are left there
        here.ask("sbatch", f"--nodelist={node}", "--cpus-per-task=3", "--time=1", "--output=/dev/null", "--wrap=true")
        assert run.wait(300) == 0, here.said()
    finally:
        run.kill()
    assert "SLURM does not requeue it" in here.said()
    assert here.said().count("Snakemake waits for jobs that SLURM does not have any more; starting it again") == 1
    assert len(set(here.lines("spot.starts"))) == 2


@pytest.mark.slurm
def test_a_whole_campaign_runs(whole: Any) -> None:
    assert whole.run.wait(1500) == 0, whole.said()
    assert (whole.place / "results/tiny/report.html").is_file()


def test_the_queue_is_asked_while_it_still_remembers() -> None:
    assert without_accounting(Site(accounting=True, remembers_s=300), 40) == []
    asked = ["--slurm-status-command", "squeue", "--slurm-no-account"]
    assert without_accounting(Site(accounting=False, remembers_s=300), 40) == asked
    wait = ["--slurm-init-seconds-before-status-checks", "20"]
    assert without_accounting(Site(accounting=False, remembers_s=60), 40) == asked + wait


def test_without_slurm_it_says_so(tmp_path: Path) -> None:
    done = subprocess.run(
        [sys.executable, "-m", "saltern", "run", TINY, "--directory", tmp_path, "--profile", ROOT / "profiles/slurm",
         "--snakefile", ROOT / "Snakefile"],
        check=False, capture_output=True, text=True, env={**os.environ, "PATH": str(tmp_path)},
    )  # fmt: skip
    assert done.returncode == 2
    assert done.stderr.startswith("saltern: the profile needs SLURM, and sbatch is not on PATH")
