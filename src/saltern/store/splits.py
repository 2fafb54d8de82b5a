"""Which trajectories are trained on, which steer training, which only measure it."""

from __future__ import annotations

from collections.abc import Iterable

from saltern.store.files import text_hash

Trajectory = tuple[str, str]
"""System and trajectory identifiers."""


def assign_splits(
    trajectories: Iterable[Trajectory], test_systems: Iterable[str], validation: float, test: float, seed: int
) -> dict[Trajectory, str]:
    """Assign whole trajectories, so that neighbours in time never sit on both sides.

    Trajectories are drawn from the systems in turn, so that a small test set still meets many systems; a
    trajectory's place depends on the names and the seed alone.

    Args:
        trajectories: every (system, trajectory).
        test_systems: systems of which nothing may be trained on.
        validation: share of the other trajectories that goes to validation; at least one when above 0.
        test: likewise for the test set.
        seed: another seed, another draw.

    Returns:
        'train', 'validation' or 'test' for every trajectory.
    """
    held_out = set(test_systems)
    everything = set(trajectories)
    drawn = _in_turn([t for t in everything if t[0] not in held_out], seed)
    tests = _share(len(drawn), test)
    validations = _share(len(drawn), validation)
    splits = {t: "test" for t in everything if t[0] in held_out}
    for place, trajectory in enumerate(drawn):
        splits[trajectory] = "test" if place < tests else "validation" if place < tests + validations else "train"
    return splits


def _share(count: int, fraction: float) -> int:
    """A fraction of a count, at least one of them when any is wanted."""
    return max(1, round(count * fraction)) if fraction > 0 and count else 0


def _in_turn(trajectories: list[Trajectory], seed: int) -> list[Trajectory]:
    """One trajectory of each system, then the next one of each; both orders drawn by hash."""
    by_system: dict[str, list[Trajectory]] = {}
    for trajectory in sorted(trajectories, key=lambda t: text_hash(str(seed), *t)):
        by_system.setdefault(trajectory[0], []).append(trajectory)
    systems = sorted(by_system, key=lambda system: text_hash(str(seed), system))
    rounds = max(map(len, by_system.values()), default=0)
    return [by_system[s][place] for place in range(rounds) for s in systems if place < len(by_system[s])]
