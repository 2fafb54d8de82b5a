"""Extended XYZ, as ASE and MACE use it: every number comes back with every bit."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping
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

ENERGY, FORCES, STRESS = (FIELDS[name].aliases["extxyz"] for name in ("energy", "forces", "stress"))
TEXTS = ("system", "trajectory", "label_key", "method", "engine", "engine_version")
NUMBERS = ("time", "temperature", "permittivity")
COLUMNS = {"positions": "pos", "forces": FORCES, "charges": "initial_charges"}
"""Formal charges are ASE's initial charges; a column 'charge' would become a result of its calculator."""


def export_extxyz(splits: Splits, target: Path, about: Mapping[str, Any], workers: Workers = ALONE) -> None:
    """Write one `SPLIT.extxyz` a split: eV, Å, stress positive in tension; the keys are MACE's defaults (REF_energy).

    Raises:
        UserError: when the target is there already.
    """
    with new_folder(target, about) as folder:
        write_splits(splits, folder, workers)


def write_splits(splits: Splits, folder: Path, workers: Workers) -> None:
    """Write the files of the splits that hold frames."""
    for split, batches in splits.items():
        for text in workers.stream(_text, with_frames(batches)):
            with (folder / f"{split}.extxyz").open("a", encoding="utf-8") as handle:
                handle.write(text)


def _text(frames: Frames) -> str:
    """All frames."""
    return "".join(_frame_text(frames, index) for index in range(len(frames)))


def _frame_text(frames: Frames, index: int) -> str:
    """One frame. `repr` is the shortest text that gives the same float again."""
    columns = [name for name in COLUMNS if value_of(frames, index, name) is not None]
    values = np.column_stack([frames.of(index, name) for name in columns]).tolist()
    symbols = symbols_of(frames.of(index, "numbers"))
    lines = [f"{symbol} {' '.join(map(repr, row))}\n" for symbol, row in zip(symbols, values, strict=True)]
    return f"{len(symbols)}\n{_comment(frames, index, columns)}\n{''.join(lines)}"


def _comment(frames: Frames, index: int, columns: list[str]) -> str:
    """The line of key=value pairs of a frame."""
    shapes = [f"{COLUMNS[name]}:R:{3 if FIELDS[name].shape else 1}" for name in columns]
    pairs = {
        "Lattice": _quoted(_row(frames.of(index, "cell"))),
        "Properties": ":".join(["species:S:1", *shapes]),
        "pbc": '"T T T"',
    }
    for name, key in (("energy", ENERGY), *((name, name) for name in NUMBERS)):
        value = value_of(frames, index, name)
        if value is not None:
            pairs[key] = repr(float(value))
    stress = value_of(frames, index, "stress")
    if stress is not None:
        pairs[STRESS] = _quoted(_row(stress))
    pairs.update({name: _quoted(_escaped(str(frames.of(index, name)))) for name in TEXTS if name in frames})
    return " ".join(f"{key}={value}" for key, value in pairs.items())


def _row(matrix: Array) -> str:
    return " ".join(map(repr, matrix.ravel().tolist()))


def _quoted(text: str) -> str:
    return f'"{text}"'


def _escaped(text: str) -> str:
    return text.replace("\\", "\\\\").replace('"', '\\"').replace("\n", " ")


PAIR = re.compile(r"""([^\s=]+)=("(?:[^"\\]|\\.)*"|'[^']*'|\{[^}]*\}|\[[^\]]*\]|\S+)""")
ENERGIES = (ENERGY, "energy", "total_energy", "Energy")
FORCE_COLUMNS = (FORCES, "forces", "force")
CHARGE_COLUMNS = ("initial_charges", "charge")
STRESSES = (STRESS, "stress")
VIRIALS = ("REF_virials", "virials", "virial")
VOIGT = np.array([[0, 5, 4], [5, 1, 3], [4, 3, 2]])


def import_extxyz(source: Path, options: ImportOptions) -> Iterator[Frames]:
    """Read an extended XYZ file, or every `*.extxyz` and `*.xyz` of a directory.

    Energies are looked for under REF_energy, energy, total_energy; forces under REF_forces, forces, force; stress
    under REF_stress, stress, or as minus the virial by volume. Text that the exporter wrote is kept as text.

    Raises:
        UserError: naming file and frame, for a frame without a cell, periodicity, forces or energy, a file that
            ends within a frame, or numbers that do not fit the units.
    """
    return assembled(_raw_frames(source), source, options, NATIVE)


def _raw_frames(source: Path) -> Iterable[RawFrame]:
    paths = [p for p in sorted(source.iterdir()) if p.suffix in (".extxyz", ".xyz")] if source.is_dir() else [source]
    if not paths or not paths[0].is_file():
        raise UserError(f"{source}: no .extxyz or .xyz file")
    for path in paths:
        for where, comment, lines in xyz_blocks(path):
            yield _raw_frame(where, comment, lines, path.stem)


def xyz_blocks(path: Path) -> Iterator[tuple[str, str, list[str]]]:
    """Where it is, comment and lines of atoms of every frame of an XYZ file.

    Raises:
        UserError: for a frame that does not start with its number of atoms, or does not have so many.
    """
    with path.open(encoding="utf-8") as handle:
        for number, line in enumerate(iter(handle.readline, ""), 1):
            if not line.strip():
                return
            where = f"{path}: frame {number}"
            if not line.strip().isdigit():
                raise UserError(f"{where}: '{line.strip()[:40]}' where the number of atoms is expected")
            comment, lines = handle.readline().strip(), [handle.readline() for _ in range(int(line))]
            if not lines or not lines[-1].strip():
                raise UserError(f"{where}: fewer than {line.strip()} atoms; the file is not whole")
            yield where, comment, lines


def _raw_frame(where: str, comment: str, lines: list[str], stem: str) -> RawFrame:
    """One frame from its text."""
    info = {key: _unquoted(value) for key, value in PAIR.findall(comment)}
    columns = _columns(where, info.get("Properties", "species:S:1:pos:R:3"), lines)
    forces = next((columns[name] for name in FORCE_COLUMNS if name in columns), None)
    if forces is None or "pos" not in columns:
        raise UserError(f"{where}: no forces; allowed are columns {', '.join(FORCE_COLUMNS)} beside pos")
    energy = next((info[key] for key in ENERGIES if key in info), "nan")
    return RawFrame(
        where=where,
        numbers=_atomic_numbers(where, columns),
        positions=_floats(where, "pos", columns["pos"], (-1, 3)),
        cell=_cell(where, info),
        energy=float(_floats(where, "energy", energy.split(), ())),
        forces=_floats(where, "forces", forces, (-1, 3)),
        stress=_matrix(where, info, STRESSES),
        virial=_matrix(where, info, VIRIALS),
        charges=_charges(where, columns),
        about={"trajectory": stem, **{key: info[key] for key in (*TEXTS, *NUMBERS) if key in info}},
    )


def _charges(where: str, columns: Mapping[str, Array]) -> Array | None:
    text = next((columns[name] for name in CHARGE_COLUMNS if name in columns), None)
    return None if text is None else _floats(where, "charge", text, (-1,))


def _unquoted(value: str) -> str:
    if value[0] == '"':
        return re.sub(r"\\(.)", r"\1", value[1:-1])
    return value[1:-1] if value[0] in "'{[" else value


def _columns(where: str, properties: str, lines: list[str]) -> dict[str, Array]:
    """The columns that `Properties` names, as text: name to (atom, width)."""
    words = properties.split(":")
    table = [line.split() for line in lines]
    names, widths = words[0::3], [int(width) for width in words[2::3]]
    if any(len(row) < sum(widths) for row in table):
        raise UserError(f"{where}: a line of atoms has fewer than the {sum(widths)} columns of Properties")
    texts = np.array([row[: sum(widths)] for row in table])
    parts = np.split(texts, np.cumsum(widths)[:-1], axis=1)
    return dict(zip(names, parts, strict=True))


def _atomic_numbers(where: str, columns: dict[str, Array]) -> Array:
    if "species" in columns:
        return numbers_of(where, columns["species"][:, 0].tolist())
    if "Z" in columns:
        return columns["Z"][:, 0].astype(np.int32)
    raise UserError(f"{where}: no elements; allowed are columns species and Z")


def _floats(where: str, what: str, texts: Any, shape: tuple[int, ...]) -> Array:
    try:
        return np.asarray(texts).astype(np.float64).reshape(shape)
    except ValueError as error:
        raise UserError(f"{where}: {what} is not made of the numbers expected ({error})") from error


def _cell(where: str, info: Mapping[str, str]) -> Array:
    """Cell vectors as rows; a frame of ours is periodic in all three."""
    if "Lattice" not in info:
        raise UserError(f"{where}: no cell; Lattice with nine numbers is expected")
    if set(info.get("pbc", "T T T").upper().replace("TRUE", "T").replace(",", " ").split()) != {"T"}:
        raise UserError(f"{where}: pbc is '{info['pbc']}'; only frames that are periodic in all directions are allowed")
    return _floats(where, "Lattice", info["Lattice"].split(), (3, 3))


def _matrix(where: str, info: Mapping[str, str], keys: tuple[str, ...]) -> Array | None:
    """A stress or virial: nine numbers, or six in Voigt's order (xx, yy, zz, yz, xz, xy)."""
    text = next((info[key] for key in keys if key in info), None)
    if text is None:
        return None
    values = _floats(where, keys[-1], text.replace(",", " ").replace("[", " ").replace("]", " ").split(), (-1,))
    if len(values) not in (6, 9):
        raise UserError(f"{where}: {keys[-1]} has {len(values)} numbers; 6 or 9 are allowed")
    return values[VOIGT] if len(values) == 6 else values.reshape(3, 3)
