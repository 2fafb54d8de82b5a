"""`saltern dataset`: info, diff, query, merge, and the history of a dataset's versions."""

import json
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from saltern.cli import main
from saltern.frames import Frames
from saltern.store import History, Workers, changes, open_release
from saltern.store.formats import EXPORTS

KEPT = sorted(manifest.parent for manifest in (Path(__file__).parents[2] / "docs/results").glob("*/*/manifest.json"))


def run(capsys, *command) -> str:
    assert main(["dataset", *map(str, command)]) == 0
    return capsys.readouterr().out


def refused(capsys, *command) -> str:
    assert main(["dataset", *map(str, command)]) == 2
    said = capsys.readouterr().err
    assert len(said.splitlines()) == 1
    return said


def test_info_tells_what_is_there(released, frames, capsys):
    release = released(frames("a", 10), frames("b", 20, seed=1))
    said = run(capsys, "info", release.directory)
    assert "30 requested = 24 accepted + 6 quarantined" in said
    assert "GFN1-xTB (tblite 0.8.0)" in said
    assert json.loads(run(capsys, "info", release.directory, "--json"))["root_hash"] == release.manifest["root_hash"]


def test_query_counts_as_pandas_does(released, frames, capsys):
    release = released(frames("a", 10), frames("b", 20, seed=1))
    sql = "SELECT system, count(*) AS n, max(max_force) AS f FROM frames WHERE accepted GROUP BY system ORDER BY system"
    said = run(capsys, "query", release.directory, sql, "--csv").splitlines()
    expected = release.index[release.index["accepted"]].groupby("system")["max_force"].agg(["size", "max"])
    assert said[0] == "system,n,f"
    assert [line.split(",")[:2] for line in said[1:]] == [["a", "8"], ["b", "16"]]
    np.testing.assert_allclose([float(line.split(",")[2]) for line in said[1:]], expected["max"])


@pytest.mark.parametrize(
    ("sql", "reason"),
    [
        ("SELECT nothing FROM frames", "nothing"),
        ("SELEC", "syntax"),
        ("COPY frames TO '/tmp/saltern-was-here.csv'", "disabled"),
        ("SELECT * FROM read_csv('/etc/passwd')", "disabled"),
    ],
)
def test_a_query_that_is_wrong_or_reaches_out_is_refused_in_one_line(released, frames, capsys, sql, reason):
    release = released(frames("a", 10))
    assert reason in refused(capsys, "query", release.directory, sql)


def test_what_a_query_finds_becomes_a_release_with_the_same_frames_and_splits(released, frames, capsys, tmp_path):
    release = released(frames("a", 40), frames("b", 20, seed=1))
    sql = "SELECT label_key FROM frames WHERE system = 'a' AND max_force < 3"
    run(capsys, "query", release.directory, sql, "--output", tmp_path / "few")
    few = open_release(tmp_path / "few")
    few.verify()
    wanted = release.index[(release.index["system"] == "a") & (release.index["max_force"] < 3)]
    assert 0 < len(wanted) < 40
    columns = ["label_key", "checksum", "split", "cpu_seconds"]
    expected = wanted[columns].sort_values("label_key").reset_index(drop=True)
    assert few.index[columns].sort_values("label_key").reset_index(drop=True).equals(expected)
    assert few.manifest["origin"] == {"query": sql, "releases": [release.manifest["root_hash"]]}
    assert few.manifest["ledger"]["requested"] == len(wanted)


def test_merging_the_two_halves_of_a_release_gives_its_content_back(released, frames, capsys, tmp_path):
    release = released(frames("a", 40), frames("b", 20, seed=1))
    for name, sign in (("low", "<"), ("high", ">=")):
        sql = f"SELECT * FROM frames WHERE energy {sign} 0"
        run(capsys, "query", release.directory, sql, "--output", tmp_path / name)
    run(capsys, "merge", tmp_path / "low", tmp_path / "high", tmp_path / "low", tmp_path / "both")
    both = open_release(tmp_path / "both")
    both.verify()
    found = changes(release.index, both.index)
    assert set(found.counts().values()) == {0}


def test_releases_that_contradict_each_other_are_not_merged(released, frames, capsys, tmp_path):
    one = frames("a", 10)
    other = one.with_arrays(energy=one["energy"] + 1e-3)
    releases = [released(one), released(other)]
    said = refused(capsys, "merge", *(release.directory for release in releases), tmp_path / "both")
    assert "10 frames have different labels" in said
    assert not (tmp_path / "both").exists()
    assert list(tmp_path.glob(".both*")) == []


def test_a_release_names_its_parent_and_what_changed(released, frames, capsys, tmp_path):
    history = History(tmp_path / "versions")
    first = frames("a", 20)
    energy, recall = first["energy"].copy(), first["recall"].astype("U20")
    energy[3] += 0.1
    recall[[3, 5]] = "node17"
    second = first.with_arrays(energy=energy, recall=recall).select(np.arange(1, 20))
    extra = frames("a", 4, seed=7)
    extra = extra.with_arrays(time=extra["time"] + 5)
    one = released(first, history=history)
    again = released(first, history=history)
    two = released(Frames.concatenate([second, extra]), history=history)
    assert one.manifest["parent"] is None
    assert again.manifest["parent"] is None
    assert [path.name.split("-")[0] for path in history.versions()] == ["0001", "0002"]
    parent = two.manifest["parent"]
    assert parent["root_hash"] == one.manifest["root_hash"]
    counts = {"added": 4, "removed": 1, "relabelled": 1, "recalled": 2}
    assert {name: parent[name] for name in counts} == counts
    said = run(capsys, "diff", history.versions()[0], two.directory, "--keys")
    assert "added       4" in said
    assert first["label_key"][0] in said.split("removed")[1].split("relabelled")[0]


def test_the_version_depends_on_labels_and_splits_and_not_on_how_they_are_stored(released, frames):
    content = frames("a", 40)
    one, cut = released(content), released(content, shard_bytes=2000)
    assert len(list((cut.directory / "shards").iterdir())) > 3
    np.testing.assert_array_equal(cut.frames("train")["forces"], one.frames("train")["forces"])
    other = released(content.with_arrays(forces=np.nextafter(content["forces"], 1)))
    assert other.manifest["root_hash"] != one.manifest["root_hash"]


@pytest.fixture(scope="module")
def scheduler() -> Iterator[str]:
    """A real dask.distributed cluster of two processes on this machine."""
    from distributed import LocalCluster

    with LocalCluster(n_workers=2, threads_per_worker=1, dashboard_address=None) as cluster:
        yield cluster.scheduler_address


def test_a_release_does_not_depend_on_who_made_it(released, frames, scheduler):
    """In this process, in processes of dask, on a cluster of dask.distributed: the same bytes."""
    systems = [frames(name, 30, atoms=12, seed=i) for i, name in enumerate("abc")]
    found = []
    for workers in (None, Workers(2), Workers(3), Workers(scheduler=scheduler)):
        place = released(*systems, workers=workers).directory
        open_release(place).verify(workers)
        found.append({str(p.relative_to(place)): p.read_bytes() for p in place.rglob("*") if p.is_file()})
    assert found[0] == found[1] == found[2] == found[3]


@pytest.mark.parametrize("name", ["extxyz", "lmdb", "nequip"])
def test_an_export_does_not_depend_on_who_made_it(released, frames, scheduler, tmp_path, name):
    release = released(frames("a", 60, atoms=12), frames("b", 30, atoms=6, seed=1))
    assert {"train", "validation"} <= set(release.index["split"])
    found = []
    for number, workers in enumerate((Workers(1), Workers(2), Workers(scheduler=scheduler))):
        splits = {split: release.reader(split).batches(7) for split in ("train", "validation")}
        EXPORTS[name](splits, tmp_path / f"{number}", release.manifest, workers)
        found.append({p.name: p.read_bytes() for p in (tmp_path / f"{number}").iterdir()})
    assert found[0] == found[1] == found[2]


def test_a_scheduler_that_is_not_there_is_told(released, frames, capsys):
    release = released(frames("a", 10))
    said = refused(capsys, "verify", release.directory, "--scheduler", "tcp://127.0.0.1:9")
    assert "--scheduler tcp://127.0.0.1:9: does not answer" in said


@pytest.mark.parametrize("directory", KEPT, ids=lambda directory: "-".join(directory.parts[-2:]))
def test_releases_of_the_project_are_what_their_checksums_say(directory):
    open_release(directory).verify()


@pytest.mark.parametrize("verb", ["info", "verify", "query"])
def test_what_is_no_release_is_told_in_one_line(capsys, tmp_path, verb):
    more = ["SELECT 1"] if verb == "query" else []
    assert "not a dataset release" in refused(capsys, verb, tmp_path / "nowhere", *more)


def test_trajectories_of_the_same_name_can_be_kept_apart(released, frames, capsys, tmp_path):
    one, other = frames("a", 40), frames("a", 20, seed=1)
    releases = [released(one, name="one"), released(other, name="other")]
    paths = [release.directory for release in releases]
    run(capsys, "merge", "--apart", *paths, tmp_path / "both")
    both = open_release(tmp_path / "both")
    both.verify()
    assert set(both.index["trajectory"]) == {f"{name}-t{i}" for name in ("one", "other") for i in range(4)}
    splits = {(r.label_key, r.split) for release in releases for r in release.index.itertuples()}
    assert {(r.label_key, r.split) for r in both.index.itertuples()} == splits
    read = both.reader().frames(slice(None), ["trajectory", "energy"])
    expected = dict(zip(one["energy"], (f"one-{name}" for name in one["trajectory"]), strict=True))
    assert all(expected.get(e, name) == name for e, name in zip(read["energy"], read["trajectory"], strict=True))
    assert "different names" in refused(capsys, "merge", "--apart", paths[0], paths[0], tmp_path / "twice")


def test_what_a_campaign_does_with_a_system_does_not_make_it_another(released, frames, capsys, tmp_path):
    one = released(frames("a", 10))
    about = {"molality": 2.3, "system": {**one.manifest["systems"]["a"]["system"], "role": "test", "levels": ["x"]}}
    other = released(frames("a", 20, seed=1), about=about, name="other")
    hotter = {**about, "system": {**about["system"], "temperature": 310.0}}
    run(capsys, "merge", "--apart", one.directory, other.directory, tmp_path / "both")
    assert open_release(tmp_path / "both").manifest["systems"] == one.manifest["systems"]
    wrong = released(frames("a", 20, seed=2), about=hotter, name="wrong")
    said = refused(capsys, "merge", "--apart", one.directory, wrong.directory, tmp_path / "wrong")
    assert "a is another system" in said
