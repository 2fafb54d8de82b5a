"""Whether a simulation went where its potential has no data: by what the committee says, and what surrounds atoms."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from saltern.frames import Frames, evenly
from saltern.observables.blocking import Estimate, estimate, plain
from saltern.observables.environments import TrainingEnvironments

Array = NDArray[Any]

FRAMES = 50
"""Frames of a replica in which environments are compared; some 10 ms each for 200 atoms."""


def outside(replicas: Sequence[Frames], calibration: Mapping[str, Any] | None, blocks: int) -> dict[str, Any] | None:
    """How doubtful the forces of a simulation are, from the frames in which the whole committee was asked.

    Args:
        replicas: one trajectory each, with numbers and, where the committee was asked, force_spread.
        calibration: what `saltern evaluate` found: 'factor', error over spread, and 'usual', the spread in eV/Å that
            99 % of the atoms of an element keep below on held-out frames, by symbol. None where there is no committee.
        blocks: blocks that each replica is cut into for standard errors.

    Returns:
        None where nothing is known, or the committee never disagrees; else 'atoms', the share of atoms with a larger
        spread than usual, 0.01 where the simulation is like the training frames; 'force_error', the error of a force
        component that the spread stands for, in meV/Å; each with value, error and unit; 'frames', how many were looked
        at.
    """
    if calibration is None or calibration["factor"]["value"] is None:
        return None
    series = [_of_replica(r, calibration["usual"]) for r in replicas if "force_spread" in r]
    series = [s for s in series if len(s)]
    if not any(s[:, 1].any() for s in series):
        return None
    share = estimate([s[:, 0] for s in series], blocks)
    square = estimate([s[:, 1] for s in series], blocks)
    factor = calibration["factor"]
    error = factor["value"] * np.sqrt(square.value)
    relative = np.hypot(0.5 * square.error / square.value, (factor["error"] or 0.0) / factor["value"])
    return {
        "atoms": _share(share),
        "force_error": {"value": 1000 * float(error), "error": plain(1000 * error * relative), "unit": "meV/Å"},
        "frames": sum(map(len, series)),
    }


def new_environments(
    replicas: Sequence[Frames], training: TrainingEnvironments, usual: Mapping[str, float], blocks: int
) -> dict[str, Any]:
    """How many atoms of a simulation have an environment that is far from all that the potential was trained on.

    Args:
        replicas: one trajectory each, with numbers, positions and cell.
        training: environments in the training frames.
        usual: distance to them that 99 % of the atoms of an element keep below on held-out frames, by symbol;
            atoms of others are not counted.
        blocks: blocks that each replica is cut into for standard errors.

    Returns:
        share of atoms further than usual, 0.01 where the simulation is like the training frames, with value, error and
        unit.
    """
    series = []
    for replica in replicas:
        chosen = replica.select(evenly(len(replica), FRAMES))
        far = training.distances(chosen).reshape(len(chosen), -1) > _limits(chosen, usual)
        series.append(far.mean(axis=1))
    return _share(estimate(series, blocks))


def _of_replica(frames: Frames, usual: Mapping[str, float]) -> Array:
    """Share of atoms beyond what is usual, and mean square spread of a component in (eV/Å)², (frame, 2)."""
    spread = frames["force_spread"].reshape(len(frames), -1)
    asked = spread[np.isfinite(spread).all(axis=1)].astype(np.float64)
    return np.stack([(asked > _limits(frames, usual)).mean(axis=1), (asked**2).mean(axis=1) / 3], axis=1)


def _limits(frames: Frames, usual: Mapping[str, float]) -> Array:
    """What is usual for every atom of a frame, (atom,)."""
    from ase.data import chemical_symbols

    return np.array([usual.get(chemical_symbols[z], np.inf) for z in frames.of(0, "numbers")])


def _share(found: Estimate) -> dict[str, Any]:
    """A share of atoms."""
    return {"value": found.value, "error": plain(found.error), "unit": ""}
