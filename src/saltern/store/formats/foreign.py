"""Frames of other programs: their units, and how they become frames of ours."""

from __future__ import annotations

import hashlib
import itertools
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

import numpy as np

from saltern.errors import UserError
from saltern.frames import Array, Frames
from saltern.store.files import text_hash
from saltern.store.formats.base import ImportOptions
from saltern.store.formats.checks import check_batch
from saltern.store.formats.quantities import Units, energy_factor, force_factor, length_factor, units_of

BATCH = 400
"""Frames a batch."""

ORIGIN = ("engine", "engine_version", "method")


@dataclass(frozen=True)
class RawFrame:
    """One frame as its file has it, in the file's units, with `where` for messages.

    `numbers` (atom,), `positions` and `forces` (atom, 3), `cell` (3, 3) with vectors as rows, `energy` NaN when
    there is none, `stress` (3, 3) positive in tension, `virial` (3, 3) as energy, minus stress times volume,
    `charges` (atom,) in e, `about` what else the file says, by name of the field.
    """

    where: str
    numbers: Array
    positions: Array
    cell: Array
    energy: float
    forces: Array
    stress: Array | None = None
    virial: Array | None = None
    charges: Array | None = None
    about: Mapping[str, str] = field(default_factory=dict)


def numbers_of(where: str, symbols: Sequence[str]) -> Array:
    """Atomic numbers (atom,) of element symbols.

    Raises:
        UserError: for a word that is no element.
    """
    from ase.data import atomic_numbers

    unknown = [symbol for symbol in symbols if symbol not in atomic_numbers]
    if unknown:
        raise UserError(f"{where}: '{unknown[0]}' is not an element")
    return np.array([atomic_numbers[symbol] for symbol in symbols], dtype=np.int32)


def assembled(raws: Iterable[RawFrame], source: Path, options: ImportOptions, native: Units) -> Iterator[Frames]:
    """Checked batches in Saltern's units.

    Raises:
        UserError: naming file and frame, for what is missing, does not fit together, or cannot be in these units.
    """
    units = units_of(options, native)
    factors = energy_factor(units.energy), length_factor(units.length), force_factor(units.force)
    number = 0
    stream = iter(raws)
    while chosen := list(itertools.islice(stream, BATCH)):
        converted = [_converted(_whole(raw, options), *factors) for raw in chosen]
        batch = _frames(converted, number, source, options)
        check_batch(batch, [raw.where for raw in chosen], units, thorough=number == 0)
        yield batch
        number += len(chosen)
    if not number:
        raise UserError(f"{source}: no frames")


def _whole(raw: RawFrame, options: ImportOptions) -> RawFrame:
    """The frame, after a look at whether everything is there and of one size.

    Raises:
        UserError: when it is not.
    """
    if not (raw.numbers.shape[0] == raw.positions.shape[0] == raw.forces.shape[0]):
        counts = f"{len(raw.numbers)} elements, {len(raw.positions)} positions and {len(raw.forces)} forces"
        raise UserError(f"{raw.where}: {counts}; they must be as many")
    if not (np.isfinite(raw.positions).all() and np.isfinite(raw.forces).all()):
        raise UserError(f"{raw.where}: a position or force is not a finite number")
    if abs(np.linalg.det(raw.cell)) < 1e-6:
        raise UserError(f"{raw.where}: the cell has no volume; three vectors are expected")
    if not np.isfinite(raw.energy) and not options.allow_missing_energy:
        raise UserError(f"{raw.where}: no energy; such frames are read only where missing energies are allowed")
    return raw


def _converted(raw: RawFrame, energy: float, length: float, force: float) -> RawFrame:
    """The frame in eV and Å, its virial turned into a stress."""
    volume = abs(np.linalg.det(raw.cell)) * length**3
    stress = None if raw.stress is None else raw.stress * energy / length**3
    if stress is None and raw.virial is not None:
        stress = -raw.virial * energy / volume
    return replace(
        raw,
        positions=raw.positions * length,
        cell=raw.cell * length,
        energy=raw.energy * energy,
        forces=raw.forces * force,
        stress=stress,
    )


def _frames(raws: Sequence[RawFrame], first: int, source: Path, options: ImportOptions) -> Frames:
    """One batch from frames in our units; `first` is the number of its first frame in the source."""
    origins = [[_word(raw, name, getattr(options, name)) for name in ORIGIN] for raw in raws]
    arrays: dict[str, object] = {
        "numbers": np.concatenate([raw.numbers for raw in raws]),
        "positions": np.concatenate([raw.positions for raw in raws]),
        "forces": np.concatenate([raw.forces for raw in raws]),
        "cell": np.stack([raw.cell for raw in raws]),
        "energy": [raw.energy for raw in raws],
        "system": [options.system or raw.about.get("system", source.stem) for raw in raws],
        "trajectory": [raw.about.get("trajectory", source.stem) for raw in raws],
        "time": [_number(raw, "time", (first + i) * options.time_step) for i, raw in enumerate(raws)],
        "temperature": [_told(options.temperature, raw, "temperature") for raw in raws],
        "label_key": [text_hash("imported", *words, _digest(raw)) for raw, words in zip(raws, origins, strict=True)],
        "accepted": np.ones(len(raws), dtype=bool),
        "reason": [""] * len(raws),
    }
    arrays |= {name: [words[i] for words in origins] for i, name in enumerate(ORIGIN)}
    arrays.update(_sparse(raws, options))
    counts = [len(raw.numbers) for raw in raws]
    return Frames(np.concatenate([[0], np.cumsum(counts)]), {name: np.asarray(a) for name, a in arrays.items()})


def _sparse(raws: Sequence[RawFrame], options: ImportOptions) -> dict[str, Array]:
    """Quantities that only some sources have: stress, permittivity and charges."""
    arrays = {}
    if any(raw.stress is not None for raw in raws):
        arrays["stress"] = np.stack([np.full((3, 3), np.nan) if raw.stress is None else raw.stress for raw in raws])
    permittivity = np.array([_told(options.permittivity, raw, "permittivity") for raw in raws])
    if not np.isnan(permittivity).all():
        arrays["permittivity"] = permittivity
    if options.charges or any(raw.charges is not None for raw in raws):
        arrays["charges"] = np.concatenate([_charges(raw, options.charges) for raw in raws])
    return arrays


def _charges(raw: RawFrame, told: Mapping[str, float]) -> Array:
    """Formal charges (atom,): by element where they are told, else the file's own, else none.

    Raises:
        UserError: for a name that is no element.
    """
    if not told:
        return np.full(len(raw.numbers), np.nan) if raw.charges is None else raw.charges
    table = np.zeros(int(raw.numbers.max()) + 1)
    for number, charge in zip(numbers_of("charges", list(told)), told.values(), strict=True):
        if number < len(table):
            table[number] = charge
    return table[raw.numbers]


def _told(value: float | None, raw: RawFrame, name: str) -> float:
    """What the options tell, else what the file says, else NaN."""
    return value if value is not None else _number(raw, name, np.nan)


def _number(raw: RawFrame, name: str, otherwise: float) -> float:
    text = raw.about.get(name)
    try:
        return otherwise if text is None else float(text)
    except ValueError as error:
        raise UserError(f"{raw.where}: {name} is '{text}'; a number is expected") from error


def _word(raw: RawFrame, name: str, told: str) -> str:
    """What the options tell, else what the file says, else 'unknown'."""
    return raw.about.get(name, told) if told == "unknown" else told


def _digest(raw: RawFrame) -> str:
    """SHA-256 of what a frame is and says: the same label gives the same key, wherever it was read from."""
    digest = hashlib.sha256(np.asarray(raw.numbers, dtype="<i4").tobytes())
    for array in (raw.positions, raw.cell, raw.energy, raw.forces):
        digest.update((np.asarray(array, dtype="<f8") + 0.0).tobytes())
    return digest.hexdigest()
