"""Units and constants.

Everything in Saltern is in eV, Å, fs, K, e and u (g/mol); conversions happen where foreign numbers enter
or leave. Constants are CODATA 2018.
"""

from __future__ import annotations

HARTREE = 27.211386245988
"""eV per Hartree."""

BOHR = 0.529177210903
"""Å per bohr."""

BOLTZMANN = 8.617333262e-5
"""eV per K."""

AVOGADRO = 6.02214076e23
"""Particles per mol."""

COULOMB = 14.399645478425668
"""e² / (4 π ε0) in eV Å."""

ELEMENTARY_CHARGE = 1.602176634e-19
"""Coulomb per e; also Joule per eV."""

MASS_TIMES_VELOCITY_SQUARED = 1.66053906660e-27 * 1e10 / ELEMENTARY_CHARGE
"""eV per u (Å/fs)²: kinetic energy is this times m v² / 2, acceleration is F / (this times m)."""

EV_PER_A3_IN_GPA = 160.21766208
"""GPa per eV/Å³."""

A2_PER_FS_IN_1E9_M2_S = 1e4
"""1e-9 m²/s per Å²/fs."""

KCAL_PER_MOL = 4184.0 / AVOGADRO / ELEMENTARY_CHARGE
"""eV per kcal/mol."""

KJ_PER_MOL = 1000.0 / AVOGADRO / ELEMENTARY_CHARGE
"""eV per kJ/mol."""
