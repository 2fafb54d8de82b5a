"""MACE's own network (I. Batatia et al., NeurIPS 2022), made by `mace.modules.ScaleShiftMACE`."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional

from saltern.config import StudentConfig
from saltern.potentials.backends.base import Peer, drawn, edges, environment_kept
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
    """Layers up to the energy of each atom; features go up to `l_max`, and so do harmonics, but at least to 1."""

    def __init__(
        self, config: StudentConfig, species: Sequence[int], neighbours: float, seed: int, dtype: torch.dtype
    ) -> None:
        super().__init__()
        block = modules.interaction_classes["RealAgnosticResidualInteractionBlock"]
        orders = [(config.features, (order, (-1) ** order)) for order in range(config.l_max + 1)]
        with drawn(seed, dtype):
            self.model = modules.ScaleShiftMACE(
                r_max=config.r_max_A, num_bessel=config.bessel, num_polynomial_cutoff=CUTOFF_POWER,
                max_ell=max(config.l_max, 1), interaction_cls=block, interaction_cls_first=block,
                num_interactions=config.layers, num_elements=len(species), hidden_irreps=o3.Irreps(orders),
                MLP_irreps=o3.Irreps(READOUT), atomic_energies=np.zeros(len(species)), avg_num_neighbors=neighbours,
                atomic_numbers=list(species), correlation=config.correlation, gate=functional.silu,
                radial_MLP=[config.radial_width] * RADIAL_DEPTH, atomic_inter_scale=1.0, atomic_inter_shift=0.0,
            )  # fmt: skip
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
