"""The whole workflow on the smallest campaign: runs once, then does nothing, then redoes just what an edit asks for."""

import json
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import yaml
from safetensors import safe_open

from saltern.cli import main
from saltern.labelling.ledger import books_of
from saltern.store import LabelStore, file_hash, open_release, read_frames, read_metadata

ROOT = Path(__file__).parents[2]
TINY = Path(__file__).with_name("tiny.yaml")

AFTER_TRAIN = {"train": 2, "evaluate": 1, "simulate": 2, "observe": 2, "report": 1, "all": 1}
AFTER_COLLECT = {"release": 1, **AFTER_TRAIN}
AFTER_LABEL = {"label": 4, "collect": 2, **AFTER_COLLECT}
EDITS = [
    ("observe", "blocks", 3, {"observe": 2, "report": 1, "all": 1}),
    ("simulate", "thermostat_fs", 50, {"simulate": 2, "observe": 2, "report": 1, "all": 1}),
    ("train", "learning_rate", 0.02, AFTER_TRAIN),
    ("baseline", "kind", "none", AFTER_TRAIN),
    ("collect", "seed", 1, AFTER_COLLECT),
    ("label", "max_force_eV_A", 49.0, AFTER_LABEL),
    ("teacher", "accuracy", 1.0, AFTER_LABEL),
    ("sample", "every_ps", 0.2, {"sample": 2, **AFTER_LABEL}),
]

Run = Callable[..., subprocess.CompletedProcess[str]]


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Run:
    """Run Snakemake in a directory of its own."""
    place = tmp_path_factory.mktemp("campaign")
    shutil.copy(TINY, place / "tiny.yaml")

    def snakemake(*arguments: str, configfile: str = "tiny.yaml") -> subprocess.CompletedProcess[str]:
        binaries = Path(sys.executable).parent
        return subprocess.run(
            [binaries / "snakemake", "--profile", ROOT / "profiles/local", "--snakefile", ROOT / "Snakefile",
             "--directory", place, "--configfile", configfile, "--cores", "2", *arguments],
            check=False, capture_output=True, text=True, cwd=place, timeout=1500,
            env={**os.environ, "PATH": f"{binaries}:{os.environ['PATH']}"},
        )  # fmt: skip

    snakemake.place = place  # type: ignore[attr-defined]
    return snakemake


@pytest.fixture(scope="module")
def finished(run: Run) -> Path:
    """The campaign, run to its end."""
    done = run()
    assert done.returncode == 0, done.stdout + done.stderr
    return run.place / "results/tiny"  # type: ignore[attr-defined]


def planned(dry_run: subprocess.CompletedProcess[str]) -> dict[str, int]:
    """Jobs by rule in a dry run."""
    text = dry_run.stdout + dry_run.stderr
    assert dry_run.returncode == 0, text
    if "Nothing to be done" in text:
        return {}
    table = text.split("Job stats:")[1].split("\n\n")[0]
    jobs = dict(re.findall(r"^(\w+) +(\d+)$", table, re.MULTILINE))
    jobs.pop("total")
    return {rule: int(count) for rule, count in jobs.items()}


def test_every_stage_leaves_its_file(finished: Path) -> None:
    release = open_release(finished / "atoms/dataset")
    release.verify()
    ledger = release.manifest["ledger"]
    assert ledger["requested"] == 12
    assert ledger["accepted"] + ledger["quarantined"] == 12
    assert "requested" in (finished / "summary.txt").read_text()
    assert (finished / "report.html").stat().st_size > 10_000
    assert not list(finished.rglob("*.journal")), "journals are removed when their file is whole"


def test_a_second_run_makes_no_jobs(run: Run, finished: Path) -> None:
    again = run()
    assert "Nothing to be done" in again.stdout + again.stderr


@pytest.mark.parametrize(("section", "key", "value", "expected"), EDITS)
def test_an_edit_reruns_its_stage_and_what_depends_on_it(
    run: Run, finished: Path, section: str, key: str, value: Any, expected: dict[str, int]
) -> None:
    campaign = yaml.safe_load(TINY.read_text())
    campaign["levels"][0].setdefault(section, {})[key] = value
    (finished.parents[1] / "edited.yaml").write_text(yaml.safe_dump(campaign))
    assert planned(run("--dry-run", configfile="edited.yaml")) == expected


def test_one_more_system_and_one_more_member_redo_nothing_that_is_there(run: Run, finished: Path) -> None:
    campaign = yaml.safe_load(TINY.read_text())
    campaign["levels"][0]["student"]["committee"] = 3
    (finished.parents[1] / "edited.yaml").write_text(yaml.safe_dump(campaign))
    jobs = planned(run("--dry-run", configfile="edited.yaml"))
    assert jobs["train"] == 1
    assert "label" not in jobs
    campaign["systems"].append({"salt": "LiCl", "molality": 7, "solvent_molecules": 8})
    (finished.parents[1] / "edited.yaml").write_text(yaml.safe_dump(campaign))
    jobs = planned(run("--dry-run", configfile="edited.yaml"))
    assert (jobs["compose"], jobs["sample"], jobs["label"], jobs["collect"]) == (1, 1, 2, 1)


def test_a_campaign_with_mistakes_is_refused_before_any_job(run: Run, tmp_path: Path) -> None:
    campaign = yaml.safe_load(TINY.read_text())
    campaign["levels"][0]["student"]["rmax"] = 5
    (tmp_path / "wrong.yaml").write_text(yaml.safe_dump(campaign))
    refused = run(configfile=str(tmp_path / "wrong.yaml"))
    assert refused.returncode != 0
    assert "levels.0.student.rmax: unknown key; did you mean 'r_max_A'?" in refused.stdout + refused.stderr
    assert "Traceback" not in refused.stdout + refused.stderr


def test_a_level_of_ions_is_the_same_pipeline(run: Run) -> None:
    """Its teacher moves, its frames hold ions alone, its labels have no energy; all else is as on any level."""
    shutil.copy(TINY.with_name("ions.yaml"), run.place / "ions.yaml")  # type: ignore[attr-defined]
    done = run(configfile="ions.yaml")
    assert done.returncode == 0, done.stdout + done.stderr
    results = run.place / "results/ions-tiny"  # type: ignore[attr-defined]
    release = open_release(results / "ions/dataset")
    release.verify()
    assert release.manifest["ledger"]["accepted"] == 12
    frames = release.frames("train")
    assert set(frames["numbers"].tolist()) == {11, 17}
    assert np.isnan(frames["energy"]).all()
    errors = json.loads((results / "ions/errors.json").read_text())["errors"]
    assert [row["what"] for row in errors] == ["force", "force on Na", "force on Cl"]
    own, other = sorted((results / "ions/properties").glob("*.json"), key=lambda path: len(path.stem))
    assert other.stem.startswith(f"{own.stem}_")
    for file, temperature in ((own, 300), (other, 330)):
        measured = json.loads(file.read_text())
        assert ("teacher" in measured) == (temperature == 300), (
            "the teacher's liquid is at the system's own temperature"
        )
        assert [entry["pair"] for entry in measured["pmf"]][1] == ["Na", "Cl"]
        assert measured["temperature"]["value"] == temperature
        assert 0 <= measured["outside"]["atoms"]["value"] <= 1
        assert 0 <= measured["new_environments"]["value"] <= 1
        [trajectory] = (results / "ions/trajectories" / file.stem / "r0000").glob("*.h5")
        frames = read_frames(trajectory)
        assert set(frames["numbers"].tolist()) == {11, 17}
        assert set(frames["temperature"]) == {temperature}
        assert set(frames["permittivity"]) == {72}
    page = (results / "report.html").read_text()
    assert "Likeness to the teacher" in page
    assert "Crystals at rest" in page
    audit = (results / "ions/audit.txt").read_text()
    assert "no crystal in any of 12 frames" in audit
    assert audit in page
    assert f'<code>{other.stem}</code></th><td class="w">NaCl 2.31 mol/kg, 330 K' in page
    assert (results / "report.html").stat().st_size > 10_000
    again = run(configfile="ions.yaml")
    assert "Nothing to be done" in again.stdout + again.stderr
    campaign = yaml.safe_load(TINY.with_name("ions.yaml").read_text())
    campaign["levels"][0]["simulate"]["temperatures"] = [280, 300, 330]
    (results.parents[1] / "warmer.yaml").write_text(yaml.safe_dump(campaign))
    added = planned(run("--dry-run", configfile="warmer.yaml"))
    assert added == {"simulate": 1, "observe": 1, "audit": 1, "report": 1, "all": 1}, (
        "nothing that is there is simulated again"
    )
    another_student_of_the_same_labels(run, results)
    what_was_learned_is_simulated_elsewhere(run, results)


def another_student_of_the_same_labels(run: Run, results: Path) -> None:
    """A second level with the same teacher makes no label, and neither does a system that is only simulated.

    What it simulates goes side by side, in one job as far as there is room.
    """
    campaign = yaml.safe_load(TINY.with_name("ions.yaml").read_text())
    pairs = {**campaign["levels"][0], "name": "pairs", "student": {"network": "pair", "r_max_A": 9, "committee": 1}}
    pairs["simulate"] = {**pairs["simulate"], "together": 2}
    campaign["levels"].append(pairs)
    (results.parents[1] / "pairs.yaml").write_text(yaml.safe_dump(campaign))
    once = dict.fromkeys(("release", "train", "evaluate", "simulate", "audit", "report", "all"), 1) | {"observe": 2}
    assert planned(run("--dry-run", configfile="pairs.yaml")) == once, "another student of the same labels"
    done = run(configfile="pairs.yaml")
    assert done.returncode == 0, done.stdout + done.stderr
    ledgers = [open_release(results / f"{level}/dataset").manifest["ledger"] for level in ("ions", "pairs")]
    assert ledgers[0] == ledgers[1]
    assert "pairs: dataset" in (results / "summary.txt").read_text()
    states = {path.stem for path in (results / "pairs/properties").iterdir()}
    assert {path.stem for path in (results / "pairs/trajectories/g0000/r0000").glob("*.h5")} == states
    assert len(states) == 2
    what_one_has_simulated_moves_the_next(run, results, campaign)
    free = {"salt": "NaCl", "molality": 1.2, "temperature": 300, "solvent_molecules": 48, "role": "simulate"}
    campaign["systems"].append({**free, "levels": ["pairs"], "permittivity": 72})
    (results.parents[1] / "pairs.yaml").write_text(yaml.safe_dump(campaign))
    alone = dict.fromkeys(("compose", "systems", "sample", "simulate", "audit", "report", "all"), 1) | {"observe": 2}
    assert planned(run("--dry-run", configfile="pairs.yaml")) == alone, "no label, and nothing simulated again"


def what_one_has_simulated_moves_the_next(run: Run, results: Path, campaign: dict[str, Any]) -> None:
    """A third level takes the splines of the second and what these simulated, which is not made again."""
    pairs = campaign["levels"][1]
    compared = {**pairs["train"], "objective": "relative_entropy", "start_level": "pairs"}
    levels = [*campaign["levels"], {**pairs, "name": "nearer", "train": compared}]
    (results.parents[1] / "nearer.yaml").write_text(yaml.safe_dump({**campaign, "levels": levels}))
    wanted = "results/ions-tiny/nearer/potentials/m0000.safetensors"
    assert planned(run("--dry-run", wanted, configfile="nearer.yaml")) == {"release": 1, "train": 1}
    done = run(wanted, configfile="nearer.yaml")
    assert done.returncode == 0, done.stdout + done.stderr
    first, second = (results / level / "potentials/m0000.safetensors" for level in ("pairs", "nearer"))
    with safe_open(first, "pt") as old, safe_open(second, "pt") as new:
        training = json.loads(new.metadata()["saltern"])["training"]
        moved = new.get_tensor("pair.coefficients") - old.get_tensor("pair.coefficients")
    shown = sorted((results / "pairs/trajectories/g0000/r0000").glob("*.h5"))
    assert (training["start"], training["simulated"]) == (file_hash(first), [file_hash(file) for file in shown])
    assert 1e-5 < float(moved.abs().max()) < 1


def what_was_learned_is_simulated_elsewhere(run: Run, results: Path) -> None:
    """A campaign of published potentials neither labels nor trains, and its liquid is held against their data.

    Another level learns from their dataset anew.
    """
    place = results.parents[1]
    campaign = yaml.safe_load(TINY.with_name("ions.yaml").read_text())
    level = campaign["levels"][0]
    potentials = [f"results/ions-tiny/ions/potentials/{member}.safetensors" for member in ("m0001", "m0000")]
    taught = {"engine": "published", "potentials": potentials, "dataset": "results/ions-tiny/ions/dataset"}
    sample = {"engine": "packed", "frames": 3, "trajectories": 3}
    kept = {"name": "ions", "observe": level["observe"],
            "simulate": {**level["simulate"], "temperatures": None, "replicas": 2, "driver": "each"}}  # fmt: skip
    campaign |= {"campaign": "again", "levels": [{**kept, "teacher": taught, "sample": sample}]}
    campaign["systems"].append({**campaign["systems"][0], "molality": 1.2, "role": "simulate"})
    (place / "again.yaml").write_text(yaml.safe_dump(campaign))
    learned = {"name": "anew", "teacher": {**taught, "potentials": []}, "sample": sample, "student": level["student"],
               "train": {**level["train"], "objective": "score"}}  # fmt: skip
    (place / "anew.yaml").write_text(yaml.safe_dump({**campaign, "levels": [learned]}))
    done = run("results/again/anew/errors.json", configfile="anew.yaml")
    assert done.returncode == 0, done.stdout + done.stderr
    assert planned(done) == {"published_dataset": 1, "train": 2, "evaluate": 1}
    before, anew = (open_release(place / "results" / name / "dataset") for name in ("ions-tiny/ions", "again/anew"))
    assert anew.manifest["root_hash"] == before.manifest["root_hash"]
    shutil.rmtree(place / "results/again")
    jobs = {"compose": 2, "systems": 1, "sample": 2, "published_dataset": 1, "published_potential": 2, "evaluate": 1,
            "simulate": 4, "audit": 1, "observe": 2, "report": 1, "all": 1}  # fmt: skip
    assert planned(run("--dry-run", configfile="again.yaml")) == jobs
    done = run(configfile="again.yaml")
    assert done.returncode == 0, done.stdout + done.stderr
    again = place / "results/again/ions"
    members = [again / "potentials" / f"{member}.safetensors" for member in ("m0000", "m0001")]
    assert [file.read_bytes() for file in members] == [(place / file).read_bytes() for file in potentials]
    hashes = [file_hash(file) for file in members]
    for place_of, driver in (("r0000", 0), ("r0001", 1)):
        for file in (again / "trajectories").glob(f"*/{place_of}/*.h5"):
            about = read_metadata(file)
            assert (about["driver"], about["potentials"]) == (driver, [hashes[driver], hashes[1 - driver]])
            assert list(about["stopped"]) == [place_of]
    [first] = (results / "ions/properties").glob("*[!_]??????.json")
    both = [json.loads((directory / "properties" / first.name).read_text()) for directory in (results / "ions", again)]
    assert both[0]["teacher"][0]["g"] == both[1]["teacher"][0]["g"], "the teacher's liquid is that of its dataset"
    likened = [path for path in (again / "properties").iterdir() if "teacher" in json.loads(path.read_text())]
    assert likened == [again / "properties" / first.name], "the other system was never taught"
    assert "ions: dataset" in (again.parent / "summary.txt").read_text()
    [book] = books_of(again.parent, LabelStore(place / "labels"))
    assert (book.ledger.closes, book.ledger.total.accepted) == (True, 12), "the data's own"
    with (place / "results/ions-tiny/ions/dataset/index.parquet").open("ab") as file:
        file.write(b"x")
    shutil.rmtree(again.parent)
    damaged = run("results/again/ions/dataset", configfile="again.yaml")
    assert damaged.returncode != 0
    assert "index.parquet" in damaged.stdout + damaged.stderr
    assert not (again / "dataset").exists()


def test_what_a_level_has_learned_samples_and_starts_the_next(run: Run, finished: Path) -> None:
    """Candidates come from its committee, and every member goes on from the one of the same number."""
    place = run.place  # type: ignore[attr-defined]
    campaign = yaml.safe_load(TINY.read_text())
    first = campaign["levels"][0]
    brief = {"engine": "potential", "level": "atoms", "frames": 6, "trajectories": 3, "every_ps": 0.002}
    fine = {
        "name": "fine",
        "sample": {**brief, "equilibrate_ps": 0.002},
        "label": {"batch": 6},
        "collect": {"near_duplicate_A": 0},
        "train": {**first["train"], "start_level": "atoms"},
    }
    campaign["levels"].append({**first, **fine})
    (place / "start.yaml").write_text(yaml.safe_dump(campaign))
    wanted = [f"results/tiny/fine/potentials/m000{n}.safetensors" for n in (0, 1)]
    expected = {"sample": 2, "label": 2, "collect": 2, "release": 1, "train": 2}
    assert planned(run("--dry-run", *wanted, configfile="start.yaml")) == expected
    done = run(*wanted, configfile="start.yaml")
    assert done.returncode == 0, done.stdout + done.stderr
    before = [file_hash(finished / f"atoms/potentials/m000{number}.safetensors") for number in (0, 1)]
    for system in ("salt", "water"):
        assert read_metadata(place / f"results/tiny/fine/candidates/{system}.h5")["potentials"] == before
    for number in (0, 1):
        with safe_open(place / wanted[number], "pt") as file:
            told = json.loads(file.metadata()["saltern"])["training"]
        assert told["start"] == before[number]


def test_the_student_of_one_level_teaches_the_next(run: Run) -> None:
    """One DAG: the ions' labels wait for the potential of all atoms, and are made again when it is another one."""
    place = run.place  # type: ignore[attr-defined]
    campaign = yaml.safe_load(TINY.with_name("two-levels.yaml").read_text())
    (place / "two.yaml").write_text(yaml.safe_dump(campaign))
    done = run(configfile="two.yaml")
    assert done.returncode == 0, done.stdout + done.stderr
    results = place / "results/two-levels"
    release = open_release(results / "ions/dataset")
    release.verify()
    frames = release.frames("train")
    assert set(frames["numbers"].tolist()) == {11, 17}
    assert set(frames["engine"].tolist()) == {"saltern"}
    labels = sorted((results / "ions/labels").rglob("*.h5"))
    potential = file_hash(results / "atoms/potentials/m0000.safetensors")
    assert [read_metadata(path)["potentials"] for path in labels] == [[potential]] * 3
    books = {Path(entry.name).name: entry.ledger for entry in books_of(results, LabelStore(place / "labels"))}
    assert {name: ledger.total.accepted for name, ledger in books.items() if ledger.closes} == {"atoms": 9, "ions": 12}
    assert "ions: dataset" in (results / "summary.txt").read_text()
    assert "Structure (ions)" in (results / "report.html").read_text()
    assert planned(run("--dry-run", configfile="two.yaml")) == {}
    campaign["levels"][0]["train"]["learning_rate"] = 0.02
    (place / "two.yaml").write_text(yaml.safe_dump(campaign))
    jobs = planned(run("--dry-run", configfile="two.yaml"))
    assert jobs == {"train": 2, "evaluate": 2, "simulate": 2, "observe": 2, "label": 3, "collect": 1, "release": 1,
                    "report": 1, "all": 1}  # fmt: skip


def test_report_of_snakemake_has_the_captions(run: Run, finished: Path) -> None:
    made = run("--report", "snakemake-report.html")
    assert made.returncode == 0, made.stderr
    page = (finished.parents[1] / "snakemake-report.html").read_text()
    assert "What each system" in page
    assert "Learning curve of committee member" in page


DATASET = "results/{}/atoms/dataset"


def test_a_recall_makes_just_its_labels_again_and_the_release_says_so(run: Run, finished: Path) -> None:
    dataset = DATASET.format("tiny")
    before = open_release(finished / "atoms/dataset")
    index = before.index
    key = index[index["system"] == "salt"]["label_key"].iloc[0]
    wrong = ["recall", str(finished.parents[1] / "labels"), "--key", key, "--reason", "a faulty node"]
    assert main(wrong) == 0
    assert planned(run("--dry-run")) == {**AFTER_COLLECT, "label": 1, "collect": 1}

    again = run(dataset)
    assert again.returncode == 0, again.stdout + again.stderr
    after = open_release(finished / "atoms/dataset")
    [name] = after.manifest["recalls"]
    entry = after.manifest["recalls"][name]
    assert (entry["frames"], entry["reason"]) == (1, "a faulty node")
    assert f"- `{name}`: 1 frames ({entry['date']}: a faulty node)" in (after.directory / "README.md").read_text()
    since = after.index.set_index("label_key")["recall"].to_dict()
    assert since == {k: name if k == key else "" for k in index["label_key"]}
    assert after.manifest["root_hash"] == before.manifest["root_hash"], "the label is the same to the last bit"
    assert planned(run(dataset, "--dry-run")) == {}


def test_another_campaign_computes_nothing_even_after_a_recall(run: Run, finished: Path) -> None:
    """Its batches are made after the recall, so the recall must not ask for them once more."""
    campaign = {**yaml.safe_load(TINY.read_text()), "campaign": "other"}
    (finished.parents[1] / "other.yaml").write_text(yaml.safe_dump(campaign))
    labels = finished.parents[1] / "labels"
    store = sorted(labels.rglob("*.json"))
    made = run(DATASET.format("other"), configfile="other.yaml")
    assert made.returncode == 0, made.stdout + made.stderr
    assert (made.stdout + made.stderr).count("answers are in the label store") == 4, "all four batches are look-ups"
    assert sorted(labels.rglob("*.json")) == store
    tiny, other = (open_release(finished.parents[1] / DATASET.format(name)).manifest for name in ("tiny", "other"))
    assert tiny["root_hash"] == other["root_hash"]
    assert planned(run(DATASET.format("other"), "--dry-run", configfile="other.yaml")) == {}
