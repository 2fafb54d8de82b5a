"""What each network can be told."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from saltern.config.stages import UNIVERSAL, StudentConfig

_OF_PEERS = ("radial", "message", "readout", "kernels")
"""Parts that networks of other packages have of their own."""

WITHOUT = {
    "equivariant": ("correlation", "start"),
    "cartesian": ("correlation", "start"),
    "unconstrained": ("correlation", "start"),
    "pair": ("layers", "l_max", "features", "bessel", "radial_width", "correlation", "start", *_OF_PEERS),
    "nequip": (*_OF_PEERS, "correlation", "start"),
    "mace": _OF_PEERS,
    "sevennet": (*_OF_PEERS, "correlation"),
}
"""Keys that say nothing to a network."""

_OF_START = ("layers", "l_max", "features", "bessel", "radial_width", "prior")
OF_START = {"sevennet": ("r_max_A", *_OF_START), "mace": (*_OF_START, "correlation")}
"""Keys that weights to start from decide. A checkpoint of `mace` has a cutoff that is not known before it is read."""

_NOT_OF_WEIGHTS = {"committee", "start"}
"""Keys that say how many networks there are and what they began as; with all others alike, weights fit."""


def differing(student: StudentConfig, other: StudentConfig) -> list[tuple[str, Any, Any]]:
    """Keys, and their two values, for which the weights of one student mean nothing to the other."""
    keys = sorted(StudentConfig.model_fields.keys() - _NOT_OF_WEIGHTS)
    both = [(key, getattr(student, key), getattr(other, key)) for key in keys]
    return [(key, own, others) for key, own, others in both if own != others]


def not_taken(student: StudentConfig) -> list[tuple[str, Any, str]]:
    """Keys of a student that differ from their default though its network does not take them.

    Returns:
        The key, its value, and what is allowed.
    """
    network = f"network: {student.network}"
    found = [(key, f"the default with {network}, which does not take it") for key in WITHOUT[student.network]]
    if student.start:
        allowed = f"the default with start: {student.start}, whose shape is its own"
        found += [(key, allowed) for key in OF_START.get(student.network, ())]
    defaults = {name: field.default for name, field in StudentConfig.model_fields.items()}
    told = [(key, getattr(student, key), allowed) for key, allowed in found]
    return [(key, value, allowed) for key, value, allowed in told if value != defaults[key]]


def start_missing(student: StudentConfig) -> str | None:
    """What is allowed as the start of a student whose start is not there; None where all is well."""
    if student.network == "sevennet" and student.start not in (None, *UNIVERSAL):
        return f"{', '.join(UNIVERSAL)} with network: sevennet"
    if student.checkpoint and not Path(student.checkpoint).is_file():
        return "a file that is there, as seen from where the campaign is run"
    return None
