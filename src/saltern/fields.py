"""THE table of quantities.

Name, meaning, unit, shape and dtype of everything that is stored per frame or per atom, and what other
formats call it. HDF5 attributes, the index, the dataset card and axis labels are all made from it; a
quantity that is not listed here cannot be stored.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Literal

import numpy as np


@dataclass(frozen=True)
class Field:
    """One quantity: `shape` is what follows the frame or atom axis; `unit` is empty for pure numbers."""

    name: str
    per: Literal["frame", "atom"]
    unit: str
    dtype: str
    shape: tuple[int, ...]
    meaning: str
    aliases: dict[str, str] = field(default_factory=dict)
    """Names in other formats, by format."""

    @property
    def is_text(self) -> bool:
        """Whether the quantity is a string."""
        return self.dtype == "str"

    @property
    def axis_label(self) -> str:
        """'name (unit)' for plots and tables."""
        words = self.name.replace("_", " ")
        return f"{words} ({self.unit})" if self.unit else words

    def missing(self) -> object:
        """What stands where the quantity was not measured: NaN, -1, False or ''."""
        if self.is_text:
            return ""
        kind = np.dtype(self.dtype).kind
        return {"f": np.nan, "i": -1, "b": False}[kind]


_TABLE = (
    # structure
    Field("numbers", "atom", "", "int32", (), "atomic number", {"extxyz": "Z", "ase": "numbers"}),
    Field(
        "positions",
        "atom",
        "Å",
        "float64",
        (3,),
        "position, unwrapped when it comes from MD",
        {"extxyz": "pos", "nequip": "pos", "deepmd": "coord"},
    ),
    Field("velocities", "atom", "Å/fs", "float64", (3,), "velocity"),
    Field("charges", "atom", "e", "float64", (), "formal charge carried in the baseline; 0 for solvent atoms"),
    Field("molecules", "atom", "", "int32", (), "index of the molecule or ion that the atom belongs to"),
    Field(
        "cell",
        "frame",
        "Å",
        "float64",
        (3, 3),
        "cell vectors as rows; periodic in all three",
        {"extxyz": "Lattice", "nequip": "cell", "deepmd": "box"},
    ),
    # where the frame comes from
    Field("system", "frame", "", "str", (), "identifier of the system; systems.tsv says what it stands for"),
    Field("trajectory", "frame", "", "str", (), "identifier of the trajectory within the system"),
    Field("time", "frame", "fs", "float64", (), "time since the start of the trajectory's production"),
    Field("temperature", "frame", "K", "float64", (), "temperature that was asked for"),
    Field("permittivity", "frame", "", "float64", (), "relative permittivity of the solvent in the baseline"),
    # labels
    Field(
        "energy",
        "frame",
        "eV",
        "float64",
        (),
        "total energy of the engine",
        {"extxyz": "REF_energy", "nequip": "total_energy", "deepmd": "energy"},
    ),
    Field(
        "forces",
        "atom",
        "eV/Å",
        "float64",
        (3,),
        "force",
        {"extxyz": "REF_forces", "nequip": "forces", "deepmd": "force"},
    ),
    Field(
        "stress",
        "frame",
        "eV/Å³",
        "float64",
        (3, 3),
        "stress, positive in tension",
        {"extxyz": "REF_stress", "nequip": "stress"},
    ),
    Field(
        "bias_energy",
        "frame",
        "eV",
        "float64",
        (),
        "energy of a bias that moved the ions, no part of the label; a frame counts exp(bias_energy / kT); NaN: none",
    ),
    # provenance of labels
    Field("label_key", "frame", "", "str", (), "SHA-256 of the question: structure, method, engine, version"),
    Field("engine", "frame", "", "str", (), "engine that made the label"),
    Field("engine_version", "frame", "", "str", (), "version of that engine"),
    Field("engine_build", "frame", "", "str", (), "how that program was made, as far as it tells"),
    Field("method", "frame", "", "str", (), "level of theory"),
    Field("accepted", "frame", "", "bool", (), "whether every check of the label was passed"),
    Field("reason", "frame", "", "str", (), "why the frame is quarantined; empty when accepted"),
    Field("converged", "frame", "", "bool", (), "whether the electronic structure converged"),
    Field("iterations", "frame", "", "int32", (), "self-consistency iterations; -1 when the engine does not tell"),
    Field("scf_path", "frame", "", "str", (), "how the electronic structure was sought, attempt after attempt"),
    Field("cpu_seconds", "frame", "s", "float64", (), "processor time spent on the label"),
    Field("host", "frame", "", "str", (), "machine that made the label"),
    Field("date", "frame", "", "str", (), "when it was made, UTC"),
    Field("recall", "frame", "", "str", (), "recall after which the label was made again; empty for a first one"),
    # simulation
    Field("kinetic_energy", "frame", "eV", "float64", (), "kinetic energy of the atoms"),
    Field("potential_energy", "frame", "eV", "float64", (), "energy of the student plus its baseline"),
    Field(
        "conserved_energy",
        "frame",
        "eV",
        "float64",
        (),
        "total energy minus the heat that the thermostat gave; constant in exact dynamics",
    ),
    Field(
        "committee_spread",
        "frame",
        "eV/Å",
        "float64",
        (),
        "largest over atoms of the committee's standard deviation of the force; NaN where not evaluated",
    ),
    Field(
        "force_spread",
        "atom",
        "eV/Å",
        "float32",
        (),
        "the committee's standard deviation of the force; NaN where not evaluated",
    ),
)

FIELDS: dict[str, Field] = {f.name: f for f in _TABLE}
