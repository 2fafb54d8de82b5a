"""The campaign file: what is refused, and that one section's edit changes one stage's specification."""

import json
from pathlib import Path
from typing import Any

import pytest
import yaml

from saltern.config import (
    Campaign,
    LabelSpec,
    SimulateSpec,
    StudentConfig,
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
    ],
)
def test_editing_a_section_changes_the_specification_of_its_stage_only(
    demo: dict[str, Any], section: str, key: str, value: Any, stage: str | None
) -> None:
    before = Campaign.model_validate(demo).levels[0]
    demo["levels"][0].setdefault(section, {})[key] = value
    after = Campaign.model_validate(demo).levels[0]
    assert {s for s in STAGES if before.spec(s) != after.spec(s)} == ({stage} if stage else set())


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


@pytest.mark.parametrize(
    ("student", "at"),
    [
        ({"network": "nequip", "radial": "series"}, "radial"),
        ({"network": "nequip", "start": "sevennet-0"}, "start"),
        ({"network": "mace", "kernels": "torch"}, "kernels"),
        ({"correlation": 2}, "correlation"),
        ({"network": "sevennet", "start": "sevennet-0", "r_max_A": 4.5}, "r_max_A"),
        ({"network": "sevennet", "start": "sevennet-0", "features": 32}, "features"),
    ],
)
def test_what_a_network_cannot_take_is_refused(demo: dict[str, Any], student: dict[str, Any], at: str) -> None:
    demo["levels"][0]["student"] = student
    (line,) = lines(demo)
    assert line.startswith(f"my.yaml: levels.0.student.{at}: ")
    assert " is not allowed; allowed: the default with " in line


def test_networks_of_other_packages_have_environments_of_their_own() -> None:
    assert StudentConfig().environment == StudentConfig(network="cartesian").environment == "core"
    assert StudentConfig(network="mace", correlation=2).environment == "mace"
