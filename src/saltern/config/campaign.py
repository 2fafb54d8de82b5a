"""A campaign: systems, levels, and what each stage of a level is told."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import Annotated, Any

from pydantic import Field

from saltern.config.base import Section
from saltern.config.costs import frames_per_job
from saltern.config.limits import LimitsConfig
from saltern.config.stages import (
    BaselineConfig,
    CollectConfig,
    LabelConfig,
    ObserveConfig,
    OpenmmTeacher,
    SampleConfig,
    SimulateConfig,
    StudentConfig,
    Teacher,
    TrainConfig,
)
from saltern.config.system import System, SystemEntry, state_id

Identifier = Annotated[str, Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]*$")]


@dataclass(frozen=True)
class Problem:
    """One mistake: where, what stands there, what is allowed."""

    path: str
    value: object
    allowed: str


class Level(Section):
    """One teacher, one student: sample, label, collect, train, simulate, observe."""

    name: Identifier
    """Identifier, such as `atoms`."""
    teacher: Teacher
    """What labels the frames."""
    sample: SampleConfig = SampleConfig()
    """Candidate frames."""
    label: LabelConfig = LabelConfig()
    """Batches and gates of labelling."""
    collect: CollectConfig = CollectConfig()
    """The dataset release."""
    baseline: BaselineConfig = BaselineConfig()
    """What the student does not have to learn."""
    student: StudentConfig = StudentConfig()
    """The network and its committee."""
    train: TrainConfig = TrainConfig()
    """Its training."""
    simulate: SimulateConfig = SimulateConfig()
    """Simulations with it."""
    observe: ObserveConfig = ObserveConfig()
    """Properties measured in them."""

    @property
    def moving(self) -> bool:
        """Whether the teacher makes the frames and their labels in one go, by its own dynamics."""
        return isinstance(self.teacher, OpenmmTeacher)

    def batches(self, atoms: int) -> dict[str, range]:
        """A system's label batches by name, each with the candidate frames in it.

        They follow from the config and never from labels, so the DAG needs no checkpoint to fan out.

        A teacher that moves makes each of its trajectories in one job.

        Args:
            atoms: of the system.
        """
        if self.moving:
            return _groups("b", self.sample.trajectories, 1)
        size = self.label.batch or frames_per_job(self.teacher, atoms, self.sample.frames)
        return _groups("b", self.sample.frames, size)

    def chunks(self) -> dict[str, range]:
        """A system's simulation jobs by name, each with the replicas run in it."""
        return _groups("r", self.simulate.replicas, self.simulate.batch)

    def states(self, system: System) -> dict[str, float]:
        """The temperatures (K) at which a system is simulated, by the identifier that each gives it."""
        wanted = self.simulate.temperatures or (system.temperature,)
        return {state_id(system.id, system.temperature, temperature): temperature for temperature in wanted}

    def members(self) -> dict[str, int]:
        """The committee's members by name."""
        return {f"m{i:04d}": i for i in range(self.student.committee)}

    def spec(self, stage: str) -> str:
        """Everything a stage's outcome depends on besides its input files, as one line of canonical JSON.

        Snakemake reruns a job when this text changes, so it holds that stage's own sections and nothing else;
        what only says how many jobs or processes there are (batch, committee, processes, replicas, temperatures) is
        left out.

        Raises:
            KeyError: for a stage that has no specification.
        """
        specs: dict[str, Section] = {
            "sample": SampleSpec(sample=self.sample),
            "label": LabelSpec(teacher=self.teacher, label=self.label, sample=self.sample),
            "collect": CollectSpec(collect=self.collect),
            "train": TrainSpec(baseline=self.baseline, student=self.student, train=self.train),
            "simulate": SimulateSpec(simulate=self.simulate),
            "observe": ObserveSpec(observe=self.observe),
        }
        counts: dict[str, Any] = {
            "sample": not self.moving and stage == "label",
            "label": {"batch"},
            "student": {"committee"},
            "train": {"processes"},
            "simulate": {"replicas", "batch", "temperatures"},
        }
        return _canonical(specs[stage].model_dump(exclude={name: left for name, left in counts.items() if left}))


def _canonical(data: dict[str, Any]) -> str:
    """One line of JSON that is the same for the same content."""
    return json.dumps(data, sort_keys=True, separators=(",", ":"))


def _groups(letter: str, items: int, size: int) -> dict[str, range]:
    """Consecutive groups of at most `size` items, named b0000, b0001, ..."""
    return {f"{letter}{start // size:04d}": range(start, min(start + size, items)) for start in range(0, items, size)}


class SampleSpec(Section):
    """What `saltern sample` is told."""

    numerics: int = SampleConfig.NUMERICS
    sample: SampleConfig


class LabelSpec(Section):
    """What `saltern label` is told."""

    numerics: int = LabelConfig.NUMERICS
    teacher: Teacher
    label: LabelConfig
    sample: SampleConfig | None = None
    """Frames and times of a teacher that moves."""


class CollectSpec(Section):
    """What `saltern release` is told."""

    numerics: int = CollectConfig.NUMERICS
    collect: CollectConfig


class TrainSpec(Section):
    """What `saltern train` is told."""

    numerics: int = TrainConfig.NUMERICS
    network_numerics: int = StudentConfig.NUMERICS
    baseline: BaselineConfig
    student: StudentConfig
    train: TrainConfig


class SimulateSpec(Section):
    """What `saltern simulate` is told."""

    numerics: int = SimulateConfig.NUMERICS
    simulate: SimulateConfig


class ObserveSpec(Section):
    """What `saltern observe` is told."""

    numerics: int = ObserveConfig.NUMERICS
    observe: ObserveConfig


class Campaign(Section):
    """The whole campaign file."""

    campaign: Identifier
    """Name of the campaign; its results are in `results/NAME`."""
    label_store: str = "labels"
    """Directory of the label store, which any number of campaigns, clones and users may share: a question that one of
    them has asked is never computed again. On a cluster it lies on the shared file system."""
    systems: tuple[SystemEntry, ...] = Field(min_length=1)
    """Systems: a list of entries, or the path of a table (`systems.tsv`, tab-separated, one row an entry)."""
    levels: tuple[Level, ...] = Field(min_length=1, max_length=1)
    """Levels, from the most expensive teacher down. One so far, of all atoms, or of ions with a teacher that moves; a
    level whose teacher is the level above is being built."""
    limits: LimitsConfig = LimitsConfig()
    """What the campaign may take."""

    def expanded(self) -> dict[str, System]:
        """Every system by identifier."""
        return {system.id: system for entry in self.systems for system in entry.expand()}

    def level(self, name: str) -> Level:
        """The level of that name.

        Raises:
            KeyError: when there is none.
        """
        return {level.name: level for level in self.levels}[name]

    def problems(self) -> list[Problem]:
        """What is wrong across sections, though each section is right by itself."""
        found = self._name_clashes()
        for index, level in enumerate(self.levels):
            found += [*_level_problems(index, level), *self._too_few_groups(index, level.collect)]
        return found

    def _too_few_groups(self, index: int, collect: CollectConfig) -> list[Problem]:
        """A choice of groups that would leave nothing to train on."""
        by = collect.split_by
        if by == "trajectory":
            return []
        column = {"system": "id"}.get(by, by)
        groups = {getattr(system, column) for system in self.expanded().values() if system.role == "train"}
        wanted = 1 + (collect.validation_fraction > 0) + (collect.test_fraction > 0)
        if len(groups) >= wanted or not groups:
            return []
        allowed = (
            f"what makes {wanted} groups or more of the systems to train on, one for each split; it makes {len(groups)}"
        )
        return [Problem(f"levels.{index}.collect.split_by", by, allowed)]

    def _name_clashes(self) -> list[Problem]:
        """Systems that would share files, and test systems that are also trained on."""
        found: list[Problem] = []
        seen: dict[str, int] = {}
        physics: dict[str, tuple[int, str]] = {}
        for index, entry in enumerate(self.systems):
            for system in entry.expand():
                if system.id in seen:
                    found.append(
                        Problem(
                            f"systems.{index}",
                            system.id,
                            f"every system another identifier; it is also systems.{seen[system.id]}'s",
                        )
                    )
                seen[system.id] = index
                key = _canonical(system.model_dump(exclude={"name", "role", "seed"}))
                other = physics.setdefault(key, (index, system.role))
                if other[1] != system.role:
                    found.append(
                        Problem(
                            f"systems.{index}.role",
                            system.role,
                            f"'{other[1]}', for the same electrolyte is systems.{other[0]}; test systems "
                            "must be disjoint from training systems",
                        )
                    )
        return found


def _level_problems(index: int, level: Level) -> list[Problem]:
    """Contradictions within one level."""
    found = []
    at = f"levels.{index}"
    sample, simulate = level.sample, level.simulate
    if sample.frames < sample.trajectories:
        found.append(
            Problem(
                f"{at}.sample.frames",
                sample.frames,
                f"at least one frame for each of the {sample.trajectories} trajectories",
            )
        )
    if (sample.engine == "potential") != (sample.potential is not None):
        found.append(
            Problem(
                f"{at}.sample.potential",
                sample.potential,
                "a file with engine: potential, and nothing with any other engine",
            )
        )
    if level.moving != (sample.engine == "packed"):
        allowed = "packed with a teacher that moves, and with no other"
        found.append(Problem(f"{at}.sample.engine", sample.engine, allowed))
    if level.collect.validation_fraction + level.collect.test_fraction >= 1:
        found.append(
            Problem(
                f"{at}.collect.test_fraction",
                level.collect.test_fraction,
                "less than 1 together with validation_fraction",
            )
        )
    if level.train.processes > level.train.batch:
        allowed = f"at most train.batch, {level.train.batch}; a process without a frame would only wait"
        found.append(Problem(f"{at}.train.processes", level.train.processes, allowed))
    if not simulate.timestep_fs <= simulate.save_every_fs <= 1000 * simulate.length_ps:
        allowed = f"from timestep_fs, {simulate.timestep_fs:g}, to length_ps, {1000 * simulate.length_ps:g} fs"
        found.append(Problem(f"{at}.simulate.save_every_fs", simulate.save_every_fs, allowed))
    temperatures = simulate.temperatures or ()
    if len(set(temperatures)) < len(temperatures):
        found.append(Problem(f"{at}.simulate.temperatures", list(temperatures), "every temperature once"))
    if simulate.thermostat == "nose-hoover" and simulate.thermostat_fs < 10 * simulate.timestep_fs:
        allowed = f"at least 10 time steps, {10 * simulate.timestep_fs:g} fs, with nose-hoover"
        found.append(Problem(f"{at}.simulate.thermostat_fs", simulate.thermostat_fs, allowed))
    return found
