"""A student that teaches: its own dynamics, the same bits after a kill, and frames refused where it breaks down."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from saltern.config import LabelConfig, LabelSpec, LevelTeacher, SampleConfig, SettledConfig
from saltern.dynamics import harvest
from saltern.dynamics.teaching import StudentTeacher
from saltern.engines import REASONS
from saltern.errors import SimulationError, UserError
from saltern.frames import Frames
from saltern.store import read_frames, read_metadata
from saltern.systems import SOLVENTS

SAMPLE = SampleConfig(engine="packed", frames=13, trajectories=2, every_ps=0.02, equilibrate_ps=0.1)
COSTS = ("cpu_seconds", "host", "date")


def spec(**teacher: Any) -> LabelSpec:
    about = LevelTeacher(level="atoms", timestep_fs=2, **teacher)
    return LabelSpec(teacher=about, label=LabelConfig(), sample=SAMPLE)


@pytest.fixture
def boxes(crystal: Any) -> tuple[Frames, dict[str, Any]]:
    """The crystal twice; every fourth atom, neon, is the solute."""
    starts = crystal.frames([100.0, 100.0], ["t00", "t01"])
    species = np.where(crystal.numbers == 10, "Ne", SOLVENTS["water"].species.name).tolist()
    return starts, {"id": "crystal", "system": {"solvent": "water", "seed": 3}, "molecule_species": species}


def content(path: Path) -> dict[str, bytes]:
    frames = read_frames(path)
    return {name: array.tobytes() for name, array in frames.arrays.items() if name not in COSTS}


def test_labels_are_the_forces_of_the_whole_solution_on_the_solute(crystal: Any, boxes: Any, tmp_path: Path) -> None:
    harvest(*boxes, range(2), spec(), tmp_path / "labels.h5", "try", crystal.potential())
    frames = read_frames(tmp_path / "labels.h5")
    assert len(frames) == 13 and frames["accepted"].all()
    assert frames.atom_counts.tolist() == [8] * 13
    assert set(frames["numbers"].tolist()) == {10}
    assert np.isnan(frames["energy"]).all()
    # a crystal of springs at 100 K: each of a neon's twelve springs is k = 1 eV/Å², forces are not the solute's own
    assert np.abs(frames.stacked("forces").sum(axis=1)).max() > 0.01
    assert 0.05 < frames["forces"].std() < 0.6
    displaced = frames.stacked("positions") - crystal.sites[crystal.numbers == 10]
    assert (displaced * frames.stacked("forces")).sum() < 0, "springs pull back"
    assert set(frames["engine"].tolist()) == {"saltern"}
    assert set(frames["method"].tolist()) == {"student of atoms"}
    assert read_metadata(tmp_path / "labels.h5")["potentials"] == ["springs"]


def test_other_weights_are_another_version_and_another_label(crystal: Any, boxes: Any, tmp_path: Path) -> None:
    keys = []
    for name in ("springs", "other springs"):
        potential = crystal.potential()
        potential.hashes = (name,)
        harvest(*boxes, range(1), spec(), tmp_path / "labels.h5", "try", potential)
        frames = read_frames(tmp_path / "labels.h5")
        keys.append((frames["engine_version"][0], frames["label_key"][0]))
    assert len({version for version, _ in keys}) == len({key for _, key in keys}) == 2


@pytest.mark.parametrize("thermostat", ["bussi", "langevin", "nose-hoover"])
def test_a_kill_changes_nothing(crystal: Any, boxes: Any, tmp_path: Path, thermostat: str) -> None:
    told = spec(thermostat=thermostat)
    whole = crystal.potential()
    harvest(*boxes, range(1), told, tmp_path / "whole.h5", "try", whole)
    for spares in (whole.evaluations // 3, whole.evaluations // 2):
        potential = crystal.potential()
        potential.spares = spares
        with pytest.raises(KeyboardInterrupt):
            harvest(*boxes, range(1), told, tmp_path / "cut.h5", "try", potential)
        assert not (tmp_path / "cut.h5").exists()
    last = crystal.potential()
    harvest(*boxes, range(1), told, tmp_path / "cut.h5", "try", last)
    assert last.evaluations < whole.evaluations * 2 / 3, "what was finished is not done again"
    assert content(tmp_path / "cut.h5") == content(tmp_path / "whole.h5")


@pytest.mark.parametrize("thermostat", ["bussi", "langevin", "nose-hoover"])
def test_a_state_is_all_that_the_rest_depends_on(crystal: Any, boxes: Any, thermostat: str) -> None:
    start = boxes[0].select([0])
    teacher = StudentTeacher(LevelTeacher(level="atoms", timestep_fs=2, thermostat=thermostat), crystal.potential())
    going_on = teacher.begun(start, [], (0, 0))
    going_on.advance(20)
    resumed = teacher.resumed(start, [], (0, 0), going_on.state())
    for trajectory in (going_on, resumed):
        trajectory.advance(20)
    assert going_on.state() == resumed.state()
    np.testing.assert_array_equal(going_on.point()[:2], resumed.point()[:2])


def test_frames_beyond_a_break_down_are_quarantined_and_no_others(crystal: Any, boxes: Any, tmp_path: Path) -> None:
    """The committee disagrees more and more; the trajectory ends, the job and the other trajectory do not."""
    for doubt, expected in ((0.2, 13), (1e3, 0)):
        potential = crystal.potential(doubt=doubt)
        harvest(*boxes, range(2), spec(max_spread_eV_A=1.0), tmp_path / "labels.h5", "try", potential)
        frames = read_frames(tmp_path / "labels.h5")
        assert (len(frames), frames["accepted"].sum()) == (13, expected)
    assert set(frames["reason"].tolist()) == {"teacher-stopped"} <= set(REASONS)
    assert np.isnan(frames["forces"]).all() and np.isfinite(frames["positions"]).all()


def test_what_came_before_a_break_down_stays_and_a_later_run_agrees(
    crystal: Any, boxes: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from saltern.dynamics.teaching import StudentTrajectory

    advance, calls = StudentTrajectory.advance, 0

    def breaking(self: Any, femtoseconds: float) -> None:
        nonlocal calls
        calls += 1
        if calls == 9:
            raise SimulationError("at 0.18 ps: Ne 0 and Ar 1 are 0.3 Å apart")
        advance(self, femtoseconds)

    monkeypatch.setattr(StudentTrajectory, "advance", breaking)
    harvest(*boxes, range(1), spec(), tmp_path / "labels.h5", "try", crystal.potential())
    frames = read_frames(tmp_path / "labels.h5")
    # periods 1 to 5 equilibrate; 6, 7 and 8 are frames; of seven, four are not reached
    assert frames["reason"].tolist() == [""] * 3 + ["teacher-stopped"] * 4
    assert np.isfinite(frames.select(range(3))["forces"]).all()
    np.testing.assert_allclose(frames["time"], 20.0 * np.arange(1, 8))
    np.testing.assert_array_equal(frames.of(6, "positions"), frames.of(2, "positions"))
    assert len(set(frames["label_key"].tolist())) == 7


def test_an_element_that_the_student_does_not_know_is_told(crystal: Any, boxes: Any, tmp_path: Path) -> None:
    potential = crystal.potential()
    potential.species = (1, 18)
    with pytest.raises(UserError, match="crystal: Ne is unknown to the potential"):
        harvest(*boxes, range(1), spec(), tmp_path / "labels.h5", "try", potential)


def test_the_whole_committee_is_asked_at_every_frame(crystal: Any, boxes: Any) -> None:
    """Between frames it is asked now and then, but a frame that it disagrees about must never be a label."""
    start = boxes[0].select([0])
    rarely = LevelTeacher(level="atoms", timestep_fs=2, spread_every=10_000)
    trajectory = StudentTeacher(rarely, crystal.potential(doubt=1e3)).begun(start, [], (0, 0))
    with pytest.raises(SimulationError, match="the committee disagrees by"):
        trajectory.advance(20)


@pytest.mark.parametrize(("coordination", "reason"), [(0.0, ""), (6.0, "not-settled")])
def test_a_trajectory_that_is_not_settled_is_quarantined(
    crystal: Any, boxes: Any, tmp_path: Path, coordination: float, reason: str
) -> None:
    """A neon's six nearest ones are 5.3 Å away, none within 4.5 Å."""
    known = SettledConfig(pair=("Ne", "Ne"), within_A=4.5, coordination=coordination)
    asked = spec().model_copy(update={"label": LabelConfig(settled=(known,))})
    harvest(*boxes, range(2), asked, tmp_path / "labels.h5", "try", crystal.potential())
    assert set(read_frames(tmp_path / "labels.h5")["reason"].tolist()) == {reason}
    found = read_metadata(tmp_path / "labels.h5")["settled"]
    assert [(name, one["coordination"]) for name, [one] in found.items()] == [("t00", 0.0), ("t01", 0.0)]
