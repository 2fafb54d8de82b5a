"""From a system to a packed box."""

from __future__ import annotations

from typing import Any

import numpy as np

from saltern.config import System
from saltern.errors import UserError
from saltern.frames import Frames
from saltern.systems.contents import contents_of
from saltern.systems.seeds import seed_sites


def compose(system: System, trajectory: int = 0) -> tuple[Frames, dict[str, Any]]:
    """Pack the box of one system.

    Args:
        system: the system; its seed decides where everything is placed.
        trajectory: number of the packing; each is different, and the same again when it is repeated.

    Returns:
        One frame with numbers, positions, cell, charges, molecules, system, temperature and permittivity; and what
        is known about it: system, id, species (number of molecules by name), molality reached, density_g_cm3 and
        its source, permittivity and its source, molecule_species (species of each molecule).

    Raises:
        UserError: when the system cannot be had (`contents_of`) or there is no room.
    """
    from saltern.systems.packing import pack

    contents = contents_of(system)
    sites = seed_sites(system, contents.edge)
    positions = pack(contents.molecules, contents.edge, np.random.default_rng([system.seed, trajectory]), sites)
    if positions is None:
        raise UserError(
            f"{system.id}: packmol finds no room for {_listed(contents.counts)} in a box of {contents.edge:.2f} Å "
            f"({contents.density.value:.4f} g/cm3); give a lower density or more solvent_molecules"
        )
    each = [species for species, count in contents.molecules for _ in range(count)]
    frames = Frames.uniform(
        np.concatenate([species.numbers for species in each]),
        1,
        positions=positions,
        cell=contents.edge * np.eye(3),
        charges=np.concatenate([species.charges for species in each]),
        molecules=np.repeat(np.arange(len(each)), [len(species.elements) for species in each]),
        system=system.id,
        temperature=system.temperature,
        permittivity=contents.permittivity.value,
    )
    return frames, {
        "system": system.model_dump(),
        "id": system.id,
        "species": contents.counts,
        "molality": contents.molality,
        "density_g_cm3": contents.density.value,
        "density_source": contents.density.source,
        "permittivity_source": contents.permittivity.source,
        "molecule_species": [species.name for species in each],
    }


def _listed(counts: dict[str, int]) -> str:
    """'24 H2O, 1 Na+, 1 Cl-'."""
    return ", ".join(f"{count} {name}" for name, count in counts.items())
