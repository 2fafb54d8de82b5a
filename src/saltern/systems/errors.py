"""The one error of this package: something about a system that cannot be had."""

from __future__ import annotations

from saltern.errors import UserError


class ElectrolyteError(UserError):
    """A key of a system with a value that cannot be used.

    It keeps its parts, so that the check of a whole campaign can put the place in the file before them.
    """

    def __init__(self, key: str, value: object, allowed: str) -> None:
        super().__init__(f"{key}: {value!r} is not allowed; allowed: {allowed}")
        self.key = key
        self.value = value
        self.allowed = allowed
