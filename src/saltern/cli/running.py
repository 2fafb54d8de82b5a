"""The command that runs a campaign, or takes it up again."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path
from typing import Any

_DESCRIPTION = """\
Run a campaign with Snakemake until it is finished. The same command takes it up again whatever happened: a kill of this
command, of Snakemake, of jobs or of the machine, a full queue, a lock or half-written files left behind.

  saltern run config/demo.yaml                               on this machine
  saltern run config/mine.yaml --profile profiles/slurm      on a cluster: on a login node, in tmux or screen
  saltern run config/mine.yaml -- --dry-run                  what there is to do
  saltern run config/mine.yaml -- --cores 4 --until collect  whatever follows -- is for Snakemake

One run at a time works in a directory; a second one says who the first is, and exits with 2.
"""

_EPILOG = """\
On a cluster it also
  - waits for jobs that an earlier, killed run left in the queue, before anything is submitted twice;
  - requeues jobs that were preempted and cancelled, for which Snakemake would wait for ever;
  - asks for states with squeue where there is no accounting;
  - says at the end what ended the attempts that failed: out of memory, time limit, preempted, node failure.

Ctrl-C once: Snakemake ends its jobs and stops. kill (SIGTERM): no more jobs are started, those that run are waited for.
Exit codes: Snakemake's (0 finished, 1 some jobs failed), 2 the input is wrong or another run is at work.
"""


class Parser(argparse.ArgumentParser):
    """A parser of whose commands one may hand what follows `--` on to another program."""

    hands_on = False

    def parse_known_args(self, args: Any = None, namespace: Any = None) -> Any:  # noqa: D102
        handed_on: list[str] = []
        if self.hands_on and "--" in args:
            cut = list(args).index("--")
            args, handed_on = args[:cut], list(args[cut + 1 :])
        options, unknown = super().parse_known_args(args, namespace)
        if self.hands_on:
            if unknown:
                self.error(f"unrecognized arguments: {' '.join(unknown)}; what is for Snakemake goes behind --")
            options.arguments = handed_on
        return options, unknown


def add_to(commands: Any) -> None:
    """Add the parser of this command."""
    run = commands.add_parser(
        "run",
        help="run a campaign, or take it up again",
        description=_DESCRIPTION,
        epilog=_EPILOG,
        usage="saltern run CAMPAIGN [--profile DIRECTORY] [options] [-- SNAKEMAKE ARGUMENTS]",
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    run.hands_on = True
    run.add_argument("campaign", type=Path, metavar="CAMPAIGN", help="campaign file (YAML)")
    run.add_argument(
        "--profile",
        type=Path,
        default=Path("profiles/local"),
        metavar="DIRECTORY",
        help="how to run: profiles/local (default), profiles/slurm, or a copy of one of them",
    )
    run.add_argument(
        "--directory",
        type=Path,
        default=Path(),
        metavar="DIRECTORY",
        help="where results/ is made, seen by all nodes; by default here",
    )
    run.add_argument(
        "--snakefile", type=Path, default=Path("Snakefile"), metavar="FILE", help="the workflow; by default ./Snakefile"
    )
    run.add_argument(
        "--cancel-leftovers",
        action="store_true",
        help="cancel SLURM jobs that an earlier run left behind instead of waiting for them",
    )
    run.add_argument(
        "--poll",
        type=float,
        default=20.0,
        metavar="SECONDS",
        help="how often SLURM's queue is looked at (default %(default)g)",
    )
    run.set_defaults(run=_run)


def _run(options: argparse.Namespace) -> None:
    from saltern.running import Plan, run

    plan = Plan(
        campaign=options.campaign,
        profile=options.profile,
        directory=options.directory.resolve(),
        snakefile=options.snakefile,
        arguments=options.arguments,
        cancel_leftovers=options.cancel_leftovers,
        poll_s=options.poll,
    )
    sys.exit(run(plan))
