"""How a crystal is bound: by its teacher, and by potentials that were taught by the solution.

For the ions of a small crystal in a solution the mean of sum(r F) / (N kT) is measured, r from the crystal's centre. In
a teacher's dynamics that holds the crystal it is near -3, as the virial theorem says of N ions that stay where they
are; noise of the solvent averages out, so that a potential's own forces in the same frames should give the same. More
says that it would expand there, less that it would shrink.

    python benchmarks/cohesion.py docs/results/nacl-crystal/crystal docs/results/nacl-*/*/*/m*

With --clusters the same is asked of the ions that touch in a solution, by how many there are: what its teacher has more
than each potential. What is within the error, a solution cannot tell about a potential.

    python benchmarks/cohesion.py --clusters docs/results/nacl-crystallisation/dataset docs/results/nacl-*/*/*/m*
"""

import argparse
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from scipy.sparse.csgraph import breadth_first_order, connected_components

from saltern.frames import Array, Frames
from saltern.learning.jackknife import jackknife
from saltern.learning.members import evaluated
from saltern.potentials import Potential
from saltern.store import open_release
from saltern.units import BOLTZMANN

OF_CRYSTAL, OFTEN = 3, 0.8
"""Counter-ions that an ion of the crystal touches in at least this share of the frames; a corner has three."""

SIZES = ((2, 2), (3, 4), (5, 9), (10, np.inf))
"""Ions in a cluster, from and to, that are measured together."""


@dataclass(frozen=True)
class Group:
    """Some ions of a frame, and where they are from their centre, (ion, 3) in Å."""

    frame: int
    ions: Array
    places: Array


def main() -> None:
    """Print a line for the labels and one for each potential."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("release", type=Path, help="frames of a teacher; with a crystal in them, or a solution")
    parser.add_argument("potentials", type=Path, nargs="+", help="each is measured by itself")
    parser.add_argument("--contact", type=float, default=3.75, help="distance in Å within which ions touch")
    parser.add_argument("--clusters", action="store_true", help="the clusters of a solution instead of its one crystal")
    options = parser.parse_args()
    release = open_release(options.release)
    runs = [release.reader_of(rows).frames(slice(None)) for _, rows in release.index.groupby("trajectory")]
    print(f"sum(r F) / (N kT), mean and standard error, {len(runs)} trajectories, {len(release.index)} frames")
    (of_clusters if options.clusters else of_crystal)(runs, options.contact, options.potentials)


def of_crystal(runs: list[Frames], contact: float, potentials: list[Path]) -> None:
    """Errors are over trajectories: what moves the crystal does so for long."""
    crystals = [crystal(frames, contact) for frames in runs]

    def show(name: str, forces: list[Array]) -> None:
        own = zip(runs, forces, crystals, strict=True)
        mean, error = ratio(*zip(*((virials(f, of, g).mean(), len(g[0].ions)) for f, of, g in own), strict=True))
        print(f"{name:40s} {mean:6.1f} ± {error:.1f}")

    show("the teacher", [frames["forces"] for frames in runs])
    for path in potentials:
        show("/".join(path.parts[-3:]), forces_of(path, runs))


def of_clusters(runs: list[Frames], contact: float, potentials: list[Path]) -> None:
    """Errors are over clusters: the solvent pushes each in its own way."""
    found = [clusters(frames, contact) for frames in runs]
    size = np.concatenate([[len(group.ions) for group in groups] for groups in found])
    classes = [(size >= least) & (size <= most) for least, most in SIZES]

    def of(forces: list[Array]) -> Array:
        return np.concatenate([virials(*both) for both in zip(runs, forces, found, strict=True)])

    def show(name: str, values: Array) -> None:
        own = [ratio(values[c], size[c]) for c in classes]
        print(f"{name:50s}" + "".join(f"{mean:7.2f} ± {error:.2f}" for mean, error in own))

    print("ions in a cluster: " + ", ".join(f"{a:.0f} to {b:.0f}" for a, b in SIZES))
    print("clusters: " + ", ".join(str(int(c.sum())) for c in classes))
    labels = of([frames["forces"] for frames in runs])
    show("the teacher", labels)
    for path in potentials:
        show("teacher - " + "/".join(path.parts[-3:]), labels - of(forces_of(path, runs)))


def forces_of(path: Path, runs: list[Frames]) -> list[Array]:
    """A potential's forces on the ions of each trajectory, as `frames["forces"]` has the teacher's."""
    potential = Potential.load([path], "cpu")
    return [evaluated(potential, frames).members[0] for frames in runs]


def crystal(frames: Frames, contact: float) -> list[Group]:
    """The ions of a trajectory that are in the crystal, one group for each frame."""
    vectors = _vectors(frames)
    touched = _touched(vectors, frames, contact)
    ions = np.flatnonzero((touched.sum(2) >= OF_CRYSTAL).mean(0) >= OFTEN)
    return [_group(frame, ions, -of[ions[0], ions]) for frame, of in enumerate(vectors)]


def clusters(frames: Frames, contact: float) -> list[Group]:
    """The ions that hang together by contacts, in every frame; an ion alone is no cluster."""
    vectors = _vectors(frames)
    both = zip(vectors, _touched(vectors, frames, contact), strict=True)
    return [group for frame, (of, touched) in enumerate(both) for group in _clusters_of(frame, of, touched)]


def virials(frames: Frames, forces: Array, groups: list[Group]) -> Array:
    """sum(r F) / kT of every group."""
    own = forces.reshape(len(frames), -1, 3)
    values: Array = np.array([(own[group.frame, group.ions] * group.places).sum() for group in groups])
    return values / float(BOLTZMANN * frames["temperature"][0])


def ratio(of: Sequence[float] | Array, to: Sequence[float] | Array) -> tuple[Array, Array]:
    """The sum of one over that of the other, and its standard error where each pair is drawn by itself."""
    return jackknife(np.stack([of, to], axis=1), lambda sums: sums[..., 0] / sums[..., 1])


def _clusters_of(frame: int, vectors: Array, touched: Array) -> list[Group]:
    """Those of one frame, put together from contact to contact: they may reach through the box."""
    _, cluster = connected_components(touched, directed=False)
    groups = []
    for one in np.flatnonzero(np.bincount(cluster) > 1):
        ions, before = breadth_first_order(touched, np.flatnonzero(cluster == one)[0], directed=False)
        place = {ions[0]: np.zeros(3)}
        for ion in ions[1:]:
            place[ion] = place[before[ion]] - vectors[before[ion], ion]
        groups.append(_group(frame, ions, np.array([place[ion] for ion in ions])))
    return groups


def _group(frame: int, ions: Array, places: Array) -> Group:
    return Group(frame, ions, places - places.mean(0))


def _touched(vectors: Array, frames: Frames, contact: float) -> Array:
    """Which ions touch which counter-ions, (frame, atom, atom)."""
    charges = frames.stacked("charges")[0]
    return np.asarray((np.linalg.norm(vectors, axis=-1) < contact) & (charges[:, None] * charges < 0))


def _vectors(frames: Frames) -> Array:
    """From every ion to every other, the nearest image, (frame, atom, atom, 3) in Å."""
    positions, edge = frames.stacked("positions"), frames["cell"][0].diagonal()
    vectors = positions[:, :, None] - positions[:, None]
    return np.asarray(vectors - edge * np.rint(vectors / edge))


if __name__ == "__main__":
    main()
