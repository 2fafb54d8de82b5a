"""The profiles for clusters, without a cluster."""

import os
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import yaml

ROOT = Path(__file__).parents[2]
PROFILES = sorted(path.parent.name for path in ROOT.glob("profiles/*/config.yaml"))


def profile(name: str) -> dict[str, Any]:
    return yaml.safe_load((ROOT / "profiles" / name / "config.yaml").read_text())


def test_profile_for_clusters_plans_the_whole_campaign(tmp_path: Path) -> None:
    done = subprocess.run(
        [sys.executable, "-m", "saltern", "run", ROOT / "tests/workflow/tiny.yaml", "--directory", tmp_path,
         "--profile", ROOT / "profiles/slurm", "--snakefile", ROOT / "Snakefile", "--", "--dry-run"],
        check=False, capture_output=True, text=True, env={**os.environ, "OMP_NUM_THREADS": "1"},
    )  # fmt: skip
    assert done.returncode == 0, done.stdout + done.stderr
    jobs = set(re.findall(r"^(\w+) +\d+$", done.stdout + done.stderr, re.MULTILINE))
    assert {"compose", "sample", "label", "collect", "train", "simulate", "observe", "report"} <= jobs


def test_tested_profile_is_the_published_one_but_for_its_size() -> None:
    published, tested = profile("slurm"), profile("slurm-ci")
    for key in ["jobs", "latency-wait", "default-resources", "slurm-init-seconds-before-status-checks"]:
        published.pop(key, None)
        tested.pop(key)
    assert tested == published


@pytest.mark.parametrize("name", PROFILES)
def test_no_profile_has_what_loses_jobs(name: str) -> None:
    settings = profile(name)
    # arrays of plugin 2.8 report a task as done that still writes; a group starts as many Snakemakes as its members
    assert not {key for key in settings if "array" in key or key in {"groups", "group-components"}}
    assert settings["rerun-incomplete"] is True


@pytest.mark.parametrize("name", ["slurm", "slurm-ci"])
def test_profiles_for_clusters_let_jobs_come_back(name: str) -> None:
    settings = profile(name)
    assert settings["slurm-requeue"] is True, "a preempted job could not be requeued"
    assert settings["slurm-keep-successful-logs"] is True, "the ledger reads them"
    assert settings["retries"] >= 2
