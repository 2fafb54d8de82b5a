"""Faults that strike a whole campaign on one machine: the same command goes on."""

import os
import random
import shutil
import signal
import subprocess
import time
from collections.abc import Callable
from typing import Any

import psutil
import pytest

LEVEL = "campaign, one machine"
FRAMES = 8

ENGINES = ["tblite", "cp2k"]


def tries(count: int, *, always: bool = False) -> pytest.MarkDecorator:
    """So many injections with the engines in turn; all but, where it says so, the first are for `make faults`."""
    return pytest.mark.parametrize(
        ("engine", "number"),
        [
            pytest.param(ENGINES[number % 2], number, marks=[] if always and not number else pytest.mark.faults)
            for number in range(count)
        ],
    )


def struck(place: Any, rng: random.Random, strike: Callable[[subprocess.Popen[bytes]], object]) -> Any:
    """Run the campaign and strike at a random moment while it labels; returns the run and the labels of that moment."""
    run = place.run()
    assert place.until(rng.randrange(FRAMES), run, rng.uniform(0, 1)), place.said()
    strike(run)
    return run, place.labels()


def finish(place: Any, before: dict[str, bytes], injection: Any, environ: dict[str, str] | None = None) -> None:
    """The same command again, to the end."""
    place.settle(place.run(environ), 0)
    place.whole.compare(place, before, injection)
    assert not place.processes("cp2k.psmp")


def descendants(run: subprocess.Popen[bytes], word: str) -> list[psutil.Process]:
    """What a run has started, with this word in its command."""
    found = []
    for process in psutil.Process(run.pid).children(recursive=True):
        try:
            if word in process.cmdline() or any(part.endswith(f"/{word}") for part in process.cmdline()[:2]):
                found.append(process)
        except psutil.Error:
            continue
    return found


@tries(4)
def test_kill_of_the_run(place_of, rng, injected, engine, number):
    place = place_of(engine)
    injection = injected(LEVEL, "kill -9 of saltern run")
    run, before = struck(place, rng, lambda run: run.kill())
    assert run.wait() == -signal.SIGKILL
    finish(place, before, injection)


@tries(4, always=True)
def test_kill_of_snakemake(place_of, rng, injected, engine, number):
    place = place_of(engine)
    injection = injected(LEVEL, "kill -9 of Snakemake")

    def kill(run: subprocess.Popen[bytes]) -> None:
        place.when(lambda: psutil.Process(run.pid).children(), run)
        psutil.Process(run.pid).children()[0].kill()

    run, before = struck(place, rng, kill)
    place.settle(run, 128 + signal.SIGKILL)
    finish(place, before, injection)


@tries(3)
def test_all_at_once(place_of, rng, injected, engine, number):
    place = place_of(engine)
    injection = injected(LEVEL, "kill -9 of everything at once")

    def kill(run: subprocess.Popen[bytes]) -> None:
        everything = psutil.Process(run.pid).children(recursive=True)
        run.kill()
        for process in everything:
            process.kill()

    run, before = struck(place, rng, kill)
    run.wait()
    finish(place, before, injection)


@tries(3)
def test_kill_of_a_label_job(place_of, rng, injected, engine, number):
    place = place_of(engine)
    injection = injected(LEVEL, "kill -9 of saltern label")

    def kill(run: subprocess.Popen[bytes]) -> None:
        place.when(lambda: descendants(run, "label"), run)
        for process in descendants(run, "label"):
            process.kill()

    run, before = struck(place, rng, kill)
    place.settle(run, 0, 1)
    finish(place, before, injection)


@tries(2)
def test_ctrl_c(place_of, rng, injected, engine, number):
    place = place_of(engine)
    injection = injected(LEVEL, "Ctrl-C")
    run, before = struck(place, rng, lambda run: run.send_signal(signal.SIGINT))
    place.settle(run, 0, 1)
    finish(place, before, injection)


@tries(4)
def test_file_times_are_wrong(place_of, rng, injected, engine, number):
    """As after a clock that went back or forth: any file may be older or newer than what it was made from."""
    place = place_of(engine)
    injection = injected(LEVEL, "kill -9, then file times of any file up to a month off")
    run, before = struck(place, rng, lambda run: run.kill())
    run.wait()
    files = sorted(path for path in place.directory.rglob("*") if path.is_file() and ".snakemake" not in path.parts)
    for path in rng.sample(files, len(files) // 2):
        when = time.time() + rng.uniform(-30, 30 if number % 2 else 0) * 86400
        try:
            os.utime(path, (when, when))
        except FileNotFoundError:  # what an orphan writes
            continue
    finish(place, before, injection)


@tries(2)
def test_the_clock_goes_back_between_runs(place_of, rng, injected, clock, engine, number):
    place = place_of(engine)
    injection = injected(LEVEL, "kill -9, then the clock is hours back")
    run, before = struck(place, rng, lambda run: run.kill())
    run.wait()
    environ, back = clock
    back(rng.randrange(1, 100))
    finish(place, before, injection, environ)


@tries(2)
def test_the_disk_fills(place_of, rng, injected, small_disk, engine, number):
    place = place_of(engine)
    injection = injected(LEVEL, "the disk with results and labels fills, then has room again")
    elsewhere = place.directory.rename(place.directory.with_name("elsewhere"))
    fill = small_disk(place.directory, 16384)
    shutil.copytree(elsewhere, place.directory, dirs_exist_ok=True)
    make_room: list[Callable[[], None]] = []
    run, before = struck(place, rng, lambda _run: make_room.append(fill()))
    run.wait()
    make_room[0]()
    finish(place, before, injection)
