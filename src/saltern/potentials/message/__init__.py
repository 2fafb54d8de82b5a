"""What neighbours tell an atom: one kind a file, chosen by the student's `message`."""

from __future__ import annotations

from saltern.config import StudentConfig
from saltern.potentials.draw import Draw
from saltern.potentials.message.attention import Attention
from saltern.potentials.message.convolution import Convolution

__all__ = ["message"]

KINDS: dict[str, type[Convolution]] = {"sum": Convolution, "attention": Attention}


def message(config: StudentConfig, inner: int, edge: int, outer: int, draw: Draw) -> Convolution:
    """The sums of one layer: features up to order `inner`, harmonics up to `edge`, coupled to orders up to `outer`."""
    return KINDS[config.message](inner, edge, outer, config, draw)
