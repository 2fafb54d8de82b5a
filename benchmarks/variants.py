"""What makes a training better: variations of the default one, each with the same processor time, over several seeds.

    OMP_NUM_THREADS=1 python benchmarks/variants.py DATA PLACE --seconds 60 --seeds 0 1 2 [--variants default muon ...]

DATA as for benchmarks/learning.py. Every training is a file in PLACE, made once: the same command goes on with what is
missing, variants by turns, and prints the table of what is there. Lion and SOAP are those of pytorch-optimizer (pip
install pytorch-optimizer==4.1.0), which nothing else needs.
"""

from __future__ import annotations

import argparse
import json
import statistics
import subprocess
import sys
from collections.abc import Callable, Mapping
from importlib import import_module
from pathlib import Path
from typing import Any

import numpy as np
import torch
from learning import learn, read, training

from saltern.learning.train import WARM_UP, _Training
from saltern.potentials import derivatives

Change = Callable[[_Training], None]
TRAINER: Any = import_module("saltern.learning.train")  # the package has a function of that name


def _from_package(name: str, **options: Any) -> Change:
    def change(run: _Training) -> None:
        import pytorch_optimizer

        optimiser = getattr(pytorch_optimizer, name)
        run.optimisers = [optimiser(run.network.parameters(), lr=run.config.learning_rate, **options)]

    return change


def _with_schedule(shape: Callable[[float], float]) -> Change:
    """A learning rate of a given shape over the training, after the usual rise."""

    def change(run: _Training) -> None:
        def rate() -> float:
            rise = min(1.0, (run.step + 1) / (WARM_UP * run.steps))
            return run.config.learning_rate * rise * shape(run.step / run.steps)

        run._learning_rate = rate  # type: ignore[method-assign]

    return change


def _late(done: float) -> float:
    """The largest rate until the last fifth."""
    return min(1.0, 5 * (1 - done))


def _with_force_loss(penalty: Callable[[torch.Tensor, torch.Tensor], torch.Tensor]) -> Change:
    """Another mean over errors of forces (atom, 3) of atoms with a species; energies count as ever."""

    def change(_: _Training) -> None:
        def loss_of(network: Any, batch: Any, config: Any, frames: float, atoms: float) -> torch.Tensor:
            energy = network(batch.graph)
            wrong = derivatives(energy, batch.graph, create_graph=True).forces - batch.forces
            of_energy = ((energy - batch.energy) / batch.atoms).square().mean()
            total: torch.Tensor = atoms * config.force_weight * penalty(wrong, batch.graph.species)
            return total + frames * config.energy_weight * of_energy

        TRAINER.loss_of = loss_of

    return change


def _huber(wrong: torch.Tensor, _: torch.Tensor) -> torch.Tensor:
    """Squares up to 50 meV/Å, beyond that as steep as there."""
    return 2 * torch.nn.functional.huber_loss(wrong, torch.zeros_like(wrong), delta=0.05)


def _lengths(wrong: torch.Tensor, _: torch.Tensor) -> torch.Tensor:
    """Mean length of the errors, in units in which it is as large as their square at 50 meV/Å."""
    return 0.05 * (wrong.square().sum(dim=1) + 1e-8).sqrt().mean()


def _by_species(wrong: torch.Tensor, species: torch.Tensor) -> torch.Tensor:
    """Every element counts the same, however many atoms it has."""
    squares = wrong.square().mean(dim=1)
    return torch.stack([squares[species == s].mean() for s in species.unique()]).mean()


BASE = {"batch": 1, "optimiser": "adam"}
MUON = {"optimiser": "muon"}
VARIANTS: dict[str, tuple[Mapping[str, Any], Mapping[str, Any], Change | None]] = {
    "default": ({}, {}, None),
    "l_max=1": ({"l_max": 1}, {}, None),
    "l_max=3": ({"l_max": 3}, {}, None),
    "layers=2": ({"layers": 2}, {}, None),
    "features=8": ({"features": 8}, {}, None),
    "features=32": ({"features": 32}, {}, None),
    "radial=series": ({"radial": "series"}, {}, None),
    "rate=0.005": ({}, {"learning_rate": 0.005}, None),
    "rate=0.02": ({}, {"learning_rate": 0.02}, None),
    "batch=2": ({}, {"batch": 2}, None),
    "batch=5": ({}, {"batch": 5}, None),
    "ema=0": ({}, {"ema": 0.0}, None),
    "ema=0.999": ({}, {"ema": 0.999}, None),
    "energy_weight=0": ({}, {"energy_weight": 0.0}, None),
    "energy_weight=10": ({}, {"energy_weight": 10.0}, None),
    "schedule=linear": ({}, {}, _with_schedule(lambda done: 1 - done)),
    "schedule=constant": ({}, {}, _with_schedule(lambda _: 1.0)),
    "schedule=late": ({}, {}, _with_schedule(_late)),
    "loss=huber": ({}, {}, _with_force_loss(_huber)),
    "loss=lengths": ({}, {}, _with_force_loss(_lengths)),
    "loss=by-species": ({}, {}, _with_force_loss(_by_species)),
    "muon": ({}, MUON, None),
    "muon,rate=0.02": ({}, {**MUON, "learning_rate": 0.02}, None),
    "muon,rate=0.04": ({}, {**MUON, "learning_rate": 0.04}, None),
    "muon,batch=2": ({}, {**MUON, "batch": 2}, None),
    "muon,features=32": ({"features": 32}, MUON, None),
    "muon,ema=0.999": ({}, {**MUON, "ema": 0.999}, None),
    "muon,message=attention": ({"message": "attention"}, MUON, None),
    "muon,readout=perceptron": ({"readout": "perceptron"}, MUON, None),
    "muon,unconstrained": ({"network": "unconstrained"}, MUON, None),
    "muon,unconstrained,features=32": ({"network": "unconstrained", "features": 32}, MUON, None),
    "muon,cartesian,features=32": ({"network": "cartesian", "features": 32}, MUON, None),
    "muon,loss=huber": ({}, MUON, _with_force_loss(_huber)),
    "muon,schedule=late": ({}, MUON, _with_schedule(_late)),
    "lion,rate=0.001": ({}, {"learning_rate": 0.001}, _from_package("Lion")),
    "soap": ({}, {}, _from_package("SOAP", weight_decay=0.0)),
    "soap,rate=0.005": ({}, {"learning_rate": 0.005}, _from_package("SOAP", weight_decay=0.0)),
}
"""What each changes: the student, the training, and the training once it is set up."""


def answer(arrays: dict[str, Any], variant: str, seconds: float, seed: int) -> None:
    """Train once and print the learning curve; in a process of its own."""
    student, train, change = VARIANTS[variant]
    told = {"student": student, "train": {**BASE, **train}}

    def begun_with(epochs: int) -> _Training:
        run = training(arrays, told, seed, epochs)
        if change:
            change(run)
        return run

    print(json.dumps(learn(arrays, begun_with, seconds)))


def report(place: Path, variants: list[str], seconds: float) -> None:
    """Print the errors at the end of all trainings of one length."""
    heads = ("parameters", "steps", "CPU s", "force (meV/Å)", "energy (meV/atom)", "seeds")
    print(f"{'variant':>30} {heads[0]:>10} {heads[1]:>6} {heads[2]:>6} {heads[3]:>20} {heads[4]:>18} {heads[5]:>5}")
    for variant in variants:
        told = [json.loads(file.read_text()) for file in sorted(place.glob(f"{variant} {seconds:g} *.json"))]
        if not told:
            continue
        spent, steps, force, energy = zip(*(curve["found"][-1] for curve in told), strict=True)
        spread = statistics.stdev(force) if len(force) > 1 else float("nan")
        print(
            f"{variant:>30} {told[0]['parameters']:>10} {statistics.median(steps):>6g} {statistics.mean(spent):>6.0f} "
            f"{statistics.mean(force):>10.1f} ± {spread:>5.1f}   {statistics.mean(energy):>18.2f} {len(told):>5}"
        )


def main() -> None:
    """Make what is missing, and report."""
    torch.set_num_threads(1)
    parser = argparse.ArgumentParser()
    parser.add_argument("data", type=Path)
    parser.add_argument("place", type=Path)
    parser.add_argument("--variants", nargs="+", choices=VARIANTS, default=list(VARIANTS))
    parser.add_argument("--seconds", type=float, default=60.0)
    parser.add_argument("--seeds", nargs="+", type=int, default=[0, 1, 2])
    parser.add_argument(
        "--answer", action="store_true", help="train the one variant with the one seed, print the curve"
    )
    given = parser.parse_args()
    if given.answer:
        answer(dict(np.load(given.place / "frames.npz")), given.variants[0], given.seconds, given.seeds[0])
        return
    given.place.mkdir(parents=True, exist_ok=True)
    np.savez(given.place / "frames.npz", **read(given.data))
    for seed in given.seeds:
        for variant in given.variants:
            path = given.place / f"{variant} {given.seconds:g} {seed}.json"
            if not path.exists():
                print(f"{path.stem} ...", file=sys.stderr, flush=True)
                one = ["--answer", "--variants", variant, "--seconds", str(given.seconds), "--seeds", str(seed)]
                command = [sys.executable, __file__, str(given.data), str(given.place), *one]
                done = subprocess.run(command, check=True, stdout=subprocess.PIPE)
                path.write_bytes(done.stdout.splitlines()[-1])
    report(given.place, given.variants, given.seconds)


if __name__ == "__main__":
    main()
