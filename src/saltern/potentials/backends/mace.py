"""MACE's own network (I. Batatia et al., NeurIPS 2022), made by `mace.modules.ScaleShiftMACE`."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional

from saltern.config import StudentConfig
from saltern.errors import UserError
from saltern.potentials.backends.base import Peer, drawn, edges, environment_kept, keep_fixed
from saltern.potentials.backends.mace_checkpoint import IRREPS, load, read, shape_of
from saltern.potentials.graph import Graph

# for one of its imports mace lets torch.load run any code, and it would be so for everything after it
with environment_kept():
    from mace import modules
    from mace.modules.blocks import o3

READOUT = "16x0e"
"""Hidden scalars of the last readout. This, the power of the cutoff and the depth of the radial network are what MACE's
own tool takes."""

CUTOFF_POWER = 5

RADIAL_DEPTH = 3


class Body(Peer):
    """Layers up to the energy of each atom; features go up to `l_max`, and so do harmonics, but at least to 1.

    With `start` shape and weights are those of a checkpoint; `shape` is that shape in a potential that was saved.
    """

    def __init__(
        self,
        config: StudentConfig,
        species: Sequence[int],
        neighbours: float,
        seed: int,
        dtype: torch.dtype,
        shape: Mapping[str, Any] | None = None,
    ) -> None:
        super().__init__()
        path = Path(config.start or "")
        start = read(path) if config.start and shape is None else None
        self.shape = shape if start is None else shape_of(start, path)
        if self.shape and self.shape["r_max"] != config.r_max_A:
            cutoff = f"{self.shape['r_max']:g}, the cutoff of {path}"
            raise UserError(f"student.r_max_A: {config.r_max_A:g} is not allowed; allowed: {cutoff}")
        with drawn(seed, dtype):
            self.model = _made(self.shape or _shape(config, neighbours), species)
            if self.shape:
                self.unit = 1.0
                basis = self.model.radial_embedding.bessel_fn
                # MACE's own fine-tuning trains it
                basis.bessel_weights = torch.nn.Parameter(basis.bessel_weights)
            if start is not None:
                load(self.model, start, species, path)
        self.model.atomic_energies_fn.atomic_energies.zero_()
        keep_fixed(self.model)
        self.species = len(species)

    def forward(self, graph: Graph) -> Tensor:
        """Energies (atom, 1), of order one."""
        index, vectors = edges(graph)
        data = {
            "positions": vectors.new_zeros(len(graph.species), 3),
            # from the positions, all of which are zero, and these follow the vectors
            "shifts": vectors,
            "edge_index": index,
            "node_attrs": functional.one_hot(graph.species, self.species).to(vectors),
            "cell": vectors.new_zeros(3 * graph.systems, 3),
            "batch": graph.system_index,
            "ptr": torch.zeros(graph.systems + 1, dtype=torch.int64, device=vectors.device),
        }
        energies: Tensor = self.model(data, compute_force=False)["node_energy"]
        return energies.to(vectors).unsqueeze(1)


def _shape(config: StudentConfig, neighbours: float) -> dict[str, Any]:
    """What the builder is told: its own defaults but for what a campaign says."""
    block = "RealAgnosticResidualInteractionBlock"
    orders = [(config.features, (order, (-1) ** order)) for order in range(config.l_max + 1)]
    return {
        "r_max": config.r_max_A,
        "num_bessel": config.bessel,
        "num_polynomial_cutoff": CUTOFF_POWER,
        "max_ell": max(config.l_max, 1),
        "interaction_cls": block,
        "interaction_cls_first": block,
        "num_interactions": config.layers,
        "hidden_irreps": str(o3.Irreps(orders)),
        "MLP_irreps": READOUT,
        "avg_num_neighbors": neighbours,
        "correlation": config.correlation,
        "gate": "silu",
        "radial_MLP": [config.radial_width] * RADIAL_DEPTH,
        "atomic_inter_scale": 1.0,
        "atomic_inter_shift": 0.0,
    }


def _made(shape: Mapping[str, Any], species: Sequence[int]) -> Any:
    """The network of a shape, with random weights."""
    named = {
        **{name: modules.interaction_classes[shape[name]] for name in ("interaction_cls", "interaction_cls_first")},
        **{name: o3.Irreps(shape[name]) for name in IRREPS if shape.get(name)},
        "gate": shape["gate"] and getattr(functional, shape["gate"]),
    }
    if "readout_cls" in shape:
        named["readout_cls"] = getattr(modules, shape["readout_cls"])
    of_elements = {
        "num_elements": len(species),
        "atomic_numbers": list(species),
        "atomic_energies": np.zeros(len(species)),
    }
    return modules.ScaleShiftMACE(**{**shape, **named, **of_elements})
