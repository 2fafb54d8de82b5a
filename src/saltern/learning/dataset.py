"""What a network is trained on: labels minus the baseline, with the pairs of every frame found once."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np
import torch
from torch import Tensor

from saltern.frames import Array, Frames
from saltern.learning.noise import Noise
from saltern.learning.stream import ReleaseFrames
from saltern.potentials import Batch, Graph, NeighbourList, baseline
from saltern.store import TRAINING, FrameReader

KEPT_BYTES = 2 * 10**9
"""Memory for examples, which spares reading frames and finding their pairs again; a job has twice as much."""

TOGETHER = 16
"""Examples that are made at once when all are gone through."""

COPIES = 8
"""Displacements of each frame, in opposite pairs, where all have to be summed over."""


@dataclass(frozen=True)
class Targets:
    """What is left of the labels: energy (frame,) in eV, forces (atom, 3) in eV/Å, stress (frame, 3, 3) in eV/Å³."""

    energy: Array
    forces: Array
    stress: Array


def targets(frames: Frames, kind: str, permittivity: float | None = None) -> Targets:
    """Labels minus the baseline of `kind`, 'coulomb' or 'none'; stresses that were not labelled are NaN.

    Args:
        frames: with labels.
        kind: of the baseline.
        permittivity: of the solvent in it; by default that of the frames.
    """
    energy, forces = frames["energy"], frames["forces"]
    stress = frames["stress"] if "stress" in frames else np.full((len(frames), 3, 3), np.nan)
    if kind == "none":
        return Targets(energy, forces, stress)
    base = baseline(Batch.of(frames), permittivity)
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

    @property
    def nbytes(self) -> int:
        """Memory that it takes."""
        return sum(value.nbytes for value in vars(self).values() if isinstance(value, Tensor))


def examples(
    frames: Frames,
    kind: str,
    species: Sequence[int],
    cutoff: float,
    dtype: torch.dtype,
    permittivity: float | None = None,
) -> list[Example]:
    """Every frame with its pairs and targets; `species` are the network's atomic numbers, ascending."""
    wanted = targets(frames, kind, permittivity)
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


class Examples(Sequence[Example]):
    """The examples of some frames of a release.

    They are made when they are asked for, and as many are kept as fit into `KEPT_BYTES`: a dataset may be larger than
    memory. With noise they are others in every epoch, and none is kept.

    Attributes:
        epoch: the noise's.
        copies: epochs that have to be summed over for an average over the noise.
        energy: (frame,) eV, minus the baseline.
        composition: (frame, species) atoms of each species.
        scale: root mean square of a force component minus the baseline (eV/Å).
        neighbours: average number of neighbours of an atom.
    """

    def __init__(
        self,
        reader: FrameReader,
        kind: str,
        species: Sequence[int],
        cutoff: float,
        dtype: torch.dtype,
        noise: Noise | None = None,
        permittivity: float | None = None,
    ) -> None:
        """Make every example once.

        Args:
            reader: the frames.
            kind: of the baseline.
            species: the network's atomic numbers, ascending.
            cutoff: of the pairs (Å).
            dtype: of the vectors.
            noise: displaces the frames and labels them with that, where it is given.
            permittivity: of the solvent in the baseline; by default that of the frames.
        """
        wanted = (*TRAINING, "temperature") if noise else TRAINING
        self._frames = ReleaseFrames(reader, [name for name in wanted if reader.has(name)])
        self._make = partial(
            examples, kind=kind, species=species, cutoff=cutoff, dtype=dtype, permittivity=permittivity
        )
        self._kept: dict[int, Example] = {}
        self._noise, self.epoch, self.copies = noise, 0, COPIES if noise else 1
        self._room = 0 if noise else KEPT_BYTES
        facts = [self._fact(e, len(species)) for e in self]
        self.energy = np.array([fact[0] for fact in facts])
        self.composition = np.array([fact[1] for fact in facts]).reshape(len(facts), len(species))
        atoms = max(int(self.composition.sum()), 1)
        self.scale = float(np.sqrt(sum(fact[2] for fact in facts) / (3 * atoms))) or 1.0
        self.neighbours = max(2 * sum(fact[3] for fact in facts) / atoms, 1.0)

    @staticmethod
    def _fact(example: Example, species: int) -> tuple[float, Array, float, int]:
        """Energy, composition, sum of the squared forces and number of pairs."""
        composition = np.bincount(example.species, minlength=species)
        return example.energy, composition, float(example.forces.square().sum()), len(example.first)

    @property
    def complete(self) -> bool:
        """Whether all are kept, so that none is read again."""
        return len(self._kept) == len(self)

    def __len__(self) -> int:
        """Number of frames."""
        return len(self._frames)

    def __iter__(self) -> Iterator[Example]:
        """All of them, in order, some in memory at a time."""
        return self.some(range(len(self)))

    def some(self, indices: Sequence[int]) -> Iterator[Example]:
        """Those of `indices`, in that order, some in memory at a time."""
        for start in range(0, len(indices), TOGETHER):
            yield from self.get(indices[start : start + TOGETHER])

    def as_sampled(self) -> Iterator[Example]:
        """All of them without noise, in order, some in memory at a time."""
        if not self._noise:
            yield from self
            return
        for start in range(0, len(self), TOGETHER):
            yield from self._make(self._frames.__getitems__(range(len(self))[start : start + TOGETHER]))

    def __getitem__(self, index: Any) -> Any:
        """One, or the list of a slice."""
        return self.get(range(len(self))[index]) if isinstance(index, slice) else self.get([index])[0]

    def get(self, indices: Sequence[int]) -> list[Example]:
        """Some of them; those that are not kept are read at once."""
        missing = [i for i in indices if i not in self._kept]
        made = dict(zip(missing, self._make(self._read(missing)), strict=True)) if missing else {}
        for i, example in made.items():
            if self._room >= example.nbytes:
                self._room -= example.nbytes
                self._kept[i] = example
        return [made[i] if i in made else self._kept[i] for i in indices]

    def _read(self, indices: Sequence[int]) -> Frames:
        """Some frames, with this epoch's noise."""
        frames = self._frames.__getitems__(indices)
        return self._noise(frames, indices, self.epoch) if self._noise else frames


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
