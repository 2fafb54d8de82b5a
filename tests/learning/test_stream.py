"""Mini-batches of a release: each frame once, well mixed, the same however many read and share them."""

import subprocess
import sys
import threading
from pathlib import Path

import numpy as np
import pytest

from saltern.config import CollectConfig
from saltern.errors import UserError
from saltern.frames import Frames
from saltern.learning import Group, Loader, ShuffledShare
from saltern.store import PartWriter, Release, open_release, write_release


def release(place: Path, sizes: dict[str, int], atoms: int = 3) -> Release:
    """Systems with so many frames, in one shard each; the energy of a frame is its number."""
    parts, first = [], 0
    for system, count in sizes.items():
        frames = Frames.uniform(
            np.full(atoms, 8), count, positions=100 * np.random.default_rng(first).random(size=(count, atoms, 3)),
            forces=np.zeros((count, atoms, 3)), cell=100 * np.eye(3), energy=np.arange(first, first + count), time=0.0,
            system=np.array([system]), trajectory=np.array([f"t{i}" for i in range(count)]), temperature=300.0,
            label_key=np.array([f"{system}{i}" for i in range(count)]), engine=np.array(["x"]),
            engine_version=np.array(["1"]), method=np.array(["m"]), accepted=True, reason=np.array([""]),
        )  # fmt: skip
        about = {"molality": 0.0, "system": {"salt": None, "role": "train", "temperature": 300.0}}
        parts.append(place / system)
        with PartWriter(parts[-1], system, about) as part:
            part.add(frames)
        first += count
    config = CollectConfig(near_duplicate_A=0, validation_fraction=0, test_fraction=0)
    write_release(parts, "test", config, place / "release")
    return open_release(place / "release")


@pytest.fixture(scope="module")
def reader(tmp_path_factory):
    return release(tmp_path_factory.mktemp("stream"), {"a": 50, "b": 31, "c": 20}).reader("train")


def energies(batches) -> list[list[float]]:
    return [frames["energy"].tolist() if len(frames) else [] for frames in batches]


@pytest.mark.parametrize("size", [1, 2, 3, 9])
def test_processes_together_see_each_mini_batch_of_a_single_one(reader, size):
    alone = energies(Loader(reader, 8, seed=1))
    shares = [energies(Loader(reader, 8, seed=1, group=Group(rank, size))) for rank in range(size)]
    assert [len(batch) for batch in alone] == [8] * 12 + [5]
    assert sorted(energy for batch in alone for energy in batch) == list(range(101))
    for step, batch in enumerate(alone):
        assert [share[step] for share in shares] == [batch[rank::size] for rank in range(size)]


@pytest.mark.parametrize("workers", [1, 2, 5])
def test_workers_change_nothing(reader, workers):
    many = Loader(reader, 8, seed=1, workers=workers)
    for epoch in (0, 1):
        alone = Loader(reader, 8, seed=1)
        alone.batches.set_epoch(epoch)
        many.batches.set_epoch(epoch)
        assert energies(many) == energies(alone)


def test_every_epoch_has_its_order_which_mixes_the_shards():
    orders = []
    for epoch in range(20):
        sampler = ShuffledShare(1000, 8, seed=0)
        sampler.set_epoch(epoch)
        orders.append(np.concatenate(list(sampler)))
        # of a random order the correlation has a standard deviation of 0.03
        assert abs(np.corrcoef(orders[-1], np.arange(1000))[0, 1]) < 0.15
    assert len({tuple(order) for order in orders}) == 20
    assert np.abs(np.corrcoef(orders) - np.eye(20)).max() < 0.15
    other = np.concatenate(list(ShuffledShare(1000, 8, seed=1)))
    assert not np.array_equal(other, orders[0]) and not np.array_equal(other, orders[1])


def test_shares_make_about_as_much_work():
    sizes = np.random.default_rng(0).integers(1, 1000, 96).tolist()
    shares = [list(ShuffledShare(96, 8, seed=1, group=Group(rank, 2), sizes=sizes)) for rank in (0, 1)]
    work = np.array([[sum(sizes[i] for i in share) for share in of] for of in shares])
    plain = [list(ShuffledShare(96, 8, seed=1, group=Group(rank, 2))) for rank in (0, 1)]
    before = np.array([[sum(sizes[i] for i in share) for share in of] for of in plain])
    assert (work[0] >= work[1]).all()
    assert (work[0] - work[1]).mean() < 0.6 * np.abs(before[0] - before[1]).mean()
    for step in range(12):
        assert sorted(shares[0][step] + shares[1][step]) == sorted(plain[0][step] + plain[1][step])


def test_a_training_that_was_stopped_goes_on_where_it_was():
    whole, rest = ShuffledShare(101, 8, seed=5), ShuffledShare(101, 8, seed=5)
    whole.set_epoch(3)
    rest.set_epoch(3, start=4)
    assert list(rest) == list(whole)[4:]
    assert len(rest) == 9


def test_a_mini_batch_holds_what_the_release_does(reader):
    [frames, *_] = Loader(reader, 8, seed=1)
    numbers = frames["energy"].astype(int)
    order = np.argsort([energy for batch in reader.batches() for energy in batch["energy"]])
    expected = reader.frames(order[numbers])
    np.testing.assert_array_equal(frames["positions"], expected["positions"])
    assert {"numbers", "positions", "cell", "energy", "forces"} <= set(frames.arrays)


def test_a_mini_batch_without_frames_is_refused(reader):
    with pytest.raises(UserError, match="at least 1"):
        Loader(reader, 0, seed=1)
    with pytest.raises(UserError, match="at least 0"):
        Loader(reader, 8, seed=1, workers=-1)


def test_a_share_without_frames_has_the_arrays_of_others(reader):
    *_, full = Loader(reader, 8, seed=1)
    *_, last = Loader(reader, 8, seed=1, group=Group(8, 9))
    assert len(last) == 0 and last.offsets.tolist() == [0]
    assert {k: (v.dtype, v.shape[1:]) for k, v in last.arrays.items()} == {
        k: (v.dtype, v.shape[1:]) for k, v in full.arrays.items()
    }


def test_the_rest_of_an_epoch_is_the_same_with_workers(reader):
    batches = Loader(reader, 8, seed=1, workers=2)
    batches.batches.set_epoch(2)
    whole = energies(batches)
    batches.batches.set_epoch(2, start=5)
    assert energies(batches) == whole[5:]
    threads = threading.active_count()
    first = iter(batches)
    next(first)
    first.close()  # ends the threads, too
    assert threading.active_count() == threads
    with pytest.raises(UserError, match="at least 0"):
        batches.batches.set_epoch(2, start=-1)


MEMORY = """
import sys
from pathlib import Path
from saltern.learning import Loader
from saltern.store import open_release
def peak():
    return next(int(line.split()[1]) for line in open("/proc/self/status") if line.startswith("VmHWM")) * 1024
reader = open_release(sys.argv[1]).reader("train")
reader.frames([0])
Path("/proc/self/clear_refs").write_text("5")  # the peak of the imports is no part of it
before = peak()
count = sum(len(frames) for frames in Loader(reader, 4, seed=0))
print(count, peak() - before)
"""


def test_memory_stays_flat(tmp_path):
    place = release(tmp_path, {"a": 700, "b": 700}, atoms=1000).directory
    done = subprocess.run([sys.executable, "-c", MEMORY, place], check=True, capture_output=True, text=True)
    count, more = map(int, done.stdout.split())
    assert count == 1400
    assert sum(path.stat().st_size for path in place.rglob("*.h5")) > 60e6
    assert more < 20e6
