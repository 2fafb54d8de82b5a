"""Potentials: the network, its baseline, and the files that hold both."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from saltern.potentials.backends import require
from saltern.potentials.batch import Batch
from saltern.potentials.charges import element_charges
from saltern.potentials.core import closest
from saltern.potentials.graph import Graph, derivatives
from saltern.potentials.neighbours import NeighbourList
from saltern.potentials.network import Network
from saltern.potentials.pair import PairSpline
from saltern.potentials.potential import Baseline, Evaluation, Potential, baseline, chosen_device, load_network, save

if TYPE_CHECKING:
    from saltern.potentials.calculator import SalternCalculator

__all__ = [
    "Baseline",
    "Batch",
    "Evaluation",
    "Graph",
    "NeighbourList",
    "Network",
    "PairSpline",
    "Potential",
    "SalternCalculator",
    "baseline",
    "chosen_device",
    "closest",
    "derivatives",
    "element_charges",
    "load_network",
    "require",
    "save",
]


def __getattr__(name: str) -> Any:
    """Import the calculator when somebody wants it: ASE's base class costs every job what only scripts need."""
    if name != "SalternCalculator":
        raise AttributeError(name)
    from saltern.potentials.calculator import SalternCalculator

    return SalternCalculator
