"""What may be drawn with replacement when the error of a number is asked for: trajectories, not frames.

Frames of one trajectory are not independent, so neither are the errors on them.
"""

from __future__ import annotations

import numpy as np

from saltern.frames import Array
from saltern.store import FrameReader

UNITS = 10
"""Where there are fewer trajectories, each is cut into as many blocks as make about this many of them. Fewer would say
little about a spread, and shorter blocks would be less independent."""


def trajectories(reader: FrameReader) -> Array:
    """System and trajectory of every frame, (frame,), text."""
    found = [names(f["system"], f["trajectory"]) for f in reader.batches(names=["system", "trajectory"])]
    return np.concatenate(found)


def names(system: Array, trajectory: Array) -> Array:
    """Trajectories are named within their system."""
    return np.char.add(np.char.add(system, "/"), trajectory)


def units(trajectory: Array) -> Array:
    """Numbers (frame,), from 0, of the whole trajectories or blocks of them that the frames belong to.

    Args:
        trajectory: (frame,) text; frames of one stand in the order of time.
    """
    _, index = np.unique(trajectory, return_inverse=True)
    counts = np.bincount(index)
    blocks = -(-UNITS // len(counts))
    order = np.argsort(index, kind="stable")
    place = np.empty(len(index), np.int64)
    place[order] = np.arange(len(index)) - np.repeat(np.cumsum(counts) - counts, counts)
    return np.unique(index * blocks + place * blocks // counts[index], return_inverse=True)[1]


def drawn(unit: Array, seed: int) -> Array:
    """How often each frame counts, (frame,), when its units are drawn with replacement."""
    count = int(unit.max()) + 1
    times = np.bincount(np.random.default_rng(seed).integers(count, size=count), minlength=count)
    return times[unit].astype(np.float64)
