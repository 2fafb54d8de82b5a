"""Releases to look at, damage and compare."""

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from saltern.config import CollectConfig
from saltern.frames import Frames
from saltern.store import History, PartWriter, Release, Workers, open_release, write_release

WATER = np.array([8, 1, 1])


def frames_of(system: str, count: int, *, atoms: int = 3, seed: int = 0, temperature: float = 300.0) -> Frames:
    """Labelled frames of one system in four trajectories; every fifth is refused."""
    rng = np.random.default_rng(seed)
    accepted = np.arange(count) % 5 != 4
    numbers = np.resize(WATER, atoms)
    return Frames.uniform(
        numbers, count, positions=rng.normal(size=(count, atoms, 3)) * 5, forces=rng.normal(size=(count, atoms, 3)),
        cell=np.eye(3) * 10, energy=rng.normal(size=count), stress=rng.normal(size=(count, 3, 3)),
        charges=np.where(numbers == 8, -0.8, 0.4), system=np.array([system]), temperature=temperature,
        trajectory=np.array([f"t{i % 4}" for i in range(count)]), time=np.arange(count) * 10.0,
        label_key=np.array([f"{system}-{seed}-{i:06d}" for i in range(count)]), engine=np.array(["tblite"]),
        engine_version=np.array(["0.8.0"]), method=np.array(["GFN1-xTB"]), accepted=accepted,
        reason=np.where(accepted, "", "net-force"), cpu_seconds=rng.random(count), recall=np.array([""]),
    )  # fmt: skip


ABOUT = {"molality": 2.3, "system": {"salt": "NaCl", "role": "train", "temperature": 300.0}}


@pytest.fixture
def frames() -> Callable[..., Frames]:
    return frames_of


@pytest.fixture
def released(tmp_path: Path) -> Callable[..., Release]:
    """Make a release of the frames of some systems, through parts, as a campaign does."""
    made = 0

    def of(
        *systems: Frames,
        history: History | None = None,
        workers: Workers | None = None,
        name: str = "test",
        about: Mapping[str, Any] = ABOUT,
        **options,
    ) -> Release:
        nonlocal made
        made += 1
        place = tmp_path / f"made{made}"
        parts = []
        for content in systems:
            system = str(content["system"][0])
            parts.append(place / "parts" / system)
            with PartWriter(parts[-1], system, about, len(content), **options) as part:
                part.add(content)
        config = CollectConfig(near_duplicate_A=0)  # three atoms at random are often alike
        write_release(parts, name, config, place / "release", history=history, workers=workers)
        return open_release(place / "release")

    return of
