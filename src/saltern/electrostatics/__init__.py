"""The baseline of every level: point charges in a periodic box, screened by the solvent's permittivity."""

from saltern.electrostatics.ewald import screened_coulomb
from saltern.electrostatics.lattice import Coulomb

__all__ = ["Coulomb", "screened_coulomb"]
