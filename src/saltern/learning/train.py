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
from saltern.learning.curve import Curve, Row
from saltern.learning.dataset import Example, Examples, Minibatch, collate
from saltern.learning.group import ALONE, Group
from saltern.learning.stream import ShuffledShare, read_ahead
from saltern.potentials import Network, chosen_device, closest, derivatives, element_charges, save
from saltern.progress import track
from saltern.store import FrameReader, Release, text_hash, whole_file

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

OF_GROUP = {"train": {"processes"}}
"""What the spec says of the processes and not of the training; `saltern train` is told it apart."""


def train(
    release: Release, spec: TrainSpec, member: int, output: Path, curve: Path, what: str, group: Group = ALONE
) -> None:
    """Train one committee member: Adam, a learning rate that rises and falls to zero along a cosine, averaged weights.

    The loss is force_weight · mean (ΔF)² + energy_weight · mean (ΔE/N)² + stress_weight · mean (Δσ)² in eV and Å, of
    labels minus the baseline. Energies of the free atoms are fitted to the training frames by least squares, before
    training and again for every network that is validated or saved, because the loss hardly feels a constant. A
    checkpoint beside the output holds the state every few seconds; the same call after a kill goes on from it and
    ends with the same weights. Several processes share every mini-batch and every evaluation; process 0 alone writes.
    Their number is in neither the spec nor the checkpoint, for it changes rounding only: what several processes began
    one may finish.

    Args:
        release: the dataset.
        spec: baseline, network and training.
        member: number of the member; its seed is that of the campaign plus this.
        output: the potential to make.
        curve: learning curve (CSV), written as it goes.
        what: the task, for progress lines.
        group: the processes that share this training; each of them calls this.

    Raises:
        UserError: when there is nothing to train on, validation frames hold an element that training frames do not,
            or stresses are asked for that were not labelled.
        LostProcessError: when another process of the group has ended.
    """
    frames, validation = release.reader("train"), release.reader("validation")
    _check(frames, validation, spec, release.directory)
    run = _Training(frames, validation, spec, member, group)
    identity = text_hash(release.manifest["root_hash"], spec.model_dump_json(exclude=OF_GROUP), str(member))
    checkpoint = output.with_suffix(".checkpoint")
    kept = run.resume(checkpoint, identity)
    remaining = range(run.epoch, spec.train.epochs)
    if group.rank:
        for epoch in remaining:
            run.one_epoch(epoch == remaining[-1], lambda: None)
        run.averaged()
    else:
        rows = Curve(curve, kept)
        keep = _now_and_then(lambda: run.write(checkpoint, identity))
        for epoch in track(remaining, what, spec.train.epochs, "epoch", run.epoch, rows.note):
            rows.add(run.one_epoch(epoch == remaining[-1], keep))
        told = {"spec": spec.model_dump(exclude=OF_GROUP), "member": member, "processes": group.size}
        about = {
            "baseline": spec.baseline.kind,
            "closest": run.closest(),
            "charges": _charges(frames),
            "permittivities": _permittivities(release),
            "training": {"dataset": release.manifest["root_hash"], **told},
        }
        save(output, run.averaged(), about)
    # the checkpoint stays until no process can fail any more: Snakemake removes the output of a job that fails
    group.wait()
    if not group.rank:
        checkpoint.unlink(missing_ok=True)


def _now_and_then(work: Callable[[], None]) -> Callable[[], None]:
    """Do it when it was not done for a while."""
    last = time.monotonic()

    def maybe() -> None:
        nonlocal last
        if time.monotonic() - last > CHECKPOINT_INTERVAL_S:
            work()
            last = time.monotonic()

    return maybe


def _check(frames: FrameReader, validation: FrameReader, spec: TrainSpec, where: Path) -> None:
    """Refuse frames that cannot be trained on, or validated with what is trained on."""
    from ase.data import chemical_symbols

    if not len(frames):
        raise UserError(f"{where}: no training frames; more trajectories or smaller held-out fractions")
    unknown = sorted(set(_elements(validation)) - set(_elements(frames)))
    if unknown:
        names = ", ".join(chemical_symbols[z] for z in unknown)
        raise UserError(f"{where}: {names} is in validation frames, but in no training frame; add trajectories")
    if spec.train.energy_weight and not _known(frames, "energy"):
        allowed = "needs energies of all labels; a mean force has none, so train.energy_weight: 0"
        raise UserError(f"{where}: train.energy_weight: {spec.train.energy_weight:g} {allowed}")
    if spec.train.stress_weight and not _known(frames, "stress"):
        raise UserError(f"{where}: train.stress_weight: {spec.train.stress_weight:g} needs stresses of all labels")


def _elements(reader: FrameReader) -> list[int]:
    """Atomic numbers that occur, ascending."""
    found = {int(z) for frames in reader.batches(names=["numbers"]) for z in np.unique(frames["numbers"])}
    return sorted(found)


def _known(reader: FrameReader, name: str) -> bool:
    """Whether every frame has a quantity."""
    return reader.has(name) and all(np.isfinite(f[name]).all() for f in reader.batches(names=[name]))


def _charges(reader: FrameReader) -> dict[str, float | None]:
    """Charge of every element in e, by symbol, None where it differs from atom to atom."""
    found: dict[str, float | None] = {}
    names = ["numbers", *(["charges"] if reader.has("charges") else [])]
    for frames in reader.batches(names=names):
        for element, charge in element_charges(frames).items():
            found[element] = charge if found.get(element, charge) == charge else None
    return found


def _permittivities(release: Release) -> dict[str, float]:
    """Relative permittivity of every system that is trained on, where it is known."""
    rows = release.index[release.index["split"] == "train"]
    if "permittivity" not in rows:
        return {}
    return dict(sorted(set(zip(rows["system"].tolist(), rows["permittivity"].tolist(), strict=True))))


def _fit_shifts(network: Network, data: Examples, device: torch.device, group: Group) -> None:
    """Set the energies of the free atoms by least squares; where compositions leave a choice, to the smallest.

    Where labels have no energy they are 0.
    """
    network.shifts.zero_()
    if not np.isfinite(data.energy).all():
        return
    found = torch.zeros(len(data), dtype=torch.float64)
    with torch.no_grad():
        for part in group.share(_parts(data)):
            found[part] = network(collate(data[part], device).graph).cpu()
    left = data.energy - group.sum(found).numpy()
    network.shifts.copy_(torch.from_numpy(np.linalg.lstsq(data.composition.astype(float), left, rcond=None)[0]))


class _Training:
    """Everything that changes while a network is trained."""

    def __init__(
        self, frames: FrameReader, validation: FrameReader, spec: TrainSpec, member: int, group: Group
    ) -> None:
        self.config, self.group = spec.train, group
        dtype = getattr(torch, spec.train.precision)
        self.device = chosen_device(spec.train.device)
        species = tuple(_elements(frames))
        arguments = (spec.baseline.kind, species, spec.student.r_max_A, dtype)
        self.data = Examples(frames, *arguments)
        self.validation = Examples(validation, *arguments)
        seed = spec.train.seed + member
        self.network = Network(
            spec.student, species, shifts=[0.0] * len(species), seed=seed, dtype=dtype,
            scale=self.data.scale, neighbours=self.data.neighbours,
        ).to(self.device)  # fmt: skip
        _fit_shifts(self.network, self.data, self.device, group)
        self.average = [weight.detach().clone() for weight in self.network.parameters()]
        self.optimiser = torch.optim.Adam(self.network.parameters(), lr=self.config.learning_rate, betas=BETAS)
        self.sizes = self.data.composition.sum(axis=1)
        self.batches = ShuffledShare(len(self.data), self.config.batch, seed, group, self.sizes.tolist())
        self.epoch, self.step, self.done = 0, 0, 0
        self.losses: list[float] = []
        self.rows: list[Row] = []
        self.cpu_before, self.cpu_seconds, self.begun = 0.0, 0.0, time.process_time()

    @property
    def steps(self) -> int:
        """Steps of the whole training."""
        return self.config.epochs * -(-len(self.data) // self.config.batch)

    def one_epoch(self, last: bool, after_step: Callable[[], None]) -> Row:
        """Every training frame once, or what is left of an epoch that was cut; the last epoch is always validated."""
        self.batches.set_epoch(self.epoch, self.done)
        shares = read_ahead(self.data.get, self.batches, workers=0 if self.data.complete else 1)
        for chosen, mine in zip(self.batches.whole(), shares, strict=True):
            self.losses.append(self._one_step(chosen, mine))
            self.done += 1
            after_step()
        self.epoch, self.done = self.epoch + 1, 0
        errors: tuple[float | None, float | None] = (None, None)
        if self.validation and (last or self.epoch % self.config.validate_every == 0):
            errors = _errors(self.averaged(), self.validation, self.device, self.group)
        own = torch.tensor([time.process_time() - self.begun], dtype=torch.float64)
        self.cpu_seconds = self.cpu_before + float(self.group.sum(own))
        row = Row(self.epoch, self._learning_rate(), float(np.mean(self.losses)), *errors, self.cpu_seconds)
        self.losses = []
        self.rows.append(row)
        return row

    def _learning_rate(self) -> float:
        done = self.step / self.steps
        rise = min(1.0, (self.step + 1) / (WARM_UP * self.steps))
        return float(self.config.learning_rate * rise * 0.5 * (1 + np.cos(np.pi * done)))

    def _one_step(self, chosen: Sequence[int], mine: Sequence[Example]) -> float:
        """One step on a mini-batch, of which `mine` is this process's share."""
        for group in self.optimiser.param_groups:
            group["lr"] = self._learning_rate()
        self.optimiser.zero_grad()
        own = self._share_of_gradients(chosen, mine)
        also = [own, time.process_time() - self.begun]
        loss, seconds = self.group.sum_gradients(list(self.network.parameters()), also)
        self.cpu_seconds = self.cpu_before + seconds
        self.optimiser.step()
        self.step += 1
        # the average must not remember the first, random weights longer than they deserve
        decay = min(self.config.ema, (1 + self.step) / (10 + self.step))
        with torch.no_grad():
            torch._foreach_lerp_(self.average, list(self.network.parameters()), 1 - decay)
        return loss

    def _share_of_gradients(self, chosen: Sequence[int], mine: Sequence[Example]) -> float:
        """Set the gradients of this process's share of a mini-batch, and return its share of the loss."""
        if not mine:
            return 0.0
        batch = collate(mine, self.device)
        atoms = len(batch.graph.species) / int(self.sizes[list(chosen)].sum())
        loss = _loss(self.network, batch, self.config, len(mine) / len(chosen), atoms)
        weights = list(self.network.parameters())
        # not backward(), which would go on to the positions; what forces do not depend on has a gradient of zero
        for weight, gradient in zip(weights, torch.autograd.grad(loss, weights, materialize_grads=True), strict=True):
            weight.grad = gradient
        return float(loss.detach())

    def averaged(self) -> Network:
        """The network with its averaged weights, and free atoms to suit."""
        import copy

        network = copy.deepcopy(self.network)
        for weight, average in zip(network.parameters(), self.average, strict=True):
            weight.data.copy_(average)
        _fit_shifts(network, self.data, self.device, self.group)
        return network

    def closest(self) -> list[list[float]]:
        """Shortest distances between elements in the training frames."""
        return closest(self.network.species, ((e.vectors, e.species[e.first], e.species[e.second]) for e in self.data))

    def write(self, path: Path, identity: str) -> None:
        """Keep the state."""
        state = {
            "identity": identity,
            "network": self.network.state_dict(),
            "average": self.average,
            "optimiser": self.optimiser.state_dict(),
            "counts": (self.epoch, self.step, self.done, self.cpu_seconds),
            "losses": self.losses,
            "rows": [tuple(row) for row in self.rows],
        }
        with whole_file(path) as temporary:
            torch.save(state, temporary)

    def resume(self, path: Path, identity: str) -> list[Row]:
        """Take up a state that was kept for the same question; returns the learning curve so far."""
        state = self.group.from_first(lambda: _kept(path, identity))
        if state:
            self.network.load_state_dict(state["network"])
            self.average = [average.to(self.device) for average in state["average"]]
            self.optimiser.load_state_dict(state["optimiser"])
            self.epoch, self.step, self.done, self.cpu_before = state["counts"]
            self.losses = state["losses"]
            self.rows = [Row(*row) for row in state["rows"]]
        return list(self.rows)


def _kept(path: Path, identity: str) -> dict[str, Any]:
    """The state in a checkpoint, or nothing when there is none for this question."""
    if not path.exists():
        return {}
    state: dict[str, Any] = torch.load(path, weights_only=True, map_location="cpu")
    return state if state["identity"] == identity else {}


def _parts(data: Sequence[Example]) -> list[slice]:
    """As many examples at once as are evaluated together."""
    return [slice(start, start + EVALUATION_BATCH) for start in range(0, len(data), EVALUATION_BATCH)]


def _loss(network: Network, batch: Minibatch, config: TrainConfig, frames: float, atoms: float) -> torch.Tensor:
    """Weighted mean squares of the errors of forces, energies per atom and stresses.

    Where `batch` is a share of a mini-batch, `frames` and `atoms` are how much of it; the shares' losses add up to the
    whole one's.
    """
    energy = network(batch.graph)
    found = derivatives(energy, batch.graph, create_graph=True)
    loss: torch.Tensor = atoms * config.force_weight * (found.forces - batch.forces).square().mean()
    if config.energy_weight:
        loss = loss + frames * config.energy_weight * ((energy - batch.energy) / batch.atoms).square().mean()
    if config.stress_weight:
        stress = found.virial / batch.volumes.view(-1, 1, 1)
        loss = loss + frames * config.stress_weight * (stress - batch.stress).square().mean()
    return loss


def _errors(network: Network, data: Examples, device: torch.device, group: Group) -> tuple[float, float | None]:
    """Root mean square errors of forces (meV/Å) and energies per atom (meV), None where labels have no energy."""
    squares = torch.zeros(2, dtype=torch.float64)
    for part in group.share(_parts(data)):
        batch = collate(data[part], device)
        found = network(batch.graph)
        forces = derivatives(found, batch.graph).forces
        squares[0] += float((forces - batch.forces).square().sum())
        squares[1] += float(((found.detach() - batch.energy) / batch.atoms).square().sum())
    force, energy = group.sum(squares).tolist()
    components = 3 * int(data.composition.sum())
    of_energy = 1000 * float(np.sqrt(energy / len(data))) if np.isfinite(energy) else None
    return 1000 * float(np.sqrt(force / components)), of_energy
