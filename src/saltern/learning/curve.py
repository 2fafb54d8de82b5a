"""The learning curve, written as it goes."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple


class Row(NamedTuple):
    """One epoch; errors are None where the validation frames were not evaluated."""

    epoch: int
    learning_rate: float
    train_loss: float
    validation_force_rmse_meV_A: float | None
    validation_energy_rmse_meV_atom: float | None
    cpu_seconds: float
    kept_epoch: int = 0
    """After which the weights were as they would be saved now; 0 while there are none."""
    ended: str = ""
    """Why training ended here, before its schedule."""


class Curve:
    """A CSV file that is complete after every epoch."""

    def __init__(self, path: Path, rows: Sequence[Row]) -> None:
        self._path = path
        self._note = ""
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(",".join(Row._fields) + "\n", encoding="utf-8")
        for row in rows:
            self.add(row)

    def add(self, row: Row) -> None:
        """Append one epoch."""
        cells = ("" if value is None else value if isinstance(value, str) else f"{value:.6g}" for value in row)
        with self._path.open("a", encoding="utf-8") as file:
            file.write(",".join(cells) + "\n")
        if row.validation_force_rmse_meV_A is not None:
            self._note = f", validation force RMSE {row.validation_force_rmse_meV_A:.0f} meV/Å"
        self._loss = row.train_loss

    def note(self) -> str:
        """Loss and last validation error, for a line of progress."""
        return f"loss {self._loss:.3g}{self._note}"
