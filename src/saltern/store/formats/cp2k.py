"""What CP2K writes: positions and forces in files of their own."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from saltern.errors import UserError
from saltern.frames import Array, Frames
from saltern.store.formats.base import ImportOptions
from saltern.store.formats.extxyz import xyz_blocks
from saltern.store.formats.foreign import RawFrame, assembled, numbers_of
from saltern.store.formats.lammps import dumped_forces
from saltern.store.formats.quantities import Units

NATIVE = Units("Hartree", "Å", "Hartree/bohr")
"""CP2K's output is in atomic units, its XYZ files in Å."""

NUMBER = r"[-+]?\d+\.\d*(?:[EeDd][-+]?\d+)?"
COMMENT = re.compile(rf"\b(time|E)\s*=\s*({NUMBER})")
OLD_ROW = re.compile(rf"\s*\d+\s+\d+\s+([A-Z][a-z]?)\S*\s+({NUMBER})\s+({NUMBER})\s+({NUMBER})\s*$")
NEW_ROW = re.compile(rf"\s*FORCES\|\s+\d+()\s+({NUMBER})\s+({NUMBER})\s+({NUMBER})\s+\S+\s*$")
HEADS = ("ATOMIC FORCES in", "FORCES| Atomic forces")
ENDS = ("SUM OF ATOMIC FORCES", "FORCES| Sum")


@dataclass(frozen=True)
class ForceBlock:
    """Forces (atom, 3) of one frame as printed, with the elements where they are printed too."""

    where: str
    symbols: list[str]
    forces: Array


def import_cp2k(source: Path, options: ImportOptions) -> Iterator[Frames]:
    """Read positions from an XYZ file and forces from a second file, frame by frame.

    The second file is `options.forces`, or for `NAME-pos-1.xyz` the `NAME-frc-1.xyz` beside it. It holds what
    FORCE_EVAL/PRINT/FORCES prints, an XYZ file of forces, or a LAMMPS dump of them. Energy (E) and time are taken
    from the comments of CP2K's own XYZ files. Unless told otherwise energies are in Hartree, positions in Å, forces
    in Hartree/bohr. The cell has to be told: one edge of a cube, three edges, or three vectors.

    Raises:
        UserError: naming file and frame, for a missing cell, forces that are not of these frames, missing energies,
            or numbers that do not fit the units.
    """
    return assembled(_raw_frames(source, options), source, options, NATIVE)


def _raw_frames(source: Path, options: ImportOptions) -> Iterator[RawFrame]:
    cell = told_cell(source, options.cell)
    blocks = printed_forces(_forces_path(source, options.forces))
    for where, comment, lines in xyz_blocks(source):
        block = next(blocks, None)
        if block is None:
            raise UserError(f"{where}: no forces; their file has fewer frames")
        yield _raw_frame(where, comment, lines, cell, block)
    if next(blocks, None) is not None:
        raise UserError(f"{source}: the file of the forces has more frames; they must be as many")


def _forces_path(source: Path, told: Path | None) -> Path:
    """The file with the forces."""
    path = told or source.with_name(source.name.replace("-pos-", "-frc-"))
    for file in (source, path):
        if not file.is_file():
            raise UserError(f"{file}: no such file")
    if path == source:
        raise UserError(f"{source}: no file with forces; tell it, or name the two NAME-pos-1.xyz and NAME-frc-1.xyz")
    return path


def told_cell(source: Path, numbers: tuple[float, ...]) -> Array:
    """Cell vectors as rows (3, 3) from one edge, three edges or nine numbers.

    Raises:
        UserError: for another count of numbers.
    """
    if len(numbers) not in (1, 3, 9):
        raise UserError(f"{source}: has no cell, and {len(numbers)} numbers are told; 1, 3 or 9 are allowed")
    return np.reshape(numbers, (3, 3)) if len(numbers) == 9 else np.eye(3) * np.array(numbers)


def _raw_frame(where: str, comment: str, lines: list[str], cell: Array, block: ForceBlock) -> RawFrame:
    """One frame from its positions and its forces, which must be of the same atoms."""
    symbols, positions = xyz_atoms(where, lines)
    if block.symbols and block.symbols != symbols:
        raise UserError(f"{block.where}: forces on other atoms than in {where}; elements and their order must agree")
    told = dict(COMMENT.findall(comment))
    return RawFrame(
        where=where,
        numbers=numbers_of(where, symbols),
        positions=positions,
        cell=cell,
        energy=float(told.get("E", "nan")),
        forces=block.forces,
        about={"time": told["time"]} if "time" in told else {},
    )


def xyz_atoms(where: str, lines: list[str]) -> tuple[list[str], Array]:
    """Elements and numbers (atom, 3) of the lines of atoms of an XYZ file.

    Raises:
        UserError: for a line that is not an element and three numbers.
    """
    rows = [line.split() for line in lines]
    try:
        return [row[0] for row in rows], np.array([[float(x) for x in row[1:4]] for row in rows]).reshape(-1, 3)
    except (ValueError, IndexError) as error:
        raise UserError(f"{where}: a line of atoms is not an element and three numbers ({error})") from error


def printed_forces(path: Path) -> Iterator[ForceBlock]:
    """The forces of every frame of a file, in the units of the file: an XYZ file, a LAMMPS dump or CP2K's output.

    Raises:
        UserError: for a frame that is not whole, or a file without forces.
    """
    with path.open(encoding="utf-8") as handle:
        first = next((line for line in handle if line.strip()), "").strip()
    if first.isdigit():
        for where, _, lines in xyz_blocks(path):
            yield ForceBlock(where, *xyz_atoms(where, lines))
    elif first.startswith("ITEM:"):
        for where, symbols, forces in dumped_forces(path):
            yield ForceBlock(where, symbols, forces)
    else:
        yield from _output_forces(path)


def _output_forces(path: Path) -> Iterator[ForceBlock]:
    """Blocks of forces in CP2K's output, of versions before and after 2023."""
    rows: list[tuple[str, ...]] | None = None
    count = 0
    with path.open(encoding="utf-8") as handle:
        for line in handle:
            text = line.strip()
            if text.startswith(HEADS):
                if rows is not None:
                    break
                rows, count = [], count + 1
            elif text.startswith(ENDS) and rows is not None:
                yield _block(f"{path}: frame {count}", rows)
                rows = None
            elif rows is not None and (match := OLD_ROW.match(line) or NEW_ROW.match(line)):
                rows.append(match.groups())
    if rows is not None:
        raise UserError(f"{path}: frame {count}: the forces end without their sum; the file is not whole")
    if not count:
        raise UserError(f"{path}: no forces; '{HEADS[0]}' is expected")


def _block(where: str, rows: list[tuple[str, ...]]) -> ForceBlock:
    symbols = [row[0] for row in rows if row[0]]
    forces = np.array([[float(x.upper().replace("D", "E")) for x in row[1:]] for row in rows]).reshape(-1, 3)
    return ForceBlock(where, symbols, forces)
