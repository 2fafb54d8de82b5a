"""Placing molecules in a periodic cubic box."""

from __future__ import annotations

import subprocess
from collections.abc import Mapping, Sequence
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
from numpy.typing import NDArray
from scipy.spatial import cKDTree
from scipy.spatial.transform import Rotation

from saltern.errors import SalternError
from saltern.systems.species import Species

Vectors = NDArray[np.float64]

_TOLERANCES = (2.0, 1.8, 1.6)
"""Distances (Å) that packmol is asked to keep between atoms of different molecules, tried in turn."""

_LOOPS = 20
"""packmol's rounds before it gives up; liquids take one or two."""

_NO_ROOM = 173
"""packmol's exit status when it runs but does not succeed."""

_CANDIDATES = 500
"""Random points among which each ion takes the one that is farthest from the others."""

_ORIENTATIONS = 50
"""Random orientations among which a polyatomic ion takes the one with most room."""


_NO_CRYSTAL = (np.empty((0, 3)), np.empty((0, 3)))


def pack(
    molecules: Sequence[tuple[Species, int]],
    edge: float,
    rng: np.random.Generator,
    crystal: tuple[Vectors, Vectors] = _NO_CRYSTAL,
) -> Vectors | None:
    """Place molecules so that ions are well mixed and no two molecules touch.

    Ions that start in one corner of a box are still clustered after nanoseconds, so they are placed first, each
    as far as possible from those before it; packmol (L. Martínez et al., J. Comput. Chem. 30, 2157 (2009)) then
    fills in the solvent around them.

    Args:
        molecules: the solvent first, then the ions, each with its number.
        edge: edge of the box (Å).
        rng: everything random is drawn from it.
        crystal: sites (n, 3) of the first cations and of the first anions in Å; no solvent comes between them.

    Returns:
        Positions (atom, 3) in Å, molecules whole and in the given order; None if there is no room.
    """
    (solvent, count), *ions = molecules
    each = [species for species, number in ions for _ in range(number)]
    sizes = [len(s.elements) for s, number in molecules for _ in range(number)]
    owners = np.repeat(np.arange(len(sizes)), sizes)
    # the anions stand behind all cations
    seed = {
        first + i: site
        for first, sites in zip((0, ions[0][1] if ions else 0), crystal, strict=True)
        for i, site in enumerate(sites)
    }
    for tolerance in _TOLERANCES:
        placed = place_ions(each, edge, rng, seed)
        avoided = np.concatenate(crystal)
        filled = _packmol(solvent, count, placed, edge, tolerance, int(rng.integers(1, 10**6)), avoided)
        if filled is None:
            continue
        positions = np.concatenate([filled, placed])
        if closest_contact(positions, owners, edge, tolerance) >= 0.95 * tolerance:
            return positions
    return None


def place_ions(
    ions: Sequence[Species], edge: float, rng: np.random.Generator, seed: Mapping[int, Vectors] | None = None
) -> Vectors:
    """Positions (atom, 3) in Å of ions spread over the periodic box, in the given order.

    Args:
        ions: every ion.
        edge: edge of the box (Å).
        rng: everything random is drawn from it.
        seed: places (3,) of those that stand in a crystal, by their number.
    """
    known = dict(seed or {})
    free = [number for number in range(len(ions)) if number not in known]
    # a random order, or else all cations would be far from each other but not from the anions
    centres = spread(len(free), edge, rng, np.array([*known.values()]).reshape(-1, 3))[rng.permutation(len(free))]
    known |= dict(zip(free, centres, strict=True))
    atoms = np.empty((0, 3))
    for number, species in enumerate(ions):
        atoms = np.concatenate([atoms, known[number] + _turned(species, known[number], atoms, edge, rng)])
    return atoms


def spread(count: int, edge: float, rng: np.random.Generator, taken: Vectors | None = None) -> Vectors:
    """Points (count, 3) far from each other, and from those that are taken, under periodic boundary conditions.

    Each is the best of some random candidates (D. P. Mitchell, Computer Graphics 25, 157 (1991)).
    """
    points = np.empty((0, 3)) if taken is None else taken
    before = len(points)
    for _ in range(count):
        candidates = edge * rng.random((_CANDIDATES, 3))
        best = int(np.argmax(_nearest(candidates, points, edge))) if len(points) else 0
        points = np.concatenate([points, candidates[[best]]])
    return points[before:]


def closest_contact(positions: Vectors, owners: NDArray[np.int_], edge: float, below: float) -> float:
    """Shortest distance (Å) between atoms of different molecules in the periodic box, or `below` if none is shorter.

    Args:
        positions: (atom, 3) in Å.
        owners: (atom,) index of each atom's molecule.
        edge: edge of the box (Å).
        below: distances above this are not looked for (Å).
    """
    pairs = cKDTree(positions % edge, boxsize=edge).query_pairs(below, output_type="ndarray")
    pairs = pairs[owners[pairs[:, 0]] != owners[pairs[:, 1]]]
    if not len(pairs):
        return below
    apart = positions[pairs[:, 0]] - positions[pairs[:, 1]]
    return float(np.linalg.norm(apart - edge * np.round(apart / edge), axis=1).min())


def _nearest(points: Vectors, others: Vectors, edge: float) -> Vectors:
    """Distance (Å) of each point to the nearest of the others."""
    apart = points[:, None] - others[None]
    return np.asarray(np.linalg.norm(apart - edge * np.round(apart / edge), axis=2).min(axis=1))


def _turned(species: Species, centre: Vectors, others: Vectors, edge: float, rng: np.random.Generator) -> Vectors:
    """An ion in the orientation that keeps it farthest from the atoms already placed."""
    if species.is_monatomic:
        return species.positions
    turned = [Rotation.random(rng=rng).apply(species.positions) for _ in range(_ORIENTATIONS)]
    room = [_nearest(centre + atoms, others, edge).min() for atoms in turned] if len(others) else [0.0]
    return np.asarray(turned[int(np.argmax(room))])


def _packmol(
    solvent: Species, count: int, placed: Vectors, edge: float, tolerance: float, seed: int, avoided: Vectors
) -> Vectors | None:
    """Positions (atom, 3) of the solvent around fixed ions and a crystal, or None if packmol finds no room."""
    from packmol.cli import get_binary_path

    if count == 0:
        return np.empty((0, 3))
    fixed = "structure ions.xyz\nnumber 1\nfixed 0. 0. 0. 0. 0. 0.\nend structure\n" if len(placed) else ""
    outside = ""
    if len(avoided):
        (x, y, z), side = avoided.min(axis=0), float(np.ptp(avoided[:, 0]))
        outside = f"outside cube {x:.6f} {y:.6f} {z:.6f} {side:.6f}\n"
    script = (
        f"tolerance {tolerance}\nseed {seed}\nnloop {_LOOPS}\nfiletype xyz\noutput packed.xyz\n"
        f"pbc {edge:.6f} {edge:.6f} {edge:.6f}\n"
        f"{fixed}structure solvent.xyz\nnumber {count}\n{outside}end structure\n"
    )
    with TemporaryDirectory() as name:
        folder = Path(name)
        _write_xyz(folder / "ions.xyz", ["X"] * len(placed), placed % edge)
        _write_xyz(folder / "solvent.xyz", solvent.elements, solvent.positions)
        (folder / "pack.inp").write_text(script, encoding="utf-8")
        finished = subprocess.run(
            [get_binary_path(), "-i", "pack.inp"], cwd=folder, text=True, capture_output=True, check=False
        )
        if finished.returncode == _NO_ROOM:
            return None
        if finished.returncode:
            raise SalternError(f"packmol failed with status {finished.returncode}:\n{finished.stdout[-1000:]}")
        packed = np.loadtxt(folder / "packed.xyz", skiprows=2, usecols=(1, 2, 3))
    return np.asarray(packed[len(placed) :])


def _write_xyz(path: Path, elements: Sequence[str], positions: Vectors) -> None:
    """An XYZ file (Å)."""
    lines = [f"{e} {x:.6f} {y:.6f} {z:.6f}" for e, (x, y, z) in zip(elements, positions, strict=True)]
    path.write_text("\n".join([str(len(lines)), "", *lines]) + "\n", encoding="utf-8")
