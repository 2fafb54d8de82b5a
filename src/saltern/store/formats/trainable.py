"""What trainers must be told of a dataset: its elements and their mean energies."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from saltern.errors import UserError
from saltern.frames import Array, Frames
from saltern.store.formats.base import Splits, symbols_of, with_frames
from saltern.store.formats.extxyz import write_splits
from saltern.store.parallel import Workers

ELEMENTS = 119


@dataclass
class Contents:
    """Number of frames and sum of their energies (eV), by composition: how many atoms of each atomic number."""

    energies: dict[tuple[int, ...], Array] = field(default_factory=dict)

    def add(self, frames: Frames) -> None:
        """Count a batch."""
        for i in range(len(frames)):
            composition = tuple(np.bincount(frames.of(i, "numbers"), minlength=ELEMENTS).tolist())
            counted = np.array([1.0, frames.of(i, "energy")])
            self.energies[composition] = self.energies.get(composition, np.zeros(2)) + counted

    @property
    def elements(self) -> list[int]:
        """Atomic numbers that occur, in order."""
        return np.flatnonzero(np.array([*self.energies, (0,) * ELEMENTS]).any(axis=0)).tolist()

    def shifts(self) -> dict[str, float]:
        """Energy of an atom of each element (eV) by least squares over all frames, the smallest where many are."""
        compositions = np.array(list(self.energies), dtype=np.float64)[:, self.elements]
        counts, sums = np.array(list(self.energies.values())).T
        weights = np.sqrt(counts)
        solution = np.linalg.lstsq(compositions * weights[:, None], sums / weights, rcond=None)[0]
        return dict(zip(symbols_of(np.array(self.elements)), solution.tolist(), strict=True))


def write_trainable(splits: Splits, folder: Path, target: Path, workers: Workers) -> dict[str, Contents]:
    """Write the splits as extended XYZ, and look whether one can train with them; returns what is in each.

    Raises:
        UserError: when 'train' or 'validation' has no frames, a frame has no energy or forces, or 'validation' has
            an element that is not in 'train'.
    """
    contents: dict[str, Contents] = {}
    write_splits(
        {split: _watched(batches, contents.setdefault(split, Contents())) for split, batches in splits.items()},
        folder,
        workers,
    )
    for split in ("train", "validation"):
        if split not in contents or not contents[split].energies:
            raise UserError(f"{target}: no frames in split '{split}'; a trainer needs 'train' and 'validation'")
    strange = sorted(set(contents["validation"].elements) - set(contents["train"].elements))
    if strange:
        names = ", ".join(symbols_of(np.array(strange)))
        raise UserError(f"{target}: {names} in no frame of split 'train'; validation needs elements that are trained")
    return contents


def _watched(batches: Iterable[Frames], contents: Contents) -> Iterator[Frames]:
    """The batches as they are, counted as they pass.

    Raises:
        UserError: for a frame without energy or forces.
    """
    for batch in with_frames(batches):
        for name in ("energy", "forces"):
            if name not in batch or np.isnan(batch[name]).any():
                raise UserError(f"{name}: missing in a frame; a trainer needs energy and forces of every frame")
        contents.add(batch)
        yield batch


def testable(contents: dict[str, Contents]) -> bool:
    """Whether there is a test set of elements that are trained; one with others is written, but not configured."""
    return (
        "test" in contents
        and len(contents["test"].energies) > 0
        and set(contents["test"].elements) <= set(contents["train"].elements)
    )
