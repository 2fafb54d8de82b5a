"""What a student of mean forces says of ions at rest: crystals that it was never shown, and two ions alone."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from saltern.frames import Array
from saltern.learning.calibration import number, plain
from saltern.potentials import Potential
from saltern.potentials.static import (
    CUBE,
    LATTICES,
    LONGEST_A,
    Extremum,
    LatticeCurve,
    MeanForceCurve,
    Salt,
    contact_range,
    lattice_curve,
    mean_force_curve,
    salts,
)
from saltern.units import BOLTZMANN, KCAL_PER_MOL


def at_rest(members: Sequence[Potential], temperature: float) -> dict[str, Any]:
    """Energies of crystals and of two ions alone, for every salt that was trained on.

    Every number and curve is the mean over the committee with its standard deviation, None for a lone member.

    Args:
        members: the committee, one potential each.
        temperature: K, for kT.

    Returns:
        'crystals': rows with ions, permittivity, lattice, contact (Å), constant (Å), energy of a pair of ions against
        separated ones (kcal/mol) and its 'minimum' with constant and energy. 'pairs': rows with pair, permittivity,
        r (Å), total and short_range (kT), contact, barrier and separated, each with position (Å) and value (kT).
    """
    first = members[0]
    known = salts(first.charges or {}, first.permittivities)
    crystals, pairs = [], {}
    for salt in known:
        contacts = contact_range(first.closest(salt.cation, salt.anion))
        crystals += [_crystal(salt, lattice_curve(members, salt, name, *contacts)) for name in (*LATTICES, CUBE)]
        for pair in salt.pairs:
            if pair not in pairs:
                curve = mean_force_curve(members, salt, pair, first.closest(*pair), LONGEST_A)
                pairs[pair] = _pair(salt, pair, curve, BOLTZMANN * temperature)
    return {"crystals": crystals, "pairs": list(pairs.values())}


def _crystal(salt: Salt, curve: LatticeCurve) -> dict[str, Any]:
    """One lattice of a salt."""
    minima = curve.minimum / (1.0, KCAL_PER_MOL)
    return {
        "ions": _symbols((salt.cation, salt.anion)),
        "permittivity": salt.permittivity,
        "lattice": curve.lattice,
        "contact": curve.contact.tolist(),
        "constant": curve.constant.tolist(),
        "energy": _curve(curve.energy / KCAL_PER_MOL),
        "minimum": {"constant": _number(minima[:, 0]), "energy": _number(minima[:, 1])},
    }


def _pair(salt: Salt, pair: tuple[int, int], curve: MeanForceCurve, thermal: float) -> dict[str, Any]:
    """One pair of ions."""
    extrema: Mapping[str, Extremum] = {n: getattr(curve, n) for n in ("contact", "barrier", "separated")}
    return {
        "pair": _symbols(pair),
        "permittivity": salt.permittivity,
        "r": curve.distance.tolist(),
        "total": _curve((curve.short_range + curve.coulomb) / thermal),
        "short_range": _curve(curve.short_range / thermal),
        **{
            name: {"position": _number(found.distance), "value": _number(found.energy / thermal)}
            for name, found in extrema.items()
        },
    }


def _symbols(numbers: Sequence[int]) -> list[str]:
    from ase.data import chemical_symbols

    return [chemical_symbols[z] for z in numbers]


def _number(values: Array) -> dict[str, float | None]:
    """Mean over members (member,) with their standard deviation."""
    return number(values.mean(), values.std() if len(values) > 1 else np.nan)


def _curve(values: Array) -> dict[str, list[float | None]]:
    """Means over members (member, point) with their standard deviations."""
    error = values.std(axis=0) if len(values) > 1 else np.full(values.shape[1], np.nan)
    return {"values": [plain(v) for v in values.mean(axis=0)], "error": [plain(e) for e in error]}
