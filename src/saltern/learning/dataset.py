"""What a network is trained on: labels minus the baseline, with the pairs of every frame found once."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from saltern.frames import Array, Frames
from saltern.potentials import Batch, Graph, NeighbourList, baseline


@dataclass(frozen=True)
class Targets:
    """What is left of the labels: energy (frame,) in eV, forces (atom, 3) in eV/Å, stress (frame, 3, 3) in eV/Å³."""

    energy: Array
    forces: Array
    stress: Array


def targets(frames: Frames, kind: str) -> Targets:
    """Labels minus the baseline of `kind`, 'coulomb' or 'none'; stresses that were not labelled are NaN."""
    energy, forces = frames["energy"], frames["forces"]
    stress = frames["stress"] if "stress" in frames else np.full((len(frames), 3, 3), np.nan)
    if kind == "none":
        return Targets(energy, forces, stress)
    base = baseline(Batch.of(frames))
    return Targets(energy - base.energy.numpy(), forces - base.forces.numpy(), stress - base.stress.numpy())


@dataclass(frozen=True)
class Example:
    """One frame, ready for the network."""

    vectors: Tensor
    first: Tensor
    second: Tensor
    species: Tensor
    energy: float
    forces: Tensor
    stress: Tensor
    volume: float


def examples(frames: Frames, kind: str, species: Sequence[int], cutoff: float, dtype: torch.dtype) -> list[Example]:
    """Every frame with its pairs and targets; `species` are the network's atomic numbers, ascending."""
    wanted = targets(frames, kind)
    found = []
    for index, frame in enumerate(frames):
        batch = Batch.of(frame)
        pairs = NeighbourList(cutoff, skin=0.0).pairs(batch)
        found.append(
            Example(
                pairs.vectors.to(dtype),
                pairs.first,
                pairs.second,
                torch.tensor(np.searchsorted(species, frame["numbers"])),
                float(wanted.energy[index]),
                torch.tensor(wanted.forces[frames.offsets[index] : frames.offsets[index + 1]]),
                torch.tensor(wanted.stress[index]),
                float(batch.volumes[0]),
            )
        )
    return found


@dataclass(frozen=True)
class Minibatch:
    """Some examples side by side, and what the network should find: float64."""

    graph: Graph
    energy: Tensor
    forces: Tensor
    stress: Tensor
    volumes: Tensor
    atoms: Tensor


def collate(chosen: Sequence[Example], device: torch.device) -> Minibatch:
    """Join examples; the vectors of the joined graph take gradients."""
    counts = torch.tensor([len(e.species) for e in chosen])
    starts = (counts.cumsum(0) - counts).tolist()
    graph = Graph(
        torch.cat([e.vectors for e in chosen]).to(device).requires_grad_(),
        torch.cat([e.first + n for e, n in zip(chosen, starts, strict=True)]).to(device),
        torch.cat([e.second + n for e, n in zip(chosen, starts, strict=True)]).to(device),
        torch.cat([e.species for e in chosen]).to(device),
        torch.repeat_interleave(torch.arange(len(chosen)), counts).to(device),
        len(chosen),
    )
    return Minibatch(
        graph,
        torch.tensor([e.energy for e in chosen], dtype=torch.float64, device=device),
        torch.cat([e.forces for e in chosen]).to(device),
        torch.stack([e.stress for e in chosen]).to(device),
        torch.tensor([e.volume for e in chosen], dtype=torch.float64, device=device),
        counts.to(device),
    )
