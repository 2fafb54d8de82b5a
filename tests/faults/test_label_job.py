"""Faults that strike one label job: it is started again, and nothing may be lost, doubled or wrong."""

import random
import shutil
import signal
import subprocess
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import psutil
import pytest

from saltern.config import LabelSpec
from saltern.engines import make_engine
from saltern.labelling.question import question_key, question_of
from saltern.store import read_frames

FRAMES = 8
LEVEL = "label job"


def tries(**engines: int) -> pytest.MarkDecorator:
    """So many injections with each engine. The first is in `make test` too, unless the engine's name ends with `_`."""
    return pytest.mark.parametrize(
        ("engine", "number"),
        [
            pytest.param(
                engine.rstrip("_"), number, marks=[pytest.mark.faults] if number or engine.endswith("_") else []
            )
            for engine, count in engines.items()
            for number in range(count)
        ],
    )


def struck(place: Any, rng: random.Random, strike: Callable[[subprocess.Popen[bytes]], bool], **start: Any) -> Any:
    """Start the job and strike at a random moment; again, from nothing, when the job was quicker."""
    for _ in range(8):
        job = place.start(**start)
        delay = rng.uniform(0, 0.7)
        if place.until(rng.randrange(FRAMES), job, delay) and strike(job):
            return job
        job.wait()
        shutil.rmtree(place.store)
        place.output.unlink(missing_ok=True)
    raise AssertionError("the job was always quicker")


def finish(place: Any, before: dict[str, bytes], injection: Any, *, environ: dict[str, str] | None = None) -> None:
    """The same command again, then the release, then the comparison."""
    place.settle(place.start(environ), 0)
    place.release()
    place.whole.compare(place, before, injection)


def gone(place: Any) -> bool:
    """Whether no engine is left in the place within some seconds."""
    end = time.monotonic() + 10
    while place.processes("cp2k.psmp"):
        if time.monotonic() > end:
            return False
        time.sleep(0.05)
    return True


@tries(tblite=16, cp2k_=12)
def test_kill_of_the_labelling_process(place_of, rng, injected, engine, number):
    place = place_of(engine)
    injection = injected(LEVEL, f"kill -9 of saltern label, {engine}")
    job = struck(place, rng, lambda job: job.kill() is None)
    assert job.wait() == -signal.SIGKILL
    assert gone(place), "no engine outlives its labelling process"
    finish(place, place.labels(), injection)


@tries(tblite_=3, cp2k_=3)
def test_sigterm(place_of, rng, injected, engine, number):
    place = place_of(engine)
    injection = injected(LEVEL, f"SIGTERM, {engine}")
    job = struck(place, rng, lambda job: job.terminate() is None)
    assert job.wait() != 0
    assert gone(place)
    finish(place, place.labels(), injection)


@tries(cp2k=14)
def test_kill_of_the_engine(place_of, rng, injected, engine, number):
    place = place_of(engine)
    injection = injected(LEVEL, "kill -9 of cp2k.psmp")

    def kill(job: subprocess.Popen[bytes]) -> bool:
        end = time.monotonic() + 30
        while job.poll() is None and time.monotonic() < end:
            for process in place.processes("cp2k.psmp"):
                try:
                    process.kill()
                except psutil.NoSuchProcess:
                    continue
                return True
        return False

    job = struck(place, rng, kill)
    place.settle(job, 0, 1, 2)  # 2: it could not say its version
    finish(place, place.labels(), injection)


@tries(cp2k=8)
def test_the_scratch_directory_is_removed_while_the_engine_runs(place_of, rng, injected, engine, number):
    place = place_of(engine)
    injection = injected(LEVEL, "the work directory is removed while CP2K runs")

    def remove(job: subprocess.Popen[bytes]) -> bool:
        if not place.work.exists():
            return False
        shutil.rmtree(place.work, ignore_errors=True)
        return True

    place.settle(struck(place, rng, remove), 0, 1)
    finish(place, place.labels(), injection)


@tries(cp2k_=4)
def test_the_scratch_directory_is_removed_after_a_kill(place_of, rng, injected, engine, number):
    place = place_of(engine)
    injection = injected(LEVEL, "kill -9 of saltern label, then its work directory is removed")
    struck(place, rng, lambda job: job.kill() is None).wait()
    assert gone(place)
    shutil.rmtree(place.work, ignore_errors=True)
    finish(place, place.labels(), injection)


def damage(path: Path, rng: random.Random, how: str) -> None:
    """Cut a file off, or flip one bit of it."""
    data = bytearray(path.read_bytes())
    if how == "cut off":
        del data[rng.randrange(len(data)) :]
    else:
        data[rng.randrange(len(data))] ^= 1 << rng.randrange(8)
    path.write_bytes(data)


@pytest.mark.parametrize("how", ["cut off", "a bit flipped"])
@tries(tblite_=5, cp2k_=3)
def test_a_label_in_the_store_is_damaged(place_of, rng, injected, engine, number, how):
    place = place_of(engine)
    injection = injected(LEVEL, f"kill -9, then a label is {how}, {engine}")
    while not list(place.store.glob("labels/??/[0-9a-f]*.json")):
        struck(place, rng, lambda job: job.kill() is None).wait()
    assert gone(place)
    before = place.labels()
    key = rng.choice(sorted(before))
    damage(place.store / "labels" / key[:2] / f"{key}.json", rng, how)
    del before[key]
    finish(place, before, injection)
    assert (place.store / "damaged" / key[:2] / f"{key}.json").is_file()


@tries(tblite_=3)
def test_hidden_files_of_killed_writers(place_of, rng, injected, engine, number):
    place = place_of(engine)
    injection = injected(LEVEL, "kill -9, then half-written hidden files beside every label")
    struck(place, rng, lambda job: job.kill() is None).wait()
    before = place.labels()
    for key in place.whole.keys:
        folder = place.store / "labels" / key[:2]
        folder.mkdir(parents=True, exist_ok=True)
        half = (place.whole.place.store / "labels" / key[:2] / f"{key}.json").read_bytes()
        (folder / f".{key}.json.abc").write_bytes(half[: rng.randrange(len(half))])
    place.output.with_name(f".{place.output.name}.abc").write_bytes(b"half a file")
    finish(place, before, injection)


@pytest.mark.parametrize("how", ["cut off", "a bit flipped"])
@tries(cp2k_=4)
def test_the_orbitals_are_damaged(place_of, rng, injected, engine, number, how):
    place = place_of(engine)
    injection = injected(LEVEL, f"kill -9, then the orbitals are {how}")
    while not list(place.work.glob("*.wfn")):
        shutil.rmtree(place.store, ignore_errors=True)
        struck(place, rng, lambda job: job.kill() is None).wait()
    assert gone(place)
    for orbitals in place.work.glob("*.wfn"):
        damage(orbitals, rng, how)
    finish(place, place.labels(), injection)


@tries(cp2k_=3)
def test_orbitals_of_another_method_lie_in_the_way(place_of, rng, injected, engine, number):
    """The campaign was edited between two kills, and had another cutoff once; that run's orbitals are still there."""
    place = place_of(engine)
    injection = injected(LEVEL, "kill -9, then the orbitals are those of another cutoff")
    frame = rng.choice([1, 2, 5, 6])
    questions = [question_of(frame) for frame in read_frames(place.candidates)]
    spec = LabelSpec.model_validate_json(place.spec("label"))
    for question in questions[: frame + 1]:
        key = question_key(question, make_engine(spec.teacher), spec.numerics)
        copy = place.store / "labels" / key[:2] / f"{key}.json"
        copy.parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(place.whole.place.store / copy.relative_to(place.store), copy)
    other = make_engine(spec.teacher.model_copy(update={"cutoff_Ry": 120.0}))
    place.work.mkdir(parents=True)
    list(other.answers(questions, [frame], place.work))
    assert len(list(place.work.glob("*.wfn"))) == 1
    finish(place, place.labels(), injection)


@pytest.mark.parametrize(
    ("engine", "disk", "number"),
    [
        pytest.param(engine, disk, number, marks=[pytest.mark.faults] if number or disk == "store" else [])
        for engine, disk, count in (("tblite", "store", 4), ("cp2k", "store", 5), ("cp2k", "work", 6))
        for number in range(count)
    ],
)
def test_the_disk_fills(place_of, rng, injected, small_disk, engine, disk, number):
    place = place_of(engine)
    target = place.store if disk == "store" else place.work
    fill = small_disk(target, 4096 if disk == "work" else 512)
    injection = injected(
        LEVEL, f"the disk with the {'label store' if disk == 'store' else 'work directory'} fills, {engine}"
    )
    job = place.start()
    for _ in range(8):
        if place.until(rng.randrange(FRAMES - 1), job, rng.uniform(0, 0.7)):
            break
        for path in (*place.store.iterdir(), place.output):
            shutil.rmtree(path) if path.is_dir() else path.unlink()
        job = place.start()
    make_room = fill()
    if number % 2:  # room again while it runs
        time.sleep(rng.uniform(0, 1.5))
        make_room()
    place.settle(job, 0, 1, 2)
    make_room()
    finish(place, place.labels(), injection)


@tries(tblite_=6, cp2k=6)
def test_two_writers(place_of, rng, injected, engine, number):
    place = place_of(engine)
    injection = injected(LEVEL, f"a second saltern label on the same batch, {engine}")
    first = place.start()
    place.until(rng.randrange(FRAMES // 2), first, rng.uniform(0, 1))
    second = place.start()
    before = place.labels()
    if number % 3 == 2:  # and one of them is killed
        place.until(rng.randrange(FRAMES), second, rng.uniform(0, 0.5))
        rng.choice([first, second]).kill()
    first.wait(), second.wait()
    assert {first.returncode, second.returncode} <= {0, 1, -signal.SIGKILL}, place.said()
    finish(place, before, injection)


@tries(tblite_=3, cp2k_=3)
def test_the_clock_goes_back_while_it_runs(place_of, rng, injected, clock, engine, number):
    place = place_of(engine)
    injection = injected(LEVEL, f"the clock jumps back by hours, then kill -9, {engine}")
    environ, back = clock

    def strike(job: subprocess.Popen[bytes]) -> bool:
        back(rng.randrange(1, 100))
        time.sleep(rng.uniform(0, 1))
        job.kill()
        return True

    struck(place, rng, strike, environ=environ).wait()
    assert gone(place)
    finish(place, place.labels(), injection, environ=environ)
