"""Splines of the distance by linear least squares: the best sum over pairs, in closed form.

The mean square error of the forces is quadratic in a spline's coefficients, so one pass over the frames, which adds up
the normal equations, gives the minimum (S. Izvekov, G. A. Voth, J. Phys. Chem. B 109, 2469 (2005): force matching).
"""

from __future__ import annotations

import torch
from torch import Tensor

from saltern.frames import Array
from saltern.learning.dataset import Examples
from saltern.learning.group import Group
from saltern.potentials import PairSpline

CURVATURE_EV_A2 = 10.0
"""What the curvature at a knot is expected to be about, before there are data; a bond to hydrogen has 50, a contact of
ions a few. With labels all noise, as mean forces nearly are, the ridge that says so weighs about as much as one sample
a knot: nothing where there are data, and a straight line where there are none."""


def fit_pairs(data: Examples, cutoff: float, weights: Array, group: Group) -> tuple[PairSpline, float]:
    """Splines for the forces of some frames.

    Args:
        data: labels minus the baseline.
        cutoff: of the splines in Å, that of the examples' pairs.
        weights: (frame,) how often each counts.
        group: the processes that share the work.

    Returns:
        The splines, float64, and the mean square of what they leave of a force component, (eV/Å)².
    """
    pair = PairSpline(cutoff, data.composition.shape[1])
    sums = _normal_equations(pair, data, weights, group)
    matrix, right, square = sums[:-1, :-1], sums[:-1, -1], float(sums[-1, -1])
    components = 3 * float((data.composition.sum(1) * weights).sum()) * data.copies
    # where all labels are zero any ridge will do
    noise = square / components or 1.0
    bends = pair.bends()
    each = torch.eye(len(pair.coefficients), dtype=torch.float64)
    ridge = noise / CURVATURE_EV_A2**2 * torch.kron(each, bends.T @ bends)
    found = torch.linalg.solve(matrix + ridge, right)
    pair.coefficients.copy_(found.view_as(pair.coefficients))
    left = square - 2 * float(found @ right) + float(found @ matrix @ found)
    return pair, max(left, 0.0) / components


def _normal_equations(pair: PairSpline, data: Examples, weights: Array, group: Group) -> Tensor:
    """Sums over all frames of products of columns: one of each coefficient, and the forces as the last."""
    size = pair.coefficients.numel() + 1
    sums = torch.zeros(size, size, dtype=torch.float64)
    mine = [n for n in group.share(range(len(data))) if weights[n]]
    for copy in range(data.copies):
        data.epoch = copy
        for example, n in zip(data.some(mine), mine, strict=True):
            rows = pair.force_rows(example.vectors, example.first, example.second, example.species)
            columns = torch.cat([rows, example.forces.reshape(-1, 1)], 1)
            sums.addmm_(columns.T, columns, alpha=float(weights[n]))
    return group.sum(sums)
