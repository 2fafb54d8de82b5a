"""Which candidate frames teach best: error on frames of another dynamics, by what made the frames that were labelled.

    OMP_NUM_THREADS=1 PYTHON benchmarks/samplers.py DATA PLACE SAMPLER --frames 16 64 --seeds 0 1 2

GFN1-xTB is the teacher throughout and 64 waters the system. SAMPLER is one of

- `classical`: the flexible water of `sample: {engine: openmm}`, no atom displaced;
- `rattled`: the same with half of the frames displaced, the default of a campaign;
- `sevennet-0`, `sevennet-mf-0`: a network of ours that has learned what SevenNet-0, or SevenNet-MF-0 as r2SCAN, says of
  such frames (PYTHON is that of an environment with sevenn);
- `student`: a network of ours that has learned GFN1-xTB's labels of the rattled frames;
- `target`: the dynamics of DATA, PBE0-TS (as for benchmarks/learning.py), from which the held-out frames come, too.

Frames, labels and networks are kept in PLACE and made once. Prints force (meV/Å) and energy error (meV/atom), as JSON.
"""

from __future__ import annotations

import argparse
import json
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from learning import BASE, errors, frames_of, read
from universal import TIGHT_BINDING, cheap_labels, evenly, trained, training

from saltern.config import SampleConfig, SampleSpec, System
from saltern.dynamics import sample_with_potential
from saltern.engines.openmm import sample
from saltern.frames import Frames
from saltern.potentials import Potential, save
from saltern.store import read_frames, write_frames
from saltern.systems import compose

TAUGHT_BY = {"student": TIGHT_BINDING, "sevennet-0": "SevenNet-0", "sevennet-mf-0": "SevenNet-MF-0-r2SCAN"}
"""Whose labels a network has learned that samples."""
SAMPLERS = ("classical", "rattled", *TAUGHT_BY, "target")
WATER = System(salt=None, solvent_molecules=64, temperature=300.0)
COUNT = 64
"""Frames that a sampler makes, and that a network which samples has learned from."""
HELD_OUT = 20
STEPS = 25
"""Steps of training for each frame."""
DYNAMICS: dict[str, Any] = {"trajectories": 4, "every_ps": 0.25, "equilibrate_ps": 3.0}


class Place:
    """Frames with labels, and networks, kept by name."""

    def __init__(self, directory: Path, data: Path) -> None:
        self.directory, self.data = directory, data
        directory.mkdir(parents=True, exist_ok=True)

    def labelled(self, name: str, teacher: str = TIGHT_BINDING) -> Frames:
        """The frames that a sampler makes, with the labels of a teacher; what is there is not made again."""
        file = self.directory / f"{name}-{teacher}.h5"
        if not file.exists():
            frames = self._sampled(name)
            begun = time.process_time()
            found = cheap_labels(teacher, frames)
            said = {"frames_of": name, "labels": len(frames), "teacher": teacher}
            print(json.dumps({**said, "cpu_s": round(time.process_time() - begun)}), flush=True)
            write_frames(file, frames.with_arrays(**found))
        return read_frames(file)

    def _sampled(self, name: str) -> Frames:
        """Frames without labels."""
        if name in ("target", "held_out"):
            arrays = read(self.data)
            which, count = ("train", COUNT) if name == "target" else ("held_out", HELD_OUT)
            return frames_of({**arrays, which: evenly(arrays[which], count)}, which)
        boxes = [compose(WATER, number) for number in range(DYNAMICS["trajectories"])]
        starts, about = [box for box, _ in boxes], boxes[0][1]
        rattled = {"rattled_fraction": 0.0} if name == "classical" else {}
        config = SampleConfig(frames=COUNT, **DYNAMICS, **rattled)
        if name in ("classical", "rattled"):
            return sample(starts, about, SampleSpec(sample=config), seed=0)
        spec = SampleSpec(sample=config.model_copy(update={"engine": "potential"}))
        begun = time.process_time()
        frames = sample_with_potential(Frames.concatenate(starts), about, self._network(name), spec)
        print(json.dumps({"sampler": name, "dynamics_cpu_s": round(time.process_time() - begun)}), flush=True)
        return frames

    def _network(self, name: str) -> Potential:
        """What one of `TAUGHT_BY` samples with."""
        file = self.directory / f"{name}.safetensors"
        if not file.exists():
            frames = self.labelled("rattled", TAUGHT_BY[name])
            run = training("equivariant", frames, STEPS * len(frames), 0.01, 0)
            trained(run)
            save(file, run.averaged(), {**BASE, "closest": run.closest()})
        return Potential.load([file], device="cpu")


def taught(frames: Frames, count: int, seed: int, held_out: Frames) -> tuple[float, float]:
    """Errors of a network that has learned so many of the frames."""
    chosen = frames.select(evenly(np.arange(len(frames)), count))
    run = training("equivariant", chosen, STEPS * count, 0.01, seed)
    trained(run)
    return errors(run, held_out)


def summary(found: Sequence[tuple[float, float]]) -> dict[str, list[float]]:
    """Mean and standard deviation over seeds."""
    values = np.array(found)
    spread = values.std(axis=0, ddof=1) if len(values) > 1 else np.full(2, np.nan)
    return {what: [float(values[:, i].mean()), float(spread[i])] for i, what in enumerate(("force", "energy"))}


def main() -> None:
    """Sample, label, train and print what came of it."""
    parser = argparse.ArgumentParser()
    parser.add_argument("data", type=Path)
    parser.add_argument("place", type=Path)
    parser.add_argument("sampler", choices=SAMPLERS)
    parser.add_argument("--frames", type=int, nargs="+", default=[16, 64])
    parser.add_argument("--seeds", type=int, nargs="+", default=[0, 1, 2])
    given = parser.parse_args()
    torch.set_num_threads(1)
    place = Place(given.place, given.data)
    held_out, frames = place.labelled("held_out"), place.labelled(given.sampler)
    for count in given.frames:
        found = [taught(frames, count, seed, held_out) for seed in given.seeds]
        print(json.dumps({"sampler": given.sampler, "frames": count, **summary(found)}), flush=True)


if __name__ == "__main__":
    main()
