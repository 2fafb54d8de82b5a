"""No bit of a release changes unseen, and whatever happens to its files is told in one line."""

import os
import pickle
import random
import shutil
import subprocess
import sys
import time
from multiprocessing import get_context
from pathlib import Path

import h5py
import numpy as np
import pandas as pd
import pytest

from saltern.config import CollectConfig
from saltern.errors import UserError
from saltern.fields import FIELDS
from saltern.store import Release, Shard, Workers, open_release, write_release

FLIPS = 1000
ONE = Workers(1)


def flip(path: Path, place: int, bit: int) -> None:
    with path.open("r+b") as file:
        file.seek(place)
        byte = file.read(1)[0]
        file.seek(place)
        file.write(bytes([byte ^ (1 << bit)]))


def complaint(directory: Path) -> str:
    with pytest.raises(UserError) as caught:
        open_release(directory).verify(ONE)
    assert len(caught.value.lines) == 1
    assert "\n" not in caught.value.lines[0]
    return caught.value.lines[0]


def frame_at(path: Path, place: int) -> int | None:
    """The frame whose numbers lie at a place of a shard, found with h5py alone."""
    with h5py.File(path) as file:
        offsets = file["offsets"][()]
        for name in (name for name in file if name in FIELDS and not FIELDS[name].is_text):
            start, width = file[name].id.get_offset(), file[name].nbytes // len(file[name])
            if start <= place < start + file[name].nbytes:
                row = (place - start) // width
                return int(np.searchsorted(offsets, row, "right") - 1) if FIELDS[name].per == "atom" else row
    return None


def test_every_single_flipped_bit_is_found_and_named(released, frames, tmp_path):
    """In shards, quarantine, index, card and manifest alike; in a shard's numbers the frame is named too."""
    whole = released(frames("a", 20, atoms=60), frames("b", 10, atoms=150, seed=1)).directory
    copy = tmp_path / "copy"
    shutil.copytree(whole, copy)
    files = sorted(path for path in copy.rglob("*") if path.is_file())
    rng = random.Random(20261128)
    frames_named = 0
    for number in range(FLIPS):
        path = files[number % len(files)]
        place, bit = rng.randrange(path.stat().st_size), rng.randrange(8)
        frame = frame_at(path, place) if path.suffix == ".h5" else None
        flip(path, place, bit)
        said = complaint(copy)
        assert said.startswith(f"{path}: "), (path, place, bit)
        if frame is not None:
            assert f"1 of {len(Shard(whole / path.relative_to(copy)))} frames: frame {frame} (" in said
            frames_named += 1
        flip(path, place, bit)
    (copy / ".snakemake_timestamp").touch()  # Snakemake's mark on a directory that a rule made
    open_release(copy).verify(ONE)
    assert frames_named > FLIPS // 10


def test_verify_says_the_same_with_any_number_of_workers(released, frames):
    release = released(*(frames(name, 10, seed=i) for i, name in enumerate("abcd")))
    for path in sorted((release.directory / "shards").iterdir())[1:3]:
        shutil.copy(path, path.with_suffix(".new"))  # shards are linked to their parts
        path.with_suffix(".new").replace(path)
        flip(path, 5000, 3)
    lines = []
    for workers in (Workers(1), Workers(2), Workers(7)):
        with pytest.raises(UserError) as caught:
            release.verify(workers)
        lines.append(caught.value.lines)
    assert lines[0] == lines[1] == lines[2]
    assert len(lines[0]) == 2


def test_missing_and_foreign_files_are_named(released, frames):
    release = released(frames("a", 10))
    (release.directory / "shards/a.h5").unlink()
    (release.directory / "shards/b.h5").write_bytes(b"")
    with pytest.raises(UserError) as caught:
        release.verify(ONE)
    assert caught.value.lines == (
        f"{release.directory}/shards/b.h5: not in the manifest",
        f"{release.directory}/shards/a.h5: missing",
    )


@pytest.mark.parametrize("damage", ["cut off", "foreign HDF5", "no HDF5", "missing", "a directory"])
def test_a_shard_that_is_none_gives_one_clear_line(released, frames, damage):
    release = released(frames("a", 200))
    path = release.directory / "shards/a.h5"
    data = path.read_bytes()
    path.unlink()
    if damage == "cut off":
        path.write_bytes(data[: len(data) // 2])
    elif damage == "foreign HDF5":
        with h5py.File(path, "w") as file:
            file["x"] = 1
    elif damage == "no HDF5":
        path.write_text("hello")
    elif damage == "a directory":
        path.mkdir()
    with pytest.raises(UserError) as caught:
        release.frames("train")
    assert len(caught.value.lines) == 1
    assert caught.value.lines[0].startswith(f"{path}: ")


def test_a_shard_cut_off_while_it_is_read_is_an_error_and_no_crash(released, frames):
    release = released(frames("a", 200))
    path = release.directory / "shards/a.h5"
    reader = release.reader()
    reader.frames([0])
    os.truncate(path, path.stat().st_size // 2)
    with pytest.raises(UserError, match=r"a\.h5: it is cut off"):
        reader.frames(np.arange(len(reader)), ["positions"])


def digest(reader) -> list[str]:
    frames = reader.frames(np.arange(len(reader)))
    return [frames[name].tobytes().hex() for name in ("positions", "forces", "energy")]


def read_often(reader, rounds: int) -> list[list[str]]:
    return [digest(reader) for _ in range(rounds)]


@pytest.mark.parametrize("method", ["fork", "spawn"])
def test_workers_of_a_data_loader_read_what_their_parent_reads(released, frames, method):
    """Forked workers share the open files of the parent, which reads meanwhile."""
    reader = released(frames("a", 60), frames("b", 60, atoms=6, seed=1)).reader()
    expected = digest(reader)
    with get_context(method).Pool(3) as pool:
        jobs = [pool.apply_async(read_often, (reader, 5)) for _ in range(3)]
        for _ in range(5):
            assert digest(reader) == expected
        assert all(found == expected for job in jobs for found in job.get(120))


def test_a_reader_can_be_pickled_and_reads_the_same(released, frames):
    reader = released(frames("a", 30)).reader()
    expected = digest(reader)
    assert digest(pickle.loads(pickle.dumps(reader))) == expected


WATCH = """
import os, sys
from pathlib import Path
from saltern.errors import UserError
from saltern.store import open_release
place = Path(sys.argv[1])
(place / f"ready-{os.getpid()}").touch()
seen = 0
while not (place / "stop").exists():
    for path in place.glob("release*"):
        try:
            release = open_release(path)
        except UserError:
            sys.exit(f"{path} was seen before it was whole")
        release.verify()
        len(release.frames("train"))
        seen += 1
print(seen)
"""


def test_many_readers_beside_one_writer_see_whole_releases_only(released, frames, tmp_path):
    (tmp_path / "seen").mkdir()
    readers = [
        subprocess.Popen([sys.executable, "-c", WATCH, tmp_path / "seen"], stdout=subprocess.PIPE, text=True)
        for _ in range(3)
    ]
    parts = [released(frames("a", 40)).directory.parent / "parts/a"]
    while len(list((tmp_path / "seen").glob("ready-*"))) < len(readers):
        time.sleep(0.05)
        assert all(reader.poll() is None for reader in readers)
    for number in range(12):
        write_release(parts, "test", CollectConfig(near_duplicate_A=0), tmp_path / f"seen/release{number}")
    (tmp_path / "seen/stop").touch()
    for reader in readers:
        said, _ = reader.communicate(timeout=120)
        assert reader.returncode == 0
        assert int(said) > 0


def test_a_release_on_a_read_only_file_system_is_read_and_verified(released, frames, tmp_path):
    if os.geteuid() != 0:
        pytest.skip("needs root, to mount")
    release, place = released(frames("a", 20)), tmp_path / "ro"
    place.mkdir()
    done = subprocess.run(["mount", "--bind", release.directory, place], check=False, capture_output=True)
    if done.returncode:
        pytest.skip(f"cannot mount: {done.stderr.decode().strip()}")
    try:
        subprocess.run(["mount", "-o", "remount,ro,bind", place], check=True)
        with pytest.raises(OSError, match="Read-only"):
            (place / "x").touch()
        again = open_release(place)
        again.verify()
        assert digest(again.reader()) == digest(release.reader())
    finally:
        subprocess.run(["umount", "--lazy", place], check=True)


def test_a_full_disk_leaves_no_release_and_one_line(released, frames, tmp_path):
    if os.geteuid() != 0:
        pytest.skip("needs root, to mount a small disk")
    part = released(frames("a", 400)).directory.parent / "parts/a"
    disk = tmp_path / "disk"
    disk.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", "size=64k", "saltern-test", disk]
    if subprocess.run(mount, check=False, capture_output=True).returncode:
        pytest.skip("cannot mount a small disk")
    try:
        command = [sys.executable, "-m", "saltern", "release", part, disk / "release", "--name", "x"]
        spec = '{"collect": {"near_duplicate_A": 0}, "numerics": 2}'
        done = subprocess.run(
            [*command, "--store", tmp_path / "labels", "--spec", spec], check=False, capture_output=True, text=True
        )
        assert done.returncode == 2, done.stderr
        assert "No space left" in done.stderr
        assert len(done.stderr.splitlines()) == 1
        assert list(disk.iterdir()) == []
    finally:
        subprocess.run(["umount", "--lazy", disk], check=True)


SLOW = """
#define _GNU_SOURCE
#include <dlfcn.h>
#include <sys/uio.h>
#include <time.h>
ssize_t preadv64(int file, const struct iovec *parts, int count, off64_t place) {
    static ssize_t (*real)(int, const struct iovec *, int, off64_t);
    if (!real) real = dlsym(RTLD_NEXT, "preadv64");
    struct iovec first = parts[0];
    if (first.iov_len > 1000) first.iov_len = 1000;
    struct timespec moment = {0, 100000};
    nanosleep(&moment, 0);
    return real(file, &first, 1, place);
}
"""
"""A file system that answers late, and with less than was asked for, as network mounts may."""

READ = """
import sys, numpy as np
from saltern.store import open_release
reader = open_release(sys.argv[1]).reader()
frames = reader.frames(np.arange(len(reader)))
sys.stdout.write(" ".join(frames[name].tobytes().hex() for name in ("positions", "forces", "energy")))
"""


def test_a_slow_mount_that_answers_in_pieces_gives_the_same_frames(released, frames, tmp_path):
    if shutil.which("cc") is None:
        pytest.skip("there is no C compiler")
    release = released(frames("a", 300))
    library = tmp_path / "slow.so"
    build = ["cc", "-shared", "-fPIC", "-x", "c", "-", "-o", library, "-ldl"]
    subprocess.run(build, input=SLOW, text=True, check=True)
    done = subprocess.run(
        [sys.executable, "-c", READ, release.directory],
        env={**os.environ, "LD_PRELOAD": str(library)}, capture_output=True, text=True, check=True,
    )  # fmt: skip
    assert done.stdout.split() == digest(release.reader())


def test_the_index_answers_without_the_shards(released, frames):
    release: Release = released(frames("a", 20), frames("b", 10, seed=1))
    shutil.rmtree(release.directory / "shards")
    index: pd.DataFrame = open_release(release.directory).index
    assert len(index) == 30
