"""The commands that ask a potential for ions at rest: lattice, pmf."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import TYPE_CHECKING, Any

from saltern.errors import UserError
from saltern.units import BOLTZMANN, KCAL_PER_MOL

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from saltern.frames import Array
    from saltern.potentials import Potential
    from saltern.potentials.static import Extremum, LatticeCurve, MeanForceCurve, Salt

_LATTICE = """\
Energies of perfect crystals of a salt at rest, a pair of ions against the same ions far from each other, and the
lattice constant where it is least: rocksalt, zincblende, caesium chloride, and a free cube of 64 ions of rocksalt. With
several members of a committee each number is the mean over them with their standard deviation.

  saltern lattice results/demo/ions/potentials/m*.safetensors
"""

_PMF = """\
Potential of mean force of two ions alone in the solvent, for potentials of ions that mean forces have taught: what they
are without the Coulomb energy screened by the solvent, at the contact minimum, at the barrier and at the minimum with
solvent between the ions, in kT. `beyond` is the largest of it from 9 Å on, which a good potential keeps near 0. With
several members of a committee each number is the mean over them with their standard deviation.

  saltern pmf results/demo/ions/potentials/m*.safetensors --temperature 300
"""
_BEYOND_A = 9.0


def add_to(commands: Any) -> None:
    """Add the parsers of `saltern lattice` and `saltern pmf`."""
    lattice = commands.add_parser(
        "lattice",
        help="static energies of crystals of a salt with a potential",
        description=_LATTICE,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    lattice.add_argument(
        "--contact", type=float, nargs=2, metavar=("FROM", "TO"),
        help="distances of touching ions in Å (default: 0.9 to 1.8 times the shortest in the training frames)",
    )  # fmt: skip
    _add_common(lattice, "write the energies over the lattice constant (.csv)")
    lattice.set_defaults(run=_lattice)
    pmf = commands.add_parser(
        "pmf",
        help="potential of mean force of two ions alone with a potential",
        description=_PMF,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    pmf.add_argument("--temperature", type=float, default=298.15, metavar="K", help="for kT (default: 298.15)")
    _add_common(pmf, "write the curves (.csv)")
    pmf.set_defaults(run=_pmf)


def _add_common(parser: argparse.ArgumentParser, curve: str) -> None:
    """The potentials, the ions that are meant, and where curves go."""
    parser.add_argument("potentials", type=Path, nargs="+", help="the potential, or the members of a committee")
    parser.add_argument(
        "--ions", nargs=2, metavar=("CATION", "ANION"), help="elements (default: the two charged ones of the potential)"
    )
    parser.add_argument(
        "--permittivity", type=float, metavar="E", help="of the solvent (default: that of the training)"
    )
    parser.add_argument("--curve", type=Path, metavar="FILE", help=curve)
    parser.add_argument("--device", default="auto", choices=("auto", "cpu", "cuda"))


def _lattice(options: argparse.Namespace) -> None:
    from saltern.potentials import Potential
    from saltern.potentials.static import CUBE, LATTICES, contact_range, lattice_curve

    members = [Potential.load([path], options.device) for path in options.potentials]
    salt = _salt(members[0], options.ions, options.permittivity)
    shortest, longest = options.contact or contact_range(members[0].closest(salt.cation, salt.anion))
    if not 0 < shortest < longest:
        raise UserError(f"--contact {shortest:g} {longest:g}: two distances above 0, the smaller one first")
    curves = [lattice_curve(members, salt, name, shortest, longest) for name in (*LATTICES, CUBE)]
    print(f"permittivity {salt.permittivity:g}; {_who(members)}; energies of a pair of ions against separated ones")
    print(f"{'lattice':26}" + "".join(f" {head:>17}" for head in ("a (Å)", "contact (Å)", "kcal/mol", "eV")))
    for curve in curves:
        print(_line(curve))
    if options.curve is not None:
        rows = [
            {"lattice": c.lattice, "a_A": a, "contact_A": r, "member": member, "energy_eV": energy}
            for c in curves
            for member, energies in enumerate(c.energy)
            for a, r, energy in zip(c.constant, c.contact, energies, strict=True)
        ]
        _write(options.curve, rows)


def _pmf(options: argparse.Namespace) -> None:
    from ase.data import chemical_symbols

    from saltern.potentials import Potential
    from saltern.potentials.static import LONGEST_A, mean_force_curve

    if not options.temperature > 0:
        raise UserError(f"--temperature {options.temperature:g}: above 0")
    members = [Potential.load([path], options.device) for path in options.potentials]
    salt = _salt(members[0], options.ions, options.permittivity)
    thermal = BOLTZMANN * options.temperature
    curves = {}
    for pair in salt.pairs:
        name = "-".join(chemical_symbols[z] for z in pair)
        curves[name] = mean_force_curve(members, salt, pair, members[0].closest(*pair), LONGEST_A)
    print(f"permittivity {salt.permittivity:g}; {_who(members)}; short-range part in kT at {options.temperature:g} K")
    heads = ("contact (Å)", "kT", "barrier (Å)", "kT", "separated (Å)", "kT", "beyond 9 Å")
    print(f"{'pair':6}" + "".join(f" {head:>15}" for head in heads))
    for name, curve in curves.items():
        print(f"{name:6}" + "".join(f" {column:>15}" for column in _points(curve, thermal)))
    if options.curve is not None:
        rows = [
            {"pair": name, "r_A": r, "member": member, "short_range_kT": energy / thermal, "total_kT": total / thermal}
            for name, c in curves.items()
            for member, energies in enumerate(c.short_range)
            for r, energy, total in zip(c.distance, energies, energies + c.coulomb, strict=True)
        ]
        _write(options.curve, rows)


def _points(curve: MeanForceCurve, thermal: float) -> list[str]:
    """Columns of a line: the three extrema, and the largest short-range part far away."""
    extrema: tuple[Extremum, ...] = (curve.contact, curve.barrier, curve.separated)
    found = [text for e in extrema for text in (_spread(e.distance), _spread(e.energy / thermal))]
    far = curve.short_range[:, curve.distance >= _BEYOND_A]
    return [*found, _spread(abs(far).max(axis=1) / thermal)]


def _spread(values: Array) -> str:
    """Mean over the members with their standard deviation."""
    import numpy as np

    if not np.isfinite(values).all():
        return "none"
    return f"{values.mean():.3f}" + (f" ± {values.std():.3f}" if len(values) > 1 else "")


def _who(members: Sequence[Potential]) -> str:
    return f"{len(members)} members" if len(members) > 1 else "one member"


def _salt(potential: Potential, ions: Sequence[str] | None, permittivity: float | None) -> Salt:
    """The salt that is meant.

    Raises:
        UserError: when the potential does not tell, or its ions are not of opposite charge.
    """
    from ase.data import atomic_numbers

    from saltern.potentials.static import Salt

    charged = {symbol: charge for symbol, charge in (potential.charges or {}).items() if charge}
    known = dict(sorted(charged.items(), key=lambda item: -item[1]))
    chosen = list(ions or known)
    told = ", ".join(f"{symbol} {charge:+g}" for symbol, charge in known.items()) or "none"
    missing = [symbol for symbol in chosen if symbol not in known]
    if missing or len(chosen) != 2:
        raise UserError(f"--ions: give a cation and an anion; the potential knows the charges of: {told}")
    charges = [known[symbol] for symbol in chosen]
    if charges[0] <= 0 or charges[0] + charges[1] != 0:
        raise UserError(f"--ions {' '.join(chosen)}: a cation and an anion of the same charge are needed, not {told}")
    solvents = sorted(set(potential.permittivities.values()))
    if permittivity is None and len(solvents) != 1:
        found = ", ".join(f"{value:g}" for value in solvents) or "none that it tells"
        raise UserError(f"--permittivity: not given, and the potential was trained with {found}")
    value = solvents[0] if permittivity is None else permittivity
    if not value > 0:
        raise UserError(f"--permittivity {value:g}: above 0")
    return Salt(atomic_numbers[chosen[0]], atomic_numbers[chosen[1]], charges[0], value)


def _line(curve: LatticeCurve) -> str:
    """One line of the table: minimum of the members with their standard deviation."""
    import numpy as np

    if not np.isfinite(curve.minimum).all():
        return f"{curve.lattice:26} no minimum between contacts of {curve.contact[0]:.2f} and {curve.contact[-1]:.2f} Å"
    (constant, energy), (width, spread) = curve.minimum.mean(axis=0), curve.minimum.std(axis=0)
    share, alone = curve.contact[0] / curve.constant[0], len(curve.energy) == 1
    columns = [
        f"{value:.{digits}f}" + ("" if alone else f" ± {error:.{digits}f}")
        for value, error, digits in (
            (constant, width, 3),
            (share * constant, share * width, 3),
            (energy / KCAL_PER_MOL, spread / KCAL_PER_MOL, 2),
            (energy, spread, 4),
        )
    ]
    return f"{curve.lattice:26}" + "".join(f" {column:>17}" for column in columns)


def _write(path: Path, rows: Sequence[Mapping[str, Any]]) -> None:
    """Curves of all members as a table."""
    import pandas as pd

    from saltern.store import whole_file

    with whole_file(path) as temporary:
        pd.DataFrame(rows).to_csv(temporary, index=False)
