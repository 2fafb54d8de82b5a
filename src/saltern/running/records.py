"""Snakemake's records of what made each file, where a killed Snakemake could not write them.

A SLURM job that ends after the Snakemake that submitted it was killed leaves its output whole, but nothing says with
which settings it was made: Snakemake would take it for up to date whatever is edited in the campaign. So it is recorded
if campaign and code are still those of the submission, and made again if not.
"""

from __future__ import annotations

import hashlib
import os
import re
from base64 import urlsafe_b64encode
from collections.abc import Iterator, Sequence
from pathlib import Path

import saltern
from saltern.running.attempts import succeeded

_OUTPUT = re.compile(r"^ {4}output: (.*)$", re.MULTILINE)


def fingerprint(campaign: Path, snakefile: Path, arguments: Sequence[str]) -> str:
    """Identify everything that decides about what jobs make: campaign, workflow, package.

    The table of systems that a campaign may name lies beside it, so every table there counts. Arguments for Snakemake
    count when they set the campaign's keys; how many jobs run at once does not matter.
    """
    if not any(argument == "-C" or argument.startswith("--config") for argument in arguments):
        arguments = ()
    code = [*Path(saltern.__file__).parent.rglob("*.py"), *(snakefile.parent / "workflow").rglob("*.smk")]
    digest = hashlib.sha256("\0".join(arguments).encode())
    for path in sorted([campaign, snakefile, *campaign.parent.glob("*.tsv"), *code]):
        digest.update(hashlib.sha256(path.read_bytes()).digest())
    return digest.hexdigest()


def unrecorded(directory: Path, logdir: Path) -> list[str]:
    """Outputs of SLURM jobs that succeeded, of which Snakemake has no record.

    Args:
        directory: the working directory.
        logdir: where SLURM's logs are.
    """
    return sorted(
        output
        for log in logdir.glob("rule_*/**/*.log")
        for output in _outputs(log)
        if (directory / output).exists() and not _record(directory, output).exists()
    )


def _outputs(log: Path) -> Iterator[str]:
    """What the job made, if it succeeded."""
    text = log.read_text(errors="replace")
    match = _OUTPUT.search(text)
    if match and succeeded(text):
        yield from match[1].split(", ")


def _record(directory: Path, output: str) -> Path:
    """Where Snakemake keeps its record: the name in base64, in pieces that a file name can hold."""
    records = directory / ".snakemake" / "metadata"
    name = urlsafe_b64encode(output.encode()).decode()
    size = os.pathconf(directory, "PC_NAME_MAX") - 1
    pieces = [name[start : start + size] for start in range(0, len(name), size)]
    return records.joinpath(*(f"@{piece}" for piece in pieces[:-1]), pieces[-1])
