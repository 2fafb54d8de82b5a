"""How large a campaign is: its jobs, files, bytes and the processor time of its labels, from the config alone."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, fields
from math import ceil, floor, log10
from typing import NamedTuple, Self

from saltern.config.campaign import Campaign, Level, Problem
from saltern.config.costs import JOB_OVERHEAD_S, expected_seconds
from saltern.config.stages import Teacher

Seconds = Callable[[Teacher, int], float]
"""CPU time of the label of a frame (s), from the teacher and the number of atoms."""

FILES_PER_JOB = 4
"""Its output, its log, its costs, and Snakemake's record of it."""

# Bytes as measured on files of the demo: what a file has anyway, and what a frame and an atom add.
_HDF5_BYTES = 15_000
_STAGE_BYTES = 8_000  # log, costs, Snakemake's record
_FRAME_BYTES = {"candidates": 120, "labels": 450, "trajectory": 150, "store": 1_100, "index": 400}
_ATOM_BYTES = {"candidates": 40, "labels": 64, "trajectory": 68, "store": 130}


class Box(NamedTuple):
    """What counts about a system."""

    atoms: int
    solute: int
    """Those of them that are no solvent: all that frames of a teacher that moves hold."""
    levels: tuple[str, ...] | None = None
    """Names of its levels; None for all."""
    labelled: bool = True
    """Whether the teacher is asked about it."""

    def levels_of(self, campaign: Campaign) -> list[Level]:
        """Its levels."""
        return [level for level in campaign.levels if self.levels is None or level.name in self.levels]


@dataclass(frozen=True)
class Size:
    """What a system, or a whole campaign, takes."""

    frames: int = 0
    """Frames to label."""
    label_jobs: int = 0
    jobs: int = 0
    """Jobs of all stages."""
    files: int = 0
    bytes: int = 0
    label_seconds: float = 0.0
    """CPU time of the labels (s)."""
    overhead_seconds: float = 0.0
    """CPU time of starting all jobs (s)."""

    def __add__(self, other: Self) -> Self:
        """Both together."""
        return type(self)(*(getattr(self, f.name) + getattr(other, f.name) for f in fields(self)))

    @property
    def core_hours(self) -> float:
        """Labels and the starting of all jobs; training and simulation are not in it."""
        return (self.label_seconds + self.overhead_seconds) / 3600

    @property
    def label_overhead(self) -> float:
        """Share of a label job's time that goes into starting it."""
        overhead = self.label_jobs * JOB_OVERHEAD_S
        return overhead / (overhead + self.label_seconds) if overhead else 0.0


def total(sizes: Iterable[Size]) -> Size:
    """All of them together."""
    return sum(sizes, Size())


def built_in(campaign: Campaign) -> Seconds:
    """What labels cost by the built-in figures."""
    return lambda teacher, atoms: expected_seconds(teacher, atoms, campaign.student(teacher))


def system_size(campaign: Campaign, box: Box, seconds: Seconds | None = None) -> Size:
    """What one system takes, on all of its levels.

    Args:
        campaign: the campaign.
        box: of the system.
        seconds: what a label costs; by default what the built-in figures say.
    """
    composed = _stage(1, _HDF5_BYTES)
    cost = seconds or built_in(campaign)
    sampled = total(_candidates_of_system(level, box) for level in campaign.sampled_at(box.levels))
    asked = campaign.asked_at(box.levels, box.labelled)
    labelled = total(_labels_of_system(level, box, cost) for level in asked)
    simulated = total(_simulations_of_system(level, box) for level in box.levels_of(campaign))
    return composed + sampled + labelled + simulated


def _candidates_of_system(level: Level, box: Box) -> Size:
    """What the candidate frames of one system take on one level."""
    candidates = level.sample.trajectories if level.without_solvent else level.sample.frames
    return _stage(1, _HDF5_BYTES + _frame_bytes("candidates", candidates, box.atoms))


def _labels_of_system(level: Level, box: Box, seconds: Seconds) -> Size:
    """What the labels of one system take on one level, and what is collected of them."""
    frames = level.sample.frames
    batches, atoms = len(level.batches(box.atoms)), _kept(level, box)
    labels = Size(frames, batches, label_seconds=label_units(level) * seconds(level.teacher, box.atoms))
    store = Size() if level.moving else Size(files=frames, bytes=_frame_bytes("store", frames, atoms))
    # collect makes three files in a directory with a time stamp, and two of them have a second name in the release
    collected = Size(files=5, bytes=2 * _HDF5_BYTES + frames * _FRAME_BYTES["index"])
    return total(
        [
            labels,
            store,
            collected,
            _stage(batches, batches * _HDF5_BYTES + _frame_bytes("labels", frames, atoms)),
            _stage(1, _frame_bytes("labels", frames, atoms)),  # collect
        ]
    )


def _simulations_of_system(level: Level, box: Box) -> Size:
    """What the simulations of one system take on one level, and what is measured in them."""
    simulate = level.simulate
    states = len(simulate.temperatures or [None])
    files = states * len(level.chunks())
    jobs = files if simulate.together == 1 else 0  # else what they share
    saved = int(1000 * simulate.length_ps / simulate.save_every_fs) * simulate.replicas * states
    bytes_ = files * _HDF5_BYTES + _frame_bytes("trajectory", saved, _kept(level, box))
    trajectories = _stage(jobs, bytes_) + Size(files=files - jobs)
    return trajectories + _stage(states, states * _HDF5_BYTES)


def _kept(level: Level, box: Box) -> int:
    """Atoms that a level's frames hold."""
    return box.solute if level.without_solvent else box.atoms


def label_units(level: Level) -> float:
    """What the labels of a system cost in: frames, or the picoseconds of a teacher that moves."""
    sample = level.sample
    if level.moving:
        return sample.trajectories * sample.equilibrate_ps + sample.frames * sample.every_ps
    return sample.frames


def shared_size(campaign: Campaign) -> Size:
    """What the systems of a campaign share: datasets, training, the report."""
    # table of systems and report; the report's page is half a megabyte
    common = _stage(2, 500_000)
    return common + total(_level_shared(campaign, level) for level in campaign.levels)


def _level_shared(campaign: Campaign, level: Level) -> Size:
    """The dataset, a committee, its evaluation, an audit; a release has three more files, a member a learning curve."""
    members = len(level.members())
    curves = 2 * members if level.trained else 0  # each with Snakemake's record of it
    shared = _stage(2 + members + level.audited, 100_000) + Size(files=3 + curves)
    if level.simulate.together == 1:
        return shared
    states = [state for system in campaign.systems_of(level).values() for state in level.states(system)]
    return shared + _stage(len(level.groups(states)) * len(level.chunks()), 0)


def _stage(jobs: int, size: int) -> Size:
    """Jobs of one stage whose files are `size` bytes together."""
    overhead = jobs * JOB_OVERHEAD_S
    return Size(jobs=jobs, files=FILES_PER_JOB * jobs, bytes=size + _STAGE_BYTES * jobs, overhead_seconds=overhead)


def _frame_bytes(kind: str, frames: int, atoms: int) -> int:
    """What some frames take."""
    return frames * (_FRAME_BYTES[kind] + atoms * _ATOM_BYTES[kind])


def exceeded(campaign: Campaign, boxes: Mapping[str, Box], seconds: Seconds | None = None) -> list[Problem]:
    """Limits of a campaign that it does not keep.

    Args:
        campaign: the campaign with its `limits`.
        boxes: of every system, by identifier.
        seconds: what a label costs; by default what the built-in figures say.
    """
    limits = campaign.limits
    size = shared_size(campaign) + total(system_size(campaign, box, seconds) for box in boxes.values())
    taken = {
        "jobs": (limits.jobs, size.jobs),
        "files": (limits.files, size.files),
        "gigabytes": (limits.gigabytes, size.bytes / 1e9),
        "core_hours": (limits.core_hours, size.core_hours),
    }
    return [
        Problem(f"limits.{key}", limit, f"at least {_number(value)}, for the campaign takes as much (`saltern plan`)")
        for key, (limit, value) in taken.items()
        if limit is not None and value > limit
    ]


def _number(value: float) -> str:
    """A count whole, anything else with three digits, rounded up so that the limit may be what is said."""
    if isinstance(value, int):
        return f"{value:,}"
    step = 10.0 ** (floor(log10(value)) - 2)
    return f"{ceil(value / step) * step:,.4g}"
