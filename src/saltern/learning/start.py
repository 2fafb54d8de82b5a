"""A potential that a training starts from instead of random weights, and what was simulated with it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import torch

from saltern.config import TrainSpec
from saltern.config.student import differing
from saltern.errors import UserError
from saltern.frames import Frames
from saltern.learning.relative_entropy import COMPARED, State
from saltern.potentials import Network, load_network
from saltern.store import file_hash, read_metadata, read_trajectories


@dataclass(frozen=True)
class Start:
    """A network that has learned already.

    Attributes:
        network: as its file has it.
        closest: (species, species) the shortest distances that it was shown, in Å.
        hash: of its file.
        simulated: trajectories that it drove, by system and temperature; empty where they do not matter.
        hashes: of their files.
    """

    network: Network
    closest: list[list[float]]
    hash: str
    simulated: Mapping[State, Sequence[Frames]] = field(default_factory=dict)
    hashes: tuple[str, ...] = ()

    def joined(self, closest: list[list[float]]) -> list[list[float]]:
        """The shorter of these distances and other ones, (species, species): what the network knows of both."""
        joined: list[list[float]] = np.minimum(self.closest, closest).tolist()
        return joined


def start_from(
    path: Path, spec: TrainSpec, species: Sequence[int], device: torch.device, simulated: Sequence[Path] = ()
) -> Start:
    """Read one.

    Args:
        path: the potential.
        spec: what is to be trained; its student, baseline and precision have to be the file's.
        species: atomic numbers in the training frames, ascending.
        device: where it is trained.
        simulated: files of trajectories that it drove.

    Raises:
        UserError: when the file is no potential, or one of another kind, or another one drove the trajectories.
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
    if network.closed and not spec.train.compares:
        raise UserError(f"{path}: nothing to start from, for a spline of pairs is fitted and not trained")
    for what, own, other in told:
        if own != other:
            raise UserError(f"{path}: {what}: {own} is not allowed; allowed: {other}, as this potential was trained")
    own = file_hash(path)
    return Start(network, about["closest"], own, _driven(simulated, own, path), tuple(map(file_hash, simulated)))


def _driven(files: Sequence[Path], potential: str, path: Path) -> dict[State, list[Frames]]:
    """The trajectories that the potential of a hash drove, by system and temperature."""
    found: dict[State, list[Frames]] = {}
    for file in files:
        about = read_metadata(file)
        if about.get("potentials", [None])[0] != potential:
            raise UserError(f"{file}: another potential than {path} drove this trajectory")
        for frames in read_trajectories(file, COMPARED):
            found.setdefault((about["id"], float(frames["temperature"][0])), []).append(frames)
    return found
