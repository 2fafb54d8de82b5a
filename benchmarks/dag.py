"""What planning costs: processor time and memory of `snakemake -n`, by the number of systems.

    python benchmarks/dag.py [SYSTEMS ...]

Campaigns are cut from, or repeat with other seeds, config/campaigns/million.yaml: 7 jobs a system, two of them labels.
The last column is the processor time of a dry run of a single job, which is what a cluster job spends before its work
(twice, for Snakemake starts twice). The first row, `snakemake --version`, is what no workflow can avoid.
"""

from __future__ import annotations

import os
import re
import sys
import tempfile
from itertools import cycle, islice
from pathlib import Path

import yaml

from saltern.config import load_campaign

ROOT = Path(__file__).parents[1]
MILLION = ROOT / "config/campaigns/million.yaml"
SYSTEMS = (10, 100, 1000, 10_000)


def campaign(systems: int) -> dict[str, object]:
    """The campaign with another number of systems, in tens."""
    rows = (ROOT / "config/campaigns/million.tsv").read_text().splitlines()[1:]
    salts = [row.split("\t")[0] for row in rows]
    entries = [
        {"salt": salt, "molality": [1.2, 2.3], "temperature": [280, 300, 320, 340, 360], "solvent_molecules": 48,
         "seed": number // len(salts)}
        for number, salt in enumerate(islice(cycle(salts), systems // 10))
    ]  # fmt: skip
    return {**yaml.safe_load(MILLION.read_text()), "systems": entries}


def measured(arguments: list[str], output: Path) -> tuple[float, int]:
    """Processor time (s) and largest memory (MB) of a program; what it prints goes into a file."""
    with output.open("w") as handle:
        child = os.posix_spawn(
            arguments[0],
            arguments,
            os.environ,
            file_actions=[(os.POSIX_SPAWN_DUP2, handle.fileno(), 1), (os.POSIX_SPAWN_DUP2, handle.fileno(), 2)],
        )
    _, status, usage = os.wait4(child, 0)
    if status:
        raise SystemExit(output.read_text())
    return usage.ru_utime + usage.ru_stime, usage.ru_maxrss // 1024


def main() -> None:
    """Print one row a size."""
    snakemake = str(Path(sys.executable).parent / "snakemake")
    with tempfile.TemporaryDirectory() as name:
        place = Path(name)
        print(f"{'systems':>8} {'frames':>11} {'jobs':>7} {'CPU s':>7} {'MB':>6} {'one job (CPU s)':>16}")
        seconds, memory = measured([snakemake, "--version"], place / "out")
        print(f"{'none':>8} {'':>11} {'':>7} {seconds:7.1f} {memory:6d}")
        for systems in [int(text) for text in sys.argv[1:]] or SYSTEMS:
            about = campaign(systems)
            file = place / f"{systems}.yaml"
            file.write_text(yaml.safe_dump(about))
            dry = [
                snakemake,
                "-n",
                "--snakefile",
                str(ROOT / "Snakefile"),
                "--directory",
                name,
                "--configfile",
                str(file),
            ]
            seconds, memory = measured([*dry, "--quiet", "rules"], place / "out")
            jobs = int(re.findall(r"^total +(\d+)$", (place / "out").read_text(), re.MULTILINE)[0])
            target = f"results/million/systems/{next(iter(load_campaign(file).expanded()))}.h5"
            single, _ = measured([*dry, "--quiet", "rules", "--", target], place / "out")
            print(f"{systems:8,} {1000 * systems:11,} {jobs:7,} {seconds:7.1f} {memory:6d} {single:16.1f}", flush=True)


if __name__ == "__main__":
    main()
