"""Classical force fields as OpenMM systems: flexible SPC/Fw water for candidates, rigid SPC/E water for a teacher.

Ion parameters are for SPC-like water; each has its source in `classical_atoms.csv` or `classical_bonded.csv`.
"""

from __future__ import annotations

import csv
import math
import os
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from importlib import resources
from itertools import combinations
from typing import Any, NamedTuple

import numpy as np
from ase.data import atomic_masses
from numpy.typing import NDArray

from saltern.errors import UserError
from saltern.frames import Frames
from saltern.systems import SPECIES, WATER, Species

Vectors = NDArray[np.float64]
Atoms = Mapping[str, Mapping[str, tuple[float, float, float]]]
"""Charge (e), sigma (Å) and epsilon (kJ/mol) by species and element."""

NM = 0.1
"""nm per Å."""

_STRAIGHT = 170.0
"""Angles above this (degrees) get no harmonic term: its force is singular at 180."""

_SCALE_14 = 0.5
"""Share of the interaction of atoms three bonds apart, as in OPLS-AA, from which the only such ion (TFSI) descends."""

_MESH_PAYS = 400
"""From this many atoms on particle-mesh Ewald is faster than the plain Ewald sum (CPU, one thread)."""

_KCAL = 4.184
"""kJ per kcal."""


@dataclass(frozen=True)
class ForceField:
    """A water model with ions.

    `atoms` stands before what the packaged table says of a species. Rigid water has bonds of length `bond` and an H-H
    distance of `opposite` (Å); with None it is flexible.
    """

    atoms: Atoms
    bond: float | None = None
    opposite: float = 0.0


SPC_FW = ForceField({})
"""Flexible water: Y. Wu, H. L. Tepper, G. A. Voth, J. Chem. Phys. 124, 024503 (2006)."""

_SPC_E: Atoms = {"H2O": {"O": (-0.8476, 3.166, 0.650), "H": (0.4238, 1.0, 0.0)}}
"""H. J. C. Berendsen, J. R. Grigera, T. P. Straatsma, J. Phys. Chem. 91, 6269 (1987)."""

_H_H = 2 * math.sin(math.radians(109.47 / 2))
_ZHANG: Atoms = {"Na+": {"Na": (1.0, 2.583, 0.1 * _KCAL)}, "Cl-": {"Cl": (-1.0, 4.401, 0.1 * _KCAL)}}

TEACHERS = {
    "spce-joung-cheatham": ForceField(_SPC_E, bond=1.0, opposite=_H_H),
    "spce-zhang": ForceField({**_SPC_E, **_ZHANG}, bond=1.0, opposite=_H_H),
}
"""Rigid SPC/E water with the ions of I. S. Joung, T. E. Cheatham, J. Phys. Chem. B 112, 9020 (2008), or with the sodium
and chloride of T. Zhang et al., arXiv 2310.12535."""


class _Term(NamedTuple):
    """A bonded interaction of one molecule: `atoms` are indices within it."""

    kind: str
    atoms: tuple[int, ...]
    numbers: tuple[float, ...]


def build_system(
    frame: Frames, species: Sequence[str], cutoff_A: float, field: ForceField = SPC_FW, hydrogen_u: float | None = None
) -> Any:
    """An `openmm.System` of one frame: Ewald sum, Lorentz-Berthelot mixing, dispersion correction.

    Args:
        frame: one frame with numbers, positions and cell (orthorhombic).
        species: name of each molecule's species, in the order of the atoms.
        cutoff_A: direct-space cutoff (Å); shortened to 0.49 of the shortest edge of the box.
        field: the force field.
        hydrogen_u: mass of water's hydrogens (u), taken from its oxygen; by default their own. It allows longer steps
            and changes no average over configurations.

    Raises:
        UserError: for a species without parameters.
    """
    import openmm

    edges = np.diag(frame["cell"][0]) * NM
    system = openmm.System()
    system.setDefaultPeriodicBoxVectors(*(np.diag(edges)))
    forces = _Forces(len(frame["numbers"]), min(cutoff_A * NM, 0.49 * float(edges.min())), field)
    for name in species:
        first = system.getNumParticles()
        for mass in _masses(name, hydrogen_u):
            system.addParticle(mass)
        if name == WATER.name and field.bond is not None:
            for i, j, length in ((0, 1, field.bond), (0, 2, field.bond), (1, 2, field.opposite)):
                system.addConstraint(first + i, first + j, length * NM)
        forces.add(name)
    for force in forces.finished():
        system.addForce(force)
    return system


def _masses(name: str, hydrogen_u: float | None) -> list[float]:
    """Masses of a molecule's atoms (u)."""
    masses = [float(atomic_masses[number]) for number in _species(name).numbers]
    if name == WATER.name and hydrogen_u is not None:
        return [sum(masses) - 2 * hydrogen_u, hydrogen_u, hydrogen_u]
    return masses


class _Forces:
    """The force field's terms while molecules are added to it."""

    def __init__(self, atoms: int, cutoff_nm: float, field: ForceField) -> None:
        import openmm

        self.field = field

        self.bond = openmm.HarmonicBondForce()
        self.angle = openmm.HarmonicAngleForce()
        self.torsion = openmm.PeriodicTorsionForce()
        self.nonbonded = openmm.NonbondedForce()
        method = openmm.NonbondedForce.PME if atoms >= _MESH_PAYS else openmm.NonbondedForce.Ewald
        self.nonbonded.setNonbondedMethod(method)
        self.nonbonded.setCutoffDistance(cutoff_nm)
        self.nonbonded.setUseDispersionCorrection(True)
        self.pairs: list[tuple[int, int]] = []

    def add(self, name: str) -> None:
        """Add one molecule's terms."""
        first = self.nonbonded.getNumParticles()
        molecule = _species(name)
        for element in molecule.elements:
            charge, sigma, epsilon = self.field.atoms.get(name, known_atoms()[name])[element]
            self.nonbonded.addParticle(charge, sigma * NM, epsilon)
        self.pairs += [(first + i, first + j) for i, j in molecule.bonds]
        rigid = name == WATER.name and self.field.bond is not None
        for kind, atoms, numbers in () if rigid else _terms(name):
            shifted = [first + i for i in atoms]
            if kind == "bond":
                self.bond.addBond(*shifted, numbers[0] * NM, numbers[1] / NM**2)
            elif kind == "angle":
                self.angle.addAngle(*shifted, np.radians(numbers[0]), numbers[1])
            else:
                for order, v in enumerate(numbers, start=1):
                    if v:
                        # OPLS: V1 (1 + cos f) / 2 + V2 (1 - cos 2f) / 2 + V3 (1 + cos 3f) / 2
                        self.torsion.addTorsion(*shifted, order, np.pi if order == 2 else 0.0, v / 2)

    def finished(self) -> list[Any]:
        """The forces, with the interactions of atoms up to three bonds apart left out or scaled."""
        self.nonbonded.createExceptionsFromBonds(self.pairs, _SCALE_14, _SCALE_14)
        return [self.bond, self.angle, self.torsion, self.nonbonded]


def _species(name: str) -> Species:
    """A species that has parameters."""
    if name not in known_atoms():
        raise UserError(
            f"sample.engine: openmm has no published parameters for {name}; it has them for {', '.join(known_atoms())}"
        )
    return WATER if name == WATER.name else SPECIES[name]


@cache
def _terms(name: str) -> tuple[_Term, ...]:
    """Bonded terms of a molecule. Where a row gives no equilibrium value, that of the library's geometry is taken."""
    molecule = _species(name)
    rows = {(row["kind"], row["atoms"]): row for row in _table("classical_bonded.csv") if row["species"] == name}
    found = []
    for kind, atoms in _paths(molecule):
        words = [molecule.elements[i] for i in atoms]
        row = rows.get((kind, "-".join(words))) or rows.get((kind, "-".join(reversed(words))))
        if row is None:
            continue
        if kind in ("bond", "angle"):
            at = float(row["at"] or _measure(molecule.positions[list(atoms)]))
            if kind == "bond" or at < _STRAIGHT:
                found.append(_Term(kind, atoms, (at, float(row["k"]))))
        else:
            found.append(_Term(kind, atoms, tuple(float(row[v] or 0) for v in ("v1", "v2", "v3"))))
    return tuple(found)


def _paths(molecule: Species) -> Iterator[tuple[str, tuple[int, ...]]]:
    """Every bond, angle and torsion, and for a centre with three neighbours the torsions that keep it planar."""
    near: dict[int, list[int]] = {i: [] for i in range(len(molecule.elements))}
    for i, j in molecule.bonds:
        near[i].append(j)
        near[j].append(i)
        yield "bond", (i, j)
    for centre, others in near.items():
        yield from (("angle", (i, centre, j)) for i, j in combinations(others, 2))
        if len(others) == 3:
            yield from (("plane", (others[i], centre, others[i - 1], others[i - 2])) for i in range(3))
    for i, j in molecule.bonds:
        yield from (("torsion", (a, i, j, b)) for a in near[i] for b in near[j] if a != j and b not in (i, a))


def _measure(positions: Vectors) -> float:
    """Length of a bond (Å) or size of an angle (degrees)."""
    left = positions[0] - positions[1]
    if len(positions) == 2:
        return float(np.linalg.norm(left))
    right = positions[2] - positions[1]
    cosine = left @ right / np.linalg.norm(left) / np.linalg.norm(right)
    return float(np.degrees(np.arccos(np.clip(cosine, -1, 1))))


@cache
def known_atoms() -> dict[str, dict[str, tuple[float, float, float]]]:
    """Charge (e), sigma (Å) and epsilon (kJ/mol) by species and element."""
    found: dict[str, dict[str, tuple[float, float, float]]] = {}
    for row in _table("classical_atoms.csv"):
        numbers = (float(row["charge_e"]), float(row["sigma_A"]), float(row["epsilon_kJ_mol"]))
        found.setdefault(row["species"], {})[row["element"]] = numbers
    return found


@cache
def _table(file: str) -> tuple[dict[str, str], ...]:
    """Rows of a packaged table."""
    text = resources.files("saltern.engines").joinpath(file).read_text(encoding="utf-8")
    return tuple(csv.DictReader(text.splitlines()))


def context_of(system: Any, integrator: Any, name: str) -> Any:
    """A context on the platform asked for; `auto` takes the first that works here."""
    import openmm

    there = [openmm.Platform.getPlatform(i).getName() for i in range(openmm.Platform.getNumPlatforms())]
    wanted = ("CUDA", "OpenCL", "CPU", "Reference") if name == "auto" else (name,)
    for candidate in (n for n in wanted if n in there):
        platform = openmm.Platform.getPlatformByName(candidate)
        known = platform.getPropertyNames()
        settings = {"Threads": os.environ.get("OMP_NUM_THREADS", "1"), "DeterministicForces": "true"}
        try:
            return openmm.Context(system, integrator, platform, {k: v for k, v in settings.items() if k in known})
        except openmm.OpenMMException:
            # a GPU platform can be installed where there is no GPU
            continue
    raise UserError(f"platform: '{name}' cannot be used here; available: auto, {', '.join(there)}")
