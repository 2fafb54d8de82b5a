"""`saltern plan`, before and after."""

import json
from pathlib import Path

import numpy as np
import pytest

from saltern.cli import main
from saltern.frames import Frames
from saltern.store import LabelStore, write_frames

ROOT = Path(__file__).parents[2]
DEMO = str(ROOT / "config/demo.yaml")
SYSTEM = "NaCl-b88a12"

Captured = pytest.CaptureFixture[str]


@pytest.fixture(autouse=True)
def directory(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    return tmp_path


def fill(store: LabelStore, atoms: int, seconds: list[float]) -> None:
    """Labels of some GFN1-xTB frames, as far as their costs go."""
    for number, spent in enumerate(seconds):
        question = {"engine": "tblite", "numbers": [1] * atoms, "settings": {"method": "GFN1-xTB", "numerics": 1}}
        record = {"method": "GFN1-xTB", "cpu_seconds": spent, "recall": ""}
        store.add(f"{atoms + 1000 * number:064x}", {"question": question, "record": record})


def total(text: str) -> list[str]:
    return next(line.split() for line in text.splitlines() if line.startswith("total"))


def test_a_forecast_needs_no_labels(capsys: Captured) -> None:
    assert main(["plan", DEMO]) == 0
    text = capsys.readouterr().out
    table = [line for line in text.splitlines() if line.startswith(("system", "NaCl", "LiCl", "shared", "total"))]
    assert len(table) == 1 + 8 + 1 + 1
    assert len({len(line) for line in table}) == 1, "columns are aligned"
    assert total(text)[1:7] == ["120", "8", "15", "16.80%", "54", "383"]
    assert "built-in figures" in text


@pytest.mark.parametrize("campaign", sorted((ROOT / "config/campaigns").glob("*.yaml")), ids=lambda path: path.stem)
def test_campaigns_of_the_project_are_valid(campaign: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(ROOT)  # published potentials stand there
    assert main(["validate", str(campaign)]) == 0


def test_labels_count_once_and_only_where_they_are_made(capsys: Captured) -> None:
    """Two levels share the labels of one system; the other one is simulated alone."""
    campaign = str(ROOT / "config/campaigns/nacl-crystallisation.yaml")
    assert main(["validate", campaign]) == 0
    assert capsys.readouterr().out.endswith("valid; 2 systems, 18,000 frames to label\n")
    assert main(["plan", campaign]) == 0
    lines = capsys.readouterr().out.splitlines()
    labelled, simulated = (line.split() for line in lines if line.startswith("NaCl-"))
    assert float(labelled[-3]) > 1
    assert {float(cell) for cell in simulated[-3:]} == {float(simulated[-1])}, "starting its jobs, and no label"


def test_labels_at_hand_correct_it(capsys: Captured) -> None:
    main(["plan", DEMO])
    before = [float(cell) for cell in total(capsys.readouterr().out)[-3:]]
    fill(LabelStore("labels"), 74, [15.0, 16.0, 17.0])
    fill(LabelStore("labels"), 76, [16.0, 17.0, 18.0])
    main(["plan", DEMO])
    text = capsys.readouterr().out
    middle, low, high = (float(cell) for cell in total(text)[-3:])
    assert middle == pytest.approx(120 * 16.5 / 3600 + 54 * 5 / 3600, abs=0.01)
    assert low < middle < high
    assert (high - low) / middle < (before[2] - before[1]) / before[0] / 3
    assert "fitted to 6 labels of 74 to 76 atoms" in text


def test_a_campaign_that_is_too_large_is_shown_and_refused(directory: Path, capsys: Captured) -> None:
    limits = "limits: {jobs: 50, core_hours: 0.5}\n"
    (directory / "c.yaml").write_text(limits + Path(DEMO).read_text())
    assert main(["validate", "c.yaml"]) == 2
    assert capsys.readouterr().err.count("\n") == 1
    fill(LabelStore("labels"), 74, [160.0, 170.0])
    assert main(["plan", "c.yaml", "--output", "f.json"]) == 2
    captured = capsys.readouterr()
    assert total(captured.out)
    assert [line.split(": ")[2] for line in captured.err.splitlines()] == ["limits.jobs", "limits.core_hours"]
    assert not (directory / "f.json").exists()


def labelled(count: int, seconds: float) -> None:
    frames = Frames.uniform(np.array([1, 1]), count, positions=np.zeros((2, 3)), cpu_seconds=np.full(count, seconds))
    write_frames(f"results/demo/atoms/labels/{SYSTEM}/b0000.h5", frames)


def test_after_the_run_the_kept_forecast_is_compared(directory: Path, capsys: Captured) -> None:
    fill(LabelStore("labels"), 74, [2.0, 2.0])
    assert main(["plan", DEMO, "--output", "f.json"]) == 0
    kept = json.loads((directory / "f.json").read_text())
    assert kept["systems"][SYSTEM]["label_seconds"] == pytest.approx(30)
    labelled(10, 3.0)
    cost = directory / "results/demo/atoms/cost"
    (cost / "label" / SYSTEM).mkdir(parents=True)
    (cost / "label" / SYSTEM / "b0000.tsv").write_text("s\th:m:s\tcpu_time\n7200\t2:00:00\t3600\n")
    (cost / "release.tsv").write_text("s\th:m:s\tcpu_time\n36\t0:00:36\tNA\n")
    capsys.readouterr()
    assert main(["plan", DEMO, "--spent", "f.json"]) == 0
    rows = {line.split()[0]: line.split()[1:] for line in capsys.readouterr().out.splitlines() if line}
    assert rows[SYSTEM][:2] == ["15", "10"]
    assert rows[SYSTEM][-1] == "1.50", "10 frames at 3 s, of which 2 s each were forecast"
    assert rows["total"][-1] == "1.50", "what is not labelled yet is not compared"
    assert rows["label"] == ["1", "1.000", "2.000"]
    assert rows["release"] == ["1", "0.000", "0.010"]


@pytest.mark.parametrize("text", ["{}", "[]", '{"format": "saltern-forecast", "format_version": 9}'])
def test_a_file_that_is_no_forecast_is_refused(text: str, directory: Path, capsys: Captured) -> None:
    labelled(1, 1.0)
    (directory / "f.json").write_text(text)
    assert main(["plan", DEMO, "--spent", "f.json"]) == 2
    assert "f.json: not a forecast" in capsys.readouterr().err


def test_before_the_run_nothing_is_spent(capsys: Captured) -> None:
    assert main(["plan", DEMO, "--spent"]) == 2
    assert "nothing has been run" in capsys.readouterr().err
