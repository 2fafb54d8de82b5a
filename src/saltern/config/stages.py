"""One section a stage. Each says what its stage does and why its defaults are what they are.

`NUMERICS` is the version of a stage's arithmetic: it is part of the stage's specification, so raising it
makes every campaign redo that stage and what depends on it, and a refactor that leaves it alone redoes nothing.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any, ClassVar, Literal, Self

from pydantic import BeforeValidator, Field, model_validator
from pydantic_core import PydanticCustomError

from saltern.config.base import Section
from saltern.config.moving import BiasConfig, LevelTeacher, Settled, in_full
from saltern.config.published import PublishedTeacher
from saltern.config.system import Temperature


class SampleConfig(Section):
    """Candidate frames from cheap molecular dynamics, decorrelated and equilibrated."""

    NUMERICS: ClassVar[int] = 1

    engine: Literal["openmm", "potential", "packed"] = "openmm"
    """`openmm`: classical flexible water and published ion parameters; `potential`: a trained student; `packed`: the
    packed boxes themselves, from which a teacher that moves starts its own trajectories."""
    potential: str | None = None
    """The student to sample with (a `.safetensors` file), for `engine: potential`."""
    level: str | None = Field(None, examples=["cheap"])
    """Instead of a file the level above whose student samples, for `engine: potential`: one of cheap labels, or of a
    universal model after a few frames. Its first member drives, and where the committee disagrees by more than 5 eV/Å
    about a force the job fails."""
    frames: int = Field(200, ge=1, le=1_000_000)
    """Candidate frames per system, over all its trajectories."""
    trajectories: int = Field(5, ge=1, le=1000)
    """Independent trajectories per system, each packed and equilibrated on its own. Whole trajectories go to
    training, validation or test, so neighbours in time never sit on both sides."""
    every_ps: float = Field(0.5, gt=0)
    """Time between frames of one trajectory (ps). The hydrogen bonds of water live about 1 ps: closer frames say
    little that is new for what their labels cost."""
    equilibrate_ps: float = Field(20.0, ge=0)
    """Discarded at the start of every trajectory (ps)."""
    timestep_fs: float = Field(0.5, gt=0, le=2)
    """Integration step (fs); flexible O-H bonds need 0.5."""
    friction_per_ps: float = Field(1.0, gt=0)
    """Friction of the Langevin thermostat of `openmm` (1/ps); a student samples under the default thermostat of
    `simulate`."""
    cutoff_A: float = Field(9.0, gt=2)
    """Direct-space cutoff of the classical force field (Å); shortened to just below half of a smaller box."""
    platform: Literal["auto", "CPU", "CUDA", "OpenCL", "Reference"] = "auto"
    """OpenMM platform; `auto` takes a GPU where there is one."""
    rattled_fraction: float = Field(0.5, ge=0, le=1)
    """Share of the classical frames whose atoms are displaced at random before labelling. The force field's O-H bonds
    are 0.06 Å longer than GFN1-xTB's, so without it the student's own dynamics runs where it saw no data."""
    rattle_A: float = Field(0.05, gt=0, le=0.3)
    """Standard deviation of that displacement (Å)."""


class TbliteTeacher(Section):
    """GFN1-xTB or GFN2-xTB, embedded: seconds a frame, no program to install."""

    engine: Literal["tblite"] = "tblite"
    """tblite, from its wheel."""
    method: Literal["GFN1-xTB", "GFN2-xTB"] = "GFN1-xTB"
    """Tight-binding method; GFN1 is the one with checked periodic forces and stress."""
    accuracy: float = Field(0.1, gt=0, le=10)
    """tblite's accuracy factor: smaller is tighter."""
    max_iterations: int = Field(250, ge=1)
    """Self-consistency iterations before a frame is quarantined."""
    electronic_temperature_K: float = Field(300.0, gt=0)
    """Fermi smearing (K)."""


class SevennetTeacher(Section):
    """A universal potential, for what it knows already: seconds a frame, no parameters to choose, most elements.

    Learned from crystals, it stands for no electronic structure of a solution. A level that it teaches makes the
    candidate frames, or the weights to start from, for a level of DFT.
    """

    engine: Literal["sevennet"] = "sevennet"
    """The package sevenn, whose wheel brings the weights, in an environment of its own (docs/backends.md)."""
    method: Literal["SevenNet-MF-0-r2SCAN", "SevenNet-0"] = "SevenNet-MF-0-r2SCAN"
    """`SevenNet-MF-0-r2SCAN`: learned from PBE and r2SCAN (Kim et al., arXiv 2409.07947), here as r2SCAN; `SevenNet-0`:
    from PBE (Park et al., J. Chem. Theory Comput. 20, 4857 (2024)), in the version of 11 July 2024. Their forces on
    water are 127 and 323 meV/Å from those of PBE0-TS."""
    device: Literal["auto", "cpu", "cuda"] = "auto"
    """`auto` takes a GPU where there is one."""


class Cp2kTeacher(Section):
    """Density-functional theory with CP2K, an installed program."""

    engine: Literal["cp2k"] = "cp2k"
    """CP2K; tested with 2023.1."""
    method: Literal["r2scan", "dc-r2scan", "revpbe-d3", "blyp-d3", "pbe0", "gfn1-xtb"] = "r2scan"
    """Level of theory. `dc-r2scan` is r2SCAN at the Hartree-Fock density, as in arXiv 2310.12535; it and `pbe0` cost
    many times the others."""
    basis: Literal["DZVP-MOLOPT-SR-GTH", "SZV-MOLOPT-SR-GTH"] = "DZVP-MOLOPT-SR-GTH"
    """Basis of the orbitals; the double-zeta one is the published choice, the single-zeta one is for trying out."""
    cutoff_Ry: float = Field(1200.0, ge=100)
    """Plane-wave cutoff (Ry); 1200 is the published choice and costs 1.6 times what 600 does, at which the force on an
    oxygen still changes by 0.1 eV/Å when the box is shifted. `saltern converge` makes the table for your system."""
    relative_cutoff_Ry: float = Field(60.0, ge=20)
    """Cutoff of the Gaussians' grid levels (Ry)."""
    smoothing: Literal["none", "nn50", "nn10"] = "none"
    """Smoothing of the density for exchange and correlation (CP2K's XC_SMOOTH_RHO), which evens out what the grid
    does to forces on semi-core ions such as Na and changes the method a little; the published choice with r2SCAN is
    `nn10`. docs/results/cp2k.md has the figures."""
    eps_scf: float = Field(1e-6, gt=0)
    """Convergence of the self-consistent field."""
    reuse: bool = True
    """Whether a frame starts from the orbitals of the one before where the two are alike. It saves time where frames
    are less than some 50 fs apart, and changes no label beyond its convergence."""
    command: str | None = None
    """How CP2K is started where `cp2k.psmp` is not in PATH: a path, or a whole command such as
    `apptainer exec cp2k.sif cp2k.psmp` or `mpirun -np 4 cp2k.psmp`."""
    threads: int = Field(1, ge=1, le=1024)
    """OpenMP threads of each process."""


class OpenmmTeacher(Section):
    """A classical force field that moves, for a level of ions without solvent.

    Labels are its forces on the ions, whose average over the solvent is the mean force. Frames hold the ions alone.
    """

    engine: Literal["openmm"] = "openmm"
    """OpenMM."""
    method: Literal["spce-joung-cheatham", "spce-zhang"] = "spce-joung-cheatham"
    """Rigid SPC/E water with ions of Joung and Cheatham (2008), or with the sodium and chloride of arXiv 2310.12535."""
    timestep_fs: float = Field(4.0, gt=0, le=5)
    """Integration step (fs); 4 fs needs heavy hydrogens."""
    hydrogen_u: float = Field(3.008, ge=1, le=4)
    """Mass of water's hydrogens (u), taken from its oxygen. It changes no average over configurations."""
    friction_per_ps: float = Field(1.0, gt=0)
    """Friction of the Langevin thermostat (1/ps)."""
    cutoff_A: float = Field(10.0, gt=2)
    """Direct-space cutoff (Å); shortened to just below half of a smaller box."""
    platform: Literal["auto", "CPU", "CUDA", "OpenCL", "Reference"] = "auto"
    """OpenMM platform; `auto` takes a GPU where there is one."""
    bias: BiasConfig | None = None
    """What pushes ions together, to show denser surroundings than the solution's, or over a barrier; nothing by
    default."""

    def of(self, trajectory: int) -> OpenmmTeacher:
        """What moves the trajectory of that number: without the bias where it is not of its share."""
        unmoved = self.bias is not None and not self.bias.moves(trajectory)
        return self.model_copy(update={"bias": None}) if unmoved else self


Teacher = Annotated[
    TbliteTeacher | SevennetTeacher | Cp2kTeacher | OpenmmTeacher | LevelTeacher | PublishedTeacher,
    Field(discriminator="engine"),
    BeforeValidator(in_full),
]


class LabelConfig(Section):
    """How frames are labelled, and which labels are believed."""

    NUMERICS: ClassVar[int] = 1

    batch: int | None = Field(None, ge=1, le=10_000)
    """Frames in one job. By default as many as take about half an hour by the built-in figures of `saltern plan`: a
    cluster job costs some 5 s of overhead, which should be less than 1 % of it. Give a number where that does not fit,
    such as a small one to keep all cores of a single machine busy. A change labels nothing again."""
    min_distance_A: float = Field(0.6, gt=0)
    """Frames with two atoms closer than this (Å) are not computed: the engine would return nonsense."""
    max_force_eV_A: float = Field(50.0, gt=0)
    """Labels with a larger force on any atom (eV/Å) are quarantined."""
    max_net_force_eV_A: float = Field(0.5, gt=0)
    """Labels whose forces do not add up to zero within this (eV/Å) are quarantined: the grid was too coarse or
    the electronic structure not converged."""
    settled: Settled = ()
    """With a teacher that moves: trajectories whose mean number of neighbours is another one are quarantined, for a
    start that was not mixed teaches an aggregate; one entry or a list. Give the time that mixing takes, some 500 ps, in
    `sample.equilibrate_ps`; this is the check."""


class HoldOut(Section):
    """Frames of which nothing is trained on: those that match every key given here."""

    system: str | None = None
    """Identifier of a system."""
    salt: str | None = None
    """Salt, as `systems:` spells it; an empty text for the pure solvent."""
    molality: float | None = Field(None, ge=0, le=30)
    """Molality that was reached, as `systems.tsv` gives it, to within 0.0005 mol/kg."""
    temperature: float | None = Field(None, gt=0, le=2000)
    """Temperature (K)."""

    @model_validator(mode="after")
    def _says_something(self) -> Self:
        """An entry without a key would hold out everything."""
        if not self.given:
            raise PydanticCustomError("nothing_held_out", f"At least one of {', '.join(HoldOut.model_fields)}")
        return self

    @property
    def given(self) -> dict[str, str | float]:
        """The keys that were given, with their values."""
        return self.model_dump(exclude_none=True)


class CollectConfig(Section):
    """How labels become a dataset release."""

    NUMERICS: ClassVar[int] = 2

    validation_fraction: float = Field(0.1, ge=0, lt=1)
    """Share of all groups (`split_by`) that steers training; at least one group when above 0."""
    test_fraction: float = Field(0.1, ge=0, lt=1)
    """Share of all groups (`split_by`) that only measures the final error; at least one when above 0."""
    split_by: Literal["trajectory", "system", "salt", "molality", "temperature"] = "trajectory"
    """What goes to one split as a whole. `trajectory` keeps neighbours in time on one side, no more; the others ask
    how well a potential does on an electrolyte, molality (the one reached) or temperature that it never saw."""
    hold_out: tuple[HoldOut, ...] = ()
    """What is test only, before anything is drawn: entries with some of `system`, `salt`, `molality` (the one reached)
    and `temperature`, such as `{salt: LiCl, temperature: 350}`. An entry takes what matches all of its keys."""
    seed: int = Field(0, ge=0)
    """Seed of the assignment of groups."""
    near_duplicate_A: float = Field(0.05, ge=0, le=1)
    """A release is refused when frames of two splits are nearer than this (Å); 0 allows it. It is about how far atoms
    are displaced at random: in boxes of 14 to 192 atoms, frames displaced by 0.01 Å measured 0.01 to 0.055, the frame
    1 fs later 0.02 to 0.05, and of 56,000 pairs from independent trajectories the nearest 0.12. A box of one molecule,
    or of one pair of ions without solvent, whose frames are all alike, needs 0."""
    licence: str = "CC-BY-4.0"
    """Licence written into the dataset card (SPDX identifier)."""
    authors: tuple[str, ...] = ()
    """Whom a citation of the dataset names: people as `Family, Given`, anything else as it stands. By default the
    dataset's own name stands there."""


class BaselineConfig(Section):
    """What is subtracted before training and added back in simulation."""

    kind: Literal["coulomb", "none"] = "coulomb"
    """`coulomb`: Ewald energy of the ions' formal charges, screened by the solvent's permittivity, as in arXiv
    2310.12535; it makes a short-ranged network right at long range."""
    permittivity: float | None = Field(None, ge=1, le=1000, exclude_if=lambda value: value is None)
    """Relative permittivity that screens the ions of every system of this level, in training, simulation and
    properties; by default each system's own. Levels that differ in it share their labels."""


OWN = ("equivariant", "cartesian", "unconstrained", "pair")
"""Networks that come with Saltern."""

UNIVERSAL = ("sevennet-0",)
"""Weights to start from that come with a package, by name."""

TURNING = ("unconstrained",)
"""Those that learn from frames turned at random, for they have no symmetry of their own."""


class StudentConfig(Section):
    """The network."""

    NUMERICS: ClassVar[int] = 3

    network: Literal["equivariant", "cartesian", "unconstrained", "pair", "nequip", "mace", "sevennet"] = "equivariant"
    """`equivariant`: NequIP's interaction layers (Batzner et al., Nat. Commun. 13, 2453 (2022)), the measured one;
    `cartesian`: scalars and vectors in the manner of PaiNN (Schütt et al., ICML 2021); `unconstrained`: scalars that
    are told directions, and learn from frames turned at random that these do not matter; `pair`: no network, a spline
    of the distance for each two elements, which least squares give in seconds. For ions without solvent it is what
    others have to surpass. Member 0 of its committee is fitted to all training frames, the others to trajectories
    drawn from them with replacement. `nequip`, `mace` and `sevennet` are the networks of the packages nequip,
    mace-torch and sevenn, each in an environment of its own (docs/backends.md), trained, saved and simulated as ours
    are."""
    prior: Literal["none", "pair"] = "none"
    """What stands beneath the network. `pair`: the spline of `network: pair`, fitted first; the network then learns
    what is left."""
    r_max_A: float = Field(5.0, gt=1, le=20)
    """Cutoff of one interaction layer (Å); 5.0 is the published choice for all-atom water."""
    layers: int = Field(3, ge=1, le=6)
    """Interaction layers; what an atom sees reaches `layers` times `r_max_A`."""
    l_max: int = Field(2, ge=0, le=3)
    """Highest rotation order of features and spherical harmonics; the Cartesian network knows vectors alone."""
    features: int = Field(16, ge=1, le=256)
    """Channels of each rotation order. Multiples of 8 suit the processor."""
    radial: Literal["perceptron", "series"] = "perceptron"
    """How neighbours count with their distance: `perceptron`, two hidden layers on Bessel functions, or `series`, a
    sum of Bessel functions."""
    message: Literal["sum", "attention"] = "sum"
    """What neighbours tell an atom: `sum`, or `attention`, a sum in which some neighbours count for more by what they
    are. docs/results/learning.md has what these choices bring."""
    readout: Literal["linear", "perceptron"] = "linear"
    """How an atom's energy follows from its last features: `linear`, or `perceptron`, after one more hidden layer."""
    bessel: int = Field(8, ge=1, le=64)
    """Radial basis functions."""
    radial_width: int = Field(32, ge=1, le=512)
    """Hidden width of `perceptron`."""
    kernels: Literal["auto", "torch"] = "auto"
    """`auto`: on CPUs the sums over neighbours are compiled where there is a C compiler (`cc`, or what `CC` names),
    once a machine and in seconds; `torch`: never. For our own networks."""
    correlation: int = Field(3, ge=1, le=4)
    """How many neighbours one product of `mace` brings together."""
    start: str | None = Field(None, min_length=1, examples=["sevennet-0", "somewhere/mace.model"])
    """Weights to start from instead of random ones, of a universal model whose shape is its own: `layers`, `l_max`,
    `features`, `bessel`, `radial_width` and `correlation` then say nothing. With `network: sevennet` it is `sevennet-0`
    (Park et al., J. Chem. Theory Comput. 20, 4857 (2024), of 11 July 2024), which comes with the package; `r_max_A` is
    5. With `network: mace` it is a checkpoint of MACE, such as MACE-MP-0 (Batatia et al., arXiv 2401.00096), and
    `r_max_A` its cutoff. Either wants a small `train.learning_rate` (docs/backends.md)."""
    committee: int = Field(3, ge=1, le=64)
    """Networks trained from different seeds; their spread is the error bar of a force."""

    @property
    def turns(self) -> bool:
        """Whether energies are the same when a system turns only as far as that was learned."""
        return self.network in TURNING

    @property
    def checkpoint(self) -> str | None:
        """The file that holds the weights to start from, where they are in one."""
        return self.start if self.network == "mace" else None

    @property
    def environment(self) -> str:
        """The environment of `envs/` in which it is trained and used."""
        return "core" if self.network in OWN else self.network


BATCH_OF_MEAN_FORCES = 50


class TrainConfig(Section):
    """How the network is trained."""

    NUMERICS: ClassVar[int] = 2

    epochs: int = Field(500, ge=1)
    """Passes over the training frames; the learning rate follows a cosine to zero over all of them."""
    batch: int = Field(5, ge=1)
    """Frames in one step. With `energy_weight: 0` it is 50 unless given, for labels are then mean forces and mostly the
    solvent's noise: steps of few frames follow it, and a network that has little to say is silenced by them
    (docs/results/learning.md)."""
    processes: int = Field(1, ge=1, le=1024)
    """Processes that share the training of one member, a GPU each where there are GPUs; on a cluster the tasks of its
    job. Every step's frames are divided among them. It changes how long training takes and the rounding of its sums,
    not what is trained, so a change trains nothing again."""
    learning_rate: float = Field(0.01, gt=0)
    """Largest learning rate."""
    start_level: str | None = Field(None, examples=["cheap"])
    """Name of a level above whose members the training starts from, each from its own, instead of random weights: one
    of cheap labels, such as tight binding's, where DFT has labelled a few frames. Both have the same `student` and
    `baseline`; energies of the free atoms are fitted anew. It halves the error with 4 frames of water and gains nothing
    from 16 on (docs/results/learning.md)."""
    optimiser: Literal["muon", "adam"] = "muon"
    """`muon`: for matrices momentum that is made orthogonal (Jordan and others 2024), and Adam for the rest; `adam`:
    Adam for all weights, as networks of other packages have it either way. docs/results/learning.md compares them."""
    ema: float = Field(0.99, ge=0, lt=1)
    """Decay of the moving average of the weights; the average is what is saved."""
    force_weight: float = Field(100.0, ge=0)
    """Weight of the squared force error (eV/Å)²; 100 to 1 is the published choice."""
    energy_weight: float = Field(1.0, ge=0)
    """Weight of the squared error of the energy per atom (eV²)."""
    stress_weight: float = Field(0.0, ge=0)
    """Weight of the squared stress error (eV/Å³)²."""
    objective: Literal["forces", "score", "relative_entropy"] = "forces"
    """What is learned from. `forces`: the labels; `score`: displacements of the positions by `noise_A`, which on
    average point to where frames are more likely, so that positions alone give a potential of mean force.
    `relative_entropy`: the distances of ions, held against those in the simulations of `start_level`; the splines of
    `network: pair` or `prior: pair` take one step towards the teacher's g(r), as far as its frames are sure of it and
    its forces allow, and the network above them stays. Epochs and rates then say nothing. These two need frames that
    are samples of the teacher's equilibrium, so a teacher that moves and without a bias, and energy_weight and
    stress_weight are 0."""
    noise_A: float = Field(0.1, gt=0, le=1)
    """Standard deviation of those displacements (Å). Structure that is finer is smoothed away; noise of the labels is
    the thermal energy divided by this, 0.26 eV/Å at 300 K and 0.1 Å, about that of the solvent's forces."""
    validate_every: int = Field(5, ge=1)
    """Epochs between evaluations on the validation frames."""
    patience: int | None = Field(None, ge=1)
    """Validations in a row without a better one (errors weighed as in the loss) after which training ends; by default
    it never ends early. With it, the averaged weights that validated best are saved instead of the last ones. The
    cosine still spans all `epochs`: ending early cuts off its tail, in which a healthy training gains most, so give a
    patience of a tenth of all validations or more. It is a guard against overfitting, not a way to save time."""
    precision: Literal["float32", "float64"] = "float32"
    """Precision of the network; energies are summed in float64 either way."""
    device: Literal["auto", "cpu", "cuda"] = "auto"
    """`auto` takes a GPU where there is one."""
    seed: int = Field(0, ge=0)
    """Seed of member 0; member n uses seed + n."""

    @model_validator(mode="before")
    @classmethod
    def _more_frames_of_noise(cls, given: Any) -> Any:
        """Mean forces are trained on in larger batches unless a size is given."""
        if isinstance(given, Mapping) and given.get("energy_weight") == 0:
            return {"batch": BATCH_OF_MEAN_FORCES, **given}
        return given

    @property
    def compares(self) -> bool:
        """Whether it learns from what simulations with the potentials of `start_level` show."""
        return self.objective == "relative_entropy"


class SimulateConfig(Section):
    """Molecular dynamics with the student, its baseline and its committee."""

    NUMERICS: ClassVar[int] = 1

    ensemble: Literal["nvt", "nve"] = "nvt"
    """`nvt`: with a thermostat; `nve`: velocity Verlet, after an equilibration with the thermostat."""
    thermostat: Literal["bussi", "langevin", "nose-hoover"] = "bussi"
    """`bussi`: stochastic velocity rescaling (Bussi, Donadio, Parrinello 2007), which hardly disturbs diffusion;
    `langevin`: BAOAB (Leimkuhler, Matthews 2013), which thermalises every atom by itself and slows diffusion;
    `nose-hoover`: a deterministic chain of three (Martyna and others 1996)."""
    length_ps: float = Field(500.0, gt=0)
    """Length of one replica after equilibration (ps)."""
    equilibrate_ps: float = Field(10.0, ge=0)
    """Discarded at the start (ps)."""
    timestep_fs: float = Field(0.5, gt=0, le=5)
    """Integration step (fs)."""
    save_every_fs: float = Field(10.0, gt=0)
    """Time between saved frames (fs)."""
    thermostat_fs: float = Field(100.0, gt=0)
    """Time constant of the thermostat (fs): of the kinetic energy with `bussi`, the inverse of the friction with
    `langevin` (1000 or more where diffusion is measured), of the chain with `nose-hoover` (at least 10 steps)."""
    temperatures: tuple[Temperature, ...] | None = Field(None, min_length=1)
    """Temperatures at which every system is simulated (K); by default its own. Box, permittivity and potential stay
    what they are at the system's own temperature. Adding one simulates nothing again."""
    replicas: int = Field(2, ge=1, le=10_000)
    """Independent simulations of each system at each temperature."""
    batch: int = Field(1, ge=1, le=1000)
    """Replicas of a system run side by side in one job; pays on a GPU and for boxes of some hundred atoms or fewer."""
    together: int = Field(1, ge=1, le=1000)
    """Systems and temperatures run side by side in one job, each with `batch` replicas: what `batch` is to replicas
    where there are many electrolytes and few replicas of each. They are grouped in the order of the campaign, so one
    that is added at the end leaves full groups alone."""
    segment_ps: float = Field(10.0, gt=0)
    """A killed job loses at most this much (ps)."""
    driver: Literal["first", "each"] = "first"
    """Who drives the atoms: the committee's first member, or `each` member in turn, a job of `batch` replicas each.
    Then error bars are over replicas and contain what another seed of the training would have changed."""
    spread_every: int = Field(20, ge=1)
    """Steps between evaluations of the whole committee; one member alone drives the atoms."""
    max_spread_eV_A: float = Field(5.0, gt=0)
    """The simulation stops where the committee disagrees by more than this about any force (eV/Å)."""
    min_distance_A: float = Field(0.5, gt=0)
    """The simulation stops when two atoms come closer than this (Å)."""
    seed: int = Field(0, ge=0)
    """Seed of velocities and thermostat."""
    device: Literal["auto", "cpu", "cuda"] = "auto"
    """`auto` takes a GPU where there is one."""


class ObserveConfig(Section):
    """Properties, each with an error bar."""

    NUMERICS: ClassVar[int] = 3

    properties: tuple[Literal["rdf", "coordination", "pmf", "crystal", "diffusion", "drift"], ...] = (
        "rdf",
        "coordination",
        "diffusion",
        "drift",
    )
    """What is measured; `pmf` is the potential of mean force of ions, with and without the screened Coulomb energy,
    `crystal` how much of the ions is a crystal, and since when. With it, the others that come of g(r) are those of the
    solution, before a crystal grows."""
    rdf_bin_A: float = Field(0.05, gt=0, le=1)
    """Bin width of radial distribution functions (Å)."""
    blocks: int = Field(5, ge=2, le=100)
    """Blocks a trajectory is cut into for error bars."""
    crystal_every_ps: float = Field(1.0, gt=0)
    """Time between the frames in which crystals are sought (ps); 128 ions take some 10 ms a frame."""
    contact_A: float | None = Field(None, gt=0)
    """Distance within which a cation and an anion touch, for `crystal` (Å); by default the first minimum of their
    g(r)."""
    viscosity_mPas: float | None = Field(None, gt=0)
    """Viscosity in the finite-size correction of diffusion (mPa s); by default pure water's at the temperature."""
