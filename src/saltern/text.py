"""Text that several commands and the report write alike."""

from __future__ import annotations

from collections.abc import Collection, Sequence


def aligned(rows: Sequence[Sequence[str]], left: Collection[int] = (0,)) -> list[str]:
    """Rows as lines with aligned columns, heads included.

    Args:
        rows: the same number of cells each.
        left: places of the columns that begin on the left, as text does; the others end on the right, as numbers do.
    """
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    columns = list(enumerate(widths))
    return [
        "  ".join(row[i].ljust(width) if i in left else row[i].rjust(width) for i, width in columns).rstrip()
        for row in rows
    ]


def counted(number: int, thing: str) -> str:
    """'1 system', '1,200 systems'."""
    return f"{number:,} {thing}" if number == 1 else f"{number:,} {thing}s"
