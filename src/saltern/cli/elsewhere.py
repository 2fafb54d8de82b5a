"""Going on with a command in the environment that has what it needs."""

from __future__ import annotations

import os
import sys
from collections.abc import Sequence
from pathlib import Path


def go_on_in(variable: str, arguments: Sequence[str]) -> None:
    """Become the same command in the environment whose programs' directory a variable names.

    Two packages that need different versions of a third cannot share an environment, and nobody should have to know
    which command needs which. This returns when the variable names nothing, or the environment that this is.

    Args:
        variable: such as SALTERN_NEQUIP.
        arguments: of the `saltern` command.
    """
    place = os.environ.get(variable)
    python = Path(place or "/nowhere") / "python"
    if not python.exists() or python.parent.samefile(Path(sys.executable).parent):
        return
    sys.stdout.flush()
    os.execv(python, [str(python), "-m", "saltern", *arguments])
