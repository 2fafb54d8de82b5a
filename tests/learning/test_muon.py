"""Muon: directions of equal size, stacks as single matrices, and which weights it takes."""

import pytest
import torch

from saltern.config import StudentConfig, TrainConfig
from saltern.learning.muon import Muon, orthogonal
from saltern.learning.train import optimisers
from saltern.potentials import Network


@pytest.mark.parametrize("shape", [(16, 16), (48, 16), (16, 48), (3, 8, 32)])
def test_directions_of_a_step_have_about_one_size(shape: tuple[int, ...]) -> None:
    """And they are those of the nearest orthogonal matrix, U V of the singular value decomposition."""
    matrices = torch.randn(shape, generator=torch.Generator().manual_seed(1))
    found = orthogonal(matrices)
    sizes = torch.linalg.svdvals(found)
    assert float(sizes.min()) > 0.6
    assert float(sizes.max()) < 1.3
    u, _, v = torch.linalg.svd(matrices, full_matrices=False)
    assert float((found - u @ v).square().mean().sqrt()) < 0.3 * float((u @ v).square().mean().sqrt())
    assert float(orthogonal(torch.zeros(shape)).abs().max()) == 0


def test_a_stack_moves_as_its_matrices_alone() -> None:
    generator = torch.Generator().manual_seed(2)
    stack = torch.randn(3, 8, 4, generator=generator)
    single = [matrix.clone() for matrix in stack]
    both = Muon([stack], 0.1), Muon(single, 0.1)
    before = stack.clone()
    for _ in range(3):
        stack.grad = torch.randn(3, 8, 4, generator=generator)
        for matrix, gradient in zip(single, stack.grad, strict=True):
            matrix.grad = gradient
        for optimiser in both:
            optimiser.step()
    assert torch.allclose(stack, torch.stack(single), rtol=0, atol=1e-6)
    assert float((stack - before).abs().max()) > 0.01


def test_a_step_is_as_large_as_one_of_adam() -> None:
    weight = torch.zeros(32, 16)
    weight.grad = torch.randn(32, 16, generator=torch.Generator().manual_seed(3))
    Muon([weight], 0.01).step()
    assert 0.5 * 0.002 < float(weight.square().mean().sqrt()) < 2 * 0.002, "0.2 of the rate"


def test_what_is_no_matrix_is_refused() -> None:
    with pytest.raises(ValueError, match="matrices"):
        Muon([torch.zeros(3)], 0.1)


@pytest.mark.parametrize("network", ["equivariant", "cartesian", "unconstrained", "pair"])
def test_every_weight_is_moved_once(network: str) -> None:
    made = Network(StudentConfig(network=network), (1, 8), shifts=[0.0, 0.0], scale=1.0, neighbours=20.0)
    adam, *muon = optimisers(made, TrainConfig())
    moved = [id(w) for one in (adam, *muon) for group in one.param_groups for w in group["params"]]
    assert sorted(moved) == sorted(id(weight) for weight in made.parameters())
    assert len(muon) == (network != "pair"), "a spline has no matrices"
    [alone] = optimisers(made, TrainConfig(optimiser="adam"))
    assert isinstance(alone, torch.optim.Adam)
    if muon:
        elements = {id(made.readout), id(dict(made.named_parameters())["body.embedding"])}
        assert elements <= {id(w) for group in adam.param_groups for w in group["params"]}
