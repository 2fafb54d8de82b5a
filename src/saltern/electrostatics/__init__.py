"""The baseline of every level: point charges in a periodic box, screened by the solvent's permittivity."""

from saltern.electrostatics.ewald import Coulomb, screened_coulomb

__all__ = ["Coulomb", "screened_coulomb"]
