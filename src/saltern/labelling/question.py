"""What is asked of a teacher, and the key under which the answer is found."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping

import numpy as np

from saltern.engines import Engine, Question
from saltern.frames import Array, Frames


def label_key(
    numbers: Array,
    positions: Array,
    cell: Array,
    charge: int,
    engine: str,
    version: str,
    settings: Mapping[str, object],
) -> str:
    """SHA-256, in hex, of a question: the same question gives the same key on every machine.

    The hashed bytes are one line of JSON (sorted keys, UTF-8) with charge, engine, version, settings and the number
    of atoms, a newline, then the atomic numbers as little-endian int32 and positions and cell as little-endian
    float64. The coordinates count with every bit, as the store keeps them: rounding would not make two nearly equal
    frames equal, it would only move the border between them. Minus zero counts as zero.

    Args:
        numbers: (atom,) atomic numbers.
        positions: (atom, 3), Å.
        cell: (3, 3), Å.
        charge: total charge, e.
        engine: name of the engine.
        version: its version.
        settings: everything else that the label depends on; JSON can hold it.
    """
    asked = {"atoms": len(numbers), "charge": charge, "engine": engine, "settings": settings, "version": version}
    digest = hashlib.sha256(_canonical_json(asked).encode() + b"\n")
    digest.update(np.asarray(numbers, dtype="<i4").tobytes())
    for coordinates in (positions, cell):
        digest.update((np.asarray(coordinates, dtype="<f8") + 0.0).tobytes())
    return digest.hexdigest()


def question_of(frame: Frames) -> Question:
    """What is asked about a single frame; its charges (e) add up to the total charge."""
    return Question(frame["numbers"], frame["positions"], frame["cell"][0], round(float(frame["charges"].sum())))


def question_key(question: Question, engine: Engine, numerics: int) -> str:
    """The key of a question to an engine; `numerics` is the version of the labelling stage's arithmetic."""
    return label_key(
        question.numbers,
        question.positions,
        question.cell,
        question.charge,
        engine.name,
        engine.version,
        {**engine.settings, "numerics": numerics},
    )


def _canonical_json(value: object) -> str:
    """One line of JSON that is the same for the same content."""
    return json.dumps(value, sort_keys=True, separators=(",", ":"), ensure_ascii=False, allow_nan=False)
