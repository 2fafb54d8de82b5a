"""Dynamics with the real potential: a committee of networks with random weights, and its baseline."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from saltern.config import SimulateConfig, SimulateSpec, StudentConfig
from saltern.dynamics import simulate
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
    simulate(salty_neon, {}, Potential.load(committee, "cpu"), SPEC, [0], tmp_path / "r.h5")
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
    simulate(salty_neon, {}, Potential.load(committee, "cpu"), SPEC, range(2), whole)
    killed = Interrupted(Potential.load(committee, "cpu"), evaluations)
    with pytest.raises(KeyboardInterrupt):
        simulate(salty_neon, {}, killed, SPEC, range(2), broken)
    assert (tmp_path / "broken.journal").is_dir()
    simulate(salty_neon, {}, Potential.load(committee, "cpu"), SPEC, range(2), broken)
    assert broken.read_bytes() == whole.read_bytes()
    assert len(read_metadata(whole)["potentials"]) == 2


def test_a_replica_does_not_depend_on_its_neighbours(
    committee: Sequence[Path], salty_neon: Frames, tmp_path: Path
) -> None:
    for name, replicas in (("all", range(3)), ("alone", [1])):
        simulate(salty_neon, {}, Potential.load(committee, "cpu"), SPEC, replicas, tmp_path / f"{name}.h5")
    together, alone = (read_frames(tmp_path / f"{name}.h5") for name in ("all", "alone"))
    together = together.select(together["trajectory"] == "r0001")
    np.testing.assert_allclose(together["positions"], alone["positions"], rtol=0, atol=1e-9)
