"""Networks of other packages behind Saltern's own protocol: one file each, imported when a campaign asks for it.

A backend is a module with a class `Body`: built from the student's config, atomic numbers, the average number of
neighbours, a seed and a precision, it turns a `Graph` into an energy of each atom, (atom, 1), of order one before
`scale`. It is made by the package's own builder; energies of free atoms, scale, baseline, training and the saved file
are Saltern's. What is learned is a parameter, and all else follows from the arguments, so that a saved potential is
weights and a description, and reading one runs no code that came with it.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from importlib import import_module
from importlib.metadata import version
from importlib.util import find_spec
from typing import TYPE_CHECKING, Any, NamedTuple

from saltern.config.student import start_missing
from saltern.errors import MissingPackageError, UserError

if TYPE_CHECKING:
    import torch

    from saltern.config import StudentConfig
    from saltern.potentials.backends.base import Peer


class Package(NamedTuple):
    """What a backend needs: the module that it imports, and the name by which it is installed."""

    module: str
    name: str


PACKAGES = {
    "nequip": Package("nequip", "nequip"),
    "mace": Package("mace", "mace-torch"),
    "sevennet": Package("sevenn", "sevenn"),
}
"""Of every backend, by the name that a campaign gives it (`student.network`)."""


def require(network: str, where: str = "student.network") -> None:
    """Make sure that the package of a network is installed, without importing it; ours need none.

    Args:
        network: its name.
        where: the key that asks for it.

    Raises:
        MissingPackageError: when it is not.
    """
    needed = PACKAGES.get(network)
    if needed and find_spec(needed.module) is None:
        raise MissingPackageError(f"{where}: {network}", needed.name, network)


def package(network: str) -> dict[str, str]:
    """The package of a network and its version, for the record; nothing for ours."""
    needed = PACKAGES.get(network)
    return {needed.name: version(needed.name)} if needed else {}


def backend(
    config: StudentConfig,
    species: Sequence[int],
    neighbours: float,
    seed: int,
    dtype: torch.dtype,
    shape: Mapping[str, Any] | None,
) -> Peer:
    """The network of another package; with `shape` one whose shape was a checkpoint's.

    Raises:
        MissingPackageError: when the package is not installed here.
        UserError: when weights to start from are not there, cannot be read, or do not know an element.
    """
    require(config.network)
    if shape is None and (missing := start_missing(config)):
        raise UserError(f"student.start: {config.start} is not allowed; allowed: {missing}")
    module = import_module(f"saltern.potentials.backends.{config.network}")
    body: Peer = module.Body(config, species, neighbours, seed, dtype, **({} if shape is None else {"shape": shape}))
    return body
