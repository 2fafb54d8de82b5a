"""Classical sampling: the force field against its sources, the dynamics against physics."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from saltern.config import SampleConfig, SampleSpec, System, campaign_from
from saltern.engines.forcefield import build_system, known_atoms
from saltern.engines.openmm import Snapshot, classical_forces, problems, rattled, run, sample
from saltern.errors import SimulationError, UserError
from saltern.frames import Frames
from saltern.systems import SPECIES, WATER, compose
from saltern.units import BOLTZMANN, KCAL_PER_MOL, KJ_PER_MOL

openmm = pytest.importorskip("openmm")

BRINE = System(salt="NaCl", molality=4.6, solvent_molecules=24, temperature=310)
CONFIG = SampleConfig(equilibrate_ps=2.0, every_ps=0.1, friction_per_ps=5.0)
SNAPSHOTS = 50

SALTS = {
    "NH4+": "NH4NO3",
    "NO3-": "NaNO3",
    "OH-": "NaOH",
    "ClO4-": "NaClO4",
    "BF4-": "LiBF4",
    "PF6-": "LiPF6",
    "SO4^2-": "MgSO4",
    "CO3^2-": "CaCO3",
    "TFSI-": "LiTFSI",
}


@pytest.fixture(scope="module")
def brine() -> Iterator[tuple[Frames, dict[str, Any], list[Snapshot]]]:
    """One short trajectory of 24 waters and 2 NaCl."""
    start, about = compose(BRINE)
    yield start, about, list(run(start, about["molecule_species"], CONFIG, SNAPSHOTS, (1, 0)))


def box_of(*names: str, edge: float = 19.0) -> tuple[Frames, list[str]]:
    """Molecules 6 Å from each other in a wide box (edge in Å)."""
    species = [WATER if name == "H2O" else SPECIES[name] for name in names]
    frame = Frames.uniform(
        np.concatenate([s.numbers for s in species]),
        1,
        positions=np.concatenate([s.positions + 6.0 * i * np.eye(3)[0] for i, s in enumerate(species)]),
        cell=edge * np.eye(3),
        system="test",
        temperature=300.0,
    )
    return frame, list(names)


def context_of(frame: Frames, species: list[str], platform: str = "Reference") -> Any:
    """A context, in double precision unless told otherwise."""
    system = build_system(frame, species, 9.0)
    context = openmm.Context(system, openmm.VerletIntegrator(0.001), openmm.Platform.getPlatformByName(platform))
    context.setPositions(frame["positions"] * 0.1)
    return context


def energy(context: Any, positions: np.ndarray) -> float:
    """kJ/mol at positions in Å."""
    context.setPositions(positions * 0.1)
    return float(context.getState(energy=True).getPotentialEnergy()._value)


def test_forces_on_labelled_frames_are_those_of_the_sampling(brine: Any) -> None:
    """However atoms are wrapped, over systems, and not at all where a molecule is unknown."""
    start, about, shots = brine
    frames = Frames.concatenate([start.with_arrays(positions=shot.positions) for shot in shots[:2]])
    other, names = box_of("H2O", "Li+", "Br-")
    other = other.with_arrays(charges=[0.0, 0, 0, 1, -1], molecules=[0, 0, 0, 1, 2])
    thrown = np.random.default_rng(0).integers(-2, 3, frames["positions"].shape) * np.diag(frames["cell"][0])
    kept = [
        {n: f[n] for n in ("numbers", "positions", "cell", "charges", "molecules", "system")} for f in (frames, other)
    ]
    known = [Frames(f.offsets, arrays) for f, arrays in zip((frames, other), kept, strict=True)]
    found = classical_forces(Frames.concatenate(known))
    assert found is not None
    context = context_of(start, about["molecule_species"])
    for number, shot in enumerate(shots[:2]):
        context.setPositions(shot.positions * 0.1)
        forces = context.getState(forces=True).getForces(asNumpy=True)._value * 0.1 * KJ_PER_MOL
        np.testing.assert_allclose(found[number * len(forces) :][: len(forces)], forces, atol=2e-3)
    ions = context_of(other, names).getState(forces=True).getForces(asNumpy=True)._value * 0.1 * KJ_PER_MOL
    np.testing.assert_allclose(found[-5:], ions, atol=2e-3)
    np.testing.assert_allclose(
        classical_forces(known[0].with_arrays(positions=frames["positions"] + thrown)), found[:-5], atol=2e-3
    )
    assert classical_forces(known[1].with_arrays(charges=[0.0, 0, 0, 2, -2])) is None
    assert classical_forces(known[1].with_arrays(cell=[[[19.0, 0, 0], [1, 19, 0], [0, 0, 19]]])) is None


def lennard_jones_of(file: str, kind: str) -> tuple[float, float]:
    """Sigma (Å) and epsilon (kJ/mol) of an atom type in a force field that OpenMM brings along."""
    text = (Path(openmm.__file__).parent / "app" / "data" / file).read_text(encoding="utf-8")
    section = "<LennardJonesForce" if "charmm" in file else "<NonbondedForce"
    found = re.search(rf'epsilon="(\S+)" sigma="(\S+)" type="{re.escape(kind)}"', text[text.index(section) :])
    assert found
    return 10 * float(found[2]), float(found[1])


@pytest.mark.parametrize("ion", [s.name for s in SPECIES.values() if s.is_monatomic])
def test_monatomic_ions_are_those_of_amber(ion: str) -> None:
    """Joung and Cheatham for single charges, Li and Merz for double ones, as converted by others."""
    wanted = (SPECIES[ion].charge, *lennard_jones_of("amber14/spce.xml", f"spce_standard-{ion}"))
    assert known_atoms()[ion][SPECIES[ion].formula] == pytest.approx(wanted, rel=1e-6)


@pytest.mark.parametrize(
    ("ion", "element", "file", "kind"),
    [
        ("OH-", "O", "charmm36/spce.xml", "OX"),
        ("OH-", "H", "charmm36/spce.xml", "HX"),
        ("CO3^2-", "C", "charmm36.xml", "CG2O6"),
        ("CO3^2-", "O", "charmm36.xml", "OG2D2"),
    ],
)
def test_hydroxide_and_carbonate_are_those_of_charmm(ion: str, element: str, file: str, kind: str) -> None:
    assert known_atoms()[ion][element][1:] == pytest.approx(lennard_jones_of(file, kind), rel=1e-6)


@pytest.mark.parametrize("name", known_atoms())
def test_partial_charges_add_up_to_the_formal_charge(name: str) -> None:
    species = WATER if name == "H2O" else SPECIES[name]
    total = sum(known_atoms()[name][element][0] for element in species.elements)
    assert total == pytest.approx(species.charge, abs=1e-9)


def test_water_springs_are_spc_fw() -> None:
    """Energy of a stretched and of a bent molecule: k/2 (r - 1.012 Å)², k/2 (angle - 113.24°)²."""
    frame, species = box_of("H2O")
    context = context_of(frame, species)
    half = np.radians(113.24) / 2

    def molecule(stretch: float, bend: float) -> np.ndarray:
        r, angle = 1.012 + stretch, half + np.radians(bend) / 2
        return np.array(
            [[0, 0, 0], [r * np.sin(angle), 0, r * np.cos(angle)], [-r * np.sin(angle), 0, r * np.cos(angle)]]
        )

    rest = energy(context, molecule(0, 0))
    stretched = (energy(context, molecule(0.1, 0)) - rest) / 4.184
    bent = (energy(context, molecule(0, 10)) - rest) / 4.184
    assert stretched == pytest.approx(2 * 1059.162 / 2 * 0.1**2, rel=1e-3)
    assert bent == pytest.approx(75.90 / 2 * np.radians(10) ** 2, rel=1e-2)


def test_ion_pair_is_lennard_jones_and_coulomb() -> None:
    """Na+ and Cl- at two distances in a wide box: Lorentz-Berthelot mixing and the bare Coulomb law."""
    frame, species = box_of("Na+", "Cl-", edge=60.0)
    context = context_of(frame, species, "CPU")
    sigma, epsilon = (0.2159538 + 0.4830453) / 2, np.sqrt(1.475453 * 0.05349244)

    def pair(r: float) -> float:
        lj = 4 * epsilon * ((10 * sigma / r) ** 12 - (10 * sigma / r) ** 6)
        return float(lj - 1389.35458 / r)

    found = [energy(context, np.array([[0, 0, 0], [r, 0, 0]])) for r in (2.6, 5.0)]
    # the images of the pair's dipole change the difference by 0.3 kJ/mol
    assert found[0] - found[1] == pytest.approx(pair(2.6) - pair(5.0), abs=0.5)


@pytest.mark.parametrize("ion", SALTS)
def test_forces_are_the_gradient_of_the_energy(ion: str) -> None:
    system = System(salt=SALTS[ion], molality=1.8, solvent_molecules=30, density=1.1)
    frame, about = compose(system)
    context = context_of(frame, about["molecule_species"])
    forces = context.getState(forces=True).getForces(asNumpy=True)._value * 0.1
    molecules = np.array(about["molecule_species"])[frame["molecules"]]
    chosen = [*np.flatnonzero(molecules == ion)[:6], *np.flatnonzero(molecules == "H2O")[:2]]
    # so small that no pair crosses the cutoff, where the energy has a step
    step = 1e-5
    for atom in chosen:
        moved = np.zeros_like(frame["positions"])
        moved[atom, 1] = step
        slope = (energy(context, frame["positions"] + moved) - energy(context, frame["positions"] - moved)) / (2 * step)
        assert -slope == pytest.approx(forces[atom, 1], rel=1e-3, abs=0.05)


@pytest.mark.parametrize("ion", SALTS)
def test_polyatomic_ion_relaxes_to_the_geometry_of_the_library(ion: str) -> None:
    """From a distorted start, planar ions out of plane, every bond comes back within 0.05 Å."""
    species = SPECIES[ion]
    frame, names = box_of(ion)
    context = context_of(frame, names)
    distorted = species.positions + np.random.default_rng(1).normal(0, 0.1, species.positions.shape)
    distorted[0, 2] += 0.2
    context.setPositions(distorted * 0.1)
    openmm.LocalEnergyMinimizer.minimize(context, 1.0)
    relaxed = context.getState(positions=True).getPositions(asNumpy=True)._value * 10
    for i, j in species.bonds:
        wanted = np.linalg.norm(species.positions[i] - species.positions[j])
        assert np.linalg.norm(relaxed[i] - relaxed[j]) == pytest.approx(wanted, abs=0.05)
    if len(species.elements) == 4:
        normal = np.cross(relaxed[2] - relaxed[1], relaxed[3] - relaxed[1])
        height = (relaxed[0] - relaxed[1]) @ normal / np.linalg.norm(normal)
        assert abs(height) < 1e-2


def test_planar_ions_resist_leaving_their_plane() -> None:
    """V2 (1 - cos 2f) / 2 three times over: 8.368 kJ/mol for nitrate, besides what the angles do."""
    frame, names = box_of("NO3-")
    context = context_of(frame, names)
    system = context.getSystem()
    (torsion,) = (f for f in system.getForces() if isinstance(f, openmm.PeriodicTorsionForce))
    assert torsion.getNumTorsions() == 3
    for index in range(3):
        *_, periodicity, phase, k = torsion.getTorsionParameters(index)
        assert (periodicity, phase._value, k._value) == (2, pytest.approx(np.pi), pytest.approx(8.368 / 2))


def test_temperature(brine: tuple[Frames, dict[str, Any], list[Snapshot]]) -> None:
    """Equipartition: 3/2 kT for each atom, on average over a few ps of 76 atoms."""
    start, _, shots = brine
    kinetic = np.mean([shot.kinetic_energy for shot in shots])
    temperature = 2 * kinetic / (3 * len(start["numbers"]) * BOLTZMANN)
    assert temperature == pytest.approx(310, abs=20)


def test_liquid_structure(brine: tuple[Frames, dict[str, Any], list[Snapshot]]) -> None:
    """O-H bonds of SPC/Fw in the liquid (1.03 Å), whole molecules, Na-O and Cl-O first peaks."""
    start, _, shots = brine
    numbers, edge = start["numbers"], start["cell"][0, 0, 0]
    oxygen, sodium, chlorine = (np.flatnonzero(numbers == z) for z in (8, 11, 17))
    bonds, peaks = [], {"sodium": [], "chlorine": []}
    for shot in shots:
        x = shot.positions
        bonds += [np.linalg.norm(x[oxygen + k] - x[oxygen], axis=1) for k in (1, 2)]
        for name, ions in (("sodium", sodium), ("chlorine", chlorine)):
            apart = x[ions][:, None] - x[oxygen][None]
            apart -= edge * np.round(apart / edge)
            # the four nearest of each ion lie within its first shell
            peaks[name].append(np.sort(np.linalg.norm(apart, axis=2), axis=1)[:, :4])
    # no minimum image here: a molecule broken over a face would have bonds of 9 Å
    assert np.mean(bonds) == pytest.approx(1.03, abs=0.01)
    assert np.max(bonds) < 1.25
    assert 2.3 < np.median(peaks["sodium"]) < 2.5
    assert 3.0 < np.median(peaks["chlorine"]) < 3.4


def test_packed_start_is_forgotten(brine: tuple[Frames, dict[str, Any], list[Snapshot]]) -> None:
    """The potential energy of the first and second half agree within their error, far below the packed start's."""
    start, about, shots = brine
    series = np.array([shot.potential_energy for shot in shots]).reshape(10, -1).mean(axis=1)
    first, second = series[:5], series[5:]
    error = np.sqrt(first.var(ddof=1) / 5 + second.var(ddof=1) / 5)
    assert abs(first.mean() - second.mean()) < 4 * error
    packed = energy(context_of(start, about["molecule_species"]), start["positions"]) / 4.184 * KCAL_PER_MOL
    assert series.mean() < packed - 2


def test_frames_decorrelate(brine: tuple[Frames, dict[str, Any], list[Snapshot]]) -> None:
    """Mean square displacement of oxygen grows with the time between frames."""
    start, _, shots = brine
    x = np.array([shot.positions for shot in shots])[:, start["numbers"] == 8]
    moved = [np.sqrt(((x[lag:] - x[:-lag]) ** 2).sum(-1).mean()) for lag in (1, 5, 25)]
    assert moved[0] < moved[1] < moved[2]
    assert moved[2] > 1.0
    assert [shot.time for shot in shots[:3]] == pytest.approx([100, 200, 300])


def quick(**changes: Any) -> SampleSpec:
    settings = {"frames": 5, "trajectories": 3, "equilibrate_ps": 0.01, "every_ps": 0.02, "platform": "CPU"}
    return SampleSpec(sample=SampleConfig(**{**settings, **changes}))


def test_sample_divides_frames_over_trajectories() -> None:
    packed = [compose(BRINE, i) for i in range(3)]
    starts, about = [frames for frames, _ in packed], packed[0][1]
    frames = sample(starts, about, quick(), seed=4)
    assert list(frames["trajectory"]) == ["t00", "t00", "t01", "t01", "t02"]
    assert list(frames["time"]) == pytest.approx([20, 40, 20, 40, 20])
    for name in ("numbers", "molecules", "charges"):
        assert (frames.stacked(name) == starts[0][name]).all()
    for name in ("cell", "system", "temperature", "permittivity"):
        assert (frames[name] == starts[0][name]).all()
    again = sample(starts, about, quick(), seed=4)
    assert np.array_equal(frames["positions"], again["positions"])
    other = sample(starts, about, quick(), seed=5)
    assert np.abs(frames["positions"] - other["positions"]).max() > 0.01
    # trajectories differ beyond their packing: the same start with two numbers goes two ways
    twins = sample(starts[:1] * 2, about, quick(frames=2, trajectories=2), seed=4)
    assert np.abs(twins.of(0, "positions") - twins.of(1, "positions")).max() > 0.01


def test_ion_without_parameters_is_named() -> None:
    start, about = compose(System(salt="HCl", molality=1.7, solvent_molecules=32))
    with pytest.raises(UserError, match=r"no published parameters for H3O\+"):
        sample([start], about, quick(), seed=0)
    level = {"name": "atoms", "teacher": {"engine": "tblite"}, "student": {"r_max_A": 4.5}}
    systems = [{"salt": "NaCl", "molality": 2}, {"salt": "HCl", "molality": 2}, {}]
    campaign = campaign_from({"campaign": "x", "systems": systems, "levels": [level]}, "x.yaml")
    (problem,) = problems(campaign)
    assert problem.path == "systems.1.salt"
    assert "H3O+" in problem.allowed


def test_platform_that_is_not_there() -> None:
    start, about = compose(BRINE)
    names = [openmm.Platform.getPlatform(i).getName() for i in range(openmm.Platform.getNumPlatforms())]
    if "CUDA" in names:
        pytest.skip("this machine has the GPU platform that the test wants to miss")
    with pytest.raises(UserError, match="'CUDA' cannot be used here; available: auto, Reference"):
        sample([start], about, quick(platform="CUDA"), seed=0)


def test_unstable_dynamics_is_told() -> None:
    """A time step far beyond the O-H vibration blows the molecules up."""
    start, about = compose(BRINE)
    config = SampleConfig(timestep_fs=2.0, equilibrate_ps=0.0, every_ps=2.0).model_copy(update={"timestep_fs": 20.0})
    with pytest.raises(SimulationError, match="unstable"):
        list(run(start, about["molecule_species"], config, 5, (0, 0)))


def test_the_share_of_frames_that_is_asked_for_is_rattled_as_far_as_asked() -> None:
    frames = Frames.uniform(np.array([8, 1, 1] * 50), 8, positions=np.zeros((150, 3)))
    moved = rattled(frames, 0.25, 0.05, 0).stacked("positions")
    assert [bool(frame.any()) for frame in moved] == [False, False, False, True] * 2
    assert moved[3].std() == pytest.approx(0.05, rel=0.15)
    assert not np.array_equal(moved[3], moved[7])
    assert rattled(frames, 1.0, 0.05, 0)["positions"].any(axis=1).all()
