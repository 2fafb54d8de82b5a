"""Functions of the distance by which neighbours count: one kind a file, chosen by the student's `radial`."""

from __future__ import annotations

from saltern.config import StudentConfig
from saltern.potentials.draw import Draw
from saltern.potentials.radial.base import Radial
from saltern.potentials.radial.perceptron import Perceptron
from saltern.potentials.radial.series import Series
from saltern.potentials.radial.spline import Interpolation, interpolation

__all__ = ["Interpolation", "Radial", "interpolation", "radial"]


KINDS: dict[str, type[Perceptron | Series]] = {"perceptron": Perceptron, "series": Series}


def radial(config: StudentConfig, draw: Draw) -> Radial:
    """The radial functions of a student."""
    return KINDS[config.radial](config, draw)
