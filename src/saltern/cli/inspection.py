"""Commands for people: check a campaign, look things up."""

from __future__ import annotations

import argparse
import json
from pathlib import Path
from typing import Any

from saltern.text import counted


def add_to(commands: Any) -> None:
    """Add the parsers of these commands."""
    validate = commands.add_parser("validate", help="check a campaign file; one line for each mistake")
    validate.add_argument("campaign", type=Path, metavar="FILE", help="campaign file (YAML)")
    validate.set_defaults(run=_validate)

    schema = commands.add_parser("schema", help="print what a campaign file may hold")
    schema.add_argument(
        "--format",
        choices=("json", "markdown"),
        default="json",
        help="json: a JSON schema, for editors (default); markdown: every key with its default and its reason",
    )
    schema.set_defaults(run=_schema)

    species = commands.add_parser("species", help="list the ions and solvents that systems can be made of")
    species.set_defaults(run=_species)


def _validate(options: argparse.Namespace) -> None:
    from saltern.config import load_campaign
    from saltern.engines import openmm
    from saltern.systems import problems, too_large

    campaign = load_campaign(options.campaign, [problems, openmm.problems, too_large])
    systems = campaign.expanded().values()
    asked = [level for system in systems for level in campaign.asked_at(system.levels, system.labelled)]
    frames = sum(level.sample.frames for level in asked)
    print(f"{options.campaign}: valid; {counted(len(systems), 'system')}, {counted(frames, 'frame')} to label")


def _schema(options: argparse.Namespace) -> None:
    from saltern.config import Campaign, reference

    if options.format == "json":
        print(json.dumps(Campaign.model_json_schema(), indent=1, ensure_ascii=False))
    else:
        print(reference(), end="")


def _species(_: argparse.Namespace) -> None:
    from saltern.systems import SOLVENTS, SPECIES

    for species in SPECIES.values():
        print(f"ion      {species.name:6} {species.charge:+d}  {' '.join(species.aliases)}".rstrip())
    for solvent in SOLVENTS:
        print(f"solvent  {solvent}")
