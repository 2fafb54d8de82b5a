"""Potentials: the network, its baseline, and the files that hold both."""

from saltern.potentials.batch import Batch
from saltern.potentials.core import closest
from saltern.potentials.graph import Graph, derivatives
from saltern.potentials.neighbours import NeighbourList
from saltern.potentials.network import Network
from saltern.potentials.potential import Baseline, Evaluation, Potential, baseline, chosen_device, save

__all__ = [
    "Baseline",
    "Batch",
    "Evaluation",
    "Graph",
    "NeighbourList",
    "Network",
    "Potential",
    "baseline",
    "chosen_device",
    "closest",
    "derivatives",
    "save",
]
