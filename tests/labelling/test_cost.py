"""What labels will cost: fitted to labels whose cost law is known, and to a real label store."""

from math import exp, log
from pathlib import Path
from typing import get_args

import numpy as np
import pytest

from saltern.config import (
    Cp2kTeacher,
    LabelSpec,
    OpenmmTeacher,
    SevennetTeacher,
    System,
    TbliteTeacher,
    expected_memory_mb,
    expected_seconds,
    frames_per_job,
)
from saltern.config.costs import CUTOFF_EXPONENT, FIGURES, JOB_OVERHEAD_S, UNMEASURED
from saltern.labelling import label_batch
from saltern.labelling.cost import fit, measured_labels
from saltern.store import LabelStore
from saltern.systems import compose

GFN1 = TbliteTeacher()


def law(atoms: int, factor: float, exponent: float) -> float:
    """Another machine: `factor` times the built-in figure at 50 atoms, and another exponent."""
    return factor * expected_seconds(GFN1, atoms) * (atoms / 50) ** exponent


def test_every_method_has_a_figure() -> None:
    offered = {
        (engine, method)
        for engine, teacher in (
            ("tblite", TbliteTeacher),
            ("sevennet", SevennetTeacher),
            ("cp2k", Cp2kTeacher),
            ("openmm", OpenmmTeacher),
        )
        for method in get_args(teacher.model_fields["method"].annotation)
    }
    assert set(FIGURES) == offered


@pytest.mark.parametrize(("atoms", "seconds"), [(26, 0.53), (50, 1.05), (74, 1.6), (98, 2.4), (148, 5.1)])
def test_figures_are_near_what_was_measured(atoms: int, seconds: float) -> None:
    assert seconds / 1.5 < expected_seconds(GFN1, atoms) < seconds * 1.5


@pytest.mark.parametrize(
    ("method", "atoms", "seconds"),
    [
        ("SevenNet-MF-0-r2SCAN", 26, 0.38),
        ("SevenNet-MF-0-r2SCAN", 386, 10.5),
        ("SevenNet-0", 26, 0.38),
        ("SevenNet-0", 386, 9.6),
    ],
)
def test_figures_of_universal_models_are_near_what_was_measured(method: str, atoms: int, seconds: float) -> None:
    assert seconds / 1.5 < expected_seconds(SevennetTeacher(method=method), atoms) < seconds * 1.5


@pytest.mark.parametrize(("cutoff", "seconds"), [(600, 104), (900, 125), (1200, 166)])
def test_a_finer_grid_costs_what_was_measured(cutoff: float, seconds: float) -> None:
    teacher = Cp2kTeacher(method="revpbe-d3", cutoff_Ry=cutoff)
    assert expected_seconds(teacher, 26) == pytest.approx(seconds, rel=0.15)


@pytest.mark.parametrize(("atoms", "gigabytes"), [(26, 0.9), (50, 1.8)])
def test_memory_leaves_room_above_what_was_measured(atoms: int, gigabytes: float) -> None:
    asked = expected_memory_mb(Cp2kTeacher(method="revpbe-d3", cutoff_Ry=1200), atoms)
    assert 1.2 * gigabytes * 1000 < asked < 3 * gigabytes * 1000
    assert expected_memory_mb(GFN1, 10 * atoms) == 1000


@pytest.mark.parametrize(("atoms", "gigabytes"), [(26, 0.73), (98, 1.35), (194, 2.06), (386, 3.31)])
def test_memory_of_universal_models_leaves_room_above_what_was_measured(atoms: int, gigabytes: float) -> None:
    assert 1.2 * gigabytes * 1000 < expected_memory_mb(SevennetTeacher(), atoms) < 3 * gigabytes * 1000


def test_tight_binding_has_no_grid() -> None:
    tight_binding = [Cp2kTeacher(method="gfn1-xtb", cutoff_Ry=c) for c in (300, 1200)]
    assert expected_seconds(tight_binding[0], 98) == expected_seconds(tight_binding[1], 98)


def test_without_labels_the_built_in_figures_stand() -> None:
    model = fit(GFN1, [])
    assert model.seconds(80) == expected_seconds(GFN1, 80)
    assert model.error(80) == pytest.approx(UNMEASURED)


def test_factor_and_exponent_are_found_where_sizes_differ_enough() -> None:
    model = fit(GFN1, [(n, law(n, 1.7, 0.3)) for n in (30, 60, 90, 120) for _ in range(3)])
    for atoms in (20, 75, 240):
        assert model.seconds(atoms) == pytest.approx(law(atoms, 1.7, 0.3))
    assert model.error(60) == pytest.approx(1.0, abs=1e-6)
    assert model.error(480) > model.error(240) > 1.1, "nothing was measured there"


def test_sizes_that_are_alike_do_not_make_an_exponent() -> None:
    """74 and 76 atoms, as in the demo: a difference of 10 % between the two is not a power of four."""
    model = fit(GFN1, [(74, 1.6), (76, 1.76)])
    assert model.seconds(148) / model.seconds(74) == pytest.approx(2**1.4)
    assert 1.6 < model.seconds(75) < 1.76


def test_the_error_is_that_of_sizes_left_out() -> None:
    """The size of 60 atoms costs twice what the line through the other four predicts."""
    costs = {n: law(n, 1.0, 0.0) for n in (30, 45, 60, 90, 120)}
    costs[60] *= 2
    model = fit(GFN1, list(costs.items()))
    misses = []
    for atoms, cost in costs.items():
        others = fit(GFN1, [(n, c) for n, c in costs.items() if n != atoms])
        misses.append(log(cost / others.seconds(atoms)))
    assert model.scatter == pytest.approx(np.sqrt(np.mean(np.square(misses))))
    assert exp(max(misses)) == pytest.approx(2.0)


def test_one_size_gives_the_spread_of_its_labels() -> None:
    rng = np.random.default_rng(0)
    labels = [(50, law(50, 3.0, 0.0) * exp(rng.normal(0, 0.2))) for _ in range(400)]
    model = fit(GFN1, labels)
    assert model.seconds(50) == pytest.approx(law(50, 3.0, 0.0), rel=0.05)
    assert model.error(50) == pytest.approx(exp(0.2), rel=0.03)


def test_the_order_of_labels_does_not_matter() -> None:
    labels = [(n, law(n, 1.0, 0.2) * (1 + n % 7 / 50)) for n in range(30, 130, 3)]
    assert fit(GFN1, labels) == fit(GFN1, labels[::-1])


def test_jobs_are_long_enough_and_alike() -> None:
    for atoms in (26, 50, 98, 150, 300):
        for frames in (1, 200, 999, 100_000):
            size = frames_per_job(GFN1, atoms, frames)
            job = size * expected_seconds(GFN1, atoms)
            assert size == frames or (job > 600 and JOB_OVERHEAD_S / job < 0.01)
            assert job < 2 * 1800 or size == 1
    assert frames_per_job(Cp2kTeacher(method="pbe0", cutoff_Ry=1200), 300, 100) == 1


def record(atoms: int, seconds: float, **settings: object) -> tuple[str, dict[str, object]]:
    return "key", {
        "question": {"engine": "cp2k", "numbers": [1] * atoms, "settings": {"numerics": 1, **settings}},
        "record": {"method": settings["method"], "cpu_seconds": seconds},
    }


def test_labels_at_another_cutoff_count_by_the_grid_law_and_other_methods_do_not() -> None:
    teacher = Cp2kTeacher(method="r2scan", cutoff_Ry=1200)
    records = [
        record(50, 10.0, method="r2scan", cutoff_Ry=300.0),
        record(50, 99.0, method="blyp-d3", cutoff_Ry=300.0),
        record(50, 99.0, method="r2scan", cutoff_Ry=-1.0),
        record(50, 0.0, method="r2scan", cutoff_Ry=300.0),
    ]
    assert measured_labels(records, teacher) == [(50, pytest.approx(10 * 4**CUTOFF_EXPONENT))]
    assert measured_labels(records, GFN1) == []


def test_a_real_store_is_read(tmp_path: Path) -> None:
    store = LabelStore(tmp_path / "labels")
    for waters in (2, 5):
        frames, _ = compose(System(solvent_molecules=waters, density=0.4))
        frames = frames.with_arrays(trajectory=["t0"], time=[0.0])
        label_batch(frames, range(1), LabelSpec(teacher=GFN1, label={}), store, tmp_path / f"{waters}.h5", "test")
    found = measured_labels(store, GFN1)
    assert sorted(atoms for atoms, _ in found) == [6, 15]
    assert all(seconds > 0 for _, seconds in found)
    assert fit(GFN1, found).sizes == (6, 15)
