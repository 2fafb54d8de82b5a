"""Training of one committee member, which a kill sets back by seconds."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch

from saltern.config import TrainConfig, TrainSpec
from saltern.learning.curve import Curve, Row
from saltern.learning.dataset import Example, Examples, collate
from saltern.learning.facts import charges, check, elements, permittivities
from saltern.learning.group import ALONE, Group
from saltern.learning.loss import errors_of, fit_shifts, loss_of
from saltern.learning.muon import Muon
from saltern.learning.noise import Noise
from saltern.learning.pairs import fit_pairs
from saltern.learning.relative_entropy import towards_liquid
from saltern.learning.resampling import drawn, trajectories, units
from saltern.learning.start import Start, start_from
from saltern.learning.stopping import Best
from saltern.learning.stream import ShuffledShare, read_ahead
from saltern.learning.turning import turned
from saltern.potentials import Network, chosen_device, closest, save
from saltern.progress import say, track
from saltern.store import FrameReader, Release, file_hash, text_hash, whole_file

CHECKPOINT_INTERVAL_S = 15.0
"""A killed training loses about this much."""

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
    release: Release,
    spec: TrainSpec,
    member: int,
    output: Path,
    curve: Path,
    what: str,
    group: Group = ALONE,
    start: Path | None = None,
    simulated: Sequence[Path] = (),
) -> None:
    """Train one committee member: a learning rate that rises and falls to zero along a cosine, averaged weights.

    The loss is force_weight · mean (ΔF)² + energy_weight · mean (ΔE/N)² + stress_weight · mean (Δσ)² in eV and Å, of
    labels minus the baseline. Energies of the free atoms are fitted to the training frames by least squares, before
    training and again for every network that is validated or saved, because the loss hardly feels a constant. A
    checkpoint beside the output holds the state every few seconds; the same call after a kill goes on from it and
    ends with the same weights. With `patience` the averaged weights that validated best are saved, and training ends
    before its schedule when that many validations in a row were no better. Several processes share every mini-batch and
    every evaluation; process 0 alone writes. Their number is in neither the spec nor the checkpoint, for it changes
    rounding only: what several processes began one may finish.

    Args:
        release: the dataset.
        spec: baseline, network and training.
        member: number of the member; its seed is that of the campaign plus this.
        output: the potential to make.
        curve: learning curve (CSV), written as it goes.
        what: the task, for progress lines.
        group: the processes that share this training; each of them calls this.
        start: a potential to start from instead of random weights. Splines beneath its network stay, and walls begin
            where neither its frames nor these reach.
        simulated: files of trajectories that `start` drove, with objective: relative_entropy. Then its splines make one
            step towards the teacher's liquid and nothing else is trained.

    Raises:
        UserError: when there is nothing to train on, validation frames are needed or hold an element that training
            frames do not, stresses are asked for that were not labelled, `start` is another kind of potential, or
            `simulated` lacks something that is trained on.
        LostProcessError: when another process of the group has ended.
    """
    frames, validation = release.reader("train"), release.reader("validation")
    check(frames, validation, spec, release.directory)
    device = chosen_device(spec.train.device)
    origin = start_from(start, spec, elements(frames), device, simulated) if start else None
    run = _Training(frames, validation, spec, member, group, origin, what)
    question = (release.manifest["root_hash"], spec.model_dump_json(exclude=OF_GROUP), str(member))
    identity = text_hash(*question, *([origin.hash, *origin.hashes] if origin else []))
    checkpoint = output.with_suffix(".checkpoint")
    kept = run.resume(checkpoint, identity)
    remaining = range(run.epoch, run.epochs)
    if group.rank:
        for epoch in remaining:
            if run.one_epoch(epoch == remaining[-1], lambda: None).ended:
                break
        run.kept()
    else:
        rows = Curve(curve, kept)
        keep = _now_and_then(lambda: run.write(checkpoint, identity))
        for epoch in track(remaining, what, run.epochs, "epoch", run.epoch, rows.note):
            rows.add(run.one_epoch(epoch == remaining[-1], keep))
            if run.best.ended:
                say(f"{what}: ended after epoch {epoch + 1}, {run.best.ended}; epoch {run.best.epoch} is kept")
                break
        told = {"spec": spec.model_dump(exclude=OF_GROUP), "member": member, "processes": group.size}
        weights = spec.student.checkpoint
        started = origin.hash if origin else weights and file_hash(Path(weights))
        told |= {"start": started} if started else {}
        told |= {"simulated": list(origin.hashes)} if origin and origin.hashes else {}
        about = {
            "baseline": spec.baseline.kind,
            "closest": run.closest(),
            "charges": charges(frames),
            "permittivities": permittivities(release, spec.baseline.permittivity),
            "permittivity": spec.baseline.permittivity,
            "training": {
                "dataset": release.manifest["root_hash"],
                "epoch": run.best.epoch,
                "unmoved": run.unmoved(),
                **told,
            },
        }
        save(output, run.kept(), about)
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


class _Training:
    """Everything that changes while a network is trained."""

    def __init__(
        self,
        frames: FrameReader,
        validation: FrameReader,
        spec: TrainSpec,
        member: int,
        group: Group,
        start: Start | None = None,
        what: str = "train",
    ) -> None:
        self.config, self.group = spec.train, group
        dtype = getattr(torch, spec.train.precision)
        self.device = chosen_device(spec.train.device)
        species = tuple(elements(frames))
        arguments = (spec.baseline.kind, species, spec.student.r_max_A, dtype)
        seed = self.seed = spec.train.seed + member
        noise = Noise(self.config.noise_A, seed) if self.config.objective == "score" else None
        self.data, self.validation = (
            Examples(reader, *arguments, noise, spec.baseline.permittivity) for reader in (frames, validation)
        )
        self.start = start
        if start:
            self.network = start.network
            self.losses = self._compare(start, frames, what) if self.config.compares else []
        else:
            self.network = Network(
                spec.student, species, shifts=[0.0] * len(species), seed=seed, dtype=dtype,
                scale=self.data.scale, neighbours=self.data.neighbours,
            ).to(self.device)  # fmt: skip
            self.losses = self._fit_pairs(frames, spec.student.r_max_A, member)
        # nothing is left to train
        self.closed = self.network.closed or self.config.compares
        self.epochs = 1 if self.closed else self.config.epochs
        fit_shifts(self.network, self.data, self.device, group)
        self.first = [weight.detach().clone() for weight in self.network.parameters()]
        self.average = [weight.clone() for weight in self.first]
        self.optimisers = optimisers(self.network, self.config)
        self.sizes = self.data.composition.sum(axis=1)
        stepped = 0 if self.closed else len(self.data)
        self.batches = ShuffledShare(stepped, self.config.batch, seed, group, self.sizes.tolist())
        self.epoch, self.step, self.done = 0, 0, 0
        self.best = Best(self.config)
        self.rows: list[Row] = []
        self.cpu_before, self.cpu_seconds, self.begun = 0.0, 0.0, time.process_time()

    def _fit_pairs(self, frames: FrameReader, cutoff: float, member: int) -> list[float]:
        """Fit the splines, where there are some; what they leave is the loss of a network that is nothing else.

        A committee of splines alone differs in the trajectories that count, but its first member, which drives
        simulations, is fitted to all of them.
        """
        network, weights = self.network, np.ones(len(self.data))
        if network.pair is None:
            return []
        if network.closed and member:
            weights = drawn(units(trajectories(frames)), self.config.seed + member)
        pair, left = fit_pairs(self.data, cutoff, weights, self.group)
        network.pair.load_state_dict(pair.state_dict())
        network.scale = float(np.sqrt(left)) or 1.0
        return [self.config.force_weight * left] if network.closed else []

    def _compare(self, start: Start, frames: FrameReader, what: str) -> list[float]:
        """Move the splines towards the teacher's liquid; what that takes off the relative entropy, with a minus."""
        step = towards_liquid(self.network, self.data, frames, start.simulated, self.group)
        if not self.group.rank:
            say(
                f"{what}: splines move by up to {1000 * float(step.change.abs().max()):.2g} meV; independent frames: "
                f"teacher {step.taught:.0f}, simulations {step.simulated:.0f}, forces {step.heard:.0f}"
            )
        return [-step.entropy]

    @property
    def steps(self) -> int:
        """Steps of the whole training."""
        return self.config.epochs * -(-len(self.data) // self.config.batch)

    def one_epoch(self, last: bool, after_step: Callable[[], None]) -> Row:
        """Every training frame once, or what is left of an epoch that was cut; the last epoch is always validated."""
        self.batches.set_epoch(self.epoch, self.done)
        self.data.epoch = self.epoch
        shares = read_ahead(self.data.get, self.batches, workers=0 if self.data.complete else 1)
        for chosen, mine in zip(self.batches.whole(), shares, strict=True):
            self.losses.append(self._one_step(chosen, self._turned(chosen, mine)))
            self.done += 1
            after_step()
        self.epoch, self.done = self.epoch + 1, 0
        errors: tuple[float | None, float | None] = (None, None)
        if self.validation and (last or self.epoch % self.config.validate_every == 0):
            errors = errors_of(self.averaged(), self.validation, self.device, self.group)
        own = torch.tensor([time.process_time() - self.begun], dtype=torch.float64)
        self.cpu_seconds = self.cpu_before + float(self.group.sum(own))
        self.best.judge(self.epoch, errors, self.average)
        seen = (self.epoch, self._learning_rate(), float(np.mean(self.losses)), *errors, self.cpu_seconds)
        row = Row(*seen, self.best.epoch, self.best.ended)
        self.losses = []
        self.rows.append(row)
        return row

    def _turned(self, chosen: Sequence[int], mine: Sequence[Example]) -> Sequence[Example]:
        """This process's share of a mini-batch, turned at random where the network has no symmetry of its own."""
        if not self.network.config.turns:
            return mine
        numbers = self.group.share(chosen)
        return [turned(e, self.seed, self.epoch, number) for e, number in zip(mine, numbers, strict=True)]

    def _learning_rate(self) -> float:
        if self.closed:
            return 0.0
        done = self.step / self.steps
        rise = min(1.0, (self.step + 1) / (WARM_UP * self.steps))
        return float(self.config.learning_rate * rise * 0.5 * (1 + np.cos(np.pi * done)))

    def _one_step(self, chosen: Sequence[int], mine: Sequence[Example]) -> float:
        """One step on a mini-batch, of which `mine` is this process's share."""
        for optimiser in self.optimisers:
            optimiser.zero_grad()
            for group in optimiser.param_groups:
                group["lr"] = self._learning_rate()
        own = self._share_of_gradients(chosen, mine)
        also = [own, time.process_time() - self.begun]
        loss, seconds = self.group.sum_gradients(list(self.network.parameters()), also)
        self.cpu_seconds = self.cpu_before + seconds
        for optimiser in self.optimisers:
            optimiser.step()
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
        loss = loss_of(self.network, batch, self.config, len(mine) / len(chosen), atoms)
        weights = list(self.network.parameters())
        # not backward(), which would go on to the positions; what forces do not depend on has a gradient of zero
        for weight, gradient in zip(weights, torch.autograd.grad(loss, weights, materialize_grads=True), strict=True):
            weight.grad = gradient
        return float(loss.detach())

    def kept(self) -> Network:
        """The network that is saved."""
        return self.averaged(self.best.weights)

    def averaged(self, weights: Sequence[torch.Tensor] | None = None) -> Network:
        """The network with its averaged weights, those of now or others, and free atoms to suit."""
        import copy

        network = copy.deepcopy(self.network)
        for weight, average in zip(network.parameters(), weights or self.average, strict=True):
            weight.data.copy_(average)
        fit_shifts(network, self.data, self.device, self.group)
        return network

    def unmoved(self) -> list[str]:
        """Names of the weights that are kept as they were at the beginning, to rounding, though they were trained."""
        if self.closed:
            return []
        kept = zip(self.network.named_parameters(), self.first, self.best.weights or self.average, strict=True)
        # the readout of a spline has no feature, and so nothing that could move
        moving = [(name, first, last) for (name, _), first, last in kept if first.numel()]
        return [name for name, first, last in moving if torch.allclose(first, last, rtol=1e-6, atol=0)]

    def closest(self) -> list[list[float]]:
        """Shortest distances between elements in the training frames, the same for all members of a committee."""
        pairs = ((e.vectors, e.species[e.first], e.species[e.second]) for e in self.data.as_sampled())
        found = closest(self.network.species, pairs)
        return self.start.joined(found) if self.start else found

    def write(self, path: Path, identity: str) -> None:
        """Keep the state."""
        state = {
            "identity": identity,
            "network": self.network.state_dict(),
            "average": self.average,
            "optimisers": [optimiser.state_dict() for optimiser in self.optimisers],
            "counts": (self.epoch, self.step, self.done, self.cpu_seconds),
            "losses": self.losses,
            "rows": [tuple(row) for row in self.rows],
            "best": self.best.state(),
        }
        with whole_file(path) as temporary:
            torch.save(state, temporary)

    def resume(self, path: Path, identity: str) -> list[Row]:
        """Take up a state that was kept for the same question; returns the learning curve so far."""
        state = self.group.from_first(lambda: _kept(path, identity))
        if state:
            self.network.load_state_dict(state["network"])
            self.average = [average.to(self.device) for average in state["average"]]
            for optimiser, kept in zip(self.optimisers, state["optimisers"], strict=True):
                optimiser.load_state_dict(kept)
            self.epoch, self.step, self.done, self.cpu_before = state["counts"]
            self.losses = state["losses"]
            self.rows = [Row(*row) for row in state["rows"]]
            self.best.restore(state["best"], self.average)
        return list(self.rows)


def optimisers(network: Network, config: TrainConfig) -> list[torch.optim.Optimizer]:
    """What moves the weights: each is moved by one of them."""
    matrices = network.matrices() if config.optimiser == "muon" else []
    taken = {id(weight) for weight in matrices}
    others = [weight for weight in network.parameters() if id(weight) not in taken]
    adam = torch.optim.Adam(others, lr=config.learning_rate, betas=BETAS)
    return [adam, Muon(matrices, config.learning_rate)] if matrices else [adam]


def _kept(path: Path, identity: str) -> dict[str, Any]:
    """The state in a checkpoint, or nothing when there is none for this question."""
    if not path.exists():
        return {}
    state: dict[str, Any] = torch.load(path, weights_only=True, map_location="cpu")
    return state if state["identity"] == identity else {}
