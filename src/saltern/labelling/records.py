"""What is kept of an answer for good, and how it is read again."""

from __future__ import annotations

import socket
from datetime import UTC, datetime
from typing import Any

import numpy as np

from saltern.engines import Engine, Failure, Label, Question

Record = dict[str, Any]


def record_of(question: Question, engine: Engine, numerics: int, answer: Label | Failure, recall: str) -> Record:
    """An answer with its question and its provenance, as the label store keeps it; JSON can hold it.

    Args:
        question: the frame.
        engine: who answered.
        numerics: version of the stage's arithmetic, which is part of the key.
        answer: what it said.
        recall: name of the recall after which the question was asked again, or ''.
    """
    return {
        "question": {
            "numbers": question.numbers.tolist(),
            "positions": question.positions.tolist(),
            "cell": question.cell.tolist(),
            "charge": question.charge,
            "engine": engine.name,
            "version": engine.version,
            "settings": {**engine.settings, "numerics": numerics},
        },
        "answer": _answer(answer),
        "record": {
            "method": engine.method,
            "build": engine.build,
            "host": socket.gethostname(),
            "date": datetime.now(UTC).isoformat(timespec="seconds"),
            "cpu_seconds": answer.cpu_seconds,
            "scf_path": answer.scf_path,
            "recall": recall,
        },
    }


def _answer(answer: Label | Failure) -> Record:
    """The answer itself."""
    if isinstance(answer, Failure):
        return {"reason": answer.reason, "detail": answer.detail}
    return {
        "energy": answer.energy,
        "forces": answer.forces.tolist(),
        "stress": answer.stress.tolist(),
        "iterations": answer.iterations,
    }


def answer_of(record: Record) -> Label | Failure:
    """The answer in a record, every bit as it was."""
    answer, cost, path = record["answer"], record["record"]["cpu_seconds"], record["record"]["scf_path"]
    if "reason" in answer:
        return Failure(answer["reason"], answer["detail"], cost, path)
    return Label(
        energy=answer["energy"],
        forces=np.array(answer["forces"], dtype=np.float64).reshape(-1, 3),
        stress=np.array(answer["stress"], dtype=np.float64),
        iterations=answer["iterations"],
        cpu_seconds=cost,
        scf_path=path,
    )
