"""What a network is wrong by on labels minus the baseline."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch

from saltern.config import TrainConfig
from saltern.learning.dataset import Example, Examples, Minibatch, collate
from saltern.learning.group import Group
from saltern.potentials import Network, derivatives

EVALUATION_BATCH = 16
"""Frames evaluated at once."""


def parts(data: Sequence[Example]) -> list[slice]:
    """As many examples at once as are evaluated together."""
    return [slice(start, start + EVALUATION_BATCH) for start in range(0, len(data), EVALUATION_BATCH)]


def loss_of(network: Network, batch: Minibatch, config: TrainConfig, frames: float, atoms: float) -> torch.Tensor:
    """Weighted mean squares of the errors of forces, energies per atom and stresses.

    Where `batch` is a share of a mini-batch, `frames` and `atoms` are how much of it; the shares' losses add up to the
    whole one's.
    """
    energy = network(batch.graph)
    found = derivatives(energy, batch.graph, create_graph=True)
    total: torch.Tensor = atoms * config.force_weight * (found.forces - batch.forces).square().mean()
    if config.energy_weight:
        total = total + frames * config.energy_weight * ((energy - batch.energy) / batch.atoms).square().mean()
    if config.stress_weight:
        stress = found.virial / batch.volumes.view(-1, 1, 1)
        total = total + frames * config.stress_weight * (stress - batch.stress).square().mean()
    return total


def errors_of(network: Network, data: Examples, device: torch.device, group: Group) -> tuple[float, float | None]:
    """Root mean square errors of forces (meV/Å) and energies per atom (meV), None where labels have no energy."""
    squares = torch.zeros(2, dtype=torch.float64)
    for part in group.share(parts(data)):
        batch = collate(data[part], device)
        found = network(batch.graph)
        forces = derivatives(found, batch.graph).forces
        squares[0] += float((forces - batch.forces).square().sum())
        squares[1] += float(((found.detach() - batch.energy) / batch.atoms).square().sum())
    force, energy = group.sum(squares).tolist()
    components = 3 * int(data.composition.sum())
    of_energy = 1000 * float(np.sqrt(energy / len(data))) if np.isfinite(energy) else None
    return 1000 * float(np.sqrt(force / components)), of_energy


def fit_shifts(network: Network, data: Examples, device: torch.device, group: Group) -> None:
    """Set the energies of the free atoms by least squares; where compositions leave a choice, to the smallest.

    Where labels have no energy they are 0.
    """
    network.shifts.zero_()
    if not np.isfinite(data.energy).all():
        return
    found = torch.zeros(len(data), dtype=torch.float64)
    with torch.no_grad():
        for part in group.share(parts(data)):
            found[part] = network(collate(data[part], device).graph).cpu()
    left = data.energy - group.sum(found).numpy()
    network.shifts.copy_(torch.from_numpy(np.linalg.lstsq(data.composition.astype(float), left, rcond=None)[0]))
