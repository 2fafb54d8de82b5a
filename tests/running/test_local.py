"""Running and resuming on one machine."""

import os
import signal
import subprocess
import sys
import time
from base64 import urlsafe_b64encode
from collections.abc import Callable
from pathlib import Path

import psutil
import pytest

from saltern.running import records

ROOT = Path(__file__).parents[2]
TINY = ROOT / "tests/workflow/tiny.yaml"
LONG = "long-" * 20 + "/" + "long-" * 20 + "named.out"

WORKFLOW = f"""
rule all:
    input: "slow.out", "{LONG}"

rule slow:
    output: "slow.out"
    shell: "echo start >> slow.log; [ -e quick ] || sleep 60; touch {{output}}; echo end >> slow.log"

rule long:
    output: "{LONG}"
    shell: "touch {{output}}"
"""


class Here:
    """`saltern run` in one working directory."""

    def __init__(self, place: Path) -> None:
        self.place = place
        (place / "Snakefile").write_text(WORKFLOW)
        environment = {**os.environ, "PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}"}
        self.options = {"cwd": place, "env": environment, "text": True, "stderr": subprocess.STDOUT}

    def start(self, *options: str, log: str = "run.log") -> subprocess.Popen[str]:
        command = ["saltern", "run", TINY, "--profile", ROOT / "profiles/local", *options]
        with (self.place / log).open("w") as output:
            return subprocess.Popen(command, stdout=output, **self.options)  # type: ignore[call-overload]

    def run(self, *options: str) -> tuple[int, str]:
        code = self.start(*options, log="again.log").wait(120)
        return code, (self.place / "again.log").read_text()

    def lines(self) -> list[str]:
        log = self.place / "slow.log"
        return log.read_text().split() if log.exists() else []


def until(what: Callable[[], object]) -> None:
    end = time.monotonic() + 60
    while not what():
        assert time.monotonic() < end
        time.sleep(0.1)


@pytest.fixture
def here(tmp_path: Path) -> Here:
    return Here(tmp_path)


def test_one_run_at_a_time_and_a_kill_leaves_nothing_behind(here: Here) -> None:
    run = here.start()
    until(lambda: here.lines() == ["start"])
    refused = f"saltern: another run is still at work in {here.place}/results (process {run.pid} on "
    code, said = here.run()
    assert (code, said[: len(refused)]) == (2, refused)

    started = psutil.Process(run.pid).children(recursive=True)
    assert any("sleep" in process.name() for process in started)
    run.kill()
    run.wait()
    (here.place / "quick").touch()
    code, said = here.run()
    assert code == 0, said
    assert "left behind" in said
    # the first one was ended before it could write what the second one wrote
    assert here.lines() == ["start", "start", "end"]
    assert not psutil.wait_procs(started, timeout=5)[1]


def test_the_lock_of_a_killed_snakemake_is_removed_but_not_that_of_a_living_one(here: Here) -> None:
    by_hand = subprocess.Popen(
        ["snakemake", "--cores", "2", "--configfile", TINY], stdout=subprocess.DEVNULL, **here.options
    )  # type: ignore[call-overload]
    until(lambda: here.lines() == ["start"])
    stage = psutil.Process(by_hand.pid).children(recursive=True)
    code, said = here.run()
    assert code == 2
    assert f"a Snakemake started by hand is still at work in {here.place} (process {by_hand.pid})" in said

    by_hand.kill()
    by_hand.wait()
    for process in stage:
        process.kill()
    (here.place / "quick").touch()
    code, said = here.run()
    assert code == 0, said
    assert "removed the lock of a Snakemake that was killed" in said


def test_ctrl_c_ends_the_running_stages(here: Here) -> None:
    run = here.start()
    until(lambda: here.lines() == ["start"])
    started = psutil.Process(run.pid).children(recursive=True)
    run.send_signal(signal.SIGINT)
    assert run.wait(20) == 1
    assert not psutil.wait_procs(started, timeout=5)[1]
    assert not (here.place / "slow.out").exists()


def test_snakemakes_records_are_found_whatever_the_length_of_a_name(here: Here) -> None:
    assert here.run("--", LONG)[0] == 0
    assert len(urlsafe_b64encode(LONG.encode())) > os.pathconf(here.place, "PC_NAME_MAX") - 1
    log = here.place / "logs/rule_long/1.log"
    log.parent.mkdir(parents=True)
    done = "1 of 1 steps (100%) done\n" * 2
    log.write_text(f"    output: {LONG}\n{done}")
    assert records.unrecorded(here.place, here.place / "logs") == []

    (here.place / "slow.out").touch()
    log.write_text(f"    output: slow.out\n{done}")
    assert records.unrecorded(here.place, here.place / "logs") == ["slow.out"]
    log.write_text("    output: slow.out\n")
    assert records.unrecorded(here.place, here.place / "logs") == [], "it may be half-written"


@pytest.mark.parametrize(
    ("options", "said"),
    [
        (
            ["--profile", "profiles/slrm"],
            "--profile profiles/slrm: profiles/slrm/config.yaml cannot be read (No such file",
        ),
        (["--snakefile", "Snakfile"], "--snakefile Snakfile: no such file"),
    ],
)
def test_wrong_options_are_told_in_one_line(here: Here, options: list[str], said: str) -> None:
    code, output = here.run(*options)
    assert code == 2
    assert output.startswith(f"saltern: {said}")
    assert output.count("\n") == 1
    assert not (here.place / "results").exists()


def test_what_follows_two_dashes_is_for_snakemake(here: Here) -> None:
    code, said = here.run("--", "--dry-run", "--forcerun", "slow")
    assert code == 0
    assert "This was a dry-run" in said
