"""Training with several tasks and simulation on a real SLURM: on fake GPUs, over two nodes, with a task killed."""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest
import yaml
from safetensors import safe_open

from saltern.config import campaign_from

ROOT = Path(__file__).parents[2]
TINY = ROOT / "tests/workflow/tiny.yaml"
DATASET = "results/tiny/atoms/dataset"
POTENTIAL = "results/tiny/atoms/potentials/m0000.safetensors"
TRAJECTORY = "results/tiny/atoms/trajectories/water/r0000"

Environment = dict[str, str]

pytestmark = pytest.mark.slurm


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A working directory with the dataset of the tiny campaign, made by local processes."""
    place = tmp_path_factory.mktemp("campaign")
    write_campaign(place, 2)
    snakemake("local", place, dict(os.environ), DATASET)
    return place


def write_campaign(place: Path, processes: int) -> dict[str, Any]:
    campaign = yaml.safe_load(TINY.read_text())
    campaign["levels"][0]["student"]["committee"] = 1
    campaign["levels"][0]["train"]["processes"] = processes
    (place / "campaign.yaml").write_text(yaml.safe_dump(campaign))
    return campaign


def snakemake(profile: str, place: Path, environment: Environment, *arguments: str) -> str:
    """Run the workflow in a directory; returns what Snakemake said."""
    done = subprocess.run(
        ["snakemake", "--profile", ROOT / "profiles" / profile, "--snakefile", ROOT / "Snakefile",
         "--configfile", place / "campaign.yaml", "--directory", place, "--cores", "2", *arguments],
        check=False, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, timeout=1500,
        env={**environment, "PATH": f"{Path(sys.executable).parent}:{environment['PATH']}"},
    )  # fmt: skip
    assert done.returncode == 0, done.stdout
    return done.stdout


def steps(cluster: Environment) -> list[dict[str, str]]:
    """The steps that srun started, as accounted for when all are at their end."""
    columns = ["JobID", "State", "NTasks", "NNodes", "AllocTRES"]
    for _ in range(100):
        done = subprocess.run(
            ["sacct", "--noheader", "--parsable2", "--format", ",".join(columns)],
            check=True, env=cluster, capture_output=True, text=True,
        )  # fmt: skip
        rows = [dict(zip(columns, line.split("|"), strict=True)) for line in done.stdout.splitlines()]
        if rows and not any(row["State"] in ("RUNNING", "PENDING") for row in rows):
            return [row for row in rows if row["JobID"].partition(".")[2].isdigit()]
        time.sleep(0.2)
    raise AssertionError(rows)


def test_training_and_simulation_get_the_tasks_and_gpus_they_ask_for(place: Path, cluster: Environment) -> None:
    snakemake(
        "slurm-ci", place, cluster, TRAJECTORY, "--slurm-init-seconds-before-status-checks", "3", "--set-resources",
        "train:slurm_partition=gpu", "train:gres=gpu:2", "simulate:slurm_partition=gpu", "simulate:gres=gpu:1",
    )  # fmt: skip
    # one step a job: srun is called by saltern or by the plugin, never by both
    training, simulation = steps(cluster)
    for step, tasks in [(training, "2"), (simulation, "1")]:
        assert (step["State"], step["NTasks"]) == ("COMPLETED", tasks)
        assert {f"cpu={tasks}", f"gres/gpu={tasks}"} <= set(step["AllocTRES"].split(","))
    with safe_open(place / POTENTIAL, "np") as file:
        assert '"processes": 2' in str(file.metadata()), "a potential says how many trained it"
    write_campaign(place, 1)
    assert "Nothing to be done" in snakemake("local", place, cluster, TRAJECTORY)


def tasks_of(output: Path) -> dict[str, tuple[int, Environment]]:
    """The tasks that train for an output: process id and environment by number."""
    found = {}
    for process in Path("/proc").glob("[0-9]*"):
        try:
            command = (process / "cmdline").read_bytes().decode().split("\0")
            lines = (process / "environ").read_bytes().decode().split("\0")
        except OSError:
            continue
        environment = dict(line.partition("=")[::2] for line in lines)
        if "--rendezvous" in command and str(output) in command and "SLURM_PROCID" in environment:
            found[environment["SLURM_PROCID"]] = (int(process.name), environment)
    return found


def test_a_task_killed_on_one_of_two_nodes_ends_all(place: Path, cluster: Environment, tmp_path: Path) -> None:
    campaign, output = write_campaign(place, 2), tmp_path / "m.safetensors"
    campaign["levels"][0]["train"]["epochs"] = 100
    told = campaign_from(campaign, "tiny.yaml", []).levels[0].spec("train")
    command = [
        "salloc", "--nodes=2", "--ntasks=2", "--mem=4000", "--time=5", sys.executable, "-m", "saltern", "train",
        place / DATASET, output, tmp_path / "m.csv", "--member=0", "--processes=2", f"--spec={told}",
    ]  # fmt: skip
    with subprocess.Popen(command, env=cluster) as running:
        end = time.monotonic() + 180
        while not (tmp_path / "m.csv").exists():
            assert time.monotonic() < end
            time.sleep(0.05)
        tasks = tasks_of(output)
        assert tasks["0"][1]["SLURMD_NODENAME"] != tasks["1"][1]["SLURMD_NODENAME"], "one on each node"
        os.kill(tasks["1"][0], signal.SIGKILL)
        assert running.wait(30) != 0
    assert not tasks_of(output)
    assert not output.exists()
    subprocess.run(command, env=cluster, check=True, timeout=120)
    assert output.exists()
    assert [steps(cluster)[-1][key] for key in ("NNodes", "State")] == ["2", "COMPLETED"]
