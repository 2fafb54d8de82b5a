"""Systems: which electrolyte, how much of it, how warm."""

from __future__ import annotations

import hashlib
import json
from itertools import product
from typing import Annotated, Literal

from pydantic import BeforeValidator, Field

from saltern.config.base import Section


def _as_list(value: object) -> object:
    """Let a single value stand for a list of one."""
    return value if isinstance(value, list | tuple) else [value]


Molality = Annotated[float, Field(ge=0, le=30)]
Temperature = Annotated[float, Field(gt=0, le=2000)]

USES = ("name", "role", "levels")
"""What a campaign calls a system and does with it; no part of what the system is."""


class SeedCrystal(Section):
    """A crystal of the salt in the middle of the box."""

    lattice: Literal["rocksalt"] = "rocksalt"
    """Rocksalt, for salts of two ions of one atom each."""
    ions: Literal[8, 64, 216, 512] = 64
    """Ions of the crystal, a cube; half of each kind."""
    constant_A: float = Field(6.0, gt=3, le=10)
    """Lattice constant (Å); `saltern lattice` tells the potential's own."""


class _Electrolyte(Section):
    """What a system and an entry of `systems:` have in common."""

    salt: str | None = Field(None, examples=["NaCl"])
    """Salt, by formula of the ions in `saltern species`; leave it out for the pure solvent."""
    solvent: str = "water"
    """Solvent, by name; `saltern species` lists them."""
    solvent_molecules: int = Field(32, ge=1, le=100_000)
    """Number of solvent molecules in the box. 32 waters fill about 10 Å, the smallest box in which a
    5 Å cutoff sees no atom twice."""
    density: float | None = Field(None, gt=0.1, lt=5)
    """Density (g/cm³); by default from a published correlation, named in `systems.tsv`."""
    permittivity: float | None = Field(None, ge=1, le=1000)
    """Relative permittivity of the solvent in the baseline; by default the pure solvent's at this temperature."""
    seed: int = Field(0, ge=0)
    """Seed of everything random about this system."""
    role: Literal["train", "test", "simulate"] = "train"
    """`test` keeps the whole system out of training and validation: it is only labelled, tested and simulated;
    `simulate` does not label it either."""
    levels: tuple[str, ...] | None = Field(None, min_length=1, examples=[["atoms"]])
    """Names of the levels that the system is for; by default all. Electronic structure wants small boxes, ions without
    solvent want large ones, and of a pure solvent nothing is left on a level of ions."""
    # left out of what a system is where there is none, so that others keep their identifiers
    seed_crystal: SeedCrystal | None = Field(None, exclude_if=lambda crystal: crystal is None)
    """Start with a crystal, to see whether it grows or dissolves; the other ions are spread around it. Only with
    `role: test` or `simulate`, so that no potential is trained on a crystal."""
    name: str | None = Field(None, pattern=r"^[A-Za-z0-9][A-Za-z0-9.-]*$")
    """Identifier in file names; by default the salt and a hash of this entry, which never changes when other
    systems are added."""

    @property
    def labelled(self) -> bool:
        """Whether the teacher is asked about it."""
        return self.role != "simulate"


def state_id(system: str, own: float, temperature: float) -> str:
    """Identifier in file names of a system that is simulated at some temperature.

    Args:
        system: identifier of the system.
        own: its temperature (K).
        temperature: that of the simulation (K). At the system's own it is the system's identifier.
    """
    if temperature == own:
        return system
    return f"{system}_{hashlib.sha256(f'{temperature:.10g} K'.encode()).hexdigest()[:6]}"


class System(_Electrolyte):
    """One periodic box: one electrolyte at one molality and one temperature."""

    molality: Molality = 0.0
    """Moles of salt per kilogram of solvent (mol/kg)."""
    temperature: Temperature = 298.15
    """Temperature of sampling and simulation (K)."""

    @property
    def id(self) -> str:
        """Identifier in file names: `name`, or the salt with a hash of what defines the system."""
        if self.name:
            return self.name
        text = json.dumps(self.definition, sort_keys=True)
        label = "".join(c for c in (self.salt or self.solvent) if c.isalnum())
        return f"{label}-{hashlib.sha256(text.encode()).hexdigest()[:6]}"

    @property
    def definition(self) -> dict[str, object]:
        """What makes this system another one: everything but its name, its role and its levels."""
        return self.model_dump(exclude=set(USES))

    @property
    def told(self) -> str:
        """What `saltern compose` is told, as JSON."""
        return self.model_dump_json(exclude={"levels"} if self.levels is None else None)


class SystemEntry(_Electrolyte):
    """One entry of `systems:`; lists of molalities and temperatures stand for all their combinations."""

    molality: Annotated[tuple[Molality, ...], BeforeValidator(_as_list)] = Field((0.0,), min_length=1)
    """Moles of salt per kilogram of solvent (mol/kg), one or a list. The number of formula units in the box is
    rounded to the nearest whole one; what was really reached is in `systems.tsv`."""
    temperature: Annotated[tuple[Temperature, ...], BeforeValidator(_as_list)] = Field((298.15,), min_length=1)
    """Temperature of sampling and simulation (K), one or a list."""

    def expand(self) -> tuple[System, ...]:
        """Every combination of this entry's molalities and temperatures."""
        shared = self.model_dump(exclude={"molality", "temperature"})
        return tuple(System(**shared, molality=m, temperature=t) for m, t in product(self.molality, self.temperature))
