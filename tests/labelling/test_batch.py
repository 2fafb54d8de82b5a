"""A batch: every frame accounted for, nothing computed twice, and a kill loses one frame."""

import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest

from saltern.config import LabelConfig, LabelSpec, TbliteTeacher
from saltern.engines import make_engine
from saltern.errors import UserError
from saltern.frames import Frames
from saltern.labelling import label_batch
from saltern.store import read_frames, read_metadata, write_frames

SPEC = LabelSpec(teacher=TbliteTeacher(), label=LabelConfig())
WATER = np.array([[0.0, 0.0, 0.119262], [0.0, 0.763239, -0.477047], [0.0, -0.763239, -0.477047]])
CELL = np.diag([6.0, 5.0, 5.0])
SITES = np.array([[1.0, 1.2, 1.0], [4.0, 3.4, 3.2]])
CHANGING = ("cpu_seconds",)
"""What two runs of the same batch may differ in."""


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


def test_labels_and_provenance(tmp_path):
    frames = candidates(4)
    output = tmp_path / "b0000.h5"
    label_batch(frames, range(1, 3), SPEC, output, "label water")
    labelled = read_frames(output)
    engine = make_engine(SPEC.teacher)
    for row, index in enumerate((1, 2)):
        expected = engine.label(frames["numbers"][:6], frames.of(index, "positions"), CELL, 0)
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
    assert [path.name for path in tmp_path.iterdir()] == ["b0000.h5"]  # the journal is gone


def test_bad_frames_are_quarantined_and_do_not_stop_the_batch(tmp_path, capsys):
    frames = candidates(5)
    frames = with_positions(frames, 1, 4, frames.of(1, "positions")[5] + 0.09)
    frames = with_positions(frames, 2, 0, np.nan)
    squeezed = frames.of(3, "positions")
    frames = with_positions(frames, 3, 1, squeezed[0] + 0.65 * (squeezed[1] - squeezed[0]))
    limits = LabelConfig(max_force_eV_A=20)
    label_batch(frames, range(5), LabelSpec(teacher=TbliteTeacher(), label=limits), tmp_path / "b.h5", "label water")
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


def test_unconverged_frames_are_quarantined(tmp_path):
    spec = LabelSpec(teacher=TbliteTeacher(max_iterations=2), label=LabelConfig())
    label_batch(candidates(2, waters=1), range(2), spec, tmp_path / "b.h5", "label water")
    labelled = read_frames(tmp_path / "b.h5")
    assert labelled["reason"].tolist() == ["scf-not-converged"] * 2
    assert not labelled["converged"].any()
    assert np.isnan(labelled["forces"]).all()


def test_the_charge_is_the_sum_of_the_formal_charges(tmp_path):
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
    label_batch(frames, range(1), SPEC, tmp_path / "b.h5", "label Na")
    cation = make_engine(SPEC.teacher).label(np.array([11]), np.ones((1, 3)), CELL, 1)
    assert read_frames(tmp_path / "b.h5")["energy"][0] == cation.energy


def test_a_whole_file_is_not_made_again(tmp_path, capsys):
    frames, output = candidates(2, waters=1), tmp_path / "b.h5"
    label_batch(frames, range(2), SPEC, output, "label water")
    before = output.stat().st_mtime_ns, output.read_bytes()
    label_batch(frames, range(2), SPEC, output, "label water")
    assert (output.stat().st_mtime_ns, output.read_bytes()) == before
    assert "nothing to do" in capsys.readouterr().err
    assert not output.with_suffix(".journal").exists()


@pytest.mark.parametrize(
    "change",
    [
        lambda frames: (frames, range(1, 2), SPEC),
        lambda frames: (frames.with_arrays(time=[0.0, 1.0]), range(2), SPEC),
        lambda frames: (frames.with_arrays(system=["brine"] * 2), range(2), SPEC),
        lambda frames: (frames, range(2), LabelSpec(teacher=TbliteTeacher(), label=LabelConfig(max_force_eV_A=0.01))),
        lambda frames: (frames, range(2), LabelSpec(numerics=99, teacher=TbliteTeacher(), label=LabelConfig())),
        lambda frames: (with_positions(frames, 1, 2, [3, 3, 3]), range(2), SPEC),
    ],
    ids=["frames", "time", "system", "limits", "numerics", "positions"],
)
def test_a_file_that_answers_another_question_is_made_again(tmp_path, capsys, change):
    frames, output = candidates(2, waters=1), tmp_path / "b.h5"
    label_batch(frames, range(2), SPEC, output, "label water")
    label_batch(*change(frames), output, "label water")
    assert "nothing to do" not in capsys.readouterr().err


def test_a_change_of_arithmetic_asks_anew(tmp_path):
    keys = set()
    for numerics in (1, 2):
        spec = LabelSpec(numerics=numerics, teacher=TbliteTeacher(), label=LabelConfig())
        label_batch(candidates(1, waters=1), range(1), spec, tmp_path / "b.h5", "label water")
        keys |= set(read_frames(tmp_path / "b.h5")["label_key"].tolist())
    assert len(keys) == 2


def test_a_damaged_file_is_made_again(tmp_path):
    frames, output = candidates(1, waters=1), tmp_path / "b.h5"
    output.write_bytes(b"half a file")
    label_batch(frames, range(1), SPEC, output, "label water")
    assert read_frames(output)["accepted"].all()


def test_batch_size_and_place_of_the_program_are_no_part_of_the_question(tmp_path, capsys):
    frames, output = candidates(1, waters=1), tmp_path / "b.h5"
    for size in (1, 50):
        label_batch(frames, range(1), LabelSpec(teacher=SPEC.teacher, label=LabelConfig(batch=size)), output, "label")
    assert "nothing to do" in capsys.readouterr().err


@pytest.mark.parametrize("frames", [range(0), range(1, 4), range(-1, 2)])
def test_frames_that_are_not_there(tmp_path, frames):
    with pytest.raises(UserError, match=r"allowed: a part of 0:3"):
        label_batch(candidates(3), frames, SPEC, tmp_path / "b.h5", "label water")


def test_candidates_without_charges(tmp_path):
    frames = candidates(1)
    frames = Frames(frames.offsets, {k: v for k, v in frames.arrays.items() if k not in ("charges", "time")})
    with pytest.raises(UserError, match="label water: the candidates lack charges, time"):
        label_batch(frames, range(1), SPEC, tmp_path / "b.h5", "label water")


def test_a_fault_of_the_engine_is_not_a_quarantine(tmp_path, monkeypatch):
    monkeypatch.setattr("saltern.engines.tblite.TbliteEngine.label", lambda *_: 1 / 0)
    with pytest.raises(ZeroDivisionError):
        label_batch(candidates(1), range(1), SPEC, tmp_path / "b.h5", "label water")
    assert not (tmp_path / "b.h5").exists()


SCRIPT = """
import sys
from pathlib import Path
from saltern.config import LabelConfig, LabelSpec, TbliteTeacher
from saltern.labelling import label_batch
from saltern.store import read_frames
spec = LabelSpec(teacher=TbliteTeacher(), label=LabelConfig())
label_batch(read_frames(sys.argv[1]), range(12), spec, Path(sys.argv[2]), "label water")
"""


def test_a_kill_loses_the_frame_in_flight_and_nothing_else(tmp_path: Path, capsys):
    frames = with_positions(candidates(12), 1, 0, np.nan)  # quarantined ones are finished, too
    write_frames(tmp_path / "candidates.h5", frames)
    output = tmp_path / "b.h5"
    command = [sys.executable, "-c", SCRIPT, str(tmp_path / "candidates.h5"), str(output)]
    with subprocess.Popen(command, stderr=subprocess.DEVNULL) as process:
        deadline = time.monotonic() + 120
        while len(list(tmp_path.glob("b.journal/[0-9]*.h5"))) < 3 and time.monotonic() < deadline:
            time.sleep(0.005)
        process.send_signal(signal.SIGKILL)
    assert process.returncode == -signal.SIGKILL
    assert not output.exists()
    finished = sorted(tmp_path.glob("b.journal/[0-9]*.h5"))
    assert 3 <= len(finished) < 12
    seconds = [read_frames(part)["cpu_seconds"][0] for part in finished]

    label_batch(frames, range(12), SPEC, output, "label water")
    resumed = read_frames(output)
    assert resumed["cpu_seconds"][: len(finished)].tolist() == seconds  # taken over, not made again
    assert f"{len(finished)} frames are labelled already" in capsys.readouterr().err
    label_batch(frames, range(12), SPEC, tmp_path / "undisturbed.h5", "label water")
    undisturbed = read_frames(tmp_path / "undisturbed.h5")
    assert differing(resumed, undisturbed) == []
    assert read_metadata(output) == read_metadata(tmp_path / "undisturbed.h5")
    assert not output.with_suffix(".journal").exists()
