"""Saltern's networks against NequIP and MACE: error for processor time, and processor time of a step of dynamics.

    OMP_NUM_THREADS=1 python benchmarks/learning.py DATA PLACE --contenders equivariant mace --seconds 50 100 --seeds 0

DATA has directories `data_N` in DeePMD's form of frames of one system (here 64 waters, PBE0-TS); the last one is held
out. Every learning curve is a file in PLACE, made once: the same command goes on with what is missing, and prints the
table of what is there. Budgets are processor seconds of one thread, without setting up and without evaluations; each is
a training of its own, with a learning rate that reaches zero at its end. The environments of NequIP and MACE are found
by SALTERN_NEQUIP and SALTERN_MACE, as in the tests.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import torch

from saltern.config import StudentConfig, TrainConfig, TrainSpec
from saltern.config.stages import BaselineConfig
from saltern.frames import Array, Frames
from saltern.learning.dataset import Minibatch, collate, examples
from saltern.learning.group import ALONE
from saltern.learning.train import _Training
from saltern.potentials import Batch, Network, Potential, derivatives

OURS: dict[str, dict[str, dict[str, Any]]] = {
    "equivariant": {"student": {}, "train": {"batch": 1}},
    "cartesian": {"student": {"network": "cartesian", "features": 32}, "train": {"batch": 1}},
}
PEERS = ("nequip", "nequip-compiled", "nequip-own", "mace", "mace-own")
ERRORS = (100, 70, 60, 40, 30, 25)
EVALUATIONS = 8
ROUNDS = 3
BASE = {"baseline": "none", "permittivities": {}}


def read(data: Path) -> dict[str, Array]:
    """All frames, and which are trained on and which are held out."""
    sets = sorted(data.glob("data_*"))
    symbols = {"H": 1, "O": 8}
    names = (sets[0] / "type_map.raw").read_text().split()
    kinds = [symbols[names[int(kind)]] for kind in (sets[0] / "type.raw").read_text().split()]
    arrays: dict[str, Array] = {"numbers": np.array(kinds)}
    shapes = {"coord": (len(kinds), 3), "force": (len(kinds), 3), "energy": (), "box": (3, 3)}
    for name, told in zip(shapes, ("positions", "forces", "energy", "cell"), strict=True):
        parts = [np.load(part / f"set.000/{name}.npy").astype(float) for part in sets]
        arrays[told] = np.concatenate([part.reshape(len(part), *shapes[name]) for part in parts])
    count = len(arrays["energy"]) // len(sets) * (len(sets) - 1)
    return {**arrays, "train": np.arange(count), "held_out": np.arange(count, len(arrays["energy"]), 2)}


def frames_of(arrays: dict[str, Array], which: str) -> Frames:
    """Some of them as Saltern's frames."""
    chosen = arrays[which]
    names = ("positions", "forces", "energy", "cell")
    return Frames.uniform(arrays["numbers"], len(chosen), **{name: arrays[name][chosen] for name in names})


class Held:
    """Frames in memory, as a release's reader gives them."""

    def __init__(self, frames: Frames) -> None:
        self.held = frames

    def __len__(self) -> int:
        return len(self.held)

    def has(self, name: str) -> bool:
        return name in self.held

    def frames(self, indices: Sequence[int], names: Sequence[str]) -> Frames:
        chosen = self.held.select(indices)
        return Frames(chosen.offsets, {name: chosen[name] for name in names})

    def batches(self, names: Sequence[str]) -> Iterator[Frames]:
        if len(self.held):
            yield self.frames(range(len(self.held)), names)


def training(arrays: dict[str, Array], told: Mapping[str, Any], seed: int, epochs: int) -> _Training:
    """A training as `saltern train` does it, of a student and a training that are told."""
    train = TrainConfig(epochs=epochs, seed=seed, device="cpu", **told["train"])
    spec = TrainSpec(baseline=BaselineConfig(kind="none"), student=StudentConfig(**told["student"]), train=train)
    train_frames, nothing = frames_of(arrays, "train"), frames_of(arrays, "held_out").select([])
    return _Training(Held(train_frames), Held(nothing), spec, 0, ALONE)  # type: ignore[arg-type]


def answers(network: Network, frames: Frames) -> Iterator[tuple[torch.Tensor, torch.Tensor, Minibatch]]:
    """Energy (eV) and forces (eV/Å) that a network gives each frame, and the frame with its label."""
    for example in examples(frames, "none", network.species, network.config.r_max_A, torch.float32):
        batch = collate([example], torch.device("cpu"))
        energy = network(batch.graph)
        yield energy.detach(), derivatives(energy, batch.graph).forces, batch


def errors(run: _Training, held_out: Frames) -> tuple[float, float]:
    """Force RMSE (meV/Å) and standard deviation of the energy error per atom (meV) on the held-out frames."""
    squares, energies = [], []
    for energy, forces, batch in answers(run.averaged(), held_out):
        squares.append(float((forces - batch.forces).square().mean()))
        energies.append(float(energy - batch.energy) / len(forces))
    return 1000 * float(np.sqrt(np.mean(squares))), 1000 * float(np.std(energies))


def learn(arrays: dict[str, Array], begun_with: Callable[[int], _Training], seconds: float) -> dict[str, Any]:
    """A learning curve: rows of processor time, steps, force and energy error.

    Args:
        arrays: all frames.
        begun_with: makes a training of so many epochs.
        seconds: processor time that it may take.
    """
    trial = begun_with(1)
    begun = time.process_time()
    for index in range(20):
        trial._one_step([index], trial.data.get([index]))
    per_epoch = (time.process_time() - begun) / 20 * len(trial.data)
    epochs = max(1, round(seconds / per_epoch))
    run, held_out = begun_with(epochs), frames_of(arrays, "held_out")
    rows, spent = [], 0.0
    for epoch in range(1, epochs + 1):
        begun = time.process_time()
        run.one_epoch(False, lambda: None)
        spent += time.process_time() - begun
        if epoch * EVALUATIONS // epochs > (epoch - 1) * EVALUATIONS // epochs:
            rows.append([spent, run.step, *errors(run, held_out)])
    return {"parameters": sum(w.numel() for w in run.network.parameters()), "found": rows}


def speed(arrays: dict[str, Array], contender: str, calls: int = 20) -> dict[str, Any]:
    """Median processor time of energy and forces with the neighbour list, and of a training step, in ms."""
    run = training(arrays, OURS[contender], 0, 1)
    about = {**BASE, "closest": [[0.0] * 2] * 2}
    potential, batch = Potential([run.averaged()], about), Batch.of(frames_of(arrays, "train").select([0]))
    generator = torch.Generator().manual_seed(0)
    found: dict[str, list[float]] = {"step": [], "train": []}
    for index in range(calls):
        steps = 0.01 * torch.randn(batch.positions.shape, generator=generator, dtype=torch.float64)
        batch = batch.moved(batch.positions + steps)
        begun = time.process_time()
        potential.evaluate(batch)
        between = time.process_time()
        run._one_step([index], run.data.get([index]))
        found["step"].append(between - begun)
        found["train"].append(time.process_time() - between)
    times = {name: 1000 * statistics.median(parts[3:]) for name, parts in found.items()}
    return {"parameters": sum(w.numel() for w in run.network.parameters()), "found": times}


def ask(contender: str, arrays: Path, *options: str) -> dict[str, Any]:
    """What a contender answers in a process of its own."""
    if contender in OURS:
        command = [sys.executable, __file__, "--answer", contender, arrays, *options]
        environment = dict(os.environ)
    else:
        home = os.environ[f"SALTERN_{contender.split('-', maxsplit=1)[0].upper()}"]
        command = [f"{home}/python", Path(__file__).with_name("learning_peer.py"), contender, arrays, *options]
        environment = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"}
    done = subprocess.run(command, check=True, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, env=environment)
    answer: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    return answer


def answer(arguments: list[str]) -> None:
    """The other side of `ask`."""
    parser = argparse.ArgumentParser()
    parser.add_argument("contender", choices=OURS)
    parser.add_argument("frames")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--seconds", type=float, default=200)
    parser.add_argument("--speed", action="store_true")
    given = parser.parse_args(arguments)
    arrays = dict(np.load(given.frames))
    if given.speed:
        print(json.dumps(speed(arrays, given.contender)))
        return
    begun_with = partial(training, arrays, OURS[given.contender], given.seed)
    print(json.dumps(learn(arrays, begun_with, given.seconds)))


def collect(place: Path, contenders: list[str], seconds: list[float], seeds: list[int]) -> None:
    """Make the files that are missing: curves, and rounds of times with the contenders in turn."""
    for number in range(ROUNDS):
        for contender in contenders:
            keep(place / f"{contender}-speed-{number}.json", contender, "--speed")
    for budget in seconds:
        for seed in seeds:
            for contender in contenders:
                path = place / f"{contender}-{budget:g}-{seed}.json"
                keep(path, contender, "--seconds", str(budget), "--seed", str(seed))


def keep(path: Path, contender: str, *options: str) -> None:
    """Ask and write down, once."""
    if not path.exists():
        print(f"{path.stem} ...", file=sys.stderr, flush=True)
        path.write_text(json.dumps(ask(contender, path.parent / "frames.npz", *options)), encoding="utf-8")


def report(place: Path, contenders: list[str]) -> None:
    """Print what is in the files; ratios are to the first contender."""
    print(f"{'contender':>12} {'parameters':>10} {'train (ms)':>12} {'E+F (ms)':>12}  CPU s to an error of", end="")
    print("".join(f" {error:>9} meV/Å" for error in ERRORS))
    first: list[float | None] = []
    for contender in contenders:
        told = [json.loads(file.read_text()) for file in sorted(place.glob(f"{contender}-speed-*.json"))]
        curves = [json.loads(file.read_text())["found"] for file in sorted(place.glob(f"{contender}-[0-9]*.json"))]
        cells = [statistics.median(t["found"][name] for t in told) for name in ("train", "step")]
        cells += [min((r[0] for c in curves for r in c if r[2] <= error), default=None) for error in ERRORS]
        first = first or cells
        texts = [_ratio(*both) for both in zip(cells, first, strict=True)]
        print(f"{contender:>12} {told[0]['parameters']:10d} {texts[0]:>12} {texts[1]:>12}", " " * 21, end="")
        print("".join(f" {text:>15}" for text in texts[2:]))
    print("\nerrors at the end of a training: CPU s, seed, force (meV/Å), energy (meV/atom), steps")
    for file in sorted(place.glob("*-[0-9]*-[0-9]*.json")):
        *name, budget, seed = file.stem.split("-")
        if name[-1] != "speed":
            _, steps, force, energy = json.loads(file.read_text())["found"][-1]
            print(f"{'-'.join(name):>12} {budget:>5} {seed:>3} {force:7.1f} {energy:6.2f} {steps:6d}")


def _ratio(value: float | None, to: float | None) -> str:
    """A number, and how many times another it is."""
    if value is None:
        return "-"
    return f"{value:.0f} ({value / to:.1f} x)" if to else f"{value:.0f}"


def main() -> None:
    """Collect and report."""
    torch.set_num_threads(1)
    if sys.argv[1:2] == ["--answer"]:
        answer(sys.argv[2:])
        return
    parser = argparse.ArgumentParser()
    parser.add_argument("data", type=Path)
    parser.add_argument("place", type=Path)
    parser.add_argument("--contenders", nargs="+", choices=[*OURS, *PEERS], default=["equivariant", "nequip", "mace"])
    parser.add_argument("--seconds", nargs="*", type=float, default=[50.0, 100.0, 200.0])
    parser.add_argument("--seeds", nargs="+", type=int, default=[0])
    given = parser.parse_args()
    given.place.mkdir(parents=True, exist_ok=True)
    np.savez(given.place / "frames.npz", **read(given.data))
    collect(given.place, given.contenders, given.seconds, given.seeds)
    report(given.place, given.contenders)


if __name__ == "__main__":
    main()
