"""LAMMPS dumps of forces."""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from pathlib import Path

import numpy as np

from saltern.errors import UserError
from saltern.frames import Array


def dumped_forces(path: Path) -> Iterator[tuple[str, list[str], Array]]:
    """Where it is, elements and forces (atom, 3) of every frame of a dump, in the order of the atoms' numbers.

    Raises:
        UserError: for a dump without the columns id, fx, fy, fz, or a frame that is not whole.
    """
    with path.open(encoding="utf-8") as handle:
        for number in itertools.count(1):
            where = f"{path}: frame {number}"
            if not handle.readline().strip():
                return
            head = [handle.readline() for _ in range(8)]
            yield where, *_atoms(where, head, [handle.readline() for _ in range(_count(where, head))])


def _count(where: str, head: list[str]) -> int:
    """Number of atoms, from the lines after 'ITEM: TIMESTEP'."""
    if not head[1].startswith("ITEM: NUMBER OF ATOMS") or not head[2].strip().isdigit():
        raise UserError(f"{where}: 'ITEM: NUMBER OF ATOMS' is expected on line 3; the file is not a whole dump")
    return int(head[2])


def _atoms(where: str, head: list[str], lines: list[str]) -> tuple[list[str], Array]:
    """Elements (none where the dump has none) and forces, sorted by id: LAMMPS writes atoms in any order."""
    names = head[7].split()[2:]
    missing = [name for name in ("id", "fx", "fy", "fz") if name not in names]
    if missing:
        raise UserError(f"{where}: no column {', '.join(missing)}; id, fx, fy, fz are expected")
    rows = [line.split() for line in lines]
    if any(len(row) != len(names) for row in rows):
        raise UserError(f"{where}: a line of atoms has not {len(names)} columns; the file is not whole")
    columns = dict(zip(names, np.array(rows).T, strict=True))
    order = np.argsort(columns["id"].astype(np.int64))
    symbols = columns["element"][order].tolist() if "element" in columns else []
    return symbols, np.column_stack([columns[name].astype(np.float64) for name in ("fx", "fy", "fz")])[order]
