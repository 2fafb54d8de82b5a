"""What the page shows, as plain values; `gather` fills it from files, tests by hand."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from saltern.observables import CRYSTAL
from saltern.report.experiment import Experiment

Array = NDArray[Any]


@dataclass(frozen=True)
class Measured:
    """A number with its standard error; None where it is unknown."""

    value: float | None
    error: float | None = None


@dataclass(frozen=True)
class SystemRow:
    """One composed system."""

    id: str
    salt: str
    solvent: str
    role: str
    molality: float
    """Reached in the box, mol/kg."""
    temperature: float
    """K."""
    counts: Mapping[str, int]
    """Ions and solvent molecules by name."""
    box_edge: float
    """Cube root of the volume, Å."""
    density: float
    """g/cm³."""
    density_source: str
    permittivity: float
    permittivity_source: str
    levels: tuple[str, ...] = ()
    """Names of its levels; none stands for all."""
    seed_ions: int = 0
    """Ions of the crystal that it starts with."""

    @property
    def electrolyte(self) -> str:
        """'NaCl 2.31 mol/kg', with a crystal to start with its size, or the solvent where there is no salt."""
        seed = f", seed of {self.seed_ions} ions" if self.seed_ions else ""
        return f"{self.salt} {self.molality:.2f} mol/kg{seed}" if self.salt else self.solvent

    @property
    def label(self) -> str:
        """'NaCl 2.31 mol/kg, 298 K'."""
        return f"{self.electrolyte}, {self.temperature:.0f} K"


@dataclass(frozen=True)
class LedgerRow:
    """What became of the frames asked for in one system."""

    system: str
    requested: int
    accepted: int
    quarantined: Mapping[str, int]
    """Frames by reason."""
    cpu_seconds: float
    """What the labels cost."""

    @property
    def failure_rate(self) -> float:
        """Quarantined share of the frames."""
        return 1 - self.accepted / self.requested


@dataclass(frozen=True)
class CostRow:
    """What one stage took."""

    stage: str
    jobs: int
    cpu_seconds: float
    wall_seconds: float
    """Added up over jobs, however many ran at once."""
    memory_MB: float
    """Largest of any job."""


@dataclass(frozen=True)
class HeldOutError:
    """Error on frames that training never saw."""

    what: str
    """'energy', 'stress', or 'force' with the element it is of."""
    rmse: Measured
    mae: Measured
    reference: float | None
    """Root mean square of the reference itself: what a model that predicts nothing is wrong by."""
    unit: str
    count: int
    """Numbers compared."""
    baseline: Measured | None = None
    """RMSE of the baseline alone, of forces."""
    classical: Measured | None = None
    """RMSE of the classical force field that candidates are sampled with, of forces."""
    spread: Measured | None = None
    """Root mean square of the committee's spread of a component, of forces."""

    @property
    def factor(self) -> float | None:
        """Error over spread: 1 where the committee knows how wrong it is."""
        if self.spread is None or not self.spread.value or self.rmse.value is None:
            return None
        return self.rmse.value / self.spread.value


@dataclass(frozen=True)
class Calibration:
    """Whether a committee's spread says how wrong its forces are."""

    factor: Measured
    """Root mean square error over root mean square spread."""
    rank: Measured
    """Spearman's correlation of error and spread over atoms."""
    bins: tuple[tuple[float, Measured], ...]
    """Tenths of the atoms by their spread: spread and error, both meV/Å."""
    trajectories: int
    """Held-out trajectories that the error bars are over."""


@dataclass(frozen=True)
class MemberRow:
    """One network of the committee: how its training went and ended, and what it is worth."""

    member: str
    rmse: Measured
    """Of held-out force components, meV/Å."""
    share: Measured
    """That as a share of the error of the baseline alone."""
    silent: float
    """Share of its features that no energy depends on."""
    epochs: int = 0
    """Done."""
    kept: int = 0
    """Epoch whose weights were saved; 0 where the curve does not say."""
    ended: str = ""
    """Why training ended before its schedule; empty when it did not."""
    classical: float | None = None
    """RMSE of a classical force field, meV/Å, where there is one."""
    unmoved: tuple[str, ...] = ()
    """Weights that training left where they began."""

    @property
    def doubted(self) -> bool:
        """Whether it does not look trained.

        It is no better than its baseline or a classical force field, mostly idle, or in parts as it began.
        """
        return (
            self.share.value is None or self.share.value >= 1 or self.silent > 0.5 or self.beaten or bool(self.unmoved)
        )

    @property
    def beaten(self) -> bool:
        """Whether a classical force field is as good."""
        return self.classical is not None and self.rmse.value is not None and self.rmse.value >= self.classical


@dataclass(frozen=True)
class Explained:
    """Mean square errors on held-out frames over the mean square of labels minus baseline."""

    what: str
    """'force', or with the element it is of."""
    loss: Measured
    """Of the student."""
    pairs: Measured
    """Of the best sum over pairs."""
    gain: Measured
    """By how much the student's is smaller."""


@dataclass(frozen=True)
class Parity:
    """Reference and prediction, both (point,), of one group: an element or a system."""

    group: str
    reference: Array
    predicted: Array


@dataclass(frozen=True)
class LearningCurve:
    """One committee member."""

    member: str
    epochs: Array
    force_error: Array
    """RMSE on the validation frames, eV/Å."""
    last: int = 0
    """Epochs done."""
    kept: int = 0
    """Epoch whose weights were saved; 0 where the curve does not say."""
    ended: str = ""
    """Why training ended before its schedule; empty when it did not."""


@dataclass(frozen=True)
class Curve:
    """g(r) of one pair in one system."""

    system: str
    pair: tuple[str, str]
    r: Array
    g: Array
    error: Array


@dataclass(frozen=True)
class LikenessRow:
    """How like g(r) of one pair in one system is to the teacher's."""

    system: str
    pair: tuple[str, str]
    difference: Measured
    """Root mean square, from 2 Å on."""
    noise: float | None
    """What of it the noise of both would make."""
    last: float
    """Å, up to which they are compared."""
    height: Measured
    """First peak of the student."""
    teacher_height: Measured
    r: Array
    g: Array
    """The teacher's."""


@dataclass(frozen=True)
class MeanForceCurve:
    """Potential of mean force of one pair of ions in one system, (point,) in kT, where g(r) tells it."""

    system: str
    pair: tuple[str, str]
    r: Array
    """Å."""
    total: Array
    short_range: Array
    error: Array
    """Of both."""

    @property
    def coulomb(self) -> Array:
        """Coulomb energy screened by the solvent, which is what the two differ by."""
        return np.asarray(self.total - self.short_range)


@dataclass(frozen=True)
class CrystalRow:
    """Energy of a crystal at rest over its size; the committee's mean and standard deviation."""

    salt: str
    lattice: str
    permittivity: float
    constant: Measured
    """Lattice constant of least energy, Å."""
    least: Measured
    """Energy there of a pair of ions against separated ones, kcal/mol."""
    contact: Array
    """(point,) distance of touching ions in Å."""
    energy: Array
    """(point,) kcal/mol."""
    error: Array


@dataclass(frozen=True)
class Growth:
    """The largest crystal of a salt in each replica of one system, in the course of time."""

    system: str
    interval: float
    """Between the frames looked at, ps."""
    sizes: tuple[Array, ...]
    """(frame,) cations in it, for each replica."""
    ended: tuple[bool, ...]
    """Whether each has a crystal at its end."""
    solution: float | None = None
    """Time in all replicas together before a crystal grew, ps, to which g(r) belongs; None where it is all the time."""
    drivers: tuple[str, ...] = ()
    """The member of the committee that drives each; empty where one drives all."""

    @property
    def seen(self) -> bool:
        """Whether there was a crystal at any time."""
        return any(bool((sizes >= CRYSTAL).any()) for sizes in self.sizes)


@dataclass(frozen=True)
class IonPair:
    """Potential of mean force of two ions alone, and its short-range part at three places, distance (Å) and kT."""

    curve: MeanForceCurve
    contact: tuple[Measured, Measured]
    barrier: tuple[Measured, Measured]
    separated: tuple[Measured, Measured]


@dataclass(frozen=True)
class PropertyRow:
    """One measured number, beside the experiment where there is one."""

    system: str
    quantity: str
    species: str
    value: Measured
    unit: str
    experiment: Experiment | None = None
    remark: str = ""
    believed: bool = True
    """False where the remark says that the number should not be trusted."""


LEFT = 0.05
"""Share of doubtful or new atoms, five times the usual one, above which a simulation counts as having left its data."""


@dataclass(frozen=True)
class HealthRow:
    """How the simulations of one system at one temperature went."""

    system: str
    replicas: int
    length_ps: float
    """Over all replicas."""
    drift: Measured
    """meV/atom/ps."""
    temperature: Measured
    """K."""
    largest_spread: float | None
    """Of the committee, eV/Å."""
    stopped: str
    """Why a replica ended early; empty when none did."""
    outside: Measured | None = None
    """Share of atoms about which the committee disagrees more than is usual on held-out frames; 0.01 is usual."""
    force_error: Measured | None = None
    """What the committee's spread says of the error of a force component, meV/Å."""
    new: Measured | None = None
    """Share of atoms whose environment is further from all training frames than is usual for held-out frames; 0.01 is
    usual."""

    @property
    def left(self) -> bool:
        """Whether the simulation left what the potential was trained on."""
        return any(
            share is not None and share.value is not None and share.value - 2 * (share.error or 0.0) > LEFT
            for share in (self.outside, self.new)
        )


@dataclass(frozen=True)
class Snapshot:
    """A frame to look at: whole molecules with their centres inside the cell."""

    system: str
    time: float
    """ps."""
    numbers: Array
    """(atom,) atomic numbers."""
    positions: Array
    """(atom, 3) in Å."""
    cell: Array
    """(3, 3) rows in Å."""
    bonds: Array
    """(bond, 2) indices of atoms."""
    solvent: Array
    """(atom,) whether the atom belongs to the solvent."""


@dataclass(frozen=True)
class LevelData:
    """One level: a teacher, its data, the student and what was simulated with it."""

    name: str
    methods: tuple[str, ...]
    """Levels of theory of the labels, with engine and version."""
    root_hash: str
    ledger: tuple[LedgerRow, ...]
    errors: tuple[HeldOutError, ...] = ()
    environments: tuple[HeldOutError, ...] = ()
    """Of forces, by where an ion is."""
    calibration: Calibration | None = None
    members: tuple[MemberRow, ...] = ()
    force_parity: tuple[Parity, ...] = ()
    """By element, eV/Å."""
    energy_parity: tuple[Parity, ...] = ()
    """By system, eV/atom, each relative to the system's mean."""
    learning: tuple[LearningCurve, ...] = ()
    curves: tuple[Curve, ...] = ()
    likeness: tuple[LikenessRow, ...] = ()
    mean_forces: tuple[MeanForceCurve, ...] = ()
    crystals: tuple[CrystalRow, ...] = ()
    """At rest."""
    growth: tuple[Growth, ...] = ()
    """In the simulations."""
    ion_pairs: tuple[IonPair, ...] = ()
    audit: str = ""
    """What `saltern audit` said of crystals in the dataset and in the simulations."""
    properties: tuple[PropertyRow, ...] = ()
    health: tuple[HealthRow, ...] = ()
    films: tuple[tuple[Snapshot, ...], ...] = ()
    """Frames of one replica of each system in the order of time, the last one its end."""
    spec: Mapping[str, Any] = field(default_factory=dict)
    """What each stage was told, by stage; of 'train', where the potential's file says it."""
    method_cpu_seconds: Mapping[str, float] = field(default_factory=dict)
    """What the labels of each method cost."""
    explained: tuple[Explained, ...] = ()

    @property
    def requested(self) -> int:
        """Frames asked for."""
        return sum(row.requested for row in self.ledger)

    @property
    def accepted(self) -> int:
        """Frames in the dataset."""
        return sum(row.accepted for row in self.ledger)

    @property
    def cpu_hours(self) -> float:
        """What all labels cost."""
        return sum(row.cpu_seconds for row in self.ledger) / 3600

    @property
    def failure_rate(self) -> float:
        """Quarantined share of all frames."""
        return 1 - self.accepted / self.requested

    @property
    def reasons(self) -> dict[str, int]:
        """Quarantined frames by reason."""
        names = sorted({reason for row in self.ledger for reason in row.quarantined})
        return {name: sum(row.quarantined.get(name, 0) for row in self.ledger) for name in names}

    @property
    def simulated_ns(self) -> float:
        """Length of all trajectories together, ns."""
        return sum(row.length_ps for row in self.health) / 1000

    @property
    def mean_force(self) -> bool:
        """Whether labels are forces alone, of which most may be noise."""
        return bool(self.explained) and not any(e.what.startswith("energy") for e in self.errors)

    @property
    def force_error(self) -> HeldOutError | None:
        """Error of all force components together."""
        return next((e for e in self.errors if e.what == "force"), None)


@dataclass(frozen=True)
class ReportData:
    """A campaign's results. Nothing in it says when the page was made: the same results give the same page."""

    campaign: str
    systems: tuple[SystemRow, ...]
    levels: tuple[LevelData, ...]
    cost: tuple[CostRow, ...]
    versions: Mapping[str, str]
    others: tuple[SystemRow, ...] = ()
    """Systems at other temperatures than their own, at which they were simulated, and those of datasets that are not
    the campaign's."""

    def system(self, identifier: str) -> SystemRow:
        """The system of that identifier, at the temperature that it stands for.

        Raises:
            KeyError: when there is none.
        """
        return {row.id: row for row in (*self.others, *self.systems)}[identifier]
