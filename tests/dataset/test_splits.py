"""Which frames are trained on and which are kept out."""

from itertools import product

import numpy as np
import pandas as pd
import pytest

from saltern.config import CollectConfig, campaign_from
from saltern.errors import UserError
from saltern.store.splits import draw_splits, split_index, split_record


def index_of(salts: str = "LiCl NaCl KCl", molalities: tuple[float, ...] = (0.9, 1.8), frames: int = 4) -> pd.DataFrame:
    """Systems of every salt, molality and temperature, with four trajectories each."""
    rows = [
        (f"{salt}-{molality}-{temperature:g}", f"t{i % 4}", salt, molality, temperature, True)
        for salt, molality, temperature, i in product(salts.split(), molalities, (300.0, 350.0), range(frames))
    ]
    return pd.DataFrame(rows, columns=["system", "trajectory", "salt", "molality", "temperature", "accepted"])


def test_default_draw_is_the_one_that_released_datasets_have() -> None:
    """Pinned from version 0.1.0: another draw would make every later release incomparable with the earlier ones."""
    rows = [(system, trajectory) for system in "abcd" for trajectory in ("t0", "t1", "t2")]
    index = pd.DataFrame(rows, columns=["system", "trajectory"])
    index = index.assign(salt="", molality=0.0, temperature=300.0, accepted=True)
    config = CollectConfig(validation_fraction=0.2, test_fraction=0.3, seed=7)
    found = dict(zip(rows, split_index(index, ["c"], config).tolist(), strict=True))
    tests = {("c", "t0"), ("c", "t1"), ("c", "t2"), ("a", "t1"), ("b", "t0"), ("d", "t2")}
    assert {t for t in rows if found[t] == "test"} == tests
    assert {t for t in rows if found[t] == "validation"} == {("a", "t2"), ("b", "t2")}


@pytest.mark.parametrize("by", ["system", "salt", "molality", "temperature"])
def test_whole_groups_go_to_one_split(by: str) -> None:
    index = index_of("LiCl NaCl KCl CsF", (0.5, 1.0, 2.0))
    index = pd.concat([index, index.assign(system=index["system"] + "x", temperature=325.0)], ignore_index=True)
    split = split_index(index, [], CollectConfig(split_by=by))
    assert set(split) == {"train", "validation", "test"}
    assert index.assign(split=split).groupby(by)["split"].nunique().max() == 1


def test_row_order_changes_nothing_and_the_seed_does() -> None:
    index = index_of()
    config = CollectConfig(split_by="salt")
    shuffled = index.sample(frac=1, random_state=1)
    np.testing.assert_array_equal(split_index(shuffled, [], config), split_index(index, [], config)[shuffled.index])
    draws = {tuple(split_index(index, [], CollectConfig(split_by="salt", seed=seed))) for seed in range(8)}
    assert len(draws) > 2


def test_molalities_that_differ_by_rounding_are_one_group() -> None:
    index = index_of(molalities=(0.9, 0.9 + 1e-9, 1.8, 2.7))
    splits = index.assign(split=split_index(index, [], CollectConfig(split_by="molality")))
    assert splits[np.isclose(splits["molality"], 0.9)]["split"].nunique() == 1
    assert split_record(splits, [], CollectConfig(split_by="molality"))["groups"] == dict.fromkeys(
        ("train", "validation", "test"), 1
    )


def test_refused_frames_have_no_split_and_move_none() -> None:
    index = index_of()
    before = split_index(index, [], CollectConfig())
    index.loc[[0, 5], "accepted"] = False
    after = split_index(index, [], CollectConfig())
    assert after[[0, 5]].tolist() == ["", ""]
    np.testing.assert_array_equal(np.delete(after, [0, 5]), np.delete(before, [0, 5]))


def test_held_out_entries_match_on_all_their_keys_and_are_not_drawn() -> None:
    index = index_of()
    index["molality"] = index["molality"].replace({0.9: 0.90321})
    entries = [{"salt": "KCl", "temperature": 350.0}, {"molality": 0.9032}, {"system": "LiCl-1.8-300"}]
    config = CollectConfig(hold_out=entries, test_fraction=0)
    split = split_index(index, [], config)
    asked = ((index["salt"] == "KCl") & (index["temperature"] == 350)) | (index["molality"] < 1)
    asked |= index["system"] == "LiCl-1.8-300"
    np.testing.assert_array_equal(split == "test", asked)
    # with the rest drawn, whoever is held out uses up no place in the test set
    drawn = split_index(index, [], CollectConfig(hold_out=entries, test_fraction=0.25))
    assert (drawn[~asked] == "test").sum() > 0


def test_an_entry_that_matches_nothing_names_what_there_is() -> None:
    with pytest.raises(UserError) as caught:
        split_index(index_of(), [], CollectConfig(hold_out=[{"salt": "NaCl"}, {"salt": "KBr", "temperature": 300}]))
    assert caught.value.lines == (
        "collect.hold_out.1: no system has salt 'KBr', temperature 300.0; allowed: salt 'KCl', temperature 300.0; "
        "salt 'KCl', temperature 350.0; salt 'LiCl', temperature 300.0; salt 'LiCl', temperature 350.0; "
        "salt 'NaCl', temperature 300.0; salt 'NaCl', temperature 350.0",
    )


def test_nothing_to_train_on_is_an_error_unless_everything_was_asked_to_be_tested() -> None:
    index = index_of("LiCl NaCl")
    with pytest.raises(UserError, match=r"collect.split_by: 'salt' makes 2 groups, none of which is left for training"):
        split_index(index, [], CollectConfig(split_by="salt"))
    assert "train" in split_index(index, [], CollectConfig(split_by="salt", validation_fraction=0))
    with pytest.raises(UserError, match=r"collect.hold_out: everything is held out"):
        split_index(index, [], CollectConfig(hold_out=[{"salt": "LiCl"}, {"salt": "NaCl"}]))
    assert set(split_index(index, index["system"].unique(), CollectConfig(split_by="salt"))) == {"test"}


def test_two_trajectories_can_still_be_released() -> None:
    """As they always could: who trains on the release is told, who only wants labels is not stopped."""
    index = index_of("NaCl", (0.9,))
    index = index[(index["temperature"] == 300) & index["trajectory"].isin(["t0", "t1"])]
    assert set(split_index(index, [], CollectConfig())) == {"test", "validation"}


def test_an_empty_hold_out_entry_is_refused_with_its_place() -> None:
    """It would match every frame."""
    level = {"name": "atoms", "teacher": {"engine": "tblite"}, "collect": {"hold_out": [{"salt": "KCl"}, {}]}}
    with pytest.raises(UserError) as caught:
        campaign_from({"campaign": "x", "systems": [{"salt": "KCl", "molality": 1}], "levels": [level]}, "c.yaml")
    allowed = "allowed: at least one of system, salt, molality, temperature"
    assert caught.value.lines == (f"c.yaml: levels.0.collect.hold_out.1: {allowed}",)


def test_record_names_groups_of_every_split() -> None:
    index = index_of()
    config = CollectConfig(split_by="salt", hold_out=[{"molality": 1.8}])
    index["split"] = split_index(index, ["KCl-0.9-300"], config)
    record = split_record(index, ["KCl-0.9-300"], config)
    assert record["hold_out"] == [{"molality": 1.8}]
    assert record["test_systems"] == ["KCl-0.9-300"]
    assert set(record["names"]["test"]) == {"KCl", "LiCl", "NaCl"}  # held out at 1.8, each of them
    assert len({*record["names"]["train"], *record["names"]["validation"]}) == 2  # one salt each, at 0.9
    assert record["groups"] == {"train": 1, "validation": 1, "test": 3}


def test_fractions_are_shares_of_the_groups() -> None:
    groups = [(f"s{i}", f"t{j}") for i in range(10) for j in range(4)]
    drawn = draw_splits(groups, 0.1, 0.2, 0)
    assert {split: list(drawn.values()).count(split) for split in set(drawn.values())} == {
        "train": 28, "validation": 4, "test": 8,
    }  # fmt: skip
