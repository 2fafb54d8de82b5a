"""Systems: species, densities, packed boxes, and the checks that need chemistry."""

from saltern.systems.checks import problems, table, too_large
from saltern.systems.compose import compose
from saltern.systems.contents import Contents, box_of, contents_of
from saltern.systems.salts import Salt, parse_salt
from saltern.systems.solvents import SOLVENTS, Solvent
from saltern.systems.species import SPECIES, WATER, Species

__all__ = [
    "SOLVENTS",
    "SPECIES",
    "WATER",
    "Contents",
    "Salt",
    "Solvent",
    "Species",
    "box_of",
    "compose",
    "contents_of",
    "parse_salt",
    "problems",
    "table",
    "too_large",
]
