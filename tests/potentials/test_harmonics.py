"""Spherical harmonics and coupling coefficients against e3nn, whose components stand in another order."""

import numpy as np
import pytest
import torch
from e3nn import o3

from saltern.potentials.harmonics import block, coupling, harmonics, paths


@pytest.fixture(scope="module")
def directions() -> torch.Tensor:
    vectors = torch.randn(200, 3, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    return vectors / vectors.norm(dim=1, keepdim=True)


def change_of_basis(order: int, directions: torch.Tensor) -> torch.Tensor:
    """The matrix that turns e3nn's harmonics of one order into ours."""
    ours = harmonics(directions, 3)[:, block(order)]
    theirs = o3.spherical_harmonics(order, directions, normalize=True, normalization="component")
    matrix = torch.linalg.lstsq(theirs, ours).solution
    assert torch.allclose(theirs @ matrix, ours, atol=1e-10)
    return matrix


@pytest.mark.parametrize("order", [0, 1, 2, 3])
def test_harmonics_are_e3nns_in_another_orthogonal_basis(order: int, directions: torch.Tensor) -> None:
    matrix = change_of_basis(order, directions)
    product = matrix @ matrix.T
    np.testing.assert_allclose(product, product[0, 0] * torch.eye(2 * order + 1), atol=1e-10)


def test_couplings_are_e3nns_wigner_symbols(directions: torch.Tensor) -> None:
    bases = [change_of_basis(order, directions) for order in range(4)]
    checked = 0
    for path in paths(3, 3, 3):
        theirs = o3.wigner_3j(path.inner, path.edge, path.outer, dtype=torch.float64)
        turned = torch.einsum("ieo,ia,eb,oc->bca", theirs, bases[path.inner], bases[path.edge], bases[path.outer])
        ours = coupling(path)
        cosine = (ours * turned).sum() / ours.norm() / turned.norm()
        assert abs(float(cosine)) == pytest.approx(1, abs=1e-9), path
        checked += 1
    assert checked == len({tuple(path) for path in paths(3, 3, 3)}) > 10


def test_paths_keep_parity() -> None:
    assert all((p.inner + p.edge + p.outer) % 2 == 0 for p in paths(3, 3, 3))
