"""Error on held-out frames against the number of DFT frames: from scratch, a universal model, or cheap labels.

    OMP_NUM_THREADS=1 python benchmarks/universal.py DATA sevennet-0 --frames 4 --steps 12 --rate 0.001 --held-out 3
    OMP_NUM_THREADS=1 python benchmarks/universal.py DATA mace --start FILE --r-max 6 --frames 4 --steps 60 --rate 0.001
    OMP_NUM_THREADS=1 python benchmarks/universal.py DATA equivariant --frames 4 --steps 400 --seed 1
    OMP_NUM_THREADS=1 python benchmarks/universal.py DATA GFN1-xTB --frames 160 --label cheap.npz
    OMP_NUM_THREADS=1 python benchmarks/universal.py DATA equivariant --frames 4 --steps 400 --first cheap.npz

DATA as for benchmarks/learning.py; with SevenNet or MACE `python` is that of their environment (docs/backends.md), and
FILE a checkpoint of MACE with its cutoff (Å).
With `--label` the frames get the labels of tight binding or of a universal model, into a file that `--first` trains
on before DFT: pre-training, or distillation. Prints force (meV/Å) and energy error (meV/atom) before and after, and
processor seconds, as JSON.
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

from saltern.config import SevennetTeacher, StudentConfig, TbliteTeacher, Teacher, TrainConfig, TrainSpec
from saltern.config.stages import BaselineConfig
from saltern.engines import Label, Question, make_engine
from saltern.frames import Array, Frames
from saltern.learning.group import ALONE
from saltern.learning.start import Start
from saltern.learning.train import _Training

STUDENTS: dict[str, dict[str, Any]] = {
    "equivariant": {},
    "sevennet-0": {"network": "sevennet", "start": "sevennet-0"},
    "mace": {"network": "mace"},
}
TIGHT_BINDING = "GFN1-xTB"
TEACHERS: dict[str, Teacher] = {
    TIGHT_BINDING: TbliteTeacher(method=TIGHT_BINDING),
    "SevenNet-0": SevennetTeacher(method="SevenNet-0"),
    "SevenNet-MF-0-r2SCAN": SevennetTeacher(method="SevenNet-MF-0-r2SCAN"),
}
"""What gives cheap labels, by its method."""


def training(
    student: StudentConfig, frames: Frames, steps: int, rate: float, seed: int, first: _Training | None = None
) -> _Training:
    """A training of about so many steps of one frame each, from random weights or from what another one has learned."""
    train = TrainConfig(epochs=max(1, steps // len(frames)), batch=1, learning_rate=rate, device="cpu", seed=seed)
    spec = TrainSpec(baseline=BaselineConfig(kind="none"), student=student, train=train)
    held: Any = Held(frames)
    nothing: Any = Held(frames.select([]))
    start = Start(first.averaged(), first.closest(), "") if first else None
    return _Training(held, nothing, spec, 0, ALONE, start)


def trained(run: _Training) -> float:
    """Train to the end; processor seconds."""
    begun = time.process_time()
    for _ in range(run.config.epochs):
        run.one_epoch(False, lambda: None)
    return time.process_time() - begun


def cheap_labels(method: str, frames: Frames) -> dict[str, Array]:
    """Energies and forces by tight binding, or by a universal model."""
    engine = make_engine(TEACHERS[method])
    alone = (frames.select([index]) for index in range(len(frames)))
    questions = [Question(frame["numbers"], frame["positions"], frame["cell"][0], 0) for frame in alone]
    found = list(engine.answers(questions, range(len(questions)), Path()))
    labels = [answer for answer in found if isinstance(answer, Label)]
    assert len(labels) == len(frames)
    return {
        "energy": np.array([label.energy for label in labels]),
        "forces": np.concatenate([label.forces for label in labels]),
    }


def evenly(indices: Array, count: int) -> Array:
    """So many of them, from the first to the last."""
    return indices[np.linspace(0, len(indices) - 1, count).astype(int)]


def main() -> None:
    """Label, or train and print what came of it."""
    parser = argparse.ArgumentParser()
    parser.add_argument("data", type=Path)
    parser.add_argument("student", choices=[*STUDENTS, *TEACHERS])
    parser.add_argument("--frames", type=int, default=4)
    parser.add_argument("--steps", type=int, default=200)
    parser.add_argument("--rate", type=float, default=0.01)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--held-out", type=int, default=20)
    parser.add_argument("--start", help="a checkpoint to start from, for mace")
    parser.add_argument("--r-max", type=float, default=5.0, help="its cutoff in Å")
    parser.add_argument("--label", type=Path, help="write cheap labels of the frames, and do not train")
    parser.add_argument("--first", type=Path, help="cheap labels to train on before")
    parser.add_argument("--first-steps", type=int, default=1600)
    given = parser.parse_args()
    torch.set_num_threads(1)
    arrays = read(given.data)
    chosen = {"train": evenly(arrays["train"], given.frames), "held_out": evenly(arrays["held_out"], given.held_out)}
    frames, held_out = (frames_of({**arrays, **chosen}, which) for which in chosen)
    if given.label:
        begun = time.process_time()
        found = cheap_labels(given.student, frames)
        wrong = 1000 * float(np.sqrt(np.mean((found["forces"] - frames["forces"]) ** 2)))
        np.savez(given.label, which=chosen["train"], **found)
        print(json.dumps({"force": wrong, "cpu_s": round(time.process_time() - begun, 1)}))
        return
    start = {"start": given.start} if given.start else {}
    student = StudentConfig(**{**STUDENTS[given.student], **start, "r_max_A": given.r_max})
    other, first = None, 0.0
    if given.first:
        cheap = dict(np.load(given.first))
        with_cheap = frames_of({**arrays, "train": cheap["which"]}, "train")
        with_cheap = with_cheap.with_arrays(energy=cheap["energy"], forces=cheap["forces"])
        other = training(student, with_cheap, given.first_steps, given.rate, given.seed)
        first = trained(other)
    run = training(student, frames, given.steps, given.rate, given.seed, other)
    before, spent = errors(run, held_out), trained(run)
    told = {"before": before, "after": errors(run, held_out), "steps": run.step}
    print(json.dumps({**told, "cpu_s": round(spent, 1), "cpu_s_first": round(first, 1)}))


if __name__ == "__main__":
    main()
