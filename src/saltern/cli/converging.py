"""Command for people who choose a cutoff: converge."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import TYPE_CHECKING, Any

from saltern.errors import UserError, did_you_mean
from saltern.text import aligned

if TYPE_CHECKING:
    from collections.abc import Mapping

    from saltern.config import Campaign, Cp2kTeacher, Level, System
    from saltern.frames import Frames

_CONVERGE = """\
How fine the plane-wave grid must be: one frame of a system of the campaign, labelled at several cutoffs, as it is and
shifted against the grid, which nature does not notice.

  saltern converge config/NAME.yaml
  saltern converge config/NAME.yaml --system NaCl-3f9c2a --cutoffs 300 400 600 900 --output converge.tsv

Take the lowest cutoff at which the errors are well below the force error that you expect of the potential (some 20 to
50 meV/Å). The labels are kept in the label store, so a study that was stopped goes on where it was.
"""

_COLUMNS = {
    "cutoff_Ry": ("cutoff", "Ry", "{:.0f}"),
    "net_force": ("net force", "meV/Å", "{:.1f}"),
    "force_shift": ("egg-box force", "meV/Å", "{:.1f}"),
    "energy_shift": ("egg-box energy", "meV/atom", "{:.3f}"),
    "force_change": ("rms change", "meV/Å", "{:.1f}"),
    "largest_change": ("largest change", "meV/Å", "{:.1f}"),
    "energy_change": ("energy change", "meV/atom", "{:.2f}"),
    "cpu_seconds": ("label", "CPU s", "{:.0f}"),
}
_IN_MEV = {"net_force", "force_shift", "force_change", "largest_change"}


def add_to(commands: Any) -> None:
    """Add the parser of this command."""
    converge = commands.add_parser(
        "converge",
        help="table of errors against the plane-wave cutoff, on a frame of a campaign",
        description=_CONVERGE,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    converge.add_argument("campaign", type=Path, metavar="CAMPAIGN", help="campaign file (YAML)")
    converge.add_argument("--level", metavar="NAME", help="level whose teacher is meant (the first one)")
    converge.add_argument("--system", metavar="ID", help="system, as in `saltern plan` (the first one)")
    converge.add_argument(
        "--cutoffs",
        type=float,
        nargs="+",
        default=[300.0, 400.0, 600.0, 900.0, 1200.0],
        metavar="RY",
        help="the largest one is what the others are compared with (300 400 600 900 1200)",
    )
    converge.add_argument("--output", type=Path, metavar="FILE", help="keep the table (tab-separated)")
    converge.set_defaults(run=_converge)


def _converge(options: argparse.Namespace) -> None:
    from saltern.config import load_campaign
    from saltern.labelling import converge, question_of
    from saltern.store import LabelStore, whole_file

    campaign = load_campaign(options.campaign)
    level, teacher = _level(campaign, options)
    name = options.system or next(iter(campaign.systems_of(level)))
    frame = _frame(_system(campaign, name, options), level)
    rows = converge(question_of(frame), teacher, options.cutoffs, LabelStore(campaign.label_store), f"converge {name}")
    cells = [_cells(vars(row)) for row in rows]
    print(f"{name}: {len(frame['numbers'])} atoms, {teacher.method}, {teacher.basis}")
    heads, units = ([column[place] for column in _COLUMNS.values()] for place in (0, 1))
    print("\n".join(aligned([heads, units, *cells], left=())))
    if options.output:
        with whole_file(options.output) as temporary:
            columns = [f"{head} ({unit})" for head, unit in zip(heads, units, strict=True)]
            temporary.write_text("".join("\t".join(row) + "\n" for row in [columns, *cells]), encoding="utf-8")


def _level(campaign: Campaign, options: argparse.Namespace) -> tuple[Level, Cp2kTeacher]:
    """The level that is meant, and its teacher, if that has a grid."""
    from saltern.config import Cp2kTeacher

    levels = {level.name: level for level in campaign.levels}
    name = options.level or next(iter(levels))
    if name not in levels:
        known = ", ".join(levels)
        raise UserError(
            f"--level: '{name}' is no level of {options.campaign}{did_you_mean(name, list(levels))}; allowed: {known}"
        )
    teacher = levels[name].teacher
    if not isinstance(teacher, Cp2kTeacher) or teacher.method == "gfn1-xtb":
        raise UserError(
            f"{options.campaign}: level {name} has no plane-wave grid; allowed: a density functional of CP2K"
        )
    return levels[name], teacher


def _system(campaign: Campaign, name: str, options: argparse.Namespace) -> System:
    """The system that is meant."""
    systems = campaign.expanded()
    if name not in systems:
        raise UserError(
            f"--system: '{name}' is no system of {options.campaign}{did_you_mean(name, list(systems))}; "
            "`saltern plan` lists them"
        )
    return systems[name]


def _frame(system: System, level: Level) -> Frames:
    """One frame of the system from short classical dynamics."""
    from saltern.config import SampleSpec
    from saltern.engines.openmm import sample
    from saltern.systems import compose

    box, about = compose(system)
    short = level.sample.model_copy(update={"frames": 1, "trajectories": 1, "rattled_fraction": 0.0})
    return sample([box], about, SampleSpec(sample=short), system.seed)


def _cells(row: Mapping[str, float]) -> list[str]:
    """One row as text."""
    return [form.format(row[name] * (1000 if name in _IN_MEV else 1)) for name, (_, _, form) in _COLUMNS.items()]
