"""A student that teaches the next level: its dynamics of the whole solution, as a teacher that moves."""

from __future__ import annotations

import io
import json
from collections.abc import Mapping, Sequence

import numpy as np
import torch

from saltern import __version__
from saltern.config import LevelTeacher, SimulateConfig
from saltern.dynamics.motion import State
from saltern.dynamics.run import Run
from saltern.dynamics.surface import Model, known_to
from saltern.engines import Point
from saltern.errors import SimulationError
from saltern.frames import Frames
from saltern.store import text_hash

LONG_PS = 1e9
"""Longer than any trajectory: when to stop, and which frames to keep, is not the driver's business here."""


class StudentTeacher:
    """The student of another level under the driver and the guards of a simulation; see `MovingTeacher`.

    Its version is a hash of the weights, and everything else in the committee's files.

    Args:
        teacher: time step, thermostat and limits.
        potential: what the other level has learned; the first member drives, all of them watch.
    """

    name = "saltern"
    biased = False
    segment = 5

    def __init__(self, teacher: LevelTeacher, potential: Model) -> None:
        self._potential = potential
        self.version = text_hash(*potential.hashes)[:12]
        self.build = f"Saltern {__version__}, torch {torch.__version__}"
        self.method = teacher.method
        self.settings: Mapping[str, object] = teacher.model_dump(exclude={"device"})
        self.timestep = teacher.timestep_fs
        self._config = SimulateConfig(
            length_ps=LONG_PS, save_every_fs=1000 * LONG_PS, equilibrate_ps=0,
            **teacher.model_dump(exclude={"engine", "level"}),
        )  # fmt: skip

    def begun(self, start: Frames, species: Sequence[str], seed: Sequence[int]) -> StudentTrajectory:  # noqa: ARG002
        """See `MovingTeacher`.

        Raises:
            UserError: for an element that the potential does not know, or a permittivity it was not trained with.
        """
        start = known_to(self._potential, start)
        config = self._config.model_copy(update={"seed": seed[0]})
        return StudentTrajectory(Run.begun(self._potential, start, config, f"teach {start['system'][0]}", [seed[1]]))

    def resumed(
        self,
        start: Frames,
        species: Sequence[str],  # noqa: ARG002
        seed: Sequence[int],  # noqa: ARG002
        state: bytes,
    ) -> StudentTrajectory:
        """See `MovingTeacher`."""
        kept = np.load(io.BytesIO(state))
        generator = np.random.default_rng()
        generator.bit_generator.state = json.loads(str(kept["generator"]))
        at = State(kept["positions"], kept["velocities"], kept["heat"], kept["bath"], [generator])
        return StudentTrajectory(Run(self._potential, start, self._config, at, int(kept["step"])))


class StudentTrajectory:
    """One trajectory; see `saltern.engines.Trajectory`."""

    def __init__(self, run: Run) -> None:
        self._run = run

    def advance(self, femtoseconds: float) -> None:
        """See `Trajectory`.

        Raises:
            SimulationError: where a guard stops it: atoms collide, or the committee disagrees.
        """
        self._run.advance(range(round(femtoseconds / self._run.schedule.timestep)))
        if self._run.names:
            self._run.look()
        if not self._run.names:
            raise SimulationError("; ".join(self._run.stopped.values()))

    def point(self) -> Point:
        """See `Trajectory`."""
        motion = self._run.motion
        return Point(motion.state.positions[0], motion.point.forces[0])

    def state(self) -> bytes:
        """See `Trajectory`."""
        state = self._run.motion.state
        file = io.BytesIO()
        np.savez(
            file, step=self._run.step, generator=json.dumps(state.generators[0].bit_generator.state),
            positions=state.positions, velocities=state.velocities, heat=state.heat, bath=state.bath,
        )  # fmt: skip
        return file.getvalue()
