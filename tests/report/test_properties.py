"""Rows of the report from what `observe` wrote."""

import numpy as np

from saltern.frames import Frames
from saltern.observables import measure
from saltern.report.properties import property_rows


def test_a_crystal_is_told_with_its_time_and_its_lattice(data):
    grid = np.stack(np.meshgrid(*[np.arange(6)] * 3, indexing="ij"), axis=-1).reshape(-1, 3)
    signs = np.where(grid.sum(axis=1) % 2, -1.0, 1.0)
    frames = Frames.uniform(
        np.where(signs > 0, 11, 17),
        8,
        positions=3.0 * grid + np.random.default_rng(0).normal(scale=0.1, size=(8, 216, 3)),
        cell=18.0 * np.eye(3),
        charges=signs,
        molecules=np.arange(216),
        time=np.arange(8) * 1000.0,
        temperature=298.15,
    )
    rows = property_rows(data.systems[0], measure([frames], ["crystal"], 0.1, 2, contact_A=3.75))
    values = {row.quantity: row.value.value for row in rows}
    assert values["cations in the largest crystal"] == values["cations in the largest crystal, at most"] == 108
    assert values["octahedral ions"] == values["ions in the largest cluster in contact"] == 216
    assert abs(values["lattice constant of the crystal"] - 6.0) < 0.05
    assert values["structure factor near (111)"] > 5
    waiting = next(row for row in rows if row.quantity == "waiting time for a crystal")
    assert waiting.value.value is None
    assert waiting.remark == "1 of 1 replicas end with a crystal, there since 0 ps"
