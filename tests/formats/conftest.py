"""Frames that a format must not confuse: ragged, skewed, with stress, with text that reads as something else."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from saltern.frames import Frames

WATER = np.array([[0, 0, 0], [0.96, 0, 0], [-0.24, 0.93, 0]])
CELL = np.array([[6.1, 0, 0], [0.7, 5.9, 0], [-0.4, 0.9, 6.3]])
ABOUT = {
    "name": "salt-water",
    "root_hash": "0" * 64,
    "licence": "CC-BY-4.0",
    "methods": ["r2scan"],
    "files": {"a": "b"},
}


def _frames(numbers: list[int], count: int, seed: int, trajectory: str) -> Frames:
    """`count` frames of water molecules and ions on a grid, a little displaced, with balanced forces."""
    rng = np.random.default_rng(seed)
    kinds = np.array(numbers)
    ions = np.flatnonzero(kinds > 8)
    waters = np.flatnonzero(kinds == 8)
    positions = np.zeros((len(kinds), 3))
    for place, atom in enumerate([*waters, *ions]):
        centre = np.array([place % 2, place // 2 % 2, place // 4]) * 2.9
        size = 3 if kinds[atom] == 8 else 1
        positions[atom : atom + size] = centre + WATER[:size]
    forces = rng.normal(size=(count, len(kinds), 3))
    stress = rng.normal(size=(count, 3, 3)) * 1e-3
    return Frames.uniform(
        kinds, count,
        positions=positions + rng.normal(size=(count, len(kinds), 3)) * 0.03,
        forces=forces - forces.mean(axis=1, keepdims=True), cell=CELL * rng.uniform(0.99, 1.01, (count, 1, 1)),
        energy=rng.normal(size=count) - 468.1 * len(waters) - 500 * len(ions), stress=stress + stress.swapaxes(1, 2),
        system=np.array(["NaCl 0.5 m, \"tight\" – Å"]), trajectory=np.array([trajectory]), time=rng.random(count) * 1e4,
        temperature=298.15, permittivity=78.3,
        label_key=np.array([f"{seed:04d}{i:060x}" for i in range(count)]), method=np.array(["r2scan"]),
        engine=np.array(["cp2k"]), engine_version=np.array(["2026.1"]), accepted=True, reason=np.array([""]),
        charges=np.select([kinds == 11, kinds == 17], [1.0, -1.0], 0.0),
    )  # fmt: skip


@pytest.fixture
def splits() -> dict[str, list[Frames]]:
    """Two splits of batches; atoms, their order and their number change within a batch; 'test' is empty."""
    water, salt = [8, 1, 1, 8, 1, 1], [11, 8, 1, 1, 17]
    turned = [17, 8, 1, 1, 11]
    return {
        "train": [
            Frames.concatenate([_frames(salt, 2, 0, "007"), _frames(water, 3, 1, "b"), _frames(turned, 1, 2, "True")]),
            Frames.concatenate([_frames(water, 1, 3, "b"), _frames(salt, 1, 4, "1e5")]),
        ],
        "validation": [_frames(water, 2, 5, "c")],
        "test": [],
    }


@pytest.fixture
def about() -> dict[str, object]:
    """What a release says of itself, as far as exports care."""
    return dict(ABOUT)


@pytest.fixture
def make_frames() -> Callable[..., Frames]:
    """The builder of frames itself: atomic numbers, count, seed, trajectory."""
    return _frames


@pytest.fixture
def shared() -> Path:
    """Real data, where the checkout has it beside itself."""
    folder = Path(__file__).parents[2].parent / "shared" / "data"
    if not folder.is_dir():
        pytest.skip("no shared data beside the checkout")
    return folder
