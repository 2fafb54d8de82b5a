"""A teacher that moves: dynamics of the whole solution, whose forces on the ions average to the mean force."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple, Protocol

import numpy as np

from saltern.config import BiasConfig, OpenmmTeacher
from saltern.engines.forcefield import NM, TEACHERS, Vectors, build_system, context_of
from saltern.errors import SimulationError
from saltern.frames import Frames
from saltern.units import BOLTZMANN, KJ_PER_MOL

_BIAS = 1
"""Force group of what the ions feel and labels do not have."""


class Point(NamedTuple):
    """Where a trajectory is.

    Attributes:
        positions: (atom, 3), unwrapped, Å.
        forces: (atom, 3), without a bias, eV/Å.
        bias: energy of the bias in eV; None where there is none.
    """

    positions: Vectors
    forces: Vectors
    bias: float | None = None


class Trajectory(Protocol):
    """Molecular dynamics of one box, which can be taken up again from a few bytes."""

    def advance(self, femtoseconds: float) -> None:
        """Move on, by a whole number of time steps.

        Raises:
            SimulationError: when the dynamics is unstable.
        """

    def point(self) -> Point:
        """Positions of all atoms and forces on them."""

    def state(self) -> bytes:
        """Everything that the rest of the trajectory depends on."""


class MovingTeacher(Protocol):
    """A teacher whose labels come with the frames. Equal name, version and settings mean equal labels."""

    name: str
    version: str
    build: str
    method: str
    settings: Mapping[str, object]
    timestep: float
    """fs."""
    biased: bool
    """Whether its points have a bias."""
    segment: int
    """Frames between two states that are kept. From each a trajectory goes on as a new process would, killed or not."""

    def begun(self, start: Frames, species: Sequence[str], seed: Sequence[int]) -> Trajectory:
        """A trajectory from a packed box: minimised, with thermal velocities.

        Args:
            start: one frame.
            species: name of each molecule's species.
            seed: everything random is drawn from it.

        Raises:
            UserError: for a species without parameters, or a platform that is not there.
        """

    def resumed(self, start: Frames, species: Sequence[str], seed: Sequence[int], state: bytes) -> Trajectory:
        """The trajectory of the same start as it was when it gave its `state`."""


class ClassicalTeacher:
    """Rigid SPC/E water and ions in OpenMM, Langevin dynamics with heavy hydrogens; see `MovingTeacher`."""

    name = "openmm"
    segment = 50

    def __init__(self, teacher: OpenmmTeacher) -> None:
        import openmm

        self._teacher = teacher
        self.version: str = openmm.version.short_version
        self.build = f"OpenMM {openmm.version.full_version}"
        self.method: str = teacher.method
        # neither where it runs nor what other trajectories feel is part of what a frame is
        self.settings: Mapping[str, object] = teacher.model_dump(
            exclude={"platform": True, "bias": {"share"}}, exclude_none=True
        )
        self.timestep = teacher.timestep_fs
        self.biased = teacher.bias is not None

    def begun(self, start: Frames, species: Sequence[str], seed: Sequence[int]) -> Trajectory:
        """See `MovingTeacher`."""
        import openmm

        context, velocities = self._context(start, species, seed)
        context.setPositions(start["positions"] * NM)
        context.applyConstraints(1e-8)
        openmm.LocalEnergyMinimizer.minimize(context, 100.0, 500)
        context.setVelocitiesToTemperature(float(start["temperature"][0]), velocities)
        return _Classical(context, self._teacher, str(start["system"][0]))

    def resumed(self, start: Frames, species: Sequence[str], seed: Sequence[int], state: bytes) -> Trajectory:
        """See `MovingTeacher`."""
        context, _ = self._context(start, species, seed)
        context.loadCheckpoint(state)
        return _Classical(context, self._teacher, str(start["system"][0]))

    def _context(self, start: Frames, species: Sequence[str], seed: Sequence[int]) -> tuple[Any, int]:
        """A context, and the seed of its velocities."""
        import openmm

        teacher, temperature = self._teacher, float(start["temperature"][0])
        first, second = (int(n) for n in np.random.SeedSequence(seed).generate_state(2) % (2**31 - 1) + 1)
        integrator = openmm.LangevinMiddleIntegrator(temperature, teacher.friction_per_ps, teacher.timestep_fs * 1e-3)
        integrator.setRandomNumberSeed(first)
        integrator.setConstraintTolerance(1e-6)
        field = TEACHERS[teacher.method]
        system = build_system(start, species, teacher.cutoff_A, field, teacher.hydrogen_u)
        if teacher.bias is not None:
            nonbonded = next(force for force in system.getForces() if isinstance(force, openmm.NonbondedForce))
            system.addForce(_bias(start, teacher.bias, nonbonded))
        return context_of(system, integrator, teacher.platform), second


class _Classical:
    """A trajectory in OpenMM."""

    def __init__(self, context: Any, teacher: OpenmmTeacher, system: str) -> None:
        self._context, self._teacher, self._system = context, teacher, system

    def advance(self, femtoseconds: float) -> None:
        """See `Trajectory`."""
        import openmm

        try:
            self._context.getIntegrator().step(round(femtoseconds / self._teacher.timestep_fs))
        except openmm.OpenMMException as error:
            raise SimulationError(
                f"{self._system}: the teacher's dynamics became unstable ({error}); try a teacher.timestep_fs below "
                f"{self._teacher.timestep_fs:g}"
            ) from error

    def point(self) -> Point:
        """See `Trajectory`."""
        from openmm import unit

        state = self._context.getState(positions=True, forces=True, groups=~(1 << _BIAS))
        positions = state.getPositions(asNumpy=True).value_in_unit(unit.angstrom)
        forces = state.getForces(asNumpy=True).value_in_unit(unit.kilojoule_per_mole / unit.angstrom)
        return Point(np.asarray(positions), np.asarray(forces) * KJ_PER_MOL, self._bias_energy())

    def state(self) -> bytes:
        """See `Trajectory`."""
        return bytes(self._context.createCheckpoint())

    def _bias_energy(self) -> float | None:
        """In eV."""
        from openmm import unit

        if self._teacher.bias is None:
            return None
        energy = self._context.getState(energy=True, groups=1 << _BIAS).getPotentialEnergy()
        return float(energy.value_in_unit(unit.kilojoule_per_mole)) * KJ_PER_MOL


def _bias(start: Frames, bias: BiasConfig, nonbonded: Any) -> Any:
    """An OpenMM force: a well between each cation and each anion, between the atoms that carry their charge.

    Args:
        start: one frame.
        bias: the well's shape.
        nonbonded: the force whose cutoff and exclusions it must share.
    """
    import openmm

    force = openmm.CustomNonbondedForce("-depth * exp(-(r - middle)^2 / (2 * width^2))")
    force.addGlobalParameter("depth", bias.depth_kT * BOLTZMANN * float(start["temperature"][0]) / KJ_PER_MOL)
    force.addGlobalParameter("middle", bias.distance_A * NM)
    force.addGlobalParameter("width", bias.width_A * NM)
    for _ in start["numbers"]:
        force.addParticle([])
    for number in range(nonbonded.getNumExceptions()):
        force.addExclusion(*nonbonded.getExceptionParameters(number)[:2])
    force.addInteractionGroup(*(np.flatnonzero(sign * start["charges"] > 0).tolist() for sign in (1, -1)))
    force.setNonbondedMethod(openmm.CustomNonbondedForce.CutoffPeriodic)
    force.setCutoffDistance(nonbonded.getCutoffDistance())
    force.setForceGroup(_BIAS)
    return force
