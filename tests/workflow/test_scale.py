"""A campaign of a million frames is planned from its config alone, and right."""

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest
import yaml

from saltern.config import load_campaign, shared_size, system_size, total
from saltern.systems import box_of

ROOT = Path(__file__).parents[2]
MILLION = ROOT / "config/campaigns/million.yaml"


def swept(place: Path) -> Path:
    """The same campaign with every system simulated at two temperatures, forty simulations side by side."""
    campaign = yaml.safe_load(MILLION.read_text())
    campaign["systems"] = str(MILLION.with_suffix(".tsv"))
    campaign["levels"][0]["simulate"] |= {"temperatures": [298.15, 360], "together": 40}
    (place / "swept.yaml").write_text(yaml.safe_dump(campaign))
    return place / "swept.yaml"


def dry_run(place: Path, *arguments: str | Path, configfile: Path = MILLION) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [Path(sys.executable).parent / "snakemake", "--dry-run", "--snakefile", ROOT / "Snakefile",
         "--directory", place, "--configfile", configfile, *arguments],
        check=False, capture_output=True, text=True, timeout=1500,
        env={**os.environ, "PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}"},
    )  # fmt: skip


@pytest.mark.parametrize("temperatures", [1, 2])
def test_a_million_frames_are_some_thousand_jobs(tmp_path: Path, temperatures: int) -> None:
    configfile = MILLION if temperatures == 1 else swept(tmp_path)
    done = dry_run(tmp_path, "--quiet", "rules", configfile=configfile)
    assert done.returncode == 0, done.stderr
    table = (done.stdout + done.stderr).split("Job stats:")[1]
    jobs = {rule: int(count) for rule, count in re.findall(r"^(\w+) +(\d+)$", table, re.MULTILINE)}
    a_system = dict.fromkeys(("compose", "sample", "collect"), 1000)
    a_state = {"simulate": 1000 if temperatures == 1 else 2000 // 40, "observe": 1000 * temperatures}
    shared = {"systems": 1, "release": 1, "train": 3, "evaluate": 1, "report": 1, "all": 1}
    assert jobs == {**a_system, **a_state, "label": 2000, **shared, "total": 5008 + sum(a_state.values())}
    campaign = load_campaign(configfile)
    sizes = [system_size(campaign, box_of(system)) for system in campaign.expanded().values()]
    size = total([*sizes, shared_size(campaign)])
    assert size.frames == 1_000_000
    assert size.jobs == jobs["total"] - jobs["all"], "saltern plan and Snakemake count the same"
    electrolytes = {(system.salt, system.molality) for system in campaign.expanded().values()}
    assert len(electrolytes) == 200
    assert len({system.temperature for system in campaign.expanded().values()}) == 5


def test_a_system_that_the_campaign_does_not_have_is_refused(tmp_path: Path) -> None:
    done = dry_run(tmp_path, "results/million/atoms/labels/NaCl-abcdef/b0000.h5")
    assert done.returncode != 0
    assert "NaCl-abcdef" in done.stdout + done.stderr
