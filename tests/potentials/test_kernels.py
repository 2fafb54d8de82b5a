"""Compiled geometry and sums over neighbours against operations of torch, in all that training and simulation take."""

import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch

from saltern.config import StudentConfig
from saltern.machine_code import compiler
from saltern.potentials import Graph, Network, derivatives

RELATIVE = {torch.float64: 1e-11, torch.float32: 2e-4}
SHAPES = [
    {"network": "equivariant", "l_max": 2, "features": 16},
    {"network": "equivariant", "l_max": 1, "features": 8, "radial": "series"},
    {"network": "equivariant", "l_max": 3, "features": 2, "layers": 2},
    {"network": "equivariant", "l_max": 2, "features": 3},
    {"network": "equivariant", "l_max": 0, "features": 12},
    {"network": "cartesian", "features": 32},
    {"network": "cartesian", "features": 4, "prior": "pair"},
    {"network": "equivariant", "l_max": 1, "features": 4, "message": "attention", "readout": "perceptron"},
    {"network": "unconstrained", "l_max": 2, "features": 8},
]


def graph(dtype: torch.dtype) -> Graph:
    """A random one of two systems; the first atom sees its own image."""
    generator = torch.Generator().manual_seed(0)
    vectors = torch.randn(300, 3, generator=generator, dtype=torch.float64)
    vectors = vectors / vectors.norm(dim=1, keepdim=True) * (0.5 + 3.5 * torch.rand(300, 1, generator=generator))
    first = torch.randint(0, 12, (300,), generator=generator).sort()[0]
    second = (first // 6) * 6 + torch.randint(0, 6, (300,), generator=generator)
    second[0] = first[0]
    species, system = torch.arange(12) % 3, torch.arange(12) // 6
    return Graph(vectors.to(dtype).requires_grad_(), first, second, species, system, 2)


def everything(shape: dict[str, object], dtype: torch.dtype) -> list[torch.Tensor]:
    """Energies, forces, strain derivatives, and by all weights the derivative of a loss of all three."""
    config = StudentConfig.model_validate({"r_max_A": 4.0, "radial_width": 8, **shape})
    network = Network(config, (1, 8, 11), shifts=[0.0] * 3, scale=1.3, neighbours=20.0, dtype=dtype)
    with torch.no_grad():
        generator = torch.Generator().manual_seed(1)
        network.readout.copy_(torch.randn(network.readout.shape, generator=generator))
        if network.pair:
            network.pair.coefficients.copy_(torch.randn(network.pair.coefficients.shape, generator=generator))
    seen = graph(dtype)
    energy = network(seen)
    found = derivatives(energy, seen, create_graph=True)
    wanted = torch.linspace(-1, 1, 36, dtype=torch.float64).view(12, 3)
    loss = (found.forces - wanted).square().sum() + energy.square().sum() + found.virial.square().sum()
    return [energy, found.forces, found.virial, *torch.autograd.grad(loss, list(network.parameters()))]


def needs_compiler() -> None:
    if compiler() is None:
        pytest.skip("needs a C compiler (cc)")


@pytest.mark.parametrize("dtype", RELATIVE, ids=["float64", "float32"])
@pytest.mark.parametrize("shape", SHAPES, ids=lambda shape: "-".join(str(v) for v in shape.values()))
def test_compiled_and_uncompiled_agree(shape: dict[str, object], dtype: torch.dtype) -> None:
    needs_compiler()
    ours = everything(shape, dtype)
    theirs = everything({**shape, "kernels": "torch"}, dtype)
    for number, (mine, other) in enumerate(zip(ours, theirs, strict=True)):
        scale = float(other.detach().abs().max())
        assert scale > 0, f"{number}: there is something to compare"
        np.testing.assert_allclose(mine.detach(), other.detach(), rtol=0, atol=RELATIVE[dtype] * scale)


def test_second_derivatives_by_positions_are_not_zero_but_refused() -> None:
    needs_compiler()
    seen = graph(torch.float64)
    config = StudentConfig(r_max_A=4.0, features=4, layers=2)
    network = Network(config, (1, 8, 11), shifts=[0.0] * 3, scale=1.0, neighbours=20.0, dtype=torch.float64)
    with torch.no_grad():
        network.readout.fill_(1.0)
    forces = derivatives(network(seen), seen, create_graph=True).forces
    (hessian,) = torch.autograd.grad(forces[0, 0], seen.vectors)
    assert hessian.isnan().any()


EVALUATE = """
import sys, torch
sys.path.insert(0, sys.argv[1])
from test_kernels import everything
print(float(everything({"features": 4, "layers": 2, "l_max": 1}, torch.float64)[0][0]))
"""


def evaluated(home: Path, **environment: str) -> tuple[float, str]:
    """An energy found by a process of its own, and what it said."""
    done = subprocess.run(
        [sys.executable, "-c", EVALUATE, Path(__file__).parent], check=True, capture_output=True, text=True,
        env={**os.environ, "XDG_CACHE_HOME": str(home), **environment},
    )  # fmt: skip
    return float(done.stdout), done.stderr


def test_what_was_compiled_is_kept_and_what_cannot_be_is_told(tmp_path: Path) -> None:
    needs_compiler()
    energy, said = evaluated(tmp_path)
    assert "not compiled" not in said
    made = {file: file.stat().st_mtime_ns for file in (tmp_path / "saltern/kernels").iterdir()}
    assert {file.suffix for file in made} == {".so"}
    assert evaluated(tmp_path) == (energy, said)
    assert {file: file.stat().st_mtime_ns for file in (tmp_path / "saltern/kernels").iterdir()} == made
    for name, reason in (("no-such-compiler", "there is no C compiler 'no-such-compiler'"), ("false", "false")):
        other, said = evaluated(tmp_path / "other", CC=name)
        assert other == pytest.approx(energy, rel=1e-11)
        assert said.count("not compiled") == 1
        assert reason in said
