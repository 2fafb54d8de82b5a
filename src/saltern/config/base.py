"""What every section of a campaign file has in common."""

from __future__ import annotations

from pydantic import BaseModel, ConfigDict


class Section(BaseModel):
    """A frozen section: unknown keys are refused, and the text under each key is its documentation."""

    model_config = ConfigDict(frozen=True, extra="forbid", use_attribute_docstrings=True, allow_inf_nan=False)

    def has_default(self, key: str) -> bool:
        """Whether a key has its default."""
        return bool(getattr(self, key) == type(self).model_fields[key].default)
