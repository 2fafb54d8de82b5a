"""Training of one committee member, which a kill sets back by seconds."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch

from saltern.config import TrainConfig, TrainSpec
from saltern.errors import UserError
from saltern.frames import Frames
from saltern.learning.curve import Curve, Row
from saltern.learning.dataset import Example, Minibatch, collate, examples
from saltern.potentials import Network, chosen_device, closest, derivatives, save
from saltern.progress import track
from saltern.store import Release, text_hash, whole_file

CHECKPOINT_INTERVAL_S = 15.0
"""A killed training loses about this much."""

EVALUATION_BATCH = 16
"""Frames evaluated at once."""

WARM_UP = 0.1
"""Share of the steps over which the learning rate rises. Without it the first steps of a large rate decide by chance
where a network ends: on 120 frames of water at a rate of 0.02, two seeds were at 78 and 125 meV/Å after 300 steps;
with it, three were at 67 to 81 after 250."""

BETAS = (0.9, 0.99)
"""Decay of Adam's averages of the gradient and its square. The usual 0.999 remembers a thousand steps, which is as
long as a short training."""


def train(release: Release, spec: TrainSpec, member: int, output: Path, curve: Path, what: str) -> None:
    """Train one committee member: Adam, a learning rate that rises and falls to zero along a cosine, averaged weights.

    The loss is force_weight · mean (ΔF)² + energy_weight · mean (ΔE/N)² + stress_weight · mean (Δσ)² in eV and Å, of
    labels minus the baseline. Energies of the free atoms are fitted to the training frames by least squares, before
    training and again for every network that is validated or saved, because the loss hardly feels a constant. A
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
        UserError: when there is nothing to train on, validation frames hold an element that training frames do not,
            or stresses are asked for that were not labelled.
    """
    frames = release.frames("train")
    validation = release.frames("validation")
    _check(frames, validation, spec, release.directory)
    run = _Training(frames, validation, spec, member)
    identity = text_hash(release.manifest["root_hash"], spec.model_dump_json(), str(member))
    checkpoint = output.with_suffix(".checkpoint")
    rows = Curve(curve, run.resume(checkpoint, identity))
    saved = time.monotonic()

    def keep() -> None:
        nonlocal saved
        if time.monotonic() - saved > CHECKPOINT_INTERVAL_S:
            run.write(checkpoint, identity)
            saved = time.monotonic()

    for epoch in track(range(run.epoch, spec.train.epochs), what, spec.train.epochs, "epoch", run.epoch, rows.note):
        rows.add(run.one_epoch(epoch == spec.train.epochs - 1, keep))
    record = {"dataset": release.manifest["root_hash"], "member": member, "spec": spec.model_dump()}
    systems = zip(frames["system"].tolist(), frames["permittivity"].tolist(), strict=True)
    about = {
        "baseline": spec.baseline.kind,
        "closest": run.closest(),
        "permittivities": dict(sorted(set(systems))),
        "training": record,
    }
    save(output, run.averaged(), about)
    checkpoint.unlink(missing_ok=True)


def _check(frames: Frames, validation: Frames, spec: TrainSpec, where: Path) -> None:
    """Refuse frames that cannot be trained on, or validated with what is trained on."""
    from ase.data import chemical_symbols

    if not len(frames):
        raise UserError(f"{where}: no training frames; more trajectories or smaller held-out fractions")
    unknown = sorted(set(validation["numbers"].tolist()) - set(frames["numbers"].tolist())) if len(validation) else []
    if unknown:
        names = ", ".join(chemical_symbols[z] for z in unknown)
        raise UserError(f"{where}: {names} is in validation frames, but in no training frame; add trajectories")
    if spec.train.stress_weight and not np.isfinite(frames.arrays.get("stress", np.nan)).all():
        raise UserError(f"{where}: train.stress_weight: {spec.train.stress_weight:g} needs stresses of all labels")


def _normalisation(data: Sequence[Example]) -> dict[str, float]:
    """What the training frames fix before training: scale of forces and average number of neighbours."""
    forces = torch.cat([e.forces for e in data])
    neighbours = 2 * sum(len(e.first) for e in data) / len(forces)
    return {"scale": float(forces.square().mean().sqrt()) or 1.0, "neighbours": max(neighbours, 1.0)}


def _fit_shifts(network: Network, data: Sequence[Example], device: torch.device) -> None:
    """Set the energies of the free atoms by least squares; where compositions leave a choice, to the smallest."""
    network.shifts.zero_()
    with torch.no_grad():
        found = torch.cat([network(collate(chosen, device).graph) for chosen in _groups(data)]).cpu().numpy()
    counts = np.array([np.bincount(e.species, minlength=len(network.species)) for e in data])
    left = np.array([e.energy for e in data]) - found
    network.shifts.copy_(torch.from_numpy(np.linalg.lstsq(counts.astype(float), left, rcond=None)[0]))


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
        seed = spec.train.seed + member
        self.network = Network(
            spec.student, species, shifts=[0.0] * len(species), seed=seed, dtype=dtype, **_normalisation(self.data)
        ).to(self.device)
        _fit_shifts(self.network, self.data, self.device)
        self.average = [weight.detach().clone() for weight in self.network.parameters()]
        self.optimiser = torch.optim.Adam(self.network.parameters(), lr=self.config.learning_rate, betas=BETAS)
        self.generator = np.random.default_rng(seed)
        self.epoch, self.step = 0, 0
        self.left: list[int] = []
        self.losses: list[float] = []
        self.rows: list[Row] = []
        self.cpu_before, self.begun = 0.0, time.process_time()

    @property
    def steps(self) -> int:
        """Steps of the whole training."""
        return self.config.epochs * -(-len(self.data) // self.config.batch)

    def one_epoch(self, last: bool, after_step: Callable[[], None]) -> Row:
        """Every training frame once, or what is left of an epoch that was cut; the last epoch is always validated."""
        if not (self.left or self.losses):
            self.left = self.generator.permutation(len(self.data)).tolist()
        while self.left:
            chosen, self.left = self.left[: self.config.batch], self.left[self.config.batch :]
            self.losses.append(self._one_step(collate([self.data[i] for i in chosen], self.device)))
            after_step()
        self.epoch += 1
        errors: tuple[float | None, float | None] = (None, None)
        if self.validation and (last or self.epoch % self.config.validate_every == 0):
            errors = _errors(self.averaged(), self.validation, self.device)
        row = Row(self.epoch, self._learning_rate(), float(np.mean(self.losses)), *errors, self._cpu_seconds())
        self.losses = []
        self.rows.append(row)
        return row

    def _cpu_seconds(self) -> float:
        return self.cpu_before + time.process_time() - self.begun

    def _learning_rate(self) -> float:
        done = self.step / self.steps
        rise = min(1.0, (self.step + 1) / (WARM_UP * self.steps))
        return float(self.config.learning_rate * rise * 0.5 * (1 + np.cos(np.pi * done)))

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
        """The network with its averaged weights, and free atoms to suit."""
        import copy

        network = copy.deepcopy(self.network)
        for weight, average in zip(network.parameters(), self.average, strict=True):
            weight.data.copy_(average)
        _fit_shifts(network, self.data, self.device)
        return network

    def closest(self) -> list[list[float]]:
        """Shortest distances between elements in the training frames."""
        pairs = [(e.vectors, e.species[e.first], e.species[e.second]) for e in self.data]
        return closest(self.network.species, pairs)

    def write(self, path: Path, identity: str) -> None:
        """Keep the state."""
        state = {
            "identity": identity,
            "network": self.network.state_dict(),
            "average": self.average,
            "optimiser": self.optimiser.state_dict(),
            "generator": self.generator.bit_generator.state,
            "counts": (self.epoch, self.step, self._cpu_seconds()),
            "cut": (self.left, self.losses),
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
            self.epoch, self.step, self.cpu_before = state["counts"]
            self.left, self.losses = state["cut"]
            self.rows = [Row(*row) for row in state["rows"]]
        return list(self.rows)


def _kept(path: Path, identity: str) -> dict[str, Any]:
    """The state in a checkpoint, or nothing when there is none for this question."""
    if not path.exists():
        return {}
    state: dict[str, Any] = torch.load(path, weights_only=True, map_location="cpu")
    return state if state["identity"] == identity else {}


def _groups(data: Sequence[Example]) -> list[Sequence[Example]]:
    """As many examples at once as are evaluated together."""
    return [data[start : start + EVALUATION_BATCH] for start in range(0, len(data), EVALUATION_BATCH)]


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
    for chosen in _groups(data):
        batch = collate(chosen, device)
        found = network(batch.graph)
        forces = derivatives(found, batch.graph).forces
        force += float((forces - batch.forces).square().sum())
        components += batch.forces.numel()
        energy += float(((found.detach() - batch.energy) / batch.atoms).square().sum())
    return 1000 * float(np.sqrt(force / components)), 1000 * float(np.sqrt(energy / len(data)))
