"""One training shared by 1 and by 2 processes of this machine: seconds an epoch, processor time, and start-up.

    OMP_NUM_THREADS=2 python benchmarks/distributed.py

Frames are 64 ions near the sites of a crystal, the network is that of the demo, steps are of 4 frames. Every process
has one thread. Rows are medians over repeats, the cases interleaved. Epochs are timed from the end of the first to the
end of the last; processor time is the sum over the processes, start-up the rest of it (imports, reading, neighbours).
On a machine that others use too only processor time means much: the wall time is then a matter of luck.
"""

from __future__ import annotations

import os
import resource
import statistics
import subprocess
import sys
import time
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np

from saltern.config import CollectConfig, StudentConfig, TrainConfig, TrainSpec
from saltern.config.stages import BaselineConfig
from saltern.frames import Frames
from saltern.store import collect_system, write_frames, write_release

REPEATS = 3
EPOCHS = 8
FRAMES = 48
STUDENT = StudentConfig(r_max_A=4.5, layers=2, l_max=2, features=16)


def make_release(place: Path) -> Path:
    """A dataset of ions on springs."""
    rng = np.random.default_rng(0)
    sites = 2.9 * np.stack(np.meshgrid(*[np.arange(4)] * 3), -1).reshape(-1, 3)
    steps = rng.normal(scale=0.15, size=(FRAMES, len(sites), 3))
    frames = Frames.uniform(
        np.where(sites.sum(1) / 2.9 % 2 < 0.5, 11, 17), FRAMES,
        positions=sites + steps, cell=np.eye(3) * 11.6, charges=0.0, permittivity=3.0,
        energy=(steps**2).sum((1, 2)), forces=-2.0 * steps, stress=np.zeros((FRAMES, 3, 3)),
        system=np.array(["crystal"]), trajectory=np.array([f"t{i % 12}" for i in range(FRAMES)]),
        time=np.arange(FRAMES) * 1.0, temperature=300.0, label_key=np.array([str(i) for i in range(FRAMES)]),
        engine=np.array(["spring"]), engine_version=np.array(["1"]), method=np.array(["spring"]),
        accepted=True, reason=np.array([""]), iterations=1, cpu_seconds=0.0,
    )  # fmt: skip
    known = {"id": "crystal", "molality": 0.0, "system": {"salt": "NaCl", "role": "train", "temperature": 300.0}}
    write_frames(place / "system.h5", frames.select([0]), known)
    write_frames(place / "labels.h5", frames)
    collect_system(place / "system.h5", [place / "labels.h5"], FRAMES, place / "crystal")
    write_release([place / "crystal"], "crystal", CollectConfig(validation_fraction=0), place / "dataset")
    return place / "dataset"


def seconds(release: Path, processes: int) -> tuple[float, float, float]:
    """Wall and processor seconds of an epoch, processor seconds of the start-up."""
    train = TrainConfig(epochs=EPOCHS, batch=4, device="cpu")
    told = TrainSpec(baseline=BaselineConfig(), student=STUDENT, train=train)
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    with TemporaryDirectory() as place:
        curve = Path(place) / "m.csv"
        command = [sys.executable, "-m", "saltern", "train", release, f"{place}/m", curve, "--member=0"]
        environment = {**os.environ, "OMP_NUM_THREADS": str(processes)}
        command += [f"--processes={processes}", f"--spec={told.model_dump_json()}"]
        with subprocess.Popen(command, stderr=subprocess.DEVNULL, env=environment) as running:
            while not (curve.exists() and curve.read_text().count("\n") > 1):
                time.sleep(0.01)
            first = curve.stat().st_mtime
        assert running.returncode == 0
        wall = (curve.stat().st_mtime - first) / (EPOCHS - 1)
        work = [float(line.split(",")[-1]) for line in curve.read_text().splitlines()[1:]]
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    total = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
    return wall, (work[-1] - work[0]) / (EPOCHS - 1), total - work[-1]


def main() -> None:
    """Print one row a number of processes."""
    found: dict[int, list[tuple[float, float, float]]] = {1: [], 2: []}
    with TemporaryDirectory() as place:
        release = make_release(Path(place))
        for _ in range(REPEATS):
            for processes, rows in found.items():
                rows.append(seconds(release, processes))
    print(f"{'processes':>9} {'wall (s/epoch)':>15} {'processor (s/epoch)':>20} {'start-up (processor s)':>23}")
    medians = {n: [statistics.median(column) for column in zip(*rows, strict=True)] for n, rows in found.items()}
    for processes, (wall, work, begun) in medians.items():
        print(f"{processes:9d} {wall:15.2f} {work:20.2f} {begun:23.2f}")
    print(f"2 processes: {medians[1][0] / medians[2][0]:.2f} times as fast,", end=" ")
    print(f"{medians[2][1] / medians[1][1]:.2f} times the processor time of 1; load {os.getloadavg()[0]:.1f}")


if __name__ == "__main__":
    main()
