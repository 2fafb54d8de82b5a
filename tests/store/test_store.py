"""Frames on disk, journals and releases."""

import subprocess
import sys
from pathlib import Path

import h5py
import numpy as np
import pytest

from saltern.config import CollectConfig
from saltern.errors import SalternError, UserError
from saltern.fields import FIELDS
from saltern.frames import Frames
from saltern.store import (
    Journal,
    collect_system,
    open_release,
    read_frames,
    read_metadata,
    whole_file,
    write_frames,
    write_release,
)

UNLIKE = CollectConfig(near_duplicate_A=0)
"""Three atoms at random are often alike."""


def labelled(system: str, count: int, *, trajectories: int = 4, seed: int = 0) -> Frames:
    """Frames as a label batch holds them: ragged-safe, with every kind of field."""
    rng = np.random.default_rng(seed)
    forces = rng.normal(size=(count, 3, 3))
    return Frames.uniform(
        np.array([8, 1, 1]), count,
        positions=rng.normal(size=(count, 3, 3)), forces=forces, cell=np.eye(3) * 10, energy=rng.normal(size=count),
        system=np.array([system]), trajectory=np.array([f"t{i % trajectories}" for i in range(count)]),
        time=np.arange(count) * 10.0, temperature=300.0,
        label_key=np.array([f"{system}-{seed}-{i}" for i in range(count)]),
        engine=np.array(["tblite"]), engine_version=np.array(["0"]), method=np.array(["GFN1-xTB"]),
        accepted=True, reason=np.array([""]), iterations=9, cpu_seconds=rng.random(count),
    )  # fmt: skip


def part(
    directory: Path, system: str, batches: list[Frames], *, requested: int | None = None, role: str = "train"
) -> Path:
    """One system's collected share, from label batches on disk."""
    about = {"id": system, "molality": 2.3, "system": {"salt": "NaCl", "role": role, "temperature": 300.0}}
    write_frames(directory / "system.h5", batches[0].select([0]), about)
    paths = []
    for number, batch in enumerate(batches):
        paths.append(directory / f"{number}.h5")
        write_frames(paths[-1], batch)
    total = sum(map(len, batches)) if requested is None else requested
    collect_system(directory / "system.h5", paths, total, directory / system)
    return directory / system


def tree(directory: Path) -> dict[str, bytes]:
    return {str(p.relative_to(directory)): p.read_bytes() for p in directory.rglob("*") if p.is_file()}


def test_frames_come_back_as_they_were_written(tmp_path: Path) -> None:
    ragged = Frames.concatenate(
        [
            labelled("a", 3),
            Frames.uniform(np.array([11]), 2, positions=np.ones((2, 1, 3)), reason=np.array(["zu weit – Å"])),
        ]
    )
    write_frames(tmp_path / "x.h5", ragged, {"note": "é"})
    back = read_frames(tmp_path / "x.h5")
    assert back.atom_counts.tolist() == [3, 3, 3, 1, 1]
    assert set(back.arrays) == set(ragged.arrays)
    for name in ragged.arrays:
        np.testing.assert_array_equal(back[name], ragged[name])
    assert read_metadata(tmp_path / "x.h5") == {"note": "é"}


def test_every_stored_dataset_carries_the_unit_of_the_table(tmp_path: Path) -> None:
    everything = {}
    for f in FIELDS.values():
        value = np.array(["x"] * 2) if f.is_text else np.zeros((2, *f.shape))
        everything[f.name] = value
    write_frames(tmp_path / "x.h5", Frames(np.array([0, 1, 2]), everything))
    with h5py.File(tmp_path / "x.h5") as file:
        assert set(file) == set(FIELDS) | {"offsets"}
        for name, entry in FIELDS.items():
            assert file[name].attrs["unit"] == entry.unit
        assert file["forces"].attrs["unit"] == "eV/Å"
        assert file["stress"].attrs["unit"] == "eV/Å³"


def test_same_content_same_bytes(tmp_path: Path) -> None:
    for name in ("a", "b"):
        write_frames(tmp_path / name, labelled("s", 5), {"z": 1, "a": 2})
    assert (tmp_path / "a").read_bytes() == (tmp_path / "b").read_bytes()


def test_wrong_shapes_and_unknown_fields_are_refused() -> None:
    with pytest.raises(SalternError, match="forces: shape"):
        Frames(np.array([0, 2]), {"forces": np.zeros((3, 3))})
    with pytest.raises(SalternError, match="not in the table"):
        Frames(np.array([0, 2]), {"force": np.zeros((2, 3))})


def test_select_keeps_atoms_with_their_frames() -> None:
    frames = Frames(np.array([0, 2, 3, 6]), {"numbers": np.arange(6), "time": np.arange(3.0)})
    chosen = frames.select([2, 0])
    assert chosen["numbers"].tolist() == [3, 4, 5, 0, 1]
    assert chosen["time"].tolist() == [2.0, 0.0]
    assert frames.select(np.array([False, True, False]))["numbers"].tolist() == [2]


def test_a_failed_write_leaves_the_old_file_and_nothing_else(tmp_path: Path) -> None:
    target = tmp_path / "x"
    target.write_text("old")
    with pytest.raises(RuntimeError), whole_file(target) as temporary:
        temporary.write_text("half")
        raise RuntimeError
    assert target.read_text() == "old"
    assert list(tmp_path.iterdir()) == [target]


@pytest.mark.parametrize("damage", ["truncated", "foreign", "text", "missing"])
def test_damaged_files_give_one_clear_line(tmp_path: Path, damage: str) -> None:
    path = tmp_path / "x.h5"
    write_frames(path, labelled("s", 50))
    if damage == "truncated":
        path.write_bytes(path.read_bytes()[:-1000])
    elif damage == "foreign":
        with h5py.File(path, "w") as file:
            file["x"] = 1
    elif damage == "text":
        path.write_text("hello")
    else:
        path.unlink()
    with pytest.raises(UserError) as caught:
        read_frames(path)
    assert str(path) in caught.value.lines[0]
    assert "\n" not in caught.value.lines[0]


def test_journal_survives_a_kill_and_forgets_another_question(tmp_path: Path) -> None:
    script = (
        "import sys, os, numpy as np; from pathlib import Path; from saltern.store import Journal; "
        "from saltern.frames import Frames; j = Journal(Path(sys.argv[1]), 'q'); "
        "[j.write(i, Frames.uniform(np.array([i + 1]), 1), {'i': i}) for i in range(3)]; os.kill(os.getpid(), 9)"
    )
    assert subprocess.run([sys.executable, "-c", script, tmp_path / "j"], check=False).returncode == -9
    journal = Journal(tmp_path / "j", "q")
    assert journal.parts() == [0, 1, 2]
    assert journal.read(2)["numbers"].tolist() == [3]
    assert journal.metadata(2) == {"i": 2}
    assert Journal(tmp_path / "j", "another question").parts() == []


def test_release_is_the_same_whatever_the_order_and_the_cost(tmp_path: Path) -> None:
    """Labels made in other batches, in another order and at another cost are the same dataset."""
    first, second = tmp_path / "1", tmp_path / "2"
    frames, other = labelled("a", 12), labelled("b", 8, seed=1)
    slower = frames.with_arrays(cpu_seconds=frames["cpu_seconds"] * 2)
    parts = [part(first / "a", "a", [frames]), part(first / "b", "b", [other])]
    shuffled = [
        part(second / "b", "b", [other.select([4, 5, 6, 7]), other.select([0, 1, 2, 3])]),
        part(second / "a", "a", [slower.select(np.arange(11, -1, -1))]),
    ]
    write_release(parts, "test", UNLIKE, first / "release")
    write_release(shuffled, "test", UNLIKE, second / "release")
    one, two = tree(first / "release"), tree(second / "release")
    different = {name for name in one if one[name] != two[name]}
    assert different == {"index.parquet", "manifest.json", "croissant.json"}
    assert (
        open_release(first / "release").manifest["root_hash"] == open_release(second / "release").manifest["root_hash"]
    )


def test_release_built_twice_is_bit_identical(tmp_path: Path) -> None:
    parts = [part(tmp_path / s, s, [labelled(s, 9, seed=i)]) for i, s in enumerate("abc")]
    write_release(parts, "test", UNLIKE, tmp_path / "r1")
    write_release(parts[::-1], "test", UNLIKE, tmp_path / "r2")
    assert tree(tmp_path / "r1") == tree(tmp_path / "r2")


def test_splits_keep_trajectories_whole_and_test_systems_out(tmp_path: Path) -> None:
    parts = [
        part(tmp_path / s, s, [labelled(s, 20, seed=i)], role="test" if s == "b" else "train")
        for i, s in enumerate("abc")
    ]
    write_release(
        parts, "test", CollectConfig(near_duplicate_A=0, validation_fraction=0.25, test_fraction=0.25), tmp_path / "r"
    )
    index = open_release(tmp_path / "r").index
    assert index.groupby(["system", "trajectory"])["split"].nunique().max() == 1
    assert set(index[index["system"] == "b"]["split"]) == {"test"}
    counts = index[index["system"] != "b"].groupby("split")["trajectory"].count()
    assert counts.to_dict() == {"train": 20, "validation": 10, "test": 10}
    # the two test trajectories come from two systems
    assert index[(index["split"] == "test") & (index["system"] != "b")]["system"].nunique() == 2


def test_frames_of_a_split_are_the_frames_of_the_index(tmp_path: Path) -> None:
    batch = labelled("a", 20)
    refused = batch["accepted"].copy()
    refused[3] = False
    reasons = np.where(refused, "", "net-force")
    batch = batch.with_arrays(accepted=refused, reason=reasons)
    write_release([part(tmp_path / "a", "a", [batch])], "test", UNLIKE, tmp_path / "r")
    release = open_release(tmp_path / "r")
    found = [k for split in ("train", "validation", "test") for k in release.frames(split)["label_key"]]
    assert sorted(found) == sorted(batch["label_key"][refused])
    ledger = release.manifest["ledger"]
    assert (ledger["requested"], ledger["accepted"], ledger["quarantined"]) == (20, 19, 1)
    assert ledger["systems"]["a"]["quarantined"] == {"net-force": 1}
    train = release.frames("train")
    place = release.index.set_index("label_key").loc[train["label_key"], "energy"].to_numpy()
    np.testing.assert_array_equal(place, train["energy"])


def test_a_lost_frame_a_doubled_frame_and_a_foreign_frame_are_refused(tmp_path: Path) -> None:
    frames = labelled("a", 6)
    with pytest.raises(UserError, match="7 frames were requested, 6"):
        part(tmp_path / "1", "a", [frames], requested=7)
    with pytest.raises(UserError, match="the same"):
        part(tmp_path / "2", "a", [frames, frames.select([0])])
    with pytest.raises(UserError, match="another system"):
        part(tmp_path / "3", "b", [frames])


def test_release_appears_whole_or_not_at_all_and_never_changes(tmp_path: Path) -> None:
    good = part(tmp_path / "a", "a", [labelled("a", 6)])
    with pytest.raises(UserError):
        write_release([good, tmp_path / "nowhere"], "test", UNLIKE, tmp_path / "r")
    assert {p.name for p in tmp_path.iterdir()} == {"a"}
    write_release([good], "test", UNLIKE, tmp_path / "r")
    with pytest.raises(UserError, match="never changed"):
        write_release([good], "test", UNLIKE, tmp_path / "r")
