"""SevenNet's own network (Y. Park et al., J. Chem. Theory Comput. 20, 4857 (2024)), made by `sevenn.model_build`.

With `start` it is one of the universal models that the package brings, whose shape and weights are read from the
installed package alone; a saved potential holds the weights that were trained from there.
"""

from __future__ import annotations

import copy
from collections.abc import Sequence
from typing import Any

import sevenn._const as const
import sevenn._keys as key
import torch
from ase.data import chemical_symbols
from sevenn.checkpoint import SevenNetCheckpoint
from sevenn.model_build import build_E3_equivariant_model
from torch import Tensor
from torch.nn import functional

from saltern.config import StudentConfig
from saltern.potentials.backends.base import Peer, check_known, drawn, edges, keep_fixed
from saltern.potentials.graph import Graph

STARTS = {"sevennet-0": const.SEVENNET_0_11Jul2024}
LAST = "reduce_hidden_to_energy"
"""The layer that gives the energy of each atom."""


class Body(Peer):
    """Layers up to the energy of each atom; parity off, as in SevenNet-0."""

    kinds: Tensor

    def __init__(
        self, config: StudentConfig, species: Sequence[int], neighbours: float, seed: int, dtype: torch.dtype
    ) -> None:
        super().__init__()
        start = SevenNetCheckpoint(STARTS[config.start]) if config.start else None
        shape = start.config if start else _shape(config, species, neighbours)
        check_known(config.start, shape[key.TYPE_MAP], species)
        with drawn(seed, dtype):
            # weights of older versions are in another order, which the package's own reader knows
            model = start.build_model() if start else build_E3_equivariant_model(shape)
        if start:
            self.unit = float(shape[key.SCALE][species[0]])
        model.to(dtype)
        named = dict(model.named_children())
        kept = list(named)[: list(named).index(LAST) + 1]
        # elements as one-hot vectors are made here, in the network's precision
        self.layers = torch.nn.ModuleList(named[name] for name in kept if name != "onehot_idx_to_onehot")
        keep_fixed(self.layers)
        kinds = torch.tensor([shape[key.TYPE_MAP][z] for z in species])
        self.register_buffer("kinds", kinds, persistent=False)
        self.known = int(shape[key.NUM_SPECIES])

    def forward(self, graph: Graph) -> Tensor:
        """Energies (atom, 1): of order one, or in units of `unit`."""
        index, vectors = edges(graph)
        kinds = self.kinds.index_select(0, graph.species)
        one_hot = functional.one_hot(kinds, self.known).to(vectors)
        data = {
            key.EDGE_IDX: index,
            key.EDGE_VEC: vectors,
            key.NODE_FEATURE: one_hot,
            key.NODE_ATTR: one_hot,
            key.ATOM_TYPE: kinds,
            key.BATCH: graph.system_index,
        }
        for layer in self.layers:
            data = layer(data)
        energies: Tensor = data[key.SCALED_ATOMIC_ENERGY]
        return energies


def _shape(config: StudentConfig, species: Sequence[int], neighbours: float) -> dict[str, Any]:
    """What the builder is told: its own defaults but for what a campaign says."""
    symbols = [chemical_symbols[z] for z in species]
    return {
        **copy.deepcopy(const.DEFAULT_E3_EQUIVARIANT_MODEL_CONFIG),
        key.CUTOFF: config.r_max_A,
        key.NODE_FEATURE_MULTIPLICITY: config.features,
        key.LMAX: config.l_max,
        key.IS_PARITY: False,
        key.NUM_CONVOLUTION: config.layers,
        key.RADIAL_BASIS: {key.RADIAL_BASIS_NAME: "bessel", key.BESSEL_BASIS_NUM: config.bessel},
        key.CONVOLUTION_WEIGHT_NN_HIDDEN_NEURONS: [config.radial_width] * 2,
        key.CONV_DENOMINATOR: neighbours**0.5,
        key.CHEMICAL_SPECIES: symbols,
        key.TYPE_MAP: {z: place for place, z in enumerate(species)},
        key.NUM_SPECIES: len(species),
        key.SHIFT: 0.0,
        key.SCALE: 1.0,
    }
