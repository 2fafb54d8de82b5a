"""Frames to look at: molecules made whole and put into the cell, their bonds, a picture that needs no script."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from saltern.frames import Frames, whole_molecules
from saltern.report.data import Snapshot

Array = NDArray[Any]

BOND_FACTOR = 1.25
"""Two atoms of a molecule are bonded within this times the sum of their covalent radii."""
TURN = (-0.35, 0.55)
"""Tilt and turn in radians at which a cell is first shown; viewer.js starts from it too."""
FRAME_S = 0.24
"""Seconds for which a frame of a film is seen."""


def snapshot(frames: Frames, index: int = -1) -> Snapshot:
    """Prepare one frame for drawing.

    Args:
        frames: with numbers, unwrapped positions, cell, charges, molecules and time.
        index: which frame; the last by default.
    """
    index %= len(frames)
    numbers, positions, cell, charges, molecules = (
        frames.of(index, name) for name in ("numbers", "positions", "cell", "charges", "molecules")
    )
    _, member = np.unique(molecules, return_inverse=True)
    whole = whole_molecules(positions, cell, molecules)
    centres = np.array([np.bincount(member, weights=whole[:, k]) for k in range(3)]).T / np.bincount(member)[:, None]
    shift = -np.floor(centres @ np.linalg.inv(cell)) @ cell
    ionic = np.bincount(member, weights=np.abs(charges)) > 0
    placed = whole + shift[member]
    system, time = str(frames.of(index, "system")), float(frames.of(index, "time")) / 1000
    return Snapshot(system, time, numbers, placed, cell, _bonds(numbers, placed, member), ~ionic[member])


def off_middle(positions: Array, cell: Array) -> Array:
    """How far from the middle of the cell most atoms are, (3,) in Å, by the phases of the cell's longest waves."""
    waves = np.exp(2j * np.pi * (positions @ np.linalg.inv(cell))).mean(axis=0)
    shift: Array = (np.angle(waves) / (2 * np.pi) - 0.5) @ cell
    return shift


def _bonds(numbers: Array, positions: Array, member: Array) -> Array:
    """Pairs of bonded atoms, (bond, 2)."""
    from ase.data import covalent_radii

    order = np.argsort(member, kind="stable")
    bonds = []
    for atoms in np.split(order, np.flatnonzero(np.diff(member[order])) + 1):
        i, j = np.triu_indices(len(atoms), 1)
        distance = np.linalg.norm(positions[atoms[i]] - positions[atoms[j]], axis=1)
        reach = BOND_FACTOR * (covalent_radii[numbers[atoms[i]]] + covalent_radii[numbers[atoms[j]]])
        bonds.append(np.stack([atoms[i], atoms[j]], axis=1)[distance < reach])
    return np.concatenate(bonds) if bonds else np.zeros((0, 2), dtype=np.int64)


def elements(snapshots: Sequence[Snapshot]) -> dict[int, dict[str, Any]]:
    """Symbol, Jmol colour and covalent radius in Å of every element that is drawn."""
    from ase.data import chemical_symbols, covalent_radii
    from ase.data.colors import jmol_colors

    found = sorted({int(z) for s in snapshots for z in s.numbers})
    return {
        z: {
            "symbol": chemical_symbols[z],
            "colour": "#{:02x}{:02x}{:02x}".format(*(round(255 * c) for c in jmol_colors[z])),
            "radius": round(float(covalent_radii[z]), 2),
        }
        for z in found
    }


def drawn(film: Sequence[Snapshot], label: str) -> dict[str, Any]:
    """Snapshots of the same atoms as viewer.js reads them: rounded to 0.01 Å, centred on the cell."""
    last = film[-1]
    middle = last.cell.sum(axis=0) / 2
    return {
        "label": label,
        "numbers": last.numbers.tolist(),
        "times": [round(shown.time, 3) for shown in film],
        "positions": [np.round(shown.positions - middle, 2).ravel().tolist() for shown in film],
        "cell": np.round(last.cell, 3).tolist(),
        "bonds": last.bonds.ravel().tolist(),
        "solvent": last.solvent.astype(int).tolist(),
    }


def picture(snapshot: Snapshot, description: str, heavy_only: bool = False) -> str:
    """The same view as a small SVG, for print and for browsers without scripts."""
    return _svg([snapshot], description, [_content(snapshot, heavy_only)])


def film(shown: Sequence[Snapshot], description: str) -> str:
    """Snapshots of one box by turns, over and over, as an SVG; where nothing moves, the last one is seen.

    The time is written beside each.
    """
    place, whole = 0.97 * _half(shown), FRAME_S * len(shown)
    frames = []
    for number, frame in enumerate(shown):
        # each is seen at the start of its own round, all of which began before the film
        animate = (
            f'<animate attributeName="visibility" values="visible;hidden" keyTimes="0;{1 / len(shown):.4f}" '
            f'calcMode="discrete" dur="{whole:g}s" begin="{FRAME_S * number - whole:g}s" repeatCount="indefinite"/>'
        )
        told = f'<text x="{-place:.1f}" y="{-0.93 * place:.1f}" font-size="{place / 14:.2f}">{frame.time:.0f} ps</text>'
        still = "visible" if frame is shown[-1] else "hidden"
        frames.append(f'<g visibility="{still}">{animate}{told}{_content(frame, False)}</g>')
    return _svg(shown, description, frames)


def _svg(shown: Sequence[Snapshot], description: str, content: Sequence[str]) -> str:
    """The cell of snapshots with what is drawn in it."""
    from html import escape

    half, corners = _half(shown), _corners(shown[-1])
    edges = [(a, b) for a in range(8) for b in range(a + 1, 8) if (a ^ b) in (1, 2, 4)]
    box = "".join(
        f"M{corners[a, 0]:.1f} {-corners[a, 1]:.1f}L{corners[b, 0]:.1f} {-corners[b, 1]:.1f}" for a, b in edges
    )
    return (
        f'<svg class="cellview" role="img" aria-label="{escape(description)}" '
        f'viewBox="{-half:.1f} {-half:.1f} {2 * half:.1f} {2 * half:.1f}">'
        f'<path class="box" d="{box}"/>{"".join(content)}</svg>'
    )


def _content(snapshot: Snapshot, heavy_only: bool) -> str:
    """Bonds and atoms, the nearest last."""
    looks = elements([snapshot])
    kept = np.flatnonzero((not heavy_only) | (snapshot.numbers != 1) | ~snapshot.solvent)
    points = _turned(snapshot, snapshot.positions[kept])
    place = np.full(len(snapshot.numbers), -1)
    place[kept] = np.arange(len(kept))
    ends = place[snapshot.bonds]
    drawn_bonds = [(points[a], points[b]) for a, b in ends[(ends >= 0).all(axis=1)]]
    sticks = "".join(f"M{p[0]:.1f} {-p[1]:.1f}L{q[0]:.1f} {-q[1]:.1f}" for p, q in drawn_bonds)
    depth = (points[:, 2] - points[:, 2].min()) / max(float(np.ptp(points[:, 2])), 1e-9)
    circles = "".join(
        f'<circle cx="{points[i, 0]:.1f}" cy="{-points[i, 1]:.1f}" '
        f'r="{_drawn_radius(looks[z]["radius"], bool(snapshot.solvent[kept[i]])):.2f}" '
        f'fill="{looks[z]["colour"]}" opacity="{0.45 + 0.55 * depth[i]:.2f}"/>'
        for i in np.argsort(points[:, 2])
        for z in [int(snapshot.numbers[kept[i]])]
    )
    bonds = f'<path class="sticks" d="{sticks}"/>' if sticks else ""
    return f'{bonds}<g class="atoms">{circles}</g>'


def _half(shown: Sequence[Snapshot]) -> float:
    """Half the width and height of the view, so that all is in it."""
    seen = [points[:, :2] for s in shown for points in (_corners(s), _turned(s, s.positions))]
    return float(np.abs(np.concatenate(seen)).max()) + 1.0


def _corners(snapshot: Snapshot) -> Array:
    """Corners of the cell as they are seen, (8, 3)."""
    return _turned(snapshot, np.array([[i, j, k] for i in (0, 1) for j in (0, 1) for k in (0, 1)]) @ snapshot.cell)


def _turned(snapshot: Snapshot, positions: Array) -> Array:
    """Positions about the middle of the cell, turned as it is first shown."""
    turned: Array = (positions - snapshot.cell.sum(axis=0) / 2) @ _rotation(*TURN).T
    return turned


def _drawn_radius(covalent: float, solvent: bool) -> float:
    """Solvent is drawn small, so that the ions are seen between it, and all ions alike, as viewer.js does."""
    return 0.45 * covalent if solvent else 1.0


def _rotation(tilt: float, turn: float) -> Array:
    """Turn about the vertical, then tilt about the horizontal axis, (3, 3)."""
    about_y = [[np.cos(turn), 0, np.sin(turn)], [0, 1, 0], [-np.sin(turn), 0, np.cos(turn)]]
    about_x = [[1, 0, 0], [0, np.cos(tilt), -np.sin(tilt)], [0, np.sin(tilt), np.cos(tilt)]]
    return np.array(about_x) @ np.array(about_y)
