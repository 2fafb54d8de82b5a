"""Commands of the workflow: one a stage, each a thin layer between files and the package that does the work."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

from saltern.errors import UserError

if TYPE_CHECKING:
    from saltern.config import Section

Spec = TypeVar("Spec", bound="Section")


def add_to(commands: Any) -> None:
    """Add the parsers of these commands."""
    compose = commands.add_parser("compose", help="pack the box of one system")
    compose.add_argument("output", type=Path)
    compose.add_argument("--system", required=True, metavar="JSON", help="the system, as in an expanded campaign")
    compose.set_defaults(run=_compose)

    systems = commands.add_parser("systems", help="write the table that says what each system's identifier stands for")
    systems.add_argument("systems", type=Path, nargs="+", help="composed systems")
    systems.add_argument("output", type=Path, help="a tab-separated table")
    systems.set_defaults(run=_systems)

    sample = commands.add_parser("sample", help="candidate frames of one system from molecular dynamics")
    sample.add_argument("system", type=Path, help="the composed system")
    sample.add_argument("output", type=Path)
    _add_spec(sample)
    sample.set_defaults(run=_sample)

    label = commands.add_parser("label", help="energy, forces and stress of one batch of candidate frames")
    label.add_argument("candidates", type=Path)
    label.add_argument("output", type=Path)
    label.add_argument("--frames", type=_slice, required=True, metavar="A:B", help="candidates A to B - 1")
    _add_spec(label)
    label.set_defaults(run=_label)

    collect = commands.add_parser("collect", help="gather one system's labels and close its ledger")
    collect.add_argument("system", type=Path, help="the composed system")
    collect.add_argument("labels", type=Path, nargs="+", help="its label batches")
    collect.add_argument("output", type=Path, help="a directory")
    collect.add_argument("--requested", type=int, required=True, metavar="N", help="frames the campaign asked for")
    collect.set_defaults(run=_collect)

    release = commands.add_parser("release", help="seal the collected systems into a dataset release")
    release.add_argument("systems", type=Path, nargs="+", help="what collect made, one directory a system")
    release.add_argument("output", type=Path, help="a new directory")
    release.add_argument("--name", required=True)
    _add_spec(release)
    release.set_defaults(run=_release)

    train = commands.add_parser("train", help="train one committee member")
    train.add_argument("release", type=Path)
    train.add_argument("output", type=Path, help="the potential (.safetensors)")
    train.add_argument("curve", type=Path, help="its learning curve (.csv), written as it goes")
    train.add_argument("--member", type=int, required=True, metavar="N")
    _add_spec(train)
    train.set_defaults(run=_train)

    evaluate = commands.add_parser("evaluate", help="errors of the committee on the frames held out as test")
    evaluate.add_argument("release", type=Path)
    evaluate.add_argument("potentials", type=Path, nargs="+", help="the committee; the first member is measured")
    evaluate.add_argument("output", type=Path)
    evaluate.set_defaults(run=_evaluate)

    simulate = commands.add_parser("simulate", help="molecular dynamics of some replicas of one system")
    simulate.add_argument("candidates", type=Path, help="the system's candidate frames; replicas start from its last ones")
    simulate.add_argument("potentials", type=Path, nargs="+", help="the committee; the first member drives")
    simulate.add_argument("output", type=Path)
    simulate.add_argument("--replicas", type=_slice, required=True, metavar="A:B", help="replicas A to B - 1")
    _add_spec(simulate)
    simulate.set_defaults(run=_simulate)

    observe = commands.add_parser("observe", help="properties of one system from all its replicas")
    observe.add_argument("trajectories", type=Path, nargs="+")
    observe.add_argument("output", type=Path)
    _add_spec(observe)
    observe.set_defaults(run=_observe)


def _add_spec(command: argparse.ArgumentParser) -> None:
    command.add_argument("--spec", required=True, metavar="JSON", help="the stage's sections, as the workflow passes them")


def _slice(text: str) -> range:
    """A:B as a range."""
    first, _, last = text.partition(":")
    if not (first.isdigit() and last.isdigit() and int(first) < int(last)):
        raise argparse.ArgumentTypeError(f"'{text}' is not A:B with A < B")
    return range(int(first), int(last))


def _parsed(spec: type[Spec], text: str) -> Spec:
    """A specification given on the command line."""
    from pydantic import ValidationError

    try:
        return spec.model_validate_json(text)
    except ValidationError as error:
        raise UserError(*(f"--spec: {'.'.join(map(str, e['loc']))}: {e['msg']}" for e in error.errors())) from error
