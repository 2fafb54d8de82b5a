"""NequIP's own network (S. Batzner et al., Nat. Commun. 13, 2453 (2022)), made by `nequip.model.NequIPGNNModel`."""

from __future__ import annotations

import warnings
from collections.abc import Sequence

import torch
from ase.data import chemical_symbols
from nequip.data import AtomicDataDict as Key
from nequip.model import NequIPGNNModel
from nequip.utils.global_state import set_global_state
from torch import Tensor

from saltern.config import StudentConfig
from saltern.potentials.backends.base import Peer, drawn, edges
from saltern.potentials.graph import Graph

RADIAL_DEPTH = 2
"""Hidden layers of the radial network, as in Saltern's own and in the inputs of arXiv 2310.12535."""


class Body(Peer):
    """Layers up to the energy of each atom; parity off, as in arXiv 2310.12535 and NequIP's published presets."""

    def __init__(
        self, config: StudentConfig, species: Sequence[int], neighbours: float, seed: int, dtype: torch.dtype
    ) -> None:
        super().__init__()
        with drawn(seed, dtype), warnings.catch_warnings():
            set_global_state()
            # that scales and shifts are not given: they are Saltern's
            warnings.simplefilter("ignore", UserWarning)
            model = NequIPGNNModel(
                seed=seed, model_dtype=str(dtype).removeprefix("torch."), r_max=config.r_max_A,
                type_names=[chemical_symbols[z] for z in species], num_layers=config.layers, l_max=config.l_max,
                parity=False, num_features=config.features, radial_mlp_depth=RADIAL_DEPTH,
                radial_mlp_width=config.radial_width, num_bessels=config.bessel, avg_num_neighbors=neighbours,
                do_derivatives=False,
            )  # fmt: skip
        named = dict(model.model.func.named_children())
        self.layers = torch.nn.ModuleList(list(named.values())[: list(named).index("per_atom_energy_readout") + 1])

    def forward(self, graph: Graph) -> Tensor:
        """Energies (atom, 1), of order one."""
        index, vectors = edges(graph)
        data = {
            Key.POSITIONS_KEY: vectors.new_zeros(len(graph.species), 3),
            Key.ATOM_TYPE_KEY: graph.species,
            Key.EDGE_INDEX_KEY: index,
            Key.EDGE_VECTORS_KEY: vectors,
            Key.BATCH_KEY: graph.system_index,
        }
        for layer in self.layers:
            data = layer(data)
        energies: Tensor = data[Key.PER_ATOM_ENERGY_KEY]
        return energies
