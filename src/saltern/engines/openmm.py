"""Candidate frames from classical molecular dynamics with OpenMM.

Flexible SPC/Fw water (Y. Wu, H. L. Tepper, G. A. Voth, J. Chem. Phys. 124, 024503 (2006)) and published ion
parameters for SPC-like water. The frames only have to be plausible and decorrelated: what is learnt from them are the
teacher's labels.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np

from saltern.config import Campaign, Problem, SampleConfig, SampleSpec
from saltern.engines.forcefield import NM, Vectors, build_system, context_of, known_atoms
from saltern.errors import SimulationError, UserError
from saltern.frames import Frames, whole_molecules
from saltern.progress import track
from saltern.systems import SPECIES, WATER, parse_salt
from saltern.units import KJ_PER_MOL


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
    context = context_of(build_system(start, species, config.cutoff_A), integrator, config.platform)
    context.setPositions(start["positions"] * NM)
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


def classical_forces(frames: Frames, cutoff_A: float = 9.0) -> Vectors | None:
    """Forces of the force field that candidates come from, (atom, 3) in eV/Å: what a student has to surpass.

    Args:
        frames: of any systems, with numbers, positions, cell, charges and molecules.
        cutoff_A: direct-space cutoff in Å; shortened to just below half of a smaller box.

    Returns:
        None where it has no answer: for a molecule without parameters or a box that is not orthorhombic.
    """
    import openmm
    from openmm import unit

    prepared: tuple[bytes, tuple[str, ...]] | None = None
    context: Any = None
    found = []
    for frame in (frames.select([index]) for index in range(len(frames))):
        species, cell = _species_of(frame), frame["cell"][0]
        if species is None or np.count_nonzero(cell - np.diag(np.diag(cell))):
            return None
        if prepared != (cell.tobytes(), species):  # frames of a system stand together
            prepared = (cell.tobytes(), species)
            context = context_of(build_system(frame, species, cutoff_A), openmm.VerletIntegrator(0.001), "auto")
        whole = whole_molecules(frame["positions"], frame["cell"][0], frame["molecules"])
        context.setPositions(whole * NM)
        forces = context.getState(forces=True).getForces(asNumpy=True)
        found.append(np.asarray(forces.value_in_unit(unit.kilojoule_per_mole / unit.angstrom)) * KJ_PER_MOL)
    return np.concatenate(found)


def _species_of(frame: Frames) -> tuple[str, ...] | None:
    """Name of every molecule's species by its elements and charge; None where the force field does not know one."""
    numbers, molecules = frame["numbers"], frame["molecules"]
    if (np.diff(molecules) < 0).any():
        return None
    starts = np.flatnonzero(np.diff(molecules, prepend=molecules[0] - 1))
    charges = np.rint(np.add.reduceat(frame["charges"], starts)).astype(int)
    known = {(tuple(s.numbers), s.charge): s.name for s in (WATER, *SPECIES.values()) if s.name in known_atoms()}
    parts = np.split(numbers, starts[1:])
    names = [known.get((tuple(part), charge)) for part, charge in zip(parts, charges.tolist(), strict=True)]
    return None if None in names else tuple(name for name in names if name is not None)


def problems(campaign: Campaign) -> list[Problem]:
    """Find systems to be sampled with OpenMM whose ions have no parameters."""
    sampled = {level.name for level in campaign.levels if level.sample.engine == "openmm"}
    found = []
    for index, entry in enumerate(campaign.systems):
        if not sampled & set(entry.levels or sampled):
            continue
        try:
            salt = parse_salt(entry.salt) if entry.salt else None
        except UserError:
            continue
        missing = [ion.name for ion in (salt.cation, salt.anion) if ion.name not in known_atoms()] if salt else []
        if missing:
            found.append(
                Problem(
                    f"systems.{index}.salt",
                    entry.salt,
                    f"for sample.engine openmm salts of {', '.join(known_atoms())}; there are no published parameters "
                    f"for {' and '.join(missing)}",
                )
            )
    return found
