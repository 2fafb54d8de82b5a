"""The driver: replicas of a system through equilibration and production, some steps at a time, beside others."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from saltern.config import SimulateConfig
from saltern.dynamics.guards import Guard, Limits
from saltern.dynamics.motion import Motion, State, generator_of, inertia, thermal_velocities
from saltern.dynamics.relax import relax
from saltern.dynamics.surface import Model, Point, SideBySide, Surface
from saltern.dynamics.thermostats import THERMOSTATS
from saltern.frames import Frames
from saltern.progress import say


@dataclass(frozen=True)
class Schedule:
    """What happens when, in time steps; times that are no whole number of steps are rounded to the nearest."""

    timestep: float
    equilibrate: int
    production: int
    save: int
    segment: int
    spread: int
    thermostat_in_production: bool

    @classmethod
    def of(cls, config: SimulateConfig) -> Schedule:
        """The schedule of a simulation. Equilibration has a thermostat whatever the ensemble of production is."""

        def steps(femtoseconds: float) -> int:
            return round(femtoseconds / config.timestep_fs)

        return cls(
            timestep=config.timestep_fs,
            equilibrate=steps(1000 * config.equilibrate_ps),
            production=steps(1000 * config.length_ps),
            save=max(1, steps(config.save_every_fs)),
            segment=max(1, steps(1000 * config.segment_ps)),
            spread=config.spread_every,
            thermostat_in_production=config.ensemble == "nvt",
        )

    @property
    def total(self) -> int:
        """All steps."""
        return self.equilibrate + self.production

    def time(self, step: int) -> float:
        """Time after so many steps in fs, from the start of production."""
        return (step - self.equilibrate) * self.timestep

    def saves(self, step: int) -> bool:
        """Whether a frame is saved after so many steps."""
        return step > self.equilibrate and (step - self.equilibrate) % self.save == 0

    def wants_spread(self, step: int) -> bool:
        """Whether the whole committee is asked after so many steps, counted so that saved frames are among them."""
        return (step - self.equilibrate) % self.spread == 0


class Run:
    """Replicas of one system side by side; one that a guard stops leaves the others alone.

    Args:
        potential: what drives the atoms.
        starts: one frame for each replica, its trajectory field naming it.
        config: settings.
        state: where the replicas are.
        step: steps done so far.
        stopped: why and when other replicas stopped, by name.

    Attributes:
        names: of the replicas that still move.
    """

    def __init__(
        self,
        potential: Model,
        starts: Frames,
        config: SimulateConfig,
        state: State,
        step: int = 0,
        stopped: Mapping[str, str] | None = None,
    ) -> None:
        self.schedule = Schedule.of(config)
        self.step = step
        self.stopped = dict(stopped or {})
        self._limits = Limits(config.min_distance_A, config.max_spread_eV_A)
        surface = Surface(potential, starts)
        thermostat = THERMOSTATS[config.thermostat]
        self.motion = Motion(
            surface, state, starts["temperature"], config.timestep_fs, config.thermostat_fs, thermostat
        )
        self.names = [str(name) for name in starts["trajectory"]]
        self._guard = self._new_guard()
        self._spread = np.nan

    @classmethod
    def begun(
        cls, potential: Model, starts: Frames, config: SimulateConfig, purpose: str, indices: Sequence[int]
    ) -> Run:
        """A run from its starting frames, relaxed, with velocities drawn from each replica's own generator.

        Args:
            potential: what drives the atoms.
            starts: one frame for each replica.
            config: settings.
            purpose: what tells these random numbers from others of the same seed.
            indices: number of each replica.
        """
        generators = [generator_of(config.seed, purpose, index) for index in indices]
        velocities = [
            thermal_velocities(inertia(frame["numbers"]), frame["temperature"][0], generator)
            for frame, generator in zip(starts, generators, strict=True)
        ]
        positions = relax(Surface(potential, starts), starts.stacked("positions").copy())
        count = len(starts)
        bath = np.zeros((count, 2, THERMOSTATS[config.thermostat].links))
        return cls(potential, starts, config, State(positions, np.stack(velocities), np.zeros(count), bath, generators))

    @property
    def finished(self) -> bool:
        """Whether nothing is left to do."""
        return self.step >= self.schedule.total or not self.names

    def advance(self, steps: Iterable[int]) -> Frames:
        """Move on alone; see `advance`."""
        return advance([self], steps)[0]

    def begin_step(self) -> None:
        """Move to where the next forces are wanted."""
        self.motion.begin_step(thermostat=self._thermostat)

    def end_step(self, point: Point) -> None:
        """Take the forces there, and stop replicas that a guard stops."""
        self.motion.end_step(point, thermostat=self._thermostat)
        self.step += 1
        self._drop(self._guard.broken(self.motion))

    @property
    def _thermostat(self) -> bool:
        """Whether the thermostat acts in the next step."""
        return self.schedule.thermostat_in_production or self.step < self.schedule.equilibrate

    def look(self) -> None:
        """Ask the whole committee where the replicas are now, and stop those that have to."""
        self.motion.evaluate(spread=True)
        self._drop(self._guard.broken(self.motion))

    def snapshot(self) -> Frames:
        """The replicas as they are, one frame each."""
        motion, starts = self.motion, self.motion.surface.starts
        kept = ("numbers", "charges", "molecules", "cell", "system", "trajectory", "temperature", "permittivity")
        return Frames(starts.offsets, {name: starts[name] for name in kept}).with_arrays(
            positions=motion.state.positions.reshape(-1, 3),
            velocities=motion.state.velocities.reshape(-1, 3),
            time=np.full(len(starts), self.schedule.time(self.step)),
            potential_energy=motion.point.energy,
            kinetic_energy=motion.kinetic_energy,
            conserved_energy=motion.conserved_energy,
            committee_spread=motion.point.spread,
            force_spread=motion.point.atom_spread.ravel().astype(np.float32),
        )

    def note(self) -> str:
        """Temperature, and the committee's last spread, for a line of progress."""
        if not self.names:
            return "all stopped"
        spread = self.motion.point.spread.max()
        self._spread = self._spread if np.isnan(spread) else spread
        shown = "" if np.isnan(self._spread) else f", spread {self._spread:.3f} eV/Å"
        return f"{self.motion.temperature.mean():.0f} K{shown}"

    def _drop(self, broken: Mapping[int, str]) -> None:
        """Stop some replicas, by row, each for its reason."""
        if not broken:
            return
        time = self.schedule.time(self.step) / 1000
        when = f"at {time:.4f} ps" if time > 0 else f"in equilibration, {abs(time):.4f} ps before production"
        for row, reason in broken.items():
            name = self.names[row]
            self.stopped[name] = f"{when}: {reason}"
            say(f"{self.motion.surface.starts['system'][0]} {name} stopped {self.stopped[name]}")
        rows = [row for row in range(len(self.names)) if row not in broken]
        self.names = [self.names[row] for row in rows]
        if rows:
            self.motion = self.motion.select(rows)
            self._guard = self._new_guard()

    def _new_guard(self) -> Guard:
        starts = self.motion.surface.starts
        return Guard(self._limits, starts.of(0, "numbers"), starts["cell"])


def advance(runs: Sequence[Run], steps: Iterable[int]) -> list[Frames]:
    """Move runs with the same schedule and potential on, side by side.

    Forces are evaluated anew first: what happens must not depend on whether it is the process that came here that
    goes on, or a later one that read the states from files.

    Args:
        runs: all at the same step.
        steps: as many as they move on; iterating over them shows progress.

    Returns:
        the frames that each of them saved.
    """
    saved = [[run.snapshot().select([])] for run in runs]
    moving = [run for run in runs if run.names]
    side_by_side = SideBySide([run.motion.surface for run in moving])
    for run, point in zip(moving, side_by_side([run.motion.state.positions for run in moving]), strict=True):
        run.motion.point = point
    for _ in steps:
        for run in moving:
            run.begin_step()
        spread = moving[0].schedule.wants_spread(moving[0].step + 1)
        points = side_by_side([run.motion.state.positions for run in moving], spread)
        for run, point in zip(moving, points, strict=True):
            run.end_step(point)
        for run, frames in zip(runs, saved, strict=True):
            if run in moving and run.names and run.schedule.saves(run.step):
                frames.append(run.snapshot())
        moving = [run for run in moving if run.names]
        if not moving:
            break
        surfaces = [run.motion.surface for run in moving]
        if surfaces != side_by_side.surfaces:
            side_by_side = SideBySide(surfaces)
    return [Frames.concatenate(frames) for frames in saved]
