"""A campaign's directory, written with the store as the stages write it, and read back."""

import json
import shutil

import numpy as np
import pytest

from saltern.config import CollectConfig, state_id
from saltern.errors import UserError
from saltern.frames import Frames
from saltern.report import render
from saltern.report.data import Measured, MemberRow
from saltern.report.gather import gather
from saltern.store import collect_system, write_frames, write_json, write_release

FRAMES = 6


def labelled(frame, row):
    """Labels of one system; the last one refused."""
    rng = np.random.default_rng(1)
    atoms = int(frame.atom_counts[0])
    accepted = np.arange(FRAMES) < FRAMES - 1
    return Frames.uniform(
        frame["numbers"],
        FRAMES,
        positions=frame["positions"],
        cell=frame["cell"][0],
        charges=frame["charges"],
        molecules=frame["molecules"],
        system=row.id,
        trajectory=[f"t{i // 2}" for i in range(FRAMES)],
        time=np.arange(FRAMES) % 2 * 500.0,
        temperature=300.0,
        energy=rng.normal(size=FRAMES),
        forces=rng.normal(size=(FRAMES, atoms, 3)),
        label_key=[f"{row.id}{i}" for i in range(FRAMES)],
        engine="tblite",
        engine_version="0.8.0",
        method="GFN1-xTB",
        accepted=accepted,
        reason=np.where(accepted, "", "scf-not-converged"),
        cpu_seconds=1.0,
    )


def benchmark(path, seconds, cpu, memory):
    path.parent.mkdir(parents=True, exist_ok=True)
    header = "s\th:m:s\tmax_rss\tmax_vms\tmax_uss\tmax_pss\tio_in\tio_out\tmean_load\tcpu_time"
    path.write_text(f"{header}\n{seconds}\t0:00:01\t{memory}\t1\t1\t1\t0\t0\t0\t{cpu}\n")


@pytest.fixture(scope="module")
def results(tmp_path_factory, made):
    directory = tmp_path_factory.mktemp("results") / "little"
    rows, level = made.systems[4:6], directory / "atoms"
    for order, row in enumerate(rows):
        frame = made.frames_of(row, order)
        placed = frame.with_arrays(temperature=np.array([row.temperature]), permittivity=np.array([row.permittivity]))
        about = {
            "system": {"salt": row.salt, "solvent": "water", "role": row.role, "temperature": row.temperature},
            "id": row.id,
            "species": dict(row.counts),
            "molality": row.molality,
            "density_g_cm3": row.density,
            "density_source": row.density_source,
            "permittivity_source": row.permittivity_source,
        }
        composed = directory / "systems" / f"{row.id}.h5"
        write_frames(composed, placed, about)
        write_frames(level / "labels" / f"{row.id}.h5", labelled(frame, row))
        collect_system(composed, [level / "labels" / f"{row.id}.h5"], FRAMES, level / "collected" / row.id)
        told = {"simulate": {"numerics": 1, "simulate": {"length_ps": 3.0}}}
        stopped = {"r0000": None, "r0001": "at 1.5 ps: atoms 0.4 Å apart" if order else None}
        end = placed.with_arrays(positions=frame["positions"] + 0.5)
        moved = Frames.concatenate([placed, end]).with_arrays(trajectory=["r0000", "r0000"])
        write_frames(
            level / "trajectories" / row.id / "r0000" / f"{row.id}.h5", moved, {**about, **told, "stopped": stopped}
        )
        measured = {**made.measured(row, order), "trajectories": [f"../trajectories/{row.id}/r0000/{row.id}.h5"]}
        write_json(level / "properties" / f"{row.id}.json", measured)
        benchmark(directory / "cost" / "compose" / f"{row.id}.tsv", 2.0, 1.5, 100.0 + order)
        benchmark(level / "cost" / "label" / row.id / "b0000.tsv", 60.0, 110.0, 300.0)
    benchmark(level / "cost" / "release.tsv", 1.0, "NA", "-")
    (directory / "systems.tsv").write_text("id\trole\n" + "".join(f"{row.id}\t{row.role}\n" for row in rows))
    write_release(
        [level / "collected" / row.id for row in rows],
        "little-atoms",
        CollectConfig(near_duplicate_A=0, validation_fraction=0.3, test_fraction=0.3),
        level / "dataset",
    )
    number = {"value": 50.0, "error": 2.0}
    entry = {"what": "force", "rmse": number, "mae": number, "reference": 900.0, "unit": "meV/Å", "count": 3}
    pair = {"reference": [0.1, 0.2, 0.3], "predicted": [0.1, 0.25, 0.3]}
    share = {"what": "force", "loss": number, "pairs": number, "gain": {"value": 0.1, "error": None}}
    found = {"factor": number, "rank": number, "trajectories": 3}
    bins = [{"spread": 20.0, "error": number}, {"spread": None, "error": {"value": None, "error": None}}]
    trained = {"member": "m0000", "rmse": number, "share": {"value": 0.2, "error": None}, "silent": 0.25,
               "unmoved": ["body.radial"]}  # fmt: skip
    errors = {
        "errors": [
            {
                **entry,
                "baseline": number,
                "classical": {"value": 45.0, "error": 1.0},
                "spread": {"value": 25.0, "error": 1.0},
            }
        ],
        "environments": [{**entry, "what": "force on free ions", "spread": None}],
        "calibration": {**found, "bins": bins, "usual": {"O": 0.1}},
        "members": [trained],
        "training": {"train": {"objective": "score", "noise_A": 0.1}, "student": {}},
        "explained": [share],
        "force_parity": {"O": pair},
        "energy_parity": {rows[0].id: pair},
    }
    write_json(level / "errors.json", errors)
    (level / "potentials").mkdir()
    head = "epoch,train_loss,validation_force_rmse_meV_A,kept_epoch,ended"
    curve = f"{head}\n1,9.0,,0,\n5,4.0,300,5,\n10,2.0,100,10,\n12,2.0,,10,full\n"
    (level / "potentials" / "m0000.csv").write_text(curve)
    return directory


def test_a_sweep_is_shown_at_its_temperatures(results, made):
    """The first system's own and another one, where something was measured; the second system at both, too."""
    rows, level = made.systems[4:6], results / "atoms"
    for row in rows:
        other = next(r for r in rows if r is not row)
        state = state_id(row.id, row.temperature, other.temperature)
        found = {**made.measured(row, 0), "outside": {"atoms": {"value": 0.2, "error": 0.01}, "force_error": {}}}
        found["trajectories"] = [f"../trajectories/{row.id}/r0000/{row.id}.h5"]
        write_json(level / "properties" / f"{state}.json", found)
    found = gather(results, ["atoms"], {"atoms": [298.15, 350.0]})
    assert len(found.levels[0].health) == 4
    warmer = found.levels[0].health[1]
    assert warmer.system.startswith(f"{rows[0].id}_")
    assert (warmer.outside.value, warmer.left) == (0.2, True)
    assert found.system(warmer.system).label == "LiCl 2.31 mol/kg, 350 K"
    assert found.system(warmer.system).permittivity == rows[0].permittivity
    assert [row.id for row in found.systems] == [row.id for row in rows]
    assert len(found.levels[0].films) == 2, "one of each system"


def test_a_dataset_of_other_systems_is_named_too(results, made, tmp_path):
    """As that of published potentials."""
    copied = tmp_path / results.name
    shutil.copytree(results, copied)
    here, other = made.systems[4:6]
    (copied / "systems.tsv").write_text(f"id\trole\n{here.id}\t{here.role}\n")
    found = gather(copied, ["atoms"])
    assert [row.id for row in found.systems] == [here.id]
    assert {row.system for row in found.levels[0].ledger} == {here.id, other.id}
    assert found.system(other.id).label == "LiCl 2.31 mol/kg, 350 K"
    assert other.id in render(found)


@pytest.fixture(scope="module")
def gathered(results):
    return gather(results, ["atoms"])


def test_systems_are_in_the_order_of_the_campaign(gathered, made):
    assert gathered.campaign == "little"
    assert [row.label for row in gathered.systems] == ["LiCl 2.31 mol/kg, 298 K", "LiCl 2.31 mol/kg, 350 K"]
    assert gathered.systems[1].permittivity == 62.0
    assert gathered.systems[0].box_edge == pytest.approx(made.systems[4].box_edge)


def test_ledger_is_the_releases(gathered):
    level = gathered.levels[0]
    assert (level.requested, level.accepted, level.reasons) == (12, 10, {"scf-not-converged": 2})
    assert level.methods == ("GFN1-xTB (tblite 0.8.0)",)
    assert level.method_cpu_seconds == {"GFN1-xTB (tblite 0.8.0)": 12.0}
    assert [(row.failure_rate, row.cpu_seconds) for row in level.ledger] == [(pytest.approx(1 / 6), 6.0)] * 2
    assert len(level.root_hash) == 64


def test_costs_add_up_by_stage(gathered):
    rows = {row.stage: row for row in gathered.cost}
    assert list(rows) == ["compose", "label", "release"]
    assert (rows["label"].jobs, rows["label"].cpu_seconds, rows["label"].wall_seconds) == (2, 220.0, 120.0)
    assert rows["compose"].memory_MB == 101.0
    assert (rows["release"].cpu_seconds, rows["release"].memory_MB) == (0.0, 0.0)


def test_errors_curves_and_stops_are_read(gathered):
    level = gathered.levels[0]
    assert level.force_error.rmse.value == 50.0
    assert level.force_parity[0].predicted[1] == 0.25
    assert (level.explained[0].loss.value, level.explained[0].gain.value) == (50.0, 0.1)
    assert level.learning[0].epochs.tolist() == [5, 10]
    assert level.force_error.factor == 2.0
    assert level.environments[0].factor is None
    assert level.calibration.bins == ((20.0, Measured(50.0, 2.0)),)
    assert level.members == (
        MemberRow("m0000", Measured(50.0, 2.0), Measured(0.2), 0.25, 12, 10, "full", 45.0, ("body.radial",)),
    )
    assert level.force_error.classical.value == 45.0
    assert level.members[0].doubted, "a classical force field is better"
    assert [row.stopped for row in level.health] == ["", "r0001 at 1.5 ps: atoms 0.4 Å apart"]
    assert level.spec["simulate"]["simulate"]["length_ps"] == 3.0


def test_last_frame_is_shown(gathered, made):
    """The second frame of the file, half an Ångström further along every axis."""
    first = made.frames_of(made.systems[4], 0)
    shown = gathered.levels[0].films[0][-1]
    moved = (shown.positions - first["positions"] - 0.5) @ np.linalg.inv(first["cell"][0])
    assert np.allclose(moved, np.rint(moved), atol=1e-6)


def test_what_was_gathered_makes_a_page(gathered):
    page = render(gathered)
    assert "12 frames were requested: 10 accepted and 2 quarantined (2 scf-not-converged)" in page
    assert "atoms 0.4 Å apart" in page
    assert "The student was taught by positions, displaced by 0.1 Å." in page
    assert json.loads(json.dumps(gathered.levels[0].spec))


def test_a_missing_file_is_told_in_one_line(results, tmp_path):
    with pytest.raises(UserError, match=r"systems\.tsv: not a table of systems"):
        gather(tmp_path, ["atoms"])
    with pytest.raises(UserError, match=r"manifest\.json"):
        gather(results, ["ions"])
