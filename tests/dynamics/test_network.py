"""Dynamics with the real potential: a committee of networks with random weights, and its baseline."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from saltern.config import SimulateConfig, SimulateSpec, StudentConfig
from saltern.dynamics import Simulation, simulate
from saltern.frames import Frames
from saltern.potentials import Network, Potential, save
from saltern.store import read_frames, read_metadata

SPEC = SimulateSpec(
    simulate=SimulateConfig(
        length_ps=0.08, equilibrate_ps=0.02, timestep_fs=1, segment_ps=0.03, spread_every=5, max_spread_eV_A=100,
        min_distance_A=0.1,
    )
)  # fmt: skip


@pytest.fixture
def committee(tmp_path: Path) -> Sequence[Path]:
    """Two members in double precision, so that they conserve energy well."""
    paths = [tmp_path / f"m{seed}.safetensors" for seed in range(2)]
    for seed, path in enumerate(paths):
        config = StudentConfig(r_max_A=4.0, layers=2, l_max=1, features=8)
        network = Network(config, [10, 11, 17], shifts=[0.0] * 3, scale=0.2, neighbours=10.0, seed=seed).double()
        draw = torch.Generator().manual_seed(seed)
        network.readout.data = torch.randn(network.readout.shape, generator=draw, dtype=torch.float64)
        walls = [[0.0] * 3] * 3
        save(path, network, {"baseline": "coulomb", "closest": walls, "permittivities": {"salty-neon": 78.3}})
    return paths


@pytest.fixture
def salty_neon() -> Frames:
    """Four pairs of ions among 19 neon atoms, on a cubic lattice of 3.1 Å."""
    axes = np.meshgrid(*(np.arange(3) * 3.1,) * 3, indexing="ij")
    kinds = np.random.default_rng(2).permutation([11] * 4 + [17] * 4 + [10] * 19)
    return Frames.uniform(
        kinds, 1, positions=np.stack(axes, axis=-1).reshape(-1, 3), cell=9.3 * np.eye(3),
        charges=(kinds == 11) * 1.0 - (kinds == 17), molecules=np.arange(27), system=np.array(["salty-neon"]),
        temperature=300.0, permittivity=78.3,
    )  # fmt: skip


class Interrupted:
    """A potential whose process dies at some evaluation."""

    def __init__(self, inner: Potential, spares: int) -> None:
        self._inner, self._spares = inner, spares

    def __getattr__(self, name: str) -> Any:
        return getattr(self._inner, name)

    def evaluate(self, *args: Any, **options: Any) -> Any:
        self._spares -= 1
        if self._spares < 0:
            raise KeyboardInterrupt
        return self._inner.evaluate(*args, **options)


def test_energy_is_conserved_with_network_and_baseline(
    committee: Sequence[Path], salty_neon: Frames, tmp_path: Path
) -> None:
    simulate([Simulation(salty_neon, {}, tmp_path / "r.h5")], Potential.load(committee, "cpu"), SPEC, [0])
    frames = read_frames(tmp_path / "r.h5")
    assert len(frames) == 8
    assert frames["potential_energy"].std() > 0.02
    assert frames["conserved_energy"].std() < 1e-3
    assert np.isfinite(frames["committee_spread"]).all()
    assert (frames["committee_spread"] > 0.01).all()


@pytest.mark.parametrize("evaluations", [45, 80])
def test_an_interrupted_simulation_goes_on_to_the_same_bytes(
    evaluations: int, committee: Sequence[Path], salty_neon: Frames, tmp_path: Path
) -> None:
    """Whatever neighbour list the first process had when it died."""
    whole, broken = tmp_path / "whole.h5", tmp_path / "broken.h5"
    simulate([Simulation(salty_neon, {}, whole)], Potential.load(committee, "cpu"), SPEC, range(2))
    killed = Interrupted(Potential.load(committee, "cpu"), evaluations)
    with pytest.raises(KeyboardInterrupt):
        simulate([Simulation(salty_neon, {}, broken)], killed, SPEC, range(2))
    assert (tmp_path / "broken.journal").is_dir()
    simulate([Simulation(salty_neon, {}, broken)], Potential.load(committee, "cpu"), SPEC, range(2))
    assert broken.read_bytes() == whole.read_bytes()
    assert len(read_metadata(whole)["potentials"]) == 2


def test_different_electrolytes_side_by_side(committee: Sequence[Path], salty_neon: Frames, tmp_path: Path) -> None:
    """Other numbers of atoms, boxes and permittivities: each moves as it does alone."""
    kept = np.flatnonzero(salty_neon["numbers"] != 11)[4:]
    kept = np.sort(
        np.append(kept, np.flatnonzero(salty_neon["numbers"] == 11)[: (salty_neon["numbers"][kept] == 17).sum()])
    )
    atoms = {name: salty_neon[name][kept] for name in ("numbers", "positions", "charges")}
    other = Frames.uniform(
        atoms.pop("numbers"), 1, **atoms, cell=np.diag([9.3, 9.3, 9.6]), molecules=np.arange(len(kept)),
        system=np.array(["other"]), temperature=350.0, permittivity=40.0,
    )  # fmt: skip
    systems = {"one": salty_neon, "other": other}
    assert len(other["numbers"]) != len(salty_neon["numbers"])
    assert other["charges"].sum() == 0
    potential = Potential.load(committee, "cpu")
    together = [Simulation(frames, {}, tmp_path / "together" / f"{name}.h5") for name, frames in systems.items()]
    simulate(together, potential, SPEC, range(2))
    for name, frames in systems.items():
        simulate([Simulation(frames, {}, tmp_path / f"{name}.h5")], potential, SPEC, range(2))
        one, alone = read_frames(tmp_path / "together" / f"{name}.h5"), read_frames(tmp_path / f"{name}.h5")
        assert (one["system"] == frames["system"][0]).all()
        np.testing.assert_array_equal(one["trajectory"], alone["trajectory"])
        for quantity in ("positions", "potential_energy", "force_spread"):
            np.testing.assert_allclose(one[quantity], alone[quantity], rtol=0, atol=1e-6)


def test_a_replica_does_not_depend_on_its_neighbours(
    committee: Sequence[Path], salty_neon: Frames, tmp_path: Path
) -> None:
    for name, replicas in (("all", range(3)), ("alone", [1])):
        simulate(
            [Simulation(salty_neon, {}, tmp_path / f"{name}.h5")], Potential.load(committee, "cpu"), SPEC, replicas
        )
    together, alone = (read_frames(tmp_path / f"{name}.h5") for name in ("all", "alone"))
    together = together.select(together["trajectory"] == "r0001")
    np.testing.assert_allclose(together["positions"], alone["positions"], rtol=0, atol=1e-9)
