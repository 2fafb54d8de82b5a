"""Which labels of a store a recall means."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import date
from fnmatch import fnmatchcase

from saltern.errors import UserError
from saltern.labelling.records import Record

TRAITS = ("engine", "method", "host", "date")
"""By what selected labels are counted."""


@dataclass(frozen=True)
class Selection:
    """Criteria that all have to be met; an empty one is met by every label.

    A text with `*`, `?` or `[` is a pattern for the whole value; without, `engine`, `engine_version`, `method` and
    `host` are the value itself, and `build` and `scf_path` a part of it.
    """

    engine: str = ""
    engine_version: str = ""
    method: str = ""
    host: str = ""
    build: str = ""
    scf_path: str = ""
    key: str = ""
    """The key or its beginning."""
    first: str = ""
    """First day, YYYY-MM-DD, UTC."""
    last: str = ""
    """Last day."""

    def __bool__(self) -> bool:
        """Whether there is any criterion."""
        return any(vars(self).values())

    def criteria(self) -> dict[str, str]:
        """What is asked for, by name."""
        return {name: text for name, text in vars(self).items() if text}

    def takes(self, key: str, record: Record) -> bool:
        """Whether a label is meant."""
        question, made = record["question"], record["record"]
        day = made["date"][:10]
        return (
            key.startswith(self.key)
            and _is(self.engine, question["engine"])
            and _is(self.engine_version, question["version"])
            and _is(self.method, made["method"])
            and _is(self.host, made["host"])
            and _is(self.build, made["build"], part=True)
            and _is(self.scf_path, made["scf_path"], part=True)
            and (not self.first or self.first <= day)
            and (not self.last or day <= self.last)
        )


def _is(wanted: str, found: str, *, part: bool = False) -> bool:
    """Whether a value is the wanted one, or matches the wanted pattern."""
    if not wanted:
        return True
    if any(sign in wanted for sign in "*?["):
        return fnmatchcase(found, wanted)
    return wanted in found if part else wanted == found


def days(text: str) -> tuple[str, str]:
    """First and last day of A:B, either of which may be missing; one day alone is both.

    Raises:
        UserError: when that is not what stands there.
    """
    first, colon, last = text.partition(":")
    try:
        told = [str(date.fromisoformat(day)) if day else "" for day in (first, last if colon else first)]
    except ValueError:
        told = []
    if not any(told) or (all(told) and told[0] > told[1]):
        raise UserError(
            f"--date {text}: not allowed; allowed: A:B, A:, :B or A with days such as 2026-11-22, A before B"
        )
    return told[0], told[1]


def traits(record: Record) -> dict[str, str]:
    """What `TRAITS` are of a label."""
    question, made = record["question"], record["record"]
    engine = f"{question['engine']} {question['version']}"
    return {"engine": engine, "method": made["method"], "host": made["host"], "date": made["date"][:10]}


def count_traits(found: Iterable[Mapping[str, str]]) -> dict[str, dict[str, int]]:
    """How often each value of each trait occurs."""
    counts: dict[str, Counter[str]] = {trait: Counter() for trait in TRAITS}
    for label in found:
        for trait in TRAITS:
            counts[trait][label[trait]] += 1
    return {trait: dict(sorted(counter.items())) for trait, counter in counts.items()}
