"""A step towards a teacher's liquid: what it finds where the answer is known, and what it counts as known."""

import numpy as np
import pytest
import torch

from saltern.config import StudentConfig
from saltern.errors import UserError
from saltern.frames import Array, Frames
from saltern.learning.dataset import Examples
from saltern.learning.group import ALONE
from saltern.learning.relative_entropy import Step, towards_liquid
from saltern.potentials import Network
from saltern.units import BOLTZMANN

EDGE, CATIONS, CUTOFF, KT = 12.0, 80, 5.0, BOLTZMANN * 300
DEPTH, FRAMES = 0.2, 600
STUDENT = StudentConfig(network="pair", r_max_A=CUTOFF)
STATE = ("gas", 300.0)
R = np.linspace(0, EDGE / 2 * np.sqrt(3), 4000)


def well(r: Array, depth: float) -> Array:
    """A well around 3.2 Å that fades at the cutoff, in kT."""
    return -depth * np.exp(-(((r - 3.2) / 0.5) ** 2)) * np.clip(1 - (r / CUTOFF) ** 6, 0, None) ** 2


def gas(depth: float, count: int, seed: int, noise: float = 3.0) -> Frames:
    """Cations around one anion, in a well of a depth in kT and at least 2.4 Å away, that know nothing of each other.

    So their places can be drawn by rejection; forces are those of the well with noise in eV/Å.
    """
    rng = np.random.default_rng(seed)
    found = np.empty((0, 3))
    while len(found) < count * CATIONS:
        points = (rng.random((8 * count * CATIONS, 3)) - 0.5) * EDGE
        r = np.linalg.norm(points, axis=1)
        keep = (r > 2.4) & (rng.random(len(r)) < np.exp(-well(r, depth) - max(depth, 0)))
        found = np.vstack([found, points[keep]])
    steps = found[: count * CATIONS].reshape(count, CATIONS, 3)
    r = np.linalg.norm(steps, axis=2)
    push = -np.interp(r, R, np.gradient(well(R, depth), R)) * KT
    forces = push[..., None] * steps / r[..., None]
    forces = np.concatenate([-forces.sum(1, keepdims=True), forces], 1)
    return Frames.uniform(
        np.append(17, np.full(CATIONS, 11)), count,
        positions=np.concatenate([np.zeros((count, 1, 3)), steps], 1), cell=np.eye(3) * EDGE,
        charges=0.0, permittivity=1.0, system=np.array(["gas"]), temperature=300.0, energy=np.nan,
        trajectory=np.array([f"t{10 * i // count}" for i in range(count)]),
        forces=forces + rng.normal(scale=noise, size=forces.shape),
    )  # fmt: skip


def repeated(frames: Frames, times: int) -> Frames:
    """Every frame several times in a row, as if the ions had hardly moved in between."""
    return frames.select(np.repeat(np.arange(len(frames)), times))


def network() -> Network:
    """Splines that are zero."""
    return Network(STUDENT, (11, 17), shifts=[0.0, 0.0], scale=1.0, neighbours=1.0)


def step(teacher: Frames, student: Frames, held) -> Step:
    """That of splines which are zero."""
    data = Examples(held(teacher), "none", (11, 17), CUTOFF, torch.float32)
    return towards_liquid(network(), data, held(teacher), {STATE: [student]}, ALONE)


def energies(change: torch.Tensor, r: Array) -> Array:
    """Energies (kind, r) in kT of what the splines moved by: of Na-Na, Na-Cl and Cl-Cl."""
    pair = network().pair
    assert pair is not None
    pair.coefficients.copy_(change.view_as(pair.coefficients))
    zero, one = torch.tensor([0]), torch.tensor([1])
    kinds = [torch.tensor(species) for species in ([0, 0], [0, 1], [1, 1])]
    steps = [torch.tensor([[0.0, 0.0, distance]]) for distance in r]
    weights = pair.coefficients.flatten().double()
    return np.array([[float(pair.sums(step, zero, one, kind) @ weights) / KT for step in steps] for kind in kinds])


@pytest.fixture(scope="module")
def found(held) -> Step:
    return step(gas(DEPTH, FRAMES, 1), gas(0.0, FRAMES, 2), held)


def test_the_difference_of_two_potentials_comes_back(found: Step) -> None:
    """What one liquid has and the other lacks is a shallow well, which is told from the positions alone."""
    r = np.linspace(2.6, CUTOFF, 40)
    like, unlike, none = energies(found.change, r)
    assert np.sqrt(((unlike - well(r, DEPTH)) ** 2).mean()) < 0.06
    assert unlike.min() == pytest.approx(-DEPTH, abs=0.06)
    assert np.abs(like).max() < 0.05, "cations know nothing of each other in either"
    assert np.abs(none).max() == 0, "there are no two anions"


def test_it_is_the_teacher_that_is_approached(held) -> None:
    back = step(gas(0.0, FRAMES, 2), gas(DEPTH, FRAMES, 1), held)
    assert energies(back.change, np.linspace(2.6, CUTOFF, 40))[1].max() == pytest.approx(DEPTH, abs=0.06)


def test_the_entropy_is_that_between_the_wells(found: Step) -> None:
    """CATIONS times <ln p - ln q> of one of them, by quadrature over the box, and that of what is noise.

    Of the coefficients 52 have samples, and each follows its noise: half over the number of independent frames.
    """
    axis = (np.arange(60) + 0.5) / 60 * EDGE - EDGE / 2
    r = np.linalg.norm(np.stack(np.meshgrid(axis, axis, axis), -1).reshape(-1, 3), axis=1)
    weight = np.exp(-well(r[r > 2.4], DEPTH))
    p = weight / weight.sum()
    exact = CATIONS * float((p * np.log(p * len(p))).sum())
    noise = 52 / 2 * (1 / found.taught + 1 / found.simulated)
    assert found.entropy == pytest.approx(exact + noise, rel=0.3)


def test_where_there_are_no_samples_it_adds_no_force(found: Step) -> None:
    inside = energies(found.change, np.array([0.5, 1.2, 2.0]))[1]
    np.testing.assert_allclose(inside, inside[0], atol=0.02)


def test_frames_that_remember_each_other_count_once(held) -> None:
    """Eight times as many, hardly moved: the step and the numbers of independent frames are what they were."""
    teacher, student = gas(DEPTH, 200, 12), gas(0.0, 200, 52)
    once, again = step(teacher, student, held), step(repeated(teacher, 8), repeated(student, 8), held)
    for name in ("taught", "simulated", "heard"):
        assert 100 < getattr(once, name) <= 200
        assert getattr(again, name) == pytest.approx(getattr(once, name), rel=0.1)
    r = np.linspace(2.6, CUTOFF, 40)
    np.testing.assert_allclose(energies(again.change, r), energies(once.change, r), atol=0.01)


def test_forces_resist_as_far_as_they_are_sure(found: Step, held) -> None:
    """Potentials that the forces tell apart are not moved to suit positions, which tell less."""
    taught = gas(DEPTH, FRAMES, 1)
    sure = step(taught.with_arrays(forces=taught["forces"] / 1000), gas(0.0, FRAMES, 2), held)
    r = np.linspace(2.6, CUTOFF, 40)
    assert np.abs(energies(sure.change, r)).max() < 0.2 * np.abs(energies(found.change, r)).max()


def test_what_was_not_simulated_is_told(held) -> None:
    teacher = gas(0.0, 20, 3)
    data = Examples(held(teacher), "none", (11, 17), CUTOFF, torch.float32)
    with pytest.raises(UserError, match="wants simulations of what is trained on; none of gas at 300 K"):
        towards_liquid(network(), data, held(teacher), {("gas", 330.0): [teacher]}, ALONE)
    bare = Network(StudentConfig(r_max_A=CUTOFF), (11, 17), shifts=[0.0, 0.0], scale=1.0, neighbours=1.0)
    with pytest.raises(UserError, match=r"wants student\.prior: pair"):
        towards_liquid(bare, data, held(teacher), {STATE: [teacher]}, ALONE)
