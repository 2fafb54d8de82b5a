"""Salts: from a name such as (NH4)2SO4 to ions and stoichiometry."""

from __future__ import annotations

import difflib
from dataclasses import dataclass
from functools import cache
from itertools import product
from math import gcd

from saltern.systems.errors import ElectrolyteError
from saltern.systems.species import SPECIES, WATER, Species

_NOT_BESIDE_HYDRONIUM = {"F-", "OH-", "CO3^2-", "SO4^2-"}
"""Anions that take the proton away from hydronium, wholly or in good part."""


@dataclass(frozen=True)
class Salt:
    """A salt, or a strong acid, which is taken as hydronium and its anion."""

    name: str
    """Formula."""
    cation: Species
    anion: Species
    cations: int
    """Cations in a formula unit."""
    anions: int
    """Anions in a formula unit."""

    @property
    def protonated(self) -> int:
        """Water molecules that a formula unit turns into ions: one for each hydronium, else none."""
        return self.cations if self.cation.name == "H3O+" else 0

    @property
    def mass(self) -> float:
        """Molar mass of the formula unit as it is weighed in (g/mol): HCl is not H3OCl."""
        return self.cations * self.cation.mass + self.anions * self.anion.mass - self.protonated * WATER.mass

    @property
    def composition(self) -> dict[str, int]:
        """Atoms of each element in the formula unit as it is weighed in."""
        parts = [self.cation] * self.cations + [self.anion] * self.anions
        elements = [e for part in parts for e in part.elements]
        counts = {e: elements.count(e) for e in dict.fromkeys(elements)}
        for element in WATER.elements:
            counts[element] = counts.get(element, 0) - self.protonated
        return {e: n for e, n in counts.items() if n > 0}


def parse_salt(name: str) -> Salt:
    """Find the ions of a salt and their numbers, by charge neutrality.

    Args:
        name: a formula such as `NaCl`, `(NH4)2SO4` or `LiTFSI`. Another way of writing the same composition,
            such as `N2H4O3`, is understood too.

    Raises:
        ElectrolyteError: (a `UserError`) when it is not made of ions of the library; it names the nearest known salt.
    """
    known = _by_spelling()
    if name in known:
        return known[name]
    same = _same_composition(name)
    if same is not None:
        return same
    folded = {_folded(spelling): spelling for spelling in known}
    near = difflib.get_close_matches(_folded(name), folded, n=1, cutoff=0.6)
    hint = f"; did you mean '{folded[near[0]]}'?" if near else ""
    raise ElectrolyteError("salt", name, f"a formula made of one cation and one anion of `saltern species`{hint}")


@cache
def _by_spelling() -> dict[str, Salt]:
    """Every salt of the library by every way of writing it."""
    cations = [s for s in SPECIES.values() if s.charge > 0]
    anions = [s for s in SPECIES.values() if s.charge < 0]
    found: dict[str, Salt] = {}
    for cation, anion in product(cations, anions):
        if cation.name == "H3O+" and anion.name in _NOT_BESIDE_HYDRONIUM:
            continue
        shared = gcd(cation.charge, anion.charge)
        counts = (-anion.charge // shared, cation.charge // shared)
        spellings = [
            _part(left, counts[0]) + _part(right, counts[1])
            for left, right in product(_written(cation), (anion.formula, *anion.spellings))
        ]
        salt = Salt(spellings[0], cation, anion, *counts)
        found.update(dict.fromkeys(spellings, salt))
    return found


def _folded(name: str) -> str:
    """A name without capitals, and with letters and digits that look alike made the same."""
    return name.casefold().translate(str.maketrans("i10", "llo"))


def _written(cation: Species) -> tuple[str, ...]:
    """Ways of writing a cation, the usual one first: HCl rather than H3OCl."""
    written = (cation.formula, *cation.spellings)
    return written[::-1] if cation.name == "H3O+" else written


def _part(formula: str, count: int) -> str:
    """An ion in a formula: Na2, (NH4)2, Mg(TFSI)2."""
    if count == 1:
        return formula
    single = sum(letter.isupper() for letter in formula) == 1 and formula.isalpha()
    return f"{formula}{count}" if single else f"({formula}){count}"


def _same_composition(name: str) -> Salt | None:
    """The salt of the same composition, if the name can be read as a formula."""
    from pymatgen.core import Composition

    try:
        wanted = {str(element): amount for element, amount in Composition(name).items()}
    except (ValueError, KeyError):
        return None
    return next((salt for salt in _by_spelling().values() if salt.composition == wanted), None)
