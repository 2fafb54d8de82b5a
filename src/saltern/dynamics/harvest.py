"""Frames of a teacher that moves: positions of the ions, and the forces on them, whose average is the mean force."""

from __future__ import annotations

import platform
import time
from collections.abc import Iterator, Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np

from saltern.config import LabelSpec, LevelTeacher, OpenmmTeacher, SampleConfig
from saltern.dynamics.sample import frames_of
from saltern.dynamics.settled import judged, reached
from saltern.dynamics.surface import Model
from saltern.dynamics.teaching import StudentTeacher
from saltern.engines import ClassicalTeacher, MovingTeacher, Trajectory
from saltern.errors import SalternError, SimulationError, UserError
from saltern.fields import FIELDS
from saltern.frames import Array, Frames
from saltern.observables import effective, unordered
from saltern.progress import say, track
from saltern.store import Journal, frame_checksums, text_hash, write_frames
from saltern.systems import SOLVENTS


def harvest(
    starts: Frames,
    metadata: Mapping[str, Any],
    trajectories: range,
    spec: LabelSpec,
    output: Path,
    what: str,
    potential: Model | None = None,
) -> None:
    """Run some trajectories of a teacher and keep positions of the solute and the forces on it.

    The solvent is never written. Every trajectory is minimised, equilibrated for `sample.equilibrate_ps` and then read
    every `sample.every_ps`; `sample.frames` are divided over `sample.trajectories`, the first ones give one more. What
    is done is kept in a journal beside the output; the same call after a kill goes on from there, and makes the same
    file.

    Where the dynamics has to be stopped, the trajectory ends: the frames that it did not come to are quarantined, with
    the positions it was last seen at. So are all frames of a trajectory that is not `spec.label.settled`, which nobody
    expects of one that feels a bias where others do not.

    Args:
        starts: packed boxes of one system, one for each trajectory.
        metadata: what `compose` said about them.
        trajectories: which of them to run.
        spec: the teacher, the frames that are asked for and the largest force that is believed.
        output: the file to make: frames of the solute alone, with forces; energies are NaN, for a mean force has none.
        what: the task, for progress lines.
        potential: what another level has learned, where that is the teacher.

    Raises:
        UserError: for a species that the teacher does not know.
    """
    if spec.sample is None:
        raise SalternError("harvest: the teacher does not move")
    if not trajectories or trajectories[-1] >= len(starts):
        raise UserError(
            f"{what}: trajectories {trajectories.start}:{trajectories.stop} are not allowed; allowed: a part of "
            f"0:{len(starts)}"
        )
    bias = spec.teacher.bias if isinstance(spec.teacher, OpenmmTeacher) else None
    parts, settled = [], {}
    for number in trajectories:
        teacher = _teacher(spec, number, potential)
        one = _Harvest(teacher, starts.select([number]), metadata, number, spec, spec.sample)
        made = one.made(_journal(output, number), what)
        if teacher.biased:
            say(f"{what}: {made['trajectory'][0]}: {_counted(made)}")
        pushed = bias is not None and bias.share < 1 and teacher.biased
        frames, found = judged(made, () if pushed else spec.label.settled, what)
        parts.append(frames)
        settled[str(frames["trajectory"][0])] = found
    about = {"name": teacher.name, "version": teacher.version, "method": teacher.method}
    told = {} if potential is None else {"potentials": list(potential.hashes)}
    harvested = Frames.concatenate(parts)
    write_frames(output, harvested, {"spec": spec.model_dump(), "engine": about, "settled": settled, **told})
    for number in trajectories:
        Journal(_journal(output, number), "").discard()
    say(f"{what}: {len(harvested)} frames, {int(harvested['accepted'].sum())} accepted")


def _journal(output: Path, trajectory: int) -> Path:
    """Where the finished parts of a trajectory are."""
    return output.with_suffix(f".{trajectory}.journal")


def _teacher(spec: LabelSpec, trajectory: int, potential: Model | None) -> MovingTeacher:
    """The teacher that moves the trajectory of that number."""
    if isinstance(spec.teacher, OpenmmTeacher):
        return ClassicalTeacher(spec.teacher.of(trajectory))
    if isinstance(spec.teacher, LevelTeacher) and potential is not None:
        return StudentTeacher(spec.teacher, potential)
    raise SalternError("harvest: the teacher does not move, or is a level without potentials")


def _counted(frames: Frames) -> str:
    """What the frames of a biased teacher are worth in its liquid without the bias."""
    there = reached(frames)
    without = effective(unordered(there).counts) if len(there) else 0.0
    return f"{len(there)} frames of a biased teacher count as {without:.0f} without the bias"


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
        self.clock = time.process_time()
        # how many frames there are is no part of what a frame is
        question = (self.every, self.discarded, self.seed, teacher.name, teacher.version, teacher.method)
        settings = str(sorted(teacher.settings.items()))
        self.identity = text_hash(next(frame_checksums(start)), *map(str, question), settings)

    def made(self, place: Path, what: str) -> Frames:
        """All frames, from the journal as far as it goes."""
        journal = Journal(place, text_hash(self.identity, str(self.discarded + self.wanted)))
        done = journal.parts()
        if not (done and journal.metadata(done[-1]).get("stopped")):
            self._complete(journal, done, what)
        return Frames.concatenate([journal.read(part) for part in journal.parts()])

    def _complete(self, journal: Journal, done: Sequence[int], what: str) -> None:
        """Run to the end, or to where the dynamics has to be stopped."""
        total, length, part = self.discarded + self.wanted, self.teacher.segment, len(done)
        begun = min(length * part, total)
        counted = track(range(begun, total), what, total, "frame", begun)
        shots: list[Frames] = []
        try:
            trajectory = self._taken_up(journal, done)
            for part in range(len(done), -(-total // length)):
                shots.clear()
                for number in range(part * length, min((part + 1) * length, total)):
                    next(counted, None)
                    trajectory.advance(self.every)
                    if number >= self.discarded:
                        shots.append(self._shot(number - self.discarded, trajectory))
                state = trajectory.state()
                journal.write(part, self._joined(shots), state=state)
                # what follows must not depend on whether this process or a later one goes on
                trajectory = self.teacher.resumed(self.start, self.species, self.seed, state)
        except SimulationError as error:
            say(f"{what}: {self.start['trajectory'][0]} stopped {error}")
            earlier = Frames.concatenate([self._joined([]), *map(journal.read, journal.parts()), *shots])
            journal.write(part, self._joined([*shots, *self._missed(earlier)]), {"stopped": str(error)})
        next(counted, None)

    def _taken_up(self, journal: Journal, done: Sequence[int]) -> Trajectory:
        if done:
            return self.teacher.resumed(self.start, self.species, self.seed, journal.state(done[-1]))
        return self.teacher.begun(self.start, self.species, self.seed)

    def _shot(self, number: int, trajectory: Trajectory) -> Frames:
        """A trajectory as it is now."""
        positions, forces, bias = trajectory.point()
        return self._frame(number, positions[self.rows], forces[self.rows], bias, self._spent())

    def _missed(self, earlier: Frames) -> Iterator[Frames]:
        """The frames that a trajectory did not come to, behind those that it did."""
        seen = earlier if len(earlier) else self.kept
        unknown = np.full((len(self.rows), 3), np.nan)
        for number in range(len(earlier), self.wanted):
            frame = self._frame(number, seen.of(len(seen) - 1, "positions"), unknown, np.nan, 0.0)
            yield frame.with_arrays(reason=["teacher-stopped"])

    def _joined(self, shots: Sequence[Frames]) -> Frames:
        """Some frames, or none with the same quantities."""
        nowhere = np.zeros((len(self.rows), 3))
        return Frames.concatenate([self._frame(0, nowhere, nowhere, np.nan, 0.0).select([]), *shots])

    def _spent(self) -> float:
        """Processor time since this was last asked (s)."""
        before, self.clock = self.clock, time.process_time()
        return self.clock - before

    def _frame(self, number: int, positions: Array, forces: Array, bias: float | None, spent: float) -> Frames:
        """One frame with all that is known of it; it took so much processor time (s)."""
        teacher = self.teacher
        biased = {"bias_energy": [bias]} if teacher.biased else {}
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
            cpu_seconds=[spent],
            recall=[""],
            **biased,
        )
