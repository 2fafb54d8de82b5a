"""Error on held-out frames against the number of DFT frames: from a universal model, or from scratch.

    OMP_NUM_THREADS=1 python benchmarks/universal.py DATA sevennet-0 --frames 4 --steps 12 --rate 0.001 --held-out 3
    OMP_NUM_THREADS=1 python benchmarks/universal.py DATA equivariant --frames 4 --steps 200 --rate 0.01 --held-out 3

DATA as for benchmarks/learning.py; with `sevennet-0` PYTHON is that of an environment with sevenn (docs/backends.md).
Prints force (meV/Å) and energy error (meV/atom) before and after, and processor seconds of the training, as JSON.
"""

from __future__ import annotations

import argparse
import json
import time
from pathlib import Path
from typing import Any

import numpy as np
import torch
from learning import Held, errors, frames_of, read

from saltern.config import StudentConfig, TrainConfig, TrainSpec
from saltern.config.stages import BaselineConfig
from saltern.learning.group import ALONE
from saltern.learning.train import _Training

STUDENTS: dict[str, dict[str, Any]] = {
    "equivariant": {},
    "sevennet-0": {"network": "sevennet", "start": "sevennet-0"},
}


def main() -> None:
    """Train once and print what came of it."""
    parser = argparse.ArgumentParser()
    parser.add_argument("data", type=Path)
    parser.add_argument("student", choices=STUDENTS)
    parser.add_argument("--frames", type=int, default=4)
    parser.add_argument("--steps", type=int, default=200)
    parser.add_argument("--rate", type=float, default=0.01)
    parser.add_argument("--held-out", type=int, default=20)
    given = parser.parse_args()
    torch.set_num_threads(1)
    arrays = read(given.data)
    arrays["train"] = arrays["train"][np.linspace(0, len(arrays["train"]) - 1, given.frames).astype(int)]
    arrays["held_out"] = arrays["held_out"][:: len(arrays["held_out"]) // given.held_out][: given.held_out]
    epochs = max(1, given.steps // given.frames)
    train = TrainConfig(epochs=epochs, batch=1, learning_rate=given.rate, device="cpu")
    student = StudentConfig(**STUDENTS[given.student])
    spec = TrainSpec(baseline=BaselineConfig(kind="none"), student=student, train=train)
    held_out = frames_of(arrays, "held_out")
    nothing: Any = Held(held_out.select([]))
    frames: Any = Held(frames_of(arrays, "train"))
    run = _Training(frames, nothing, spec, 0, ALONE)
    before, begun = errors(run, held_out), time.process_time()
    for _ in range(epochs):
        run.one_epoch(False, lambda: None)
    spent = time.process_time() - begun
    print(json.dumps({"before": before, "after": errors(run, held_out), "steps": run.step, "cpu_s": round(spent, 1)}))


if __name__ == "__main__":
    main()
