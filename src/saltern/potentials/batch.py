"""Systems side by side, as tensors."""

from __future__ import annotations

import copy
from dataclasses import dataclass
from functools import cached_property

import torch
from torch import Tensor

from saltern.errors import SalternError
from saltern.frames import Frames


@dataclass(frozen=True, eq=False)
class Batch:
    """One or more periodic systems; the atoms of a system stand together.

    Attributes:
        positions: (atom, 3) in Å, wrapped or not.
        cells: (system, 3, 3) in Å, rows are the cell vectors.
        numbers: (atom,) atomic numbers.
        charges: (atom,) charges of the baseline in e; 0 for atoms that carry none.
        system_index: (atom,) the system of each atom, 0, 0, ..., 1, 1, ...
        permittivity: (system,) relative permittivity of the solvent.
    """

    positions: Tensor
    cells: Tensor
    numbers: Tensor
    charges: Tensor
    system_index: Tensor
    permittivity: Tensor

    @classmethod
    def of(cls, frames: Frames, device: str | torch.device = "cpu", dtype: torch.dtype = torch.float64) -> Batch:
        """Every frame as one system. Frames without charges carry none, and need no permittivity then.

        Raises:
            SalternError: when charged atoms come without a permittivity.
        """
        rows, count = int(frames.offsets[-1]), len(frames)
        charges = torch.tensor(frames["charges"]) if "charges" in frames else torch.zeros(rows)
        permittivity = torch.tensor(frames["permittivity"]) if "permittivity" in frames else torch.ones(count)
        if charges.any() and not ("permittivity" in frames and bool((permittivity > 0).all())):
            raise SalternError("frames with charges need the permittivity of their solvent")
        counts = torch.tensor(frames.atom_counts)
        return cls(
            positions=torch.tensor(frames["positions"], dtype=dtype, device=device),
            cells=torch.tensor(frames["cell"], dtype=dtype, device=device),
            numbers=torch.tensor(frames["numbers"], dtype=torch.int64, device=device),
            charges=charges.to(device, dtype),
            system_index=torch.repeat_interleave(torch.arange(count), counts).to(device),
            permittivity=permittivity.to(device, dtype),
        )

    def moved(self, positions: Tensor) -> Batch:
        """The same systems with their atoms elsewhere; what does not depend on positions is shared."""
        for name in ("ranges", "volumes", "charged"):
            getattr(self, name)  # found before copying, so that it is found once for a whole trajectory
        other = copy.copy(self)
        object.__setattr__(other, "positions", positions)
        return other

    @property
    def systems(self) -> int:
        """Number of systems."""
        return len(self.cells)

    @cached_property
    def ranges(self) -> tuple[tuple[int, int], ...]:
        """First atom and end of each system."""
        ends = torch.bincount(self.system_index, minlength=self.systems).cumsum(0).tolist()
        return tuple(zip([0, *ends[:-1]], ends, strict=True))

    @cached_property
    def volumes(self) -> Tensor:
        """(system,) in Å³."""
        volumes: Tensor = torch.linalg.det(self.cells.double()).abs()
        return volumes

    @cached_property
    def charged(self) -> tuple[tuple[Tensor, Tensor], ...]:
        """Groups of systems that differ in the positions of their ions alone, if they have any.

        Each group is the systems' indices (system,) and the charged atoms of each (system, ion).
        """
        charges, cells, permittivity = self.charges.cpu(), self.cells.cpu(), self.permittivity.cpu()
        groups: dict[bytes, list[tuple[int, Tensor]]] = {}
        for system, (start, end) in enumerate(self.ranges):
            ions = torch.nonzero(charges[start:end]).squeeze(1) + start
            if len(ions):
                same = torch.cat([cells[system].flatten(), permittivity[system, None], charges[ions]])
                groups.setdefault(same.numpy().tobytes(), []).append((system, ions))
        device = self.positions.device
        return tuple(
            (torch.tensor([s for s, _ in group]).to(device), torch.stack([ions for _, ions in group]).to(device))
            for group in groups.values()
        )
