"""Frames of a teacher that moves: positions of the ions, and the forces on them, whose average is the mean force."""

from __future__ import annotations

import platform
import time
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np

from saltern.config import LabelSpec, OpenmmTeacher, SampleConfig
from saltern.dynamics.sample import frames_of
from saltern.engines import ClassicalTeacher, MovingTeacher, Trajectory
from saltern.errors import SalternError, UserError
from saltern.fields import FIELDS
from saltern.frames import Array, Frames
from saltern.progress import say, track
from saltern.store import Journal, frame_checksums, text_hash, write_frames
from saltern.systems import SOLVENTS

SEGMENT = 50
"""Frames between two states that are kept. From each the trajectory goes on as a new process would, killed or not."""


def harvest(
    starts: Frames, metadata: Mapping[str, Any], trajectories: range, spec: LabelSpec, output: Path, what: str
) -> None:
    """Run some trajectories of a teacher and keep positions of the solute and the forces on it.

    The solvent is never written. Every trajectory is minimised, equilibrated for `sample.equilibrate_ps` and then read
    every `sample.every_ps`; `sample.frames` are divided over `sample.trajectories`, the first ones give one more. What
    is done is kept in a journal beside the output; the same call after a kill goes on from there, and makes the same
    file.

    Args:
        starts: packed boxes of one system, one for each trajectory.
        metadata: what `compose` said about them.
        trajectories: which of them to run.
        spec: the teacher, the frames that are asked for and the largest force that is believed.
        output: the file to make: frames of the solute alone, with forces; energies are NaN, for a mean force has none.
        what: the task, for progress lines.

    Raises:
        UserError: for a species that the teacher does not know.
        SimulationError: when the dynamics is unstable.
    """
    if not isinstance(spec.teacher, OpenmmTeacher) or spec.sample is None:
        raise SalternError("harvest: the teacher does not move")
    if not trajectories or trajectories[-1] >= len(starts):
        raise UserError(
            f"{what}: trajectories {trajectories.start}:{trajectories.stop} are not allowed; allowed: a part of "
            f"0:{len(starts)}"
        )
    teacher = ClassicalTeacher(spec.teacher)
    parts = [
        _Harvest(teacher, starts.select([number]), metadata, number, spec, spec.sample).made(
            output.with_suffix(f".{number}.journal"), what
        )
        for number in trajectories
    ]
    about = {"name": teacher.name, "version": teacher.version, "method": teacher.method}
    write_frames(output, Frames.concatenate(parts), {"spec": spec.model_dump(), "engine": about})
    for number in trajectories:
        Journal(output.with_suffix(f".{number}.journal"), "").discard()
    say(f"{what}: {sum(map(len, parts))} frames")


def solute(boxes: Frames, metadata: Mapping[str, Any]) -> Frames:
    """Packed boxes of one system without their solvent; molecules are numbered anew.

    Args:
        boxes: frames with `molecules`, all of the same atoms.
        metadata: what `compose` said about them.
    """
    rows = _rows(boxes, metadata)
    kept = {name: array[rows] if FIELDS[name].per == "atom" else array for name, array in boxes.arrays.items()}
    kept["molecules"] = np.unique(kept["molecules"], return_inverse=True)[1]
    return Frames(np.arange(len(boxes) + 1) * (len(rows) // len(boxes)), kept)


def _rows(boxes: Frames, metadata: Mapping[str, Any]) -> Array:
    """Numbers of the atoms that are no solvent."""
    solvent = SOLVENTS[metadata["system"]["solvent"]].species.name
    return np.flatnonzero(np.array(metadata["molecule_species"])[boxes["molecules"]] != solvent)


class _Harvest:
    """One trajectory."""

    def __init__(
        self,
        teacher: MovingTeacher,
        start: Frames,
        metadata: Mapping[str, Any],
        number: int,
        spec: LabelSpec,
        sample: SampleConfig,
    ) -> None:
        self.teacher, self.start, self.limit = teacher, start, spec.label.max_force_eV_A
        self.species: Sequence[str] = metadata["molecule_species"]
        self.seed = (int(metadata["system"]["seed"]), number)
        self.rows, self.kept = _rows(start, metadata), solute(start, metadata)
        self.every = teacher.timestep * max(1, round(1000 * sample.every_ps / teacher.timestep))
        self.discarded = round(1000 * sample.equilibrate_ps / self.every)
        self.wanted = frames_of(sample, number)
        # how many frames there are is no part of what a frame is
        question = (self.every, self.discarded, self.seed, teacher.name, teacher.version, teacher.method)
        settings = str(sorted(teacher.settings.items()))
        self.identity = text_hash(next(frame_checksums(start)), *map(str, question), settings)

    def made(self, place: Path, what: str) -> Frames:
        """All frames, from the journal as far as it goes."""
        total = self.discarded + self.wanted
        journal = Journal(place, text_hash(self.identity, str(total)))
        done = journal.parts()
        trajectory = self._taken_up(journal, done)
        begun = min(SEGMENT * len(done), total)
        counted = track(range(begun, total), what, total, "frame", begun)
        for part in range(len(done), -(-total // SEGMENT)):
            saved = self._segment(trajectory, part * SEGMENT, min((part + 1) * SEGMENT, total), counted)
            state = trajectory.state()
            journal.write(part, saved, state=state)
            # what follows must not depend on whether this process or a later one goes on
            trajectory = self.teacher.resumed(self.start, self.species, self.seed, state)
        next(counted, None)
        return Frames.concatenate([journal.read(part) for part in journal.parts()])

    def _taken_up(self, journal: Journal, done: Sequence[int]) -> Trajectory:
        if done:
            return self.teacher.resumed(self.start, self.species, self.seed, journal.state(done[-1]))
        return self.teacher.begun(self.start, self.species, self.seed)

    def _segment(self, trajectory: Trajectory, first: int, last: int, counted: Any) -> Frames:
        """Frames `first` to `last`, those of equilibration left out."""
        shots, begun = [], time.process_time()
        for number in range(first, last):
            next(counted, None)
            trajectory.advance(self.every)
            if number >= self.discarded:
                positions, forces = trajectory.point()
                shots.append((number - self.discarded, positions[self.rows], forces[self.rows]))
        cost = (time.process_time() - begun) / (last - first)
        nowhere = np.zeros((len(self.rows), 3))
        nothing = self._frame(0, nowhere, nowhere, 0.0).select([])
        return Frames.concatenate([nothing, *(self._frame(*shot, cost) for shot in shots)])

    def _frame(self, number: int, positions: Array, forces: Array, cost: float) -> Frames:
        """One frame with all that is known of it."""
        teacher = self.teacher
        accepted = bool(np.isfinite(forces).all() and np.linalg.norm(forces, axis=1).max(initial=0) <= self.limit)
        return self.kept.with_arrays(
            positions=positions,
            forces=forces,
            energy=[np.nan],
            time=[(number + 1) * self.every],
            accepted=[accepted],
            reason=["" if accepted else "force-too-large"],
            label_key=[text_hash(self.identity, str(number))],
            engine=[teacher.name],
            engine_version=[teacher.version],
            engine_build=[teacher.build],
            method=[teacher.method],
            host=[platform.node()],
            date=[datetime.now(UTC).date().isoformat()],
            cpu_seconds=[cost],
            recall=[""],
        )
