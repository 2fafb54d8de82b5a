"""The undisturbed run, what must be equal to it after a fault, and the table of all faults."""

import fcntl
import os
import platform
import random
import shutil
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import psutil
import pytest

from saltern.cli import main
from saltern.config import load_campaign
from saltern.store import open_release
from saltern.store.part import NOT_IN_SHARDS

ROOT = Path(__file__).parents[2]
BINARIES = Path(sys.executable).parent
CAMPAIGNS = {"tblite": Path(__file__).with_name("tblite.yaml"), "cp2k": Path(__file__).with_name("cp2k.yaml")}
PROGRAMS = {"tblite": "saltern", "cp2k": "cp2k.psmp"}
RESULTS = Path("results/faults")
DATASET = RESULTS / "atoms/dataset"
FRAMES = 8
SEED = int(os.environ.get("FAULTS_SEED", "20261122"))

HEADER = """\
# Faults, injected

Written by `make faults`. After each fault the same command came to the end, the ledger closed, and the release was
compared with that of the undisturbed run: every byte of every shard and quarantine file, the root hash, and the index
but for what a label cost. *At stake* are labels that were finished and whole when the fault struck; one that is not the
same file to the last byte at the end is *lost*. *Doubled* is a label that is twice in the release, or in the store
though nobody asked for it; *wrong* one whose numbers or verdict differ.

"""

Bytes = dict[str, bytes]


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--faults-table", type=Path, metavar="FILE", help="write the table of injected faults")


def environment(**more: str) -> dict[str, str]:
    """Where the stages find saltern."""
    return {**os.environ, "PATH": f"{BINARIES}:{os.environ['PATH']}", "OMP_NUM_THREADS": "1", **more}


@dataclass
class Injection:
    """One fault, and what it did: a line of the table."""

    level: str
    fault: str
    finished: int | None = None
    """Labels that were finished when it struck."""
    lost: int | None = None
    doubled: int | None = None
    wrong: int | None = None


class Place:
    """A working directory with a campaign that is about to be labelled."""

    def __init__(self, directory: Path, engine: str, whole: "Whole | None") -> None:
        self.directory = directory
        self.engine = engine
        self.whole = whole
        self.campaign = CAMPAIGNS[engine]
        self.store = directory / "labels"
        self.output = directory / RESULTS / "atoms/labels/box/b0000.h5"
        self.work = self.output.with_suffix(".work")
        self.log = directory / "run.log"
        self.candidates = directory / RESULTS / "atoms/candidates/box.h5"
        self.spec = load_campaign(self.campaign).level("atoms").spec

    def start(self, environ: dict[str, str] | None = None, output: Path | None = None) -> subprocess.Popen[bytes]:
        """Start one label job with all frames, as the workflow does."""
        command = ["saltern", "label", self.candidates, output or self.output, "--frames", f"0:{FRAMES}"]
        return self._popen([*command, "--store", self.store, "--spec", self.spec("label")], environ)

    def run(self, environ: dict[str, str] | None = None, *handed_on: str) -> subprocess.Popen[bytes]:
        """Start the whole campaign on this machine, up to the release."""
        command = [
            "saltern", "run", self.campaign, "--snakefile", ROOT / "Snakefile", "--profile", ROOT / "profiles/local",
            "--directory", self.directory, "--", DATASET, "--cores", "2", *handed_on,
        ]  # fmt: skip
        return self._popen(command, environ)

    def _popen(self, command: Sequence[object], environ: dict[str, str] | None) -> subprocess.Popen[bytes]:
        with self.log.open("a") as log:
            return subprocess.Popen(
                list(map(str, command)), env=environ or environment(), stdout=log, stderr=log, cwd=self.directory
            )

    def said(self) -> str:
        return self.log.read_text()

    def labels(self) -> Bytes:
        """The label files of the store by key: those that have their own name are finished."""
        found = {}
        for path in self.store.glob("labels/??/[0-9a-f]*.json"):
            try:
                found[path.stem] = path.read_bytes()
            except FileNotFoundError:  # put aside in this moment
                continue
        return found

    def settle(self, job: subprocess.Popen[bytes], *codes: int) -> None:
        """Wait for a job; its exit code must be one of these."""
        try:
            code = job.wait(300)
        finally:
            job.kill()
        assert code in codes, self.said()

    def until(self, finished: int, job: subprocess.Popen[Any], delay_s: float = 0) -> bool:
        """Wait for so many labels, and then a moment more; returns whether the job is still at work."""
        self.when(lambda: len(list(self.store.glob("labels/??/[0-9a-f]*.json"))) >= finished, job)
        time.sleep(delay_s)
        return job.poll() is None

    def when(self, what: Callable[[], object], job: subprocess.Popen[Any]) -> None:
        """Wait for something while the job is at work."""
        end = time.monotonic() + 300
        while not what() and job.poll() is None:
            assert time.monotonic() < end, self.said()
            time.sleep(0.01)

    def processes(self, name: str) -> list[psutil.Process]:
        """Processes of this name at work in this directory."""
        found = []
        for process in psutil.process_iter(["name", "cwd", "status"]):
            about = process.info
            here = (about["cwd"] or "").startswith(str(self.directory))
            if about["name"] == name and here and about["status"] != psutil.STATUS_ZOMBIE:
                found.append(process)
        return found

    def release(self) -> None:
        """Collect and release what a label job made, and ask for the ledger."""
        collected, dataset = self.directory / RESULTS / "atoms/collected/box", self.directory / DATASET
        system = self.directory / RESULTS / "systems/box.h5"
        assert main(["collect", *map(str, (system, self.output, collected)), "--requested", str(FRAMES)]) == 0
        told = ["--name", "faults-atoms", "--store", str(self.store), "--spec", self.spec("collect")]
        assert main(["release", str(collected), str(dataset), *told]) == 0

    def ledger(self) -> None:
        """The ledger must close."""
        told = ["ledger", str(self.directory / RESULTS), "--store", str(self.store)]
        assert main([*told, "--slurm-logs", str(self.directory / "logs/slurm")]) == 0


class Whole:
    """What an undisturbed run made."""

    def __init__(self, place: Place) -> None:
        self.place = place
        self.release = open_release(place.directory / DATASET)
        self.files = self._files(place)
        self.index = self._index(place)
        self.keys = set(place.labels())

    @staticmethod
    def _files(place: Place) -> Bytes:
        dataset = place.directory / DATASET
        return {str(path.relative_to(dataset)): path.read_bytes() for path in sorted(dataset.rglob("*.h5"))}

    @staticmethod
    def _index(place: Place) -> Any:
        return open_release(place.directory / DATASET).index.drop(columns=list(NOT_IN_SHARDS))

    def compare(self, place: Place, before: Bytes, injection: Injection) -> None:
        """Fill in the line of the table, then insist on what it must be.

        Args:
            place: where a disturbed run has come to its end.
            before: the labels that were finished and whole when the fault struck.
            injection: the fault.
        """
        after, release, index = place.labels(), open_release(place.directory / DATASET), self._index(place)
        release.verify()
        counts = index["label_key"].value_counts()
        mine, theirs = self.index.set_index("label_key"), index.drop_duplicates("label_key").set_index("label_key")
        same = [key for key in theirs.index if key in mine.index and theirs.loc[key].equals(mine.loc[key])]
        files = self._files(place)
        injection.finished = len(before)
        injection.lost = sum(after.get(key) != label for key, label in before.items())
        injection.lost += len(set(mine.index) - set(theirs.index))
        injection.doubled = int((counts - 1).sum()) + len(set(after) - self.keys)
        # a shard differs by the numbers that are not in the index
        injection.wrong = max(
            len(theirs) - len(same), sum(files.get(name) != data for name, data in self.files.items())
        )
        assert (injection.lost, injection.doubled, injection.wrong) == (0, 0, 0), place.said()
        assert index.equals(self.index)
        assert files.keys() == self.files.keys()
        assert release.manifest["root_hash"] == self.release.manifest["root_hash"]
        assert set(after) == self.keys
        place.ledger()


@pytest.fixture(scope="session")
def undisturbed(tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], Whole]:
    """The campaign of an engine, run to its release once."""
    made: dict[str, Whole] = {}
    shared = tmp_path_factory.getbasetemp()
    if "PYTEST_XDIST_WORKER" in os.environ:
        shared = shared.parent

    def of(engine: str) -> Whole:
        if shutil.which(PROGRAMS[engine], path=environment()["PATH"]) is None:
            pytest.skip(f"{PROGRAMS[engine]} is not installed")
        place = Place(shared / f"undisturbed-{engine}", engine, None)
        with (shared / f"{engine}.lock").open("w") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)  # one of pytest's workers makes it for all
            if not (place.directory / DATASET).exists():
                place.directory.mkdir(exist_ok=True)
                place.settle(place.run(), 0)
        if engine not in made:
            made[engine] = Whole(place)
            assert set(made[engine].index["accepted"]) == {True, False}, "one of both is not tried"
        return made[engine]

    return of


@pytest.fixture
def place_of(undisturbed: Callable[[str], Whole], tmp_path: Path) -> Callable[[str], Place]:
    """A new working directory that holds the undisturbed run's candidates, and no labels."""

    def of(engine: str) -> Place:
        whole = undisturbed(engine)
        ignored = shutil.ignore_patterns("labels", "collected", "dataset", "logs", "incomplete", "locks")
        shutil.copytree(whole.place.directory, tmp_path / "here", ignore=ignored)
        return Place(tmp_path / "here", engine, whole)

    return of


@pytest.fixture
def rng(request: pytest.FixtureRequest) -> random.Random:
    """Decides when a fault strikes; its seed is printed with a test that fails."""
    seed = f"{SEED}:{request.node.name}"
    request.node.add_report_section("setup", "seed", seed)
    return random.Random(seed)


@pytest.fixture
def injected(request: pytest.FixtureRequest) -> Callable[[str, str], Injection]:
    """Begin a line of the table."""

    def of(level: str, fault: str) -> Injection:
        injection = Injection(level, fault)
        request.node.user_properties.append(("fault", injection.__dict__))
        return injection

    return of


@pytest.fixture(autouse=True)
def cost(request: pytest.FixtureRequest) -> Iterator[None]:
    """Processor time of each test with all that it started and waited for."""
    before = os.times()
    yield
    now = os.times()
    seconds = sum(now[:4]) - sum(before[:4])
    request.node.user_properties.append(("cpu_seconds", seconds))


CLOCK = """
#define _GNU_SOURCE
#include <dlfcn.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/time.h>
#include <time.h>
static long back(void) {
    long seconds = 0;
    FILE *file = fopen(getenv("CLOCK_IS_BACK_BY"), "r");
    if (file) { if (fscanf(file, "%ld", &seconds) != 1) seconds = 0; fclose(file); }
    return seconds;
}
int clock_gettime(clockid_t which, struct timespec *now) {
    static int (*real)(clockid_t, struct timespec *);
    if (!real) real = dlsym(RTLD_NEXT, "clock_gettime");
    int status = real(which, now);
    if (which == CLOCK_REALTIME || which == CLOCK_REALTIME_COARSE) now->tv_sec -= back();
    return status;
}
int gettimeofday(struct timeval *restrict now, void *restrict zone) {
    struct timespec precise;
    int status = clock_gettime(CLOCK_REALTIME, &precise);
    now->tv_sec = precise.tv_sec, now->tv_usec = precise.tv_nsec / 1000;
    return status;
}
time_t time(time_t *now) {
    struct timespec precise;
    clock_gettime(CLOCK_REALTIME, &precise);
    if (now) *now = precise.tv_sec;
    return precise.tv_sec;
}
"""
"""The time of day, set back while a program runs. libfaketime cannot: it breaks time.sleep and hides file times."""


@pytest.fixture
def clock(tmp_path: Path) -> tuple[dict[str, str], Callable[[int], object]]:
    """The environment of programs whose clock can be set back, and what does it, by hours."""
    if shutil.which("cc") is None:
        pytest.skip("there is no C compiler")
    library, file = tmp_path / "clock.so", tmp_path / "back"
    build = ["cc", "-shared", "-fPIC", "-x", "c", "-", "-o", library, "-ldl"]
    subprocess.run(build, input=CLOCK, text=True, check=True)
    file.write_text("0\n")
    environ = environment(LD_PRELOAD=str(library), CLOCK_IS_BACK_BY=str(file))
    return environ, lambda hours: file.write_text(f"{3600 * hours}\n")


@pytest.fixture
def small_disk() -> Iterator[Callable[[Path, int], Callable[[], Callable[[], None]]]]:
    """Mount a small disk; returns what fills it, which returns what makes room again."""
    mounted: list[Path] = []

    def mount(path: Path, kib: int) -> Callable[[], Callable[[], None]]:
        if os.geteuid() != 0:
            pytest.skip("needs root, to mount a small disk")
        path.mkdir(parents=True, exist_ok=True)
        done = subprocess.run(
            ["mount", "-t", "tmpfs", "-o", f"size={kib}k", "saltern-faults", path], check=False, capture_output=True
        )
        if done.returncode:
            pytest.skip(f"a small disk cannot be mounted: {done.stderr.decode().strip()}")
        mounted.append(path)

        def fill() -> Callable[[], None]:
            ballast = path / "ballast"
            with ballast.open("wb", buffering=0) as file:
                try:
                    while file.write(b"\0" * 4096):
                        pass
                except OSError:
                    pass
            return lambda: ballast.unlink(missing_ok=True)

        return fill

    yield mount
    for path in mounted:
        subprocess.run(["umount", "--lazy", path], check=True)


@dataclass(eq=False)  # pytest keeps its plugins in a set
class Table:
    """All faults of this run of pytest."""

    begun: float = field(default_factory=time.monotonic)
    lines: list[dict[str, Any]] = field(default_factory=list)
    cpu_seconds: float = 0.0

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        if report.when == "teardown":
            for name, value in report.user_properties:
                if name == "fault":
                    self.lines.append(value)
                elif name == "cpu_seconds":
                    self.cpu_seconds += value

    def pytest_terminal_summary(self, terminalreporter: Any, config: pytest.Config) -> None:
        if not self.lines:
            return
        rows = list(self.rows())
        terminalreporter.section("faults injected")
        for row in rows:
            terminalreporter.line(row)
        target = config.getoption("--faults-table", default=None)
        if target is not None:
            target.parent.mkdir(parents=True, exist_ok=True)
            target.write_text("\n".join([*self.header(), *rows, ""]))

    def rows(self) -> Iterator[str]:
        """The table in Markdown, one row a fault and level, then their sum."""
        numbers = ("finished", "lost", "doubled", "wrong")
        yield "| level | fault | tries | came to the end | labels at stake | labels lost | doubled | wrong |"
        yield "|---|---|--:|--:|--:|--:|--:|--:|"
        for level, fault in sorted({(line["level"], line["fault"]) for line in self.lines}):
            group = [line for line in self.lines if (line["level"], line["fault"]) == (level, fault)]
            yield self._row(f"| {level} | {fault}", group, numbers)
        yield self._row("| all | ", self.lines, numbers)

    @staticmethod
    def _row(start: str, group: list[dict[str, Any]], numbers: Sequence[str]) -> str:
        ended = sum(line["wrong"] is not None for line in group)
        sums = [sum(line[number] or 0 for line in group) for number in numbers]
        return f"{start} | {len(group)} | {ended} | {' | '.join(map(str, sums))} |"

    def header(self) -> Iterator[str]:
        """When, where and with what."""
        from importlib import metadata

        from saltern.engines import make_engine

        engines = [
            f"{name} {make_engine(load_campaign(path).level('atoms').teacher).version}"
            for name, path in CAMPAIGNS.items()
            if shutil.which(PROGRAMS[name], path=environment()["PATH"])
        ]
        slurm = "no SLURM"
        if shutil.which("slurmd"):
            slurm = subprocess.run(["slurmd", "-V"], check=True, capture_output=True, text=True).stdout.strip()
        cpu = next((line for line in Path("/proc/cpuinfo").read_text().splitlines() if "model name" in line), ": ?")
        minutes = (time.monotonic() - self.begun) / 60
        yield from HEADER.splitlines()
        yield f"- {datetime.now(UTC):%d %B %Y}; {os.cpu_count()} cores,{cpu.split(':')[1]}; Linux {platform.release()}"
        versions = [f"Snakemake {metadata.version('snakemake')}", *engines, slurm]
        yield f"- Python {platform.python_version()}, {', '.join(versions)}"
        yield f"- seed {SEED} (`FAULTS_SEED`); {minutes:.0f} min; {self.cpu_seconds / 60:.0f} CPU min without SLURM"
        yield ""


def pytest_configure(config: pytest.Config) -> None:
    if not hasattr(config, "workerinput"):
        config.pluginmanager.register(Table())
