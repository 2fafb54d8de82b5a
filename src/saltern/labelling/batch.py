"""One batch of frames labelled, one after another, so that a kill loses at most the frame in flight."""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from saltern.config import LabelConfig, LabelSpec
from saltern.engines import Engine, Label, cpu_time, make_engine
from saltern.errors import LabelError, UserError
from saltern.fields import FIELDS
from saltern.frames import Frames
from saltern.labelling import gates
from saltern.labelling.question import canonical_json, label_key
from saltern.progress import say, track
from saltern.store import Journal, read_metadata, write_frames

NEEDED = ("numbers", "positions", "cell", "charges", "system", "trajectory", "time")
KEPT = (*NEEDED, "molecules", "temperature", "permittivity")
"""What a labelled frame keeps of its candidate."""


def label_batch(candidates: Frames, frames: range, spec: LabelSpec, output: Path, what: str) -> None:
    """Label some candidates and write all of them, accepted or quarantined, in their order.

    Finished frames are kept in a journal beside `output` until the file is whole; running again after a kill labels
    the remaining ones only. A file that already answers the same question is left as it is. A quarantined frame has a
    reason, and NaN where no label was found.

    Args:
        candidates: frames with at least the quantities `NEEDED`; the charges (e) add up to the total charge.
        frames: which of them are in this batch.
        spec: the teacher and what is required of its labels.
        output: file to make.
        what: the task, for progress lines.

    Raises:
        UserError: when the candidates are not what is needed, or the engine is not there.
    """
    batch = _chosen(candidates, frames, what)
    engine = make_engine(spec.teacher)
    keys = [_key(engine, frame, spec.numerics) for frame in batch]
    identity = _identity(batch, keys, spec)
    journal = Journal(output.with_suffix(".journal"), identity)
    if _is_there(output, identity):
        say(f"{what}: {output} is whole and answers the same question, nothing to do")
    else:
        _label_rest(engine, batch, keys, spec.label, journal, what)
        labelled = Frames.concatenate([journal.read(part) for part in range(len(batch))])
        about = {"name": engine.name, "version": engine.version, "method": engine.method}
        write_frames(output, labelled, {"spec": _plain(spec), "engine": about, "identity": identity})
        say(f"{what}: {_summary(labelled)}")
    journal.discard()


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


def _charge(frame: Frames) -> int:
    """Total charge of a single frame, e."""
    return round(float(frame["charges"].sum()))


def _key(engine: Engine, frame: Frames, numerics: int) -> str:
    """Label key of a single frame."""
    return label_key(
        frame["numbers"],
        frame["positions"],
        frame["cell"][0],
        _charge(frame),
        engine.name,
        engine.version,
        {**engine.settings, "numerics": numerics},
    )


def _plain(spec: LabelSpec) -> dict[str, Any]:
    """The specification without what only says where the program is or how many jobs there are."""
    return spec.model_dump(exclude={"teacher": {"executable"}, "label": {"batch"}})


def _identity(batch: Frames, keys: Sequence[str], spec: LabelSpec) -> str:
    """Hash of all that the output file follows from: questions, specification and what is kept of the candidates."""
    digest = hashlib.sha256(canonical_json([keys, _plain(spec), batch.offsets.tolist()]).encode())
    for name, array in sorted(batch.arrays.items()):
        content = canonical_json(array.tolist()).encode() if FIELDS[name].is_text else array.tobytes()
        digest.update(name.encode() + b"\n" + content)
    return digest.hexdigest()


def _is_there(output: Path, identity: str) -> bool:
    """Whether a whole file of this identity exists."""
    try:
        return bool(read_metadata(output).get("identity") == identity)
    except UserError:
        return False


def _label_rest(
    engine: Engine, batch: Frames, keys: Sequence[str], limits: LabelConfig, journal: Journal, what: str
) -> None:
    """Label the frames that the journal lacks, and add each to it as soon as it is finished."""
    finished = journal.parts()
    rest = [part for part in range(len(batch)) if part not in finished]
    refused = 0
    seconds: list[float] = []
    if finished and rest:
        say(f"{what}: {len(finished)} frames are labelled already")

    def note() -> str:
        return f"{refused} quarantined, {np.mean(seconds):.2f} CPU s a frame"

    for part in track(rest, what, total=len(batch), done=len(finished), note=note):
        labelled, complaint = _labelled(engine, batch.select([part]), keys[part], limits)
        journal.write(part, labelled)
        seconds.append(float(labelled["cpu_seconds"][0]))
        if complaint:
            refused += 1
            say(f"{what}: {_name(batch, part)} quarantined, {complaint}")


def _name(batch: Frames, part: int) -> str:
    """A frame of the batch, as people find it again."""
    return f"trajectory {batch['trajectory'][part]} at {batch['time'][part]:g} fs"


def _labelled(engine: Engine, frame: Frames, key: str, limits: LabelConfig) -> tuple[Frames, str]:
    """A single frame with its label and provenance, and why it was not accepted ('' when it was)."""
    start = cpu_time()
    label, reason, complaint = None, "", ""
    try:
        gates.check_structure(frame["positions"], frame["cell"][0])
        gates.check_distances(frame["positions"], frame["cell"][0], limits.min_distance_A)
        label = engine.label(frame["numbers"], frame["positions"], frame["cell"][0], _charge(frame))
        gates.check_finite(label)
        gates.check_largest_force(label, limits.max_force_eV_A)
        gates.check_net_force(label, limits.max_net_force_eV_A)
    except LabelError as error:
        reason, complaint = error.reason, str(error)
    answer = _answer(label or _no_label(len(frame["numbers"]), cpu_time() - start))
    provenance = {
        "label_key": [key],
        "engine": [engine.name],
        "engine_version": [engine.version],
        "method": [engine.method],
        "accepted": [not reason],
        "reason": [reason],
    }
    return frame.with_arrays(**answer, **provenance), complaint


def _answer(label: Label) -> Mapping[str, Any]:
    """A label as the arrays of a single frame."""
    return {
        "energy": [label.energy],
        "forces": label.forces,
        "stress": [label.stress],
        "converged": [label.converged],
        "iterations": [label.iterations],
        "cpu_seconds": [label.cpu_seconds],
    }


def _no_label(atoms: int, cpu_seconds: float) -> Label:
    """What stands where there is no label."""
    return Label(np.nan, np.full((atoms, 3), np.nan), np.full((3, 3), np.nan), False, -1, cpu_seconds)


def _summary(labelled: Frames) -> str:
    """What became of the frames, and what it cost."""
    reasons = Counter(reason for reason in labelled["reason"].tolist() if reason)
    refused = ", ".join(f"{count} {reason}" for reason, count in sorted(reasons.items())) or "none"
    accepted = int(labelled["accepted"].sum())
    return (
        f"{len(labelled)} frames: {accepted} accepted, quarantined: {refused}; "
        f"{labelled['cpu_seconds'].sum():.1f} CPU s"
    )
