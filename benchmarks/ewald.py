"""The baseline against torch-pme: energy, forces and stress of the ions of a periodic box, one thread.

    python benchmarks/ewald.py

Each row is a box of ions at 2 mol/l. Both sums are asked for an energy that is right to 1e-9 of the peer's; times are
medians over calls with moved positions, the two interleaved.
"""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable

import torch
import torchpme
from vesin import NeighborList

from saltern.electrostatics import Coulomb, screened_coulomb
from saltern.units import COULOMB

CALLS = 30


def box(ions: int) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    """Positions, charges and cell of a random box at 2 mol/l, no two ions closer than 2 Å."""
    edge = (ions / 2 / (2 * 6.02214076e-4)) ** (1 / 3)
    generator = torch.Generator().manual_seed(ions)
    positions = torch.empty(0, 3, dtype=torch.float64)
    while len(positions) < ions:
        trial = edge * torch.rand(3, generator=generator, dtype=torch.float64)
        apart = positions - trial
        if not len(positions) or (apart - edge * (apart / edge).round()).norm(dim=1).min() > 2:
            positions = torch.cat([positions, trial[None]])
    charges = torch.tensor([1.0, -1.0] * (ions // 2), dtype=torch.float64)
    return positions, charges, edge * torch.eye(3, dtype=torch.float64)


def peer(positions: torch.Tensor, charges: torch.Tensor, cell: torch.Tensor) -> Coulomb:
    """The same through torch-pme's Ewald calculator and autograd, cutoff half the box."""
    cutoff = float(cell[0, 0]) / 2
    smearing = cutoff / 6.5
    calculator = torchpme.EwaldCalculator(torchpme.CoulombPotential(smearing=smearing), lr_wavelength=0.55 * smearing)
    calculator.to(torch.float64)
    search = NeighborList(cutoff=cutoff, full_list=False)
    i, j, shift = search.compute(positions.numpy(), cell.numpy(), True, "ijS")
    strain = torch.zeros(3, 3, dtype=torch.float64, requires_grad=True)
    moved = positions.clone().requires_grad_()
    deformation = torch.eye(3, dtype=torch.float64) + (strain + strain.T) / 2
    at, lattice = moved @ deformation, cell @ deformation
    pairs = torch.stack([torch.tensor(i), torch.tensor(j)], 1).long()
    vectors = at[pairs[:, 1]] - at[pairs[:, 0]] + torch.tensor(shift, dtype=torch.float64) @ lattice
    potential = calculator(charges[:, None], lattice, at, pairs, vectors.norm(dim=1))
    energy = COULOMB * (potential[:, 0] * charges).sum()
    pull, stretch = torch.autograd.grad(energy, (moved, strain))
    return Coulomb(energy.detach(), -pull, stretch / torch.det(cell).abs())


def ours(positions: torch.Tensor, charges: torch.Tensor, cell: torch.Tensor) -> Coulomb:
    """Saltern's closed form."""
    return screened_coulomb(positions, charges, cell, 1.0)


def seconds(work: Callable[..., object], *arguments: torch.Tensor) -> float:
    """Time of one call."""
    start = time.perf_counter()
    work(*arguments)
    return time.perf_counter() - start


def main() -> None:
    """Print one row a box."""
    torch.set_num_threads(1)
    print(f"{'ions':>5} {'box (Å)':>8} {'saltern (ms)':>13} {'torch-pme (ms)':>15} {'ratio':>6} {'ΔE/E':>9}")
    for ions in (4, 8, 32, 128):
        positions, charges, cell = box(ions)
        generator = torch.Generator().manual_seed(0)
        times: dict[str, list[float]] = {"ours": [], "peer": []}
        for _ in range(CALLS):
            moved = positions + 0.05 * torch.randn(ions, 3, generator=generator, dtype=torch.float64)
            times["ours"].append(seconds(ours, moved, charges, cell))
            times["peer"].append(seconds(peer, moved, charges, cell))
        a, b = ours(positions, charges, cell), peer(positions, charges, cell)
        mine, theirs = (1e3 * statistics.median(times[name]) for name in ("ours", "peer"))
        difference = abs(float((a.energy - b.energy) / b.energy))
        print(f"{ions:5d} {cell[0, 0]:8.2f} {mine:13.2f} {theirs:15.2f} {theirs / mine:6.1f} {difference:9.1e}")


if __name__ == "__main__":
    main()
