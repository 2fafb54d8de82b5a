"""What is exported comes back through the readers of those whose format it is."""

import gc
import json
import tracemalloc
import zlib
from collections.abc import Callable, Iterator
from pathlib import Path

import ase.db
import ase.io
import dpdata
import lmdb
import numpy as np
import pytest
import yaml
from ase.db.row import AtomsRow

from saltern.errors import UserError
from saltern.frames import Frames
from saltern.store.formats import EXPORTS, IMPORTS, ImportOptions

Batches = dict[str, list[Frames]]


def test_ase_reads_every_bit_of_extended_xyz(tmp_path: Path, splits: Batches, about: dict[str, object]) -> None:
    EXPORTS["extxyz"](splits, tmp_path / "out", about)
    for split in ("train", "validation"):
        whole = Frames.concatenate(splits[split])
        read = ase.io.read(tmp_path / "out" / f"{split}.extxyz", ":")
        assert len(read) == len(whole)
        for atoms, frame in zip(read, whole, strict=True):
            assert atoms.pbc.all()
            np.testing.assert_array_equal(atoms.numbers, frame["numbers"])
            np.testing.assert_array_equal(atoms.positions, frame["positions"])
            np.testing.assert_array_equal(atoms.cell.array, frame["cell"][0])
            np.testing.assert_array_equal(atoms.arrays["REF_forces"], frame["forces"])
            np.testing.assert_array_equal(atoms.get_initial_charges(), frame["charges"])
            np.testing.assert_array_equal(np.reshape(atoms.info["REF_stress"], (3, 3)), frame["stress"][0])
            assert atoms.info["REF_energy"] == frame["energy"][0]
            assert (atoms.info["time"], atoms.info["temperature"]) == (frame["time"][0], 298.15)
            assert (atoms.info["system"], atoms.info["method"]) == (frame["system"][0], "r2scan")
    assert {p.name for p in (tmp_path / "out").iterdir()} == {"train.extxyz", "validation.extxyz", "release.json"}
    told = json.loads((tmp_path / "out" / "release.json").read_text())
    assert told == {key: about[key] for key in about if key != "files"}


def test_extended_xyz_comes_back_as_it_was(tmp_path: Path, splits: Batches, about: dict[str, object]) -> None:
    """Text that reads as a number or a truth is still text, which ASE's own reader does not promise."""
    EXPORTS["extxyz"](splits, tmp_path / "out", about)
    whole = Frames.concatenate(splits["train"])
    back = Frames.concatenate(list(IMPORTS["extxyz"](tmp_path / "out" / "train.extxyz", ImportOptions())))
    for name in set(whole.arrays) - {"label_key"}:
        np.testing.assert_array_equal(back[name], whole[name])
    assert back["trajectory"].tolist() == ["007"] * 2 + ["b"] * 3 + ["True", "b", "1e5"]
    assert len(set(back["label_key"])) == len(back)


def test_ase_reads_the_database(tmp_path: Path, splits: Batches, about: dict[str, object]) -> None:
    EXPORTS["ase-db"](splits, tmp_path / "out", about)
    whole = Frames.concatenate(splits["train"])
    database = ase.db.connect(tmp_path / "out" / "train.db")
    assert database.count() == len(whole)
    for row, frame in zip(database.select(), whole, strict=True):
        _same_row(row, frame)
    assert database.count(trajectory="b") == 4
    assert database.count("temperature>298") == len(whole)


def test_lmdb_has_the_rows_of_ase_lmdb(tmp_path: Path, splits: Batches, about: dict[str, object]) -> None:
    """Read by the layout alone; `test_trainers` asks a reader of FAIR Chemistry's."""
    EXPORTS["lmdb"](splits, tmp_path / "out", about)
    whole = Frames.concatenate(splits["train"])
    environment = lmdb.open(str(tmp_path / "out" / "train.aselmdb"), subdir=False, readonly=True, lock=False)
    with environment.begin() as transaction:
        values = {key.decode(): json.loads(zlib.decompress(value)) for key, value in transaction.cursor()}
    environment.close()
    assert values.pop("nextid") == len(whole) + 1
    assert values.pop("metadata") == {key: about[key] for key in ("name", "root_hash", "licence", "methods")}
    assert set(values) == {str(i + 1) for i in range(len(whole))}
    for i, frame in enumerate(whole):
        _same_row(AtomsRow({**values[str(i + 1)], "id": i + 1}), frame)
    assert len({row["unique_id"] for row in values.values()}) == len(whole)
    assert {p.name for p in (tmp_path / "out").iterdir()} == {"train.aselmdb", "validation.aselmdb", "release.json"}


def _same_row(row: AtomsRow, frame: Frames) -> None:
    """A row of an ASE database holds the frame with every bit; of the stress ASE keeps the symmetric part."""
    atoms = row.toatoms()
    np.testing.assert_array_equal(atoms.numbers, frame["numbers"])
    np.testing.assert_array_equal(atoms.positions, frame["positions"])
    np.testing.assert_array_equal(atoms.cell.array, frame["cell"][0])
    np.testing.assert_array_equal(atoms.get_forces(), frame["forces"])
    np.testing.assert_array_equal(atoms.get_stress(voigt=False), frame["stress"][0])
    np.testing.assert_array_equal(atoms.get_initial_charges(), frame["charges"])
    assert atoms.get_potential_energy() == frame["energy"][0]
    assert row.data["trajectory"] == frame["trajectory"][0]
    assert row.data["time"] == row.key_value_pairs["time"] == frame["time"][0]
    assert row.data["label_key"] == frame["label_key"][0]
    assert row.key_value_pairs["engine"] == "cp2k"


def test_dpdata_reads_deepmd(tmp_path: Path, splits: Batches, about: dict[str, object]) -> None:
    EXPORTS["deepmd"](splits, tmp_path / "out", about)
    whole = Frames.concatenate(splits["train"])
    folders = sorted((tmp_path / "out" / "train").iterdir())
    assert len(folders) == 3  # water, and two orders of the same ions and water
    assert {(folder / "type_map.raw").read_text() for folder in folders} == {"H\nO\nNa\nCl\n"}
    found = 0
    for folder in folders:
        system = dpdata.LabeledSystem(str(folder), fmt="deepmd/npy")
        names = np.array(system["atom_names"])[system["atom_types"]].tolist()
        mine = [frame for frame in whole if ase.Atoms(numbers=frame["numbers"]).get_chemical_symbols() == names]
        assert len(system) == len(mine)
        found += len(mine)
        for i, frame in enumerate(mine):
            np.testing.assert_array_equal(system["coords"][i], frame["positions"])
            np.testing.assert_array_equal(system["cells"][i], frame["cell"][0])
            np.testing.assert_array_equal(system["forces"][i], frame["forces"])
            assert system["energies"][i] == frame["energy"][0]
            # dpdata's own way back to ASE knows sign and volume of the virial
            stress = system[i].to_ase_structure()[0].get_stress(voigt=False)
            np.testing.assert_allclose(stress, frame["stress"][0], rtol=1e-12, atol=1e-17)
    assert found == len(whole)


def test_deepmd_comes_back_as_it_was(tmp_path: Path, splits: Batches, about: dict[str, object]) -> None:
    EXPORTS["deepmd"](splits, tmp_path / "out", about)
    whole = Frames.concatenate(splits["train"])
    back = Frames.concatenate(list(IMPORTS["deepmd"](tmp_path / "out" / "train", ImportOptions())))
    order = [back["time"].tolist().index(time) for time in whole["time"]]
    back = back.select(order)
    for name in ("numbers", "positions", "cell", "energy", "forces", "system", "trajectory", "temperature"):
        np.testing.assert_array_equal(back[name], whole[name])
    np.testing.assert_allclose(back["stress"], whole["stress"], rtol=1e-12, atol=1e-17)


def test_frames_without_stress_are_told_apart(
    tmp_path: Path, make_frames: Callable[..., Frames], about: dict[str, object]
) -> None:
    frames = make_frames([8, 1, 1], 4, 0, "a")
    stress = frames["stress"].copy()
    stress[1] = np.nan
    frames = frames.with_arrays(stress=stress)
    for name in ("deepmd", "extxyz"):
        EXPORTS[name]({"train": [frames]}, tmp_path / name, about)
    with_virial = [(p / "set.000" / "virial.npy").exists() for p in sorted((tmp_path / "deepmd" / "train").iterdir())]
    assert sorted(with_virial) == [False, True]
    read = ase.io.read(tmp_path / "extxyz" / "train.extxyz", ":")
    assert ["REF_stress" in atoms.info for atoms in read] == [True, False, True, True]


@pytest.mark.parametrize("name", EXPORTS)
def test_an_export_appears_whole_or_not_at_all(
    name: str, tmp_path: Path, splits: Batches, about: dict[str, object]
) -> None:
    def broken() -> Iterator[Frames]:
        yield splits["train"][0]
        raise RuntimeError("the disk is gone")

    with pytest.raises(RuntimeError, match="gone"):
        EXPORTS[name]({"train": broken(), "validation": splits["validation"]}, tmp_path / "out", about)
    assert not list(tmp_path.iterdir())
    EXPORTS[name](splits, tmp_path / "out", about)
    assert [p.name for p in tmp_path.iterdir()] == ["out"]
    assert (tmp_path / "out").stat().st_mode & 0o777 == 0o755
    with pytest.raises(UserError, match="out: is there already"):
        EXPORTS[name](splits, tmp_path / "out", about)


@pytest.mark.parametrize("name", EXPORTS)
def test_memory_does_not_grow_with_the_release(
    name: str, tmp_path: Path, make_frames: Callable[..., Frames], about: dict[str, object]
) -> None:
    def batches(count: int) -> Iterator[Frames]:
        for i in range(count):
            gc.collect()  # rubbish that waits for its collector is not growth
            yield make_frames([8, 1, 1] * 8, 10, i, "a")

    def peak(count: int) -> int:
        splits = {"train": batches(count), "validation": [make_frames([8, 1, 1], 1, 0, "a")]}
        tracemalloc.start()
        EXPORTS[name](splits, tmp_path / f"{count}", about)
        found = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
        return found

    peak(1)  # imports and caches
    gc.freeze()  # what lives already need not be searched every time
    one_batch = sum(array.nbytes for array in make_frames([8, 1, 1] * 8, 10, 0, "a").arrays.values())
    try:
        assert peak(24) < peak(12) + 2 * one_batch
    finally:
        gc.unfreeze()


def test_trainers_start_at_the_least_squares_of_all_frames(
    tmp_path: Path, make_frames: Callable[..., Frames], about: dict[str, object]
) -> None:
    """Three frames of one water at -10 eV and one of two at -26: (3 x 10 + 2 x 26) / (3 + 4) eV a water."""
    one, two = make_frames([8, 1, 1], 3, 0, "a"), make_frames([8, 1, 1] * 2, 1, 1, "b")
    train = [one.with_arrays(energy=np.full(3, -10.0)), two.with_arrays(energy=np.array([-26.0]))]
    EXPORTS["nequip"]({"train": train, "validation": [one]}, tmp_path / "out", about)
    config = yaml.safe_load((tmp_path / "out" / "nequip.yaml").read_text())
    shifts = config["training_module"]["model"]["per_type_energy_shifts"]
    assert 2 * shifts["H"] + shifts["O"] == pytest.approx(-82 / 7)
    assert config["run"] == ["train"]  # there is nothing to test with


def test_trainers_are_refused_what_they_cannot_learn_from(
    tmp_path: Path, splits: Batches, make_frames: Callable[..., Frames], about: dict[str, object]
) -> None:
    with pytest.raises(UserError, match="no frames in split 'validation'"):
        EXPORTS["mace"]({"train": splits["train"]}, tmp_path / "a", about)
    potassium = {"train": splits["validation"], "validation": [make_frames([19, 8, 1, 1], 1, 0, "a")]}
    with pytest.raises(UserError, match="K in no frame of split 'train'"):
        EXPORTS["nequip"](potassium, tmp_path / "b", about)
    frames = splits["train"][0]
    unlabelled = frames.with_arrays(energy=np.full(len(frames), np.nan))
    with pytest.raises(UserError, match="energy: missing"):
        EXPORTS["nequip"]({"train": [unlabelled]}, tmp_path / "c", about)
    assert not list(tmp_path.iterdir())
