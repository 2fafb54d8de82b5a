"""Commands for people about the size of a campaign: plan."""

from __future__ import annotations

import argparse
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from saltern.errors import UserError
from saltern.text import aligned, counted

if TYPE_CHECKING:
    from saltern.config import Box, Campaign, Size
    from saltern.labelling.cost import CostModel
    from saltern.labelling.forecast import Forecast, Spent

_PLAN = """\
What a campaign will take, before anything is submitted: jobs, files, bytes and the processor time of its labels.

  saltern plan config/demo.yaml                            the forecast
  saltern plan config/demo.yaml --output forecast.json     the same, and keep it
  saltern plan config/demo.yaml --spent forecast.json      after the run: what it took

What a label costs is fitted to the labels of the same method in the label store; without any, built-in figures stand.
"""

_PLAN_END = """\
Processor time is given with the range in which it lies two times out of three: the fitted costs may be wrong by a
factor, in the same way for all systems. Labels that are in the store already count as if they were to be made.
Overhead is the share of a label job that starting it takes on a cluster. Training and simulation are not in the
forecast.

Exit codes: 0 done, 2 the input is wrong or a limit of the campaign (`limits:`) is exceeded.
"""

_HOUR = 3600.0


def add_to(commands: Any) -> None:
    """Add the parsers of these commands."""
    plan = commands.add_parser(
        "plan",
        help="jobs, files, bytes and core hours of a campaign; afterwards, what it took",
        description=_PLAN,
        epilog=_PLAN_END,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    plan.add_argument("campaign", type=Path, metavar="CAMPAIGN", help="campaign file (YAML)")
    either = plan.add_mutually_exclusive_group()
    either.add_argument("--output", type=Path, metavar="FILE", help="keep the forecast (JSON)")
    either.add_argument(
        "--spent",
        type=Path,
        nargs="?",
        const=Path(),
        metavar="FILE",
        help="compare a forecast that was kept, or one from the built-in figures, with what the results in "
        "results/NAME took",
    )
    plan.set_defaults(run=_plan)


def _plan(options: argparse.Namespace) -> None:
    from saltern.config import load_campaign
    from saltern.engines import openmm
    from saltern.systems import box_of, problems

    campaign = load_campaign(options.campaign, [problems, openmm.problems])
    boxes = {name: box_of(system) for name, system in campaign.expanded().items()}
    if options.spent is None:
        _before(campaign, boxes, options)
    else:
        _after(campaign, boxes, options.spent)


def _before(campaign: Campaign, boxes: Mapping[str, Box], options: argparse.Namespace) -> None:
    """The forecast; refuses a campaign that is too large."""
    from saltern.config import exceeded, refuse
    from saltern.labelling.cost import fit, measured_labels
    from saltern.labelling.forecast import as_json, forecast
    from saltern.store import LabelStore, write_json

    store = LabelStore(campaign.label_store)
    models = {
        teacher: fit(teacher, measured_labels(store, teacher), campaign.student(teacher))
        for teacher in campaign.teachers
    }
    found = forecast(campaign, boxes, models)
    print(f"{campaign.campaign}: {counted(len(boxes), 'system')}, {counted(found.total.frames, 'frame')} to label\n")
    print("\n".join([*_forecast_table(found), "", *(_model(model) for model in models.values())]))
    refuse(exceeded(campaign, boxes, lambda teacher, count: models[teacher].seconds(count)), options.campaign)
    if options.output:
        write_json(options.output, as_json(found, campaign.campaign))


def _forecast_table(found: Forecast) -> list[str]:
    """One line a system, what they share, and the total."""
    header = ("system", "atoms", "frames", "label jobs", "frames/job", "overhead", "all jobs", "files", "GB",
              "core h", "from", "to")  # fmt: skip
    rows = [
        _forecast_row(name, str(about.atoms), about.size, about.low, about.high)
        for name, about in found.systems.items()
    ]
    rows.append(_forecast_row("shared", "", found.shared, 0.0, 0.0))
    rows.append(_forecast_row("total", "", found.total, found.low, found.high))
    return aligned([header, *rows])


def _forecast_row(name: str, atoms: str, size: Size, low: float, high: float) -> tuple[str, ...]:
    """One line of the forecast; what the systems share has no labels."""
    jobs = size.label_jobs
    labels = (f"{jobs:,}", f"{size.frames / jobs:.0f}", f"{size.label_overhead:.2%}") if jobs else ("", "", "")
    hours = ((seconds + size.overhead_seconds) / _HOUR for seconds in (size.label_seconds, low, high))
    return (
        name,
        atoms,
        f"{size.frames:,}" if jobs else "",
        *labels,
        f"{size.jobs:,}",
        f"{size.files:,}",
        f"{size.bytes / 1e9:,.3f}",
        *(f"{value:,.2f}" for value in hours),
    )


def _model(model: CostModel) -> str:
    """What the costs rest on."""
    what = f"{model.teacher.method} ({model.teacher.engine})"
    if not model.labels:
        return f"{what}: built-in figures, for there are no labels at hand; core hours may be wrong by a factor of 2"
    smallest, largest = model.sizes[0], model.sizes[-1]
    sizes = f"{smallest} to {largest} atoms" if smallest < largest else f"{smallest} atoms"
    labels = f"{model.labels} labels of {sizes}"
    how = (
        f"scale and exponent fitted to {labels}"
        if model.correction.exponent
        else (f"scale fitted to {labels}, exponent built in")
    )
    return f"{what}: {how}; error {100 * (model.error(smallest) - 1):.0f} % there, more for other sizes"


def _after(campaign: Campaign, boxes: Mapping[str, Box], kept: Path) -> None:
    """What the campaign took, beside the forecast."""
    from saltern.labelling.cost import fit
    from saltern.labelling.forecast import as_json, forecast, from_json, spent_by_stage, spent_on_labels
    from saltern.store import read_json

    results = Path("results", campaign.campaign)
    if not results.is_dir():
        raise UserError(f"{results}: nothing has been run here yet")
    if kept == Path():
        models = {teacher: fit(teacher, [], campaign.student(teacher)) for teacher in campaign.teachers}
        systems = from_json(as_json(forecast(campaign, boxes, models), campaign.campaign), "")
    else:
        systems = from_json(read_json(kept), str(kept))
    spent = {name: spent_on_labels(results, name) for name in campaign.expanded()}
    print("\n".join([*_spent_table(systems, spent), "", *_stages_table(spent_by_stage(results))]))


def _spent_table(systems: Mapping[str, Mapping[str, float]], spent: Mapping[str, Spent]) -> list[str]:
    """Labels of each system: forecast and truth. Of a system that is half done its share is compared."""
    header = ("system", "frames", "labelled", "core h", "from", "to", "spent", "spent/forecast")
    columns = ("label_seconds", "low", "high")
    rows, sums = [], [0.0] * 6
    for name, took in spent.items():
        frames = systems.get(name, {}).get("frames", 0)
        done = took.count / frames if frames else 0.0
        numbers = [
            frames,
            took.count,
            *(done * systems.get(name, {}).get(key, 0.0) for key in columns),
            took.cpu_seconds,
        ]
        sums = [a + b for a, b in zip(sums, numbers, strict=True)]
        rows.append(_spent_row(name, numbers))
    return aligned([header, *rows, _spent_row("total", sums)])


def _spent_row(name: str, numbers: Sequence[float]) -> tuple[str, ...]:
    """One line of the comparison."""
    frames, labelled, middle, *_, spent = numbers
    ratio = f"{spent / middle:.2f}" if middle else ""
    return (name, f"{frames:,.0f}", f"{labelled:,.0f}", *(f"{seconds / _HOUR:,.3f}" for seconds in numbers[2:]), ratio)


def _stages_table(stages: Mapping[str, Spent]) -> list[str]:
    """What the jobs of each stage took."""
    rows = [
        (name, f"{took.count:,}", f"{took.cpu_seconds / _HOUR:,.3f}", f"{took.wall_seconds / _HOUR:,.3f}")
        for name, took in stages.items()
    ]
    return aligned([("stage", "jobs", "CPU h", "wall h"), *rows])
