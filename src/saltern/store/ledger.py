"""The ledger: what became of every frame that was asked for, and what it cost."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import pandas as pd

HARD_ABOVE = 0.01
"""Failure rate from which a system counts as a hard region that its dataset under-samples."""


@dataclass(frozen=True)
class Account:
    """Frames that belong together: those of a system, those of a method, or all."""

    accepted: int
    """Frames whose label is believed."""
    quarantined: Mapping[str, int]
    """Frames by reason, the most frequent first."""
    cpu_seconds: float
    """Processor time of all of them; frames whose cost is not known add nothing."""
    retried: int
    """Frames whose electronic structure took more than the first attempt."""
    relabelled: int
    """Frames labelled again after a recall."""
    methods: Mapping[str, int]
    """Frames by method, engine and version."""
    builds: Mapping[str, int]
    """Frames by how the engine's program was made."""
    hosts: Mapping[str, int]
    """Frames by machine."""
    requested: int | None = None
    """Frames asked for; None where that is not known yet, and for a method, which is not asked for frames."""

    @property
    def labelled(self) -> int:
        """Frames with an outcome, accepted or quarantined."""
        return self.accepted + self.refused

    @property
    def open(self) -> int | None:
        """Frames asked for that have no outcome yet; None where it is not known how many were asked for."""
        return None if self.requested is None else self.requested - self.labelled

    @property
    def refused(self) -> int:
        """Frames quarantined, whatever the reason."""
        return sum(self.quarantined.values())

    @property
    def failure_rate(self) -> float | None:
        """Share of the frames with an outcome that is quarantined; None when there are none."""
        return self.refused / self.labelled if self.labelled else None

    @property
    def cpu_seconds_a_frame(self) -> float | None:
        """Mean processor time of a frame (s); None when there are none."""
        return self.cpu_seconds / self.labelled if self.labelled else None

    def plain(self) -> dict[str, Any]:
        """Everything, as JSON can hold it."""
        names = ("requested", "accepted", "quarantined", "open", "failure_rate", "cpu_seconds", "cpu_seconds_a_frame",
                 "retried", "relabelled", "methods", "builds", "hosts")  # fmt: skip
        return {name: getattr(self, name) for name in names}


@dataclass(frozen=True)
class Ledger:
    """The accounts of a dataset, finished or not."""

    systems: Mapping[str, Account]
    methods: Mapping[str, Account]
    total: Account

    @property
    def closes(self) -> bool:
        """Whether every frame asked for is accepted or quarantined, in every system."""
        return all(account.open == 0 for account in self.systems.values())

    @property
    def hard(self) -> dict[str, Account]:
        """Systems of which more than `HARD_ABOVE` of the frames have no label, the worst first."""
        rates = {system: account.failure_rate or 0.0 for system, account in self.systems.items()}
        found = sorted((-rate, system) for system, rate in rates.items() if rate > HARD_ABOVE)
        return {system: self.systems[system] for _, system in found}

    def plain(self) -> dict[str, Any]:
        """Everything, as JSON can hold it."""
        return {
            "closes": self.closes,
            "total": self.total.plain(),
            "systems": {system: account.plain() for system, account in self.systems.items()},
            "methods": {method: account.plain() for method, account in self.methods.items()},
            "hard_regions": list(self.hard),
        }


def ledger_of(index: pd.DataFrame, requested: Mapping[str, int | None]) -> Ledger:
    """The ledger of the frames in an index.

    Args:
        index: one row a frame with an outcome: system, accepted, reason, method, engine, engine_version, cpu_seconds
            and, where they are known, engine_build, host, scf_path and recall.
        requested: frames asked for in each system; None where that is not known yet.
    """
    index = index.assign(teacher=_teachers(index))
    by_system = dict(tuple(index.groupby("system")))
    asked = [number for number in requested.values() if number is not None]
    total = sum(asked) if len(asked) == len(requested) else None
    return Ledger(
        {system: _account(by_system.get(system, index[:0]), number) for system, number in requested.items()},
        {str(teacher): _account(rows, None) for teacher, rows in index.groupby("teacher")},
        _account(index, total),
    )


def _teachers(index: pd.DataFrame) -> list[str]:
    """Who labelled each frame: 'GFN1-xTB (tblite 0.8.0)', of data from elsewhere as much as is known."""
    found = []
    for method, *program in index[["method", "engine", "engine_version"]].to_numpy():
        known = " ".join(name for name in program if name != "unknown")
        found.append(f"{method} ({known})" if known else str(method))
    return found


def _account(rows: pd.DataFrame, requested: int | None) -> Account:
    """The account of some frames."""
    return Account(
        accepted=int(rows["accepted"].sum()),
        quarantined=_counts(rows, "reason"),
        cpu_seconds=float(rows["cpu_seconds"].sum()) if "cpu_seconds" in rows else 0.0,
        retried=int(rows["scf_path"].str.contains(" > ", regex=False).sum()) if "scf_path" in rows else 0,
        relabelled=int((rows["recall"] != "").sum()) if "recall" in rows else 0,
        methods=_counts(rows, "teacher"),
        builds=_counts(rows, "engine_build"),
        hosts=_counts(rows, "host"),
        requested=requested,
    )


def _counts(rows: pd.DataFrame, name: str) -> dict[str, int]:
    """How often each value occurs, empty ones aside; the most frequent first."""
    if name not in rows:
        return {}
    pairs = [(str(value), int(count)) for value, count in rows[name].value_counts().items() if value]
    return dict(sorted(pairs, key=lambda pair: (-pair[1], pair[0])))
