"""Molecular dynamics: processor time per atom and step, against NequIP and MACE under ASE, and where it goes.

    python benchmarks/simulation.py equivariant.safetensors cartesian.safetensors --water ../shared/data/water-pbe0ts \
        --nequip .venv/trainers/nequip/bin/python --mace .venv/trainers/mace/bin/python

The potentials are ones that were trained on water, so that the simulation is one of water: how often a neighbour list
is found anew depends on how atoms move. Each is called by the name of its file; ratios are to the first, of which the
other tables are, too. The boxes are a frame of 64 waters and eight copies of it. All contenders run by turns, a few
steps each, on one thread; medians of processor time over the rounds. The first round is not counted.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import tempfile
import time
from collections import defaultdict
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from statistics import median
from typing import Any

import numpy as np
import torch
from ase import Atoms
from ase.md.verlet import VelocityVerlet
from ase.units import fs

import saltern.dynamics.simulate  # noqa: F401  its module, which the function of the same name hides
from saltern.config import SimulateConfig, SimulateSpec, System
from saltern.dynamics import Simulation, simulate
from saltern.dynamics.guards import Guard
from saltern.dynamics.motion import Motion, generator_of, inertia, thermal_velocities
from saltern.dynamics.run import Run
from saltern.dynamics.surface import SideBySide
from saltern.frames import Frames
from saltern.potentials import NeighbourList, Potential, SalternCalculator
from saltern.store import Journal
from saltern.systems import compose

TEMPERATURE = 330.0
SETTINGS = SimulateConfig(timestep_fs=0.5, equilibrate_ps=0, length_ps=1.0, device="cpu")


def water(place: Path, copies: int) -> Frames:
    """A frame of 64 waters, repeated in all three directions."""
    kinds = [{"H": 1, "O": 8}[symbol] for symbol in (place / "data_1/type_map.raw").read_text().split()]
    numbers = np.array(kinds)[np.loadtxt(place / "data_1/type.raw", dtype=int)]
    positions, cell = (np.load(place / f"data_1/set.000/{name}.npy")[0].reshape(-1, 3) for name in ("coord", "box"))
    return frames_of(Atoms(numbers, positions, cell=cell, pbc=True).repeat(copies), "water")


def frames_of(atoms: Atoms, name: str) -> Frames:
    """What a simulation starts from."""
    return Frames.uniform(
        atoms.numbers, 1, positions=atoms.positions, cell=atoms.cell.array, charges=np.zeros(len(atoms)),
        molecules=np.zeros(len(atoms)), system=np.array([name]), trajectory=np.array(["r0000"]),
        temperature=TEMPERATURE, permittivity=78.3,
    )  # fmt: skip


class Driver:
    """Saltern's own driver: thermostat, guard, a frame saved every 10 fs."""

    def __init__(self, potential: Potential, boxes: dict[str, Frames]) -> None:
        self._runs = {name: Run.begun(potential, box, SETTINGS, "speed", [0]) for name, box in boxes.items()}

    def __call__(self, box: str, steps: int) -> float:
        """Processor time of some steps (s).

        It begins with an evaluation, as every segment of a simulation does; that stands for the last step.
        """
        begun = time.process_time()
        self._runs[box].advance(range(steps - 1))
        return time.process_time() - begun


class UnderASE:
    """The same potential as a calculator of ASE."""

    def __init__(self, potential: Path, boxes: dict[str, Frames]) -> None:
        self._moving = {}
        for name, box in boxes.items():
            atoms = Atoms(box["numbers"], box["positions"], cell=box["cell"][0], pbc=True)
            atoms.set_velocities(velocities(box) / fs)
            atoms.calc = SalternCalculator(potential, charges={}, device="cpu")
            self._moving[name] = VelocityVerlet(atoms, timestep=0.5 * fs)

    def __call__(self, box: str, steps: int) -> float:
        """Processor time of some steps (s)."""
        begun = time.process_time()
        self._moving[box].run(steps)
        return time.process_time() - begun


class Peer:
    """Another program in its own environment."""

    def __init__(self, python: Path, name: str, boxes: Path) -> None:
        script = Path(__file__).with_name("simulation_peer.py")
        command = [python, script, name, boxes]
        self._process = subprocess.Popen(
            command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True
        )

    def __call__(self, box: str, steps: int) -> float:
        """Processor time of some steps (s), as it measures it itself."""
        assert self._process.stdin
        assert self._process.stdout
        print(box, steps, file=self._process.stdin, flush=True)
        for line in self._process.stdout:
            if line[0].isdigit():
                return float(json.loads(line))
        raise SystemExit(f"{self._process.args} has ended")


def velocities(box: Frames) -> np.ndarray:
    """(atom, 3) in Å/fs."""
    return thermal_velocities(inertia(box["numbers"]), TEMPERATURE, generator_of(0, "speed", 0))


def compared(given: argparse.Namespace, boxes: dict[str, Frames]) -> None:
    """Table of all contenders, by turns."""
    contenders: dict[str, Callable[[str, int], float]] = {}
    for path in given.potentials:
        driver = Driver(Potential.load([path], "cpu"), boxes)
        contenders |= {path.stem: driver, f"{path.stem}, ASE": UnderASE(path, boxes)}
    arrays = {f"{name}-{key}": box[key] for name, box in boxes.items() for key in ("numbers", "positions")}
    arrays |= {f"{name}-cell": box["cell"][0] for name, box in boxes.items()}
    arrays |= {f"{name}-velocities": velocities(box) / fs for name, box in boxes.items()}
    with tempfile.NamedTemporaryFile(suffix=".npz") as file:
        np.savez(file, **arrays)
        file.flush()
        for name in ("nequip", "mace"):
            if python := getattr(given, name):
                contenders[f"{name}, ASE"] = Peer(python, name, Path(file.name))
                contenders[f"{name}, compiled"] = Peer(python, f"{name}-compiled", Path(file.name))
        for box, frames in boxes.items():
            atoms = len(frames["numbers"])
            steps = max(2, given.steps * 192 // atoms)
            found = defaultdict(list)
            for _ in range(given.rounds + 1):
                for name, contender in contenders.items():
                    found[name].append(1e6 * contender(box, steps) / steps / atoms)
            told(f"{atoms} atoms, {steps} steps a turn, {given.rounds} rounds", {n: f[1:] for n, f in found.items()})


def told(title: str, found: dict[str, list[float]]) -> None:
    """One table: median, smallest and largest, ratio to the first."""
    print(f"\n{title}\n{'':20}{'µs/atom/step':>14}{'smallest':>10}{'largest':>10}{'ratio':>8}")
    first = median(next(iter(found.values())))
    for name, values in found.items():
        middle = median(values)
        print(f"{name:20}{middle:14.0f}{min(values):10.0f}{max(values):10.0f}{middle / first:8.2f}", flush=True)


class Clock:
    """Processor time of functions without that of the timed functions they call."""

    def __init__(self) -> None:
        self.spent: dict[str, float] = defaultdict(float)
        self._inside: list[str] = ["bookkeeping"]
        self._since = time.process_time()

    def _turn(self) -> None:
        now = time.process_time()
        self.spent[self._inside[-1]] += now - self._since
        self._since = now

    @contextmanager
    def timing(self, parts: dict[str, list[tuple[Any, str]]]) -> Iterator[None]:
        """Time some methods while the block runs."""
        kept = [(owner, name, getattr(owner, name)) for places in parts.values() for owner, name in places]
        for label, places in parts.items():
            for owner, name in places:
                setattr(owner, name, self._timed(label, getattr(owner, name)))
        self._since = time.process_time()
        yield
        self._turn()
        for owner, name, method in kept:
            setattr(owner, name, method)

    def _timed(self, label: str, method: Callable[..., Any]) -> Callable[..., Any]:
        def run(*args: Any, **options: Any) -> Any:
            self._turn()
            self._inside.append(label)
            try:
                return method(*args, **options)
            finally:
                self._turn()
                self._inside.pop()

        return run


PARTS: dict[str, list[tuple[Any, str]]] = {
    "network": [(Potential, "evaluate")],
    "neighbour list": [(NeighbourList, "pairs")],
    "hand-over": [(SideBySide, "__call__")],
    "integrator": [(Motion, "begin_step"), (Motion, "end_step")],
    "guard": [(Guard, "broken")],
    "output": [
        (Run, "snapshot"), (Journal, "write"), (Journal, "read"), (Journal, "metadata"),
        (sys.modules["saltern.dynamics.simulate"], "write_trajectories"),
    ],
}  # fmt: skip


def shares(potential: Potential, box: Frames, steps: int) -> None:
    """Where the time of a whole simulation goes, file and all; frames every 10 fs, a segment of half of it."""
    atoms = len(box["numbers"])
    config = SETTINGS.model_copy(update={"length_ps": steps * 0.0005, "segment_ps": steps * 0.00025})
    clock = Clock()
    with tempfile.TemporaryDirectory() as place, clock.timing(PARTS):
        simulate([Simulation(box, {}, Path(place) / "r.h5")], potential, SimulateSpec(simulate=config), [0])
    total = sum(clock.spent.values())
    print(f"\n{atoms} atoms, a simulation of {steps} steps: {1e6 * total / steps / atoms:.0f} µs/atom/step")
    for label in [*PARTS, "bookkeeping"]:
        print(f"{label:16}{100 * clock.spent[label] / total:8.2f} %{1e6 * clock.spent[label] / steps:12.0f} µs/step")


def batches(potential: Potential, rounds: int) -> None:
    """Replicas of small boxes side by side, by turns."""
    for waters in (8, 16):
        box, about = compose(System(solvent_molecules=waters, temperature=TEMPERATURE))
        atoms = len(box["numbers"])
        motions = {}
        for count in (1, 4, 16):
            names = np.array([f"r{i:04d}" for i in range(count)])
            starts = box.select([0] * count).with_arrays(trajectory=names)
            motions[count] = Run.begun(potential, starts, SETTINGS, about["id"], range(count)).motion
        found = defaultdict(list)
        for _ in range(rounds + 1):
            for count, motion in motions.items():
                steps = max(2, 32 // count)
                begun = time.process_time()
                for _ in range(steps):
                    motion.step(thermostat=True)
                spent = time.process_time() - begun
                found[f"{count} replicas"].append(1e6 * spent / steps / count / atoms)
        told(f"{waters} waters, replicas side by side, {rounds} rounds", {n: f[1:] for n, f in found.items()})


def main() -> None:
    """Print the tables."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("potentials", metavar="POTENTIAL", type=Path, nargs="+")
    parser.add_argument("--water", type=Path, required=True, help="the data set of 64 waters")
    parser.add_argument("--nequip", type=Path, help="Python of NequIP's environment")
    parser.add_argument("--mace", type=Path, help="Python of MACE's environment")
    parser.add_argument("--steps", type=int, default=8, help="of 192 atoms in a turn")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--length", type=int, default=200, help="steps of the simulation whose time is divided")
    parser.add_argument("--only", choices=["compared", "shares", "batches"])
    given = parser.parse_args()
    torch.set_num_threads(1)
    boxes = {"small": water(given.water, 1), "large": water(given.water, 2)}
    if given.only in (None, "compared"):
        compared(given, boxes)
    if given.only in (None, "shares"):
        for box in boxes.values():
            steps = max(40, given.length * 192 // len(box["numbers"]))
            shares(Potential.load(given.potentials[:1], "cpu"), box, steps)
    if given.only in (None, "batches"):
        batches(Potential.load(given.potentials[:1], "cpu"), given.rounds)


if __name__ == "__main__":
    main()
