"""Ewald sum of screened point charges, with closed-form forces and stress.

P. P. Ewald, Ann. Phys. 369, 253 (1921); in the notation of Allen and Tildesley, Computer Simulation of Liquids
(2nd ed., 2017), section 6.2, with conducting ("tin-foil") boundary. The stress is the strain derivative of the
same terms (D. M. Heyes, Phys. Rev. B 49, 755 (1994)).

Everything that depends on cell and charges alone (lattice vectors, wave vectors, their weights, the interaction of
each charge with its own images) is kept between calls, because in molecular dynamics only positions change. On
CPUs with a C compiler both sums are compiled loops (`loops`), elsewhere operations on tensors (`operations`).
"""

from __future__ import annotations

import math
from collections.abc import Callable
from functools import lru_cache
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor

from saltern.electrostatics import loops
from saltern.electrostatics.lattice import RANGE, Coulomb, heights, images_of, own_images
from saltern.electrostatics.operations import Operations
from saltern.frames import Array
from saltern.units import COULOMB

SHELLS = (0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9, 1.0, 1.25, 1.5, 2.0, 2.5, 3.0)
"""Cutoffs of near pairs that are tried, in units of the least distance between two opposite faces of the cell."""


class _Plan(NamedTuple):
    """All that does not change with positions, in units of e²/Å, for one cell and one set of charges."""

    ions: Tensor
    inverse: Tensor
    sums: Callable[[Tensor], Coulomb]
    own_energy: float
    own_stress: Tensor


def screened_coulomb(
    positions: Tensor, charges: Tensor, cell: Tensor, permittivity: float, *, splitting: float | None = None
) -> Coulomb:
    """Energy, forces and stress of point charges in a periodic box filled with a dielectric.

    E = 1/(4π ε0 ε) · ½ Σ q_i q_j / r over all pairs and images, converged to about 1e-11 of the energy of a
    contact pair. Atoms without charge are left out. The result is not differentiable by autograd.

    Args:
        positions: (atom, 3) in Å, wrapped or not; or (replica, atom, 3) for several copies of one system, and then
            every result has that axis in front.
        charges: (atom,) in e.
        cell: (3, 3) in Å, rows are the cell vectors; any shape.
        permittivity: relative permittivity ε of the medium.
        splitting: Ewald's α in 1/Å; by default the one that is quickest for this system.

    Raises:
        ValueError: when the charges do not add up to zero.
    """
    plan = _plan(_bytes(cell), _bytes(charges), splitting, positions.device)
    replicas = positions.shape[:-2]
    forces = torch.zeros(*positions.shape, dtype=torch.float64, device=positions.device)
    if not len(plan.ions):
        energy = forces.new_zeros(replicas)
        return Coulomb(energy, forces, forces.new_zeros(*replicas, 3, 3))
    fractional = positions.detach().double().index_select(-2, plan.ions) @ plan.inverse
    fractional = fractional - fractional.round()
    found = plan.sums(fractional)
    scale = COULOMB / permittivity
    forces.index_copy_(-2, plan.ions, scale * found.forces)
    return Coulomb(scale * (found.energy + plan.own_energy), forces, scale * (found.stress + plan.own_stress))


def _bytes(tensor: Tensor) -> bytes:
    """The values of a tensor, as something to look up a plan by."""
    return tensor.detach().double().cpu().numpy().tobytes()


@lru_cache(maxsize=32)
def _plan(cell_bytes: bytes, charge_bytes: bytes, splitting: float | None, device: torch.device) -> _Plan:
    """Prepare the sums for one cell and one set of charges."""
    cell = np.frombuffer(cell_bytes).reshape(3, 3)
    charges = np.frombuffer(charge_bytes)
    if abs(charges.sum()) > 1e-6:
        raise ValueError(f"the charges of a periodic box must add up to zero, these add up to {charges.sum():g} e")
    ions = np.flatnonzero(charges)
    carried = charges[ions]
    compiled = device.type == "cpu" and loops.library() is not None
    cost = loops.Loops.cost if compiled else Operations.cost
    alpha = splitting or _quickest_splitting(cell, len(ions), cost)
    images = images_of(cell, RANGE / alpha)
    sums = loops.Loops(cell, carried, alpha) if compiled else Operations(cell, carried, alpha, images, device)
    own_energy, own_stress = own_images(images, alpha, abs(float(np.linalg.det(cell))))
    square = float(carried @ carried)
    return _Plan(
        ions=torch.tensor(ions, device=device),
        inverse=torch.tensor(np.linalg.inv(cell), device=device),
        sums=sums,
        own_energy=square * (own_energy - alpha / math.sqrt(math.pi)),
        own_stress=torch.tensor(square * own_stress, device=device),
    )


def _quickest_splitting(cell: Array, ions: int, cost: Callable[[Array, int, float], float]) -> float:
    """The α for which the two sums together take the least time."""
    cutoffs = [shell * float(heights(cell).min()) for shell in SHELLS]
    return RANGE / min(cutoffs, key=lambda cutoff: cost(cell, ions, cutoff))
