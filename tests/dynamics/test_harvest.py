"""Frames of a teacher that moves: the solute alone, as many as were asked for, the same after a kill."""

import json

import numpy as np
import pytest

from saltern.config import BiasConfig, LabelConfig, LabelSpec, OpenmmTeacher, SampleConfig, SettledConfig, System
from saltern.dynamics import harvest
from saltern.engines import moving
from saltern.errors import UserError
from saltern.frames import Frames
from saltern.store import read_frames
from saltern.systems import compose
from saltern.units import BOLTZMANN

SAMPLE = SampleConfig(engine="packed", frames=13, trajectories=2, every_ps=0.02, equilibrate_ps=0.1)
SPEC = LabelSpec(teacher=OpenmmTeacher(), label=LabelConfig(), sample=SAMPLE)
COSTS = ("cpu_seconds", "host", "date")


@pytest.fixture(scope="module")
def boxes():
    system = System(salt="NaCl", molality=2.8, temperature=300, solvent_molecules=40)
    packed = [compose(system, number) for number in range(2)]
    names = np.array(["t00", "t01"])
    # as it comes back from a file
    about = json.loads(json.dumps(packed[0][1], sort_keys=True))
    return Frames.concatenate([frames for frames, _ in packed]).with_arrays(trajectory=names), about


@pytest.fixture(autouse=True)
def short_segments(monkeypatch):
    monkeypatch.setattr(moving.ClassicalTeacher, "segment", 4)


def content(path) -> dict[str, bytes]:
    frames = read_frames(path)
    return {name: array.tobytes() for name, array in frames.arrays.items() if name not in COSTS}


def test_frames_hold_the_solute_and_its_forces(boxes, tmp_path):
    starts, about = boxes
    for number, count in ((0, 7), (1, 6)):
        harvest(starts, about, range(number, number + 1), SPEC, tmp_path / f"{number}.h5", "try")
        frames = read_frames(tmp_path / f"{number}.h5")
        assert len(frames) == count
        assert sorted(set(frames["numbers"].tolist())) == [11, 17]
        assert frames.atom_counts.tolist() == [4] * count
        np.testing.assert_allclose(frames["time"], 20.0 * np.arange(1, count + 1))
        assert set(frames["trajectory"].tolist()) == {f"t0{number}"}
        assert frames.stacked("charges").sum(axis=1).tolist() == [0] * count
        assert np.isnan(frames["energy"]).all() and frames["accepted"].all()
        assert 0.1 < frames["forces"].std() < 3
        assert not list(tmp_path.glob("*.journal"))
    keys = [read_frames(tmp_path / f"{number}.h5")["label_key"].tolist() for number in (0, 1)]
    assert len({*keys[0], *keys[1]}) == 13


def test_frames_cost_what_their_trajectory_took_and_its_equilibration(boxes, tmp_path, monkeypatch):
    """A clock that goes on by a second between frames: 5 of them are discarded, 7 kept."""
    seconds = []
    advance = moving._Classical.advance
    monkeypatch.setattr(moving._Classical, "advance", lambda *args: (seconds.append(1), advance(*args)))
    monkeypatch.setattr("time.process_time", lambda: float(len(seconds)))
    harvest(*boxes, range(1), SPEC, tmp_path / "0.h5", "try")
    assert read_frames(tmp_path / "0.h5")["cpu_seconds"].tolist() == [6, 1, 1, 1, 1, 1, 1]


def test_a_kill_changes_nothing(boxes, tmp_path, monkeypatch):
    starts, about = boxes
    harvest(starts, about, range(1), SPEC, tmp_path / "whole.h5", "try")
    steps = 0
    advance = moving._Classical.advance

    def killed(self, femtoseconds):
        nonlocal steps
        steps += 1
        if steps in (7, 12):
            raise KeyboardInterrupt
        advance(self, femtoseconds)

    monkeypatch.setattr(moving._Classical, "advance", killed)
    for _ in range(2):
        with pytest.raises(KeyboardInterrupt):
            harvest(starts, about, range(1), SPEC, tmp_path / "cut.h5", "try")
        assert not (tmp_path / "cut.h5").exists()
    harvest(starts, about, range(1), SPEC, tmp_path / "cut.h5", "try")
    # 12 periods in segments of 4: lost were the two that failed, and two that came before the first of these
    assert steps == 12 + 2 + 2
    assert content(tmp_path / "cut.h5") == content(tmp_path / "whole.h5")


def test_more_frames_are_the_same_ones_and_some_more(boxes, tmp_path):
    starts, about = boxes
    harvest(starts, about, range(1), SPEC, tmp_path / "few.h5", "try")
    more = SPEC.model_copy(update={"sample": SAMPLE.model_copy(update={"frames": 19})})
    harvest(starts, about, range(1), more, tmp_path / "more.h5", "try")
    few, many = (read_frames(tmp_path / f"{name}.h5") for name in ("few", "more"))
    assert few["label_key"].tolist() == many["label_key"].tolist()[:7]
    np.testing.assert_array_equal(few["forces"], many.select(range(7))["forces"])


def test_forces_beyond_belief_are_quarantined(boxes, tmp_path):
    starts, about = boxes
    strict = SPEC.model_copy(update={"label": LabelConfig(max_force_eV_A=1e-3)})
    harvest(starts, about, range(1), strict, tmp_path / "strict.h5", "try")
    frames = read_frames(tmp_path / "strict.h5")
    assert not frames["accepted"].any()
    assert set(frames["reason"].tolist()) == {"force-too-large"}


def test_a_trajectory_that_was_not_packed_is_told(boxes, tmp_path):
    with pytest.raises(UserError, match="trajectories 2:3 are not allowed; allowed: a part of 0:2"):
        harvest(*boxes, range(2, 3), SPEC, tmp_path / "x.h5", "try")


def test_a_biased_teacher_says_what_a_frame_counts(boxes, tmp_path, capsys):
    bias = BiasConfig(distance_A=3.7, depth_kT=2)
    harvest(*boxes, range(1), SPEC, tmp_path / "plain.h5", "try")
    assert "bias_energy" not in read_frames(tmp_path / "plain.h5")
    biased = SPEC.model_copy(update={"teacher": OpenmmTeacher(bias=bias)})
    harvest(*boxes, range(1), biased, tmp_path / "biased.h5", "try")
    frames = read_frames(tmp_path / "biased.h5")
    weights = np.exp(frames["bias_energy"] / (BOLTZMANN * 300))
    assert (weights < 1).all() and frames["accepted"].all()
    counted = weights.sum() ** 2 / (weights**2).sum()
    assert f"t00: 7 frames of a biased teacher count as {counted:.0f} without the bias" in capsys.readouterr().err
    assert not set(frames["label_key"]) & set(read_frames(tmp_path / "plain.h5")["label_key"])


def test_a_share_of_the_trajectories_is_biased_and_the_others_are_the_liquid_as_it_is(boxes, tmp_path):
    bias = BiasConfig(distance_A=2.9, width_A=0.5, depth_kT=2.5)
    nothing = SettledConfig(pair=("Na", "Cl"), within_A=3.5, coordination=5, tolerance=0)
    specs = {
        "plain": SPEC,
        "all": SPEC.model_copy(update={"teacher": OpenmmTeacher(bias=bias)}),
        "half": SPEC.model_copy(
            update={
                "teacher": OpenmmTeacher(bias=bias.model_copy(update={"share": 0.5})),
                "label": SPEC.label.model_copy(update={"settled": (nothing,)}),
            }
        ),
    }
    for name, spec in specs.items():
        harvest(*boxes, range(2), spec, tmp_path / f"{name}.h5", "try")
    plain, biased, half = (read_frames(tmp_path / f"{name}.h5") for name in specs)
    first, second = (half["trajectory"] == name for name in ("t00", "t01"))
    assert half["label_key"][first].tolist() == plain["label_key"][first].tolist()
    assert half["label_key"][second].tolist() == biased["label_key"][second].tolist()
    assert np.isnan(half["bias_energy"][first]).all() and (half["bias_energy"][second] < 0).all()
    assert half["accepted"].tolist() == second.tolist()  # what a bias pushes together is not asked to be a solution
