"""One step of the splines of a potential towards its teacher's liquid: relative entropy.

Forces of a moving teacher are all but noise, and some nanoseconds of them teach a potential whose g(r) is off by more
than that of the teacher is uncertain. What is missing stands in the positions. The relative entropy of a potential U to
its teacher, S = <ln p_teacher - ln p_U> over frames of the teacher, changes with a coefficient c by

    dS/dc = (<s>_teacher - <s>_U) / kT,    d²S/dc² = cov_U(s) / kT²,    s = dU/dc,

where averages of U are those of a simulation with it (M. S. Shell, J. Chem. Phys. 129, 144108 (2008)). With splines of
the distance s are sums over pairs, and S is smallest where every g(r) agrees. N S is minus the logarithm of the
likelihood of N independent frames; to it come that of the forces, at whose best the potential stands already, so that
they only resist, and a ridge. The step is Newton's for all of it, (N cov/kT² + H + ridge) Δc = -N dS/dc.

How many frames are independent depends on what is asked of them, and asked is the step: frames number as many as its
mean, by its scatter between trajectories, is uncertain. The step and these numbers are found together.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor

from saltern.errors import UserError
from saltern.frames import Array, Frames
from saltern.learning.dataset import Examples
from saltern.learning.group import Group
from saltern.learning.resampling import trajectories, units
from saltern.observables import pooled
from saltern.potentials import Batch, NeighbourList, Network, PairSpline
from saltern.store import FrameReader
from saltern.units import BOLTZMANN

State = tuple[str, float]
"""A system and its temperature in K."""

COMPARED = ("numbers", "positions", "cell", "temperature", "trajectory")
"""What is read of simulated frames."""

MOST_FRAMES = 10_000
"""Simulated frames of one state that are looked at; more, which lie nearer to each other in time, say little more."""

PUSH_EV_A = 0.03
"""What a step is expected to add to the force of a pair before there are data, about kT per Å. With the ridge that says
so, the potential is moved where there are no samples as it is where the last ones are."""

ROUNDS = 20
"""Of finding the step and the numbers of independent frames together; five suffice in practice."""


class Step(NamedTuple):
    """What the splines move by.

    Attributes:
        change: (coefficient,) eV.
        entropy: by how much it lowers the relative entropy of a frame, summed over states, to second order.
        taught: independent frames of the teacher, as far as their positions tell it.
        simulated: those of the simulations.
        heard: those of the teacher, as far as their forces tell it.
    """

    change: Tensor
    entropy: float
    taught: float
    simulated: float
    heard: float


class _Sums:
    """Sums over frames whose rows are (coefficient,), with those over blocks that are independent of each other."""

    def __init__(self, blocks: int, size: int) -> None:
        self._counts = torch.zeros(blocks, dtype=torch.float64)
        self._rows = torch.zeros(blocks, size, dtype=torch.float64)
        self._products = torch.zeros(size, size, dtype=torch.float64)

    def add(self, block: int, row: Tensor, product: Tensor | None = None) -> None:
        """Add a frame; `product` is what is added up besides its row, by default the row times itself."""
        self._counts[block] += 1
        self._rows[block] += row
        self._products += torch.outer(row, row) if product is None else product

    def over(self, group: Group) -> _Sums:
        """The same of all processes."""
        for values in (self._counts, self._rows, self._products):
            group.sum(values)
        return self

    @property
    def frames(self) -> float:
        return float(self._counts.sum())

    @property
    def mean(self) -> Tensor:
        return self._rows.sum(0) / self.frames

    @property
    def product(self) -> Tensor:
        """Mean of the products, (coefficient, coefficient)."""
        return self._products / self.frames

    @property
    def covariance(self) -> Tensor:
        return self.product - torch.outer(self.mean, self.mean)

    def independent(self, step: Tensor, variance: float) -> float:
        """How many frames are independent, by the scatter of their rows along a step and its variance in a frame."""
        there = self._counts > 0
        counts = self._counts[there]
        _, error = pooled((self._rows[there] @ step / counts).numpy(), counts.numpy())
        with np.errstate(divide="ignore", invalid="ignore"):
            # those that remember nothing of each other may scatter less by chance; a lone block has no scatter
            return float(np.fmin(self.frames, np.float64(variance) / error**2))


def towards_liquid(
    network: Network, data: Examples, frames: FrameReader, simulated: Mapping[State, Sequence[Frames]], group: Group
) -> Step:
    """Move a network's splines one step towards the liquid of its teacher.

    Args:
        network: with splines.
        data: the teacher's frames, with its forces minus the baseline.
        frames: the same, with 'system', 'trajectory', 'temperature'; frames of a trajectory in the order of time.
        simulated: trajectories of `COMPARED` that the network drove, by system and temperature.
        group: the processes that share the work.

    Returns:
        What they moved by.

    Raises:
        UserError: when there are no splines, or frames of the teacher are of a state that was not simulated.
        LostProcessError: when another process of the group has ended.
    """
    if network.pair is None:
        raise UserError("train.objective: relative_entropy wants student.prior: pair, for it is the splines that learn")
    states = _states(frames)
    if missing := sorted(set(states) - set(simulated)):
        told = ", ".join(f"{name} at {kelvin:g} K" for name, kelvin in missing)
        raise UserError(f"train.objective: relative_entropy wants simulations of what is trained on; none of {told}")
    # those of the network may be on a GPU, where none of this would be quicker
    pair = PairSpline(network.pair.cutoff, len(network.species))
    teacher, forces = _of_teacher(pair, data, states, units(trajectories(frames)), group)
    student = {state: _of_simulation(pair, network.species, simulated[state], group) for state in teacher}
    step = _step(pair, teacher, student, forces, data.scale**2)
    network.pair.coefficients += step.change.view_as(pair.coefficients).to(network.pair.coefficients)
    return step


def _states(frames: FrameReader) -> list[State]:
    """The state of every frame."""
    parts = frames.batches(names=["system", "temperature"])
    return [state for f in parts for state in zip(f["system"].tolist(), f["temperature"].tolist(), strict=True)]


def _of_teacher(
    pair: PairSpline, data: Examples, states: Sequence[State], unit: Array, group: Group
) -> tuple[dict[State, _Sums], _Sums]:
    """Sums over the teacher's frames: of each state over its pairs, and of all over the forces.

    The row of a frame's forces is what each coefficient's forces have in common with them.
    """
    blocks, size = int(unit.max()) + 1, pair.coefficients.numel()
    teacher, forces = {state: _Sums(blocks, size) for state in sorted(set(states))}, _Sums(blocks, size)
    mine = group.share(range(len(data)))
    for example, n in zip(data.some(mine), mine, strict=True):
        of = (example.vectors, example.first, example.second, example.species)
        teacher[states[n]].add(unit[n], pair.sums(*of))
        rows = pair.force_rows(*of)
        forces.add(unit[n], rows.T @ example.forces.flatten(), rows.T @ rows)
    return {state: sums.over(group) for state, sums in teacher.items()}, forces.over(group)


def _of_simulation(pair: PairSpline, species: Sequence[int], replicas: Sequence[Frames], group: Group) -> _Sums:
    """Sums over simulated frames."""
    every = -(-sum(map(len, replicas)) // MOST_FRAMES)
    frames = Frames.concatenate([own.select(range(every - 1, len(own), every)) for own in replicas])
    blocks = units(frames["trajectory"])
    sums = _Sums(int(blocks.max()) + 1, pair.coefficients.numel())
    neighbours = NeighbourList(pair.cutoff, skin=0.0)
    for n in group.share(range(len(frames))):
        frame = frames.select([n])
        pairs = neighbours.pairs(Batch.of(frame))
        elements = torch.tensor(np.searchsorted(species, frame["numbers"]))
        sums.add(blocks[n], pair.sums(pairs.vectors, pairs.first, pairs.second, elements))
    return sums.over(group)


def _step(
    pair: PairSpline, teacher: Mapping[State, _Sums], student: Mapping[State, _Sums], forces: _Sums, noise: float
) -> Step:
    """Newton's step, and the numbers of independent frames that it follows from."""
    free = pair.coefficients.shape[1]
    unit = torch.eye(free, dtype=torch.float64)
    slopes = (torch.diag(torch.ones(free - 1, dtype=torch.float64), 1) - unit) / pair.step
    ridge = torch.kron(torch.eye(len(pair.coefficients), dtype=torch.float64), slopes.T @ slopes) / PUSH_EV_A**2
    thermal = {state: BOLTZMANN * state[1] for state in teacher}
    bends = {state: student[state].covariance / thermal[state] ** 2 for state in teacher}
    pulls = {state: (teacher[state].mean - student[state].mean) / thermal[state] for state in teacher}
    counts = dict.fromkeys(teacher, (1.0, 1.0))
    heard, change = 1.0, torch.zeros(len(ridge), dtype=torch.float64)
    for _ in range(ROUNDS):
        curvature, pull = ridge + heard * forces.product / noise, torch.zeros_like(change)
        for state, (own, simulated) in counts.items():
            both = 1 / (1 / own + 1 / simulated)
            curvature = curvature + both * bends[state]
            pull = pull + both * pulls[state]
        change = -torch.linalg.solve(curvature, pull)
        counts = {state: (_frames(teacher[state], change), _frames(student[state], change)) for state in teacher}
        heard = forces.independent(change, noise * float(change @ forces.product @ change))
    entropy = -sum(float(pulls[state] @ change + change @ bends[state] @ change / 2) for state in teacher)
    taught, shown = (sum(numbers) for numbers in zip(*counts.values(), strict=True))
    return Step(change, entropy, taught, shown, heard)


def _frames(sums: _Sums, step: Tensor) -> float:
    """How many frames are independent where what a step adds to their energy is asked."""
    return sums.independent(step, float(step @ sums.covariance @ step))
