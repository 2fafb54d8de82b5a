"""What every member of a committee finds on some frames, and whether each of them was really trained."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from saltern.frames import Array, Frames
from saltern.learning.calibration import number
from saltern.learning.jackknife import group_sums, jackknife
from saltern.potentials import Batch, Potential, baseline

SILENT = 1e-6
"""A feature is silent when it makes less than this of the variation of the energy of every kind of atom, of which
splines beneath the network make their part."""


@dataclass(frozen=True)
class Found:
    """Outcomes on some frames, in eV and Å.

    Attributes:
        energies: (frame,) of the first member plus baseline.
        forces: (atom, 3) of the first member plus baseline.
        baseline: (atom, 3) of the baseline alone.
        members: (member, atom, 3) of every member plus baseline.
        spreads: (atom,) standard deviation over the committee, None for a lone network and where no network says
            anything: what is left then is rounding.
        silent: (member,) share of silent features.
    """

    energies: Array
    forces: Array
    baseline: Array
    members: Array
    spreads: Array | None
    silent: Array


def evaluated(potential: Potential, frames: Iterable[Frames]) -> Found:
    """Evaluate frame by frame.

    Args:
        potential: the committee.
        frames: one at a time.
    """
    energies, alone, members, spreads, features = [], [], [], [], []
    for frame in frames:
        batch = Batch.of(frame, potential.device)
        result = potential.evaluate(batch, spread=True)
        assert result.members is not None
        assert result.atom_spread is not None
        energies.append(float(result.energy))
        members.append(result.members.cpu().numpy())
        spreads.append(result.atom_spread.cpu().numpy())
        if potential.baseline == "none":
            alone.append(np.zeros_like(members[-1][0]))
        else:
            alone.append(baseline(batch, potential.permittivity).forces.cpu().numpy())
        features.append(_moments(frame["numbers"], [c.cpu().numpy() for c in potential.contributions(batch)]))
    each = np.concatenate(members, axis=1)
    silent = _silent(features)
    spread = np.concatenate(spreads) if potential.members > 1 and (silent < 1).any() else None
    return Found(np.array(energies), each[0], np.concatenate(alone), each, spread, silent)


def member_rows(
    found: Found, frames: Frames, trajectory: Array, unmoved: Sequence[Sequence[str]]
) -> list[dict[str, Any]]:
    """Whether each network beats what it was added to.

    Args:
        found: outcomes.
        frames: the same frames with their labels.
        trajectory: (frame,) number of the trajectory.
        unmoved: names of the weights that training left where they began, a member.

    Returns:
        for every member 'member', its name; 'rmse', the root mean square error of a force component in meV/Å;
        'share', that as a share of the error of the baseline alone; each with its standard error over trajectories;
        'silent', the share of its features that no energy depends on; 'unmoved', the names given.
    """
    group = np.repeat(trajectory, frames.atom_counts)
    alone = ((found.baseline - frames["forces"]) ** 2).sum(1)
    rows = []
    for index, forces in enumerate(found.members):
        squares = ((forces - frames["forces"]) ** 2).sum(1)
        sums = group_sums(np.stack([squares, alone, np.full(len(alone), 3)], 1), group)
        rows.append(
            {
                "member": f"m{index:04d}",
                "rmse": number(*jackknife(sums, lambda s: 1000 * np.sqrt(s[..., 0] / s[..., 2]))),
                "share": number(*jackknife(sums, lambda s: np.sqrt(s[..., 0] / s[..., 1]))),
                "silent": float(found.silent[index]),
                "unmoved": list(unmoved[index]),
            }
        )
    return rows


Moments = dict[int, list[Array]]
"""By atomic number, for every member: number of atoms, sum and sum of squares, (3, feature + 1)."""


def _moments(numbers: Array, contributions: list[Array]) -> Moments:
    """Moments of the contributions (atom, feature + 1) of one frame."""
    return {
        int(z): [np.stack([np.full(c.shape[1], (numbers == z).sum()), *_sums(c[numbers == z])]) for c in contributions]
        for z in np.unique(numbers)
    }


def _sums(values: Array) -> tuple[Array, Array]:
    """Sum and sum of squares over atoms."""
    return values.sum(0), (values**2).sum(0)


def _silent(frames: list[Moments]) -> Array:
    """Share of silent features of every member, (member,); none where there are no features, as with pairs alone."""
    speaks: list[list[Array]] = []
    for z in sorted({z for frame in frames for z in frame}):
        each = zip(*(frame[z] for frame in frames if z in frame), strict=True)
        speaks.append([_varies(np.sum(moments, axis=0)) for moments in each])
    spoken = [np.any(of_member, axis=0) for of_member in zip(*speaks, strict=True)]
    return np.array([(~each).sum() / max(1, len(each)) for each in spoken])


def _varies(moments: Array) -> Array:
    """Whether each feature makes its part of the variation, (feature,); the last column is that of no feature."""
    count, total, squares = moments
    variance = np.maximum(squares - total**2 / count, 0) / count
    varies: Array = variance > SILENT * variance.sum()
    return varies[:-1]
