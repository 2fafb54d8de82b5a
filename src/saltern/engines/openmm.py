"""Candidate frames from classical molecular dynamics with OpenMM.

Flexible SPC/Fw water (Y. Wu, H. L. Tepper, G. A. Voth, J. Chem. Phys. 124, 024503 (2006)) and published ion
parameters for SPC-like water, each with its source in `classical_atoms.csv` and `classical_bonded.csv`. The frames
only have to be plausible and decorrelated: what is learnt from them are the teacher's labels.
"""

from __future__ import annotations

import csv
import os
from collections.abc import Iterator, Mapping, Sequence
from functools import cache
from importlib import resources
from itertools import combinations
from typing import Any, NamedTuple

import numpy as np
from ase.data import atomic_masses
from numpy.typing import NDArray

from saltern.config import Campaign, Problem, SampleConfig, SampleSpec
from saltern.errors import SimulationError, UserError
from saltern.frames import Frames
from saltern.progress import track
from saltern.systems import SPECIES, WATER, Species, parse_salt
from saltern.units import KJ_PER_MOL

Vectors = NDArray[np.float64]

_NM = 0.1
"""nm per Å."""

_STRAIGHT = 170.0
"""Angles above this (degrees) get no harmonic term: its force is singular at 180."""

_SCALE_14 = 0.5
"""Share of the interaction of atoms three bonds apart, as in OPLS-AA, from which the only such ion (TFSI) descends."""

_MESH_PAYS = 400
"""From this many atoms on particle-mesh Ewald is faster than the plain Ewald sum (CPU, one thread)."""


class Snapshot(NamedTuple):
    """One frame of a classical trajectory."""

    time: float
    """Since the end of equilibration (fs)."""
    positions: Vectors
    """(atom, 3) in Å, unwrapped, molecules whole."""
    potential_energy: float
    """eV."""
    kinetic_energy: float
    """eV."""


class _Term(NamedTuple):
    """A bonded interaction of one molecule: `atoms` are indices within it."""

    kind: str
    atoms: tuple[int, ...]
    numbers: tuple[float, ...]


def sample(starts: Sequence[Frames], metadata: Mapping[str, Any], spec: SampleSpec, seed: int) -> Frames:
    """Run one trajectory from each packed box and collect decorrelated frames.

    The frames are divided over the trajectories as evenly as possible, the first ones get one more. The same seed
    gives the same frames on the same platform.

    Args:
        starts: packed boxes of one system, one frame each (`saltern.systems.compose` with trajectory 0, 1, ...).
        metadata: what `compose` said about them.
        spec: frames, times, thermostat, platform.
        seed: of velocities and thermostat.

    Returns:
        Frames with numbers, positions (unwrapped, molecules whole; some of them `rattled`), cell, charges, molecules,
        system, trajectory ("t00", "t01", ...), time, temperature and permittivity.

    Raises:
        UserError: for an ion without parameters or a platform that is not there.
        SimulationError: when the dynamics is unstable.
    """
    config, species = spec.sample, metadata["molecule_species"]
    shares = [len(part) for part in np.array_split(np.arange(config.frames), len(starts)) if len(part)]
    runs = ((i, shot) for i, n in enumerate(shares) for shot in run(starts[i], species, config, n, (seed, i)))
    shots = list(track(runs, f"sample {metadata['id']}", total=config.frames))
    frames = [_frames(starts[i], i, [s for j, s in shots if j == i]) for i in range(len(shares))]
    return rattled(Frames.concatenate(frames), config.rattled_fraction, config.rattle_A, seed)


def rattled(frames: Frames, fraction: float, width: float, seed: int) -> Frames:
    """Displace every atom of a share of the frames, evenly spread over them, by normal random numbers.

    Args:
        frames: candidates.
        fraction: share of the frames, 0 to 1.
        width: standard deviation of each component in Å.
        seed: another seed, other displacements.
    """
    chosen = np.diff(np.floor(fraction * np.arange(len(frames) + 1) + 1e-9)) > 0
    noise = np.random.default_rng([seed, len(frames)]).normal(scale=width, size=frames["positions"].shape)
    moved = np.repeat(chosen, frames.atom_counts)[:, None] * noise
    return frames.with_arrays(positions=frames["positions"] + moved)


def _frames(start: Frames, trajectory: int, shots: Sequence[Snapshot]) -> Frames:
    """The frames of one trajectory."""
    kept = ("cell", "charges", "molecules", "system", "temperature", "permittivity")
    return Frames.uniform(
        start["numbers"],
        len(shots),
        positions=np.stack([shot.positions for shot in shots]),
        time=np.array([shot.time for shot in shots]),
        trajectory=f"t{trajectory:02d}",
        **{name: start.of(0, name) for name in kept},
    )


def run(
    start: Frames, species: Sequence[str], config: SampleConfig, frames: int, seed: tuple[int, int]
) -> Iterator[Snapshot]:
    """Minimise, equilibrate, then yield a snapshot every `every_ps`, `frames` in all.

    Args:
        start: one packed box.
        species: name of each molecule's species.
        config: times, thermostat, cutoff and platform.
        frames: number of snapshots.
        seed: seed and number of the trajectory.

    Raises:
        UserError, SimulationError: as `sample`.
    """
    import openmm
    from openmm import unit

    temperature = float(start["temperature"][0])
    first, second = (int(n) for n in np.random.SeedSequence(seed).generate_state(2) % (2**31 - 1) + 1)
    integrator = openmm.LangevinMiddleIntegrator(temperature, config.friction_per_ps, config.timestep_fs * 1e-3)
    integrator.setRandomNumberSeed(first)
    context = _context(build_system(start, species, config.cutoff_A), integrator, config.platform)
    context.setPositions(start["positions"] * _NM)
    every = max(1, round(config.every_ps * 1000 / config.timestep_fs))
    try:
        openmm.LocalEnergyMinimizer.minimize(context, 100.0, 500)
        context.setVelocitiesToTemperature(temperature, second)
        integrator.step(round(config.equilibrate_ps * 1000 / config.timestep_fs))
        for number in range(1, frames + 1):
            integrator.step(every)
            state = context.getState(positions=True, energy=True)
            yield Snapshot(
                number * every * config.timestep_fs,
                np.asarray(state.getPositions(asNumpy=True).value_in_unit(unit.angstrom)),
                state.getPotentialEnergy().value_in_unit(unit.kilojoule_per_mole) * KJ_PER_MOL,
                state.getKineticEnergy().value_in_unit(unit.kilojoule_per_mole) * KJ_PER_MOL,
            )
    except openmm.OpenMMException as error:
        raise SimulationError(
            f"{start['system'][0]}: classical sampling became unstable ({error}); try a timestep_fs below "
            f"{config.timestep_fs:g} or a lower density"
        ) from error


def build_system(frame: Frames, species: Sequence[str], cutoff_A: float) -> Any:
    """An `openmm.System` of one frame: Ewald sum, Lorentz-Berthelot mixing, dispersion correction.

    Args:
        frame: one frame with numbers, positions and cell (orthorhombic).
        species: name of each molecule's species, in the order of the atoms.
        cutoff_A: direct-space cutoff (Å); shortened to 0.49 of the shortest edge of the box.

    Raises:
        UserError: for a species without parameters.
    """
    import openmm

    edges = np.diag(frame["cell"][0]) * _NM
    system = openmm.System()
    system.setDefaultPeriodicBoxVectors(*(np.diag(edges)))
    for number in frame["numbers"]:
        system.addParticle(float(atomic_masses[number]))
    forces = _Forces(len(frame["numbers"]), min(cutoff_A * _NM, 0.49 * float(edges.min())))
    for name in species:
        forces.add(name)
    for force in forces.finished():
        system.addForce(force)
    return system


class _Forces:
    """The force field's terms while molecules are added to it."""

    def __init__(self, atoms: int, cutoff_nm: float) -> None:
        import openmm

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
            charge, sigma, epsilon = _atoms()[name][element]
            self.nonbonded.addParticle(charge, sigma * _NM, epsilon)
        self.pairs += [(first + i, first + j) for i, j in molecule.bonds]
        for kind, atoms, numbers in _terms(name):
            shifted = [first + i for i in atoms]
            if kind == "bond":
                self.bond.addBond(*shifted, numbers[0] * _NM, numbers[1] / _NM**2)
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
    if name not in _atoms():
        raise UserError(
            f"sample.engine: openmm has no published parameters for {name}; it has them for {', '.join(_atoms())}"
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
def _atoms() -> dict[str, dict[str, tuple[float, float, float]]]:
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


def _context(system: Any, integrator: Any, name: str) -> Any:
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
    raise UserError(f"sample.platform: '{name}' cannot be used here; available: auto, {', '.join(there)}")


def problems(campaign: Campaign) -> list[Problem]:
    """Find systems to be sampled with OpenMM whose ions have no parameters."""
    if all(level.sample.engine != "openmm" for level in campaign.levels):
        return []
    found = []
    for index, entry in enumerate(campaign.systems):
        try:
            salt = parse_salt(entry.salt) if entry.salt else None
        except UserError:
            continue
        missing = [ion.name for ion in (salt.cation, salt.anion) if ion.name not in _atoms()] if salt else []
        if missing:
            found.append(
                Problem(
                    f"systems.{index}.salt",
                    entry.salt,
                    f"for sample.engine openmm salts of {', '.join(_atoms())}; there are no published parameters for "
                    f"{' and '.join(missing)}",
                )
            )
    return found
