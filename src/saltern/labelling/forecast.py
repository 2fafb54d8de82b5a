"""What a campaign will take, before anything is submitted, and what it took."""

from __future__ import annotations

import csv
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from saltern.config import Box, Campaign, Size, Teacher, label_units, shared_size, system_size, total
from saltern.errors import UserError
from saltern.labelling.cost import CostModel
from saltern.store import read_frames

Models = Mapping[Teacher, CostModel]


@dataclass(frozen=True)
class SystemForecast:
    """What one system will take."""

    atoms: int
    size: Size
    low: float
    """CPU time of its labels (s), one standard deviation of the cost model below `size.label_seconds`."""
    high: float
    """Likewise above."""


@dataclass(frozen=True)
class Forecast:
    """What a campaign will take."""

    models: Models
    systems: Mapping[str, SystemForecast]
    shared: Size
    """What its systems share."""

    @property
    def total(self) -> Size:
        """The whole campaign."""
        return self.shared + total(system.size for system in self.systems.values())

    @property
    def low(self) -> float:
        """CPU time of all labels (s) at the lower end: the model is wrong in the same way for all systems."""
        return sum(system.low for system in self.systems.values())

    @property
    def high(self) -> float:
        """Likewise at the upper end."""
        return sum(system.high for system in self.systems.values())


def forecast(campaign: Campaign, boxes: Mapping[str, Box], models: Models) -> Forecast:
    """Work out what a campaign will take.

    Args:
        campaign: the campaign.
        boxes: of every system, by identifier.
        models: what labels cost, for the teacher of every level.
    """

    def system(box: Box) -> SystemForecast:
        middle = system_size(campaign, box, lambda teacher, n: models[teacher].seconds(n))
        low, high = (_label_seconds(campaign, box, models, sign) for sign in (-1, 1))
        return SystemForecast(box.atoms, middle, low, high)

    # systems of the same size take the same, and a campaign has few sizes
    by_size = {box: system(box) for box in set(boxes.values())}
    return Forecast(models, {name: by_size[box] for name, box in boxes.items()}, shared_size(campaign))


def _label_seconds(campaign: Campaign, box: Box, models: Models, sign: int) -> float:
    """CPU time of a system's labels (s) when labels cost a standard deviation more, or less."""
    return sum(
        label_units(level) * models[level.teacher].seconds(box.atoms) * models[level.teacher].error(box.atoms) ** sign
        for level in campaign.asked_at(box.levels, box.labelled)
    )


def as_json(found: Forecast, name: str) -> dict[str, Any]:
    """A forecast as a file keeps it."""
    return {
        "format": "saltern-forecast",
        "format_version": 1,
        "campaign": name,
        "models": [
            {"teacher": teacher.model_dump(), "labels": model.labels, "sizes": model.sizes, "scatter": model.scatter,
             "correction": asdict(model.correction)}
            for teacher, model in found.models.items()
        ],
        "systems": {
            system: {"atoms": about.atoms, **asdict(about.size), "low": about.low, "high": about.high}
            for system, about in found.systems.items()
        },
        "total": {**asdict(found.total), "low": found.low, "high": found.high},
    }  # fmt: skip


def from_json(data: Any, source: str) -> Mapping[str, Mapping[str, float]]:
    """The systems of a forecast that was kept, each with its `label_seconds`, `low`, `high` and `frames`.

    Raises:
        UserError: when it is no forecast.
    """
    if not isinstance(data, dict) or (data.get("format"), data.get("format_version")) != ("saltern-forecast", 1):
        raise UserError(f"{source}: not a forecast that `saltern plan CAMPAIGN --output FILE` made")
    systems: Mapping[str, Mapping[str, float]] = data["systems"]
    return systems


@dataclass(frozen=True)
class Spent:
    """What finished jobs of one kind took."""

    count: int
    """Frames labelled, or jobs of a stage."""
    cpu_seconds: float
    wall_seconds: float


def spent_on_labels(results: Path, system: str) -> Spent:
    """What the labels of a system took that are there, wherever they were made.

    Args:
        results: directory of the campaign's results.
        system: identifier.

    Raises:
        UserError: when a file of labels is not whole.
    """
    batches = [read_frames(path) for path in sorted(results.glob(f"*/labels/{system}/*.h5"))]
    return Spent(sum(map(len, batches)), sum(float(batch["cpu_seconds"].sum()) for batch in batches), 0.0)


def spent_by_stage(results: Path) -> dict[str, Spent]:
    """What the finished jobs of every stage took, as Snakemake saw it.

    Args:
        results: directory of the campaign's results.
    """
    found: dict[str, list[dict[str, str]]] = {}
    for path in sorted(results.rglob("cost/**/*.tsv")):
        stage = path.relative_to(results).as_posix().split("cost/", 1)[1].split("/")[0].removesuffix(".tsv")
        with path.open(encoding="utf-8", newline="") as handle:
            found.setdefault(stage, []).extend(csv.DictReader(handle, dialect="excel-tab"))
    return {stage: Spent(len(rows), _sum(rows, "cpu_time"), _sum(rows, "s")) for stage, rows in found.items()}


def _sum(rows: Sequence[Mapping[str, str]], column: str) -> float:
    """The sum of a column; a job that was too short to be looked at has no number there."""
    return sum(float(row[column]) for row in rows if row[column] not in ("", "-", "NA"))
