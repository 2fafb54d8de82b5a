"""Labels from positions alone: denoising score matching.

Positions that are samples of a density p, displaced by σ ε with normal ε, are samples of p smoothed with a Gaussian of
width σ, and the average of -ε/σ over all displacements that lead to the same place is the gradient of the smoothed
density's logarithm (P. Vincent, Neural Computation 23, 1661 (2011)). So -kT ε/σ is a label whose average is the mean
force of the smoothed density, as the solvent's force on an ion is one whose average is the mean force. The same loss
serves both.

Its noise, kT/σ, grows as σ falls. Most of it is the same for ε and -ε but for its sign, and a student hardly differs
between the two places, so noise of every second epoch is the mirror image of that before.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from saltern.frames import Frames
from saltern.units import BOLTZMANN


@dataclass(frozen=True)
class Noise:
    """Displacements of frames, the same for the same seed, epoch and frame.

    Attributes:
        sigma: standard deviation of each coordinate in Å.
        seed: another seed, other displacements.
    """

    sigma: float
    seed: int

    def __call__(self, frames: Frames, numbers: Sequence[int], epoch: int) -> Frames:
        """The frames, displaced, with the label of the displacement as forces; they have no energy or stress then.

        Args:
            frames: with positions and temperature.
            numbers: (frame,) what tells the frames apart.
            epoch: from 0; of two epochs, an even one and the next, the displacements are opposite.
        """
        sign = -1.0 if epoch % 2 else 1.0
        counts = frames.atom_counts
        draws = [
            np.random.default_rng((self.seed, epoch // 2, number)).normal(size=(count, 3))
            for number, count in zip(numbers, counts, strict=True)
        ]
        noise = sign * np.concatenate([*draws, np.zeros((0, 3))])
        thermal = np.repeat(BOLTZMANN * frames["temperature"], counts)[:, None]
        known = {name: array for name, array in frames.arrays.items() if name != "stress"}
        return Frames(frames.offsets, known).with_arrays(
            positions=frames["positions"] + self.sigma * noise,
            forces=-thermal * noise / self.sigma,
            energy=np.full(len(frames), np.nan),
        )
