"""How wrong a potential is on frames that training never saw."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from saltern.engines import classical_forces
from saltern.errors import UserError
from saltern.frames import Array, Frames, evenly
from saltern.learning.calibration import calibration, number, usual
from saltern.learning.environments import Classes, classed
from saltern.learning.explained import explained
from saltern.learning.jackknife import group_sums, jackknife
from saltern.learning.members import Found, evaluated, member_rows
from saltern.learning.resampling import names
from saltern.learning.turning import random_turn
from saltern.observables import TrainingEnvironments
from saltern.potentials import Batch, Potential
from saltern.progress import track
from saltern.store import FrameReader

PLOTTED_ATOMS = 7000
"""Atoms in the parity plot of forces; more would only make the page heavy."""

COMPARED_ATOMS = 20_000
"""Held-out atoms whose environments are compared with those of the training frames."""


def held_out_errors(
    potential: Potential, frames: Frames, what: str, training: FrameReader | None = None
) -> dict[str, Any]:
    """Errors of the first member plus its baseline against the labels, and what the committee's spread tells of them.

    Standard errors are over trajectories, by leaving out one at a time, for frames of one are not independent; of a
    single trajectory they are unknown. Energies are compared per atom and relative to each system's mean, for only
    differences within a system enter its dynamics; the error with the mean is given as well. Labels of a mean force
    have no energies, and there is nothing to compare then.

    Args:
        potential: the committee.
        frames: labelled frames.
        what: the task, for progress lines.
        training: the frames that it was trained on, for what it explains beside pairs and how far held-out frames are
            from them.

    Returns:
        'errors': rows with what, rmse and mae (each a value and its standard error), the reference's own root mean
        square, unit and count, 'force' being that of all atoms; rows of forces also have the errors of the baseline
        alone and of the classical force field that candidates are sampled with, None where it does not apply, and the
        spread of a component, None without a committee that says anything; where symmetry had to be learned there is a
        row of what is left of it, how forces change when a frame is turned. 'environments': such rows by the class of
        `environments`. 'calibration': None, or what `calibration` says and 'usual', the spread that 99 % of the atoms
        of each element keep below in systems that were trained on. 'members': see `member_rows`. 'training': what the
        training was told, as the potential's file says it, {} where it does not. 'force_parity': by
        element, reference and predicted components (eV/Å), thinned; 'energy_parity': by system, energies per atom
        relative to the mean (eV). With `training`, 'explained': see `explained`, and 'usual_distance': the distance to
        TrainingEnvironments that 99 % of the atoms of each element keep below in systems that were trained on.

    Raises:
        UserError: when there are no frames.
    """
    if not len(frames):
        raise UserError("no frames are held out as test; raise collect.test_fraction")
    found = evaluated(potential, track(frames, what, len(frames)))
    energies = found.energies / frames.atom_counts
    group = _per_atom(frames, trajectories(frames))
    classical, classes = _classical(frames), classed(frames)
    return {
        "errors": [
            *_force_rows(frames, found, group, classical),
            *(_turning_rows(potential, frames, found, group) if potential.turns else []),
            *_energy_rows(frames, energies),
        ],
        "environments": _environment_rows(frames, found, group, classical, classes),
        "calibration": _calibration(potential, frames, found, group),
        "members": member_rows(found, frames, trajectories(frames), _unmoved(potential)),
        "training": dict(potential.training[0].get("spec", {})),
        "force_parity": _force_parity(frames, found.forces),
        "energy_parity": _energy_parity(frames, energies),
        **({} if training is None else _beside_training(potential, frames, found, training, classes)),
    }


def _unmoved(potential: Potential) -> list[Sequence[str]]:
    """Names of the weights that training left where they began, a member; none where a file does not say."""
    return [training.get("unmoved", ()) for training in potential.training]


def trajectories(frames: Frames) -> Array:
    """Number of the trajectory that each frame is of, (frame,)."""
    return np.unique(names(frames["system"], frames["trajectory"]), return_inverse=True)[1]


def _per_atom(frames: Frames, values: Array) -> Array:
    """What is known of frames, for their atoms."""
    return np.repeat(values, frames.atom_counts, axis=0)


def _classical(frames: Frames) -> Array | None:
    """Forces of a classical force field; None for mean forces, in which the solvent is missing."""
    if not {"charges", "molecules"} <= set(frames.arrays) or not np.isfinite(frames["energy"]).all():
        return None
    return classical_forces(frames)


def _force_rows(frames: Frames, found: Found, group: Array, classical: Array | None) -> list[dict[str, Any]]:
    """Over all atoms, then by element."""
    from ase.data import chemical_symbols

    numbers = frames["numbers"]
    rows = [_force_row("force", frames, found, group, classical, np.ones(len(numbers), bool))]
    for z in np.unique(numbers):
        rows.append(_force_row(f"force on {chemical_symbols[z]}", frames, found, group, classical, numbers == z))
    return rows


def _turning_rows(potential: Potential, frames: Frames, found: Found, group: Array) -> list[dict[str, Any]]:
    """By how much forces are others when every frame is turned, each in another way."""
    changed = []
    for place, frame in enumerate(frames):
        turn = random_turn(place)
        whole = frame.with_arrays(positions=frame["positions"] @ turn.T, cell=frame["cell"] @ turn.T)
        changed.append(potential.evaluate(Batch.of(whole, potential.device)).forces.cpu().numpy() @ turn)
    return [_row("force, by turning the frame", np.concatenate(changed), found.forces, group)]


def _environment_rows(
    frames: Frames, found: Found, group: Array, classical: Array | None, classes: Classes
) -> list[dict[str, Any]]:
    """By where an ion is, as far as frames say what is an ion."""
    return [_force_row(f"force on {name}", frames, found, group, classical, of) for name, of in classes]


def _force_row(
    what: str, frames: Frames, found: Found, group: Array, classical: Array | None, of: Array
) -> dict[str, Any]:
    """One comparison of the forces on some of the atoms; `group` (atom,) numbers their trajectories."""
    reference, trajectory = frames["forces"][of], group[of]
    row = _row(what, found.forces[of], reference, trajectory)
    for name, forces in (("baseline", found.baseline), ("classical", classical)):
        alone = None if forces is None else 1000 * (forces[of] - reference)
        row[name] = None if alone is None else _resampled(alone**2, trajectory, np.sqrt)
    spread = None if found.spreads is None else 1000 * found.spreads[of, None] / np.sqrt(3)
    row["spread"] = None if spread is None else _resampled(spread**2, trajectory, np.sqrt)
    return row


def _calibration(potential: Potential, frames: Frames, found: Found, group: Array) -> dict[str, Any] | None:
    """What the spread of a committee is worth; nothing of a lone network."""
    if found.spreads is None:
        return None
    errors = np.linalg.norm(found.forces - frames["forces"], axis=1)
    known = _per_atom(frames, _known(potential, frames))
    return {
        **calibration(errors, found.spreads, group),
        "usual": usual(frames["numbers"][known], found.spreads[known]),
    }


def _beside_training(
    potential: Potential, frames: Frames, found: Found, training: FrameReader, classes: Classes
) -> dict[str, Any]:
    """What is told by comparing held-out frames with those that were trained on."""
    of_known = frames.select(_known(potential, frames))
    some = of_known.select(evenly(len(of_known), COMPARED_ATOMS * len(of_known) // len(of_known["numbers"])))
    distances = TrainingEnvironments(training).distances(some)
    return {
        "explained": explained(potential, found, training, frames, classes),
        "usual_distance": usual(some["numbers"], distances),
    }


def _known(potential: Potential, frames: Frames) -> Array:
    """Which frames are of systems that were trained on; all where none is, (frame,)."""
    known = np.isin(frames["system"], list(potential.permittivities))
    return known if known.any() else np.ones(len(frames), bool)


def _energy_rows(frames: Frames, energies: Array) -> list[dict[str, Any]]:
    """Per atom, without and with each system's mean error; nothing where labels have no energy."""
    if not np.isfinite(frames["energy"]).all():
        return []
    reference = frames["energy"] / frames.atom_counts
    own = trajectories(frames)
    centred = _row("energy", _centred(frames, energies), _centred(frames, reference), own)
    total = _row("energy, mean error included", energies, reference, own)
    return [centred, {**total, "reference": centred["reference"]}]


def _row(what: str, predicted: Array, reference: Array, trajectory: Array) -> dict[str, Any]:
    """One comparison in meV; `trajectory` (row,) says which one a row belongs to."""
    error = 1000 * (predicted - reference).reshape(len(trajectory), -1)
    return {
        "what": what,
        "rmse": _resampled(error**2, trajectory, np.sqrt),
        "mae": _resampled(np.abs(error), trajectory, np.asarray),
        "reference": 1000 * float(np.sqrt((reference**2).mean())),
        "unit": "meV/Å" if what.startswith("force") else "meV/atom",
        "count": int(error.size),
    }


def _resampled(terms: Array, trajectory: Array, then: Callable[[Array], Array]) -> dict[str, float | None]:
    """`then` of the mean of terms (row, component), and its standard error over trajectories."""
    sums = group_sums(np.stack([terms.sum(1), np.full(len(terms), terms.shape[1])], 1), trajectory)
    return number(*jackknife(sums, lambda s: then(s[..., 0] / s[..., 1])))


def _centred(frames: Frames, energies: Array) -> Array:
    """Energies relative to the mean of their system."""
    _, system = np.unique(frames["system"], return_inverse=True)
    centred: Array = energies - (np.bincount(system, energies) / np.bincount(system))[system]
    return centred


def _force_parity(frames: Frames, forces: Array) -> dict[str, Any]:
    """Components by element, every nth atom of a large set."""
    from ase.data import chemical_symbols

    numbers, kept = frames["numbers"], evenly(len(forces), PLOTTED_ATOMS)
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
