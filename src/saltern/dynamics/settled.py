"""Whether a trajectory came to equilibrium: ions that never mixed would teach an aggregate."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from ase.data import atomic_numbers

from saltern.config import SettledConfig
from saltern.frames import Frames
from saltern.observables import Estimate, coordination_number, radial_distribution, unordered
from saltern.progress import say

BLOCKS = 5
"""Blocks of a trajectory for the error of its coordination."""


def judged(frames: Frames, asked: Sequence[SettledConfig], what: str) -> tuple[Frames, list[dict[str, Any]]]:
    """Quarantine the frames of a trajectory whose coordination is not the one that the solution is known to have.

    It is not when it differs by more than the tolerance and one standard error together. The mean is over all frames
    that have forces, whatever is thought of them otherwise. A trajectory of few frames has a large error and passes:
    that it had time to mix is for `sample.equilibrate_ps` to see to.

    Args:
        frames: one trajectory, the solute alone.
        asked: what is known about the solution.
        what: the task, for the log.

    Returns:
        The frames, and what was found for each entry that is about this system.
    """
    there = reached(frames)
    found = []
    for entry in asked:
        measured = _coordination(there, entry)
        if measured is None:
            continue
        error = None if np.isnan(measured.error) else measured.error
        agrees = abs(measured.value - entry.coordination) <= entry.tolerance + (error or 0.0)
        found.append({"pair": entry.pair, "coordination": measured.value, "error": error, "settled": agrees})
        if not agrees:
            about = f"{'-'.join(entry.pair)} coordination {measured.value:.3f} ± {measured.error:.3f} within "
            asked_for = f"{entry.within_A:g} Å, not {entry.coordination:g} ± {entry.tolerance:g}"
            say(f"{what}: {frames['trajectory'][0]} quarantined, not-settled: {about}{asked_for}")
    return (frames if all(one["settled"] for one in found) else _refused(frames)), found


def reached(frames: Frames) -> Frames:
    """Those of a trajectory's frames that it came to, which have forces."""
    return frames.select(np.flatnonzero(np.isfinite(frames.stacked("forces")).all(axis=(1, 2))))


def _coordination(frames: Frames, entry: SettledConfig) -> Estimate | None:
    """Mean number of neighbours with its standard error; None for a system that the entry is not about."""
    numbers = frames.of(0, "numbers") if len(frames) else np.array([])
    first, second = (np.flatnonzero(numbers == atomic_numbers[element]) for element in entry.pair)
    wrong_system = entry.system is not None and len(frames) and str(frames["system"][0]) != entry.system
    if wrong_system or not (len(first) and len(second)):
        return None
    rdf = radial_distribution([unordered(frames)], first, second, entry.within_A, BLOCKS, entry.within_A)
    return coordination_number(rdf, entry.within_A).number


def _refused(frames: Frames) -> Frames:
    """The frames, those that were accepted quarantined."""
    reasons = np.where(frames["accepted"], "not-settled", frames["reason"])
    return frames.with_arrays(accepted=np.zeros(len(frames), dtype=bool), reason=reasons)
