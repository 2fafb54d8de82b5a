"""Memory stays flat: a release ten times larger than what may be allocated is made, verified, converted and read."""

import subprocess
import sys
from pathlib import Path

import numpy as np

from saltern.frames import Frames
from saltern.store import PartWriter

ATOMS, FRAMES = 1000, 13_600
ALLOWED = 64e6

WORK = """
import resource, sys
from pathlib import Path
from saltern.cli import main
from saltern.config import CollectConfig
from saltern.learning import Loader
from saltern.store import open_release, write_release

def everything(place):
    config = CollectConfig(near_duplicate_A=0)  # 4 kB a frame at most, but minutes of processor time
    write_release(sorted((place / "parts").iterdir()), "memory", config, place / "release")
    release = open_release(place / "release")
    assert main(["dataset", "verify", str(release.directory), "--workers", "1"]) == 0
    assert sum(len(frames) for frames in release.reader().batches()) == len(release.reader())
    assert sum(len(frames) for frames in Loader(release.reader("train"), 4, seed=0)) == len(release.reader("train"))
    assert main(["dataset", "export", str(release.directory), str(place / "deepmd"), "--format", "deepmd"]) == 0
    return len(release.reader())

small, large = map(Path, sys.argv[1:3])
everything(small)  # imports and what libraries keep for themselves are no part of it
used = next(int(line.split()[1]) for line in open("/proc/self/status") if line.startswith("VmData")) * 1024
limit = used + int(float(sys.argv[3]))
resource.setrlimit(resource.RLIMIT_DATA, (limit, limit))
print(everything(large))
"""


def part(place: Path, count: int, seed: int) -> None:
    """Frames of a thin gas in four trajectories, written a hundred at a time."""
    rng = np.random.default_rng(seed)
    about = {"molality": 0.0, "system": {"salt": None, "role": "train", "temperature": 300.0}}
    with PartWriter(place / "parts/gas", "gas", about) as writer:
        for first in range(0, count, 100):
            n = np.arange(first, min(first + 100, count))
            shape = (len(n), ATOMS, 3)
            frames = Frames.uniform(
                np.full(ATOMS, 18), len(n), positions=60 * rng.random(shape), forces=rng.normal(size=shape),
                cell=60 * np.eye(3), energy=rng.normal(size=len(n)), time=1.0 * n, temperature=300.0,
                system=np.array(["gas"]), trajectory=np.array([f"t{i * 4 // count}" for i in n]),
                label_key=np.array([f"{i:064d}" for i in n]), engine=np.array(["x"]), method=np.array(["m"]),
                engine_version=np.array(["1"]), accepted=True, reason=np.array([""]),
            )  # fmt: skip
            writer.add(frames)


def test_a_release_may_be_ten_times_larger_than_memory(tmp_path):
    small, large = tmp_path / "small", tmp_path / "large"
    part(small, 40, seed=0)
    part(large, FRAMES, seed=1)
    assert sum(path.stat().st_size for path in large.rglob("*.h5")) > 10 * ALLOWED
    command = [sys.executable, "-c", WORK, small, large, str(ALLOWED)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert int(done.stdout.splitlines()[-1]) == FRAMES
