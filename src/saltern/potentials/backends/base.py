"""What all backends share."""

from __future__ import annotations

import os
from collections.abc import Container, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any

import torch
from ase.data import chemical_symbols
from torch import Tensor, nn

from saltern.errors import UserError
from saltern.potentials.graph import Graph


class Peer(nn.Module):
    """A network of another package.

    Attributes:
        unit: eV per unit of what it gives, for weights that were trained elsewhere; None where Saltern's scale decides.
        shape: what its builder was told, as JSON, where that is from a checkpoint and not from a campaign.
    """

    unit: float | None = None
    shape: Mapping[str, Any] | None = None


def check_known(start: str | None, known: Container[int], species: Sequence[int]) -> None:
    """Refuse weights to start from that do not know an element.

    Args:
        start: what they are called.
        known: atomic numbers that they know.
        species: those that are asked for.

    Raises:
        UserError: with the elements that are not known.
    """
    if unknown := [chemical_symbols[z] for z in species if z not in known]:
        raise UserError(f"student.start: {start} does not know {', '.join(unknown)}; allowed: leave it out")


def edges(graph: Graph) -> tuple[Tensor, Tensor]:
    """Both directions of every pair: atoms (2, edge), and vectors (edge, 3) from the upper row's to the lower's."""
    there, back = torch.stack([graph.first, graph.second]), torch.stack([graph.second, graph.first])
    return torch.cat([there, back], 1), torch.cat([graph.vectors, -graph.vectors])


@contextmanager
def drawn(seed: int, dtype: torch.dtype) -> Iterator[None]:
    """In here packages draw weights from `seed` and make tensors of `dtype`; elsewhere all stays as it was.

    e3nn's generated code runs as Python: TorchScript rewrites it after some calls, and then a training that goes on
    from a checkpoint would not end with the bits of one that was never interrupted.
    """
    import e3nn

    before, state, options = torch.get_default_dtype(), torch.get_rng_state(), e3nn.get_optimization_defaults()
    e3nn.set_optimization_defaults(jit_script_fx=False)
    torch.set_default_dtype(dtype)
    torch.default_generator.manual_seed(seed)
    try:
        yield
    finally:
        torch.set_rng_state(state)
        torch.set_default_dtype(before)
        e3nn.set_optimization_defaults(**options)


@contextmanager
def environment_kept() -> Iterator[None]:
    """Undo what an import does to the variables of this process, which all others of it would see."""
    before = dict(os.environ)
    try:
        yield
    finally:
        for name in set(os.environ) - set(before):
            del os.environ[name]
        os.environ.update(before)


def keep_fixed(module: nn.Module) -> None:
    """Turn parameters that a package does not train into buffers, so that what is left is trained and saved."""
    for part in module.modules():
        for name, weight in list(part.named_parameters(recurse=False)):
            if not weight.requires_grad:
                delattr(part, name)
                part.register_buffer(name, weight.detach())
