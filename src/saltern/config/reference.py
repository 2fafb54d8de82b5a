"""The reference of every key, made from the models themselves."""

from __future__ import annotations

import json
from inspect import cleandoc
from types import NoneType
from typing import Annotated, Any, Literal, get_args, get_origin

from pydantic.fields import FieldInfo

from saltern.config.base import Section
from saltern.config.campaign import Campaign, Level
from saltern.config.limits import LimitsConfig
from saltern.config.moving import BiasConfig, LevelTeacher, SettledConfig
from saltern.config.stages import Teacher
from saltern.config.system import SeedCrystal, SystemEntry

_HEAD = """\
# Campaign files

A campaign file is YAML. `saltern validate FILE` checks one and says in one line each what is wrong; unknown keys are
refused. `saltern schema` prints a JSON schema (also in `campaign.schema.json` here) from which editors complete keys:
put `# yaml-language-server: $schema=campaign.schema.json` in the first line.

This page is made from the program (`saltern schema --format markdown`), so it is never out of date.

Editing one section makes Snakemake redo that stage and what depends on it, nothing else.
"""


def reference() -> str:
    """Every key of a campaign file in Markdown: what it may be, its default, and why."""
    parts = [
        _HEAD,
        _section("The campaign", Campaign),
        _section("An entry of `systems`", SystemEntry),
        _section("`seed_crystal` of a system", SeedCrystal),
        _section("`limits`", LimitsConfig),
        _section("A level", Level),
    ]
    for teacher in get_args(get_args(Teacher)[0]):
        how = "level: atoms" if teacher is LevelTeacher else f"engine: {teacher.model_fields['engine'].default}"
        parts.append(_section(f"`teacher: {{{how}}}`", teacher))
    parts += [
        _section(f"`{name}`", field.annotation)
        for name, field in Level.model_fields.items()
        if isinstance(field.annotation, type) and issubclass(field.annotation, Section)
    ]
    parts.append(_section("`teacher.bias`", BiasConfig))
    parts.append(_section("An entry of `label.settled`", SettledConfig))
    return "\n".join(parts)


def _section(title: str, model: type[Section]) -> str:
    """One table."""
    lines = [
        f"\n## {title}\n",
        f"{cleandoc(model.__doc__ or '')}\n",
        "| key | value | default | meaning |",
        "|---|---|---|---|",
    ]
    for name, field in model.model_fields.items():
        meaning = " ".join((field.description or "").split())
        lines.append(f"| `{name}` | {_kind(field)} | {_default(field)} | {meaning} |")
    return "\n".join(lines) + "\n"


def _default(field: FieldInfo) -> str:
    """A key's default; a section's is its own table."""
    if field.is_required():
        return "required"
    if isinstance(field.default, Section):
        return "its own"
    if field.default_factory is not None:
        return "see there"
    if field.default is None:
        return "-"
    value = list(field.default) if isinstance(field.default, tuple) else field.default
    return f"`{json.dumps(value[0] if isinstance(value, list) and len(value) == 1 else value)}`"


def _kind(field: FieldInfo) -> str:
    """What a key may be, with its bounds."""
    signs = {"ge": "≥", "gt": ">", "le": "≤", "lt": "<"}
    bounds = [f"{sign} {getattr(m, k):g}" for m in field.metadata for k, sign in signs.items() if hasattr(m, k)]
    return ", ".join([_type(field.annotation), *bounds])


def _type(annotation: Any) -> str:
    """A type in words."""
    if get_origin(annotation) is Annotated:
        return _type(get_args(annotation)[0])
    if get_origin(annotation) is Literal:
        return " or ".join(f"`{word}`" for word in get_args(annotation))
    words = {str: "text", float: "number", int: "whole number", bool: "true or false"}
    if annotation in words:
        return words[annotation]
    if isinstance(annotation, type) and issubclass(annotation, Section):
        return "section"
    inner = [a for a in get_args(annotation) if a not in (NoneType, Ellipsis)]
    kinds = list(dict.fromkeys(_type(a) for a in inner if not hasattr(a, "discriminator")))
    if get_origin(annotation) is tuple:
        return f"list of {kinds[0]}{'s' if kinds[0] in ('number', 'section') else ''}" if kinds else "list"
    return " or ".join(kinds) or "section"
