"""DeePMD-kit's npy directories: one a list of atoms, since all frames of a directory have the same."""

from __future__ import annotations

import csv
import hashlib
import itertools
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from saltern.errors import UserError
from saltern.fields import FIELDS
from saltern.frames import Array, Frames
from saltern.store.formats.base import ALONE, ImportOptions, Splits, new_folder, symbols_of, value_of, with_frames
from saltern.store.formats.foreign import RawFrame, assembled, numbers_of
from saltern.store.formats.quantities import NATIVE
from saltern.store.parallel import Workers

NAMES = {name: FIELDS[name].aliases["deepmd"] for name in ("positions", "cell", "energy", "forces")}
ABOUT = ("system", "trajectory", "time", "temperature", "label_key")


@dataclass
class _Folder:
    """What has been written for one list of atoms."""

    path: Path
    numbers: Array
    frames: int = 0
    widths: dict[str, int] = field(default_factory=dict)


def export_deepmd(splits: Splits, target: Path, about: Mapping[str, Any], workers: Workers = ALONE) -> None:  # noqa: ARG001 - there is no text
    """Write `SPLIT/ATOMS/set.000/{coord,box,energy,force,virial}.npy`, doubles in Å, eV and eV/Å.

    ATOMS is the formula, with a hash of the order of the atoms. `virial` is in eV, minus stress times volume, and is
    there for frames with a stress; those without go into a directory of their own. All directories have the same
    `type_map.raw`. `frames.csv`, which DeePMD does not read, says which frame is which.

    Raises:
        UserError: when the target is there already, or a frame has no energy or forces.
    """
    folders: dict[tuple[Any, ...], _Folder] = {}
    with new_folder(target, about) as root:
        for split, batches in splits.items():
            for batch in with_frames(batches):
                for key, frames in _alike(batch):
                    path = root / split / _name(frames.of(0, "numbers"), with_virial=key[1])
                    _append(folders.setdefault((split, *key), _Folder(path, frames.of(0, "numbers"))), frames)
        types = sorted({int(number) for folder in folders.values() for number in folder.numbers})
        for folder in folders.values():
            _seal(folder, types)


def _alike(batch: Frames) -> Iterator[tuple[tuple[bytes, bool], Frames]]:
    """Frames of the same atoms in the same order, all with or all without a stress."""
    keys = [(batch.of(i, "numbers").tobytes(), value_of(batch, i, "stress") is not None) for i in range(len(batch))]
    order = sorted(range(len(batch)), key=lambda i: keys[i])
    for key, members in itertools.groupby(order, key=lambda i: keys[i]):
        chosen = list(members)
        yield key, batch if len(chosen) == len(batch) else batch.select(chosen)


def _name(numbers: Array, *, with_virial: bool) -> str:
    """'H128O64-1a2b3c4d': formula, and what tells two orders of the same atoms apart."""
    from ase.formula import Formula

    formula = Formula.from_list(symbols_of(numbers)).format("hill")
    order = hashlib.sha256(np.asarray(numbers, dtype="<i4").tobytes()).hexdigest()[:8]
    return f"{formula}-{order}{'' if with_virial else '-no-virial'}"


def _append(folder: _Folder, frames: Frames) -> None:
    """Add frames to the arrays of a directory. Each grows at its end; its header is put right when it is sealed."""
    arrays = {NAMES[name]: _rows(frames, name) for name in NAMES}
    if value_of(frames, 0, "stress") is not None:
        volumes = np.abs(np.linalg.det(frames["cell"]))
        arrays["virial"] = -frames["stress"].reshape(-1, 9) * volumes[:, None]
    for name, array in arrays.items():
        path = folder.path / "set.000" / f"{name}.npy"
        if name not in folder.widths:
            folder.widths[name] = array.shape[1]
            path.parent.mkdir(parents=True, exist_ok=True)
            _write_header(path, 0, array.shape[1], "wb")
        with path.open("ab") as handle:
            handle.write(np.ascontiguousarray(array, dtype="<f8").tobytes())
    with (folder.path / "frames.csv").open("a", encoding="utf-8", newline="") as handle:
        csv.writer(handle).writerows([_text(frames, i, name) for name in ABOUT] for i in range(len(frames)))
    folder.frames += len(frames)


def _rows(frames: Frames, name: str) -> Array:
    """A quantity as (frame, what one frame has of it).

    Raises:
        UserError: when it is not there, or not for every frame.
    """
    if name not in frames or np.isnan(frames[name]).any():
        raise UserError(f"{name}: missing in a frame; DeePMD's format needs energy and forces of every frame")
    return frames.stacked(name).reshape(len(frames), -1)


def _text(frames: Frames, index: int, name: str) -> str:
    value = value_of(frames, index, name)
    return "" if value is None else str(value)


def _write_header(path: Path, rows: int, width: int, mode: str) -> None:
    """NumPy leaves room in the header for the number of rows to grow, so it keeps its length."""
    with path.open(mode) as handle:
        shape = (rows, width) if path.stem != "energy" else (rows,)
        np.lib.format.write_array_header_1_0(handle, {"descr": "<f8", "fortran_order": False, "shape": shape})


def _seal(folder: _Folder, types: list[int]) -> None:
    """Write what is known only at the end: numbers of frames, types, and the heading of the table."""
    for name, width in folder.widths.items():
        _write_header(folder.path / "set.000" / f"{name}.npy", folder.frames, width, "r+b")
    indices = [types.index(number) for number in folder.numbers]
    (folder.path / "type.raw").write_text("".join(f"{index}\n" for index in indices), encoding="ascii")
    (folder.path / "type_map.raw").write_text("".join(f"{s}\n" for s in symbols_of(np.array(types))), encoding="ascii")


def import_deepmd(source: Path, options: ImportOptions) -> Iterator[Frames]:
    """Read a DeePMD npy directory, or all of those below a directory, each with its sets in their order.

    A directory's path below `source` names the trajectory. What `frames.csv` of our own exports says is kept.

    Raises:
        UserError: naming file and frame, for a missing or odd array, no periodic box, or numbers that do not fit
            the units.
    """
    return assembled(_raw_frames(source), source, options, NATIVE)


def _raw_frames(source: Path) -> Iterator[RawFrame]:
    folders = sorted(path.parent for path in source.rglob("type.raw"))
    if not folders:
        raise UserError(f"{source}: no type.raw in or below it; a DeePMD npy directory is expected")
    for folder in folders:
        if (folder / "nopbc").exists():
            raise UserError(f"{folder}: not periodic (nopbc); only periodic frames are allowed")
        numbers = _numbers(folder)
        table = _table(folder)
        name = folder.relative_to(source).as_posix() if folder != source else source.name
        for part in sorted(folder.glob("set.*")):
            yield from _set(part, numbers, name, table)


def _numbers(folder: Path) -> Array:
    """Atomic numbers (atom,) from type.raw and type_map.raw."""
    names = folder / "type_map.raw"
    if not names.exists():
        raise UserError(f"{names}: no such file; it says which element a type is")
    elements = numbers_of(str(names), names.read_text(encoding="utf-8").split())
    types = np.loadtxt(folder / "type.raw", dtype=np.int64, ndmin=1)
    if types.min() < 0 or types.max() >= len(elements):
        raise UserError(f"{folder / 'type.raw'}: type {types.max()}; type_map.raw has 0 to {len(elements) - 1}")
    return elements[types]


def _table(folder: Path) -> Iterator[dict[str, str]]:
    """What our own exports say of each frame; without end where they say nothing."""
    path = folder / "frames.csv"
    if not path.exists():
        return itertools.repeat({})
    rows = csv.reader(path.read_text(encoding="utf-8").splitlines())
    return ({name: text for name, text in zip(ABOUT, row, strict=True) if text} for row in rows)


def _set(folder: Path, numbers: Array, name: str, table: Iterator[dict[str, str]]) -> Iterator[RawFrame]:
    """The frames of one set; arrays stay on disk until they are asked for."""
    atoms = len(numbers)
    shapes = {"coord": (atoms, 3), "force": (atoms, 3), "box": (3, 3), "energy": (1,), "virial": (3, 3)}
    arrays = {key: _array(folder / f"{key}.npy", shape) for key, shape in shapes.items()}
    counts = {key: len(array) for key, array in arrays.items() if array is not None}
    if arrays["coord"] is None or arrays["force"] is None or arrays["box"] is None:
        raise UserError(f"{folder}: coord.npy, force.npy and box.npy are expected; {', '.join(counts)} found")
    if len(set(counts.values())) > 1:
        raise UserError(f"{folder}: arrays have different numbers of frames ({counts})")
    for i in range(counts["coord"]):
        rows = {key: array[i].astype(np.float64) for key, array in arrays.items() if array is not None}
        yield RawFrame(
            where=f"{folder}: frame {i + 1}",
            numbers=numbers,
            positions=rows["coord"],
            cell=rows["box"],
            energy=float(rows["energy"][0]) if "energy" in rows else np.nan,
            forces=rows["force"],
            virial=rows.get("virial"),
            about={"trajectory": name, **next(table, {})},
        )


def _array(path: Path, shape: tuple[int, ...]) -> Array | None:
    """An array mapped from its file as (frame, *shape), None where there is no such file."""
    if not path.exists():
        return None
    try:
        mapped: Array = np.load(path, mmap_mode="r", allow_pickle=False)
        return mapped.reshape(len(mapped), *shape)
    except ValueError as error:
        expected = int(np.prod(shape))
        raise UserError(f"{path}: not a whole array with {expected} numbers a frame ({error})") from error
