"""Errors that Saltern raises on purpose.

A `UserError` means that what was asked cannot be done as asked: the command line prints its lines and
exits with 2, without a traceback. Any other exception is a fault of Saltern and keeps its traceback.
"""

from __future__ import annotations

from collections.abc import Sequence


class SalternError(Exception):
    """Base class of every error raised on purpose."""


class UserError(SalternError):
    """Wrong input. Each of `lines` says in one line where, what, and what is allowed."""

    def __init__(self, *lines: str) -> None:
        super().__init__("\n".join(lines))
        self.lines = lines


class MissingPackageError(UserError):
    """What was asked for needs a package that is not installed here.

    `variable` is that of the shell which may name an environment that has it.
    """

    def __init__(self, what: str, package: str, environment: str) -> None:
        variable = f"SALTERN_{environment.upper()}"
        super().__init__(
            f"{what} needs the package {package}, which is not installed here; install it (envs/install.sh PREFIX "
            f"{environment} makes an environment, as pip install 'saltern[{environment}]' does in one of your own) and "
            f"name the directory of its programs: {variable}=PREFIX/bin"
        )
        self.variable = variable


class LabelError(SalternError):
    """An engine could not label one frame; the frame is quarantined with this reason.

    `reason` is a short, fixed word that the ledger counts by ("scf-not-converged"); `detail` is for people.
    """

    def __init__(self, reason: str, detail: str = "") -> None:
        super().__init__(f"{reason}: {detail}" if detail else reason)
        self.reason = reason
        self.detail = detail


class EngineError(SalternError):
    """An engine was stopped from outside or lost its files: nothing is wrong with the input, run it again."""


class SimulationError(SalternError):
    """A trajectory left the region in which its potential can be trusted."""


def did_you_mean(word: str, allowed: Sequence[str]) -> str:
    """Return '; did you mean X?' for the nearest allowed word, or an empty string."""
    import difflib

    near = difflib.get_close_matches(word, allowed, n=1, cutoff=0.6)
    return f"; did you mean '{near[0]}'?" if near else ""
