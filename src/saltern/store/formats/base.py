"""What the formats share: how they are called, how an export appears, what an import must be told."""

from __future__ import annotations

import os
import shutil
import tempfile
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol

import numpy as np

from saltern.errors import UserError
from saltern.frames import Array, Frames
from saltern.store.files import file_hash, text_hash, write_json
from saltern.store.parallel import Workers

Splits = Mapping[str, Iterable[Frames]]
"""Batches of frames by the name of their split."""

ALONE = Workers(1)
"""This process does all the work."""


class Export(Protocol):
    """A format that releases can be written in."""

    def __call__(self, splits: Splits, target: Path, about: Mapping[str, Any], workers: Workers = ALONE) -> None:
        """Make the new directory `target`, with a file or a directory a split in it.

        Args:
            splits: the frames; a few batches are in memory at a time.
            target: the directory, whole or not at all.
            about: the manifest of the release.
            workers: who turns numbers into text, where the format has any; the files do not depend on it.

        Raises:
            UserError: for a target that is there, and for frames that the format cannot hold.
        """


@dataclass(frozen=True)
class ImportOptions:
    """What files of other programs do not say about their frames.

    Units are words such as 'eV', 'Hartree', 'kcal/mol'; 'Å' (or 'A'), 'bohr', 'nm'; 'eV/Å', 'Hartree/bohr'. Those
    left out are the format's own; a force unit left out follows from the two others where they are given.
    """

    energy_unit: str | None = None
    length_unit: str | None = None
    force_unit: str | None = None
    system: str = ""
    """Identifier of the system; empty for what the source says, or its name."""
    temperature: float | None = None
    """K."""
    method: str = "unknown"
    engine: str = "unknown"
    engine_version: str = "unknown"
    permittivity: float | None = None
    charges: Mapping[str, float] = field(default_factory=dict)
    """Formal charge in e by element, 0 for elements that are not named; empty for no charges at all."""
    cell: tuple[float, ...] = ()
    """One edge of a cube, three edges or three vectors, in the unit of length, where the source has none."""
    forces: Path | None = None
    """A second file, with the forces, where the source holds only positions."""
    time_step: float = 1.0
    """Time between frames in fs, where the source does not tell it."""
    allow_missing_energy: bool = False


Import = Callable[[Path, ImportOptions], Iterator[Frames]]
"""A format that datasets can be read from; it gives batches of some hundred frames in Saltern's units.

It raises a `UserError` that names file and frame for what is missing, and the unit that would fit where numbers cannot
be what they are said to be.
"""


@contextmanager
def new_folder(target: Path, about: Mapping[str, Any]) -> Iterator[Path]:
    """A directory that appears whole, with what the release says of itself in `release.json`, or not at all.

    Raises:
        UserError: when the target is there already.
    """
    if target.exists():
        raise UserError(f"{target}: is there already; an export makes a new directory")
    target.parent.mkdir(parents=True, exist_ok=True)
    building = Path(tempfile.mkdtemp(dir=target.parent, prefix=f".{target.name}."))
    try:
        write_json(building / "release.json", {key: about[key] for key in about if key != "files"})
        yield building
        _flush(building)
        building.chmod(0o755)
        building.rename(target)
    finally:
        shutil.rmtree(building, ignore_errors=True)


def _flush(folder: Path) -> None:
    """Force every file onto the disk, so that a power cut cannot leave a named directory of empty files."""
    for path in folder.rglob("*"):
        if path.is_file():
            with path.open("rb") as handle:
                os.fsync(handle.fileno())


def with_frames(batches: Iterable[Frames]) -> Iterator[Frames]:
    """The batches that hold any frames."""
    return (batch for batch in batches if len(batch))


def value_of(frames: Frames, index: int, name: str) -> Any:
    """One frame's share of a quantity, None where it was not measured."""
    if name not in frames:
        return None
    value = frames.of(index, name)
    if np.asarray(value).dtype.kind == "f" and np.isnan(value).any():
        return None
    return value


def symbols_of(numbers: Array) -> list[str]:
    """Element symbols of atomic numbers (atom,)."""
    from ase.data import chemical_symbols

    return [chemical_symbols[number] for number in numbers]


def provenance(source: Path) -> dict[str, Any]:
    """Name and SHA-256 of a source: of a file's bytes, or of the names and hashes of all files of a directory.

    Raises:
        UserError: when there is no such source.
    """
    if source.is_file():
        return {"source": source.name, "sha256": file_hash(source)}
    if not source.is_dir():
        raise UserError(f"{source}: no such file or directory")
    files = {
        path.relative_to(source).as_posix(): file_hash(path) for path in sorted(source.rglob("*")) if path.is_file()
    }
    return {"source": source.name, "sha256": text_hash(*(f"{n}:{h}" for n, h in files.items())), "files": files}
