"""A release against what else datasets are kept in: random mini-batches, a pass over everything, writing, size.

    python benchmarks/dataset.py [--frames 2000] [--rounds 5]

Frames of ions in water (50 and 250 atoms; positions packed, forces random: their values cost nothing) are written to
each store, and read back by turns. A mini-batch is 8 frames drawn at random, given as a trainer wants them: numbers,
positions, forces, cells and energies, each one array. Medians over the rounds; ratios against the release.
"""

from __future__ import annotations

import argparse
import hashlib
import os
import pickle
import tempfile
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import count, islice
from pathlib import Path
from statistics import median
from typing import Any

import ase.db
import ase.io
import h5py
import lmdb
import numpy as np
import torch
from ase import Atoms
from ase.calculators.singlepoint import SinglePointCalculator
from torch.utils.data import DataLoader, Dataset

from saltern.config import CollectConfig, System
from saltern.frames import Frames
from saltern.learning import Loader
from saltern.store import PartWriter, Workers, open_release, write_release
from saltern.systems import compose

BATCH = 8
NAMES = ("numbers", "positions", "forces", "cell", "energy")
Arrays = tuple[Any, ...]


def made(waters: int, pairs: int, count: int) -> Frames:
    """Frames of sodium chloride in water, packed once and rattled."""
    box, about = compose(System(salt="NaCl", molality=55.5 * pairs / waters, temperature=300, solvent_molecules=waters))
    rng = np.random.default_rng(0)
    atoms = len(box["numbers"])
    return Frames.uniform(
        box["numbers"], count,
        positions=box["positions"] + rng.normal(scale=0.1, size=(count, atoms, 3)),
        forces=rng.normal(size=(count, atoms, 3)), cell=box["cell"][0], energy=rng.normal(size=count),
        stress=rng.normal(size=(count, 3, 3)), charges=box["charges"], molecules=box["molecules"],
        permittivity=78.3, temperature=300.0, system=np.array([about["id"]]),
        trajectory=np.array([f"t{i % 8}" for i in range(count)]), time=np.arange(count) * 100.0,
        label_key=np.array([f"{i:064x}" for i in range(count)]), engine=np.array(["cp2k"]),
        engine_version=np.array(["2023.1"]), method=np.array(["revpbe-d3"]), accepted=True, reason=np.array([""]),
    )  # fmt: skip


def structure(frames: Frames, index: int) -> Atoms:
    """One frame for ASE."""
    atoms = Atoms(
        numbers=frames.of(index, "numbers"),
        positions=frames.of(index, "positions"),
        cell=frames["cell"][index],
        pbc=True,
    )
    atoms.calc = SinglePointCalculator(atoms, energy=frames["energy"][index], forces=frames.of(index, "forces"))
    return atoms


def joined(chosen: Sequence[Atoms]) -> Arrays:
    """Several of ASE's structures as the arrays of a mini-batch."""
    return (
        np.concatenate([a.numbers for a in chosen]),
        np.concatenate([a.positions for a in chosen]),
        np.concatenate([a.calc.results["forces"] for a in chosen]),
        np.stack([a.cell.array for a in chosen]),
        np.array([a.calc.results["energy"] for a in chosen]),
    )


class Store:
    """A place where frames are kept."""

    def close(self) -> None:
        """Forget what `open` made."""


class Ours(Store):
    """A Saltern release."""

    name = "saltern release"

    def __init__(self, place: Path) -> None:
        self.place = place / "release"

    def write(self, frames: Frames) -> None:
        part = self.place.with_name("part")
        about = {"system": {"salt": "NaCl", "role": "train", "temperature": 300.0}, "molality": 3.5}
        with PartWriter(part, str(frames["system"][0]), about) as writer:
            writer.add(frames)
        write_release([part], "benchmark", CollectConfig(near_duplicate_A=0), self.place)

    def open(self) -> None:
        self.reader = open_release(self.place).reader()

    def batch(self, chosen: Sequence[int]) -> Arrays:
        frames = self.reader.frames(chosen, NAMES)
        return tuple(frames[name] for name in NAMES)

    def loader(self, workers: int) -> Iterator[Arrays]:
        """Random mini-batches for ever, as the project's trainer sees them."""
        batches = Loader(self.reader, BATCH, seed=0, workers=workers)
        for epoch in count():
            batches.batches.set_epoch(epoch)
            for frames in batches:
                yield tuple(torch.from_numpy(frames[name]) for name in NAMES)


class Lmdb(Store):
    """LMDB with pickled ASE structures."""

    name = "LMDB, pickled ASE"

    def __init__(self, place: Path) -> None:
        self.place = place / "frames.lmdb"

    def write(self, frames: Frames) -> None:
        with lmdb.open(str(self.place), map_size=2**34, subdir=False) as base, base.begin(write=True) as put:
            for index in range(len(frames)):
                put.put(f"{index:09d}".encode(), pickle.dumps(structure(frames, index), protocol=5))

    def close(self) -> None:
        self.base.close()  # a process may not have it open twice, forked or not

    def open(self) -> None:
        self.base = lmdb.open(str(self.place), readonly=True, lock=False, subdir=False, readahead=False)

    def batch(self, chosen: Sequence[int]) -> Arrays:
        with self.base.begin() as get:
            return joined([pickle.loads(get.get(f"{index:09d}".encode())) for index in chosen])


class AseDatabase(Store):
    """ASE's SQLite database."""

    name = "ASE SQLite"

    def __init__(self, place: Path) -> None:
        self.place = place / "frames.db"

    def write(self, frames: Frames) -> None:
        with ase.db.connect(self.place) as base:
            for index in range(len(frames)):
                base.write(structure(frames, index))

    def open(self) -> None:
        self.base = ase.db.connect(self.place)

    def batch(self, chosen: Sequence[int]) -> Arrays:
        return joined([self.base.get_atoms(int(index) + 1) for index in chosen])


class Extxyz(Store):
    """Extended XYZ, read with an index of byte offsets as a careful trainer would."""

    name = "extxyz"

    def __init__(self, place: Path) -> None:
        self.place = place / "frames.xyz"

    def write(self, frames: Frames) -> None:
        ase.io.write(self.place, [structure(frames, index) for index in range(len(frames))], format="extxyz")

    def open(self) -> None:
        self.lines: list[int] = []
        with self.place.open("rb") as file:
            while head := file.readline():
                self.lines.append(file.tell() - len(head))
                for _ in range(int(head) + 1):
                    file.readline()

    def batch(self, chosen: Sequence[int]) -> Arrays:
        from io import StringIO

        found = []
        with self.place.open() as file:
            for index in chosen:
                file.seek(self.lines[index])
                head = file.readline()
                text = head + "".join(file.readline() for _ in range(int(head) + 1))
                found.append(ase.io.read(StringIO(text), format="extxyz"))
        return joined(found)


class Groups(Store):
    """HDF5 with one group a frame."""

    name = "HDF5, group a frame"

    def __init__(self, place: Path) -> None:
        self.place = place / "frames.h5"

    def write(self, frames: Frames) -> None:
        with h5py.File(self.place, "w") as file:
            for index in range(len(frames)):
                group = file.create_group(f"{index:09d}")
                for name in NAMES:
                    group[name] = frames.of(index, name)

    def open(self) -> None:
        self.file = h5py.File(self.place, "r")

    def batch(self, chosen: Sequence[int]) -> Arrays:
        groups = [self.file[f"{index:09d}"] for index in chosen]
        first = [np.concatenate([g[name][()] for g in groups]) for name in NAMES[:3]]
        return (*first, np.stack([g["cell"][()] for g in groups]), np.array([g["energy"][()] for g in groups]))


STORES = (Ours, Lmdb, AseDatabase, Extxyz, Groups)


class Batches(Dataset):  # type: ignore[type-arg]
    """Mini-batches for a data loader; each worker opens the store anew."""

    def __init__(self, store: Any, chosen: Sequence[Sequence[int]]) -> None:
        self.store, self.chosen, self.opened = store, chosen, False

    def __len__(self) -> int:
        return len(self.chosen)

    def __getitem__(self, index: int) -> Arrays:
        if not self.opened:
            self.store.open()
            self.opened = True
        return tuple(torch.from_numpy(array) for array in self.store.batch(self.chosen[index]))


def as_it_is(item: Any) -> Any:
    """A mini-batch is one already."""
    return item


def random_batches(store: Any, chosen: Sequence[Sequence[int]], workers: int) -> float:
    """Seconds for one mini-batch, the start of the workers left out."""
    if workers == 0:
        begun = time.perf_counter()
        for indices in chosen:
            store.batch(indices)
        return (time.perf_counter() - begun) / len(chosen)
    if isinstance(store, Ours):
        batches: Iterator[Arrays] = store.loader(workers)
    else:
        fresh = type(store)(store.place.parent)
        loader: Any = DataLoader(Batches(fresh, chosen), batch_size=None, num_workers=workers, collate_fn=as_it_is)
        batches = iter(loader)
    for _ in range(2 * workers):
        next(batches)
    begun = time.perf_counter()
    rest = sum(1 for _ in islice(batches, len(chosen) - 2 * workers))
    return (time.perf_counter() - begun) / rest


def read_plainly(paths: Sequence[Path]) -> float:
    """Seconds to read() the bytes of some files, a piece at a time."""
    buffer = bytearray(8 * 2**20)
    begun = time.perf_counter()
    for path in paths:
        with path.open("rb", buffering=0) as file:
            while file.readinto(buffer):
                pass
    return time.perf_counter() - begun


def read_release(store: Ours) -> float:
    """Seconds to have all arrays of all frames of a release in memory, a batch at a time; texts are left out."""
    reader = store.reader
    names = [*NAMES, "stress", "charges", "molecules", "permittivity", "temperature", "time"]
    begun = time.perf_counter()
    for _ in reader.batches(names=names):
        pass
    return time.perf_counter() - begun


def read_and_hash(paths: Sequence[Path]) -> float:
    """Seconds to have the SHA-256 of some files."""
    begun = time.perf_counter()
    for path in paths:
        with path.open("rb") as file:
            hashlib.file_digest(file, "sha256")
    return time.perf_counter() - begun


def verify(store: Ours) -> float:
    """Seconds to verify a release in this process."""
    begun = time.perf_counter()
    open_release(store.place).verify(Workers(1))
    return time.perf_counter() - begun


def size(path: Path) -> int:
    """Bytes of a file, or of all in a directory."""
    return sum(p.stat().st_size for p in path.rglob("*") if p.is_file()) if path.is_dir() else path.stat().st_size


@dataclass
class Timings:
    """Of one store."""

    write: float
    size: int
    one: list[float]
    two: list[float]


def measured(frames: Frames, place: Path, rounds: int) -> tuple[dict[str, Timings], dict[str, list[float]]]:
    """Timings of every store, taken by turns; how fast the release is against reading, or reading and hashing."""
    stores = [kind(place) for kind in STORES]
    found: dict[str, Timings] = {}
    for store in stores:
        begun = time.perf_counter()
        store.write(frames)
        found[store.name] = Timings(time.perf_counter() - begun, size(store.place), [], [])
        store.open()
    rng = np.random.default_rng(1)
    passes, verified = [], []
    for _ in range(rounds):
        chosen = [rng.integers(len(frames), size=BATCH).tolist() for _ in range(60)]
        expected = stores[0].batch(chosen[0])
        for store in stores:
            for ours, theirs in zip(expected, store.batch(chosen[0]), strict=True):
                np.testing.assert_allclose(ours, theirs, atol=1e-7)
            found[store.name].one.append(random_batches(store, chosen, 0))
            store.close()
            found[store.name].two.append(random_batches(store, chosen, 2))
            store.open()
        shards = sorted((stores[0].place / "shards").iterdir())
        every = [path for path in stores[0].place.rglob("*") if path.is_file()]
        passes.append(read_plainly(shards) / read_release(stores[0]))  # type: ignore[arg-type]
        verified.append(read_and_hash(every) / verify(stores[0]))  # type: ignore[arg-type]
    return found, {"pass over all numbers": passes, "verify": verified}


def rows(found: dict[str, Timings], count: int) -> Iterator[str]:
    """The table, each store against the release."""
    ours = found[Ours.name]
    heads = ("store", "batch, 1 process (ms)", "batch, 2 workers (ms)", "write (ms/frame)", "bytes/frame")
    yield f"| {' | ratio | '.join(heads)} | ratio |".replace("store | ratio", "store")
    yield "|---|--:|--:|--:|--:|--:|--:|--:|--:|"
    for name, timing in found.items():
        cells = []
        for value, base, scale in (
            (median(timing.one), median(ours.one), 1e3),
            (median(timing.two), median(ours.two), 1e3),
            (timing.write, ours.write, 1e3 / count),
            (timing.size, ours.size, 1 / count),
        ):
            cells += [f"{value * scale:.3g}" if scale != 1 / count else f"{value * scale:.0f}", f"{value / base:.2f}"]
        yield f"| {name} | {' | '.join(cells)} |"


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--frames", type=int, default=2000, help="of 50 atoms; a quarter as many of 250")
    parser.add_argument("--rounds", type=int, default=5)
    options = parser.parse_args()
    torch.set_num_threads(1)
    for waters, pairs, number in ((16, 1, options.frames), (80, 5, options.frames // 4)):
        frames = made(waters, pairs, number)
        with tempfile.TemporaryDirectory() as place:
            found, speeds = measured(frames, Path(place), options.rounds)
        print(f"\n{number} frames of {frames.atom_counts[0]} atoms, load {os.getloadavg()[0]:.1f}\n")
        print("\n".join(rows(found, number)))
        for what, shares in speeds.items():
            low, middle, high = (round(100 * value) for value in (min(shares), median(shares), max(shares)))
            against = "read()" if what != "verify" else "reading and hashing all files"
            print(f"\n{what}: {middle} % of the speed of {against} ({low} to {high})")


if __name__ == "__main__":
    main()
