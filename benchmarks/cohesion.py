"""How a crystal is bound: by its teacher, and by potentials that were taught by the solution.

For the ions of a small crystal in a solution the mean of sum(r F) / (N kT) is measured, r from the crystal's centre. In
a teacher's dynamics that holds the crystal it is near -3, as the virial theorem says of N ions that stay where they
are; noise of the solvent averages out, so that a potential's own forces in the same frames should give the same. More
says that it would expand there, less that it would shrink.

    python benchmarks/cohesion.py docs/results/nacl-crystal/crystal docs/results/*/potentials/*/*.safetensors
"""

import argparse
from pathlib import Path

import numpy as np

from saltern.frames import Array, Frames
from saltern.learning.members import evaluated
from saltern.potentials import Potential
from saltern.store import open_release
from saltern.units import BOLTZMANN

OF_CRYSTAL, OFTEN = 3, 0.8
"""Counter-ions that an ion of the crystal touches in at least this share of the frames; a corner has three."""


def main() -> None:
    """Print a line for the labels and one for each potential."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("release", type=Path, help="frames of a teacher with a crystal in them")
    parser.add_argument("potentials", type=Path, nargs="+", help="each is measured by itself")
    parser.add_argument("--contact", type=float, default=3.75, help="distance in Å within which ions touch")
    options = parser.parse_args()
    release = open_release(options.release)
    runs = [release.reader_of(rows).frames(slice(None)) for _, rows in release.index.groupby("trajectory")]
    crystals = [crystal(frames, options.contact) for frames in runs]
    print(f"sum(r F) / (N kT), mean and standard error over {len(runs)} trajectories, {len(release.index)} frames")
    show("the teacher", [virial(f, f["forces"], c) for f, c in zip(runs, crystals, strict=True)])
    for path in options.potentials:
        potential = Potential.load([path], "cpu")
        forces = [evaluated(potential, frames).members[0] for frames in runs]
        own = [virial(f, of, c) for f, of, c in zip(runs, forces, crystals, strict=True)]
        show("/".join(path.parts[-3:]), own)


def crystal(frames: Frames, contact: float) -> Array:
    """Which ions of a trajectory are in the crystal, (atom,)."""
    vectors, charges = _vectors(frames), frames.stacked("charges")[0]
    touched = (np.linalg.norm(vectors, axis=-1) < contact) & (charges[:, None] * charges < 0)
    return np.asarray((touched.sum(2) >= OF_CRYSTAL).mean(0) >= OFTEN)


def virial(frames: Frames, forces: Array, of: Array) -> float:
    """Mean of sum(r F) / (N kT) over the ions of the crystal."""
    first = int(np.flatnonzero(of)[0])
    places = -_vectors(frames)[:, first][:, of]
    places -= places.mean(1, keepdims=True)
    own = forces.reshape(len(frames), -1, 3)[:, of]
    return float((own * places).sum((1, 2)).mean() / (of.sum() * BOLTZMANN * frames["temperature"][0]))


def show(name: str, values: list[float]) -> None:
    """One line."""
    error = np.std(values, ddof=1) / np.sqrt(len(values)) if len(values) > 1 else np.nan
    print(f"{name:40s} {np.mean(values):6.1f} ± {error:.1f}")


def _vectors(frames: Frames) -> Array:
    """From every ion to every other, the nearest image, (frame, atom, atom, 3) in Å."""
    positions, edge = frames.stacked("positions"), frames["cell"][0].diagonal()
    vectors = positions[:, :, None] - positions[:, None]
    return np.asarray(vectors - edge * np.rint(vectors / edge))


if __name__ == "__main__":
    main()
