"""Frames made ready for drawing."""

import numpy as np

from saltern.frames import Frames
from saltern.report.snapshot import drawn, elements, off_middle, picture, snapshot

CELL = np.array([[10.0, 0, 0], [3.0, 9.0, 0], [-2.0, 1.0, 11.0]])
WATER = np.array([[0.0, 0, 0], [0.76, 0.59, 0], [-0.76, 0.59, 0]])


def broken_frame(seed=0):
    """A cation and eight waters, every atom thrown by its own number of cells."""
    rng = np.random.default_rng(seed)
    centres = rng.random((8, 1, 3)) @ CELL
    positions = np.concatenate([np.array([[0.1, 0.1, 0.1]]), (centres + WATER).reshape(-1, 3)])
    positions += rng.integers(-2, 3, (25, 3)) @ CELL
    return Frames.uniform(
        np.array([11] + [8, 1, 1] * 8),
        1,
        positions=positions,
        cell=CELL,
        charges=np.array([1.0] + [0.0] * 24),
        molecules=np.array([0] + [1 + i // 3 for i in range(24)]),
        system="x",
        time=2000.0,
    )


def test_molecules_are_whole_and_inside():
    shown = snapshot(broken_frame())
    water = shown.positions[1:].reshape(8, 3, 3)
    assert np.allclose(np.linalg.norm(water[:, 1:] - water[:, :1], axis=-1), np.hypot(0.76, 0.59))
    centres = np.concatenate([shown.positions[:1], water.mean(axis=1)]) @ np.linalg.inv(CELL)
    assert (centres > -1e-9).all()
    assert (centres < 1 + 1e-9).all()


def test_bonds_are_those_of_water():
    shown = snapshot(broken_frame())
    assert {tuple(b) for b in shown.bonds.tolist()} == {(3 * i + 1, 3 * i + 1 + k) for i in range(8) for k in (1, 2)}
    assert shown.solvent.tolist() == [False] + [True] * 24


def test_atoms_that_cross_keep_their_place_in_the_crystal():
    """Same relative positions modulo the cell."""
    frames = broken_frame()
    shown = snapshot(frames)
    moved = (shown.positions - frames["positions"]) @ np.linalg.inv(CELL)
    assert np.allclose(moved, np.rint(moved), atol=1e-9)


def test_colours_are_those_of_jmol():
    found = elements([snapshot(broken_frame())])
    assert {z: e["colour"] for z, e in found.items()} == {1: "#ffffff", 8: "#ff0d0d", 11: "#ab5cf2"}


def test_the_place_where_most_atoms_are_is_found_across_the_cells_faces():
    rng = np.random.default_rng(0)
    place = np.array([0.02, 0.97, 0.4])
    many = np.concatenate([place + 0.05 * rng.normal(size=(80, 3)), rng.random((40, 3))])
    shift = off_middle((many + rng.integers(-2, 3, many.shape)) @ CELL, CELL)
    assert np.allclose((place @ CELL - shift) @ np.linalg.inv(CELL) % 1, 0.5, atol=0.03)


def test_drawn_frame_is_centred_on_the_cell():
    shown = snapshot(broken_frame())
    film = drawn([shown, shown], "x")
    assert film["times"] == [2.0, 2.0]
    back = np.array(film["positions"][1]).reshape(-1, 3) + CELL.sum(axis=0) / 2
    assert np.allclose(back, shown.positions, atol=0.0051)


def test_picture_can_leave_hydrogen_out():
    shown = snapshot(broken_frame())
    assert picture(shown, "all").count("<circle") == 25
    assert picture(shown, "heavy", heavy_only=True).count("<circle") == 9
