"""Reading a campaign file: every mistake found, each told in one line."""

from __future__ import annotations

import csv
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import yaml
from pydantic import BaseModel, ValidationError

from saltern.config.campaign import Campaign, Problem
from saltern.errors import UserError, did_you_mean

Check = Callable[[Campaign], Sequence[Problem]]


def load_campaign(path: str | Path, checks: Sequence[Check] = ()) -> Campaign:
    """Read and check a campaign file.

    Args:
        path: a YAML file.
        checks: further checks across sections, such as `saltern.systems.problems`.

    Raises:
        UserError: with one line for each mistake.
    """
    path = Path(path)
    try:
        data = yaml.safe_load(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise UserError(f"{path}: cannot be read ({error.strerror})") from error
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        raise UserError(f"{path}: not a YAML file ({_where(error)})") from error
    return campaign_from(data, path, checks)


def campaign_from(data: object, path: str | Path, checks: Sequence[Check] = ()) -> Campaign:
    """Check a campaign that is already a mapping, such as Snakemake's `config`; see `load_campaign`."""
    if not isinstance(data, Mapping):
        raise UserError(f"{path}: a mapping with the keys {', '.join(Campaign.model_fields)} is expected")
    data = dict(data)
    if isinstance(data.get("systems"), str):
        data["systems"] = read_systems_table(Path(path).parent / data["systems"])
    try:
        campaign = Campaign.model_validate(data)
    except ValidationError as error:
        raise UserError(*_explain(error, str(path))) from error
    refuse([p for check in (Campaign.problems, *checks) for p in check(campaign)], path)
    return campaign


def refuse(found: Sequence[Problem], path: str | Path) -> None:
    """Refuse a campaign in which problems were found.

    Raises:
        UserError: with one line for each, when there are any.
    """
    if found:
        raise UserError(*(f"{path}: {p.path}: {p.value!r} is not allowed; allowed: {p.allowed}" for p in found))


def read_systems_table(path: Path) -> list[dict[str, Any]]:
    """Read `systems.tsv`: the header names keys of an entry, an empty cell takes the default.

    Raises:
        UserError: when it cannot be read or a row does not fit the header.
    """
    try:
        with path.open(encoding="utf-8", newline="") as handle:
            rows = list(csv.DictReader(handle, dialect="excel-tab"))
    except (OSError, UnicodeDecodeError) as error:
        raise UserError(f"{path}: the table of systems cannot be read ({_where(error)})") from error
    for number, row in enumerate(rows, start=2):
        if None in row or None in row.values():
            raise UserError(f"{path}: line {number}: not as many tab-separated cells as the header has")
    return [{key: yaml.safe_load(cell) for key, cell in row.items() if cell.strip()} for row in rows]


def _where(error: Exception) -> str:
    """A parser's complaint on one line."""
    return " ".join(str(error).split())


def _explain(error: ValidationError, source: str) -> list[str]:
    """One line for each mistake: file, key path, value, what is allowed, nearest known key."""
    entries = error.errors(include_url=False)
    # a list whose only item is wrong is reported as too short as well: keep the item's own line
    return [
        _line(entry, source)
        for entry in entries
        if not any(
            len(other["loc"]) > len(entry["loc"]) and other["loc"][: len(entry["loc"])] == entry["loc"]
            for other in entries
        )
    ]


def _line(entry: Any, source: str) -> str:
    # behind the key of a union stands the tag of the member that was tried
    location = [part for part, before in zip(entry["loc"], ("", *entry["loc"]), strict=False) if before != "teacher"]
    if entry["type"].startswith("union_tag"):
        location = [*location, "engine"]
    if entry["type"] == "union_tag_invalid":
        entry = {**entry, "input": entry["input"].get("engine"), "msg": entry["ctx"]["expected_tags"]}
    path = ".".join(map(str, location))
    if entry["type"] == "extra_forbidden":
        known = _known_keys(entry["loc"][:-1])
        return f"{source}: {path}: unknown key{did_you_mean(str(location[-1]), known)} (known: {', '.join(known)})"
    if entry["type"] in ("missing", "union_tag_not_found"):
        return f"{source}: {path}: required, but missing"
    value = entry["input"]
    shown = "" if isinstance(value, Mapping) else f"{value!r} is not allowed; "
    message = entry["msg"][0].lower() + entry["msg"][1:]
    near = did_you_mean(str(value), _choices(entry))
    return f"{source}: {path}: {shown}allowed: {message.removeprefix('input should be ')}{near}"


def _choices(entry: Any) -> list[str]:
    """The words that a literal or a union's tag may be."""
    expected = str(entry.get("ctx", {}).get("expected", entry.get("ctx", {}).get("expected_tags", "")))
    return [word for word in expected.replace(" or ", ", ").replace("'", "").split(", ") if word]


def _known_keys(location: Sequence[int | str]) -> list[str]:
    """Keys of the section at a location of the campaign, following unions by their tag."""
    models: list[type[BaseModel]] = [Campaign]
    for part in location:
        if isinstance(part, int):
            continue
        inner = [
            m for model in models if part in model.model_fields for m in _models_in(model.model_fields[part].annotation)
        ]
        tagged = [m for m in models if "engine" in m.model_fields and m.model_fields["engine"].default == part]
        models = inner or tagged or models
    return list(dict.fromkeys(name for model in models for name in model.model_fields))


def _models_in(annotation: Any) -> list[type[BaseModel]]:
    """Every section type inside a type annotation."""
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return [annotation]
    return [m for argument in getattr(annotation, "__args__", ()) for m in _models_in(argument)]
