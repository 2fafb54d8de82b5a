"""The potential as dynamics sees it: positions of replicas in, energies and forces out, in NumPy."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
import torch

from saltern.errors import UserError
from saltern.frames import Array, Frames
from saltern.potentials import Batch


class Model(Protocol):
    """What dynamics needs of a potential; `saltern.potentials.Potential` is one."""

    device: torch.device
    species: tuple[int, ...]
    members: int
    permittivities: dict[str, float]
    permittivity: float | None
    hashes: tuple[str, ...]

    def evaluate(self, batch: Batch, *, spread: bool = False) -> Any:
        """Energy (system,), forces (atom, 3) and, when asked for, spread (system,) and atom_spread (atom,)."""


@dataclass(frozen=True)
class Point:
    """Energies (replica,) in eV, forces (replica, atom, 3) and spreads in eV/Å.

    The spread is that of the forces over the committee: `atom_spread` (replica, atom), and `spread` (replica,) the
    largest of it; NaN where it was not asked for.
    """

    energy: Array
    forces: Array
    spread: Array
    atom_spread: Array

    def select(self, rows: Sequence[int] | Array) -> Point:
        """The same for some of the replicas."""
        return Point(self.energy[rows], self.forces[rows], self.spread[rows], self.atom_spread[rows])


class Surface:
    """The potential of one system in some copies of it.

    Args:
        potential: the committee; its first member gives energies and forces.
        starts: one frame for each replica, all of the same atoms.
    """

    def __init__(self, potential: Model, starts: Frames) -> None:
        self.potential = potential
        self.starts = starts
        self._batch = Batch.of(starts, potential.device)

    def select(self, rows: Sequence[int] | Array) -> Surface:
        """The same for some of the replicas."""
        return Surface(self.potential, self.starts.select(rows))

    def __call__(self, positions: Array, spread: bool = False) -> Point:
        """Evaluate at positions (replica, atom, 3) in Å; a lone network has no spread to be asked for."""
        return SideBySide([self])([positions], spread)[0]

    def batch_with(self, others: Sequence[Surface]) -> Batch:
        """The replicas of this system, and behind them those of others."""
        if not others:
            return self._batch
        starts = Frames.concatenate([self.starts, *(other.starts for other in others)])
        return Batch.of(starts, self.potential.device)


class SideBySide:
    """Some systems under one potential, evaluated in one batch.

    Args:
        surfaces: of each system.
    """

    def __init__(self, surfaces: Sequence[Surface]) -> None:
        self.surfaces = list(surfaces)
        self._potential = surfaces[0].potential
        self._batch = surfaces[0].batch_with(surfaces[1:])

    def __call__(self, positions: Sequence[Array], spread: bool = False) -> list[Point]:
        """Evaluate at positions (replica, atom, 3) in Å of every system."""
        together = np.concatenate([at.reshape(-1, 3) for at in positions])
        batch = self._batch.moved(torch.from_numpy(together).to(self._potential.device))
        result = self._potential.evaluate(batch, spread=spread and self._potential.members > 1)
        known = result.spread is not None
        columns = [_numpy(result.energy), _numpy(result.forces)]
        columns += [_numpy(result.spread), _numpy(result.atom_spread)] if known else []
        points, replica, atom = [], 0, 0
        for at in positions:
            replicas, atoms = at.shape[:2]
            rows, of_atoms = slice(replica, replica + replicas), slice(atom, atom + replicas * atoms)
            replica, atom = rows.stop, of_atoms.stop
            points.append(
                Point(
                    columns[0][rows],
                    columns[1][of_atoms].reshape(at.shape),
                    columns[2][rows] if known else np.full(replicas, np.nan),
                    columns[3][of_atoms].reshape(replicas, atoms) if known else np.full((replicas, atoms), np.nan),
                )
            )
        return points


def known_to(potential: Model, frames: Frames) -> Frames:
    """Frames of one system as the potential sees them, with its own permittivity if it has one.

    Raises:
        UserError: for an element that it was not trained on, or another permittivity than it was trained with.
    """
    from ase.data import chemical_symbols

    system = str(frames["system"][0])
    unknown = sorted(set(frames["numbers"].tolist()) - set(potential.species))
    if unknown:
        names, known = (", ".join(chemical_symbols[z] for z in zs) for zs in (unknown, potential.species))
        raise UserError(f"{system}: {names} is unknown to the potential, which was trained on {known}")
    if potential.permittivity is not None:
        return frames.with_arrays(permittivity=np.full(len(frames), potential.permittivity))
    trained = potential.permittivities.get(system)
    asked = float(frames["permittivity"][0])
    if trained is not None and abs(trained - asked) > 1e-6 * asked:
        raise UserError(f"{system}: permittivity is {asked:g}, but the potential was trained with {trained:g}")
    return frames


def _numpy(tensor: torch.Tensor) -> Array:
    """A tensor's values in double precision."""
    values: Array = tensor.detach().cpu().double().numpy()
    return values
