"""What the frames of a release tell before training: whether they can be trained on, and what a potential notes."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from saltern.config import TrainSpec
from saltern.errors import UserError
from saltern.potentials import element_charges
from saltern.store import FrameReader, Release


def check(frames: FrameReader, validation: FrameReader, spec: TrainSpec, where: Path) -> None:
    """Refuse frames that cannot be trained on, or validated with what is trained on."""
    from ase.data import chemical_symbols

    if not len(frames):
        raise UserError(f"{where}: no training frames; more trajectories or smaller held-out fractions")
    unknown = sorted(set(elements(validation)) - set(elements(frames)))
    if unknown:
        names = ", ".join(chemical_symbols[z] for z in unknown)
        raise UserError(f"{where}: {names} is in validation frames, but in no training frame; add trajectories")
    if spec.train.patience is not None and not len(validation):
        raise UserError(f"{where}: train.patience: {spec.train.patience} needs validation frames; there are none")
    if spec.train.energy_weight and not _known(frames, "energy"):
        allowed = "needs energies of all labels; a mean force has none, so train.energy_weight: 0"
        raise UserError(f"{where}: train.energy_weight: {spec.train.energy_weight:g} {allowed}")
    if spec.train.objective != "forces" and _biased(frames):
        allowed = "is not allowed; allowed: forces, for a bias moved some of these frames, which are no equilibrium"
        raise UserError(f"{where}: train.objective: {spec.train.objective} {allowed}")
    if spec.train.stress_weight and not _known(frames, "stress"):
        raise UserError(f"{where}: train.stress_weight: {spec.train.stress_weight:g} needs stresses of all labels")


def elements(reader: FrameReader) -> list[int]:
    """Atomic numbers that occur, ascending."""
    found = {int(z) for frames in reader.batches(names=["numbers"]) for z in np.unique(frames["numbers"])}
    return sorted(found)


def _known(reader: FrameReader, name: str) -> bool:
    """Whether every frame has a quantity."""
    return reader.has(name) and all(np.isfinite(f[name]).all() for f in reader.batches(names=[name]))


def _biased(reader: FrameReader) -> bool:
    """Whether a bias moved any frame."""
    name = "bias_energy"
    return reader.has(name) and any(f[name].any() for f in reader.batches(names=[name]))


def charges(reader: FrameReader) -> dict[str, float | None]:
    """Charge of every element in e, by symbol, None where it differs from atom to atom."""
    found: dict[str, float | None] = {}
    names = ["numbers", *(["charges"] if reader.has("charges") else [])]
    for frames in reader.batches(names=names):
        for element, charge in element_charges(frames).items():
            found[element] = charge if found.get(element, charge) == charge else None
    return found


def permittivities(release: Release, given: float | None = None) -> dict[str, float]:
    """Relative permittivity of every system that is trained on, where it is known, or the one that is given."""
    rows = release.index[release.index["split"] == "train"]
    if "permittivity" not in rows:
        return {}
    own = dict(sorted(set(zip(rows["system"].tolist(), rows["permittivity"].tolist(), strict=True))))
    return own if given is None else dict.fromkeys(own, given)
