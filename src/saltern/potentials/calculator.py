"""A trained potential for the Atomic Simulation Environment: one line in anybody's script."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import ClassVar

import numpy as np
import torch
from ase import Atoms
from ase.calculators.calculator import Calculator, all_changes
from ase.stress import full_3x3_to_voigt_6_stress

from saltern.errors import UserError
from saltern.frames import Array, Frames
from saltern.potentials.batch import Batch
from saltern.potentials.potential import Potential

Source = str | Path | Sequence[str | Path] | Potential


class SalternCalculator(Calculator):  # type: ignore[misc]
    """Energy, forces and stress of a network with its baseline and core.

    Of a committee the first member gives them, and `results["committee_spread"]` is the largest standard deviation of
    a force over all members (eV/Å); a lone network costs least.

    Args:
        potential: a `.safetensors` file, a list of them (a committee), or a `Potential`.
        charges: what elements carry in the baseline (e), by symbol. By default what they carried in training. Initial
            charges of the atoms, where any is set, come before both: an element of a polyatomic ion that is also in
            the solvent has no charge of its own.
        permittivity: relative permittivity of the solvent; by default that of the training, if there was only one.
        device: auto, cpu or cuda.

    Raises:
        UserError: when a file is not a potential or, at the first energy, when a charge or the permittivity is not
            known, an element is unknown, or the atoms are not periodic in all three directions.
    """

    implemented_properties: ClassVar[list[str]] = ["energy", "free_energy", "forces", "stress", "committee_spread"]

    def __init__(
        self,
        potential: Source,
        *,
        charges: Mapping[str, float] | None = None,
        permittivity: float | None = None,
        device: str = "auto",
    ) -> None:
        super().__init__()
        if not isinstance(potential, Potential):
            paths = [potential] if isinstance(potential, str | Path) else potential
            potential = Potential.load([Path(path) for path in paths], device)
        if permittivity is not None and not permittivity > 0:
            raise UserError(f"permittivity: {permittivity:g} is not allowed; allowed: above 0")
        self.potential = potential
        self._charges, self._permittivity = charges, permittivity
        self._batch: Batch | None = None

    def calculate(
        self,
        atoms: Atoms | None = None,
        properties: Sequence[str] = ("energy",),
        system_changes: Sequence[str] = all_changes,
    ) -> None:
        """Find everything at once; ASE calls this when the atoms have changed."""
        super().calculate(atoms, properties, system_changes)
        if self._batch is None or set(system_changes) - {"positions"}:
            self._batch = self._batch_of(self.atoms)
        else:
            self._batch = self._batch.moved(torch.from_numpy(self.atoms.positions.copy()).to(self.potential.device))
        found = self.potential.evaluate(self._batch, stress=True, spread=self.potential.members > 1)
        assert found.stress is not None
        energy = float(found.energy)
        self.results = {
            "energy": energy,
            "free_energy": energy,
            "forces": found.forces.cpu().numpy(),
            "stress": full_3x3_to_voigt_6_stress(found.stress[0].cpu().numpy()),
        }
        if found.spread is not None:
            self.results["committee_spread"] = float(found.spread)

    def _batch_of(self, atoms: Atoms) -> Batch:
        if not atoms.pbc.all() or atoms.cell.rank < 3:
            raise UserError("atoms: not periodic in all three directions, which the potential needs; set cell and pbc")
        charges = self._charges_of(atoms)
        if abs(charges.sum()) > 1e-6:
            raise UserError(f"charges: they add up to {charges.sum():g} e; allowed: 0, as in every periodic box")
        frames = Frames.uniform(
            atoms.numbers, 1, positions=atoms.positions, cell=atoms.cell.array, charges=charges,
            permittivity=self._permittivity_of(charges),
        )  # fmt: skip
        return Batch.of(frames, self.potential.device)

    def _charges_of(self, atoms: Atoms) -> Array:
        """Charges of the atoms in the baseline, (atom,), e."""
        own: Array = atoms.get_initial_charges()
        if own.any():
            return own
        symbols = atoms.get_chemical_symbols()
        # where charges are given and the file says nothing, what is not given is the solvent
        trained = self.potential.charges
        silent = dict.fromkeys(symbols, None if self._charges is None else 0.0)
        known = {**(silent if trained is None else trained), **(self._charges or {})}
        unknown = sorted({symbol for symbol in symbols if symbol in known and known[symbol] is None})
        if unknown:
            reason = "the file does not say" if trained is None else "they differ from atom to atom"
            raise UserError(
                f"charges: those of {', '.join(unknown)} in the baseline are not known ({reason}); "
                "give charges={...} by element, or set initial charges of the atoms"
            )
        return np.array([known.get(symbol) or 0.0 for symbol in symbols])

    def _permittivity_of(self, charges: Array) -> float:
        """Permittivity of the solvent; it matters only where there are charges."""
        if self._permittivity is not None or not charges.any():
            return self._permittivity or 1.0
        trained = sorted(set(self.potential.permittivities.values()))
        if len(trained) == 1:
            return trained[0]
        found = ", ".join(f"{value:g}" for value in trained) or "none that it tells"
        raise UserError(f"permittivity: not given, and the potential was trained with {found}; give permittivity=...")
