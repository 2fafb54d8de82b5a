"""How large a campaign is, and the limits that refuse it."""

from pathlib import Path
from typing import Any

import pytest
import yaml

from saltern.config import Box, Campaign, campaign_from, exceeded, shared_size, system_size, total
from saltern.errors import UserError
from saltern.systems import too_large

ROOT = Path(__file__).parents[2]


@pytest.fixture
def demo() -> dict[str, Any]:
    return yaml.safe_load((ROOT / "config/demo.yaml").read_text())


def test_the_size_of_the_demo(demo: dict[str, Any]) -> None:
    """206 files with 54 jobs on disk after a run without a label store; 54 jobs leave a record each, 4 of them two."""
    campaign = Campaign.model_validate(demo)
    size = shared_size(campaign) + total(system_size(campaign, Box(74, 4), lambda *_: 2.0) for _ in range(8))
    assert (size.jobs, size.label_jobs, size.frames) == (54, 8, 120)
    assert size.files == 206 + (54 + 3) + 120
    assert size.label_seconds == 240
    assert size.core_hours == pytest.approx((240 + 54 * 5) / 3600)
    assert size.label_overhead == pytest.approx(5 / 35)


def test_frames_of_a_teacher_that_moves_hold_no_solvent(demo: dict[str, Any]) -> None:
    """The bytes of its frames grow with the solute alone; its costs with everything that it moves."""
    ions = {"name": "ions", "teacher": {"level": "atoms"}, "sample": {"engine": "packed", "frames": 10_000},
            "train": {"energy_weight": 0}}  # fmt: skip
    demo["levels"].append(ions)
    campaign = Campaign.model_validate(demo)
    small, wet, salty = (system_size(campaign, Box(*box)) for box in ((300, 20), (600, 20), (300, 40)))
    ten_thousand_frames = 2 * 10_000 * 20 * 64
    assert salty.bytes - small.bytes > ten_thousand_frames
    assert wet.bytes - small.bytes < ten_thousand_frames / 4
    trajectories = campaign.levels[1].sample.trajectories
    assert small.label_jobs == len(campaign.levels[0].batches(300)) + trajectories


def test_a_system_costs_nothing_on_levels_that_it_is_not_for(demo: dict[str, Any]) -> None:
    ions = {
        "name": "ions",
        "teacher": {"level": "atoms"},
        "sample": {"engine": "packed"},
        "train": {"energy_weight": 0},
    }
    atoms = system_size(Campaign.model_validate(demo), Box(74, 4))
    demo["levels"].append(ions)
    both = Campaign.model_validate(demo)
    assert system_size(both, Box(74, 4, ("atoms",))) == atoms
    assert system_size(both, Box(74, 4, ("ions",))).frames == 200
    assert system_size(both, Box(74, 4)).frames == 200 + atoms.frames


def test_a_system_that_is_only_simulated_has_no_labels(demo: dict[str, Any]) -> None:
    campaign = Campaign.model_validate(demo)
    asked, alone = (system_size(campaign, Box(74, 4, labelled=labelled)) for labelled in (True, False))
    assert (alone.frames, alone.label_jobs, alone.label_seconds) == (0, 0, 0)
    assert asked.jobs - alone.jobs == asked.label_jobs + 1, "labels and what collects them"


def test_published_potentials_are_neither_labelled_nor_trained(demo: dict[str, Any], published: dict[str, Any]) -> None:
    trained = Campaign.model_validate(demo)
    demo["levels"] = [{**published, "simulate": demo["levels"][0]["simulate"]}]
    campaign = Campaign.model_validate(demo)
    before, size = (system_size(c, Box(74, 4)) for c in (trained, campaign))
    assert (size.frames, size.label_jobs, size.label_seconds) == (0, 0, 0)
    assert before.jobs - size.jobs == before.label_jobs + 1, "labels and what collects them"
    shared = shared_size(campaign)
    assert shared.jobs == 2 + 2 + 2, "table and report; dataset and errors; two potentials"
    learned = {**published, "student": {"committee": 2}, "teacher": {**published["teacher"], "potentials": []}}
    again = shared_size(Campaign.model_validate({**demo, "levels": [learned]}))
    assert (again.jobs, again.files - shared.files) == (shared.jobs, 4), "each potential with its curve"
    demo["levels"][0]["sample"] = {"engine": "packed", "frames": 200}
    assert system_size(Campaign.model_validate(demo), Box(74, 4)).bytes < size.bytes, "ions alone are kept"


def test_labels_that_levels_share_are_counted_once(demo: dict[str, Any]) -> None:
    once = system_size(Campaign.model_validate(demo), Box(74, 4))
    demo["levels"].append({**demo["levels"][0], "name": "another", "student": {"network": "pair"}})
    both = system_size(Campaign.model_validate(demo), Box(74, 4))
    assert (both.frames, both.label_seconds) == (once.frames, once.label_seconds)
    chunks = len(Campaign.model_validate(demo).levels[0].chunks())
    assert both.jobs == once.jobs + chunks + 1, "simulate and observe"


def test_a_student_that_teaches_costs_what_its_simulation_does(demo: dict[str, Any]) -> None:
    """0.2 ms an atom and step with the default student; others by their size."""
    ions = {
        "name": "ions",
        "teacher": {"level": "atoms"},
        "train": {"energy_weight": 0},
        "sample": {"engine": "packed", "frames": 100, "trajectories": 2, "every_ps": 0.5, "equilibrate_ps": 25},
    }
    demo["levels"].append(ions)
    costs = []
    for student in ({}, {"layers": 1}):
        demo["levels"][0]["student"] = student
        campaign = Campaign.model_validate(demo)
        alone = campaign.model_copy(update={"levels": campaign.levels[1:]})
        costs.append(system_size(campaign, Box(192, 2)).label_seconds)
        atoms = campaign.model_copy(update={"levels": campaign.levels[:1]})
        costs[-1] -= system_size(atoms, Box(192, 2)).label_seconds
        assert system_size(alone, Box(192, 2)).label_seconds == pytest.approx(costs[0])
    assert costs[0] == pytest.approx(100 * 2000 * 192 * 200e-6)
    assert costs[1] == pytest.approx(costs[0] / 3)


def test_more_temperatures_are_more_simulations(demo: dict[str, Any]) -> None:
    once = system_size(Campaign.model_validate(demo), Box(74, 4))
    demo["levels"][0]["simulate"]["temperatures"] = [250, 300, 350]
    thrice = system_size(Campaign.model_validate(demo), Box(74, 4))
    assert thrice.jobs == once.jobs + 2 * 2, "simulate and observe"
    assert (thrice.label_jobs, thrice.label_seconds) == (once.label_jobs, once.label_seconds)
    saved = 200 * (150 + 68 * 74)
    assert thrice.bytes - once.bytes > 2 * saved


def test_batches_follow_from_the_config_when_no_number_is_given(demo: dict[str, Any]) -> None:
    demo["levels"][0]["sample"]["frames"] = 3000
    del demo["levels"][0]["label"]
    level = Campaign.model_validate(demo).levels[0]
    small, large = level.batches(atoms=50), level.batches(atoms=200)
    assert 1 < len(small) < len(large)
    for batches in (small, large):
        assert [i for frames in batches.values() for i in frames] == list(range(3000))


def test_a_limit_is_named_with_what_the_campaign_takes(demo: dict[str, Any]) -> None:
    demo["limits"] = {"jobs": 53, "files": 100_000, "gigabytes": 1e-6, "core_hours": 1e-3}
    with pytest.raises(UserError) as caught:
        campaign_from(demo, "c.yaml", [too_large])
    jobs, gigabytes, hours = caught.value.lines
    assert jobs.startswith("c.yaml: limits.jobs: 53 is not allowed; allowed: at least 54, ")
    assert "limits.gigabytes: 1e-06 is not allowed" in gigabytes
    assert "limits.core_hours: 0.001 is not allowed" in hours


def test_what_the_message_says_is_enough(demo: dict[str, Any]) -> None:
    for key in ("gigabytes", "core_hours"):
        demo["limits"] = {key: 1e-9}
        (problem,) = too_large(Campaign.model_validate(demo))
        demo["limits"] = {key: float(problem.allowed.split()[2].rstrip(",").replace(",", ""))}
        assert too_large(Campaign.model_validate(demo)) == []


def test_limits_hold_for_what_labels_are_found_to_cost(demo: dict[str, Any]) -> None:
    demo["limits"] = {"core_hours": 1}
    campaign = Campaign.model_validate(demo)
    atoms = {"one": Box(74, 4)}
    assert exceeded(campaign, atoms, lambda *_: 1.0) == []
    assert [problem.path for problem in exceeded(campaign, atoms, lambda *_: 300.0)] == ["limits.core_hours"]


def test_systems_that_cannot_be_made_are_told_by_another_check(demo: dict[str, Any]) -> None:
    demo["systems"][0]["salt"] = "XyZ"
    assert too_large(Campaign.model_validate(demo)) == []
