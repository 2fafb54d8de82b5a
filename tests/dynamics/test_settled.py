"""The gate of equilibrium: coordination that is counted by hand."""

import numpy as np
import pytest

from saltern.config import SettledConfig
from saltern.dynamics.settled import judged
from saltern.frames import Frames
from saltern.units import BOLTZMANN


def ions(neighbours: list[int], *, hurt: int = 0) -> Frames:
    """One sodium ion with so many of three chloride ions within 3 Å in each frame; the last ones have no forces."""
    positions = np.zeros((len(neighbours), 4, 3))
    for frame, near in enumerate(neighbours):
        for number in range(3):
            positions[frame, number + 1, number] = 2.8 if number < near else 6.0
    forces = np.zeros_like(positions)
    forces[len(neighbours) - hurt :] = np.nan
    reasons = np.where(np.arange(len(neighbours)) < len(neighbours) - hurt, "", "teacher-stopped")
    return Frames.uniform(
        np.array([11, 17, 17, 17]), len(neighbours), positions=positions, forces=forces, cell=20 * np.eye(3),
        molecules=np.arange(4), system="NaCl-1", trajectory="t00", accepted=reasons == "", reason=reasons,
    )  # fmt: skip


def entry(coordination: float, **more: object) -> SettledConfig:
    return SettledConfig(pair=("Na", "Cl"), within_A=3.0, coordination=coordination, **more)


def test_a_trajectory_with_the_coordination_of_the_solution_passes() -> None:
    frames, [found] = judged(ions([1] * 10), [entry(1.0)], "try")
    assert frames["accepted"].all()
    assert (found["coordination"], found["error"], found["settled"]) == (1.0, 0.0, True)


@pytest.mark.parametrize("coordination", [0.9, 1.1])
def test_another_coordination_is_quarantined_with_its_reason(coordination: float) -> None:
    frames, [found] = judged(ions([1] * 10), [entry(coordination)], "try")
    assert not frames["accepted"].any()
    assert set(frames["reason"].tolist()) == {"not-settled"}
    assert not found["settled"]


def test_its_own_error_counts() -> None:
    """Blocks of 0, 0, 1, 1, 2 neighbours: 0.8 ± 0.374."""
    series = [0, 0, 0, 0, 1, 1, 1, 1, 2, 2]
    frames, [found] = judged(ions(series), [entry(1.2, tolerance=0.05)], "try")
    assert found["error"] == pytest.approx(np.std([0, 0, 1, 1, 2], ddof=1) / np.sqrt(5))
    assert frames["accepted"].all()
    frames, _ = judged(ions(series), [entry(1.25, tolerance=0.05)], "try")
    assert not frames["accepted"].any()


def test_frames_that_were_not_reached_do_not_count_and_keep_their_reason() -> None:
    frames, [found] = judged(ions([1] * 6 + [3] * 4, hurt=4), [entry(0.5)], "try")
    assert found["coordination"] == pytest.approx(1.0)
    assert frames["reason"].tolist() == ["not-settled"] * 6 + ["teacher-stopped"] * 4


def test_entries_about_others_are_passed_over() -> None:
    others = [entry(0.5, system="NaCl-2"), SettledConfig(pair=("K", "Cl"), within_A=3.0, coordination=9)]
    frames, found = judged(ions([1] * 10), others, "try")
    assert found == [] and frames["accepted"].all()
    frames, found = judged(ions([1] * 2, hurt=2), [entry(0.5)], "try")
    assert found == [] and set(frames["reason"].tolist()) == {"teacher-stopped"}


def test_frames_of_a_biased_teacher_count_as_they_would_without() -> None:
    """Half of the frames have one neighbour; without a bias of ln 3 kT on them it would be three in four."""
    frames = ions([0, 1] * 5)
    energies = np.where(np.arange(10) % 2, 0.0, -np.log(3) * BOLTZMANN * 300)
    _, [found] = judged(frames.with_arrays(bias_energy=energies, temperature=np.full(10, 300.0)), [entry(0.5)], "try")
    assert found["coordination"] == pytest.approx(0.75)
