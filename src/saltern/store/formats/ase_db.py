"""ASE databases in SQLite: one `SPLIT.db` a split."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from saltern.fields import FIELDS
from saltern.frames import Array, Frames
from saltern.store.formats.base import ALONE, Splits, new_folder, value_of, with_frames
from saltern.store.parallel import Workers

if TYPE_CHECKING:
    from ase import Atoms

ABOUT = (
    "system",
    "trajectory",
    "time",
    "temperature",
    "permittivity",
    "label_key",
    "method",
    "engine",
    "engine_version",
)


def export_ase_db(splits: Splits, target: Path, about: Mapping[str, Any], workers: Workers = ALONE) -> None:  # noqa: ARG001 - ASE writes
    """Write one SQLite database a split, with energy, forces and stress in each row's calculator (eV, Å).

    What a row's `data` holds is what we say of the frame, under our names; whatever ASE allows there is in its
    key-value pairs too, to select by. ASE keeps six numbers of a stress: its symmetric part.

    Raises:
        UserError: when the target is there already.
    """
    from ase.db import connect

    with new_folder(target, about) as folder:
        for split, batches in splits.items():
            for batch in with_frames(batches):
                # one transaction a batch: what SQLite has to remember stays small
                with connect(folder / f"{split}.db", use_lock_file=False) as database:
                    for index in range(len(batch)):
                        told = about_frame(batch, index)
                        database.write(atoms_of(batch, index), key_value_pairs=searchable(told), data=told)


def atoms_of(frames: Frames, index: int) -> Atoms:
    """One frame as ASE has it, with its labels in a calculator."""
    from ase import Atoms
    from ase.calculators.singlepoint import SinglePointCalculator

    atoms = Atoms(
        numbers=frames.of(index, "numbers"),
        positions=frames.of(index, "positions"),
        cell=frames.of(index, "cell"),
        pbc=True,
        charges=value_of(frames, index, "charges"),
    )
    atoms.calc = SinglePointCalculator(atoms, **labels_of(frames, index))
    return atoms


def labels_of(frames: Frames, index: int) -> dict[str, Any]:
    """Those of energy, forces and stress that were measured; the stress as six numbers in Voigt's order."""
    labels = {name: value_of(frames, index, name) for name in ("energy", "forces", "stress")}
    if labels["energy"] is not None:
        labels["energy"] = float(labels["energy"])
    if labels["stress"] is not None:
        labels["stress"] = voigt(labels["stress"])
    return {name: value for name, value in labels.items() if value is not None}


def voigt(stress: Array) -> Array:
    """(3, 3) to xx, yy, zz, yz, xz, xy; of the off-diagonal ones the mean of both."""
    symmetric = (stress + stress.T) / 2
    return symmetric[[0, 1, 2, 1, 0, 0], [0, 1, 2, 2, 2, 1]]


def about_frame(frames: Frames, index: int) -> dict[str, Any]:
    """What we say of a frame beside its labels, by the name of the field."""
    values = {name: value_of(frames, index, name) for name in ABOUT}
    return {
        name: str(value) if FIELDS[name].is_text else float(value)
        for name, value in values.items()
        if value is not None
    }


def searchable(told: Mapping[str, Any]) -> dict[str, Any]:
    """Those that ASE allows as key-value pairs: no empty text, and none that reads as a number or a truth."""
    return {name: value for name, value in told.items() if not isinstance(value, str) or _is_word(value)}


def _is_word(text: str) -> bool:
    if text in ("", "True", "False"):
        return False
    try:
        float(np.float64(text))
    except ValueError:
        return True
    return False
