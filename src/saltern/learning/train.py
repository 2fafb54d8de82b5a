"""Training of one committee member, which a kill sets back by seconds."""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch

from saltern.config import TrainConfig, TrainSpec
from saltern.errors import UserError
from saltern.frames import Frames
from saltern.learning.curve import Curve, Row
from saltern.learning.dataset import Example, Minibatch, collate, examples
from saltern.potentials import Network, chosen_device, derivatives, save
from saltern.progress import track
from saltern.store import Release, text_hash, whole_file

CHECKPOINT_INTERVAL_S = 15.0
"""A killed training loses about this much."""

EVALUATION_BATCH = 16
"""Validation frames evaluated at once."""


def train(release: Release, spec: TrainSpec, member: int, output: Path, curve: Path, what: str) -> None:
    """Train one committee member: Adam, a learning rate that falls to zero along a cosine, averaged weights.

    The loss is force_weight · mean (ΔF)² + energy_weight · mean (ΔE/N)² + stress_weight · mean (Δσ)² in eV and Å, of
    labels minus the baseline. Energies of the free atoms are fitted to the training frames by least squares. A
    checkpoint beside the output holds the state every few seconds; the same call after a kill goes on from it and
    ends with the same weights.

    Args:
        release: the dataset.
        spec: baseline, network and training.
        member: number of the member; its seed is that of the campaign plus this.
        output: the potential to make.
        curve: learning curve (CSV), written as it goes.
        what: the task, for progress lines.

    Raises:
        UserError: when there is nothing to train on.
    """
    frames = release.frames("train")
    if not len(frames):
        raise UserError(f"{release.directory}: no training frames; more trajectories or smaller held-out fractions")
    run = _Training(frames, release.frames("validation"), spec, member)
    identity = text_hash(release.manifest["root_hash"], spec.model_dump_json(), str(member))
    checkpoint = output.with_suffix(".checkpoint")
    rows = Curve(curve, run.resume(checkpoint, identity))
    saved = time.monotonic()
    for epoch in track(range(run.epoch, spec.train.epochs), what, spec.train.epochs, "epoch", run.epoch, rows.note):
        rows.add(run.one_epoch(last=epoch == spec.train.epochs - 1))
        if time.monotonic() - saved > CHECKPOINT_INTERVAL_S:
            run.write(checkpoint, identity)
            saved = time.monotonic()
    record = {"dataset": release.manifest["root_hash"], "member": member, "spec": spec.model_dump()}
    systems = zip(frames["system"].tolist(), frames["permittivity"].tolist(), strict=True)
    about = {"baseline": spec.baseline.kind, "permittivities": dict(sorted(set(systems))), "training": record}
    save(output, run.averaged(), about)
    checkpoint.unlink(missing_ok=True)


@dataclass
class _Normalisation:
    """What is fixed from the training frames before training: energies of free atoms, scale, neighbours."""

    species: tuple[int, ...]
    shifts: list[float]
    scale: float
    neighbours: float

    @classmethod
    def of(cls, frames: Frames, data: Sequence[Example]) -> _Normalisation:
        species = tuple(int(z) for z in np.unique(frames["numbers"]))
        counts = np.array([np.bincount(e.species, minlength=len(species)) for e in data])
        shifts = np.linalg.lstsq(counts.astype(float), np.array([e.energy for e in data]), rcond=None)[0]
        forces = torch.cat([e.forces for e in data])
        pairs, atoms = sum(len(e.first) for e in data), len(frames["numbers"])
        return cls(species, shifts.tolist(), float(forces.square().mean().sqrt()) or 1.0, max(2 * pairs / atoms, 1.0))


class _Training:
    """Everything that changes while a network is trained."""

    def __init__(self, frames: Frames, validation: Frames, spec: TrainSpec, member: int) -> None:
        self.config = spec.train
        dtype = getattr(torch, spec.train.precision)
        self.device = chosen_device(spec.train.device)
        species = tuple(int(z) for z in np.unique(frames["numbers"]))
        arguments = (spec.baseline.kind, species, spec.student.r_max_A, dtype)
        self.data = examples(frames, *arguments)
        self.validation = examples(validation, *arguments) if len(validation) else []
        fixed = _Normalisation.of(frames, self.data)
        seed = spec.train.seed + member
        self.network = Network(spec.student, **asdict(fixed), seed=seed, dtype=dtype).to(self.device)
        self.average = [weight.detach().clone() for weight in self.network.parameters()]
        self.optimiser = torch.optim.Adam(self.network.parameters(), lr=self.config.learning_rate)
        self.generator = np.random.default_rng(seed)
        self.epoch, self.step, self.cpu_seconds = 0, 0, 0.0
        self.rows: list[Row] = []

    @property
    def steps(self) -> int:
        """Steps of the whole training."""
        return self.config.epochs * -(-len(self.data) // self.config.batch)

    def one_epoch(self, last: bool) -> Row:
        """Every training frame once; the last epoch is always validated."""
        begun = time.process_time()
        losses = [self._one_step(collate(chosen, self.device)) for chosen in self._shuffled()]
        self.epoch += 1
        errors: tuple[float | None, float | None] = (None, None)
        if self.validation and (last or self.epoch % self.config.validate_every == 0):
            errors = _errors(self.averaged(), self.validation, self.device)
        self.cpu_seconds += time.process_time() - begun
        row = Row(self.epoch, self._learning_rate(), float(np.mean(losses)), *errors, self.cpu_seconds)
        self.rows.append(row)
        return row

    def _shuffled(self) -> Iterator[list[Example]]:
        order = self.generator.permutation(len(self.data))
        for start in range(0, len(order), self.config.batch):
            yield [self.data[i] for i in order[start : start + self.config.batch]]

    def _learning_rate(self) -> float:
        return float(self.config.learning_rate * 0.5 * (1 + np.cos(np.pi * self.step / self.steps)))

    def _one_step(self, batch: Minibatch) -> float:
        for group in self.optimiser.param_groups:
            group["lr"] = self._learning_rate()
        loss = _loss(self.network, batch, self.config)
        self.optimiser.zero_grad()
        loss.backward()  # type: ignore[no-untyped-call]
        self.optimiser.step()
        self.step += 1
        # the average must not remember the first, random weights longer than they deserve
        decay = min(self.config.ema, (1 + self.step) / (10 + self.step))
        with torch.no_grad():
            torch._foreach_lerp_(self.average, list(self.network.parameters()), 1 - decay)
        return float(loss.detach())

    def averaged(self) -> Network:
        """The network with its averaged weights."""
        import copy

        network = copy.deepcopy(self.network)
        for weight, average in zip(network.parameters(), self.average, strict=True):
            weight.data.copy_(average)
        return network

    def write(self, path: Path, identity: str) -> None:
        """Keep the state."""
        state = {
            "identity": identity,
            "network": self.network.state_dict(),
            "average": self.average,
            "optimiser": self.optimiser.state_dict(),
            "generator": self.generator.bit_generator.state,
            "counts": (self.epoch, self.step, self.cpu_seconds),
            "rows": [tuple(row) for row in self.rows],
        }
        with whole_file(path) as temporary:
            torch.save(state, temporary)

    def resume(self, path: Path, identity: str) -> list[Row]:
        """Take up a state that was kept for the same question; returns the learning curve so far."""
        state = _kept(path, identity)
        if state:
            self.network.load_state_dict(state["network"])
            self.average = [average.to(self.device) for average in state["average"]]
            self.optimiser.load_state_dict(state["optimiser"])
            self.generator.bit_generator.state = state["generator"]
            self.epoch, self.step, self.cpu_seconds = state["counts"]
            self.rows = [Row(*row) for row in state["rows"]]
        return list(self.rows)


def _kept(path: Path, identity: str) -> dict[str, Any]:
    """The state in a checkpoint, or nothing when there is none for this question."""
    if not path.exists():
        return {}
    state: dict[str, Any] = torch.load(path, weights_only=True, map_location="cpu")
    return state if state["identity"] == identity else {}


def _loss(network: Network, batch: Minibatch, config: TrainConfig) -> torch.Tensor:
    """Weighted mean squares of the errors of forces, energies per atom and stresses."""
    energy = network(batch.graph)
    found = derivatives(energy, batch.graph, create_graph=True)
    loss: torch.Tensor = config.force_weight * (found.forces - batch.forces).square().mean()
    loss = loss + config.energy_weight * ((energy - batch.energy) / batch.atoms).square().mean()
    if config.stress_weight:
        stress = found.virial / batch.volumes.view(-1, 1, 1)
        loss = loss + config.stress_weight * (stress - batch.stress).square().mean()
    return loss


def _errors(network: Network, data: Sequence[Example], device: torch.device) -> tuple[float, float]:
    """Root mean square errors of forces (meV/Å) and energies per atom (meV)."""
    force, energy, components = 0.0, 0.0, 0
    for start in range(0, len(data), EVALUATION_BATCH):
        batch = collate(data[start : start + EVALUATION_BATCH], device)
        found = network(batch.graph)
        forces = derivatives(found, batch.graph).forces
        force += float((forces - batch.forces).square().sum())
        components += batch.forces.numel()
        energy += float(((found.detach() - batch.energy) / batch.atoms).square().sum())
    return 1000 * float(np.sqrt(force / components)), 1000 * float(np.sqrt(energy / len(data)))
