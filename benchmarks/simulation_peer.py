"""NequIP or MACE under ASE, for benchmarks/simulation.py: run by the Python of their own environment.

    PYTHON benchmarks/simulation_peer.py {nequip,mace}[-compiled] BOXES.npz

Answers each line `BOX STEPS` on its input with the processor time (s) of so many steps of velocity Verlet. `nequip` has
the settings of arXiv 2310.12535, `mace` 16 scalars and 16 vectors. Their weights are random and scaled down, for what
a step costs does not depend on them. `-compiled` are the same as their packages compile them, `nequip-compile --target
ase` and `compile_mode` of the calculator of MACE. That takes minutes and is no part of what a step costs.
"""

from __future__ import annotations

import json
import sys
import tempfile
import time
from collections.abc import Callable
from typing import Any

import numpy as np
import torch
from ase import Atoms
from ase.md.verlet import VelocityVerlet
from ase.units import fs

R_MAX, NEIGHBOURS, SCALE = 5.0, 50.0, 1e-3
SYMBOLS = {1: "H", 8: "O"}


def nequip() -> Any:
    """NequIP's own calculator and neighbour list."""
    from nequip.data.transforms import ChemicalSpeciesToAtomTypeMapper, NeighborListTransform
    from nequip.integrations.ase import NequIPCalculator
    from nequip.model import NequIPGNNModel
    from nequip.utils.global_state import set_global_state

    set_global_state()
    names = list(SYMBOLS.values())
    network = NequIPGNNModel(
        seed=0, model_dtype="float32", r_max=R_MAX, type_names=names, num_layers=3, l_max=2, parity=False,
        num_features=16, radial_mlp_depth=2, radial_mlp_width=32, avg_num_neighbors=NEIGHBOURS,
        per_type_energy_scales=dict.fromkeys(names, SCALE), per_type_energy_shifts=dict.fromkeys(names, 0.0),
    )  # fmt: skip
    transforms = [ChemicalSpeciesToAtomTypeMapper(names), NeighborListTransform(R_MAX, type_names=names)]
    return NequIPCalculator(network.eval(), "cpu", transforms=transforms)


def nequip_compiled(boxes: Any) -> Any:
    """The same, compiled for one frame of any size."""
    from nequip.data import AtomicDataDict
    from nequip.data.ase import from_ase
    from nequip.nn.compile import DictInputOutputWrapper
    from nequip.scripts._compile_utils import ASE_TARGET
    from nequip.utils.aot import aot_export_model

    calculator = nequip()
    atoms = moving(boxes, next(iter(boxes)).split("-")[0])
    data = from_ase(atoms)
    for transform in calculator.transforms:
        data = transform(data)
    data = ASE_TARGET["data_settings"](AtomicDataDict.to_(data, "cpu"))
    sizes = {"graph": None, "node": torch.export.Dim("nodes", min=2), "edge": torch.export.Dim("edges", min=2)}
    keys = ASE_TARGET["input"], ASE_TARGET["output"]
    with tempfile.TemporaryDirectory() as place:
        path = f"{place}/nequip.nequip.pt2"
        aot_export_model(calculator.model, "cpu", *keys, data, ASE_TARGET["batch_map_settings"](sizes), path)
        calculator.model = DictInputOutputWrapper(torch._inductor.aoti_load_package(path), *keys)
    return calculator


def mace(compile_mode: str | None = None) -> Any:
    """MACE's own calculator and neighbour list."""
    from mace import modules
    from mace.calculators import MACECalculator
    from mace.modules.blocks import o3  # importing e3nn itself first fails with torch 2.13

    block = modules.interaction_classes["RealAgnosticResidualInteractionBlock"]
    torch.set_default_dtype(torch.float32)
    network = modules.ScaleShiftMACE(
        r_max=R_MAX, num_bessel=8, num_polynomial_cutoff=5, max_ell=2, interaction_cls=block,
        interaction_cls_first=block, num_interactions=2, num_elements=2, hidden_irreps=o3.Irreps("16x0e+16x1o"),
        MLP_irreps=o3.Irreps("16x0e"), atomic_energies=np.zeros(2), avg_num_neighbors=NEIGHBOURS,
        atomic_numbers=sorted(SYMBOLS), correlation=2, gate=torch.nn.functional.silu, radial_MLP=[32, 32],
        atomic_inter_shift=0.0, atomic_inter_scale=SCALE,
    ).float()  # fmt: skip
    return MACECalculator(models=[network], device="cpu", default_dtype="float32", compile_mode=compile_mode)


def moving(boxes: Any, box: str) -> Atoms:
    """A box with the velocities that it starts with."""
    atoms = Atoms(boxes[f"{box}-numbers"], boxes[f"{box}-positions"], cell=boxes[f"{box}-cell"], pbc=True)
    atoms.set_velocities(boxes[f"{box}-velocities"])
    return atoms


def main() -> None:
    """Answer until the input ends."""
    torch.set_num_threads(1)
    boxes = np.load(sys.argv[2])
    peers: dict[str, Callable[[], Any]] = {
        "nequip": nequip,
        "nequip-compiled": lambda: nequip_compiled(boxes),
        "mace": mace,
        "mace-compiled": lambda: mace("default"),
    }
    calculator = peers[sys.argv[1]]()
    runs: dict[str, VelocityVerlet] = {}
    for line in sys.stdin:
        box, steps = line.split()
        if box not in runs:
            atoms = moving(boxes, box)
            atoms.calc = calculator
            runs[box] = VelocityVerlet(atoms, timestep=0.5 * fs)
        begun = time.process_time()
        runs[box].run(int(steps))
        print(json.dumps(time.process_time() - begun), flush=True)


if __name__ == "__main__":
    main()
