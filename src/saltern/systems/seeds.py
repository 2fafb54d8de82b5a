"""Crystals that boxes start with."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from saltern.config import System
from saltern.frames import Array
from saltern.systems.errors import ElectrolyteError
from saltern.systems.species import Species


def check_seed(system: System, ions: Sequence[tuple[Species, int]], edge: float) -> None:
    """Refuse a crystal that the box cannot start with.

    Args:
        system: the system.
        ions: its ions with their numbers.
        edge: edge of the box in Å.

    Raises:
        ElectrolyteError: for a system that is trained on, other ions than two kinds of one atom each and of opposite
            charge, too few of them, or too small a box.
    """
    seed = system.seed_crystal
    if seed is None:
        return
    if system.role == "train":
        allowed = "test or simulate for a system with a seed_crystal: no crystal is trained on"
        raise ElectrolyteError("role", system.role, allowed)
    told = f"{seed.ions} ions"
    kinds = [species for species, _ in ions]
    if len(kinds) != 2 or not all(s.is_monatomic for s in kinds) or sum(s.charge for s in kinds) != 0:
        raise ElectrolyteError("seed_crystal", told, "a salt of two ions of one atom each and of opposite charge")
    least = min(count for _, count in ions)
    if 2 * least < seed.ions:
        raise ElectrolyteError("seed_crystal", told, f"at most {2 * least} ions, which is what the box holds")
    room = (cube_side(seed.ions) + 1) * seed.constant_A / 2
    if room > edge:
        raise ElectrolyteError("seed_crystal", told, f"a box of {room:.2f} Å or more; this one has {edge:.2f} Å")


def cube_side(ions: int) -> int:
    """Ions along an edge of a cube."""
    return round(float(np.cbrt(ions)))


def seed_sites(system: System, edge: float) -> tuple[Array, Array]:
    """Where the cations (n, 3) and the anions (n, 3) of a system's crystal stand in its box, in Å; none without one."""
    seed = system.seed_crystal
    if seed is None:
        return np.zeros((0, 3)), np.zeros((0, 3))
    side = cube_side(seed.ions)
    grid = np.stack(np.meshgrid(*[np.arange(side)] * 3, indexing="ij"), axis=-1).reshape(-1, 3)
    sites = edge / 2 + (grid - (side - 1) / 2) * seed.constant_A / 2
    odd = grid.sum(axis=1) % 2 == 1
    return sites[~odd], sites[odd]
