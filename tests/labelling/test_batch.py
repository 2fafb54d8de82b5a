"""A batch: every frame accounted for, nothing computed twice, and a kill loses one frame."""

import signal
import socket
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest

from saltern.config import LabelConfig, LabelSpec, TbliteTeacher
from saltern.engines import Question, make_engine
from saltern.engines.tblite import TbliteEngine
from saltern.errors import UserError
from saltern.frames import Frames
from saltern.labelling import label_batch
from saltern.store import LabelStore, read_frames, read_metadata, write_frames

SPEC = LabelSpec(teacher=TbliteTeacher(), label=LabelConfig())
WATER = np.array([[0.0, 0.0, 0.119262], [0.0, 0.763239, -0.477047], [0.0, -0.763239, -0.477047]])
CELL = np.diag([6.0, 5.0, 5.0])
SITES = np.array([[1.0, 1.2, 1.0], [4.0, 3.4, 3.2]])
CHANGING = ("cpu_seconds", "date")
"""What two runs of the same batch may differ in."""


@pytest.fixture
def store(tmp_path: Path) -> LabelStore:
    """A label store of this test alone."""
    return LabelStore(tmp_path / "labels")


def candidates(count: int, waters: int = 2) -> Frames:
    """Frames of a few waters, each shaken a little differently."""
    rng = np.random.default_rng(3)
    still = np.concatenate([WATER + site for site in SITES[:waters]])
    return Frames.uniform(
        np.array([8, 1, 1] * waters),
        count,
        positions=still + rng.normal(size=(count, 3 * waters, 3)) * 0.03,
        cell=CELL,
        charges=np.zeros(3 * waters),
        molecules=np.repeat(np.arange(waters), 3),
        system="water-1a2b3c",
        trajectory=[f"t{i % 2:04d}" for i in range(count)],
        time=np.arange(count) * 500.0,
        temperature=300.0,
        permittivity=78.3,
        velocities=np.zeros((3 * waters, 3)),
    )


def with_positions(frames: Frames, index: int, atom: int, position: object) -> Frames:
    """A copy with one atom of one frame elsewhere."""
    positions = frames["positions"].copy()
    positions[frames.offsets[index] + atom] = position
    return frames.with_arrays(positions=positions)


def differing(one: Frames, other: Frames) -> list[str]:
    """Names of quantities that are not the same to the last bit."""
    assert one.arrays.keys() == other.arrays.keys()
    return [
        name
        for name in one.arrays
        if name not in CHANGING and (one[name].dtype, one[name].tobytes()) != (other[name].dtype, other[name].tobytes())
    ]


def test_labels_and_provenance(tmp_path, store):
    frames = candidates(4)
    output = tmp_path / "b0000.h5"
    label_batch(frames, range(1, 3), SPEC, store, output, "label water")
    labelled = read_frames(output)
    engine = make_engine(SPEC.teacher)
    for row, index in enumerate((1, 2)):
        [expected] = engine.answers(
            [Question(frames["numbers"][:6], frames.of(index, "positions"), CELL, 0)], [0], tmp_path
        )
        assert labelled["energy"][row] == expected.energy
        assert (labelled.of(row, "forces") == expected.forces).all()
        assert (labelled["stress"][row] == expected.stress).all()
        assert labelled["iterations"][row] == expected.iterations
    for name in ("positions", "charges", "molecules", "system", "trajectory", "time", "temperature", "permittivity"):
        assert (labelled[name] == frames.select([1, 2])[name]).all()
    assert "velocities" not in labelled
    assert labelled["accepted"].all()
    assert labelled["converged"].all()
    assert (labelled["cpu_seconds"] > 0).all()
    assert labelled["reason"].tolist() == ["", ""]
    assert labelled["engine"].tolist() == ["tblite"] * 2
    assert labelled["engine_version"].tolist() == [engine.version] * 2
    assert labelled["method"].tolist() == ["GFN1-xTB"] * 2
    assert len(set(labelled["label_key"].tolist())) == 2
    metadata = read_metadata(output)
    assert metadata["spec"]["teacher"]["method"] == "GFN1-xTB"
    assert metadata["engine"] == {"name": "tblite", "version": engine.version, "method": "GFN1-xTB"}
    assert labelled["scf_path"].tolist() == ["broyden"] * 2
    assert labelled["host"].tolist() == [socket.gethostname()] * 2
    assert labelled["engine_build"].tolist() == [engine.build] * 2
    assert {path.name for path in tmp_path.iterdir()} == {"b0000.h5", "labels"}  # the engine's scratch space is gone


def test_bad_frames_are_quarantined_and_do_not_stop_the_batch(tmp_path, capsys, store):
    frames = candidates(5)
    frames = with_positions(frames, 1, 4, frames.of(1, "positions")[5] + 0.09)
    frames = with_positions(frames, 2, 0, np.nan)
    squeezed = frames.of(3, "positions")
    frames = with_positions(frames, 3, 1, squeezed[0] + 0.65 * (squeezed[1] - squeezed[0]))
    limits = LabelConfig(max_force_eV_A=20)
    label_batch(
        frames, range(5), LabelSpec(teacher=TbliteTeacher(), label=limits), store, tmp_path / "b.h5", "label water"
    )
    labelled = read_frames(tmp_path / "b.h5")
    assert labelled["reason"].tolist() == ["", "atoms-too-close", "structure-not-valid", "force-too-large", ""]
    assert labelled["accepted"].tolist() == [True, False, False, False, True]
    assert labelled["converged"].tolist() == [True, False, False, True, True]
    assert np.isfinite(labelled["energy"]).tolist() == [True, False, False, True, True]
    assert np.isfinite(labelled.stacked("forces")).all(axis=(1, 2)).tolist() == [True, False, False, True, True]
    assert (labelled["iterations"] > 0).tolist() == [True, False, False, True, True]
    said = capsys.readouterr().err
    assert "5 frames: 2 accepted, quarantined: 1 atoms-too-close, 1 force-too-large, 1 structure-not-valid;" in said
    assert "trajectory t0001 at 500 fs quarantined, atoms-too-close: atoms 4 and 5 are 0.156 Å apart" in said


def test_unconverged_frames_are_quarantined(tmp_path, store):
    spec = LabelSpec(teacher=TbliteTeacher(max_iterations=2), label=LabelConfig())
    label_batch(candidates(2, waters=1), range(2), spec, store, tmp_path / "b.h5", "label water")
    labelled = read_frames(tmp_path / "b.h5")
    assert labelled["reason"].tolist() == ["scf-not-converged"] * 2
    assert not labelled["converged"].any()
    assert np.isnan(labelled["forces"]).all()


def test_the_charge_is_the_sum_of_the_formal_charges(tmp_path, store):
    frames = Frames.uniform(
        np.array([11]),
        1,
        positions=np.ones((1, 3)),
        cell=CELL,
        charges=[0.9999999],
        system="Na",
        trajectory="t0000",
        time=0.0,
    )
    label_batch(frames, range(1), SPEC, store, tmp_path / "b.h5", "label Na")
    question = Question(np.array([11]), np.ones((1, 3)), CELL, 1)
    [cation] = make_engine(SPEC.teacher).answers([question], [0], tmp_path)
    assert read_frames(tmp_path / "b.h5")["energy"][0] == cation.energy


def test_what_the_store_knows_is_not_computed_again(tmp_path, store, capsys, monkeypatch):
    frames = candidates(3, waters=1)
    label_batch(frames, range(2), SPEC, store, tmp_path / "one.h5", "label water")
    asked = []
    answers = TbliteEngine.answers
    monkeypatch.setattr(
        TbliteEngine,
        "answers",
        lambda self, rest, wanted, d: asked.append(len(wanted)) or answers(self, rest, wanted, d),
    )
    renamed = frames.with_arrays(system=["brine"] * 3, trajectory=["t0007"] * 3)  # another campaign's
    limits = LabelSpec(teacher=SPEC.teacher, label=LabelConfig(batch=7, max_force_eV_A=0.01))
    label_batch(renamed, range(1, 3), limits, LabelStore(tmp_path / "labels"), tmp_path / "other.h5", "label brine")
    assert asked == [1]
    one, other = read_frames(tmp_path / "one.h5"), read_frames(tmp_path / "other.h5")
    assert "1 of 2 answers are in the label store" in capsys.readouterr().err
    assert other["system"].tolist() == ["brine"] * 2
    assert (other.of(0, "forces") == one.of(1, "forces")).all()
    assert other["cpu_seconds"][0] == one["cpu_seconds"][1]
    assert other["reason"].tolist() == ["force-too-large"] * 2  # limits are each campaign's own


def test_a_failure_is_not_tried_again(tmp_path, store, monkeypatch):
    spec = LabelSpec(teacher=TbliteTeacher(max_iterations=2), label=LabelConfig())
    label_batch(candidates(1), range(1), spec, store, tmp_path / "one.h5", "label water")
    monkeypatch.setattr(TbliteEngine, "answers", lambda *_: 1 / 0)
    label_batch(candidates(1), range(1), spec, store, tmp_path / "other.h5", "label water")
    one, other = read_frames(tmp_path / "one.h5"), read_frames(tmp_path / "other.h5")
    assert differing(one, other) == []
    assert other["cpu_seconds"][0] == one["cpu_seconds"][0] > 0


def test_a_recalled_label_is_made_again_and_says_so(tmp_path, store):
    frames = candidates(2, waters=1)
    label_batch(frames, range(2), SPEC, store, tmp_path / "one.h5", "label water")
    one = read_frames(tmp_path / "one.h5")
    store.recall("2026-11-22-wrong", one["label_key"][:1].tolist(), {"reason": "a test"})
    label_batch(frames, range(2), SPEC, LabelStore(store.directory), tmp_path / "other.h5", "label water")
    other = read_frames(tmp_path / "other.h5")
    assert other["recall"].tolist() == ["2026-11-22-wrong", ""]
    assert other["cpu_seconds"][0] != one["cpu_seconds"][0]
    assert differing(one, other) == ["recall"]


def test_a_change_of_arithmetic_asks_anew(tmp_path, store):
    keys = set()
    for numerics in (1, 2):
        spec = LabelSpec(numerics=numerics, teacher=TbliteTeacher(), label=LabelConfig())
        label_batch(candidates(1, waters=1), range(1), spec, store, tmp_path / "b.h5", "label water")
        keys |= set(read_frames(tmp_path / "b.h5")["label_key"].tolist())
    assert len(keys) == 2


def test_a_damaged_file_is_made_again(tmp_path, store):
    frames, output = candidates(1, waters=1), tmp_path / "b.h5"
    output.write_bytes(b"half a file")
    label_batch(frames, range(1), SPEC, store, output, "label water")
    assert read_frames(output)["accepted"].all()


@pytest.mark.parametrize("frames", [range(0), range(1, 4), range(-1, 2)])
def test_frames_that_are_not_there(tmp_path, frames, store):
    with pytest.raises(UserError, match=r"allowed: a part of 0:3"):
        label_batch(candidates(3), frames, SPEC, store, tmp_path / "b.h5", "label water")


def test_candidates_without_charges(tmp_path, store):
    frames = candidates(1)
    frames = Frames(frames.offsets, {k: v for k, v in frames.arrays.items() if k not in ("charges", "time")})
    with pytest.raises(UserError, match="label water: the candidates lack charges, time"):
        label_batch(frames, range(1), SPEC, store, tmp_path / "b.h5", "label water")


def test_a_fault_of_the_engine_is_not_a_quarantine(tmp_path, monkeypatch, store):
    monkeypatch.setattr(TbliteEngine, "answers", lambda *_: 1 / 0)
    with pytest.raises(ZeroDivisionError):
        label_batch(candidates(1), range(1), SPEC, store, tmp_path / "b.h5", "label water")
    assert not (tmp_path / "b.h5").exists()


SCRIPT = """
import sys
from pathlib import Path
from saltern.config import LabelConfig, LabelSpec, TbliteTeacher
from saltern.labelling import label_batch
from saltern.store import LabelStore, read_frames
spec = LabelSpec(teacher=TbliteTeacher(), label=LabelConfig())
store, output = LabelStore(sys.argv[2]), Path(sys.argv[3])
label_batch(read_frames(sys.argv[1]), range(12), spec, store, output, "label water")
"""


def test_a_kill_loses_the_frame_in_flight_and_nothing_else(tmp_path: Path, capsys, store):
    frames = with_positions(candidates(12), 1, 0, np.nan)  # quarantined ones are finished, too
    write_frames(tmp_path / "candidates.h5", frames)
    output = tmp_path / "b.h5"
    command = [sys.executable, "-c", SCRIPT, str(tmp_path / "candidates.h5"), str(store.directory), str(output)]
    with subprocess.Popen(command, stderr=subprocess.DEVNULL) as process:
        deadline = time.monotonic() + 120
        while len(list(store)) < 3 and time.monotonic() < deadline:
            time.sleep(0.005)
        process.send_signal(signal.SIGKILL)
    assert process.returncode == -signal.SIGKILL
    assert not output.exists()
    finished = {key: record["record"]["cpu_seconds"] for key, record in store}
    assert 3 <= len(finished) < 11

    label_batch(frames, range(12), SPEC, store, output, "label water")
    resumed = read_frames(output)
    seconds = dict(zip(resumed["label_key"].tolist(), resumed["cpu_seconds"].tolist(), strict=True))
    assert {key: seconds[key] for key in finished} == finished  # taken over, not made again
    assert f"{len(finished)} of 11 answers are in the label store" in capsys.readouterr().err
    label_batch(frames, range(12), SPEC, LabelStore(tmp_path / "other"), tmp_path / "undisturbed.h5", "label water")
    undisturbed = read_frames(tmp_path / "undisturbed.h5")
    assert differing(resumed, undisturbed) == []
    assert read_metadata(output) == read_metadata(tmp_path / "undisturbed.h5")
    assert not output.with_suffix(".work").exists()
