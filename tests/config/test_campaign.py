"""The campaign file: what is refused, and that one section's edit changes one stage's specification."""

import json
from pathlib import Path
from typing import Any, get_args

import pytest
import yaml

from saltern.config import (
    BiasConfig,
    Campaign,
    LabelSpec,
    Level,
    OpenmmTeacher,
    SampleSpec,
    SimulateSpec,
    StudentConfig,
    System,
    TrainConfig,
    TrainSpec,
    campaign_from,
    load_campaign,
    reference,
)
from saltern.errors import UserError

ROOT = Path(__file__).parents[2]
STAGES = ("sample", "label", "collect", "train", "simulate", "observe")


@pytest.fixture
def demo() -> dict[str, Any]:
    return yaml.safe_load((ROOT / "config/demo.yaml").read_text())


def lines(data: dict[str, Any], source: str = "my.yaml") -> tuple[str, ...]:
    with pytest.raises(UserError) as caught:
        campaign_from(data, source)
    assert all("\n" not in line and line.startswith(source) for line in caught.value.lines)
    return caught.value.lines


def test_demo_is_valid_and_as_large_as_promised() -> None:
    campaign = load_campaign(ROOT / "config/demo.yaml")
    systems = campaign.expanded().values()
    assert {s.salt for s in systems} >= {"NaCl", "LiCl"}
    assert len({s.temperature for s in systems}) >= 2
    assert len({s.molality for s in systems}) >= 2
    assert all(16 <= s.solvent_molecules <= 32 for s in systems)
    assert len(systems) * campaign.levels[0].sample.frames >= 100


LEVEL = ("levels", 0)
MISTAKES: list[tuple[tuple[Any, ...], Any, str]] = [
    (("systms",), 1, "systms: unknown key; did you mean 'systems'?"),
    ((*LEVEL, "teacher"), {}, "levels.0.teacher.engine: required, but missing"),
    ((*LEVEL, "teacher", "methd"), "x", "levels.0.teacher.methd: unknown key; did you mean 'method'?"),
    ((*LEVEL, "simulate", "ensemble"), "npt", "levels.0.simulate.ensemble: 'npt' is not allowed; allowed: 'nvt' or"),
    ((*LEVEL, "teacher", "engine"), "tblit", "levels.0.teacher.engine: 'tblit' is not allowed; allowed: 'tblite', "),
    ((*LEVEL, "train", "epochs"), "many", "levels.0.train.epochs: 'many' is not allowed"),
    ((*LEVEL, "student", "r_max_A"), float("nan"), "levels.0.student.r_max_A"),
    (("systems", 0, "molality"), [1, -2], "systems.0.molality.1: -2 is not allowed; allowed: greater than or equal to"),
    (("systems",), [], "systems: "),
    (("campaign",), "../elsewhere", "campaign: '../elsewhere' is not allowed"),
]


@pytest.mark.parametrize(("path", "value", "expected"), MISTAKES)
def test_a_mistake_is_told_in_one_line(demo: dict[str, Any], path: tuple[Any, ...], value: Any, expected: str) -> None:
    place: Any = demo
    for part in path[:-1]:
        place = place[part]
    place[path[-1]] = value
    (line,) = lines(demo)
    assert line.startswith(f"my.yaml: {expected}")


def test_every_mistake_is_told(demo: dict[str, Any]) -> None:
    demo["campaing"] = 1
    demo["levels"][0]["sample"]["frames"] = 0
    del demo["levels"][0]["teacher"]
    assert len(lines(demo)) == 3


def test_contradictions_across_sections_are_told(demo: dict[str, Any]) -> None:
    level = demo["levels"][0]
    level["sample"]["frames"] = 2
    level["collect"] = {"validation_fraction": 0.5, "test_fraction": 0.5}
    level["simulate"] |= {"save_every_fs": 0.1, "thermostat": "nose-hoover", "thermostat_fs": 2}
    level["sample"]["engine"] = "potential"
    found = lines(demo)
    assert [line.split(": ")[1] for line in found] == [
        "levels.0.sample.frames", "levels.0.sample.potential", "levels.0.collect.test_fraction",
        "levels.0.simulate.save_every_fs", "levels.0.simulate.thermostat_fs",
    ]  # fmt: skip


def test_what_a_student_cannot_be_or_learn_from_is_told(demo: dict[str, Any]) -> None:
    level = demo["levels"][0]
    level["student"] = {"network": "pair", "prior": "pair"}
    level["train"] |= {"objective": "score", "energy_weight": 1.0}
    assert [line.split(": ")[1] for line in lines(demo)] == [
        "levels.0.student.prior", "levels.0.train.objective", "levels.0.train.energy_weight",
    ]  # fmt: skip
    level |= {"teacher": {"engine": "openmm"}, "sample": {"engine": "packed"}}
    level["student"]["prior"] = "none"
    level["train"]["energy_weight"] = 0.0
    campaign_from(demo, "my.yaml")


@pytest.fixture
def two(demo: dict[str, Any]) -> dict[str, Any]:
    """The demo with a level of ions that its level of atoms teaches."""
    ions = {
        "name": "ions",
        "teacher": {"level": "atoms"},
        "sample": {"engine": "packed"},
        "train": {"energy_weight": 0},
    }
    demo["levels"].append(ions)
    return demo


def test_a_level_may_teach_the_next_one(two: dict[str, Any]) -> None:
    short = campaign_from(two, "my.yaml")
    atoms, ions = short.levels
    assert short.above(ions) is atoms and short.above(atoms) is None
    assert ions.moving and not atoms.moving
    assert (
        json.loads(ions.spec("label"))["teacher"] | {"engine": "level", "level": "atoms"} == ions.teacher.model_dump()
    )
    assert LabelSpec.model_validate_json(ions.spec("label")).teacher == ions.teacher
    two["levels"][1]["teacher"]["engine"] = "level"
    assert campaign_from(two, "my.yaml") == short


def test_a_system_may_be_simulated_alone(two: dict[str, Any]) -> None:
    trained = next(iter(campaign_from(two, "my.yaml").expanded().values()))
    two["systems"].append({**trained.model_dump(), "role": "simulate", "name": "free", "levels": ["ions"]})
    campaign = campaign_from(two, "my.yaml")
    assert not campaign.expanded()["free"].labelled, "though it is an electrolyte that is trained on"
    two["systems"] = [{**entry, "levels": ["atoms"]} for entry in two["systems"][:-1]] + two["systems"][-1:]
    (line,) = lines(two)
    assert "levels.1: 'ions'" in line
    assert line.endswith("a level that systems are for, and there is none to be labelled")


def test_students_of_one_teacher_share_its_labels(two: dict[str, Any]) -> None:
    ions = two["levels"][1]
    two["levels"] += [{**ions, "name": "pairs", "student": {"network": "pair"}, "collect": {"seed": 1}}]
    campaign = campaign_from(two, "my.yaml")
    assert [campaign.labelled_at(level).name for level in campaign.levels] == ["atoms", "ions", "ions"]
    for other in ({"label": {"max_force_eV_A": 9}}, {"sample": {"engine": "packed", "frames": 99}}):
        two["levels"][2] = {**ions, "name": "pairs", **other}
        campaign = campaign_from(two, "my.yaml")
        assert campaign.labelled_at(campaign.levels[2]).name == "pairs", other
    two["levels"][2] = {**ions, "name": "pairs"}
    two["systems"] = [{**entry, "levels": ["atoms", "ions"]} for entry in two["systems"]]
    two["systems"].append({"salt": "LiCl", "molality": 1, "levels": ["pairs"]})
    campaign = campaign_from(two, "my.yaml")
    assert campaign.labelled_at(campaign.levels[2]).name == "pairs"


@pytest.mark.parametrize(
    ("changes", "expected"),
    [
        (
            {"teacher": {"level": "atom"}},
            "levels.1.teacher.level: 'atom' is not allowed; allowed: a level above",
        ),
        (
            {"teacher": {"level": "ions"}},
            "levels.1.teacher.level: 'ions' is not allowed; allowed: a level above",
        ),
        (
            {"teacher": {"level": "atoms", "timestep": 1}},
            "levels.1.teacher.timestep: unknown key; did you mean 'time",
        ),
        ({"teacher": {"engine": "level"}}, "levels.1.teacher.level: required, but missing"),
        ({"name": "atoms"}, "levels.1.name: 'atoms' is not allowed; allowed: another name for every level"),
        ({"train": {}}, "levels.1.train.energy_weight: 1.0 is not allowed; allowed: 0; a mean force has no energy"),
        ({"sample": {}}, "levels.1.sample.engine: 'openmm' is not allowed; allowed: packed"),
    ],
)
def test_a_level_that_cannot_be_taught_is_told(two: dict[str, Any], changes: dict[str, Any], expected: str) -> None:
    two["levels"][1] |= changes
    (line,) = lines(two)
    assert line.startswith(f"my.yaml: {expected}")


def test_a_level_may_sample_with_the_student_of_one_above(two: dict[str, Any]) -> None:
    cheap = two["levels"][0]
    exact = {**cheap, "name": "exact", "sample": {**cheap["sample"], "engine": "potential", "level": cheap["name"]}}
    two["levels"] = [cheap, exact]
    campaign = campaign_from(two, "my.yaml")
    above, level = campaign.levels
    assert campaign.sampling(level) is above
    assert campaign.sampling(above) is None
    assert campaign.labelled_at(level) is level
    assert json.loads(level.spec("sample"))["sample"]["level"] == above.name
    assert "level" not in json.loads(above.spec("sample"))["sample"], "what was sampled before this key was there stays"
    assert SampleSpec.model_validate_json(above.spec("sample")).sample == above.sample


@pytest.mark.parametrize(
    ("sample", "expected"),
    [
        ({"engine": "potential", "level": "exact"}, "level: 'exact' is not allowed; allowed: a level above this one"),
        (
            {"engine": "potential", "level": "ions"},
            "level: 'ions' is not allowed; allowed: a level above this one whose student knows the solvent: atoms",
        ),
        (
            {"engine": "potential", "level": "atoms", "potential": "p"},
            "potential: 'p, atoms' is not allowed; allowed: a ",
        ),
        ({"level": "atoms"}, "potential: 'atoms' is not allowed; allowed: a file or, as sample.level, a level with"),
    ],
)
def test_a_level_that_cannot_sample_is_told(two: dict[str, Any], sample: dict[str, Any], expected: str) -> None:
    two["levels"].append({**two["levels"][0], "name": "exact", "sample": sample})
    (line,) = lines(two)
    assert line.startswith(f"my.yaml: levels.2.sample.{expected}")


def test_a_bias_is_told_where_there_is_one(two: dict[str, Any]) -> None:
    two["levels"][1] |= {"teacher": {"engine": "openmm", "bias": {"distance_A": 3.1, "depth_kT": 4}}}
    (_, biased), two["levels"][1]["teacher"] = campaign_from(two, "my.yaml").levels, {"engine": "openmm"}
    _, plain = campaign_from(two, "my.yaml").levels
    assert LabelSpec.model_validate_json(biased.spec("label")).teacher == biased.teacher
    assert "bias" not in plain.spec("label"), "what was labelled before this key was there stays"


def test_training_may_start_from_a_level_above(two: dict[str, Any]) -> None:
    cheap = two["levels"][0]
    exact = {**cheap, "name": "exact", "train": {"start_level": cheap["name"]}}
    two["levels"] = [cheap, exact]
    campaign = campaign_from(two, "my.yaml")
    above, level = campaign.levels
    assert campaign.starting(level) is above
    assert campaign.starting(above) is None
    assert "start_level" in level.spec("train")
    assert "start_level" not in above.spec("train"), "what was trained before this key was there stays"


@pytest.mark.parametrize(
    ("changes", "expected"),
    [
        (
            {"train": {"start_level": "gone"}},
            "train.start_level: 'gone' is not allowed; allowed: a level above this one: atoms",
        ),
        (
            {"train": {"start_level": "exact"}},
            "train.start_level: 'exact' is not allowed; allowed: a level above this one: atoms",
        ),
        (
            {"student": {"l_max": 1}},
            "student.l_max: 1 is not allowed; allowed: 2, as at atoms, where train.start_level starts",
        ),
        (
            {"baseline": {"permittivity": 50}},
            'baseline: \'{"kind": "coulomb", "permittivity": 50.0}\' is not allowed; allowed: {"kind": "coulomb"}, ',
        ),
        (
            {"train": {"start_level": "atoms", "precision": "float64"}},
            "train.precision: 'float64' is not allowed; allowed: float32, as at atoms",
        ),
        (
            {"student": {"network": "sevennet", "start": "sevennet-0"}},
            "student.start: 'sevennet-0' is not allowed; allowed: nothing with train.start_level: atoms",
        ),
    ],
)
def test_a_start_of_another_kind_is_told(two: dict[str, Any], changes: dict[str, Any], expected: str) -> None:
    two["levels"][0] |= {"student": {}}
    two["levels"][1] = {**two["levels"][0], "name": "exact", "train": {"start_level": "atoms"}, **changes}
    assert lines(two)[0].startswith(f"my.yaml: levels.1.{expected}")


def test_a_spline_is_no_start_and_a_published_potential_is_one(two: dict[str, Any], published: dict[str, Any]) -> None:
    spline = {"student": {"network": "pair"}}
    exact = {**two["levels"][0], "name": "exact", "train": {"start_level": "atoms"}}
    two["levels"] = [{**two["levels"][0], **spline}, {**exact, **spline}]
    (line,) = lines(two)
    assert line.endswith("train.start_level: 'atoms' is not allowed; allowed: nothing with network: pair, which is "
                         "fitted and not trained, or objective: relative_entropy")  # fmt: skip
    two["levels"] = [published, exact]
    assert campaign_from(two, "my.yaml").levels[0].published


def test_a_level_may_learn_from_what_another_has_simulated(two: dict[str, Any]) -> None:
    """Of a committee every member has to have simulated, and all the systems that are trained on."""
    first = two["levels"][1] | {"name": "first", "student": {"prior": "pair"}, "teacher": {"engine": "openmm"}}
    first["simulate"] = {"replicas": 3, "driver": "each"}
    compared = {"energy_weight": 0, "start_level": "first", "objective": "relative_entropy"}
    second = {**first, "name": "second", "train": compared}

    def told(**changes: Any) -> list[str]:
        """Of a second level that is another, or of a first one."""
        two["levels"] = [{**first, **changes.pop("above", {})}, {**second, **changes}]
        try:
            campaign_from(two, "my.yaml")
        except UserError as error:
            return [line.removeprefix("my.yaml: levels.1.") for line in error.lines]
        return []

    assert told() == []
    assert told(student={"prior": "pair", "committee": 1}, above={"simulate": {}}) == []
    where = "with objective: relative_entropy"
    assert told(above={"simulate": {}}) == [
        "train.start_level: 'first' is not allowed; allowed: a level with simulate.driver: each, or "
        f"student.committee: 1, {where}"
    ]
    assert told(student={"prior": "pair", "committee": 4}, simulate={}) == [
        f"student.committee: 4 is not allowed; allowed: at most 3, {where}, for first has no more to start from"
    ]
    assert told(train={**compared, "start_level": None}) == [
        "train.start_level: None is not allowed; allowed: a level above this one: first"
    ]
    assert told(train={**compared, "energy_weight": 1.0})[-1] == (
        "train.energy_weight: 1.0 is not allowed; allowed: 0 with objective: relative_entropy, to which labels have a "
        "force only"
    )
    assert told(student={}, above={"student": {}}) == [
        f"student.prior: 'none' is not allowed; allowed: pair, for {where} it is the splines that learn"
    ]
    elsewhere = told(above={"simulate": {**first["simulate"], "temperatures": [350]}})
    only = "train.start_level: 'first' is not allowed; allowed: a level that simulates "
    assert elsewhere
    assert all(line.startswith(only) and line.endswith(f" at 298.15 K, {where}") for line in elsewhere)
    spline = {"network": "pair", "committee": 1}
    assert told(student=spline, above={"student": spline}) == [], "splines alone are moved, too"


@pytest.mark.parametrize("objective", ["score", "relative_entropy"])
def test_biased_frames_are_no_equilibrium(two: dict[str, Any], objective: str) -> None:
    two["levels"][1]["student"] = {"prior": "pair"}
    start = {"start_level": two["levels"][1]["name"]} if objective == "relative_entropy" else {}
    biased = {"engine": "openmm", "bias": {"distance_A": 3.1, "depth_kT": 4}}
    train = {"energy_weight": 0, "objective": objective, **start}
    two["levels"].append({**two["levels"][1], "name": "third", "teacher": biased, "train": train})
    two["levels"][1]["simulate"] = {"replicas": 3, "driver": "each"}
    (line,) = lines(two)
    assert line == (
        f"my.yaml: levels.2.train.objective: {objective!r} is not allowed; allowed: forces; frames tell of equilibrium "
        "where the teacher moves without a bias, and nowhere else"
    )


def test_what_others_have_learned_is_not_learned_again(two: dict[str, Any], published: dict[str, Any]) -> None:
    two["levels"] = [published]
    two["systems"] = [{**entry, "role": "simulate"} for entry in two["systems"]]
    campaign = campaign_from(two, "my.yaml")
    [level] = campaign.levels
    assert list(level.members()) == ["m0000", "m0001"], "as many as there are files"
    assert level.published is not None
    assert campaign.teachers == ()
    assert all(campaign.asked_at(system.levels, labelled=True) == [] for system in campaign.expanded().values())
    two["levels"] = [{**published, "train": {}, "student": {"network": "nequip", "committee": 3}}]
    told = "nothing with teacher.potentials, which are there already"
    assert lines(two) == (
        f"my.yaml: levels.0.train: 'a section' is not allowed; allowed: {told}",
        f"my.yaml: levels.0.student.committee: 3 is not allowed; allowed: {told}",
    )


def test_what_others_have_labelled_can_be_learned(two: dict[str, Any], published: dict[str, Any]) -> None:
    del published["teacher"]["potentials"]
    learning = {"student": {"committee": 3}, "train": {"objective": "score", "energy_weight": 0}}
    two["levels"] = [{**published, **learning, "baseline": {"permittivity": 72}}]
    campaign = campaign_from(two, "my.yaml")
    [level] = campaign.levels
    assert (level.trained, list(level.members())) == (True, ["m0000", "m0001", "m0002"])
    assert campaign.teachers == ()
    two["levels"] = [{**published, "collect": {}, "label": {"batch": 3}}]
    told = "nothing with teacher.engine: published, whose dataset is there already"
    assert lines(two) == tuple(
        f"my.yaml: levels.0.{name}: 'a section' is not allowed; allowed: {told}" for name in ("collect", "label")
    )


@pytest.mark.parametrize(
    ("key", "value", "told"),
    [
        ("potentials", ["gone.safetensors"], ".potentials.0: 'gone.safetensors'"),
        ("dataset", "gone", ".dataset: 'gone'"),
    ],
)
def test_what_is_published_must_be_there(
    demo: dict[str, Any], published: dict[str, Any], key: str, value: object, told: str
) -> None:
    demo["levels"] = [{**published, "teacher": {**published["teacher"], key: value}}]
    (line,) = lines(demo)
    assert line == (
        f"my.yaml: levels.0.teacher{told} is not allowed; allowed: a file that is there, as seen from where the "
        "campaign is run"
    )


def test_what_is_published_must_have_frames_to_tell_errors_from(
    demo: dict[str, Any], published: dict[str, Any], tmp_path: Path
) -> None:
    demo["levels"] = [published]
    (tmp_path / "dataset/manifest.json").write_text('{"frames": {"train": 2, "test": 0}}')
    (line,) = lines(demo)
    assert line == (
        f"my.yaml: levels.0.teacher.dataset: '{tmp_path / 'dataset'}' is not allowed; allowed: a release with test "
        "frames; saltern dataset merge joins releases"
    )


def test_ions_cannot_teach_where_they_know_no_solvent(two: dict[str, Any]) -> None:
    two["levels"].append({**two["levels"][1], "name": "third", "teacher": {"level": "ions"}})
    (line,) = lines(two)
    assert line.endswith("levels.2.teacher.level: 'ions' is not allowed; allowed: a level above this one whose student "
                         "knows the solvent: atoms")  # fmt: skip


def test_systems_may_be_for_some_levels(two: dict[str, Any]) -> None:
    """Small boxes for electronic structure, large ones for ions, and pure water for all atoms alone."""
    everywhere = two["systems"][0]
    two["systems"] = [
        everywhere,
        {"salt": "LiCl", "molality": 2, "name": "small", "levels": ["atoms"]},
        {"salt": "LiCl", "molality": 2, "name": "large", "levels": ["ions"], "solvent_molecules": 400},
        {"name": "water", "levels": ["atoms"]},
    ]
    campaign = campaign_from(two, "my.yaml")
    atoms, ions = (set(campaign.systems_of(level)) for level in campaign.levels)
    assert atoms ^ ions == {"small", "large", "water"}
    assert len(atoms & ions) == 4
    systems = campaign.expanded()
    assert json.loads(systems["small"].told)["levels"] == ["atoms"]
    assert all("levels" not in json.loads(systems[name].told) for name in atoms & ions), "composed as ever"
    without = System(**systems["large"].model_dump(exclude={"levels", "name"}))
    assert without.id == System(**systems["large"].model_dump(exclude={"name"})).id
    two["systems"][1]["levels"] = ["atom"]
    two["systems"][3] |= {"salt": "LiCl", "molality": [0, 1], "levels": ["atoms", "ions"]}
    del two["systems"][3]["name"]
    one, other = lines(two)
    assert one.startswith("my.yaml: systems.1.levels: 'atom' is not allowed; allowed: names of levels: atoms, ions")
    why = "for without a salt nothing is left of it on a level of ions (sample.engine: packed)"
    assert other.endswith(f"allowed: some of [atoms], {why}")
    for entry in two["systems"]:
        entry["levels"] = ["atoms"]
    assert lines(two)[-1].startswith("my.yaml: levels.1: 'ions' is not allowed; allowed: a level that systems are for")


def test_what_settles_is_for_teachers_that_move_and_leaves_other_specifications_alone(two: dict[str, Any]) -> None:
    before = [level.spec("label") for level in campaign_from(two, "my.yaml").levels]
    assert all("settled" not in json.loads(spec)["label"] for spec in before)
    entry = {"pair": ["Na", "Cl"], "within_A": 3.75, "coordination": 0.67}
    two["levels"][1]["label"] = {"settled": entry}
    (told,) = json.loads(campaign_from(two, "my.yaml").levels[1].spec("label"))["label"]["settled"]
    assert told == entry | {"tolerance": 0.05, "system": None}
    two["levels"][0]["label"] = {"settled": [entry]}
    (line,) = lines(two)
    assert "levels.0.label.settled" in line


def test_a_campaign_without_frames_to_test_is_told_before_anything_is_labelled(demo: dict[str, Any]) -> None:
    demo["systems"] = [{"salt": "NaCl", "molality": [1, 2]}]
    demo["levels"][0]["collect"] = {"test_fraction": 0}
    (line,) = lines(demo)
    assert line == (
        "my.yaml: levels.0.collect.test_fraction: 0.0 is not allowed; allowed: above 0 where neither a system with "
        "role: test nor collect.hold_out gives frames to tell errors from"
    )
    demo["systems"].append({"salt": "LiCl", "role": "test"})
    campaign_from(demo, "my.yaml")
    demo["systems"].pop()
    demo["levels"][0]["collect"]["hold_out"] = [{"temperature": 300}]
    campaign_from(demo, "my.yaml")


def test_too_few_groups_for_the_splits_are_told_before_anything_is_labelled(demo: dict[str, Any]) -> None:
    demo["systems"] = [
        {"salt": "NaCl", "molality": [1, 2], "temperature": [300, 350]},
        {"salt": "LiCl", "role": "test"},
    ]
    for by, groups in (("salt", 1), ("molality", 2)):
        demo["levels"][0]["collect"] = {"split_by": by}
        (line,) = lines(demo)
        assert line.startswith(
            f"my.yaml: levels.0.collect.split_by: '{by}' is not allowed; allowed: what makes 3 groups"
        )
        assert line.endswith(f"it makes {groups}")
    for collect in ({"split_by": "system"}, {"split_by": "molality", "validation_fraction": 0}):
        demo["levels"][0]["collect"] = collect
        campaign_from(demo, "my.yaml")


def test_test_systems_must_not_be_trained_on(demo: dict[str, Any]) -> None:
    demo["systems"].append({**demo["systems"][0], "role": "test", "seed": 7})
    assert all("disjoint" in line for line in lines(demo))


def test_two_systems_must_not_share_files(demo: dict[str, Any]) -> None:
    demo["systems"][0]["name"] = "mine"
    assert all("another identifier" in line for line in lines(demo))


def test_identifiers_stay_when_systems_are_added(demo: dict[str, Any]) -> None:
    before = list(Campaign.model_validate(demo).expanded())
    demo["systems"].insert(0, {"salt": "KCl", "molality": 1.0, "solvent_molecules": 32})
    after = list(Campaign.model_validate(demo).expanded())
    assert after[1:] == before


def test_systems_may_be_a_table(demo: dict[str, Any], tmp_path: Path) -> None:
    (tmp_path / "systems.tsv").write_text("salt\tmolality\tname\nNaCl\t2\tone\nLiCl\t[1, 2]\t\n")
    demo["systems"] = "systems.tsv"
    (tmp_path / "c.yaml").write_text(yaml.safe_dump(demo))
    systems = load_campaign(tmp_path / "c.yaml").expanded()
    assert next(iter(systems)) == "one"
    assert [(s.salt, s.molality) for s in systems.values()] == [("NaCl", 2), ("LiCl", 1), ("LiCl", 2)]
    (tmp_path / "systems.tsv").write_text("salt\tmolality\nNaCl\n")
    with pytest.raises(UserError, match=r"systems.tsv: line 2"):
        load_campaign(tmp_path / "c.yaml")


@pytest.mark.parametrize("content", ["a: [", "- 1\n- 2\n", "", "\xff"])
def test_files_that_are_not_campaigns_give_one_line(tmp_path: Path, content: str) -> None:
    path = tmp_path / "c.yaml"
    path.write_bytes(content.encode("latin-1"))
    with pytest.raises(UserError) as caught:
        load_campaign(path)
    assert len(caught.value.lines) == 1
    assert "\n" not in caught.value.lines[0]


@pytest.mark.parametrize(
    ("section", "key", "value", "stage"),
    [
        ("sample", "every_ps", 9.0, "sample"),
        ("label", "max_force_eV_A", 9.0, "label"),
        ("teacher", "accuracy", 2.0, "label"),
        ("collect", "seed", 9, "collect"),
        ("baseline", "kind", "none", "train"),
        ("student", "features", 9, "train"),
        ("train", "epochs", 9, "train"),
        ("simulate", "length_ps", 9.0, "simulate"),
        ("observe", "blocks", 9, "observe"),
        ("label", "batch", 9, None),
        ("student", "committee", 9, None),
        ("simulate", "replicas", 9, None),
        ("simulate", "driver", "each", None),
    ],
)
def test_editing_a_section_changes_the_specification_of_its_stage_only(
    demo: dict[str, Any], section: str, key: str, value: Any, stage: str | None
) -> None:
    before = Campaign.model_validate(demo).levels[0]
    demo["levels"][0].setdefault(section, {})[key] = value
    after = Campaign.model_validate(demo).levels[0]
    assert {s for s in STAGES if before.spec(s) != after.spec(s)} == ({stage} if stage else set())


def test_members_drive_in_turn(two: dict[str, Any]) -> None:
    ions = two["levels"][1]
    ions["student"] = {**ions.get("student", {}), "committee": 2}
    ions["simulate"] = {"replicas": 5, "batch": 2}
    assert Campaign.model_validate(two).levels[1].drivers() == {"r0000": 0, "r0001": 0, "r0002": 0}
    ions["simulate"]["driver"] = "each"
    assert Campaign.model_validate(two).levels[1].drivers() == {"r0000": 0, "r0001": 1, "r0002": 0}
    ions["simulate"]["batch"] = 5
    (line,) = lines(two)
    assert "levels.1.simulate.driver: 'each' is not allowed; allowed: first where there are fewer jobs" in line
    assert line.endswith("1 of up to `batch` replicas, than members, 2")


def test_mean_forces_are_taught_in_larger_batches_unless_a_size_is_given() -> None:
    assert TrainConfig().batch == 5
    assert TrainConfig(energy_weight=0).batch == 50
    assert TrainConfig(energy_weight=0, batch=7).batch == 7


def test_specifications_come_back(demo: dict[str, Any]) -> None:
    level = Campaign.model_validate(demo).levels[0]
    assert TrainSpec.model_validate_json(level.spec("train")).train == level.train
    assert SimulateSpec.model_validate_json(level.spec("simulate")).simulate.length_ps == level.simulate.length_ps
    assert LabelSpec.model_validate_json(level.spec("label")).teacher == level.teacher


def test_batches_cover_every_frame_once(demo: dict[str, Any]) -> None:
    demo["levels"][0]["sample"]["frames"] = 107
    demo["levels"][0]["label"]["batch"] = 25
    batches = Campaign.model_validate(demo).levels[0].batches(atoms=74)
    assert [i for frames in batches.values() for i in frames] == list(range(107))
    assert list(batches) == ["b0000", "b0001", "b0002", "b0003", "b0004"]


def test_written_reference_and_schema_are_those_of_the_program() -> None:
    assert (ROOT / "config/README.md").read_text() == reference(), "saltern schema --format markdown > config/README.md"
    assert json.loads((ROOT / "config/campaign.schema.json").read_text()) == Campaign.model_json_schema()


def test_every_key_is_documented() -> None:
    def check(schema: dict[str, Any]) -> None:
        for name, key in schema.get("properties", {}).items():
            assert key.get("description"), name
        assert schema.get("additionalProperties") is False

    schema = Campaign.model_json_schema()
    check(schema)
    for part in schema["$defs"].values():
        check(part)


def test_a_temperature_of_its_own_name_and_no_new_simulation(demo: dict[str, Any]) -> None:
    def level(temperatures: list[float] | None) -> Level:
        demo["levels"][0]["simulate"]["temperatures"] = temperatures
        return Campaign.model_validate(demo).levels[0]

    system = next(s for s in Campaign.model_validate(demo).expanded().values() if s.temperature == 298.15)
    assert level(None).states(system) == {system.id: 298.15}
    swept = level([250, 298.15, 350]).states(system)
    assert list(swept.values()) == [250, 298.15, 350]
    assert swept[system.id] == 298.15, "as if nothing but its own temperature were asked for"
    more = level([400, 350, 273.15, 250, 298.15]).states(system)
    assert swept.items() <= more.items(), "names stay when others come"
    assert len(set(more)) == 5
    assert level([250, 350]).spec("simulate") == level(None).spec("simulate")


def test_a_temperature_twice_is_told(demo: dict[str, Any]) -> None:
    demo["levels"][0]["simulate"]["temperatures"] = [300, 350, 300]
    (line,) = lines(demo)
    assert "levels.0.simulate.temperatures" in line
    assert line.endswith("every temperature once")


@pytest.mark.parametrize(
    ("student", "at"),
    [
        ({"network": "nequip", "radial": "series"}, "radial"),
        ({"network": "nequip", "start": "sevennet-0"}, "start"),
        ({"network": "mace", "kernels": "torch"}, "kernels"),
        ({"correlation": 2}, "correlation"),
        ({"network": "pair", "layers": 2}, "layers"),
        ({"network": "pair", "readout": "perceptron"}, "readout"),
        ({"network": "mace", "message": "attention"}, "message"),
        ({"network": "sevennet", "start": "sevennet-0", "prior": "pair"}, "prior"),
        ({"network": "sevennet", "start": "sevennet-0", "r_max_A": 4.5}, "r_max_A"),
        ({"network": "sevennet", "start": "sevennet-0", "features": 32}, "features"),
    ],
)
def test_what_a_network_cannot_take_is_refused(demo: dict[str, Any], student: dict[str, Any], at: str) -> None:
    demo["levels"][0]["student"] = student
    (line,) = lines(demo)
    assert line.startswith(f"my.yaml: levels.0.student.{at}: ")
    assert " is not allowed; allowed: the default with " in line


@pytest.mark.parametrize(
    ("network", "start", "allowed"),
    [
        ("sevennet", "sevennet-1", "sevennet-0 with network: sevennet"),
        ("mace", "no.model", "a file that is there, as seen from where the campaign is run"),
    ],
)
def test_weights_to_start_from_have_to_be_there(demo: dict[str, Any], network: str, start: str, allowed: str) -> None:
    demo["levels"][0]["student"] = {"network": network, "start": start}
    (line,) = lines(demo)
    assert line == f"my.yaml: levels.0.student.start: '{start}' is not allowed; allowed: {allowed}"


def test_a_checkpoint_brings_its_shape_but_for_the_cutoff(demo: dict[str, Any], tmp_path: Path) -> None:
    (tmp_path / "mace.model").touch()
    student = {"network": "mace", "start": str(tmp_path / "mace.model"), "r_max_A": 6.0}
    demo["levels"][0]["student"] = student
    assert campaign_from(demo, "my.yaml").levels[0].student.checkpoint == student["start"]
    demo["levels"][0]["student"] = {**student, "correlation": 2}
    (line,) = lines(demo)
    assert line.endswith(f"allowed: the default with start: {student['start']}, whose shape is its own")


def test_networks_of_other_packages_have_environments_of_their_own() -> None:
    networks = get_args(StudentConfig.model_fields["network"].annotation)
    found = {network: StudentConfig(network=network).environment for network in networks}
    assert {network for network, environment in found.items() if environment == "core"} == {
        "equivariant", "cartesian", "unconstrained", "pair",
    }  # fmt: skip
    for environment in found.values():
        assert (ROOT / f"envs/{environment}.yaml").is_file()


@pytest.mark.parametrize(("share", "moved"), [(1.0, "111111"), (0.5, "010101"), (1 / 3, "001001"), (0.7, "011011")])
def test_a_bias_moves_its_share_of_any_number_of_trajectories(share: float, moved: str) -> None:
    teacher = OpenmmTeacher(bias=BiasConfig(distance_A=3, depth_kT=2, share=share))
    assert "".join(str(int(teacher.of(number).bias is not None)) for number in range(6)) == moved
    assert OpenmmTeacher().of(1) == OpenmmTeacher()
