"""Datasets of others: what they hold, and what is refused."""

import csv
import hashlib
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import ase
import ase.io
import numpy as np
import pytest

from saltern.errors import UserError
from saltern.frames import Frames
from saltern.store.formats import IMPORTS, ImportOptions, provenance
from saltern.units import BOHR, HARTREE, KCAL_PER_MOL

LICL = {"cell": (13.8674,), "charges": {"Li": 1.0, "Cl": -1.0}, "system": "licl", "allow_missing_energy": True}


def read(name: str, source: Path, **options: Any) -> Frames:
    return Frames.concatenate(list(IMPORTS[name](source, ImportOptions(**options))))


def test_published_network_errors_against_published_cp2k_forces(shared: Path) -> None:
    """The authors' network on the authors' 74 frames of LiCl: 49.0 meV/Å on all atoms, 18.0 on lithium (RMSE)."""
    pairs = shared / "licl-pairs"
    dft = read("cp2k", pairs / "positions.xyz", forces=pairs / "cp2k-dft-forces.txt", **LICL)
    network = read(
        "cp2k", pairs / "positions.xyz", forces=pairs / "published-nnp-forces.lammpstrj", force_unit="eV/Å", **LICL
    )
    error = (network["forces"] - dft["forces"]) * 1e3
    found = {symbol: error[dft["numbers"] == number] for symbol, number in {"Li": 3, "Cl": 17, "O": 8, "H": 1}.items()}
    found["all"] = error
    with (shared.parent / "reference" / "authors_nnp_vs_dft_forces.csv").open() as handle:
        published = {row["species"]: row for row in csv.DictReader(handle) if row["set"] == "Li-pair 74 frames"}
    assert set(published) == set(found)
    for species, row in published.items():
        assert np.sqrt(np.mean(found[species] ** 2)) == pytest.approx(float(row["rmse_meV_A"]), abs=2e-3)
        assert np.mean(np.abs(found[species])) == pytest.approx(float(row["mae_meV_A"]), abs=2e-3)
    assert np.sqrt(np.mean(dft["forces"] ** 2)) == pytest.approx(0.7908, abs=1e-4)


def test_cp2k_frames_carry_all_that_a_label_needs(shared: Path) -> None:
    pairs = shared / "licl-pairs"
    frames = read("cp2k", pairs / "positions.xyz", forces=pairs / "cp2k-dft-forces.txt", temperature=300.0, **LICL)
    assert frames.atom_counts.tolist() == [248] * 74
    assert frames["forces"][0].tolist() == pytest.approx(np.array([-0.01711427, -0.00528825, -0.01444548]) * 51.4220674)
    assert frames["cell"][3].tolist() == (np.eye(3) * 13.8674).tolist()
    ions = frames["charges"].reshape(74, 248)
    assert (ions.sum(axis=1) == 0).all() and (np.abs(ions).sum(axis=1) == 8).all()
    assert (frames["charges"][frames["numbers"] == 3] == 1).all()
    assert set(frames["system"]) == {"licl"} and set(frames["temperature"]) == {300.0}
    assert frames["accepted"].all() and len(set(frames["label_key"])) == 74
    assert np.isnan(frames["energy"]).all() and "stress" not in frames


def test_deepmd_water_has_every_set_and_passes_its_checks(shared: Path) -> None:
    frames = read("deepmd", shared / "water-pbe0ts", system="water", temperature=330.0, method="PBE0-TS")
    assert len(frames) == 320
    assert {t: int((frames["trajectory"] == t).sum()) for t in set(frames["trajectory"])} == {
        "data_0": 80,
        "data_1": 160,
        "data_2": 80,
    }
    second = np.load(shared / "water-pbe0ts" / "data_1" / "set.001" / "coord.npy")
    np.testing.assert_array_equal(frames.of(160, "positions"), second[0].reshape(192, 3).astype(float))
    assert np.bincount(frames.of(0, "numbers"))[[1, 8]].tolist() == [128, 64]
    assert frames["energy"].mean() == pytest.approx(-29944, abs=2)
    assert set(frames["method"]) == {"PBE0-TS"}
    assert len(set(frames["label_key"])) == len(set(frames["time"])) == 320


@pytest.mark.parametrize(
    ("told", "message"),
    [
        ({"force_unit": "Hartree/bohr"}, "forces in Hartree/bohr would be 41.8 eV/Å rms.*; eV/Å or"),
        ({"force_unit": "kcal/mol/Å"}, "forces in kcal/mol/Å would be 0.0353 eV/Å rms.*; eV/Å or"),
        ({"energy_unit": "Hartree", "force_unit": "eV/Å"}, "energy in Hartree changes by 26.5.*; energies in eV would"),
        ({"energy_unit": "kcal/mol", "force_unit": "eV/Å"}, "energy in kcal/mol changes.*; energies in eV would fit"),
        ({"energy_unit": "hartree"}, "unknown energy unit 'hartree'; allowed are eV, Hartree.*did you mean 'Hartree'"),
        ({"force_unit": "newton"}, "force unit 'newton' is not an energy by a length"),
    ],
)
def test_water_with_wrong_units_is_refused_with_the_right_ones(
    shared: Path, told: dict[str, str], message: str
) -> None:
    with pytest.raises(UserError, match=message) as caught:
        read("deepmd", shared / "water-pbe0ts", **told)
    assert len(caught.value.lines) == 1 and "\n" not in caught.value.lines[0]


@pytest.mark.parametrize(
    ("unit", "message"),
    [
        ("bohr", r"0.47\d? Å apart, read as bohr; allowed.*; Å would fit"),
        ("nm", r"no hydrogen has a neighbour.*read as nm; Å would fit"),
    ],
)
def test_water_with_a_wrong_unit_of_length_is_refused(shared: Path, unit: str, message: str) -> None:
    with pytest.raises(UserError, match=message):
        read("deepmd", shared / "water-pbe0ts" / "data_0", length_unit=unit, force_unit="eV/Å")


def test_water_with_forces_of_other_sign_is_refused(shared: Path, tmp_path: Path) -> None:
    shutil.copytree(shared / "water-pbe0ts", tmp_path / "water")
    for path in (tmp_path / "water").rglob("force.npy"):
        forces = -np.load(path)
        path.unlink()
        np.save(path, forces)
    with pytest.raises(UserError, match=r"times the work of the forces.*; the forces have the wrong sign"):
        read("deepmd", tmp_path / "water")


@pytest.mark.parametrize(
    ("energy", "length"), [("eV", "Å"), ("Hartree", "bohr"), ("kcal/mol", "Å"), ("kJ/mol", "nm"), ("Ry", "Angstrom")]
)
def test_units_are_turned_into_ours(
    tmp_path: Path, make_frames: Callable[..., Frames], energy: str, length: str
) -> None:
    """ASE writes the same frames in other units; its stress has the energy by the length cubed."""
    ours = make_frames([11, 8, 1, 1, 17], 3, 0, "a")
    one = {"eV": 1, "Hartree": HARTREE, "kcal/mol": KCAL_PER_MOL, "kJ/mol": KCAL_PER_MOL / 4.184, "Ry": HARTREE / 2}[
        energy
    ]
    far = {"Å": 1, "Angstrom": 1, "bohr": BOHR, "nm": 10}[length]
    written = []
    for frame in ours:
        atoms = ase.Atoms(
            numbers=frame["numbers"], positions=frame["positions"] / far, cell=frame["cell"][0] / far, pbc=True
        )
        atoms.arrays["forces"] = frame["forces"] / one * far
        atoms.info["energy"] = frame["energy"][0] / one
        atoms.info["stress"] = frame["stress"][0] / one * far**3
        written.append(atoms)
    ase.io.write(tmp_path / "x.xyz", written, format="extxyz")
    back = read("extxyz", tmp_path / "x.xyz", energy_unit=energy, length_unit=length)
    for name in ("positions", "cell", "energy"):
        np.testing.assert_allclose(back[name], ours[name], rtol=1e-7, atol=2e-7)
    np.testing.assert_allclose(back["forces"], ours["forces"], atol=1e-6)
    np.testing.assert_allclose(back["stress"], ours["stress"], atol=1e-8)


def test_labels_in_the_calculator_of_ase_are_found(tmp_path: Path, make_frames: Callable[..., Frames]) -> None:
    """ase.io.write puts a calculator's results under energy, forces and, as six or nine numbers, stress."""
    from ase.calculators.singlepoint import SinglePointCalculator

    frame = make_frames([8, 1, 1], 1, 0, "a")
    atoms = ase.Atoms(numbers=frame["numbers"], positions=frame["positions"], cell=frame["cell"][0], pbc=True)
    voigt = frame["stress"][0][[0, 1, 2, 1, 0, 0], [0, 1, 2, 2, 2, 1]]
    atoms.calc = SinglePointCalculator(atoms, energy=-3.5, forces=frame["forces"], stress=voigt)
    ase.io.write(tmp_path / "x.extxyz", atoms)
    back = read("extxyz", tmp_path / "x.extxyz")
    assert back["energy"].tolist() == [-3.5]
    np.testing.assert_allclose(back["stress"][0], frame["stress"][0], atol=1e-8)
    np.testing.assert_allclose(back["forces"], frame["forces"], atol=1e-7)


HEAD = 'Lattice="9 0 0 0 9 0 0 0 9" Properties=species:S:1:pos:R:3:forces:R:3 energy=-1.0'
ATOMS = "O 0 0 0 0.1 0.5 0\nH 0.96 0 0 -0.1 0.5 0\nH -0.24 0.93 0 0 -1.0 0\n"


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (HEAD.replace('Lattice="9 0 0 0 9 0 0 0 9"', ""), "frame 2: no cell; Lattice with nine numbers is expected"),
        (HEAD.replace("9 0 0 0 9 0 0 0 9", "9 0 0 0 9 0 0 0 0"), "frame 2: the cell has no volume"),
        (HEAD.replace("forces", "speed"), "frame 2: no forces; allowed are columns REF_forces, forces, force"),
        (HEAD.replace("energy=-1.0", ""), "frame 2: no energy"),
        (HEAD + ' pbc="T T F"', "frame 2: pbc is 'T T F'"),
        (HEAD.replace("-1.0", "low"), "frame 2: energy is not made of the numbers expected"),
        (HEAD.replace("forces:R:3", "forces:R:9"), "frame 2: a line of atoms has fewer than the 13 columns"),
        (HEAD + " time=now", "frame 2: time is 'now'; a number is expected"),
        (HEAD + ' stress="1 2"', "frame 2: stress has 2 numbers; 6 or 9 are allowed"),
    ],
)
def test_a_frame_that_lacks_something_is_named(tmp_path: Path, text: str, message: str) -> None:
    path = tmp_path / "x.xyz"
    path.write_text(f"3\n{HEAD}\n{ATOMS}3\n{text}\n{ATOMS}")
    with pytest.raises(UserError) as caught:
        read("extxyz", path)
    assert len(caught.value.lines) == 1
    assert caught.value.lines[0].startswith(f"{path}: {message}")


def test_a_file_that_ends_within_a_frame_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "x.xyz"
    path.write_text(f"3\n{HEAD}\n{ATOMS}3\n{HEAD}\nO 0 0 0 0.1 0.5 0\n")
    with pytest.raises(UserError, match="frame 2: fewer than 3 atoms; the file is not whole"):
        read("extxyz", path)
    path.write_text("")
    with pytest.raises(UserError, match="no frames"):
        read("extxyz", path)
    with pytest.raises(UserError, match=r"nowhere: no \.extxyz or .xyz file"):
        read("extxyz", tmp_path / "nowhere")


def test_long_files_come_in_batches_as_they_are_read(tmp_path: Path) -> None:
    path = tmp_path / "x.xyz"
    path.write_text(f"3\n{HEAD}\n{ATOMS}" * 900 + "3\nno more than positions\n" + ATOMS)
    batches = IMPORTS["extxyz"](path, ImportOptions(time_step=0.5))
    first, second = next(batches), next(batches)
    assert len(first) == len(second) == 400
    assert second["time"].tolist() == [(400 + i) * 0.5 for i in range(400)]
    with pytest.raises(UserError, match="frame 901: no forces"):
        next(batches)


def test_the_same_label_has_the_same_key_wherever_it_was_read(tmp_path: Path) -> None:
    for name, head in (("a", HEAD), ("b", HEAD + ' method="PBE0"'), ("c", HEAD.replace("-1.0", "-1.0000001"))):
        (tmp_path / f"{name}.xyz").write_text(f"3\n{head}\n{ATOMS}")
    keys = [read("extxyz", tmp_path / f"{name}.xyz", method="PBE0")["label_key"][0] for name in "abc"]
    assert keys[0] == keys[1] != keys[2]
    assert read("extxyz", tmp_path / "a.xyz")["label_key"][0] != keys[0]
    assert read("extxyz", tmp_path / "b.xyz")["label_key"][0] == keys[0]


def test_missing_energies_are_read_only_where_they_are_allowed(tmp_path: Path) -> None:
    path = tmp_path / "x.xyz"
    path.write_text(f"3\n{HEAD.replace('energy=-1.0', '')}\n{ATOMS}")
    assert np.isnan(read("extxyz", path, allow_missing_energy=True)["energy"]).all()


@pytest.mark.parametrize("style", ["before 2023", "since 2023", "xyz"])
def test_cp2k_pairs_of_files(tmp_path: Path, make_frames: Callable[..., Frames], style: str) -> None:
    """Energies and times from the comments of NAME-pos-1.xyz; forces as each version of CP2K writes them."""
    frames = make_frames([11, 8, 1, 1, 17], 2, 0, "a")
    symbols = ["Na", "O", "H", "H", "Cl"]
    positions, forces = "", ""
    for i, frame in enumerate(frames):
        head = f" i = {i}, time = {i * 0.5:.3f}, E = {frame['energy'][0] / HARTREE:.10f}"
        rows = [f"{x:.10f} {y:.10f} {z:.10f}" for x, y, z in frame["positions"]]
        pulls = [f"{x:.10f} {y:.10f} {z:.10f}" for x, y, z in frame["forces"] / HARTREE * BOHR]
        named = list(zip(symbols, pulls, strict=True))
        positions += f"5\n{head}\n" + "".join(f"{s} {row}\n" for s, row in zip(symbols, rows, strict=True))
        if style == "xyz":
            forces += f"5\n{head}\n" + "".join(f"{s} {row}\n" for s, row in named)
        elif style == "before 2023":
            forces += " ATOMIC FORCES in [a.u.]\n\n # Atom Kind Element X Y Z\n"
            forces += "".join(f"  {k + 1}  1  {s}  {row}\n" for k, (s, row) in enumerate(named))
            forces += " SUM OF ATOMIC FORCES 0.0 0.0 0.0 0.0\n"
        else:
            forces += " FORCES| Atomic forces [hartree/bohr]\n FORCES| Atom x y z |f|\n"
            forces += "".join(f" FORCES|  {k + 1} {row} 1.0E+00\n" for k, row in enumerate(pulls))
            forces += " FORCES| Sum 0.0 0.0 0.0\n"
    (tmp_path / "run-pos-1.xyz").write_text(positions)
    name = "run-frc-1.xyz" if style == "xyz" else "run.out"
    (tmp_path / name).write_text(forces)
    told = {"cell": tuple(frames["cell"][0].ravel()), "forces": None if style == "xyz" else tmp_path / name}
    back = read("cp2k", tmp_path / "run-pos-1.xyz", **told)
    np.testing.assert_allclose(back["forces"], frames["forces"], atol=1e-7)
    np.testing.assert_allclose(back["energy"], frames["energy"], atol=1e-7)
    assert back["time"].tolist() == [0.0, 0.5]
    (tmp_path / name).write_text("".join(forces.splitlines(keepends=True)[:-2]))
    with pytest.raises(UserError, match=r"not whole|fewer|not an element and three"):
        read("cp2k", tmp_path / "run-pos-1.xyz", **told)


def test_cp2k_forces_of_other_atoms_and_a_missing_cell_are_refused(shared: Path, tmp_path: Path) -> None:
    pairs = shared / "licl-pairs"
    with pytest.raises(UserError, match="has no cell, and 0 numbers are told; 1, 3 or 9 are allowed"):
        read("cp2k", pairs / "positions.xyz", forces=pairs / "cp2k-dft-forces.txt")
    with pytest.raises(UserError, match="frame 1: no energy"):
        read("cp2k", pairs / "positions.xyz", forces=pairs / "cp2k-dft-forces.txt", cell=(13.8674,))
    with pytest.raises(UserError, match=r"forces in eV/Å would be 0.0154.*; Hartree/bohr or"):
        read("cp2k", pairs / "positions.xyz", forces=pairs / "cp2k-dft-forces.txt", force_unit="eV/Å", **LICL)
    lines = (pairs / "positions.xyz").read_text().splitlines()
    lines[2], lines[3] = lines[3], lines[2]
    (tmp_path / "x.xyz").write_text("\n".join(lines) + "\n")
    with pytest.raises(UserError, match="frame 1: forces on other atoms"):
        read("cp2k", tmp_path / "x.xyz", forces=pairs / "cp2k-dft-forces.txt", **LICL)
    (tmp_path / "y.xyz").write_text("\n".join((pairs / "positions.xyz").read_text().splitlines()[:250]) + "\n")
    with pytest.raises(UserError, match="the file of the forces has more frames"):
        read("cp2k", tmp_path / "y.xyz", forces=pairs / "cp2k-dft-forces.txt", **LICL)


def test_lammps_dumps_are_sorted_by_atom(tmp_path: Path) -> None:
    from saltern.store.formats.lammps import dumped_forces

    head = "ITEM: TIMESTEP\n0\nITEM: NUMBER OF ATOMS\n2\nITEM: BOX BOUNDS pp pp pp\n0 9\n0 9\n0 9\n"
    path = tmp_path / "x.lammpstrj"
    path.write_text(head + "ITEM: ATOMS id element fx fy fz\n2 Cl 4 5 6\n1 Na 1 2 3\n")
    ((_, symbols, forces),) = dumped_forces(path)
    assert symbols == ["Na", "Cl"] and forces.tolist() == [[1, 2, 3], [4, 5, 6]]
    path.write_text(head + "ITEM: ATOMS id element x y z\n2 Cl 4 5 6\n1 Na 1 2 3\n")
    with pytest.raises(UserError, match="frame 1: no column fx, fy, fz"):
        list(dumped_forces(path))
    path.write_text(head + "ITEM: ATOMS id element fx fy fz\n2 Cl 4 5 6\n")
    with pytest.raises(UserError, match="not whole"):
        list(dumped_forces(path))


@pytest.mark.parametrize(
    ("damage", "message"),
    [
        ("type_map.raw", "type_map.raw: no such file"),
        ("set.000/force.npy", "coord.npy, force.npy and box.npy are expected; coord, box, energy found"),
        ("set.000/energy.npy", "frame 1: no energy"),
        ("nopbc", "only periodic frames are allowed"),
        ("short", "different numbers of frames"),
        ("type", "type 2; type_map.raw has 0 to 1"),
        ("truncated", "not a whole array with 576 numbers a frame"),
    ],
)
def test_a_damaged_deepmd_directory_is_named(shared: Path, tmp_path: Path, damage: str, message: str) -> None:
    folder = tmp_path / "d"
    for path in (shared / "water-pbe0ts" / "data_0").rglob("*.*"):
        if path.is_file():
            copy = folder / path.relative_to(shared / "water-pbe0ts" / "data_0")
            copy.parent.mkdir(parents=True, exist_ok=True)
            copy.write_bytes(path.read_bytes())
    if damage == "nopbc":
        (folder / "nopbc").touch()
    elif damage == "short":
        np.save(folder / "set.000" / "energy.npy", np.load(folder / "set.000" / "energy.npy")[:79])
    elif damage == "type":
        (folder / "type.raw").write_text((folder / "type.raw").read_text().replace("0", "2", 1))
    elif damage == "truncated":
        coord = folder / "set.000" / "coord.npy"
        coord.write_bytes(coord.read_bytes()[:-100])
    else:
        (folder / damage).unlink()
    with pytest.raises(UserError) as caught:
        read("deepmd", folder)
    assert message in caught.value.lines[0] and str(folder) in caught.value.lines[0]


def test_provenance_names_the_bytes(tmp_path: Path) -> None:
    (tmp_path / "d").mkdir()
    (tmp_path / "d" / "a").write_bytes(b"one")
    digest = hashlib.sha256(b"one").hexdigest()
    assert provenance(tmp_path / "d" / "a") == {"source": "a", "sha256": digest}
    whole = provenance(tmp_path / "d")
    assert whole["files"] == {"a": digest}
    (tmp_path / "d" / "a").rename(tmp_path / "d" / "b")
    assert provenance(tmp_path / "d")["sha256"] != whole["sha256"]
    with pytest.raises(UserError, match="no such file or directory"):
        provenance(tmp_path / "nowhere")
