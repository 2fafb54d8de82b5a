"""Simulations that a kill cannot hurt: segments in a journal, then one file."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from hashlib import sha256
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np

from saltern.config import SimulateConfig, SimulateSpec
from saltern.dynamics.motion import State
from saltern.dynamics.run import Run, advance
from saltern.dynamics.surface import Model, known_to
from saltern.errors import SimulationError, UserError
from saltern.frames import Frames
from saltern.progress import track
from saltern.store import Journal, size_of, text_hash, write_trajectories

PART_BYTES = 32 * 2**20
"""Frames in memory between two parts of the journal; where a segment saves more, it is cut into several."""


@dataclass(frozen=True)
class Simulation:
    """One system at one temperature: what is simulated, and where the trajectories go.

    Attributes:
        system: frames to start from. Replica n starts from the last frame of trajectory n, taken modulo their number,
            so that replicas start from independent frames as long as there are any.
        metadata: what is known about the system; goes into the file.
        output: the file to make, trajectories one after the other.
        temperature: in K; by default that of the frames. Cell and permittivity stay those of the frames, since the
            potential was trained with them.
        journal: directory where what is done is kept until the file is made; by default beside it.
    """

    system: Frames
    metadata: Mapping[str, Any]
    output: Path
    temperature: float | None = None
    journal: Path | None = None

    @property
    def name(self) -> str:
        """What tells it from others."""
        system = str(self.system["system"][0])
        return system if self.temperature is None else f"{system} at {self.temperature:g} K"

    def starts(self, replicas: Sequence[int]) -> Frames:
        """One frame for each replica, its trajectory field naming the replica."""
        starts = starting_frames(self.system, replicas)
        if self.temperature is None:
            return starts
        return starts.with_arrays(temperature=np.full(len(starts), self.temperature))


def simulate(simulations: Sequence[Simulation], potential: Model, spec: SimulateSpec, replicas: Sequence[int]) -> None:
    """Run some replicas of one or several systems side by side and write their trajectories.

    Every replica is relaxed, equilibrated with a thermostat and then followed; positions are unwrapped and times
    count from the end of equilibration. Replicas are named r0000, r0001, ...; what one does depends on
    the seed, the system, the temperature and its number, but for the rounding of sums, which what moves beside it has
    a part in. What is done is kept in a journal after every segment; the same call again goes on from there and makes
    the same files. Memory holds the frames of one part of the journals, however long the simulation is.

    A replica in which two atoms collide, whose forces are not finite or about which the committee disagrees stops
    there. The others go on, the file holds what came before, and its metadata say why and when under `stopped`, a
    mapping from every replica's name to a reason or null: a campaign should report such a potential rather than
    die of it.

    Args:
        simulations: systems at temperatures.
        potential: what drives the atoms.
        spec: settings.
        replicas: numbers of the replicas of each system.

    Raises:
        UserError: when the potential does not know an element, was trained with another permittivity, or frames
            are further apart than the simulation is long.
        SimulationError: when every replica of a system stopped before its first frame; other systems' files are made.
    """
    _check_length(spec.simulate)
    parties = [_Party(simulation, potential, spec, replicas) for simulation in simulations]
    _level(parties)
    _complete(parties)
    lost = [line for party in parties for line in party.written()]
    if lost:
        raise SimulationError("; ".join(lost))
    for party in parties:
        party.journal.discard()


def starting_frames(system: Frames, replicas: Sequence[int]) -> Frames:
    """One frame for each replica, its trajectory field naming the replica; see `Simulation`."""
    trajectories = system["trajectory"] if "trajectory" in system else np.zeros(len(system))
    last = {trajectory: index for index, trajectory in enumerate(trajectories.tolist())}
    chosen = list(last.values())
    names = np.array([f"r{replica:04d}" for replica in replicas])
    return system.select([chosen[replica % len(chosen)] for replica in replicas]).with_arrays(trajectory=names)


def _check_length(config: SimulateConfig) -> None:
    """Refuse a simulation without a single frame."""
    asked, length = config.save_every_fs, 1000 * config.length_ps
    if asked > length:
        raise UserError(f"simulate.save_every_fs: {asked:g} is not allowed; allowed: at most length_ps, {length:g} fs")


class _Party:
    """Replicas of one system at one temperature with their journal."""

    def __init__(self, simulation: Simulation, potential: Model, spec: SimulateSpec, replicas: Sequence[int]) -> None:
        self.simulation, self.potential, self.spec, self.replicas = simulation, potential, spec, replicas
        self.starts = known_to(potential, simulation.starts(replicas))
        identity = text_hash(spec.model_dump_json(), _content(self.starts), *potential.hashes)
        self.journal = Journal(simulation.journal or simulation.output.with_suffix(".journal"), identity)

    @property
    def steps(self) -> list[int]:
        """Step at the end of each part of the journal."""
        return [int(self.journal.metadata(part)["step"]) for part in self.journal.parts()]

    @property
    def finished(self) -> bool:
        """Whether nothing is left to be simulated."""
        return bool(self.journal.parts()) and bool(self.last["finished"])

    @property
    def last(self) -> dict[str, Any]:
        """What the journal's last part says."""
        return self.journal.metadata(self.journal.parts()[-1])

    def run(self) -> Run:
        """The run as the journal's last part left it, or from its beginning."""
        config = self.spec.simulate
        if not self.journal.parts():
            return Run.begun(self.potential, self.starts, config, f"simulate {self.simulation.name}", self.replicas)
        about = self.last
        part = self.journal.read(self.journal.parts()[-1])
        here = part.select(range(sum(about["saved"].values()), len(part)))
        generators = [np.random.default_rng() for _ in about["generators"]]
        for generator, state in zip(generators, about["generators"], strict=True):
            generator.bit_generator.state = state
        heat, bath = np.array(about["heat"]), np.array(about["bath"])
        at = State(here.stacked("positions"), here.stacked("velocities"), heat, bath, generators)
        moving = self.starts.select(np.isin(self.starts["trajectory"], about["names"]))
        return Run(self.potential, moving, config, at, about["step"], about["stopped"])

    def keep(self, run: Run, saved: Frames) -> None:
        """Write a part of the journal."""
        state = run.motion.state
        about = {
            "finished": run.finished,
            "step": run.step,
            "saved": dict(Counter(saved["trajectory"].tolist())),
            "names": run.names,
            "stopped": run.stopped,
            "heat": state.heat.tolist(),
            "bath": state.bath.tolist(),
            "generators": [generator.bit_generator.state for generator in state.generators],
        }
        # behind the frames that were saved stands the state that the next segment begins from
        self.journal.write(len(self.journal.parts()), Frames.concatenate([saved, run.snapshot()]), about)

    def written(self) -> list[str]:
        """Make the file; returns why replicas stopped where there is nothing to be written."""
        reasons, counts = self.last["stopped"], self._saved()
        if not counts:
            return [f"{self.simulation.name} {replica} stopped {why}" for replica, why in reasons.items()]
        about = {
            **self.simulation.metadata,
            "simulate": self.spec.model_dump(),
            "potentials": list(self.potential.hashes),
            "stopped": {str(replica): reasons.get(str(replica)) for replica in self.starts["trajectory"]},
        }
        write_trajectories(self.simulation.output, self._pieces(), counts, about)
        return []

    def _saved(self) -> dict[str, int]:
        """Number of frames of every replica that has one, in the order of their names."""
        counts: Counter[str] = Counter()
        for part in self.journal.parts():
            counts.update(self.journal.metadata(part)["saved"])
        return dict(sorted(counts.items()))

    def _pieces(self) -> Iterator[Frames]:
        """All saved frames, a part of the journal at a time."""
        for part in self.journal.parts():
            yield self.journal.read(part).select(range(sum(self.journal.metadata(part)["saved"].values())))


def _level(parties: Sequence[_Party]) -> None:
    """Go back to the last step that all journals have, for a kill can come when some of them have a part more.

    What moves beside a replica has a part in the rounding of its forces, so all go on from the same step.
    """
    unfinished = [{0, *party.steps} for party in parties if not party.finished]
    if unfinished:
        common = max(set.intersection(*unfinished))
        for party in parties:
            party.journal.cut(sum(step <= common for step in party.steps))


def _complete(parties: Sequence[_Party]) -> None:
    """Run to the end, a part of the journals for each segment."""
    moving = [(party, party.run()) for party in parties if not party.finished]
    if not moving:
        return
    runs = [run for _, run in moving]
    schedule, first = runs[0].schedule, runs[0].step
    length = min(schedule.segment, schedule.save * max(1, PART_BYTES // sum(size_of(run.snapshot()) for run in runs)))
    what = f"{len(runs)} systems" if len(runs) > 1 else f"{moving[0][0].simulation.name} {', '.join(runs[0].names)}"

    def note() -> str:
        return runs[0].note() if len(runs) == 1 else f"{sum(bool(run.names) for run in runs)} move"

    whole = range(first, schedule.total)
    steps = iter(track(whole, f"simulate {what}", schedule.total, "step", done=first, note=note))
    while moving:
        saved = advance([run for _, run in moving], islice(steps, length))
        for (party, run), frames in zip(moving, saved, strict=True):
            party.keep(run, frames)
        moving = [(party, run) for party, run in moving if not run.finished]
    next(steps, None)  # the last line of progress is printed when one more step is asked for


def _content(frames: Frames) -> str:
    """Hash of everything in some frames."""
    digest = sha256(frames.offsets.tobytes())
    for name in sorted(frames.arrays):
        digest.update(name.encode() + frames[name].tobytes())
    return digest.hexdigest()
