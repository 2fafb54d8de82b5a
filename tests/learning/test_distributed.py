"""Several processes that share one training: the same numbers, and no process left behind by any kill."""

import csv
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import yaml
from safetensors import safe_open
from safetensors.torch import load_file

from saltern.cli.launch import launch
from saltern.config import CollectConfig, StudentConfig, TrainConfig, TrainSpec, campaign_from
from saltern.config.stages import BaselineConfig
from saltern.errors import UserError
from saltern.frames import Frames
from saltern.learning import ALONE, train
from saltern.store import collect_system, file_hash, open_release, read_frames, write_frames, write_release

SPEC = TrainSpec(
    baseline=BaselineConfig(),
    student=StudentConfig(r_max_A=4.0, layers=2, l_max=1, features=4, radial_width=8),
    train=TrainConfig(epochs=30, batch=4, validate_every=10, stress_weight=10.0, device="cpu", precision="float64"),
)
LAUNCH = """
import sys
from pathlib import Path
from saltern.cli.launch import launch
sys.exit(launch(sys.argv[2:], 2, Path(sys.argv[1])))
"""
ALWAYS_KEEP = """
import sys
from saltern.cli import main
from saltern.learning import train
sys.modules[train.__module__].CHECKPOINT_INTERVAL_S = 0.0
sys.exit(main(sys.argv[1:]))
"""


def crystals(name: str, repeats: int, count: int) -> Frames:
    """NaCl near the sites of 4 or 8 x `repeats` ions: springs to the sites, uneven in energy and number of atoms."""
    rng = np.random.default_rng(repeats)
    cell = np.diag([5.8, 5.8, 5.8 * repeats])
    sites = np.stack(np.meshgrid([0.0, 2.9], [0.0, 2.9], 2.9 * np.arange(2 * repeats)), -1).reshape(-1, 3)
    steps = rng.normal(scale=0.1 * repeats, size=(count, len(sites), 3))
    return Frames.uniform(
        np.where(sites.sum(1) / 2.9 % 2 < 0.5, 11, 17), count,
        positions=sites + steps, cell=cell, charges=0.0, permittivity=3.0,
        energy=(steps**2).sum((1, 2)) - 100.0 * repeats, forces=-2.0 * steps,
        stress=rng.normal(scale=0.01, size=(count, 3, 3)),
        system=np.array([name]), trajectory=np.array([f"{name}-t{i % 5}" for i in range(count)]),
        time=np.arange(count) * 1.0, temperature=300.0,
        label_key=np.array([f"{name}-{i}" for i in range(count)]), engine=np.array(["spring"]),
        engine_version=np.array(["1"]), method=np.array(["spring"]), accepted=True, reason=np.array([""]),
        iterations=1, cpu_seconds=0.0,
    )  # fmt: skip


@pytest.fixture(scope="module")
def release(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Training frames of 8 or 16 ions, in mini-batches of four of which the last has one frame for two processes."""
    place = tmp_path_factory.mktemp("release")
    for name, repeats, count in [("small", 1, 15), ("large", 2, 15)]:
        frames = crystals(name, repeats, count)
        known = {"id": name, "molality": 0.0, "system": {"salt": "NaCl", "role": "train", "temperature": 300.0}}
        write_frames(place / "system.h5", frames.select([0]), known)
        write_frames(place / "labels.h5", frames)
        collect_system(place / "system.h5", [place / "labels.h5"], count, place / name)
    fractions = CollectConfig(near_duplicate_A=0, validation_fraction=0.2, test_fraction=0.1)
    write_release([place / "small", place / "large"], "crystals", fractions, place / "dataset")
    assert len(open_release(place / "dataset").frames("train")) % SPEC.train.batch == 1
    return place / "dataset"


def arguments(release: Path, output: Path, spec: TrainSpec = SPEC) -> list[str]:
    files = [str(release), str(output), str(output.with_suffix(".csv"))]
    return ["train", *files, "--member=0", "--processes=2", f"--spec={spec.model_dump_json()}"]


def curve(path: Path) -> list[dict[str, str]]:
    with path.with_suffix(".csv").open() as handle:
        return [{k: v for k, v in row.items() if k != "cpu_seconds"} for row in csv.DictReader(handle)]


def processes_of(output: Path) -> dict[str, int]:
    """The processes that train for an output: rank and process id."""
    found = {}
    for process in Path("/proc").glob("[0-9]*"):
        try:
            command = (process / "cmdline").read_bytes().decode().split("\0")
            environment = (process / "environ").read_bytes().decode().split("\0")
        except OSError:
            continue
        if "--rendezvous" in command and str(output) in command:
            ranks = [line.removeprefix("RANK=") for line in environment if line.startswith("RANK=")]
            found[ranks[0]] = int(process.name)
    return found


def until(happened: Callable[[], object], seconds: float = 180.0) -> None:
    """Wait for a call to give something true."""
    end = time.monotonic() + seconds
    while not happened():
        assert time.monotonic() < end, "did not happen in time"
        time.sleep(0.02)


@pytest.fixture(scope="module")
def whole(release: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """What two processes train that nobody disturbs."""
    output = tmp_path_factory.mktemp("whole") / "m.safetensors"
    subprocess.run([sys.executable, "-m", "saltern", *arguments(release, output)], check=True, timeout=120)
    assert {file.name for file in output.parent.iterdir()} == {"m.csv", "m.safetensors"}
    return output


def assert_same(found: Path, expected: Path) -> None:
    weights, wanted = load_file(found), load_file(expected)
    assert weights.keys() == wanted.keys()
    for name, tensor in wanted.items():
        np.testing.assert_allclose(weights[name], tensor, rtol=0, atol=1e-10, err_msg=name)
    assert curve(found) == curve(expected)


def test_two_processes_train_what_one_trains(release: Path, whole: Path, tmp_path: Path) -> None:
    one = tmp_path / "one.safetensors"
    train(open_release(release), SPEC, 0, one, one.with_suffix(".csv"), "train")
    assert_same(whole, one)


def test_two_processes_lose_patience_together(release: Path, tmp_path: Path) -> None:
    """A rate that is too large, so that training ends early, and both must know it or one would wait for ever."""
    restless = SPEC.train.model_copy(update={"learning_rate": 0.1, "validate_every": 1, "ema": 0.0, "patience": 2})
    told = SPEC.model_copy(update={"train": restless})
    one, two = tmp_path / "one.safetensors", tmp_path / "two.safetensors"
    train(open_release(release), told, 0, one, one.with_suffix(".csv"), "train")
    subprocess.run([sys.executable, "-m", "saltern", *arguments(release, two, told)], check=True, timeout=120)
    assert curve(one)[-1]["ended"] == "not better in 2 validations"
    assert_same(two, one)


@pytest.fixture(scope="module")
def simulated(release: Path, tmp_path_factory: pytest.TempPathFactory) -> tuple[TrainSpec, Path, Path]:
    """What learns from simulations, the splines that it starts from, and looser crystals as these would make them."""
    place = tmp_path_factory.mktemp("simulated")
    student = StudentConfig(network="pair", r_max_A=4.0)
    splines, start = SPEC.model_copy(update={"student": student}), place / "start.safetensors"
    train(open_release(release), splines, 0, start, start.with_suffix(".csv"), "train")
    (place / "trajectories").mkdir()
    for name, repeats in (("small", 1), ("large", 2)):
        frames = crystals(name, repeats, 15)
        looser = frames.with_arrays(positions=1.03 * frames["positions"], cell=1.03 * frames["cell"])
        about = {"id": name, "potentials": [file_hash(start)]}
        write_frames(place / "trajectories" / f"{name}.h5", looser, about)
    compared = {"objective": "relative_entropy", "energy_weight": 0.0, "stress_weight": 0.0, "start_level": "first"}
    return splines.model_copy(update={"train": SPEC.train.model_copy(update=compared)}), start, place / "trajectories"


def test_two_processes_compare_what_one_compares(
    release: Path, simulated: tuple[TrainSpec, Path, Path], tmp_path: Path
) -> None:
    """Frames of the teacher, and of simulations, are divided; the splines move, and the file says by what."""
    told, start, place = simulated
    one, two = tmp_path / "one.safetensors", tmp_path / "two.safetensors"
    files = sorted(place.glob("*.h5"))
    train(open_release(release), told, 0, one, one.with_suffix(".csv"), "train", start=start, simulated=files)
    command = [*arguments(release, two, told), f"--start={start}", "--simulated", str(place)]
    subprocess.run([sys.executable, "-m", "saltern", *command], check=True, timeout=120)
    assert_same(two, one)
    moved = load_file(one)["pair.coefficients"] - load_file(start)["pair.coefficients"]
    assert 1e-3 < float(moved.abs().max()) < 10
    with safe_open(two, "pt") as file:
        training = json.loads(file.metadata()["saltern"])["training"]
    assert (training["start"], training["simulated"]) == (file_hash(start), [file_hash(path) for path in files])
    assert training["unmoved"] == [], "nothing that was to be trained"


def test_only_what_the_start_has_simulated_tells(
    release: Path, simulated: tuple[TrainSpec, Path, Path], tmp_path: Path
) -> None:
    told, start, place = simulated
    other = tmp_path / "other.h5"
    write_frames(other, read_frames(place / "small.h5"), {"id": "small", "potentials": ["another"]})
    output = tmp_path / "m.safetensors"
    with pytest.raises(UserError, match=r"other\.h5: another potential than .*start\.safetensors drove this trajec"):
        train(open_release(release), told, 0, output, output.with_suffix(".csv"), "train", ALONE, start, [other])
    with pytest.raises(UserError, match="wants simulations of what is trained on; none of large at 300 K"):
        train(
            open_release(release), told, 0, output, output.with_suffix(".csv"), "train", ALONE, start,
            [place / "small.h5"],
        )  # fmt: skip


def test_a_kill_of_any_process_ends_all_and_the_next_try_goes_on(release: Path, whole: Path, tmp_path: Path) -> None:
    output, checkpoint = tmp_path / "m.safetensors", tmp_path / "m.checkpoint"
    command = [sys.executable, "-c", ALWAYS_KEEP, *arguments(release, output)]

    # without a launcher, as when srun is slow to kill: the other finds out by itself and says so in a line
    first, second = (
        subprocess.Popen(
            [*command, "--rendezvous", tmp_path / "meeting"], stdin=subprocess.PIPE,
            stderr=(tmp_path / f"{rank}.log").open("w"), env=os.environ | {"RANK": rank, "LOCAL_RANK": rank},
        )
        for rank in "01"
    )  # fmt: skip
    until(checkpoint.exists)
    first.kill()
    assert first.wait() == -signal.SIGKILL
    assert second.wait(20) == 1
    said = (tmp_path / "1.log").read_text()
    assert "saltern: train m: another process of this training has ended" in said
    assert "Traceback" not in said

    before = checkpoint.stat().st_mtime_ns
    launcher = subprocess.Popen([sys.executable, "-c", LAUNCH, output, *command])
    until(lambda: checkpoint.stat().st_mtime_ns > before)
    assert set(processes_of(output)) == {"0", "1"}
    launcher.kill()
    launcher.wait()
    until(lambda: not processes_of(output), 20)
    assert not output.exists()

    # what two began one may finish
    alone = tmp_path / "alone.safetensors"
    alone.with_suffix(".checkpoint").write_bytes(checkpoint.read_bytes())
    train(open_release(release), SPEC, 0, alone, alone.with_suffix(".csv"), "train")
    assert_same(alone, whole)

    assert launch(command, 2, output) == 0
    assert output.read_bytes() == whole.read_bytes()
    assert curve(output) == curve(whole)
    assert not list(tmp_path.glob("*.checkpoint"))
    assert not list(tmp_path.glob(".m.safetensors.meeting-*"))


def test_one_bad_end_ends_all_with_its_exit_code(tmp_path: Path) -> None:
    script = "import os, sys, time; os.environ['RANK'] == '1' and sys.exit(2); time.sleep(60)"
    begun = time.monotonic()
    assert launch([sys.executable, "-c", script], 3, tmp_path / "new" / "m") == 2
    assert launch([sys.executable, "-c", "import os; os.kill(os.getpid(), 9)"], 2, tmp_path / "new" / "m") == 1
    assert time.monotonic() - begun < 30
    assert not list((tmp_path / "new").iterdir())


def test_cores_are_divided(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]) -> None:
    monkeypatch.setenv("OMP_NUM_THREADS", "7")
    # one write a process: two of print, of its text and of the newline, may meet those of the other
    show = "import os; os.write(1, f\"{os.environ['OMP_NUM_THREADS']} {os.environ['MKL_NUM_THREADS']}\\n\".encode())"
    assert launch([sys.executable, "-c", show], 2, tmp_path / "m") == 0
    assert capfd.readouterr().out == "3 3\n" * 2


def test_the_number_of_processes_is_execution() -> None:
    """A change must not train again; one that leaves a process without a frame is refused."""
    campaign = yaml.safe_load((Path(__file__).parents[1] / "workflow/tiny.yaml").read_text())
    settings = campaign["levels"][0]["train"]
    found = []
    for processes in (1, 2):
        settings["processes"] = processes
        found.append(campaign_from(campaign, "tiny.yaml", []).levels[0].spec("train"))
    assert found[0] == found[1]
    settings["processes"] = 3
    with pytest.raises(UserError, match=r"train\.processes: 3 is not allowed; allowed: at most train.batch, 2"):
        campaign_from(campaign, "tiny.yaml", [])
