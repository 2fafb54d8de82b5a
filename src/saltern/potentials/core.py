"""A wall where there were no data: repulsion below the shortest distances of the training frames.

A network knows nothing of distances that it never saw and may find energies there that are far too low; atoms that
reach such a hole never come back. Below the shortest distance R of a pair of elements the potential adds
STIFFNESS · (R - r)³, which is zero on every training frame, so nothing has to be subtracted from the labels.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import torch
from torch import Tensor

from saltern.potentials.batch import Batch
from saltern.potentials.neighbours import Pairs

STIFFNESS = 80.0
"""eV/Å³: 2 eV at 0.3 Å inside, more than any hole found by a small network and soft enough for steps of 0.5 fs."""


class Core:
    """Walls between the elements of a potential.

    Args:
        radii: (species, species) distance in Å below which there is a wall; 0 for none.
        device: where it computes.
    """

    def __init__(self, radii: Sequence[Sequence[float]], device: torch.device) -> None:
        self._radii = torch.tensor(radii, dtype=torch.float64, device=device)

    def radius(self, first: int, second: int) -> float:
        """Where the wall between two species begins (Å)."""
        return float(self._radii[first, second])

    def __call__(self, pairs: Pairs, species: Tensor, batch: Batch) -> tuple[Tensor, Tensor, Tensor]:
        """Energy (system,) in eV, forces (atom, 3) in eV/Å, strain derivative (system, 3, 3) in eV."""
        distances = pairs.vectors.square().sum(1).sqrt()
        inside = self._radii[species[pairs.first], species[pairs.second]] - distances
        met = torch.nonzero(inside > 0).squeeze(1)
        depth, vectors, first = inside[met], pairs.vectors[met], pairs.first[met]
        system = batch.system_index[first]
        energy = depth.new_zeros(batch.systems).index_add(0, system, STIFFNESS * depth**3)
        push = (3 * STIFFNESS * depth**2 / distances[met]).unsqueeze(1) * vectors
        forces = push.new_zeros(len(species), 3).index_add(0, first, -push).index_add(0, pairs.second[met], push)
        outer = -(vectors.unsqueeze(2) * push.unsqueeze(1))
        return energy, forces, push.new_zeros(batch.systems, 3, 3).index_add(0, system, outer)


def closest(species: Sequence[int], pairs: Iterable[tuple[Tensor, Tensor, Tensor]]) -> list[list[float]]:
    """Shortest distance of every pair of elements in some frames, (species, species), Å.

    Elements that never came within the cutoff of each other get the sum of their covalent radii.

    Args:
        species: atomic numbers.
        pairs: for every frame the vectors (pair, 3) and the places in `species` of both atoms (pair,).
    """
    from ase.data import covalent_radii

    shortest = torch.full((len(species), len(species)), torch.inf, dtype=torch.float64)
    for vectors, first, second in pairs:
        distances = vectors.double().square().sum(1).sqrt()
        place = first * len(species) + second
        shortest.view(-1).scatter_reduce_(0, place, distances, "amin")
    shortest = torch.minimum(shortest, shortest.T)
    radii = torch.tensor([covalent_radii[z] for z in species], dtype=torch.float64)
    bonded: list[list[float]] = torch.where(shortest.isinf(), radii[:, None] + radii, shortest).tolist()
    return bonded
