"""What holds for all tests, and a real SLURM with the campaign command on it for those that want it."""

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

NOT_IN_CI = ("GPU", "shared")
"""What a machine of the continuous integration may lack; every other component must be there and be tested."""


def pytest_configure(config: pytest.Config) -> None:
    config.addinivalue_line("markers", "slurm: starts a cluster (root, SLURM, munge, MariaDB); takes a minute or two")
    config.addinivalue_line("markers", "faults: one of the many injected faults of `make faults`; left out otherwise")


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(item: pytest.Item, call: pytest.CallInfo[None]) -> pytest.TestReport:
    """Turn a skipped test into a failed one in CI, where a missing component is a fault of the set-up."""
    report: pytest.TestReport = yield
    if os.environ.get("CI") and report.skipped and not hasattr(report, "wasxfail"):
        reason = report.longrepr[2] if isinstance(report.longrepr, tuple) else str(report.longrepr)
        if not any(word in reason for word in NOT_IN_CI):
            report.outcome, report.longrepr = "failed", f"skipped in CI: {reason}"
    return report


ROOT = Path(__file__).parents[1]
CLUSTER = ROOT / "tests/slurm/cluster.sh"
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
            assert run.wait(1500) == 0, self.said("finish.log")
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
