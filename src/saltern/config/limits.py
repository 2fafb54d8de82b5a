"""How large a campaign may be."""

from __future__ import annotations

from pydantic import Field

from saltern.config.base import Section


class LimitsConfig(Section):
    """What a campaign may take; one that takes more is refused before anything is submitted. Most have no default."""

    jobs: int | None = Field(100_000, ge=1)
    """Jobs of all stages. So many cost Snakemake some 3 minutes and 2 GB of memory at every start (docs/scale.md);
    `null` for no limit."""
    files: int | None = Field(None, ge=1)
    """Files, the label store's one a frame included; shared file systems often count them."""
    gigabytes: float | None = Field(None, gt=0)
    """Size of all files (10⁹ bytes)."""
    core_hours: float | None = Field(None, gt=0)
    """Processor time of the labels and of starting all jobs (hours), by the built-in figures; `saltern plan` holds
    what the labels at hand predict against it, too."""
