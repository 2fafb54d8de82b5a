"""All properties of one system from its replicas, as plain lists and numbers ready for JSON."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import combinations_with_replacement
from typing import Any

import numpy as np
from numpy.typing import NDArray

from saltern.errors import SalternError
from saltern.frames import Frames
from saltern.observables.blocking import Estimate, estimate, plain
from saltern.observables.conservation import energy_drift, kinetic_temperature
from saltern.observables.coordination import coordination_number, first_peak
from saltern.observables.diffusion import Diffusion, diffusion, finite_size_correction, water_viscosity
from saltern.observables.ions import ion_centres
from saltern.observables.likeness import Likeness, likeness
from saltern.observables.nucleation import Crystallisation, before_growth, crystallisation
from saltern.observables.pmf import mean_force
from saltern.observables.rdf import RadialDistribution, radial_distribution
from saltern.observables.trajectory import Trajectory, unmoved, unordered
from saltern.units import A2_PER_FS_IN_1E9_M2_S

Array = NDArray[Any]

DIFFUSION_UNIT = "1e-9 m²/s"

MEASURED = (
    "numbers", "positions", "cell", "charges", "molecules", "trajectory", "time", "temperature", "kinetic_energy",
    "conserved_energy", "committee_spread", "force_spread",
    "permittivity",
)  # fmt: skip
"""What is looked at in a trajectory; the rest, half of it, need not be read."""


@dataclass(frozen=True)
class _Group:
    """Atoms of one element in one kind of ion or solvent molecule."""

    name: str
    atoms: Array
    charge: float
    """Of the whole ion in e; 0 for the solvent."""
    followed_as: str | None
    """Name in diffusion: the ion or the solvent whose heaviest atom this is; None for its other atoms."""


def measure(
    replicas: Sequence[Frames],
    properties: Sequence[str],
    rdf_bin_A: float,
    blocks: int,
    viscosity_mPas: float | None = None,
    crystal_every_ps: float = 1.0,
    contact_A: float | None = None,
    teacher: Sequence[Frames] = (),
    teacher_blocks: int | None = None,
) -> dict[str, Any]:
    """Measure properties of one system.

    Args:
        replicas: one trajectory each, of the same atoms at one temperature, with numbers, unwrapped positions, cell,
            charges, molecules, time and temperature; for "drift" also conserved_energy and kinetic_energy, for "pmf"
            the permittivity.
        properties: any of "rdf", "coordination", "pmf", "crystal", "diffusion", "drift".
        rdf_bin_A: bin width of radial distribution functions in Å.
        blocks: blocks that each replica is cut into for standard errors.
        viscosity_mPas: viscosity in the finite-size correction of diffusion, by default that of pure water.
        crystal_every_ps: time between the frames in which crystals are sought.
        contact_A: distance within which a cation and an anion touch, by default the first minimum of their g(r).
        teacher: labelled frames of a teacher that moves, of the same atoms, one set for each of its trajectories, with
            which g(r) is compared; their times do not matter, and where a bias moved it, its energy stands in them.
            Those that no bias moved are taken where there are some.
        teacher_blocks: blocks that each of those sets is cut into, by default `blocks`.

    Returns:
        for each property a list or mapping; every number stands as {"value", "error", "unit"}, every curve as
        {"values", "error", "unit"}, with None where a number or its error is unknown. A "remark" says why a
        number is missing or should not be trusted. 'teacher', where a trajectory of it has two frames: for each pair
        the teacher's g(r), 'heights' of both first peaks and what `likeness` says. With "crystal", g(r) and what comes
        of it are those of the solution: of the frames before a crystal grows, where there are any; its 'solution' says
        how long that is, and None is all the time.

    Replicas that stopped before their second frame are left out. Diffusion is measured in those that are at least
    half as long as the longest, and not at all where there is no solvent, which is what slows ions.

    Raises:
        SalternError: when no replica is left, or the frames of one are not evenly spaced in time.
    """
    replicas = [r for r in replicas if len(r) > 1]
    if not replicas:
        raise SalternError("no trajectory has two frames: nothing can be measured")
    trajectories = [_trajectory(r) for r in replicas]
    groups = _groups(replicas[0])
    temperature = float(replicas[0]["temperature"][0])
    result: dict[str, Any] = {
        "replicas": len(replicas),
        "frames": sum(len(r) for r in replicas),
        "blocks": blocks,
        "length": _number(_length(trajectories), "ps"),
        "temperature": _number(temperature, "K"),
    }
    crystal = (
        _crystals(replicas[0], trajectories, blocks, crystal_every_ps, contact_A) if "crystal" in properties else None
    )
    solution = before_growth(trajectories, crystal, blocks) if crystal else trajectories
    lasted = _length(solution) if _length(solution) < _length(trajectories) else None
    teacher = unmoved([frames for frames in teacher if len(frames) > 1])
    if teacher or {"rdf", "coordination", "pmf"} & set(properties):
        curves = _pairs(solution, groups, rdf_bin_A, blocks)
        if "rdf" in properties:
            result["rdf"] = [_rdf_entry(*curve) for curve in curves]
        if "coordination" in properties:
            result["coordination"] = [_coordination_entry(*shell) for shell in _shells(curves)]
        if "pmf" in properties:
            permittivity = float(replicas[0]["permittivity"][0])
            ions = [curve for curve in curves if curve[0].charge and curve[1].charge]
            result["pmf"] = [_pmf_entry(*curve, permittivity, temperature) for curve in ions]
        if teacher:
            theirs = _pairs([unordered(frames) for frames in teacher], groups, rdf_bin_A, teacher_blocks or blocks)
            result["teacher"] = [
                _teacher_entry(*curve, other) for curve, (_, _, other) in zip(curves, theirs, strict=True)
            ]
    if "crystal" in properties:
        names = [str(frames["trajectory"][0]) if "trajectory" in frames else "" for frames in replicas]
        result["crystal"] = [] if crystal is None else [_crystal_entry(crystal, names, lasted)]
    if "diffusion" in properties:
        followed = [g for g in groups if g.followed_as] if any(not g.charge for g in groups) else []
        result["diffusion"] = [_diffusion_entry(trajectories, g, blocks, temperature, viscosity_mPas) for g in followed]
    if "drift" in properties:
        result["drift"] = _drift_entry(replicas, blocks)
    return result


def _teacher_entry(a: _Group, b: _Group, rdf: RadialDistribution, teacher: RadialDistribution) -> dict[str, Any]:
    """One g(r) of the teacher, and how like the student's is to it."""
    return {
        "pair": [a.name, b.name],
        "r": _curve(teacher.r, unit="Å"),
        "g": _curve(teacher.g, teacher.error),
        "heights": [_height(rdf), _height(teacher)],
        **_likeness_entry(likeness(rdf, teacher)),
    }


def _height(rdf: RadialDistribution) -> dict[str, Any]:
    peak = first_peak(rdf)
    return _number(peak[1] if peak else None)


def _likeness_entry(found: Likeness) -> dict[str, Any]:
    return {"difference": _number(found.difference), "noise": _number(found.noise), "last": _number(found.last, "Å")}


def _trajectory(frames: Frames) -> Trajectory:
    """Plain arrays of one replica."""
    times = frames["time"]
    gaps = np.diff(times)
    if not np.allclose(gaps, gaps[0], rtol=1e-6, atol=1e-6) or gaps[0] <= 0:
        raise SalternError("the frames of a trajectory must be at equal distances in time")
    return replace(unordered(frames), interval=float((times[-1] - times[0]) / (len(times) - 1)))


def _length(trajectories: Sequence[Trajectory]) -> float:
    """Of all together, in ps."""
    return sum((len(t) - 1) * t.interval for t in trajectories) / 1000


def _groups(frames: Frames) -> list[_Group]:
    """Ions first, then the solvent; hydrogen only in molecules that have nothing else."""
    from ase.data import chemical_symbols

    numbers, charges, molecules = (frames.of(0, name) for name in ("numbers", "charges", "molecules"))
    _, index = np.unique(molecules, return_inverse=True)
    total = np.bincount(index, weights=charges)
    ionic = np.bincount(index, weights=np.abs(charges)) > 0
    formulas = np.array([_formula(numbers[index == i]) for i in range(len(total))])
    groups = []
    for kind in dict.fromkeys(formulas[np.argsort(~ionic, kind="stable")]):
        inside = formulas[index] == kind
        elements = np.unique(numbers[inside])
        heavy = elements[elements != 1] if (elements != 1).any() else elements
        for z in heavy:
            atoms = np.flatnonzero(inside & (numbers == z))
            symbol = chemical_symbols[z]
            charge = float(total[index[atoms[0]]]) if ionic[index[atoms[0]]] else 0.0
            name = f"{symbol}({kind})" if charge and len(elements) > 1 else symbol
            followed = str(kind) if z == heavy.max() else None
            groups.append(_Group(name, atoms, charge, followed))
    return groups


def _formula(numbers: Array) -> str:
    """Elements in the order of the atoms with their counts, SO4; water by its name."""
    from ase.data import chemical_symbols

    counts = Counter(chemical_symbols[z] for z in numbers)
    if counts == {"O": 1, "H": 2}:
        return "water"
    return "".join(f"{symbol}{count if count > 1 else ''}" for symbol, count in counts.items())


def _crystals(
    frames: Frames, trajectories: Sequence[Trajectory], blocks: int, every_ps: float, contact_A: float | None
) -> Crystallisation | None:
    """What there is of crystals of the cations and anions of some frames; nothing where there are no such ions."""
    centres, signs = ion_centres(*(frames.of(0, name) for name in ("numbers", "charges", "molecules")))
    cations, anions = centres[signs > 0], centres[signs < 0]
    if not (len(cations) and len(anions)):
        return None
    return crystallisation(trajectories, cations, anions, blocks, 1000 * every_ps, contact_A)


def _pairs(
    trajectories: Sequence[Trajectory], groups: Sequence[_Group], bin_width: float, blocks: int
) -> list[tuple[_Group, _Group, RadialDistribution]]:
    """g(r) of each pair of groups that has atoms in different molecules."""
    molecules = trajectories[0].molecules
    return [
        (a, b, radial_distribution(trajectories, a.atoms, b.atoms, bin_width, blocks))
        for a, b in combinations_with_replacement(groups, 2)
        if len(np.union1d(molecules[a.atoms], molecules[b.atoms])) > 1
    ]


def _shells(
    curves: Sequence[tuple[_Group, _Group, RadialDistribution]],
) -> Iterator[tuple[_Group, _Group, RadialDistribution]]:
    """Each ion with the solvent and with its counter-ions around it, and the other way round for two ions."""
    for a, b, rdf in curves:
        if a.charge and a.charge * b.charge <= 0:
            yield a, b, rdf
        if a.charge * b.charge < 0:
            share = len(a.atoms) / len(b.atoms)
            yield (
                b,
                a,
                replace(rdf, neighbours=rdf.neighbours * share, neighbours_error=rdf.neighbours_error * share),
            )


def _rdf_entry(a: _Group, b: _Group, rdf: RadialDistribution) -> dict[str, Any]:
    """One g(r) with its first peak."""
    peak = first_peak(rdf)
    return {
        "pair": [a.name, b.name],
        "r": _curve(rdf.r, unit="Å"),
        "g": _curve(rdf.g, rdf.error),
        "neighbours": {"r": _curve(rdf.edges, unit="Å"), **_curve(rdf.neighbours, rdf.neighbours_error)},
        "peak_position": _number(peak[0] if peak else None, "Å"),
        "peak_height": _number(peak[1] if peak else None),
        "remark": "" if peak else "no first peak above the noise",
    }


def _coordination_entry(a: _Group, b: _Group, rdf: RadialDistribution) -> dict[str, Any]:
    """Neighbours of one ion within the first minimum."""
    found = coordination_number(rdf)
    return {
        "centre": a.name,
        "neighbour": b.name,
        **_number(found.number),
        "cutoff": _number(found.cutoff, "Å"),
        "remark": "" if found.cutoff is not None else "no first minimum of g(r) above the noise",
    }


def _pmf_entry(
    a: _Group, b: _Group, rdf: RadialDistribution, permittivity: float, temperature: float
) -> dict[str, Any]:
    """Potential of mean force of two kinds of ions."""
    found = mean_force(rdf, a.charge * b.charge, permittivity, temperature)
    points = {name: getattr(found, name) for name in ("contact", "barrier", "separated")}
    return {
        "pair": [a.name, b.name],
        "r": _curve(found.r, unit="Å"),
        "total": _curve(found.total, found.error, "kT"),
        "short_range": _curve(found.short_range, found.error, "kT"),
        **{
            name: {
                "position": _number(point.position if point else None, "Å"),
                "value": _number(point.value if point else None, "kT"),
            }
            for name, point in points.items()
        },
        "remark": "short-range part: without the Coulomb energy screened by the solvent",
    }


def _crystal_entry(found: Crystallisation, replicas: Sequence[str], solution: float | None) -> dict[str, Any]:
    """How much of the ions is a crystal, since when, and how long (ps) there was a solution before."""
    begun = [None if first is None else first / 1000 for first in found.first]
    return {
        "contact": _number(found.contact, "Å"),
        "solid": _number(found.solid),
        "octahedral": _number(found.octahedral),
        "cluster": _number(found.cluster),
        "lattice_constant": _number(found.constant, "Å"),
        "waiting_time": _number(Estimate(found.waiting.value / 1000, found.waiting.error / 1000), "ps"),
        "interval": _number(found.interval / 1000, "ps"),
        "solution": _number(solution, "ps"),
        "replicas": [
            {
                "replica": replica,
                "solid": order.solid.tolist(),
                "octahedral": order.octahedral.tolist(),
                "cluster": order.cluster.tolist(),
                "crystal_since": _number(first, "ps"),
                "lattice": lattice,
            }
            for replica, order, first, lattice in zip(replicas, found.orders, begun, found.lattices, strict=True)
        ],
        "k": _curve(found.k, unit="1/Å"),
        "structure_factor": _curve(found.scattering, found.scattering_error),
        "reflections": {
            name: {"k": _number(peak.k, "1/Å"), "value": _number(peak.value)}
            for name, peak in found.reflections.items()
        },
        "remark": "" if found.contact is not None else "too few ions touch for a first minimum of g(r): give contact_A",
    }


def _diffusion_entry(
    trajectories: Sequence[Trajectory], group: _Group, blocks: int, temperature: float, viscosity: float | None
) -> dict[str, Any]:
    """Diffusion coefficient of one species, as measured and corrected for the size of the box."""
    entry: dict[str, Any] = {"species": group.followed_as, "atom": group.name}
    long = [t for t in trajectories if len(t) >= 0.5 * max(map(len, trajectories))]
    try:
        found = diffusion(long, group.atoms, blocks)
    except SalternError as error:
        unknown = _number(None, DIFFUSION_UNIT)
        return {**entry, "uncorrected": unknown, "corrected": unknown, "diffusive": False, "remark": str(error)}
    factor = A2_PER_FS_IN_1E9_M2_S
    coefficient = Estimate(found.coefficient.value * factor, found.coefficient.error * factor)
    edge = float(np.cbrt(np.mean([t.volumes.mean() for t in trajectories])))
    entry |= {
        "uncorrected": _number(coefficient, DIFFUSION_UNIT),
        "corrected": _number(None, DIFFUSION_UNIT),
        "box_edge": _number(edge, "Å"),
        "window": {"start": found.window[0] / 1000, "end": found.window[1] / 1000, "unit": "ps"},
        "slope": _number(found.slope),
        "diffusive": found.diffusive,
        "replicas": len(long),
        "lag": _curve(found.lags / 1000, unit="ps"),
        "msd": _curve(found.msd, found.msd_error, "Å²"),
    }
    remarks = [] if found.diffusive else [_not_diffusive(found)]
    if len(long) < len(trajectories):
        remarks.append(f"{len(trajectories) - len(long)} of {len(trajectories)} replicas stopped too early to count")
    try:
        eta = water_viscosity(temperature) if viscosity is None else viscosity
    except SalternError as error:
        return {**entry, "remark": "; ".join([*remarks, f"not corrected for the size of the box: {error}"])}
    correction = finite_size_correction(temperature, eta, edge) * factor
    entry["corrected"] = _number(Estimate(coefficient.value + correction, coefficient.error), DIFFUSION_UNIT)
    entry["correction"] = _number(correction, DIFFUSION_UNIT)
    entry["viscosity"] = {
        **_number(eta, "mPa s"),
        "source": "pure water, Pátek et al. 2009 (IAPWS SR6-08)" if viscosity is None else "given in the campaign",
    }
    return {**entry, "remark": "; ".join(remarks)}


def _not_diffusive(found: Diffusion) -> str:
    start, end = found.window[0] / 1000, found.window[1] / 1000
    return f"not yet diffusive: fitted from {start:g} to {end:g} ps, where the log-log slope is {found.slope.value:.2f}"


def _drift_entry(replicas: Sequence[Frames], blocks: int) -> dict[str, Any]:
    """Drift of the conserved energy, temperature, and how far the committee disagreed."""
    atoms = int(replicas[0].atom_counts[0])
    drift = energy_drift([r["time"] for r in replicas], [r["conserved_energy"] for r in replicas], atoms)
    temperature = estimate([kinetic_temperature(r["kinetic_energy"], atoms) for r in replicas], blocks)
    spreads = np.concatenate([r["committee_spread"] for r in replicas if "committee_spread" in r] or [np.zeros(0)])
    seen = spreads[np.isfinite(spreads)]
    return {
        "energy_drift": _number(drift, "meV/atom/ps"),
        "mean_temperature": _number(temperature, "K"),
        "largest_spread": _number(float(seen.max()) if len(seen) else None, "eV/Å"),
    }


def _number(value: float | Estimate | None, unit: str = "") -> dict[str, Any]:
    """A number with its standard error; None where it is unknown."""
    known = value if isinstance(value, Estimate) else Estimate(np.nan if value is None else value, np.nan)
    return {"value": plain(known.value), "error": plain(known.error), "unit": unit}


def _curve(values: Array, error: Array | None = None, unit: str = "") -> dict[str, Any]:
    curve: dict[str, Any] = {"values": [plain(v) for v in values], "unit": unit}
    return curve if error is None else {**curve, "error": [plain(e) for e in error]}
