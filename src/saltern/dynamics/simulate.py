"""Simulations that a kill cannot hurt: segments in a journal, then one file."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from hashlib import sha256
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np

from saltern.config import SimulateConfig, SimulateSpec
from saltern.dynamics.motion import State
from saltern.dynamics.run import Run
from saltern.dynamics.surface import Model, check_known
from saltern.errors import SimulationError, UserError
from saltern.frames import Frames
from saltern.progress import track
from saltern.store import Journal, size_of, text_hash, write_trajectories

PART_BYTES = 32 * 2**20
"""Frames in memory between two parts of the journal; where a segment saves more, it is cut into several."""


def simulate(
    system: Frames,
    metadata: Mapping[str, Any],
    potential: Model,
    spec: SimulateSpec,
    replicas: Sequence[int],
    output: Path,
    temperature: float | None = None,
) -> None:
    """Run some replicas of one system side by side and write their trajectories.

    Every replica is relaxed, equilibrated with a thermostat and then followed; positions are unwrapped and times
    count from the end of equilibration. Replicas are named r0000, r0001, ...; what one does depends on
    the seed, the system, the temperature and its number alone.
    What is done is kept in a journal beside the output after every segment; the same call again goes on from there
    and makes the same file. Memory holds the frames of one part of the journal, however long the simulation is.

    A replica in which two atoms collide, whose forces are not finite or about which the committee disagrees stops
    there. The others go on, the file holds what came before, and its metadata say why and when under `stopped`, a
    mapping from every replica's name to a reason or null: a campaign should report such a potential rather than
    die of it.

    Args:
        system: frames to start from, of one system. Replica n starts from the last frame of trajectory n, taken
            modulo their number, so that replicas start from independent frames as long as there are any.
        metadata: what is known about the system; goes into the file.
        potential: what drives the atoms.
        spec: settings.
        replicas: numbers of the replicas.
        output: the file to make, trajectories one after the other.
        temperature: in K; by default that of the frames. Cell and permittivity stay those of the frames, since the
            potential was trained with them.

    Raises:
        UserError: when the potential does not know an element, was trained with another permittivity, or frames
            are further apart than the simulation is long.
        SimulationError: when every replica stopped before its first frame.
    """
    starts = starting_frames(system, replicas)
    check_known(starts, potential)
    _check_length(spec.simulate)
    name = str(starts["system"][0])
    if temperature is not None:
        starts = starts.with_arrays(temperature=np.full(len(starts), temperature))
        name = f"{name} at {temperature:g} K"
    identity = text_hash(spec.model_dump_json(), _content(starts), *potential.hashes)
    journal = Journal(output.with_suffix(".journal"), identity)
    if not (journal.parts() and _last(journal)["finished"]):
        run = _resumed(journal, potential, starts, spec.simulate)
        if run is None:
            run = Run.begun(potential, starts, spec.simulate, f"simulate {name}", replicas)
        _complete(run, journal, f"simulate {name} {', '.join(run.names)}")
    reasons = _last(journal)["stopped"]
    counts = _saved(journal)
    if not counts:
        raise SimulationError("; ".join(f"{name} {replica} stopped {why}" for replica, why in reasons.items()))
    stopped = {str(replica): reasons.get(str(replica)) for replica in starts["trajectory"]}
    about = {**metadata, "simulate": spec.model_dump(), "potentials": list(potential.hashes), "stopped": stopped}
    write_trajectories(output, _pieces(journal), counts, about)
    journal.discard()


def starting_frames(system: Frames, replicas: Sequence[int]) -> Frames:
    """One frame for each replica, its trajectory field naming the replica; see `simulate`."""
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


def _content(frames: Frames) -> str:
    """Hash of everything in some frames."""
    digest = sha256(frames.offsets.tobytes())
    for name in sorted(frames.arrays):
        digest.update(name.encode() + frames[name].tobytes())
    return digest.hexdigest()


def _complete(run: Run, journal: Journal, what: str) -> None:
    """Run to the end, a part of the journal for each segment."""
    total = run.schedule.total
    length = min(run.schedule.segment, run.schedule.save * max(1, PART_BYTES // size_of(run.snapshot())))
    steps = iter(track(range(run.step, total), what, total, "step", done=run.step, note=run.note))
    while not run.finished:
        saved = run.advance(islice(steps, length))
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
        journal.write(len(journal.parts()), Frames.concatenate([saved, run.snapshot()]), about)
    next(steps, None)  # the last line of progress is printed when one more step is asked for


def _resumed(journal: Journal, potential: Model, starts: Frames, config: SimulateConfig) -> Run | None:
    """The run as the journal's last part left it, if there is one."""
    if not journal.parts():
        return None
    about = _last(journal)
    part = journal.read(journal.parts()[-1])
    here = part.select(range(sum(about["saved"].values()), len(part)))
    generators = [np.random.default_rng() for _ in about["generators"]]
    for generator, state in zip(generators, about["generators"], strict=True):
        generator.bit_generator.state = state
    heat, bath = np.array(about["heat"]), np.array(about["bath"])
    at = State(here.stacked("positions"), here.stacked("velocities"), heat, bath, generators)
    moving = starts.select(np.isin(starts["trajectory"], about["names"]))
    return Run(potential, moving, config, at, about["step"], about["stopped"])


def _last(journal: Journal) -> dict[str, Any]:
    """What the journal's last part says."""
    return journal.metadata(journal.parts()[-1])


def _saved(journal: Journal) -> dict[str, int]:
    """Number of frames of every replica that has one, in the order of their names."""
    counts: Counter[str] = Counter()
    for part in journal.parts():
        counts.update(journal.metadata(part)["saved"])
    return dict(sorted(counts.items()))


def _pieces(journal: Journal) -> Iterator[Frames]:
    """All saved frames, a part of the journal at a time."""
    for part in journal.parts():
        yield journal.read(part).select(range(sum(journal.metadata(part)["saved"].values())))
