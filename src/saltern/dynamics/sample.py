"""Candidate frames for labelling from dynamics with a trained potential."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from saltern.config import SampleConfig, SampleSpec, SimulateConfig
from saltern.dynamics.run import Run
from saltern.dynamics.surface import Model, known_to
from saltern.errors import SimulationError
from saltern.frames import Frames
from saltern.progress import track

KEPT = (
    "numbers", "positions", "cell", "charges", "molecules",
    "system", "trajectory", "time", "temperature", "permittivity",
)  # fmt: skip


def sample_with_potential(system: Frames, metadata: Mapping[str, Any], potential: Model, spec: SampleSpec) -> Frames:
    """Candidate frames from independent trajectories that a potential drives.

    The trajectories are relaxed, equilibrated and run side by side under the driver and the guards of a simulation
    with their defaults.

    Args:
        system: packed boxes of one system. Trajectory n starts from box n, taken modulo their number, and always
            has velocities of its own.
        metadata: its metadata; the seed is that of `metadata["system"]`.
        potential: what drives the atoms.
        spec: settings; the friction is that of the classical dynamics.

    Returns:
        spec.sample.frames frames, trajectory t00, t01, ... one after the other.

    Raises:
        UserError: when the potential does not know an element, or was trained with another permittivity.
        SimulationError: when a guard stopped a trajectory, so that there are fewer frames than asked for.
    """
    config, name = spec.sample, str(system["system"][0])
    count = config.trajectories
    labels = np.array([f"t{index:02d}" for index in range(count)])
    starts = known_to(potential, system.select(np.arange(count) % len(system)).with_arrays(trajectory=labels))
    simulation = _as_simulation(config, int(metadata["system"]["seed"]))
    run = Run.begun(potential, starts, simulation, f"sample {name}", range(count))
    total = run.schedule.total
    frames = run.advance(track(range(total), f"sample {name}", total, "step", note=run.note))
    if run.stopped:
        raise SimulationError("; ".join(f"{name} {label} stopped {why}" for label, why in run.stopped.items()))
    candidates = Frames(frames.offsets, {field: frames[field] for field in KEPT})
    wanted = [np.flatnonzero(frames["trajectory"] == label)[: frames_of(config, i)] for i, label in enumerate(labels)]
    return candidates.select(np.concatenate(wanted))


def frames_of(config: SampleConfig, trajectory: int) -> int:
    """Number of frames from one trajectory; the first ones give one more where the number does not divide."""
    return config.frames // config.trajectories + (trajectory < config.frames % config.trajectories)


def _as_simulation(config: SampleConfig, seed: int) -> SimulateConfig:
    """The simulation that makes the frames, which are a whole number of time steps apart."""
    every = config.timestep_fs * max(1, round(1000 * config.every_ps / config.timestep_fs))
    return SimulateConfig(
        length_ps=frames_of(config, 0) * every / 1000,
        equilibrate_ps=config.equilibrate_ps,
        timestep_fs=config.timestep_fs,
        save_every_fs=every,
        seed=seed,
    )
