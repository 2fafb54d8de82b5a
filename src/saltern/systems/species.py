"""The species library: ions and solvent molecules, their charges and geometries."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
from ase.data import atomic_masses, atomic_numbers
from numpy.typing import NDArray

from saltern.systems.geometry import (
    Points,
    bent,
    diatomic,
    from_internal,
    octahedral,
    pyramidal,
    tetrahedral,
    trigonal,
)

Bonds = tuple[tuple[int, int], ...]


@dataclass(frozen=True)
class Species:
    """One kind of molecule or ion."""

    name: str
    """Unique name, such as `SO4^2-`."""
    formula: str
    """How it is written in the formula of a salt, such as `SO4`."""
    charge: int
    """Formal charge (e). In the baseline it sits on the first atom, the central one."""
    elements: tuple[str, ...]
    """Element of each atom."""
    geometry: Points
    """Position of each atom (Å)."""
    bonds: Bonds = ()
    """Pairs of bonded atoms."""
    aliases: tuple[str, ...] = ()
    """Other names."""
    spellings: tuple[str, ...] = ()
    """Other ways of writing it in the formula of a salt."""
    source: str = ""
    """Where the geometry comes from."""
    volume: float | None = None
    """Conventional partial molar volume in water at infinite dilution and 25 °C, H+ = 0 (cm³/mol): F. J. Millero,
    Chem. Rev. 71, 147 (1971); None where no value is at hand."""

    @cached_property
    def numbers(self) -> NDArray[np.int32]:
        """Atomic numbers, (atom,)."""
        return np.array([atomic_numbers[e] for e in self.elements], dtype=np.int32)

    @cached_property
    def positions(self) -> NDArray[np.float64]:
        """Geometry as an array, (atom, 3) in Å."""
        return np.array(self.geometry)

    @cached_property
    def charges(self) -> NDArray[np.float64]:
        """Charges of the baseline, (atom,) in e."""
        return np.array([float(self.charge)] + [0.0] * (len(self.elements) - 1))

    @property
    def mass(self) -> float:
        """Molar mass (g/mol)."""
        return float(atomic_masses[self.numbers].sum())

    @property
    def is_monatomic(self) -> bool:
        """Whether it is a single atom."""
        return len(self.elements) == 1


def _atom(element: str, charge: int, volume: float, *aliases: str) -> Species:
    """A monatomic ion."""
    size = str(abs(charge)) if abs(charge) > 1 else ""
    name = f"{element}{size}{'+' if charge > 0 else '-'}"
    return Species(name, element, charge, (element,), ((0.0, 0.0, 0.0),), aliases=aliases, volume=volume)


def _centred(
    name: str, formula: str, charge: int, elements: Sequence[str], geometry: Points, source: str, **more: Any
) -> Species:
    """An ion or molecule in which every atom is bonded to the first."""
    bonds = tuple((0, i) for i in range(1, len(elements)))
    return Species(name, formula, charge, tuple(elements), geometry, bonds, source=source, **more)


def _tfsi() -> Species:
    """(CF3SO2)2N- in its lowest (trans, C2) conformation: the CF3 groups on opposite sides of the S-N-S plane."""
    turn = 92.0
    rows: list[tuple[int, float, int, float, int, float]] = [
        (0, 0, 0, 0, 0, 0),
        (0, 1.570, 0, 0, 0, 0),
        (0, 1.570, 1, 125.6, 0, 0),
    ]
    for sulfur, other in ((1, 2), (2, 1)):
        rows += [(sulfur, 1.437, 0, 113.6, other, turn + 113.0), (sulfur, 1.437, 0, 113.6, other, turn - 113.0)]
    for sulfur, other in ((1, 2), (2, 1)):
        rows.append((sulfur, 1.818, 0, 103.5, other, turn))
    for carbon, sulfur in ((7, 1), (8, 2)):
        rows += [(carbon, 1.323, sulfur, 111.7, 0, twist) for twist in (180.0, 60.0, -60.0)]
    bonds: Bonds = ((0, 1), (0, 2), (1, 3), (1, 4), (2, 5), (2, 6), (1, 7), (2, 8))
    bonds += tuple((7 + i // 3, 9 + i) for i in range(6))
    return Species(
        "TFSI-",
        "TFSI",
        -1,
        ("N", "S", "S", "O", "O", "O", "O", "C", "C", "F", "F", "F", "F", "F", "F"),
        from_internal(rows),
        bonds,
        aliases=("NTf2-", "bistriflimide"),
        spellings=("NTf2", "N(SO2CF3)2", "N(CF3SO2)2"),
        source="bond lengths and angles of J. N. Canongia Lopes, A. A. H. Padua, J. Phys. Chem. B 108, 16893 (2004)",
    )


_GREENWOOD = "N. N. Greenwood, A. Earnshaw, Chemistry of the Elements, 2nd ed. (1997)"

_IONS = (
    _atom("Li", 1, -0.88, "lithium"),
    _atom("Na", 1, -1.21, "sodium"),
    _atom("K", 1, 9.02, "potassium"),
    _atom("Rb", 1, 14.07, "rubidium"),
    _atom("Cs", 1, 21.34, "caesium", "cesium"),
    _atom("Mg", 2, -21.17, "magnesium"),
    _atom("Ca", 2, -17.85, "calcium"),
    _atom("Sr", 2, -18.16, "strontium"),
    _atom("Ba", 2, -12.47, "barium"),
    _atom("Zn", 2, -21.6, "zinc"),
    _atom("F", -1, -1.16, "fluoride"),
    _atom("Cl", -1, 17.83, "chloride"),
    _atom("Br", -1, 24.71, "bromide"),
    _atom("I", -1, 36.22, "iodide"),
    _centred(
        "NH4+", "NH4", 1, "NHHHH", tetrahedral(1.021), "M. W. Crofton, T. Oka, J. Chem. Phys. 86, 5983 (1987)",
        aliases=("ammonium",), volume=17.86,
    ),
    _centred(
        "H3O+", "H3O", 1, "OHHH", pyramidal(0.974, 113.6), "J. Tang, T. Oka, J. Mol. Spectrosc. 196, 120 (1999)",
        aliases=("hydronium", "oxonium"), spellings=("H",), volume=0.0,
    ),
    _centred(
        "OH-", "OH", -1, "OH", diatomic(0.964), "N. H. Rosenbaum et al., J. Chem. Phys. 84, 5308 (1986)",
        aliases=("hydroxide",), volume=-4.04,
    ),
    _centred(
        "NO3-", "NO3", -1, "NOOO", trigonal(1.256),
        "S. V. Sambasivarao, O. Acevedo, J. Chem. Theory Comput. 5, 1038 (2009)",
        aliases=("nitrate",), volume=29.00,
    ),
    _centred(
        "ClO4-", "ClO4", -1, ("Cl", "O", "O", "O", "O"), tetrahedral(1.44), _GREENWOOD,
        aliases=("perchlorate",), volume=44.12,
    ),
    _centred(
        "BF4-", "BF4", -1, "BFFFF", tetrahedral(1.394),
        "A. A. H. Padua, J. N. Canongia Lopes, CL&P force field for ionic liquids, il.ff",
        aliases=("tetrafluoroborate",),
    ),
    _centred(
        "PF6-", "PF6", -1, "PFFFFFF", octahedral(1.606),
        "G. D. Kaminski, W. L. Jorgensen, J. Chem. Soc., Perkin Trans. 2, 2365 (1999)",
        aliases=("hexafluorophosphate",),
    ),
    _centred(
        "SO4^2-", "SO4", -2, "SOOOO", tetrahedral(1.49), _GREENWOOD,
        aliases=("SO42-", "sulfate", "sulphate"), volume=13.98,
    ),
    _centred(
        "CO3^2-", "CO3", -2, "COOO", trigonal(1.284),
        "calcite; H. Effenberger, K. Mereiter, J. Zemann, Z. Kristallogr. 156, 233 (1981)",
        aliases=("CO32-", "carbonate"), volume=-4.3,
    ),
    _tfsi(),
)  # fmt: skip

SPECIES: dict[str, Species] = {ion.name: ion for ion in _IONS}
"""Ions by name."""

WATER = _centred(
    "H2O",
    "H2O",
    0,
    "OHH",
    bent(0.9572, 104.52),
    "W. S. Benedict, N. Gailar, E. K. Plyler, J. Chem. Phys. 24, 1139 (1956)",
)
