"""Trajectories written from pieces, and read one at a time."""

from pathlib import Path

import numpy as np
import pytest

from saltern.errors import UserError
from saltern.frames import Frames
from saltern.store import (
    read_frames,
    read_metadata,
    read_trajectories,
    spaced_frames,
    write_frames,
    write_trajectories,
)


def frames(names: list[str], start: int = 0) -> Frames:
    """Two atoms, their positions telling the frames apart."""
    count = len(names)
    return Frames.uniform(
        np.array([1, 8]), count, positions=np.arange(start, start + count)[:, None, None] + np.zeros((2, 3)),
        cell=np.eye(3), trajectory=np.array(names), system=np.array(["s"]), time=np.arange(start, start + count),
    )  # fmt: skip


def test_pieces_make_the_file_that_all_of_it_would_make(tmp_path: Path) -> None:
    """Trajectories come mixed, one of them ends early, and their names are of different length."""
    pieces = [frames(["b", "a10", "b"]), frames(["a10", "b"], 3), frames(["b", "b"], 5)]
    write_trajectories(tmp_path / "pieces.h5", iter(pieces), {"b": 5, "a10": 2}, {"known": 1})
    everything = Frames.concatenate(pieces)
    names = everything["trajectory"]
    whole = everything.select(np.concatenate([np.flatnonzero(names == name) for name in ("b", "a10")]))
    write_frames(tmp_path / "whole.h5", whole, {"known": 1})
    found = read_frames(tmp_path / "pieces.h5")
    assert set(found.arrays) == set(whole.arrays)
    for name in whole.arrays:
        np.testing.assert_array_equal(found[name], whole[name])
        assert found[name].dtype == whole[name].dtype
    assert read_metadata(tmp_path / "pieces.h5") == {"known": 1}


def test_trajectories_are_read_one_at_a_time(tmp_path: Path) -> None:
    path = tmp_path / "file.h5"
    write_frames(path, frames(["b", "b", "a", "c", "c"]))
    first, second, third = read_trajectories(path)
    assert [len(first), len(second), len(third)] == [2, 1, 2]
    assert third["trajectory"].tolist() == ["c", "c"]
    assert third["positions"][:, 0].tolist() == [3, 3, 4, 4]
    chosen = next(read_trajectories(path, ["positions", "energy"]))
    assert list(chosen.arrays) == ["positions"]


def test_frames_of_one_trajectory_are_picked(tmp_path: Path) -> None:
    path = tmp_path / "file.h5"
    write_frames(path, frames(["b", "b", "a", "a", "a", "a", "c", "c"]))
    assert spaced_frames(path, "a", 1)["time"].tolist() == [5]
    assert spaced_frames(path, "a", 2)["time"].tolist() == [2, 5]
    assert spaced_frames(path, "a", 3)["time"].tolist() == [2, 4, 5]
    assert spaced_frames(path, "b", 9)["time"].tolist() == [0, 1]
    assert spaced_frames(path, "c", 1).of(0, "positions")[:, 0].tolist() == [7, 7]
    with pytest.raises(UserError, match=r"file\.h5: there is no trajectory d"):
        spaced_frames(path, "d", 1)


def test_a_file_that_is_no_trajectory_is_refused(tmp_path: Path) -> None:
    bare = frames(["a"])
    write_frames(tmp_path / "bare.h5", Frames(bare.offsets, {"numbers": bare["numbers"]}))
    with pytest.raises(UserError, match=r"bare\.h5: not a valid saltern-frames file"):
        list(read_trajectories(tmp_path / "bare.h5"))
    with pytest.raises(UserError, match="no such file"):
        list(read_trajectories(tmp_path / "missing.h5"))
