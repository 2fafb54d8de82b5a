"""Arguments that several commands share."""

from __future__ import annotations

import argparse
import os
from pathlib import Path
from typing import TYPE_CHECKING, TypeVar

from saltern.errors import UserError

if TYPE_CHECKING:
    from saltern.config import Section
    from saltern.store import Workers

Spec = TypeVar("Spec", bound="Section")


def add_spec(command: argparse.ArgumentParser) -> None:
    """Add --spec: what the stage is told."""
    command.add_argument(
        "--spec", required=True, metavar="JSON", help="the stage's sections, as the workflow passes them"
    )


def add_store(command: argparse.ArgumentParser, purpose: str) -> None:
    """Add --store: the label store. The workflow names it in the environment, for where it lies is no part of a job."""
    default = Path(os.environ.get("SALTERN_LABEL_STORE", "labels"))
    help_ = f"the label store, {purpose} (default: $SALTERN_LABEL_STORE or labels)"
    command.add_argument("--store", type=Path, default=default, metavar="DIRECTORY", help=help_)


def interval(text: str) -> range:
    """A:B as a range; for argparse."""
    first, _, last = text.partition(":")
    if not (first.isdigit() and last.isdigit() and int(first) < int(last)):
        raise argparse.ArgumentTypeError(f"'{text}' is not A:B with A < B")
    return range(int(first), int(last))


def parsed(section: type[Spec], text: str, option: str = "--spec") -> Spec:
    """A section given as JSON on the command line.

    Raises:
        UserError: with one line for each mistake.
    """
    from pydantic import ValidationError

    try:
        return section.model_validate_json(text)
    except ValidationError as error:
        lines = (f"{option}: {'.'.join(map(str, e['loc']))}: {e['msg']}" for e in error.errors())
        raise UserError(*lines) from error


def add_workers(command: argparse.ArgumentParser) -> None:
    """Add the options that say who does the work."""
    command.add_argument("--workers", type=int, metavar="N", help="work on N files or batches at once (all cores)")
    command.add_argument(
        "--scheduler", metavar="ADDRESS", help="let the workers of this dask.distributed scheduler do it"
    )


def workers_of(options: argparse.Namespace) -> Workers:
    """Who does the work, by the options.

    Raises:
        UserError: when there would be nobody.
    """
    from saltern.store import Workers

    if options.workers is not None and options.workers < 1:
        raise UserError(f"--workers {options.workers}: at least 1")
    return Workers(options.workers, options.scheduler)
