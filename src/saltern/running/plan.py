"""What to run and how."""

from __future__ import annotations

import os
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import yaml

from saltern.config import load_campaign
from saltern.engines import openmm
from saltern.errors import UserError
from saltern.running.processes import MARK
from saltern.systems import problems, too_large

PATIENCE_S = 900.0
"""Five times the longest pause that the SLURM plugin makes between two looks at its jobs."""


@dataclass(frozen=True)
class Plan:
    """What to run and how.

    Attributes:
        campaign: campaign file.
        profile: directory of a Snakemake profile.
        directory: working directory, absolute.
        snakefile: the workflow.
        arguments: further arguments for Snakemake.
        cancel_leftovers: cancel the SLURM jobs of an earlier run instead of waiting for them.
        poll_s: how often the queue is looked at, s.
        patience_s: a Snakemake that waits for this long while SLURM has none of its jobs is started again, s.
    """

    campaign: Path
    profile: Path
    directory: Path
    snakefile: Path
    arguments: Sequence[str]
    cancel_leftovers: bool
    poll_s: float
    patience_s: float = PATIENCE_S

    @cached_property
    def settings(self) -> dict[str, object]:
        """The profile's settings.

        Raises:
            UserError: there is no such profile, or it holds none.
        """
        path = self.profile / "config.yaml"
        try:
            settings = yaml.safe_load(path.read_text(encoding="utf-8"))
        except OSError as error:
            raise UserError(f"--profile {self.profile}: {path} cannot be read ({error.strerror})") from error
        except yaml.YAMLError as error:
            raise UserError(f"--profile {self.profile}: {path} is not a YAML file") from error
        if not isinstance(settings, dict):
            raise UserError(f"--profile {self.profile}: {path} holds no settings")
        return settings

    def check(self) -> None:
        """Find what is wrong before anything is waited for.

        Raises:
            UserError: with one line for each mistake.
        """
        load_campaign(self.campaign, [problems, openmm.problems, too_large])
        if "executor" not in self.settings and "cores" not in self.settings:
            raise UserError(
                f"--profile {self.profile}: 'executor: slurm' or 'cores: all' is expected in its config.yaml"
            )
        if not self.snakefile.is_file():
            raise UserError(f"--snakefile {self.snakefile}: no such file; run it in the clone of Saltern")

    @property
    def on_slurm(self) -> bool:
        """Whether jobs are submitted to SLURM."""
        return self.settings.get("executor") == "slurm"

    @property
    def logdir(self) -> Path:
        """Where SLURM's logs go."""
        return self.directory / str(self.settings.get("slurm-logdir", ".snakemake/slurm_logs"))

    def command(self, *more: str) -> list[str]:
        """Snakemake's command line; it is given no lock of its own, which would outlive a kill."""
        files = ["--profile", self.profile, "--snakefile", self.snakefile, "--configfile", self.campaign]
        # --nolock also ends what `more` may list
        return ["snakemake", *map(str, files), "--directory", str(self.directory), *more, "--nolock", *self.arguments]

    def environment(self) -> dict[str, str]:
        """The environment of Snakemake and of all that it starts."""
        return {
            **os.environ,
            "PATH": f"{Path(sys.executable).parent}:{os.environ.get('PATH', '')}",
            MARK: str(self.directory),
            # a requeued job goes on in its log, so that the log still says why
            "SBATCH_OPEN_MODE": "append",
        }
