"""A potential whose weights a training starts from instead of random ones."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch

from saltern.config import TrainSpec
from saltern.config.student import differing
from saltern.errors import UserError
from saltern.potentials import Network, load_network
from saltern.store import file_hash


@dataclass(frozen=True)
class Start:
    """A network that has learned already, the shortest distances (Å) that it was shown, and the hash of its file."""

    network: Network
    closest: list[list[float]]
    hash: str

    def joined(self, closest: list[list[float]]) -> list[list[float]]:
        """The shorter of these distances and other ones, (species, species): what the network knows of both."""
        joined: list[list[float]] = np.minimum(self.closest, closest).tolist()
        return joined


def start_from(path: Path, spec: TrainSpec, species: Sequence[int], device: torch.device) -> Start:
    """Read one.

    Args:
        path: the potential.
        spec: what is to be trained; its student, baseline and precision have to be the file's.
        species: atomic numbers in the training frames, ascending.
        device: where it is trained.

    Raises:
        UserError: when the file is no potential, or one of another kind.
    """
    from ase.data import chemical_symbols

    network, about = load_network(path, device)

    def of(numbers: Sequence[int]) -> str:
        return ", ".join(chemical_symbols[number] for number in numbers)

    told = (
        *((f"student.{key}", own, other) for key, own, other in differing(spec.student, network.config)),
        ("baseline.kind", spec.baseline.kind, about["baseline"]),
        ("baseline.permittivity", spec.baseline.permittivity, about.get("permittivity")),
        ("train.precision", spec.train.precision, about["precision"]),
        ("elements of the training frames", of(species), of(network.species)),
    )
    if network.closed:
        raise UserError(f"{path}: nothing to start from, for a spline of pairs is fitted and not trained")
    for what, own, other in told:
        if own != other:
            raise UserError(f"{path}: {what}: {own} is not allowed; allowed: {other}, as this potential was trained")
    return Start(network, about["closest"], file_hash(path))
