"""One batch of frames labelled, one after another, so that a kill loses at most the frame in flight."""

from __future__ import annotations

import shutil
from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from saltern.config import LabelConfig, LabelSpec
from saltern.engines import Engine, Failure, Label, Question, make_engine
from saltern.errors import LabelError, UserError
from saltern.frames import Frames
from saltern.labelling import gates
from saltern.labelling.question import question_key, question_of
from saltern.labelling.records import Record, answer_of, record_of
from saltern.progress import say, track
from saltern.store import LabelStore, write_frames

NEEDED = ("numbers", "positions", "cell", "charges", "system", "trajectory", "time")
KEPT = (*NEEDED, "molecules", "temperature", "permittivity")
"""What a labelled frame keeps of its candidate."""


def label_batch(
    candidates: Frames,
    frames: range,
    spec: LabelSpec,
    store: LabelStore,
    output: Path,
    what: str,
    recalls: Sequence[str] = (),
) -> None:
    """Label some candidates and write all of them, accepted or quarantined, in their order.

    Every answer goes into the store as soon as it is there, so running again after a kill asks the engine for the
    remaining ones only, and a question that any campaign has asked before costs a look-up. A quarantined frame has a
    reason, and NaN where no label was found.

    Args:
        candidates: frames with at least the quantities `NEEDED`; the charges (e) add up to the total charge.
        frames: which of them are in this batch.
        spec: the teacher and what is required of its labels.
        store: where answers are looked up and kept.
        output: file to make.
        what: the task, for progress lines.
        recalls: names of the recalls because of which the batch is made again; `LabelStore.recalls_of` reads them.

    Raises:
        UserError: when the candidates are not what is needed, or the engine is not there.
    """
    batch = _chosen(candidates, frames, what)
    engine = make_engine(spec.teacher)
    questions = [question_of(frame) for frame in batch]
    keys = [question_key(question, engine, spec.numerics) for question in questions]
    refusals = {
        key: no for key, question in zip(keys, questions, strict=True) if (no := _refusal(question, spec.label))
    }
    asked = {key: question for key, question in zip(keys, questions, strict=True) if key not in refusals}
    records = _records(engine, asked, spec.numerics, store, output.with_suffix(".work"), what)
    parts = []
    for frame, key in zip(batch, keys, strict=True):
        answer = refusals[key] if key in refusals else answer_of(records[key])
        parts.append(_judged(frame, answer, _provenance(key, engine, records.get(key, {})), spec.label, what))
    labelled = Frames.concatenate(parts)
    about = {"name": engine.name, "version": engine.version, "method": engine.method}
    write_frames(output, labelled, {"spec": _plain(spec), "engine": about, "recalls": sorted(recalls)})
    say(f"{what}: {_summary(labelled)}")


def _chosen(candidates: Frames, frames: range, what: str) -> Frames:
    """The frames of the batch, with what is kept of them."""
    missing = [name for name in NEEDED if name not in candidates]
    if missing:
        raise UserError(f"{what}: the candidates lack {', '.join(missing)}")
    if not frames or frames[0] < 0 or frames[-1] >= len(candidates):
        raise UserError(
            f"{what}: frames {frames.start}:{frames.stop} are not allowed; allowed: a part of 0:{len(candidates)}"
        )
    kept = Frames(candidates.offsets, {name: candidates[name] for name in KEPT if name in candidates})
    return kept.select(frames)


def _refusal(question: Question, limits: LabelConfig) -> Failure | None:
    """Why a question is not even asked."""
    try:
        gates.check_structure(question.positions, question.cell)
        gates.check_distances(question.positions, question.cell, limits.min_distance_A)
    except LabelError as error:
        return Failure(error.reason, error.detail, cpu_seconds=0.0, scf_path="")
    return None


def _plain(spec: LabelSpec) -> dict[str, Any]:
    """The specification without what only says where the program is or how many jobs there are."""
    return spec.model_dump(
        exclude={"teacher": {"command", "threads", "reuse", "device"}, "label": {"batch"}, "sample": True}
    )


def _records(
    engine: Engine, asked: Mapping[str, Question], numerics: int, store: LabelStore, directory: Path, what: str
) -> dict[str, Record]:
    """The record of every key: from the store where it is there, from the engine otherwise."""
    records = {key: record for key in asked if (record := store.find(key)) is not None}
    keys = list(asked)
    rest = [index for index, key in enumerate(keys) if key not in records]
    if records:
        say(f"{what}: {len(records)} of {len(asked)} answers are in the label store")
    if not rest:
        return records
    seconds: list[float] = []
    # asked before the engine is: an answer that was begun before a recall does not count as one after it
    recalls = {keys[index]: store.recalled(keys[index]) for index in rest}
    directory.mkdir(parents=True, exist_ok=True)
    answers = engine.answers(list(asked.values()), rest, directory)
    counted = track(
        rest, what, total=len(asked), done=len(records), note=lambda: f"{np.mean(seconds):.2f} CPU s a frame"
    )
    for index, answer in zip(counted, answers, strict=True):
        key = keys[index]
        records[key] = store.add(key, record_of(asked[key], engine, numerics, answer, recalls[key]))
        seconds.append(answer.cpu_seconds)
    shutil.rmtree(directory, ignore_errors=True)
    return records


def _judged(
    frame: Frames, answer: Label | Failure, provenance: Mapping[str, Any], limits: LabelConfig, what: str
) -> Frames:
    """A single frame with its answer, accepted or quarantined."""
    complaint = _complaint(answer, limits)
    if complaint:
        where = f"trajectory {frame['trajectory'][0]} at {frame['time'][0]:g} fs"
        say(f"{what}: {where} quarantined, {complaint}")
    judgement = {"accepted": [complaint is None], "reason": [complaint.reason if complaint else ""]}
    return frame.with_arrays(**_arrays(answer, len(frame["numbers"])), **provenance, **judgement)


def _complaint(answer: Label | Failure, limits: LabelConfig) -> LabelError | None:
    """Why a frame is quarantined, None when its label is believed."""
    if isinstance(answer, Failure):
        return LabelError(answer.reason, answer.detail)
    try:
        gates.check_finite(answer)
        gates.check_largest_force(answer, limits.max_force_eV_A)
        gates.check_net_force(answer, limits.max_net_force_eV_A)
    except LabelError as error:
        return error
    return None


def _arrays(answer: Label | Failure, atoms: int) -> dict[str, Any]:
    """An answer as the arrays of a single frame; NaN and -1 where there is none."""
    common = {"cpu_seconds": [answer.cpu_seconds], "scf_path": [answer.scf_path]}
    if isinstance(answer, Failure):
        nothing = {"energy": [np.nan], "forces": np.full((atoms, 3), np.nan), "stress": np.full((1, 3, 3), np.nan)}
        return {**common, **nothing, "converged": [False], "iterations": [-1]}
    return {
        **common,
        "energy": [answer.energy],
        "forces": answer.forces,
        "stress": [answer.stress],
        "converged": [True],
        "iterations": [answer.iterations],
    }


def _provenance(key: str, engine: Engine, record: Record) -> dict[str, Any]:
    """Who labelled a single frame, when and where; `record` is empty for a question that was not asked."""
    kept = record.get("record", {})
    return {
        "label_key": [key],
        "engine": [engine.name],
        "engine_version": [engine.version],
        "engine_build": [kept.get("build", "")],
        "method": [engine.method],
        "host": [kept.get("host", "")],
        "date": [kept.get("date", "")],
        "recall": [kept.get("recall", "")],
    }


def _summary(labelled: Frames) -> str:
    """What became of the frames, and what it cost."""
    reasons = Counter(reason for reason in labelled["reason"].tolist() if reason)
    refused = ", ".join(f"{count} {reason}" for reason, count in sorted(reasons.items())) or "none"
    accepted = int(labelled["accepted"].sum())
    return (
        f"{len(labelled)} frames: {accepted} accepted, quarantined: {refused}; "
        f"{labelled['cpu_seconds'].sum():.1f} CPU s"
    )
