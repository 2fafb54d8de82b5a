"""Faults that strike a whole campaign on a real SLURM: the same command goes on."""

import random
import shutil
import subprocess
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import psutil
import pytest

LEVEL = "campaign, SLURM"
FRAMES = 8
ROOT = Path(__file__).parents[2]
TARGET = "results/faults/atoms/dataset"

Jobs = list[dict[str, str]]

pytestmark = [pytest.mark.slurm, pytest.mark.faults, pytest.mark.xdist_group("one cluster")]


class OnCluster:
    """The campaign in a new directory, on the cluster."""

    def __init__(self, place: Any, here: Any) -> None:
        self.place, self.here = place, here

    def start(self, log: str = "run.log") -> subprocess.Popen[str]:
        run: subprocess.Popen[str] = self.here.start(
            self.place.campaign, ROOT / "Snakefile", handed_on=[TARGET, "--jobs", "3"], log=log
        )
        return run

    def jobs(self) -> Jobs:
        """Label jobs that run now, each with its number and node."""
        found = self.here.ask("squeue", "--noheader", "--states=RUNNING", "--format=%A|%N|%k|%Z")
        rows = [line.split("|") for line in found]
        return [
            {"job": job, "node": node}
            for job, node, rule, where in rows
            if where == str(self.place.directory) and rule.startswith("rule_label")
        ]

    def struck(self, rng: random.Random, strike: Callable[[subprocess.Popen[str], Jobs], object]) -> Any:
        """Run the campaign and strike at a random moment while it labels."""
        run = self.start()
        jobs: Jobs = []

        def labelling() -> bool:
            assert run.poll() is None, self.here.said()
            jobs[:] = self.jobs()
            return bool(jobs) and len(self.place.labels()) >= wanted

        wanted = rng.randrange(FRAMES - 3)
        self.here.until(labelling, 300)
        time.sleep(rng.uniform(0, 0.5))
        strike(run, jobs)
        return run, self.place.labels()

    def finish(self, before: dict[str, bytes], injection: Any) -> None:
        run = self.start("again.log")
        try:
            code = run.wait(500)
        finally:
            run.kill()
        said = self.here.said() + self.here.said("again.log")
        assert code == 0, said
        self.place.log.write_text(said)
        self.place.whole.compare(self.place, before, injection)

    def cluster(self, *verb: str) -> None:
        """A command of the cluster's script."""
        where = Path(self.here.environment["SLURM_CONF"]).parent
        subprocess.run([ROOT / "tests/slurm/cluster.sh", verb[0], where, *verb[1:]], check=True, timeout=120)

    def kill_daemon(self, name: str) -> None:
        pid = (Path(self.here.environment["SLURM_CONF"]).parent / f"run/{name}.pid").read_text()
        daemon = psutil.Process(int(pid))
        daemon.kill()
        daemon.wait(10)


@pytest.fixture
def campaign(place_of, cluster, workplace):
    def of(engine: str) -> OnCluster:
        place = place_of(engine)
        return OnCluster(place, workplace(place.directory, cluster))

    return of


def tries(*engines: str) -> pytest.MarkDecorator:
    return pytest.mark.parametrize(("engine", "number"), [(engine, i) for i, engine in enumerate(engines)])


def ended(run: subprocess.Popen[str], patience_s: float = 180) -> None:
    """Let a struck run come to its end, or end it: a SLURM that was killed may have forgotten jobs it waits for."""
    try:
        run.wait(patience_s)
    except subprocess.TimeoutExpired:
        run.kill()
        run.wait()


@tries("tblite", "cp2k")
def test_kill_of_the_run(campaign, rng, injected, engine, number):
    at = campaign(engine)
    injection = injected(LEVEL, "kill -9 of saltern run")
    run, before = at.struck(rng, lambda run, _jobs: run.kill())
    ended(run)
    at.finish(before, injection)


@tries("cp2k", "tblite")
def test_kill_of_snakemake(campaign, rng, injected, engine, number):
    at = campaign(engine)
    injection = injected(LEVEL, "kill -9 of Snakemake")
    run, before = at.struck(rng, lambda run, _jobs: psutil.Process(run.pid).children()[0].kill())
    ended(run)
    at.finish(before, injection)


@tries("cp2k", "tblite", "cp2k")
def test_kill_of_a_slurmd(campaign, rng, injected, engine, number):
    at = campaign(engine)
    injection = injected(LEVEL, "kill -9 of a slurmd, started again after up to 15 s")

    def kill(_run: subprocess.Popen[str], jobs: Jobs) -> None:
        at.kill_daemon(f"slurmd.{jobs[0]['node']}")
        time.sleep(rng.uniform(0, 15))
        at.cluster("restart")

    run, before = at.struck(rng, kill)
    ended(run)
    at.finish(before, injection)


@tries("tblite", "cp2k")
def test_kill_of_slurmctld(campaign, rng, injected, engine, number):
    at = campaign(engine)
    injection = injected(LEVEL, "kill -9 of slurmctld, started again after up to 8 s")

    def kill(_run: subprocess.Popen[str], _jobs: Jobs) -> None:
        at.kill_daemon("slurmctld")
        time.sleep(rng.uniform(0, 8))
        at.cluster("restart")

    run, before = at.struck(rng, kill)
    ended(run)
    at.finish(before, injection)


@tries("cp2k", "tblite", "cp2k")
def test_the_whole_cluster_is_killed(campaign, rng, injected, engine, number):
    at = campaign(engine)
    with_run = number < 2
    injection = injected(LEVEL, f"kill -9 of the whole cluster{', saltern run too' if with_run else ''}")

    def cut(run: subprocess.Popen[str], _jobs: Jobs) -> None:
        if with_run:
            run.kill()
        at.cluster("kill")
        time.sleep(rng.uniform(0, 2))
        at.cluster("restart")

    run, before = at.struck(rng, cut)
    ended(run)
    at.finish(before, injection)


@tries("tblite", "cp2k")
def test_scancel(campaign, rng, injected, engine, number):
    at = campaign(engine)
    injection = injected(LEVEL, "scancel of a label job")
    run, before = at.struck(rng, lambda _run, jobs: at.here.ask("scancel", jobs[0]["job"]))
    ended(run)
    at.finish(before, injection)


@tries("cp2k")
def test_time_limit(campaign, rng, injected, engine, number):
    at = campaign(engine)
    injection = injected(LEVEL, "time limit of a label job")
    run, before = at.struck(
        rng, lambda _run, jobs: at.here.ask("scontrol", "update", f"jobid={jobs[0]['job']}", "EndTime=now+1")
    )
    ended(run, 500)  # what ended the attempts is told at the end
    assert "time limit" in at.here.said()
    at.finish(before, injection)


@tries("cp2k")
def test_requeue(campaign, rng, injected, engine, number):
    at = campaign(engine)
    injection = injected(LEVEL, "scontrol requeue of a label job")
    run, before = at.struck(rng, lambda _run, jobs: at.here.ask("scontrol", "requeue", jobs[0]["job"]))
    ended(run)
    at.finish(before, injection)


@tries("tblite")
def test_work_directories_are_removed(campaign, rng, injected, engine, number):
    at = campaign("cp2k")
    injection = injected(LEVEL, "the work directory is removed while CP2K runs")

    def remove(_run: subprocess.Popen[str], _jobs: Jobs) -> None:
        for path in at.place.output.parent.glob("*.work"):
            shutil.rmtree(path, ignore_errors=True)

    run, before = at.struck(rng, remove)
    ended(run)
    at.finish(before, injection)
