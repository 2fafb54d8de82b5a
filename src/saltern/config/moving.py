"""Teachers that move: the student of another level, a bias, and when trajectories count."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Annotated, Literal

from pydantic import BeforeValidator, Field

from saltern.config.base import Section


class LevelTeacher(Section):
    """The student of a level above that moves, for a level of ions without solvent.

    Labels are its forces on the ions, whose average over the solvent is the mean force. Frames hold the ions alone.
    `{level: atoms}` is short for `{engine: level, level: atoms}`.
    """

    engine: Literal["level"] = "level"
    """`level`: what another level of this campaign has learned, baseline and core included."""
    level: str = Field(examples=["atoms"])
    """Name of that level, which stands above this one."""
    timestep_fs: float = Field(0.5, gt=0, le=5)
    """Integration step (fs); flexible O-H bonds need 0.5."""
    thermostat: Literal["bussi", "langevin", "nose-hoover"] = "bussi"
    """As in `simulate`."""
    thermostat_fs: float = Field(100.0, gt=0)
    """As in `simulate`: time constant of the thermostat (fs)."""
    spread_every: int = Field(20, ge=1)
    """Steps between evaluations of the whole committee; at every frame it is asked anyway."""
    max_spread_eV_A: float = Field(5.0, gt=0)
    """A trajectory ends where the committee disagrees by more than this about any force (eV/Å)."""
    min_distance_A: float = Field(0.5, gt=0)
    """A trajectory ends when two atoms come closer than this (Å). Frames that a trajectory does not reach are
    quarantined."""
    device: Literal["auto", "cpu", "cuda"] = "auto"
    """`auto` takes a GPU where there is one."""

    @property
    def method(self) -> str:
        """What stands for the level of theory in the frames."""
        return f"student of {self.level}"


def in_full(teacher: object) -> object:
    """`{level: atoms}` with its engine."""
    if isinstance(teacher, Mapping) and "level" in teacher and "engine" not in teacher:
        return {"engine": "level", **teacher}
    return teacher


class BiasConfig(Section):
    """A Gaussian well between each cation and each anion, which the teacher's dynamics feels and its labels do not.

    It pushes ions together, or over a barrier between them. The mean force on ions at given places is the same whatever
    brought them there, so the student's potential is that of the teacher without it. Where the teacher's own liquid is
    asked for, a frame counts as often as it would be there without the well. It hastens nothing that waits for the
    solvent: lithium keeps its four waters in a well between it and chloride, and true contacts are as rare as without.
    """

    distance_A: float = Field(gt=0, le=7)
    """Its middle (Å): the contact, 2.9 for Na-Cl or 3.2 for K-Cl in water, or the barrier outside it."""
    width_A: float = Field(0.2, gt=0, le=0.75)
    """Its standard deviation (Å)."""
    depth_kT: float = Field(gt=0, le=20)
    """Its depth (kT): below the height of the barrier, or ions stay on it and few frames count."""
    share: float = Field(1.0, gt=0, le=1)
    """Share of the trajectories that feel it. The others show the liquid as it is, so that the well may push ions
    together: in a solution an ion touches few others, and what its student makes of a crystal is invented. Below 1
    the trajectories without the well are what `label.settled` judges and what the student's liquid is compared with."""

    def moves(self, trajectory: int) -> bool:
        """Whether the trajectory of that number feels it; this does not depend on how many there are."""
        return math.floor(self.share * (trajectory + 1) + 1e-9) > math.floor(self.share * trajectory + 1e-9)


class SettledConfig(Section):
    """What tells trajectories of a teacher that moves from those that did not come to equilibrium."""

    pair: tuple[str, str] = Field(examples=[["Na", "Cl"]])
    """Elements of the ion in the middle and of its neighbours, by symbol."""
    within_A: float = Field(gt=0)
    """Distance within which neighbours count (Å), such as the first minimum of their radial distribution function; at
    most half of the box's edge."""
    coordination: float = Field(ge=0)
    """Mean number of neighbours that the solution is known to have."""
    tolerance: float = Field(0.05, ge=0)
    """Difference from it that is allowed besides the trajectory's own standard error."""
    system: str | None = None
    """Identifier of the system that this is about, for it depends on molality and temperature; by default all that have
    both elements."""


def _as_list(value: object) -> object:
    """Let one entry stand for a list of one."""
    return [value] if isinstance(value, Mapping) else value


Settled = Annotated[tuple[SettledConfig, ...], BeforeValidator(_as_list)]
