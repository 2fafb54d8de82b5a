"""How wrong a potential is on frames that training never saw."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from saltern.errors import UserError
from saltern.frames import Array, Frames
from saltern.potentials import Batch, Potential
from saltern.progress import track

RESAMPLES = 1000
"""Draws of the bootstrap over frames."""

PLOTTED_ATOMS = 7000
"""Atoms in the parity plot of forces; more would only make the page heavy."""


def held_out_errors(potential: Potential, frames: Frames, what: str) -> dict[str, Any]:
    """Errors of the first member plus its baseline against the labels.

    Standard errors are by bootstrap over frames, since atoms of one frame are not independent. Energies are compared
    per atom and relative to each system's mean, for only differences within a system enter its dynamics; the error
    with the mean is given as well. Labels of a mean force have no energies, and there is nothing to compare then.

    Args:
        potential: the committee.
        frames: labelled frames.
        what: the task, for progress lines.

    Returns:
        'errors': rows with what, rmse and mae (each a value and its standard error), the reference's own root mean
        square, unit and count, 'force' being that of all atoms; 'force_parity': by element, reference and predicted
        components (eV/Å), thinned; 'energy_parity': by system, energies per atom relative to the mean (eV).

    Raises:
        UserError: when there are no frames.
    """
    if not len(frames):
        raise UserError("no frames are held out as test; raise collect.test_fraction")
    found = [potential.evaluate(Batch.of(frame, potential.device)) for frame in track(frames, what, len(frames))]
    forces = np.concatenate([f.forces.cpu().numpy() for f in found])
    energies = np.array([float(f.energy) for f in found]) / frames.atom_counts
    return {
        "errors": [*_force_rows(frames, forces), *_energy_rows(frames, energies)],
        "force_parity": _force_parity(frames, forces),
        "energy_parity": _energy_parity(frames, energies),
    }


def _force_rows(frames: Frames, forces: Array) -> list[dict[str, Any]]:
    """Over all atoms, then by element."""
    from ase.data import chemical_symbols

    numbers = frames["numbers"]
    frame = np.repeat(np.arange(len(frames)), frames.atom_counts)
    rows = [_row("force", forces, frames["forces"], frame)]
    for z in np.unique(numbers):
        of = numbers == z
        rows.append(_row(f"force on {chemical_symbols[z]}", forces[of], frames["forces"][of], frame[of]))
    return rows


def _energy_rows(frames: Frames, energies: Array) -> list[dict[str, Any]]:
    """Per atom, without and with each system's mean error; nothing where labels have no energy."""
    if not np.isfinite(frames["energy"]).all():
        return []
    reference = frames["energy"] / frames.atom_counts
    own = np.arange(len(frames))
    centred = _row("energy", _centred(frames, energies), _centred(frames, reference), own)
    total = _row("energy, mean error included", energies, reference, own)
    return [centred, {**total, "reference": centred["reference"]}]


def _row(what: str, predicted: Array, reference: Array, frame: Array) -> dict[str, Any]:
    """One comparison in meV; `frame` (row,) says which frame a row belongs to."""
    error = 1000 * (predicted - reference).reshape(len(frame), -1)
    return {
        "what": what,
        "rmse": _resampled(error**2, frame, np.sqrt),
        "mae": _resampled(np.abs(error), frame, np.asarray),
        "reference": 1000 * float(np.sqrt((reference**2).mean())),
        "unit": "meV/Å" if what.startswith("force") else "meV/atom",
        "count": int(error.size),
    }


def _resampled(terms: Array, frame: Array, then: Callable[[Array], Array]) -> dict[str, float]:
    """`then` of the mean of terms (row, component), and its standard error by bootstrap over frames."""
    _, frame = np.unique(frame, return_inverse=True)
    sums = np.bincount(frame, terms.sum(1))
    counts = np.bincount(frame, np.full(len(frame), terms.shape[1]))
    draws = np.random.default_rng(0).integers(len(counts), size=(RESAMPLES, len(counts)))
    drawn = then(sums[draws].sum(1) / counts[draws].sum(1))
    return {"value": float(then(terms.mean())), "error": float(drawn.std(ddof=1))}


def _centred(frames: Frames, energies: Array) -> Array:
    """Energies relative to the mean of their system."""
    _, system = np.unique(frames["system"], return_inverse=True)
    centred: Array = energies - (np.bincount(system, energies) / np.bincount(system))[system]
    return centred


def _force_parity(frames: Frames, forces: Array) -> dict[str, Any]:
    """Components by element, every nth atom of a large set."""
    from ase.data import chemical_symbols

    numbers, every = frames["numbers"], -(-len(forces) // PLOTTED_ATOMS)
    kept = np.arange(0, len(forces), every)
    groups = {z: kept[numbers[kept] == z] for z in np.unique(numbers)}
    return {chemical_symbols[z]: _pair(frames["forces"][of], forces[of]) for z, of in groups.items()}


def _energy_parity(frames: Frames, energies: Array) -> dict[str, Any]:
    """Energies per atom by system."""
    if not np.isfinite(frames["energy"]).all():
        return {}
    reference, predicted = _centred(frames, frames["energy"] / frames.atom_counts), _centred(frames, energies)
    systems = frames["system"]
    return {str(s): _pair(reference[systems == s], predicted[systems == s]) for s in np.unique(systems)}


def _pair(reference: Array, predicted: Array) -> dict[str, list[float]]:
    """Two lists for JSON, rounded to what a plot can show."""
    return {
        "reference": np.round(reference.ravel(), 6).tolist(),
        "predicted": np.round(predicted.ravel(), 6).tolist(),
    }
