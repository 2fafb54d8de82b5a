"""Radial functions: splines that are smooth, end at the cutoff and do not fall off their table."""

import numpy as np
import pytest
import torch
from scipy.interpolate import BSpline

from saltern.config import StudentConfig
from saltern.potentials.draw import Draw
from saltern.potentials.radial import interpolation, radial
from saltern.potentials.radial.spline import knots

CUTOFF = 5.0


def spline(coefficients: torch.Tensor, distances: torch.Tensor) -> torch.Tensor:
    place = interpolation(distances, CUTOFF)
    return (coefficients[place.knots[:, None] + torch.arange(4)] * place.factors).sum(1)


def test_splines_are_scipys() -> None:
    places = knots(CUTOFF)
    coefficients = torch.randn(len(places), generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    step = CUTOFF / (len(places) - 3)
    theirs = BSpline(step * np.arange(-3, len(places) + 1), coefficients, 3)
    r = torch.linspace(0.01, 4.99, 777, dtype=torch.float64, requires_grad=True)
    ours = spline(coefficients, r)
    np.testing.assert_allclose(ours.detach(), theirs(r.detach()), atol=1e-12)
    (slope,) = torch.autograd.grad(ours.sum(), r, create_graph=True)
    np.testing.assert_allclose(slope.detach(), theirs.derivative()(r.detach()), atol=1e-10)
    (bend,) = torch.autograd.grad(slope.sum(), r)
    np.testing.assert_allclose(bend, theirs.derivative(2)(r.detach()), atol=1e-8)


@pytest.mark.parametrize("kind", ["perceptron", "series"])
@pytest.mark.parametrize("cutoff", [1.5, 5.0, 5.04, 12.0])
def test_radial_functions_are_of_order_one_and_zero_from_the_last_knots_on(kind: str, cutoff: float) -> None:
    config = StudentConfig.model_validate({"radial": kind, "r_max_A": cutoff, "bessel": 16})
    functions = radial(config, Draw(0)).double()().detach()
    assert functions.shape == (config.layers, len(knots(cutoff)), 16 if kind == "series" else config.radial_width)
    assert torch.isfinite(functions).all()
    assert (functions[:, -3:] == 0).all()
    assert (functions[:, -4] != 0).any()
    shells = knots(cutoff)[1:-2] ** 2
    assert 0.1 < float((functions[:, 1:-2].square().mean((0, 2)) * shells).sum() / shells.sum()) < 2


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_a_distance_that_was_rounded_to_the_cutoff_is_within_the_table(dtype: torch.dtype) -> None:
    for cutoff in (4.0, 4.4, 5.0, 6.3):
        place = interpolation(torch.tensor([0.0, cutoff], dtype=dtype), cutoff)
        assert place.knots.tolist() == [0, len(knots(cutoff)) - 4]
        assert float(place.factors[1, 0].detach().abs()) < 1e-5
