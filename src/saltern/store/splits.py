"""Which frames are trained on, which steer training, which only measure it."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable
from typing import TYPE_CHECKING, Any

import numpy as np

from saltern.config import CollectConfig
from saltern.errors import UserError
from saltern.frames import Array
from saltern.store.files import text_hash

if TYPE_CHECKING:
    import pandas as pd

Group = tuple[str, ...]
"""What goes to one split as a whole: system and trajectory, or the value of another column."""

SPLITS = ("train", "validation", "test")
_TOLERANCE = {"molality": 5e-4, "temperature": 1e-6}
"""How near to a number of `hold_out` a system must be: cards and tables give the molality that was reached rounded."""


def split_index(index: pd.DataFrame, test_systems: Iterable[str], config: CollectConfig) -> Array:
    """The split of every frame: what is held out first, then whole groups drawn from the rest.

    Groups are drawn from all frames, quarantined ones included, so that no split changes when a label is refused.

    Args:
        index: one row a frame, with system, trajectory, salt, molality (mol/kg), temperature (K) and accepted.
        test_systems: systems of which nothing may be trained on.
        config: how to split.

    Returns:
        (frame,) 'train', 'validation' or 'test', and '' for frames that are not accepted.

    Raises:
        UserError: when an entry of `hold_out` matches no system, or a choice of groups leaves nothing to train on.
    """
    tested = index["system"].isin(list(test_systems)).to_numpy()
    held = tested | _held_out(index, config)
    groups = _groups(index, config.split_by)
    free = {group for group, out in zip(groups, held, strict=True) if not out}
    drawn = draw_splits(free, config.validation_fraction, config.test_fraction, config.seed)
    if _is_chosen(config) and not tested.all() and "train" not in drawn.values():
        raise UserError(_nothing_to_train(free, config))
    splits = ["test" if out else drawn[group] for group, out in zip(groups, held, strict=True)]
    return np.where(index["accepted"].to_numpy(dtype=bool), np.array(splits, dtype=np.str_), "")


def split_record(index: pd.DataFrame, test_systems: Iterable[str], config: CollectConfig) -> dict[str, Any]:
    """How an index with a column `split` was split, as the manifest and the card tell it.

    Returns:
        what JSON can hold: `by`, the fractions, `seed`, `hold_out` and `test_systems`; `groups`, how many there are
        in each split; `names`, which, unless they are trajectories.
    """
    names: dict[str, set[Group]] = {split: set() for split in SPLITS}
    for group, split in zip(_groups(index, config.split_by), index["split"], strict=True):
        if split:
            names[split].add(group)
    record: dict[str, Any] = {
        "by": config.split_by,
        "validation_fraction": config.validation_fraction,
        "test_fraction": config.test_fraction,
        "seed": config.seed,
        "hold_out": [entry.given for entry in config.hold_out],
        "test_systems": sorted(set(test_systems)),
        "groups": {split: len(found) for split, found in names.items()},
    }
    if config.split_by != "trajectory":
        record["names"] = {split: sorted(group[0] for group in found) for split, found in names.items()}
    return record


def draw_splits(groups: Iterable[Group], validation: float, test: float, seed: int) -> dict[Group, str]:
    """Draw the split of whole groups.

    Trajectories are drawn from the systems in turn, so that a small test set still meets many systems; a
    group's place depends on the names and the seed alone.

    Args:
        groups: every group; of trajectories, (system, trajectory).
        validation: share of the groups that goes to validation; at least one when above 0.
        test: likewise for the test set.
        seed: another seed, another draw.

    Returns:
        'train', 'validation' or 'test' for every group.
    """
    drawn = _in_turn(set(groups), seed)
    tests = _share(len(drawn), test)
    validations = _share(len(drawn), validation)
    places = ["test"] * tests + ["validation"] * validations
    places += ["train"] * (len(drawn) - len(places))
    return dict(zip(drawn, places, strict=False))


def _share(count: int, fraction: float) -> int:
    """A fraction of a count, at least one of them when any is wanted."""
    return max(1, round(count * fraction)) if fraction > 0 and count else 0


def _in_turn(groups: set[Group], seed: int) -> list[Group]:
    """One trajectory of each system, then the next one of each; both orders drawn by hash."""
    by_system: defaultdict[str, list[Group]] = defaultdict(list)
    for group in sorted(groups, key=lambda g: text_hash(str(seed), *g)):
        by_system[group[0]].append(group)
    systems = sorted(by_system, key=lambda system: text_hash(str(seed), system))
    rounds = max(map(len, by_system.values()), default=0)
    return [by_system[s][place] for place in range(rounds) for s in systems if place < len(by_system[s])]


def _groups(index: pd.DataFrame, by: str) -> list[Group]:
    """The group of every row."""
    if by == "trajectory":
        return list(zip(index["system"], index["trajectory"], strict=True))
    return [(_name(value),) for value in index[by]]


def _name(value: object) -> str:
    """A group's name; numbers that differ by rounding alone are the same group, and there is no minus zero."""
    return f"{round(value, 6) + 0.0:.6f}" if isinstance(value, float) else str(value)


def _held_out(index: pd.DataFrame, config: CollectConfig) -> Array:
    """Whether each row matches an entry of `hold_out`, (frame,)."""
    held = np.zeros(len(index), dtype=bool)
    for number, entry in enumerate(config.hold_out):
        matches = np.ones(len(index), dtype=bool)
        for key, value in entry.given.items():
            column = index[key].to_numpy()
            matches &= column == value if key not in _TOLERANCE else np.abs(column - value) <= _TOLERANCE[key]
        if not matches.any():
            asked = ", ".join(f"{key} {value!r}" for key, value in entry.given.items())
            raise UserError(f"collect.hold_out.{number}: no system has {asked}; allowed: {_known(index, entry.given)}")
        held |= matches
    return held


def _known(index: pd.DataFrame, keys: Iterable[str]) -> str:
    """The combinations that there are in some columns."""
    columns = list(keys)
    rows = index[columns].round(4).drop_duplicates().sort_values(columns).to_numpy().tolist()
    return "; ".join(", ".join(f"{key} {value!r}" for key, value in zip(columns, row, strict=True)) for row in rows)


def _is_chosen(config: CollectConfig) -> bool:
    """Whether somebody chose what is tested; a few trajectories may well be labelled with no training in mind."""
    return config.split_by != "trajectory" or bool(config.hold_out)


def _nothing_to_train(free: set[Group], config: CollectConfig) -> str:
    """Why there is no group to train on."""
    if not free:
        return "collect.hold_out: everything is held out; allowed: entries that leave something to train on"
    return (
        f"collect.split_by: '{config.split_by}' makes {len(free)} groups, none of which is left for training after "
        f"validation_fraction {config.validation_fraction:g} and test_fraction {config.test_fraction:g}; "
        "allowed: more groups, or a fraction of 0"
    )
