"""A trained student with its baseline: what simulations run on."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from saltern.config import StudentConfig
from saltern.electrostatics import screened_coulomb
from saltern.errors import UserError
from saltern.potentials.backends import package
from saltern.potentials.batch import Batch
from saltern.potentials.core import Core
from saltern.potentials.graph import Derivatives, Graph, derivatives
from saltern.potentials.neighbours import NeighbourList, Pairs
from saltern.potentials.network import Network
from saltern.store import file_hash, whole_file

FORMAT = "saltern-potential"
FORMAT_VERSION = 2

_OF_COMMITTEE = ("species", "baseline", "closest", "permittivities", "permittivity")
"""What the files of a committee have to agree on."""


@dataclass(frozen=True)
class Evaluation:
    """Energy (system,) in eV, forces (atom, 3) in eV/Å, stress (system, 3, 3) in eV/Å³, all float64.

    What the whole committee is asked for: `members` (member, atom, 3) in eV/Å are the forces of each of them,
    `atom_spread` (atom,) is their standard deviation, sqrt of the summed variances of the components, and `spread`
    (system,) the largest of it over a system's atoms.
    """

    energy: Tensor
    forces: Tensor
    stress: Tensor | None
    spread: Tensor | None
    atom_spread: Tensor | None = None
    members: Tensor | None = None


class Potential:
    """A committee of networks, the baseline that was subtracted when they were trained, and walls where data end.

    Attributes:
        device: where it computes.
        species: atomic numbers it knows.
        r_max: cutoff of one interaction layer in Å.
        members: number of networks.
        baseline: kind of what was subtracted, 'coulomb' or 'none'.
        permittivities: relative permittivity of every system that it was trained on, by identifier.
        permittivity: that of its baseline whatever a system's own is; None where systems have their own.
        charges: what every element carried in the baseline (e), by symbol, None where it differed from atom to atom;
            None for a file that does not say.
        hashes: SHA-256 of every member's file.
        training: what the file of every member says of its training; empty where it says nothing.
        turns: whether energies are the same when a system turns only as far as that was learned.
    """

    def __init__(
        self,
        networks: Sequence[Network],
        about: Mapping[str, Any],
        hashes: Sequence[str] = (),
        training: Sequence[Mapping[str, Any]] = (),
    ) -> None:
        self._networks = [network.eval().requires_grad_(False) for network in networks]
        self._neighbours = NeighbourList(networks[0].config.r_max_A)
        self.baseline = str(about["baseline"])
        self.device = networks[0].shifts.device
        self._core = Core(about["closest"], self.device)
        self.species = networks[0].species
        self.turns = networks[0].config.turns
        self.r_max = networks[0].config.r_max_A
        self.members = len(networks)
        self.permittivities: dict[str, float] = dict(about["permittivities"])
        self.permittivity: float | None = about.get("permittivity")
        self.charges: dict[str, float | None] | None = {} if self.baseline == "none" else about.get("charges")
        self.hashes = tuple(hashes)
        self.training = tuple(training) or ({},) * len(networks)
        self._kinds = torch.full((max(self.species) + 1,), -1, device=self.device)
        self._kinds[list(self.species)] = torch.arange(len(self.species), device=self.device)

    @classmethod
    def load(cls, paths: Sequence[Path], device: str = "auto") -> Potential:
        """Load a committee, one file a member.

        Raises:
            UserError: when a file is not a potential, or the members were trained on different things.
        """
        place = chosen_device(device)
        loaded = [load_network(Path(path), place) for path in paths]
        about = loaded[0][1]
        for path, (_, other) in zip(paths, loaded, strict=True):
            if any(other.get(key) != about.get(key) for key in _OF_COMMITTEE):
                raise UserError(f"{path}: not of the same committee as {paths[0]}")
        training = [other.get("training", {}) for _, other in loaded]
        return cls([network for network, _ in loaded], about, [file_hash(path) for path in paths], training)

    def evaluate(self, batch: Batch, *, stress: bool = False, spread: bool = False) -> Evaluation:
        """Energy and forces of the first member plus baseline and core; stress and the committee's spread on request.

        Raises:
            UserError: for an element that the potential does not know.
            SimulationError: for positions that are not finite.
        """
        pairs = self._neighbours.pairs(batch)
        species = self._species_of(batch)
        results = [_derived(n, pairs, species, batch) for n in (self._networks if spread else self._networks[:1])]
        (energy, found), core = results[0], self._core(pairs, species, batch)
        energy, forces = energy + core[0], found.forces + core[1]
        stresses = (found.virial + core[2]) / batch.volumes.view(-1, 1, 1) if stress else None
        if self.baseline == "coulomb":
            base = baseline(batch, self.permittivity)
            energy, forces = energy + base.energy, forces + base.forces
            stresses = None if stresses is None else stresses + base.stress
        evaluation = Evaluation(energy, forces, stresses, None)
        if not spread:
            return evaluation
        return _with_spread(evaluation, torch.stack([derived.forces for _, derived in results]), batch)

    def contributions(self, batch: Batch) -> list[Tensor]:
        """Energy of each atom by what it comes from, (atom, feature + 1) in eV, float64, a member.

        First what every feature of the network adds, last what splines beneath it do. Baseline and core are not in it.
        """
        pairs, species = self._neighbours.pairs(batch), self._species_of(batch)
        with torch.no_grad():
            return [_parts(n, _graph(n, pairs, species, batch)) for n in self._networks]

    def closest(self, first: int, second: int) -> float:
        """Shortest distance in Å of two elements, by atomic number, in the training frames; below it is the wall."""
        return self._core.radius(*(self.species.index(z) for z in (first, second)))

    def _species_of(self, batch: Batch) -> Tensor:
        """Positions of the atoms' elements in the networks' table."""
        known = batch.numbers.clamp(max=len(self._kinds) - 1)
        species = torch.where(batch.numbers < len(self._kinds), self._kinds[known], -1)
        if (species < 0).any():
            from ase.data import chemical_symbols

            unknown = ", ".join(chemical_symbols[z] for z in sorted(set(batch.numbers[species < 0].tolist())))
            raise UserError(f"{unknown} is unknown to the potential; it knows atomic numbers {list(self.species)}")
        return species


@dataclass(frozen=True)
class Baseline:
    """Energy (system,), forces (atom, 3) and stress (system, 3, 3) of the screened charges."""

    energy: Tensor
    forces: Tensor
    stress: Tensor


def baseline(batch: Batch, permittivity: float | None = None) -> Baseline:
    """The screened Coulomb energy of every system of a batch, with forces and stress.

    Args:
        batch: the systems.
        permittivity: relative permittivity of the solvent; by default each system's own.
    """
    energy = torch.zeros(batch.systems, dtype=torch.float64, device=batch.positions.device)
    forces = torch.zeros(len(batch.numbers), 3, dtype=torch.float64, device=batch.positions.device)
    stress = energy.new_zeros(batch.systems, 3, 3)
    for systems, ions in batch.charged:
        first = int(systems[0])
        screening = float(batch.permittivity[first]) if permittivity is None else permittivity
        found = screened_coulomb(batch.positions[ions], batch.charges[ions[0]], batch.cells[first], screening)
        energy[systems], stress[systems] = found.energy, found.stress
        forces[ions.flatten()] = found.forces.reshape(-1, 3)
    return Baseline(energy, forces, stress)


def chosen_device(name: str) -> torch.device:
    """The device of that name; 'auto' is a GPU where there is one.

    Raises:
        UserError: when a GPU is asked for and none answers.
    """
    if name == "cuda" and not torch.cuda.is_available():
        raise UserError("device: 'cuda' is not allowed here, for no GPU answers; allowed: auto, cpu")
    return torch.device("cuda" if name != "cpu" and torch.cuda.is_available() else "cpu")


def save(path: Path, network: Network, about: Mapping[str, Any]) -> None:
    """Write one committee member: weights, and as JSON what it takes to rebuild it and where it comes from.

    Args:
        path: the file, whole or not at all.
        network: its weights and normalisation are stored.
        about: baseline, closest (species, species) distances in Å, permittivities by system, its own permittivity if
            it has one, and the record of its training.
    """
    from safetensors.torch import save_file

    header = {
        "format": FORMAT,
        "format_version": FORMAT_VERSION,
        "student": network.config.model_dump(),
        "species": list(network.species),
        "shifts": network.shifts.tolist(),
        "scale": network.scale,
        "neighbours": network.neighbours,
        "precision": str(network.readout.dtype).removeprefix("torch."),
        "package": package(network.config.network),
        **({} if network.shape is None else {"shape": network.shape}),
        **about,
    }
    weights = {name: weight.detach().cpu().contiguous() for name, weight in network.learned().items()}
    with whole_file(path) as temporary:
        save_file(weights, temporary, metadata={"saltern": json.dumps(header, sort_keys=True)})


def load_network(path: Path, device: torch.device) -> tuple[Network, dict[str, Any]]:
    """One committee member, and what its file says about it.

    Raises:
        UserError: when the file is not a potential.
    """
    from safetensors import SafetensorError, safe_open

    try:
        with safe_open(path, "pt") as file:
            about = json.loads((file.metadata() or {}).get("saltern", "{}"))
            weights = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
    except FileNotFoundError as error:
        raise UserError(f"{path}: no such file") from error
    except (OSError, SafetensorError) as error:
        raise UserError(f"{path}: not a whole potential ({error})") from error
    if about.get("format") != FORMAT or about.get("format_version") != FORMAT_VERSION:
        raise UserError(f"{path}: format is '{about.get('format')}', expected '{FORMAT} {FORMAT_VERSION}'")
    network = Network(
        StudentConfig(**about["student"]),
        about["species"],
        shifts=about["shifts"],
        scale=about["scale"],
        neighbours=about["neighbours"],
        dtype=getattr(torch, about["precision"]),
        shape=about.get("shape"),
    )
    try:
        network.load_state_dict(weights, strict=False)
        if set(weights) != set(network.learned()):
            raise RuntimeError
    except RuntimeError as error:
        raise UserError(f"{path}: its weights are not those of the network it describes") from error
    return network.to(device), about


def _derived(network: Network, pairs: Pairs, species: Tensor, batch: Batch) -> tuple[Tensor, Derivatives]:
    """Energy of one network, and what follows from its gradient."""
    graph = _graph(network, pairs, species, batch)
    energy = network(graph)
    return energy.detach(), derivatives(energy, graph)


def _graph(network: Network, pairs: Pairs, species: Tensor, batch: Batch) -> Graph:
    """What a network is given, in its precision."""
    vectors = pairs.vectors.detach().to(network.readout.dtype).requires_grad_()
    return Graph(vectors, pairs.first, pairs.second, species, batch.system_index, batch.systems)


def _parts(network: Network, graph: Graph) -> Tensor:
    """Energy of each atom by feature, and last of the splines, (atom, feature + 1)."""
    features = network.contributions(graph).double() * network.scale
    pairs = features.new_zeros(len(features)) if network.pair is None else network.pair.atomic(graph)
    return torch.cat([features, pairs.unsqueeze(1)], 1)


def _with_spread(found: Evaluation, networks: Tensor, batch: Batch) -> Evaluation:
    """An evaluation with what the networks' own forces (member, atom, 3) say of the committee."""
    each = networks.var(0, correction=0).sum(1).sqrt()
    largest = torch.stack([each[start:end].max() for start, end in batch.ranges])
    return replace(found, spread=largest, atom_spread=each, members=found.forces + (networks - networks[0]))
