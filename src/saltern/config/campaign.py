"""A campaign: systems, levels, and what each stage of a level is told."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Annotated, Any

from pydantic import Field

from saltern.config.base import Section
from saltern.config.costs import frames_per_job
from saltern.config.limits import LimitsConfig
from saltern.config.moving import LevelTeacher
from saltern.config.published import PublishedTeacher
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
from saltern.config.student import differing, not_taken, start_missing
from saltern.config.system import System, SystemEntry, state_id

LATER = {
    "teacher": {"bias"}, "sample": {"level"}, "label": {"settled"}, "student": {"message", "readout"},
    "train": {"start_level"},
}  # fmt: skip
"""Keys that came later: a stage is told of them where they are not the default, so what was made before them stays."""

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
        return isinstance(self.teacher, OpenmmTeacher | LevelTeacher)

    @property
    def published(self) -> PublishedTeacher | None:
        """The dataset that is there already, and maybe potentials; None where labels are made."""
        return self.teacher if isinstance(self.teacher, PublishedTeacher) else None

    @property
    def trained(self) -> bool:
        """Whether potentials are trained, and not there already."""
        return not (self.published and self.published.potentials)

    @property
    def without_solvent(self) -> bool:
        """Whether ions alone are left of the boxes."""
        return self.sample.engine == "packed"

    @property
    def audited(self) -> bool:
        """Whether crystals are looked for, and so the dataset is audited for them, too."""
        return "crystal" in self.observe.properties

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

    def groups(self, states: Sequence[str]) -> dict[str, list[str]]:
        """What is simulated side by side by the name of each group; one that is alone gives its group its name.

        Args:
            states: identifiers of all systems and temperatures, from `states`.
        """
        if self.simulate.together == 1:
            return {state: [state] for state in states}
        rows = _groups("g", len(states), self.simulate.together)
        return {name: [states[i] for i in group] for name, group in rows.items()}

    def chunks(self) -> dict[str, range]:
        """A group's simulation jobs by name, each with the replicas run in it."""
        return _groups("r", self.simulate.replicas, self.simulate.batch)

    def states(self, system: System) -> dict[str, float]:
        """The temperatures (K) at which a system is simulated, by the identifier that each gives it."""
        wanted = self.simulate.temperatures or (system.temperature,)
        return {state_id(system.id, system.temperature, temperature): temperature for temperature in wanted}

    def members(self) -> dict[str, int]:
        """The committee's members by name."""
        there = self.published.potentials if self.published else ()
        count = len(there) or self.student.committee
        return {f"m{i:04d}": i for i in range(count)}

    def drivers(self) -> dict[str, int]:
        """The member that drives each of a group's simulation jobs, by the job's name."""
        count = len(self.members()) if self.simulate.driver == "each" else 1
        return {chunk: place % count for place, chunk in enumerate(self.chunks())}

    def spec(self, stage: str) -> str:
        """Everything a stage's outcome depends on besides its input files, as one line of canonical JSON.

        Snakemake reruns a job when this text changes, so it holds that stage's own sections and nothing else;
        what only says how many jobs or processes there are (batch, together, committee, processes, replicas,
        temperatures) or who of the committee drives a job is left out.

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
        left: dict[str, Any] = {
            "label": {"batch"},
            "student": {"committee"},
            "train": {"processes"},
            "simulate": {"replicas", "batch", "together", "temperatures", "driver"},
        }
        for name, keys in LATER.items():
            section = getattr(self, name)
            known = keys & type(section).model_fields.keys()
            left[name] = left.get(name, set()) | {key for key in known if section.has_default(key)}
        if stage == "label" and not self.moving:
            left["sample"] = True
        return _canonical(specs[stage].model_dump(exclude=left))


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
    levels: tuple[Level, ...] = Field(min_length=1)
    """Levels, from the most expensive teacher down: of all atoms, and of ions with a teacher that moves, which may be
    the student of a level above."""
    limits: LimitsConfig = LimitsConfig()
    """What the campaign may take."""

    def expanded(self) -> dict[str, System]:
        """Every system by identifier."""
        return {system.id: system for entry in self.systems for system in entry.expand()}

    @property
    def teachers(self) -> tuple[Teacher, ...]:
        """All that are asked for labels, each once."""
        return tuple(dict.fromkeys(level.teacher for level in self.levels if not level.published))

    def level(self, name: str) -> Level:
        """The level of that name.

        Raises:
            KeyError: when there is none.
        """
        return {level.name: level for level in self.levels}[name]

    def systems_of(self, level: Level) -> dict[str, System]:
        """The systems of a level by identifier."""
        return {name: s for name, s in self.expanded().items() if s.levels is None or level.name in s.levels}

    def labelled_at(self, level: Level) -> Level:
        """The level whose labels a level learns from: the first that asks the same about the same systems.

        So two students of one teacher, as two levels, cost its labels once.
        """
        return next(other for other in self.levels if other is level or self._asked(other) == self._asked(level))

    def sampled_at(self, levels: tuple[str, ...] | None) -> list[Level]:
        """The levels at which frames of a system are made: each once.

        Args:
            levels: names of the system's levels; None for all.
        """
        own = (level for level in self.levels if levels is None or level.name in levels)
        return list({source.name: source for source in map(self.labelled_at, own)}.values())

    def asked_at(self, levels: tuple[str, ...] | None, labelled: bool) -> list[Level]:
        """The levels whose teachers are asked about a system: each once.

        Args:
            levels: names of the system's levels; None for all.
            labelled: whether it is labelled at all.
        """
        return [level for level in self.sampled_at(levels) if labelled and not level.published]

    def _asked(self, level: Level) -> tuple[str, str, tuple[bool, ...]]:
        """All that labels of a level depend on."""
        labelled = [entry for entry in self.systems if entry.labelled]
        on = tuple(entry.levels is None or level.name in entry.levels for entry in labelled)
        return level.spec("sample"), level.spec("label"), on

    def above(self, level: Level) -> Level | None:
        """The level whose student teaches another one, None where there is none."""
        return self._named(level.teacher)

    def sampling(self, level: Level) -> Level | None:
        """The level whose student makes the candidate frames of another one, None where none does."""
        return self._called(level.sample.level)

    def starting(self, level: Level) -> Level | None:
        """The level whose potentials the training of another one starts from, None where it starts from nothing."""
        return self._called(level.train.start_level)

    def student(self, teacher: Teacher) -> StudentConfig | None:
        """The student that a teacher is, None where it is none."""
        level = self._named(teacher)
        return level.student if level else None

    def _named(self, teacher: Teacher) -> Level | None:
        """The level that a teacher names."""
        return self._called(teacher.level if isinstance(teacher, LevelTeacher) else None)

    def _called(self, name: str | None) -> Level | None:
        """The level of that name, None where there is none."""
        return next((level for level in self.levels if level.name == name), None)

    def problems(self) -> list[Problem]:
        """What is wrong across sections, though each section is right by itself."""
        found = [*self._name_clashes(), *self._wrong_teachers(), *self._wrong_starts(), *self._wrong_levels()]
        for index, level in enumerate(self.levels):
            found += [*_level_problems(index, level), *self._too_few_groups(index, level)]
            found += self._nothing_tested(index, level)
        return found

    def _wrong_teachers(self) -> Iterator[Problem]:
        """Levels that share a name, and levels that teach or sample another one and stand below or know no solvent."""
        knowing: list[str] = []
        for index, level in enumerate(self.levels):
            if level.name in [other.name for other in self.levels[:index]]:
                yield Problem(f"levels.{index}.name", level.name, "another name for every level")
            teacher = level.teacher.level if isinstance(level.teacher, LevelTeacher) else None
            for at, wanted in (("teacher.level", teacher), ("sample.level", level.sample.level)):
                if wanted is not None and wanted not in knowing:
                    names = " or ".join(knowing) or "none here"
                    allowed = f"a level above this one whose student knows the solvent: {names}"
                    yield Problem(f"levels.{index}.{at}", wanted, allowed)
            if not level.without_solvent:
                knowing.append(level.name)

    def _wrong_starts(self) -> Iterator[Problem]:
        """Trainings that start from no level above, or from a potential of another kind."""
        for index, level in enumerate(self.levels):
            wanted, above = level.train.start_level, {other.name: other for other in self.levels[:index]}
            if wanted in above:
                yield from _start_problems(f"levels.{index}", level, above[wanted])
                yield from self._not_simulated(f"levels.{index}", level, above[wanted])
            elif wanted is not None or level.train.compares:
                names = " or ".join(above) or "none here"
                yield Problem(f"levels.{index}.train.start_level", wanted, f"a level above this one: {names}")

    def _not_simulated(self, at: str, level: Level, source: Level) -> Iterator[Problem]:
        """Systems whose liquid a level would compare, and which the level that it starts from does not simulate."""
        if not level.train.compares or level.published:
            return
        there = self.systems_of(source)
        for name, system in self.systems_of(level).items():
            shown = name in there and system.temperature in source.states(system).values()
            if system.labelled and not shown:
                allowed = f"a level that simulates {name} at {system.temperature:g} K, with objective: relative_entropy"
                yield Problem(f"{at}.train.start_level", source.name, allowed)

    def _wrong_levels(self) -> Iterator[Problem]:
        """Systems of levels that are none or leave nothing of them, and levels without a system."""
        names = {level.name for level in self.levels}
        solvent = [level.name for level in self.levels if not level.without_solvent]
        for index, entry in enumerate(self.systems):
            on = entry.levels or names
            if unknown := sorted(set(on) - names):
                yield Problem(f"systems.{index}.levels", unknown[0], f"names of levels: {', '.join(sorted(names))}")
            elif not (entry.salt and min(entry.molality)) and not set(on) <= set(solvent):
                why = "for without a salt nothing is left of it on a level of ions (sample.engine: packed)"
                allowed = f"some of [{', '.join(solvent)}], {why}"
                yield Problem(f"systems.{index}.levels", entry.levels, allowed)
        for index, level in enumerate(self.levels):
            if not any(system.labelled or level.published for system in self.systems_of(level).values()):
                allowed = "a level that systems are for, and there is none to be labelled"
                yield Problem(f"levels.{index}", level.name, allowed)

    def _too_few_groups(self, index: int, level: Level) -> list[Problem]:
        """A choice of groups that would leave nothing to train on."""
        collect = level.collect
        by = collect.split_by
        if by == "trajectory":
            return []
        column = {"system": "id"}.get(by, by)
        groups = {getattr(system, column) for system in self.systems_of(level).values() if system.role == "train"}
        wanted = 1 + (collect.validation_fraction > 0) + (collect.test_fraction > 0)
        if len(groups) >= wanted or not groups:
            return []
        allowed = (
            f"what makes {wanted} groups or more of the systems to train on, one for each split; it makes {len(groups)}"
        )
        return [Problem(f"levels.{index}.collect.split_by", by, allowed)]

    def _nothing_tested(self, index: int, level: Level) -> list[Problem]:
        """A level without a frame to tell errors from, which would end in an error when all is labelled and trained."""
        collect = level.collect
        held_out = any(system.role == "test" for system in self.systems_of(level).values()) or collect.hold_out
        if level.published or held_out or collect.test_fraction:
            return []
        allowed = "above 0 where neither a system with role: test nor collect.hold_out gives frames to tell errors from"
        return [Problem(f"levels.{index}.collect.test_fraction", collect.test_fraction, allowed)]

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
                key = _canonical(system.model_dump(exclude={"name", "role", "seed", "levels"}))
                other = physics.setdefault(key, (index, system.role)) if system.labelled else (index, system.role)
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
    given = [name for name in (sample.potential, sample.level) if name is not None]
    if len(given) != (sample.engine == "potential"):
        allowed = "a file or, as sample.level, a level with engine: potential, and nothing with any other engine"
        found.append(Problem(f"{at}.sample.potential", ", ".join(given) or None, allowed))
    if not level.published and level.moving != level.without_solvent:
        allowed = "packed with a teacher that moves, and with no other"
        found.append(Problem(f"{at}.sample.engine", sample.engine, allowed))
    if level.moving and level.train.energy_weight:
        found.append(Problem(f"{at}.train.energy_weight", level.train.energy_weight, "0; a mean force has no energy"))
    if level.label.settled and not level.moving:
        found.append(Problem(f"{at}.label.settled", "an entry", "nothing where the teacher does not move"))
    if level.collect.validation_fraction + level.collect.test_fraction >= 1:
        found.append(
            Problem(
                f"{at}.collect.test_fraction",
                level.collect.test_fraction,
                "less than 1 together with validation_fraction",
            )
        )
    if level.published:
        found += _silent_sections(at, level)
    found += [Problem(f"{at}.student.{key}", value, allowed) for key, value, allowed in not_taken(level.student)]
    if level.train.processes > level.train.batch:
        allowed = f"at most train.batch, {level.train.batch}; a process without a frame would only wait"
        found.append(Problem(f"{at}.train.processes", level.train.processes, allowed))
    found += _student_problems(at, level)
    if not simulate.timestep_fs <= simulate.save_every_fs <= 1000 * simulate.length_ps:
        allowed = f"from timestep_fs, {simulate.timestep_fs:g}, to length_ps, {1000 * simulate.length_ps:g} fs"
        found.append(Problem(f"{at}.simulate.save_every_fs", simulate.save_every_fs, allowed))
    jobs, members = len(level.chunks()), len(level.members())
    if simulate.driver == "each" and jobs < members:
        allowed = f"first where there are fewer jobs, here {jobs} of up to `batch` replicas, than members, {members}"
        found.append(Problem(f"{at}.simulate.driver", simulate.driver, allowed))
    temperatures = simulate.temperatures or ()
    if len(set(temperatures)) < len(temperatures):
        found.append(Problem(f"{at}.simulate.temperatures", list(temperatures), "every temperature once"))
    if simulate.thermostat == "nose-hoover" and simulate.thermostat_fs < 10 * simulate.timestep_fs:
        allowed = f"at least 10 time steps, {10 * simulate.timestep_fs:g} fs, with nose-hoover"
        found.append(Problem(f"{at}.simulate.thermostat_fs", simulate.thermostat_fs, allowed))
    return found


def _start_problems(at: str, level: Level, source: Level) -> Iterator[Problem]:
    """What keeps a training from starting with the potentials of another level."""
    name = source.name
    if level.train.compares:
        yield from _compared_problems(at, level, source)
    elif level.student.network == "pair":
        allowed = "nothing with network: pair, which is fitted and not trained, or objective: relative_entropy"
        yield Problem(f"{at}.train.start_level", name, allowed)
    if level.student.start:
        yield Problem(f"{at}.student.start", level.student.start, f"nothing with train.start_level: {name}")
    if not source.trained:
        # what they are stands in their files
        return
    for key, own, other in differing(level.student, source.student):
        yield Problem(f"{at}.student.{key}", own, f"{other}, as at {name}, where train.start_level starts")
    if level.baseline != source.baseline:
        told, other = (json.dumps(one.baseline.model_dump()) for one in (level, source))
        yield Problem(f"{at}.baseline", told, f"{other}, as at {name}, where train.start_level starts")
    if level.train.precision != source.train.precision:
        allowed = f"{source.train.precision}, as at {name}, where train.start_level starts"
        yield Problem(f"{at}.train.precision", level.train.precision, allowed)


def _compared_problems(at: str, level: Level, source: Level) -> Iterator[Problem]:
    """What keeps every member from being compared with what itself has simulated at another level."""
    name, members = source.name, len(source.members())
    if len(level.members()) > members:
        allowed = f"at most {members}, with objective: relative_entropy, for {name} has no more to start from"
        yield Problem(f"{at}.student.committee", level.student.committee, allowed)
    elif len(level.members()) > 1 and source.simulate.driver == "first":
        allowed = "a level with simulate.driver: each, or student.committee: 1, with objective: relative_entropy"
        yield Problem(f"{at}.train.start_level", name, allowed)


def _silent_sections(at: str, level: Level) -> Iterator[Problem]:
    """What is said of labels and training where they are published."""
    labels = "nothing with teacher.engine: published, whose dataset is there already"
    for name in sorted(level.model_fields_set & {"label", "collect"}):
        yield Problem(f"{at}.{name}", "a section", labels)
    if level.trained:
        return
    potentials = "nothing with teacher.potentials, which are there already"
    for name in sorted(level.model_fields_set & {"baseline", "train"}):
        yield Problem(f"{at}.{name}", "a section", potentials)
    for name in sorted(level.student.model_fields_set - {"network"}):
        yield Problem(f"{at}.student.{name}", getattr(level.student, name), potentials)


def _student_problems(at: str, level: Level) -> list[Problem]:
    """What a student cannot have beneath it, or learn from."""
    found = []
    student, train = level.student, level.train
    if student.network == student.prior:
        allowed = "none with network: pair, which is the same by itself"
        found.append(Problem(f"{at}.student.prior", student.prior, allowed))
    if missing := start_missing(student):
        found.append(Problem(f"{at}.student.start", student.start, missing))
    if train.objective == "forces":
        return found
    if (not level.moving and not level.published) or getattr(level.teacher, "bias", None):
        allowed = "forces; frames tell of equilibrium where the teacher moves without a bias, and nowhere else"
        found.append(Problem(f"{at}.train.objective", train.objective, allowed))
    if train.compares and "pair" not in (student.network, student.prior):
        allowed = "pair, for with objective: relative_entropy it is the splines that learn"
        found.append(Problem(f"{at}.student.prior", student.prior, allowed))
    for name in ("energy_weight", "stress_weight"):
        if weight := getattr(train, name):
            allowed = f"0 with objective: {train.objective}, to which labels have a force only"
            found.append(Problem(f"{at}.train.{name}", weight, allowed))
    return found
