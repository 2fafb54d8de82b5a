"""What benchmarks/learning.py asks of NequIP or MACE, run by the Python of their own environment.

    PYTHON benchmarks/learning_peer.py CONTENDER FRAMES.npz --seed 0 --seconds 200    (a learning curve, as JSON)
    PYTHON benchmarks/learning_peer.py CONTENDER FRAMES.npz --speed                   (times, as JSON)

The network of `nequip` is that of arXiv 2310.12535 and its learning rate the better of two (0.01 and 0.03); that of
`mace` takes about half its time, at the one learning rate that was tried. `-own` networks and training are near to what
their authors' tools take when nothing is said. Model, neighbour list and precision are theirs; the loop is the same.
`-compiled` wants two frames at once, and compiling is no part of its times; `mace` is not there, for compiled as its
package does it (0.3.16, torch 2.13) its forces have no gradient.
"""

from __future__ import annotations

import argparse
import copy
import json
import math
import statistics
import time
from typing import Any

import numpy as np
import torch

R_MAX = 5.0
SYMBOLS = {1: "H", 8: "O"}
EVALUATIONS = 8
PAPER = {
    "num_layers": 3, "l_max": 2, "parity": False, "num_features": 16, "radial_mlp_depth": 2, "radial_mlp_width": 32,
}  # fmt: skip
SETTINGS: dict[str, dict[str, Any]] = {
    "nequip": {"lr": 0.03, "batch": 1, "network": PAPER},
    "nequip-compiled": {"lr": 0.03, "batch": 2, "network": {**PAPER, "compile_mode": "compile"}},
    "nequip-own": {"lr": 0.01, "batch": 5, "network": {}},
    "mace": {"lr": 0.01, "batch": 1, "network": {
        "hidden": "16x0e+16x1o", "correlation": 2, "max_ell": 2, "radial_MLP": [32, 32],
    }},
    "mace-own": {"lr": 0.01, "batch": 10, "network": {
        "hidden": "128x0e+128x1o", "correlation": 3, "max_ell": 3, "radial_MLP": [64, 64, 64],
    }},
}  # fmt: skip


class NequIP:
    """nequip's network and neighbour list."""

    def __init__(self, frames: dict[str, np.ndarray], settings: dict[str, Any], seed: int) -> None:
        from ase import Atoms
        from nequip.data.ase import from_ase
        from nequip.data.transforms import ChemicalSpeciesToAtomTypeMapper, NeighborListTransform
        from nequip.model import NequIPGNNModel
        from nequip.utils.global_state import set_global_state

        set_global_state()
        names = list(SYMBOLS.values())
        steps = [ChemicalSpeciesToAtomTypeMapper(names), NeighborListTransform(R_MAX, type_names=names)]

        def example(index: int) -> dict[str, torch.Tensor]:
            atoms = Atoms(frames["numbers"], frames["positions"][index], cell=frames["cell"][index], pbc=True)
            data = from_ase(atoms)
            for step in steps:
                data = step(data)
            return {k: v.float() if v.is_floating_point() else v for k, v in data.items()}

        self.example = example
        edges = np.mean([example(int(i))["edge_index"].shape[1] for i in frames["train"][:10]])
        self.network = NequIPGNNModel(
            seed=seed, model_dtype="float32", r_max=R_MAX, type_names=names,
            avg_num_neighbors=float(edges) / len(frames["numbers"]),
            per_type_energy_scales=dict.fromkeys(names, float(np.sqrt((frames["forces"] ** 2).mean()))),
            per_type_energy_shifts=dict.fromkeys(names, mean_energy(frames)), **settings,
        )  # fmt: skip

    def evaluate(self, examples: list[dict[str, torch.Tensor]], training: bool) -> tuple[torch.Tensor, torch.Tensor]:
        """Energies (frame,) and forces (atom, 3)."""
        from nequip.data import AtomicDataDict

        self.network.train(training)
        found = self.network({**AtomicDataDict.batched_from_list(examples)})
        return found["total_energy"].view(-1), found["forces"]


class MACE:
    """mace's network and neighbour list."""

    def __init__(self, frames: dict[str, np.ndarray], settings: dict[str, Any], seed: int) -> None:
        from mace import data, modules, tools
        from mace.modules.blocks import o3  # importing e3nn itself first fails with torch 2.13

        torch.manual_seed(seed)
        table = tools.AtomicNumberTable(sorted(SYMBOLS))

        def example(index: int) -> Any:
            positions, cell = frames["positions"][index], frames["cell"][index]
            told = data.Configuration(frames["numbers"], positions, {}, {}, cell=cell, pbc=(True, True, True))
            return data.AtomicData.from_config(told, z_table=table, cutoff=R_MAX)

        self.example = example
        block = modules.interaction_classes["RealAgnosticResidualInteractionBlock"]
        edges = np.mean([example(int(i)).edge_index.shape[1] for i in frames["train"][:10]])
        torch.set_default_dtype(torch.float32)
        self.network = modules.ScaleShiftMACE(
            r_max=R_MAX, num_bessel=8, num_polynomial_cutoff=5, max_ell=settings["max_ell"], interaction_cls=block,
            interaction_cls_first=block, num_interactions=2, num_elements=2,
            hidden_irreps=o3.Irreps(settings["hidden"]), MLP_irreps=o3.Irreps("16x0e"),
            atomic_energies=np.full(2, mean_energy(frames)), avg_num_neighbors=float(edges) / len(frames["numbers"]),
            atomic_numbers=sorted(SYMBOLS), correlation=settings["correlation"], gate=torch.nn.functional.silu,
            radial_MLP=settings["radial_MLP"], atomic_inter_shift=0.0,
            atomic_inter_scale=float(np.sqrt((frames["forces"] ** 2).mean())),
        ).float()  # fmt: skip

    def evaluate(self, examples: list[Any], training: bool) -> tuple[torch.Tensor, torch.Tensor]:
        """Energies (frame,) and forces (atom, 3)."""
        from mace.tools import torch_geometric

        batch = next(iter(torch_geometric.DataLoader(examples, batch_size=len(examples), shuffle=False)))
        told = {k: v.float() if v.is_floating_point() else v for k, v in batch.to_dict().items()}
        found = self.network(told, training=training)
        return found["energy"], found["forces"]


def mean_energy(frames: dict[str, np.ndarray]) -> float:
    """Energy per atom of the training frames."""
    return float(frames["energy"][frames["train"]].mean()) / len(frames["numbers"])


def errors(peer: NequIP | MACE, frames: dict[str, np.ndarray]) -> tuple[float, float]:
    """Force RMSE (meV/Å) and standard deviation of the energy error per atom (meV) on the held-out frames."""
    squares, energies = [], []
    for index in frames["held_out"].tolist():
        energy, forces = peer.evaluate([peer.example(index)], False)
        squares.append(float(((forces.detach().numpy() - frames["forces"][index]) ** 2).mean()))
        energies.append((float(energy) - frames["energy"][index]) / len(frames["numbers"]))
    return 1000 * float(np.sqrt(np.mean(squares))), 1000 * float(np.std(energies))


def learn(
    peer: NequIP | MACE, frames: dict[str, np.ndarray], settings: dict[str, Any], seconds: float, seed: int
) -> Any:
    """Rows of processor time (evaluations left out), steps and both errors; Adam, cosine over the time, averages."""
    examples = {int(i): peer.example(int(i)) for i in frames["train"]}
    weights = list(peer.network.parameters())
    average = [w.detach().clone() for w in weights]
    adam = torch.optim.Adam(weights, lr=settings["lr"], amsgrad="mace-own" in settings.get("name", ""))
    rng, order, rows = np.random.default_rng(seed), [], []
    spent, step = 0.0, 0
    while spent < seconds:
        begun = time.process_time()
        if len(order) < settings["batch"]:
            order = rng.permutation(frames["train"]).tolist()
        chosen, order = order[: settings["batch"]], order[settings["batch"] :]
        for group in adam.param_groups:
            group["lr"] = settings["lr"] * 0.5 * (1 + math.cos(math.pi * min(1.0, spent / seconds)))
        energy, forces = peer.evaluate([examples[i] for i in chosen], True)
        wanted = torch.tensor(np.concatenate([frames["forces"][i] for i in chosen]), dtype=torch.float32)
        energies = torch.tensor(frames["energy"][chosen], dtype=torch.float32)
        loss = 100 * (forces - wanted).square().mean()
        loss = loss + ((energy - energies) / len(frames["numbers"])).square().mean()
        adam.zero_grad()
        loss.backward()
        adam.step()
        step += 1
        with torch.no_grad():
            torch._foreach_lerp_(average, weights, 1 - min(0.99, (1 + step) / (10 + step)))
        spent += time.process_time() - begun
        if spent >= seconds * (len(rows) + 1) / EVALUATIONS:
            shown = copy.copy(peer)
            shown.network = copy.deepcopy(peer.network)
            for weight, mean in zip(shown.network.parameters(), average, strict=True):
                weight.data.copy_(mean)
            rows.append([spent, step, *errors(shown, frames)])
    return rows


def speed(peer: NequIP | MACE, frames: dict[str, np.ndarray], together: int, calls: int = 8) -> dict[str, float]:
    """Median processor time of energy and forces with a neighbour list, and of a training step, in ms a frame.

    Args:
        peer: the network.
        frames: the first of which are evaluated.
        together: how many of them at once.
        calls: how often; the first two do not count.
    """
    indices = frames["train"][:together].tolist()
    found: dict[str, list[float]] = {"step": [], "train": []}
    weights = list(peer.network.parameters())
    for _ in range(calls):
        begun = time.process_time()
        peer.evaluate([peer.example(index) for index in indices], False)
        between = time.process_time()
        examples = [peer.example(index) for index in indices]
        after = time.process_time()
        energy, forces = peer.evaluate(examples, True)
        torch.autograd.grad(forces.square().sum() + energy.sum(), weights, allow_unused=True)
        found["step"].append(between - begun)
        found["train"].append(time.process_time() - after)
    return {name: 1000 * statistics.median(times[2:]) / together for name, times in found.items()}


def main() -> None:
    """Print what was asked for."""
    parser = argparse.ArgumentParser()
    parser.add_argument("contender", choices=SETTINGS)
    parser.add_argument("frames")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--seconds", type=float, default=200)
    parser.add_argument("--speed", action="store_true")
    given = parser.parse_args()
    torch.set_num_threads(1)
    frames = dict(np.load(given.frames))
    settings = {"name": given.contender, **SETTINGS[given.contender]}
    kind = NequIP if given.contender.startswith("nequip") else MACE
    peer = kind(frames, settings["network"], given.seed)
    if given.speed:
        found: Any = speed(peer, frames, 2 if given.contender.endswith("-compiled") else 1)
    else:
        found = learn(peer, frames, settings, given.seconds, given.seed)
    count = sum(w.numel() for w in peer.network.parameters())
    print(json.dumps({"parameters": count, "found": found}))


if __name__ == "__main__":
    main()
