"""Training: what is learned, what a kill costs, and how errors are measured."""

import csv
import json
import os
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors import safe_open

from saltern.config import CollectConfig, StudentConfig, TrainConfig, TrainSpec
from saltern.config.stages import BaselineConfig
from saltern.errors import UserError
from saltern.frames import Frames
from saltern.learning import held_out_errors, train
from saltern.learning import train as training
from saltern.learning.dataset import Example, Examples, collate, examples, targets
from saltern.learning.loss import loss_of
from saltern.learning.turning import random_turn, turned
from saltern.potentials import Batch, Network, Potential, baseline, save
from saltern.store import Release, collect_system, file_hash, open_release, write_frames, write_release

WATER = Path(__file__).parents[3] / "shared/data/water-pbe0ts"
STUDENT = StudentConfig.model_validate({
    "network": os.environ.get("SALTERN_TEST_NETWORK", "equivariant"),
    "r_max_A": 4.0, "layers": 1, "l_max": 1, "features": 4, "radial_width": 8,
})  # fmt: skip
"""`test_backends` runs some of the tests with the networks of other packages."""


def spec(**changes: object) -> TrainSpec:
    settings = {"epochs": 6, "batch": 2, "validate_every": 2, "device": "cpu", **changes}
    return TrainSpec(baseline=BaselineConfig(), student=STUDENT, train=TrainConfig.model_validate(settings))


def about(**permittivities: float) -> dict[str, object]:
    """What a potential's file says besides the network; no walls."""
    return {"baseline": "coulomb", "closest": [[0.0, 0.0], [0.0, 0.0]], "permittivities": permittivities}


def salt_melt(count: int, seed: int = 0) -> Frames:
    """Four ion pairs of NaCl near lattice sites, labelled by a spring to the sites and the screened Coulomb energy."""
    rng = np.random.default_rng(seed)
    sites = np.stack(np.meshgrid(*[[0.0, 2.9]] * 3), -1).reshape(-1, 3)
    kinds = sites.sum(1) / 2.9 % 2 < 0.5
    steps = rng.normal(scale=0.15, size=(count, 8, 3))
    frames = Frames.uniform(
        np.where(kinds, 11, 17), count,
        positions=sites + steps, cell=np.eye(3) * 5.8, charges=np.where(kinds, 1.0, -1.0), permittivity=3.0,
        system=np.array(["melt"]), trajectory=np.array([f"t{i % 5}" for i in range(count)]),
        time=np.arange(count) * 1.0, temperature=300.0,
        label_key=np.array([f"{seed}-{i}" for i in range(count)]), engine=np.array(["spring"]),
        engine_version=np.array(["1"]), method=np.array(["spring"]), accepted=True, reason=np.array([""]),
        iterations=1, cpu_seconds=0.0,
    )  # fmt: skip
    base = baseline(Batch.of(frames))
    return frames.with_arrays(
        energy=base.energy.numpy() + 0.5 * 2.0 * (steps**2).sum((1, 2)) - 100.0,
        forces=base.forces.numpy() - 2.0 * steps.reshape(-1, 3),
        stress=base.stress.numpy(),
    )


@pytest.fixture(scope="module")
def release(tmp_path_factory: pytest.TempPathFactory) -> Release:
    return release_of(salt_melt(20), tmp_path_factory.mktemp("release"))


def shifted(frames: Frames, energy: float, stretch: float) -> Frames:
    """The same with another zero of the energy (eV), in a box so many times as wide."""
    wider = {name: frames[name] * stretch for name in ("positions", "cell")}
    return frames.with_arrays(**wider, energy=frames["energy"] + energy)


def release_of(frames: Frames, place: Path) -> Release:
    """A release of five trajectories, one of them for validation and one for tests."""
    place.mkdir(exist_ok=True)
    known = {"id": "melt", "molality": 0.0, "system": {"salt": "NaCl", "role": "train", "temperature": 300.0}}
    write_frames(place / "system.h5", frames.select([0]), known)
    write_frames(place / "labels.h5", frames)
    collect_system(place / "system.h5", [place / "labels.h5"], 20, place / "melt")
    write_release(
        [place / "melt"],
        "melt",
        CollectConfig(near_duplicate_A=0, validation_fraction=0.2, test_fraction=0.2),
        place / "dataset",
    )
    return open_release(place / "dataset")


def curve(path: Path) -> list[dict[str, str]]:
    with path.open() as handle:
        return list(csv.DictReader(handle))


def test_subtracting_then_adding_the_baseline_is_the_identity() -> None:
    frames = salt_melt(3)
    left, base = targets(frames, "coulomb"), baseline(Batch.of(frames))
    np.testing.assert_allclose(left.energy + base.energy.numpy(), frames["energy"], atol=1e-12)
    np.testing.assert_allclose(left.forces + base.forces.numpy(), frames["forces"], atol=1e-12)
    np.testing.assert_allclose(left.stress + base.stress.numpy(), frames["stress"], atol=1e-12)
    assert np.abs(left.forces - frames["forces"]).max() > 0.1, "the baseline is not nothing"
    np.testing.assert_array_equal(targets(frames, "none").forces, frames["forces"])


def test_a_potential_with_a_permittivity_of_its_own_learns_and_runs_with_it(tmp_path: Path) -> None:
    """Whatever the frames say: as if they said what it has."""
    frames = salt_melt(2)
    said = frames.with_arrays(permittivity=np.full(2, 50.0))
    own, same = targets(frames, "coulomb", 50.0), targets(said, "coulomb")
    np.testing.assert_array_equal(own.forces, same.forces)
    assert np.abs(own.forces - targets(frames, "coulomb").forces).max() > 0.1
    empty = Network(STUDENT, (11, 17), shifts=[0.0, 0.0], scale=1.0, neighbours=8.0)
    save(tmp_path / "own", empty, {**about(melt=50.0), "permittivity": 50.0})
    save(tmp_path / "other", empty, about(melt=50.0))
    found = Potential.load([tmp_path / "own"], device="cpu").evaluate(Batch.of(frames))
    expected = Potential.load([tmp_path / "other"], device="cpu").evaluate(Batch.of(said))
    np.testing.assert_array_equal(found.forces, expected.forces)
    with pytest.raises(UserError, match="not of the same committee"):
        Potential.load([tmp_path / "own", tmp_path / "other"], device="cpu")


def test_a_network_that_learned_nothing_gives_the_baseline_and_its_targets_add_up(tmp_path: Path) -> None:
    """Reference minus prediction of an empty network is the target: the same permittivity on both sides."""
    frames = salt_melt(2)
    empty = Network(STUDENT, (11, 17), shifts=[0.0, 0.0], scale=1.0, neighbours=8.0)
    save(tmp_path / "m", empty, about(melt=3.0))
    found = Potential.load([tmp_path / "m"], device="cpu").evaluate(Batch.of(frames), stress=True)
    left = targets(frames, "coulomb")
    np.testing.assert_allclose(frames["energy"] - found.energy.numpy(), left.energy, atol=1e-9)
    np.testing.assert_allclose(frames["forces"] - found.forces.numpy(), left.forces, atol=1e-9)
    assert found.stress is not None
    np.testing.assert_allclose(frames["stress"] - found.stress.numpy(), left.stress, atol=1e-12)


def test_training_learns_and_writes_its_curve(release: Release, tmp_path: Path) -> None:
    told = spec(epochs=40, batch=1, learning_rate=0.02)
    train(release, told, 0, tmp_path / "m.safetensors", tmp_path / "m.csv", "train m")
    rows = curve(tmp_path / "m.csv")
    assert [int(row["epoch"]) for row in rows] == list(range(1, 41))
    assert float(rows[-1]["learning_rate"]) == pytest.approx(0, abs=1e-12)
    assert [row["epoch"] for row in rows if row["validation_force_rmse_meV_A"]] == [str(n) for n in range(2, 41, 2)]
    assert not (tmp_path / "m.checkpoint").exists()
    potential = Potential.load([tmp_path / "m.safetensors"])
    assert potential.permittivities == {"melt": 3.0}
    assert potential.charges == {"Na": 1.0, "Cl": -1.0}
    training = release.frames("train")
    bare = Potential.load([tmp_path / "m.safetensors"])
    bare._core._radii.zero_()
    walled, without = (p.evaluate(Batch.of(training)).energy for p in (potential, bare))
    assert torch.equal(walled, without), "there is no wall where there are data"
    found = held_out_errors(potential, release.frames("test"), "evaluate")
    force = next(row for row in found["errors"] if row["what"] == "force")
    rest = 1000 * np.sqrt((targets(release.frames("test"), "coulomb").forces ** 2).mean())
    assert force["rmse"]["value"] < 0.5 * rest, "half of what the baseline leaves is learned in seconds"
    last = float(rows[-1]["validation_force_rmse_meV_A"])
    validation = held_out_errors(potential, release.frames("validation"), "evaluate")["errors"][0]
    assert validation["rmse"]["value"] == pytest.approx(last, rel=1e-3), "what is saved is what was validated"
    rates = [float(row["learning_rate"]) for row in rows]
    assert np.argmax(rates) == 3, "the rate rises over a tenth of the steps"


def test_a_level_with_its_own_permittivity_trains_a_potential_with_it(release: Release, tmp_path: Path) -> None:
    """Which is as wrong on other frames as what it was trained on says: nothing takes the frames' own."""
    told = spec(epochs=1).model_copy(update={"baseline": BaselineConfig(permittivity=30.0)})
    train(release, told, 0, tmp_path / "m.safetensors", tmp_path / "m.csv", "train m")
    potential = Potential.load([tmp_path / "m.safetensors"])
    assert potential.permittivity == 30.0
    assert potential.permittivities == {"melt": 30.0}
    frames = release.frames("test")
    found = held_out_errors(potential, frames, "evaluate")["errors"][0]["baseline"]["value"]
    rest = targets(frames, "coulomb", 30.0).forces
    assert found == pytest.approx(1000 * np.sqrt((rest**2).mean()))


def test_no_mean_error_of_the_energy_is_left(release: Release, tmp_path: Path) -> None:
    """Even where the loss knows nothing of energies."""
    told = spec(epochs=4, batch=1, learning_rate=0.02, energy_weight=0.0)
    train(release, told, 0, tmp_path / "m.safetensors", tmp_path / "m.csv", "train m")
    losses = [float(row["train_loss"]) for row in curve(tmp_path / "m.csv")]
    assert losses[-1] < losses[0]
    potential = Potential.load([tmp_path / "m.safetensors"])
    within, total = held_out_errors(potential, release.frames("train"), "evaluate")["errors"][-2:]
    assert total["what"] == "energy, mean error included"
    assert total["rmse"]["value"] == pytest.approx(within["rmse"]["value"], rel=1e-6)


@pytest.mark.parametrize("room", [0, 15_000])
def test_a_dataset_larger_than_memory_gives_the_same_network(
    room: int, release: Release, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """None or a few of the examples are kept; the others are made ahead, again and again."""
    train(release, spec(), 0, tmp_path / "all.safetensors", tmp_path / "all.csv", "train")
    monkeypatch.setattr("saltern.learning.dataset.KEPT_BYTES", room)
    data = Examples(release.reader("train"), "coulomb", (11, 17), 4.0, torch.float32)
    assert 0 <= len(data._kept) < len(data)
    assert (len(data._kept) > 0) == (room > 0)
    assert not data.complete
    train(release, spec(), 0, tmp_path / "some.safetensors", tmp_path / "some.csv", "train")
    assert (tmp_path / "some.safetensors").read_bytes() == (tmp_path / "all.safetensors").read_bytes()


class StopError(Exception):
    """A kill, as far as the trainer can tell."""


@pytest.mark.parametrize(
    ("fatal", "more"),
    [
        (3, {}),
        (12, {}),
        (18, {}),
        (22, {}),
        (15, {"objective": "score", "energy_weight": 0.0}),
        (9, {"optimiser": "adam"}),
        (14, {"network": "unconstrained"}),
    ],
    ids=["first epoch", "end of an epoch", "second half", "near the end", "with noise", "with Adam", "turned"],
)
def test_a_kill_changes_nothing(
    fatal: int, more: dict[str, object], release: Release, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Six steps an epoch, four epochs; killed after any step, or while the curve is written."""
    told = without_symmetry(epochs=4) if "network" in more else spec(epochs=4, **more)
    train(release, told, 1, tmp_path / "whole.safetensors", tmp_path / "whole.csv", "train")
    module = sys.modules[training.__module__]
    monkeypatch.setattr(module, "CHECKPOINT_INTERVAL_S", 0.0)
    original, steps = module._Training.write, []

    def dies(self: object, *arguments: object) -> None:
        original(self, *arguments)
        steps.append(self.step)  # type: ignore[attr-defined]
        if self.step == fatal:  # type: ignore[attr-defined]
            raise StopError

    monkeypatch.setattr(module._Training, "write", dies)
    with pytest.raises(StopError):
        train(release, told, 1, tmp_path / "cut.safetensors", tmp_path / "cut.csv", "train")
    assert (tmp_path / "cut.checkpoint").exists()
    assert not (tmp_path / "cut.safetensors").exists()
    (tmp_path / "cut.csv").unlink()
    train(release, told, 1, tmp_path / "cut.safetensors", tmp_path / "cut.csv", "train")
    assert steps == list(range(1, 25)), "nothing is done twice"
    assert (tmp_path / "cut.safetensors").read_bytes() == (tmp_path / "whole.safetensors").read_bytes()
    columns = [{k: v for k, v in row.items() if k != "cpu_seconds"} for row in curve(tmp_path / "cut.csv")]
    assert columns == [{k: v for k, v in row.items() if k != "cpu_seconds"} for row in curve(tmp_path / "whole.csv")]
    seconds = [float(row["cpu_seconds"]) for row in curve(tmp_path / "cut.csv")]
    assert seconds == sorted(seconds), "time goes on where it stood"


@pytest.mark.parametrize("network", ["equivariant", "cartesian", "unconstrained"])
def test_what_training_leaves_as_it_began_is_told(
    network: str, release: Release, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Nothing of a network, unless somebody forgets to move a part: here what knows of distances."""
    student = StudentConfig(network=network, r_max_A=4.0, layers=2, l_max=1, features=4, radial_width=8)
    told = spec(epochs=2).model_copy(update={"student": student})
    train(release, told, 0, tmp_path / "m0000.safetensors", tmp_path / "m.csv", "train")
    module = sys.modules[training.__module__]
    original = module.optimisers

    def forgetful(network: Network, config: TrainConfig) -> list[torch.optim.Optimizer]:
        made: list[torch.optim.Optimizer] = original(network, config)
        radial = {id(weight) for name, weight in network.named_parameters() if name.startswith("body.radial")}
        for group in (group for optimiser in made for group in optimiser.param_groups):
            group["params"] = [weight for weight in group["params"] if id(weight) not in radial]
        return made

    monkeypatch.setattr(module, "optimisers", forgetful)
    train(release, told, 1, tmp_path / "m0001.safetensors", tmp_path / "m.csv", "train")
    potential = Potential.load([tmp_path / "m0000.safetensors", tmp_path / "m0001.safetensors"], device="cpu")
    found = held_out_errors(potential, salt_melt(2), "evaluate")
    assert TrainSpec.model_validate(found["training"]) == told
    whole, part = (row["unmoved"] for row in found["members"])
    assert whole == []
    assert part
    assert all(name.startswith("body.radial") for name in part)


def test_a_spline_has_nothing_that_could_be_left_as_it_began(release: Release, tmp_path: Path) -> None:
    student = StudentConfig(network="pair", r_max_A=4.0)
    told = spec(energy_weight=0.0).model_copy(update={"student": student})
    train(release, told, 0, tmp_path / "m.safetensors", tmp_path / "m.csv", "train")
    (training,) = Potential.load([tmp_path / "m.safetensors"], device="cpu").training
    assert training["unmoved"] == []


RESTLESS = {"epochs": 30, "batch": 2, "validate_every": 1, "learning_rate": 0.1, "ema": 0.0, "patience": 2}


def timeless(path: Path) -> list[dict[str, str]]:
    return [{k: v for k, v in row.items() if k != "cpu_seconds"} for row in curve(path)]


def test_the_best_weights_are_saved_and_a_kill_changes_nothing(
    release: Release,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    """A rate so large that errors go up and down; killed four times, also between the best epoch and the end."""
    told = spec(**RESTLESS)
    train(release, told, 0, tmp_path / "whole.safetensors", tmp_path / "whole.csv", "train")
    seen = timeless(tmp_path / "whole.csv")
    error = np.array([float(row["validation_force_rmse_meV_A"]) for row in seen])
    energy = np.array([float(row["validation_energy_rmse_meV_atom"]) for row in seen])
    score = 100 * error**2 + energy**2
    best = int(score.argmin()) + 1
    assert best + 2 == len(seen) < 30
    assert [row["ended"] for row in seen] == [""] * (len(seen) - 1) + ["not better in 2 validations"]
    assert seen[-1]["kept_epoch"] == str(best)
    assert (
        f"ended after epoch {len(seen)}, not better in 2 validations; epoch {best} is kept" in capsys.readouterr().err
    )
    found = held_out_errors(Potential.load([tmp_path / "whole.safetensors"]), release.frames("validation"), "evaluate")
    assert found["errors"][0]["rmse"]["value"] == pytest.approx(error[best - 1], rel=1e-3)

    module = sys.modules[train.__module__]
    monkeypatch.setattr(module, "CHECKPOINT_INTERVAL_S", 0.0)
    original, fatal = module._Training.write, [3, 6 * best, 6 * best + 2, 6 * len(seen)]

    def dies(self: object, *arguments: object) -> None:
        original(self, *arguments)
        if self.step in fatal:  # type: ignore[attr-defined]
            fatal.remove(self.step)  # type: ignore[attr-defined]
            raise StopError

    monkeypatch.setattr(module._Training, "write", dies)
    while fatal:
        with pytest.raises(StopError):
            train(release, told, 0, tmp_path / "cut.safetensors", tmp_path / "cut.csv", "train")
    train(release, told, 0, tmp_path / "cut.safetensors", tmp_path / "cut.csv", "train")
    assert (tmp_path / "cut.safetensors").read_bytes() == (tmp_path / "whole.safetensors").read_bytes()
    assert timeless(tmp_path / "cut.csv") == seen


def test_a_checkpoint_of_another_training_is_not_taken_up(release: Release, tmp_path: Path) -> None:
    train(release, spec(), 0, tmp_path / "a.safetensors", tmp_path / "a.csv", "train")
    torch.save({"identity": "another"}, tmp_path / "b.checkpoint")
    train(release, spec(), 0, tmp_path / "b.safetensors", tmp_path / "b.csv", "train")
    assert (tmp_path / "a.safetensors").read_bytes() == (tmp_path / "b.safetensors").read_bytes()


@pytest.mark.parametrize("more", [{}, {"objective": "score", "energy_weight": 0.0}], ids=["forces", "score"])
def test_members_differ(more: dict[str, object], release: Release, tmp_path: Path) -> None:
    """And yet they are one committee, whatever noise each of them was given."""
    for member in (0, 1):
        train(release, spec(epochs=1, **more), member, tmp_path / f"{member}.safetensors", tmp_path / "c.csv", "train")
    committee = Potential.load([tmp_path / "0.safetensors", tmp_path / "1.safetensors"])
    found = committee.evaluate(Batch.of(release.frames("test")), spread=True)
    assert found.spread is not None
    assert float(found.spread.min()) > 0


def test_no_training_frames_is_told(
    release: Release, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, held: Callable[[Frames], object]
) -> None:
    monkeypatch.setattr(Release, "reader", lambda *_: held(Frames(np.zeros(1), {})))
    with pytest.raises(UserError, match="no training frames"):
        train(release, spec(), 0, tmp_path / "m.safetensors", tmp_path / "m.csv", "train")


def test_what_cannot_be_trained_or_validated_is_told(
    release: Release, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, held: Callable[[Frames], object]
) -> None:
    frames = salt_melt(4)
    bromide = frames.with_arrays(numbers=np.where(frames["numbers"] == 17, 35, 11))
    bare = Frames(frames.offsets, {name: array for name, array in frames.arrays.items() if name != "stress"})
    outputs = (0, tmp_path / "m.safetensors", tmp_path / "m.csv", "train")
    monkeypatch.setattr(Release, "reader", lambda _, split: held(bromide if split == "validation" else frames))
    with pytest.raises(UserError, match="Br is in validation frames, but in no training frame"):
        train(release, spec(), *outputs)
    monkeypatch.setattr(Release, "reader", lambda _, split: held(bare if split == "train" else bare.select([])))
    with pytest.raises(UserError, match="stress_weight"):
        train(release, spec(stress_weight=1.0), *outputs)
    with pytest.raises(UserError, match=r"train\.patience: 2 needs validation frames; there are none"):
        train(release, spec(patience=2), *outputs)
    free = frames.with_arrays(energy=np.full(4, np.nan))
    monkeypatch.setattr(Release, "reader", lambda *_: held(free))
    with pytest.raises(UserError, match="energy_weight: 1 needs energies of all labels; a mean force has none"):
        train(release, spec(), *outputs)
    train(release, spec(epochs=1, energy_weight=0.0), *outputs)
    assert curve(tmp_path / "m.csv")[0]["validation_energy_rmse_meV_atom"] == ""
    monkeypatch.setattr(Release, "reader", lambda _, split: held(bare if split == "train" else bare.select([])))
    train(release, spec(epochs=1), *outputs)
    (row,) = curve(tmp_path / "m.csv")
    assert row["validation_force_rmse_meV_A"] == "", "nothing to validate on: an empty cell"


def test_errors_are_what_numpy_says(tmp_path: Path) -> None:
    frames = salt_melt(6)
    empty = Network(STUDENT, (11, 17), shifts=[-10.0, -15.0], scale=1.0, neighbours=8.0)
    save(tmp_path / "m", empty, about())
    found = held_out_errors(Potential.load([tmp_path / "m"]), frames, "evaluate")
    left = targets(frames, "coulomb")
    rows = {row["what"]: row for row in found["errors"]}
    assert rows["force"]["rmse"]["value"] == pytest.approx(1000 * np.sqrt((left.forces**2).mean()))
    assert rows["force on Na"]["mae"]["value"] == pytest.approx(
        1000 * np.abs(left.forces[frames["numbers"] == 11]).mean()
    )
    assert rows["energy"]["rmse"]["value"] == pytest.approx(1000 * left.energy.std() / 8)
    assert rows["energy, mean error included"]["rmse"]["value"] == pytest.approx(
        1000 * np.sqrt((((left.energy + 100.0) / 8) ** 2).mean())
    )
    assert 0 < rows["force"]["rmse"]["error"] < 0.2 * rows["force"]["rmse"]["value"]
    assert set(found["force_parity"]) == {"Na", "Cl"}


@pytest.mark.skipif(not WATER.exists(), reason="../shared/data/water-pbe0ts is not beside the checkout")
def test_real_water_is_learned(tmp_path: Path) -> None:
    """PBE0-TS water: the forces are 0.8 eV/Å, and a minute-long training is already far below."""
    parts = WATER / "data_0/set.000"
    kinds = np.array([[8, 1][int(k)] for k in (WATER / "data_0/type.raw").read_text().split()])
    coordinates, forces, energies, cells = (np.load(parts / f"{n}.npy") for n in ("coord", "force", "energy", "box"))
    chosen = np.arange(0, 80, 4)
    count = len(chosen)
    frames = Frames.uniform(
        kinds, count,
        positions=coordinates[chosen].reshape(count, -1, 3), forces=forces[chosen].reshape(count, -1, 3),
        energy=energies[chosen].ravel(), cell=cells[chosen].reshape(count, 3, 3), stress=np.zeros((count, 3, 3)),
        system=np.array(["water"]), trajectory=np.array([f"t{i // 4}" for i in range(count)]),
        time=chosen * 1.0, temperature=300.0, permittivity=78.3, charges=0.0,
        label_key=np.array([str(i) for i in chosen]), engine=np.array(["published"]),
        engine_version=np.array([""]), method=np.array(["PBE0-TS"]),
        accepted=True, reason=np.array([""]), cpu_seconds=0.0,
    )  # fmt: skip
    known = {"id": "water", "molality": 0.0, "system": {"salt": None, "role": "train", "temperature": 300.0}}
    write_frames(tmp_path / "system.h5", frames.select([0]), known)
    write_frames(tmp_path / "labels.h5", frames)
    collect_system(tmp_path / "system.h5", [tmp_path / "labels.h5"], count, tmp_path / "water")
    write_release([tmp_path / "water"], "water", CollectConfig(near_duplicate_A=0), tmp_path / "dataset")
    student = StudentConfig(r_max_A=4.0, layers=1, l_max=1, features=8, radial_width=16)
    told = TrainSpec(baseline=BaselineConfig(), student=student, train=TrainConfig(epochs=15, batch=1, device="cpu"))
    train(open_release(tmp_path / "dataset"), told, 0, tmp_path / "m", tmp_path / "m.csv", "train")
    errors = held_out_errors(
        Potential.load([tmp_path / "m"]), open_release(tmp_path / "dataset").frames("test"), "test"
    )
    force = errors["errors"][0]
    assert force["reference"] > 600
    assert force["rmse"]["value"] < 0.4 * force["reference"]


def potential_of(release: Release, told: TrainSpec, place: Path, start: Path | None = None) -> Path:
    """A potential trained in a moment."""
    train(release, told, 0, place, place.with_suffix(".csv"), "train", start=start)
    return place


def header(path: Path) -> dict[str, Any]:
    """What a potential's file says of itself."""
    with safe_open(path, "pt") as file:
        found: dict[str, Any] = json.loads(file.metadata()["saltern"])
        return found


@pytest.mark.parametrize("prior", ["none", "pair"])
def test_training_starts_from_what_another_potential_has_learned(prior: str, release: Release, tmp_path: Path) -> None:
    """With a rate of nearly nothing it ends there, too, spline beneath included; and the file says which it was."""
    student = STUDENT.model_copy(update={"prior": prior})
    told = spec(epochs=20, learning_rate=0.02).model_copy(update={"student": student})
    first = potential_of(release, told, tmp_path / "first.safetensors")
    frames = salt_melt(20)
    stiffer = release_of(frames.with_arrays(forces=2 * frames["forces"]), tmp_path / "stiffer")
    again = spec(epochs=1, learning_rate=1e-9, seed=5).model_copy(update={"student": student})
    second = potential_of(stiffer, again, tmp_path / "second.safetensors", first)
    new = potential_of(stiffer, again, tmp_path / "new.safetensors")
    batch = Batch.of(release.frames("test"))
    known, started, random = (Potential.load([p], device="cpu").evaluate(batch).forces for p in (first, second, new))
    np.testing.assert_allclose(started, known, atol=1e-4)
    assert (random - known).abs().max() > 0.1
    assert header(second)["training"]["start"] == file_hash(first)
    assert "start" not in header(first)["training"]


def test_frames_that_a_bias_moved_are_no_equilibrium(release: Release, tmp_path: Path) -> None:
    """Their forces are those without it, their positions are not."""
    frames = salt_melt(20)
    biased = release_of(frames.with_arrays(bias_energy=np.full(20, -0.1)), tmp_path / "biased")
    told = spec(objective="score", energy_weight=0.0)
    potential_of(release, told, tmp_path / "plain.safetensors")
    potential_of(biased, spec(energy_weight=0.0), tmp_path / "forces.safetensors")
    with pytest.raises(UserError, match=r"train\.objective: score is not allowed; allowed: forces, for a bias moved"):
        potential_of(biased, told, tmp_path / "score.safetensors")


def test_energies_of_free_atoms_and_walls_are_those_of_both_trainings(release: Release, tmp_path: Path) -> None:
    """Another level of theory has another zero; and a network knows distances that only its first frames had."""
    first = potential_of(release, spec(), tmp_path / "first.safetensors")
    other = release_of(shifted(salt_melt(20), 7.0, 1.1), tmp_path / "other")
    second = potential_of(other, spec(learning_rate=1e-9), tmp_path / "second.safetensors", first)
    found = Potential.load([second], device="cpu").evaluate(Batch.of(other.frames("train"))).energy
    assert abs(float((found - torch.from_numpy(other.frames("train")["energy"])).mean())) < 1e-3
    assert header(second)["closest"] == header(first)["closest"]
    alone = potential_of(other, spec(), tmp_path / "alone.safetensors")
    assert (np.array(header(alone)["closest"]) > header(first)["closest"]).all()


def test_a_checkpoint_of_another_start_is_not_taken_up(
    release: Release, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A cheap level that was trained anew starts this one anew, even where a kill left half of it."""
    starts = [potential_of(release, spec(epochs=1, seed=n), tmp_path / f"s{n}.safetensors") for n in (0, 1)]
    whole = potential_of(release, spec(), tmp_path / "whole.safetensors", starts[1])
    module = sys.modules[training.__module__]
    monkeypatch.setattr(module, "CHECKPOINT_INTERVAL_S", 0.0)
    original = module._Training.write

    def dies(self: object, *arguments: object) -> None:
        original(self, *arguments)
        raise StopError

    with monkeypatch.context() as patch, pytest.raises(StopError):
        patch.setattr(module._Training, "write", dies)
        potential_of(release, spec(), tmp_path / "cut.safetensors", starts[0])
    potential_of(release, spec(), tmp_path / "cut.safetensors", starts[1])
    assert (tmp_path / "cut.safetensors").read_bytes() == whole.read_bytes()


@pytest.mark.parametrize(
    ("told", "wrong"),
    [
        (
            {"student": STUDENT.model_copy(update={"features": 8})},
            "student.features: 8 is not allowed; allowed: 4, as this",
        ),
        ({"baseline": BaselineConfig(kind="none")}, "baseline.kind: none is not allowed; allowed: coulomb, as this"),
        ({"baseline": BaselineConfig(permittivity=30.0)}, "baseline.permittivity: 30.0 is not allowed; allowed: None"),
        ({"train": TrainConfig(epochs=1, precision="float64")}, "train.precision: float64 is not allowed; allowed: fl"),
    ],
)
def test_a_potential_of_another_kind_is_no_start(
    told: dict[str, object], wrong: str, release: Release, tmp_path: Path
) -> None:
    first = potential_of(release, spec(epochs=1), tmp_path / "first.safetensors")
    with pytest.raises(UserError, match=f"first.safetensors: {wrong}"):
        potential_of(release, spec().model_copy(update=told), tmp_path / "second.safetensors", first)


def test_other_elements_and_a_spline_alone_are_no_start(release: Release, tmp_path: Path) -> None:
    first = potential_of(release, spec(epochs=1), tmp_path / "first.safetensors")
    frames = salt_melt(20)
    bromide = frames.with_arrays(numbers=np.where(frames["numbers"] == 17, 35, frames["numbers"]))
    other = release_of(bromide, tmp_path / "other")
    with pytest.raises(UserError, match="elements of the training frames: Na, Br is not allowed; allowed: Na, Cl"):
        potential_of(other, spec(), tmp_path / "second.safetensors", first)
    alone = spec(epochs=1).model_copy(update={"student": StudentConfig(network="pair", r_max_A=4.0)})
    spline = potential_of(release, alone, tmp_path / "pair.safetensors")
    with pytest.raises(UserError, match=r"pair\.safetensors: nothing to start from, for a spline"):
        potential_of(release, alone, tmp_path / "second.safetensors", spline)


def without_symmetry(**changes: object) -> TrainSpec:
    student = STUDENT.model_copy(update={"network": "unconstrained", "l_max": 2, "features": 16})
    return spec(**changes).model_copy(update={"student": student})


def test_what_a_network_without_symmetry_lacks_is_learned_from_turned_frames(
    release: Release, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """And told: by how much forces change when the held-out frames are turned."""

    def left(path: Path) -> float:
        found = held_out_errors(Potential.load([path], device="cpu"), release.frames("test"), "evaluate")
        (row,) = [row for row in found["errors"] if row["what"] == "force, by turning the frame"]
        return float(row["rmse"]["value"])

    told = without_symmetry(epochs=60, batch=1)
    learned = left(potential_of(release, told, tmp_path / "turned.safetensors"))
    monkeypatch.setattr(sys.modules[training.__module__], "turned", lambda example, *_: example)
    assert learned < 0.5 * left(potential_of(release, told, tmp_path / "as-they-are.safetensors"))
    others = held_out_errors(
        Potential.load([potential_of(release, spec(), tmp_path / "m.safetensors")], device="cpu"),
        release.frames("test"),
        "evaluate",
    )
    assert not [row for row in others["errors"] if "turning" in row["what"]], "where there is nothing to learn"


def test_a_turned_frame_is_the_same_frame() -> None:
    """To a network with symmetry: energy, forces and stress go with it, in another way for every seed."""
    (example,) = examples(salt_melt(1), "coulomb", (11, 17), 4.0, torch.float64)
    network = Network(STUDENT, (11, 17), shifts=[0.0, 0.0], scale=1.0, neighbours=8.0, dtype=torch.float64)
    torch.nn.init.normal_(network.readout, generator=torch.Generator().manual_seed(0))
    settings = TrainConfig(stress_weight=1000.0, energy_weight=1.0, force_weight=1.0)

    def loss(one: Example) -> float:
        return float(loss_of(network, collate([one], torch.device("cpu")), settings, 1.0, 1.0).detach())

    first, second = (turned(example, 0, number) for number in (1, 2))
    assert loss(first) == pytest.approx(loss(example), rel=1e-9)
    assert (first.vectors - example.vectors).abs().max() > 0.1
    assert (first.vectors - second.vectors).abs().max() > 0.1
    assert torch.equal(turned(example, 0, 1).vectors, first.vectors)
    mirrored = [torch.linalg.det(torch.from_numpy(random_turn(n))) < 0 for n in range(200)]
    assert 60 < sum(map(bool, mirrored)) < 140, "mirror images in every second case"
