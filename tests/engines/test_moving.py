"""The classical teacher that moves: rigid water, forces that are those of its energy, the same rest after any stop."""

import numpy as np
import pytest

from saltern.config import BiasConfig, OpenmmTeacher, System
from saltern.engines import ClassicalTeacher
from saltern.engines.forcefield import NM, TEACHERS, build_system, context_of
from saltern.frames import Frames
from saltern.systems import compose
from saltern.units import BOLTZMANN, KJ_PER_MOL


@pytest.fixture(scope="module")
def box() -> tuple[Frames, list[str]]:
    frames, about = compose(System(salt="NaCl", molality=2.8, temperature=300, solvent_molecules=40))
    return frames, about["molecule_species"]


def energy(frames: Frames, species: list[str], positions: np.ndarray) -> float:
    import openmm
    from openmm import unit

    system = build_system(frames, species, 10.0, TEACHERS["spce-zhang"], 3.008)
    context = context_of(system, openmm.VerletIntegrator(0.001), "Reference")
    context.setPositions(positions * NM)
    return context.getState(energy=True).getPotentialEnergy().value_in_unit(unit.kilojoule_per_mole) * KJ_PER_MOL


def test_forces_on_ions_are_those_of_the_energy(box):
    frames, species = box
    trajectory = ClassicalTeacher(OpenmmTeacher(method="spce-zhang")).begun(frames, species, (0, 0))
    trajectory.advance(200.0)
    positions, forces, bias = trajectory.point()
    assert bias is None
    for atom, axis in ((-1, 0), (-2, 1), (-3, 2)):
        step = np.zeros_like(positions)
        step[atom, axis] = 1e-3
        slope = (energy(frames, species, positions + step) - energy(frames, species, positions - step)) / 2e-3
        assert forces[atom, axis] == pytest.approx(-slope, abs=2e-3)


def test_water_is_rigid_and_its_mass_is_kept(box):
    frames, species = box
    trajectory = ClassicalTeacher(OpenmmTeacher()).begun(frames, species, (0, 0))
    trajectory.advance(1000.0)
    oxygen, one, two = trajectory.point()[0][:120].reshape(-1, 3, 3).transpose(1, 0, 2)
    for first, second, length in ((oxygen, one, 1.0), (oxygen, two, 1.0), (one, two, 1.63298)):
        np.testing.assert_allclose(np.linalg.norm(first - second, axis=1), length, atol=1e-4)
    heavy, own = (build_system(frames, species, 10.0, TEACHERS["spce-zhang"], mass) for mass in (3.008, None))
    masses = [np.array([s.getParticleMass(i)._value for i in range(s.getNumParticles())]) for s in (heavy, own)]
    np.testing.assert_allclose(masses[0][:120].reshape(-1, 3).sum(axis=1), masses[1][:120].reshape(-1, 3).sum(axis=1))
    assert masses[0][1] == 3.008
    np.testing.assert_array_equal(masses[0][120:], masses[1][120:])


def test_ions_have_the_parameters_of_the_method(box):
    frames, species = box
    found = {}
    for method in ("spce-zhang", "spce-joung-cheatham"):
        system = build_system(frames, species, 10.0, TEACHERS[method])
        nonbonded = next(force for force in system.getForces() if force.getName() == "NonbondedForce")
        found[method] = [
            [v._value for v in nonbonded.getParticleParameters(i)] for i in (0, 1, len(frames["numbers"]) - 1)
        ]
    for oxygen, hydrogen, _ in found.values():
        np.testing.assert_allclose(oxygen, [-0.8476, 0.3166, 0.650])
        assert hydrogen[0] == 0.4238
    # epsilon 0.1 kcal/mol and sigma 4.401 Å for chloride, as the table of the lattice constant 5.92 Å has them
    np.testing.assert_allclose(found["spce-zhang"][2], [-1.0, 0.4401, 0.4184])
    np.testing.assert_allclose(found["spce-joung-cheatham"][2], [-1.0, 0.4830453, 0.05349244])


def test_the_rest_of_a_trajectory_is_the_same_after_a_stop(box):
    frames, species = box
    teacher = ClassicalTeacher(OpenmmTeacher())
    first = teacher.begun(frames, species, (3, 1))
    first.advance(400.0)
    state = first.state()
    ends = []
    for _ in range(2):
        rest = teacher.resumed(frames, species, (3, 1), state)
        rest.advance(400.0)
        ends.append(rest.point())
    np.testing.assert_array_equal(ends[0][0], ends[1][0])
    np.testing.assert_array_equal(ends[0][1], ends[1][1])
    other = teacher.begun(frames, species, (3, 2))
    other.advance(400.0)
    assert np.abs(other.point()[0] - teacher.resumed(frames, species, (3, 1), state).point()[0]).max() > 0.1


def test_a_bias_moves_the_ions_and_is_no_part_of_their_forces(box):
    """Two sodium and two chloride ions, which a deep well draws to the distance of its middle."""
    frames, species = box
    well = BiasConfig(distance_A=4.5, width_A=0.5, depth_kT=12)
    teacher = ClassicalTeacher(OpenmmTeacher(bias=well))
    trajectory = teacher.begun(frames, species, (0, 0))
    trajectory.advance(4000.0)
    positions, forces, bias = trajectory.point()
    edges = np.diag(frames["cell"][0])
    apart = positions[frames["numbers"] == 11][:, None] - positions[frames["numbers"] == 17][None, :]
    distances = np.linalg.norm(apart - edges * np.rint(apart / edges), axis=-1)
    depth = 12 * BOLTZMANN * 300
    in_reach = distances[distances < 0.49 * edges.min()]
    assert bias == pytest.approx(-(depth * np.exp(-((in_reach - 4.5) ** 2) / (2 * 0.5**2))).sum(), rel=1e-4)
    assert bias < -2 * depth
    at_rest = ClassicalTeacher(OpenmmTeacher()).begun(frames, species, (0, 0))
    at_rest._context.setPositions(positions * NM)
    np.testing.assert_allclose(forces, at_rest.point().forces, atol=2e-3)
    whole = trajectory._context.getState(forces=True).getForces(asNumpy=True)._value * NM * KJ_PER_MOL
    assert np.abs(whole - forces)[frames["numbers"] > 8].max() > 0.02
    np.testing.assert_allclose((whole - forces)[frames["numbers"] <= 8], 0, atol=2e-3)


def test_labels_from_before_there_was_a_bias_are_those_of_a_teacher_without():
    assert "bias" not in ClassicalTeacher(OpenmmTeacher()).settings
