"""The workflow on a real SLURM: one node and its accounting, started for this test and gone after it."""

import os
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from tempfile import mkdtemp
from typing import Any

import pytest
import yaml

ROOT = Path(__file__).parents[2]
CLUSTER = Path(__file__).with_name("cluster.sh")
TINY = ROOT / "tests/workflow/tiny.yaml"
DAEMONS = ["munged", "mariadbd", "mariadb-install-db", "slurmdbd", "slurmctld", "slurmd", "sbatch", "srun", "sacct"]

Environment = dict[str, str]


@pytest.fixture(scope="module")
def environment() -> Environment:
    """This process's environment, with the programs of this Python first."""
    return {**os.environ, "PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}"}


@pytest.fixture(scope="module")
def cluster(environment: Environment) -> Iterator[Environment]:
    """The environment in which SLURM's commands reach the throw-away cluster."""
    missing = [program for program in DAEMONS if shutil.which(program) is None]
    if missing:
        pytest.skip(f"needs SLURM, munge and MariaDB; missing: {', '.join(missing)}")
    if os.geteuid() != 0:
        pytest.skip("needs root, to start a cluster")
    place = Path(mkdtemp(prefix="saltern-slurm-"))
    try:
        started = subprocess.run([CLUSTER, "start", place], check=False, capture_output=True, text=True, timeout=300)
        assert started.returncode == 0, started.stderr
        yield {**environment, "SLURM_CONF": f"{place}/slurm.conf", "PATH": f"{place}/bin:{environment['PATH']}"}
    finally:
        subprocess.run([CLUSTER, "stop", place], check=True, timeout=120)


def snakemake(profile: str, directory: Path, environment: Environment, *arguments: str) -> str:
    """Run the workflow on the tiny campaign; returns what Snakemake said."""
    done = subprocess.run(
        ["snakemake", "--profile", ROOT / "profiles" / profile, "--snakefile", ROOT / "Snakefile",
         "--configfile", TINY, "--directory", directory, *arguments],
        check=False, env=environment, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, timeout=900,
    )  # fmt: skip
    assert done.returncode == 0, done.stdout
    return done.stdout


def jobs_by_rule(output: str) -> dict[str, int]:
    """The table "Job stats", without the rules that run in the main process."""
    table = output.split("Job stats:")[1].split("\n\n", maxsplit=1)[0]
    jobs = {rule: int(count) for rule, count in re.findall(r"^(\w+) +(\d+)$", table, re.MULTILINE)}
    return {rule: count for rule, count in jobs.items() if rule not in {"all", "total"}}


def profile(name: str) -> dict[str, Any]:
    return yaml.safe_load((ROOT / "profiles" / name / "config.yaml").read_text())


@pytest.mark.slurm
def test_every_job_of_a_campaign_runs_through_slurm(cluster: Environment, tmp_path: Path) -> None:
    expected = jobs_by_rule(snakemake("slurm-ci", tmp_path, cluster))

    accounted = subprocess.run(
        ["sacct", "--allocations", "--noheader", "--parsable2", "--format", "State"],
        check=True, env=cluster, capture_output=True, text=True,
    )  # fmt: skip
    assert accounted.stdout.split() == ["COMPLETED"] * sum(expected.values())
    logs = [log.relative_to(tmp_path / "logs/slurm").parts[0] for log in tmp_path.glob("logs/slurm/**/*.log")]
    assert {rule: logs.count(f"rule_{rule}") for rule in expected} == expected
    assert (tmp_path / "results/tiny/report.html").is_file()

    assert "Nothing to be done" in snakemake("slurm-ci", tmp_path, cluster)


def test_profile_for_clusters_plans_the_whole_campaign(environment: Environment, tmp_path: Path) -> None:
    jobs = jobs_by_rule(snakemake("slurm", tmp_path, environment, "--dry-run"))
    assert {"compose", "sample", "label", "collect", "train", "simulate", "observe", "report"} <= set(jobs)


def test_tested_profile_is_the_published_one_but_for_its_size() -> None:
    published, tested = profile("slurm"), profile("slurm-ci")
    for key in ["jobs", "latency-wait", "default-resources", "slurm-init-seconds-before-status-checks"]:
        published.pop(key, None)
        tested.pop(key)
    assert tested == published
