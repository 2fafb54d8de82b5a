"""The `saltern` command: one subcommand a stage of the workflow, and a few for people."""

from __future__ import annotations

import argparse
import errno
import os
import sys
from collections.abc import Sequence

from saltern import __version__
from saltern.cli import auditing, converging, data, dataset, inspection, labels, models, planning, running, static
from saltern.cli.elsewhere import go_on_in
from saltern.errors import EngineError, MissingPackageError, SimulationError, UserError

_EPILOG = """\
A campaign is run by Snakemake, which calls the commands of the stages:

  saltern run config/demo.yaml

Exit codes: 0 done, 2 the input is wrong (one line for each mistake), 1 anything else.
"""


def parser() -> argparse.ArgumentParser:
    """The command line of every subcommand."""
    top = argparse.ArgumentParser(
        prog="saltern",
        description="Data and interatomic potentials for electrolyte solutions.",
        epilog=_EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    top.add_argument("--version", action="version", version=f"saltern {__version__}")
    commands = top.add_subparsers(title="commands", metavar="COMMAND", required=True, parser_class=running.Parser)
    running.add_to(commands)
    inspection.add_to(commands)
    planning.add_to(commands)
    converging.add_to(commands)
    labels.add_to(commands)
    data.add_to(commands)
    dataset.add_to(commands)
    auditing.add_to(commands)
    models.add_to(commands)
    static.add_to(commands)
    return top


OF_THE_SITE = (errno.ENOSPC, errno.EDQUOT, errno.EROFS, errno.EACCES)
"""What a file system refuses for reasons that are no fault of ours: full, over quota, read-only, not allowed."""


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command; returns the exit code."""
    options = parser().parse_args(arguments)
    try:
        options.run(options)
    except UserError as error:
        if isinstance(error, MissingPackageError):
            go_on_in(error.variable, sys.argv[1:] if arguments is None else arguments)
        for line in error.lines:
            print(f"saltern: {line}", file=sys.stderr)
        return 2
    except (EngineError, SimulationError) as error:
        print(f"saltern: {error}", file=sys.stderr)
        return 1
    except BrokenPipeError:
        return 0
    except OSError as error:
        if error.errno not in OF_THE_SITE:
            raise
        print(f"saltern: {error.filename or 'a file'}: {os.strerror(error.errno)}", file=sys.stderr)
        return 2
    except Exception:
        print(
            f"saltern {__version__}: the traceback below is a fault of Saltern, not of your input; "
            "please report it with the command you ran (CONTRIBUTING.md says where)",
            file=sys.stderr,
        )
        raise
    return 0
