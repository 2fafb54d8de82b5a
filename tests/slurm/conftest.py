"""A real SLURM for the tests of this folder, and the campaign command on it."""

import os
import shutil
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from tempfile import mkdtemp

import pytest
import yaml

ROOT = Path(__file__).parents[2]
CLUSTER = Path(__file__).with_name("cluster.sh")
DAEMONS = ["munged", "mariadbd", "mariadb-install-db", "slurmdbd", "slurmctld", "slurmd", "sbatch", "srun", "sacct"]

Environment = dict[str, str]


@contextmanager
def running_cluster(*options: str) -> Iterator[Environment]:
    """The environment in which SLURM's commands reach a throw-away cluster."""
    missing = [program for program in DAEMONS if shutil.which(program) is None]
    if missing:
        pytest.skip(f"needs SLURM, munge and MariaDB; missing: {', '.join(missing)}")
    if os.geteuid() != 0:
        pytest.skip("needs root, to start a cluster")
    place = Path(mkdtemp(prefix="saltern-slurm-"))
    path = f"{place}/bin:{Path(sys.executable).parent}:{os.environ['PATH']}"
    try:
        started = subprocess.run(
            [CLUSTER, "start", place, *options], check=False, capture_output=True, text=True, timeout=300
        )
        assert started.returncode == 0, started.stderr
        yield {**os.environ, "SLURM_CONF": f"{place}/slurm.conf", "PATH": path}
    finally:
        subprocess.run([CLUSTER, "stop", place], check=True, timeout=120)


@pytest.fixture(scope="module")
def cluster() -> Iterator[Environment]:
    with running_cluster() as environment:
        yield environment


@pytest.fixture(scope="module")
def cluster_without_accounting() -> Iterator[Environment]:
    with running_cluster("--no-accounting") as environment:
        yield environment


class Here:
    """`saltern run` and SLURM's commands in one working directory."""

    def __init__(self, place: Path, environment: Environment) -> None:
        self.place = place
        self.environment = environment

    def start(
        self, campaign: Path, snakefile: Path, *options: str, handed_on: Sequence[str] = (), log: str = "run.log"
    ) -> subprocess.Popen[str]:
        """Start the campaign; its output goes to a file."""
        command = [
            sys.executable, "-m", "saltern", "run", campaign, "--snakefile", snakefile, "--directory", self.place,
            "--profile", ROOT / "profiles/slurm-ci", "--poll", "1", *options,
            "--", "--slurm-init-seconds-before-status-checks", "3", *handed_on,
        ]  # fmt: skip
        with (self.place / log).open("w") as output:
            return subprocess.Popen(command, env=self.environment, stdout=output, stderr=subprocess.STDOUT, text=True)

    def finish(self, campaign: Path, snakefile: Path, *options: str, handed_on: Sequence[str] = ()) -> str:
        """Run the campaign to its end; returns what was said."""
        run = self.start(campaign, snakefile, *options, handed_on=handed_on, log="finish.log")
        try:
            assert run.wait(600) == 0, self.said("finish.log")
        finally:
            run.kill()
        return self.said("finish.log")

    def said(self, log: str = "run.log") -> str:
        return (self.place / log).read_text()

    def ask(self, *command: str) -> list[str]:
        """The words with which one of SLURM's commands answers."""
        done = subprocess.run(command, check=True, cwd=self.place, env=self.environment, capture_output=True, text=True)
        return done.stdout.split()

    def lines(self, name: str) -> list[str]:
        """Lines of a file that a job writes; none before it does."""
        path = self.place / name
        return path.read_text().split() if path.exists() else []

    def until(self, what: Callable[[], object], patience_s: float = 120) -> None:
        """Wait for something to become true."""
        end = time.monotonic() + patience_s
        while not what():
            assert time.monotonic() < end, self.said()
            time.sleep(0.2)


@pytest.fixture(scope="session")
def workplace() -> type[Here]:
    """To be called with a directory and the environment of a cluster."""
    return Here


@pytest.fixture(scope="module")
def one_system(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The tiny campaign with one system and one committee member: every rule, and half of the jobs."""
    campaign = yaml.safe_load((ROOT / "tests/workflow/tiny.yaml").read_text())
    del campaign["systems"][1:]
    campaign["levels"][0]["student"]["committee"] = 1
    path = tmp_path_factory.mktemp("campaign") / "one-system.yaml"
    path.write_text(yaml.safe_dump(campaign))
    return path
