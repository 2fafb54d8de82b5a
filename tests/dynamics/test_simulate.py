"""Whole simulations: files, replicas, restarts, guards, sampling."""

from __future__ import annotations

import sys
import tracemalloc
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from saltern.config import SampleConfig, SampleSpec, SimulateConfig, SimulateSpec
from saltern.dynamics import Simulation, sample_with_potential, simulate
from saltern.dynamics.simulate import starting_frames
from saltern.errors import SimulationError, UserError
from saltern.frames import Frames
from saltern.potentials import Batch
from saltern.store import read_frames, read_metadata
from saltern.units import BOLTZMANN

ABOUT = {"id": "crystal", "system": {"seed": 3}}


def spec(**settings: Any) -> SimulateSpec:
    short = {"length_ps": 0.2, "equilibrate_ps": 0.05, "timestep_fs": 2, "segment_ps": 0.06, "thermostat_fs": 20}
    return SimulateSpec(simulate=SimulateConfig(**{**short, **settings}))


def start(crystal: Any, output: Path, temperature: float | None = None) -> Simulation:
    return Simulation(crystal.frames([300.0]), ABOUT, output, temperature)


def of_replica(frames: Frames, name: str) -> Frames:
    return frames.select(frames["trajectory"] == name)


def test_what_a_simulation_writes(crystal: Any, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    output = tmp_path / "r0000.h5"
    simulate([start(crystal, output)], crystal.potential(doubt=0.1), spec(segment_ps=0.05), range(2))
    frames, about = read_frames(output), read_metadata(output)
    assert [p.name for p in tmp_path.iterdir()] == ["r0000.h5"]
    assert "simulate crystal r0000, r0001: 125/125 steps (100 %)" in capsys.readouterr().err
    assert frames["trajectory"].tolist() == ["r0000"] * 20 + ["r0001"] * 20
    np.testing.assert_allclose(frames["time"][:20], np.arange(10, 201, 10))
    assert about["id"] == "crystal"
    assert about["simulate"]["simulate"]["timestep_fs"] == 2
    assert about["potentials"] == ["springs"]
    assert about["stopped"] == {"r0000": None, "r0001": None}
    positions = of_replica(frames, "r0000").stacked("positions")
    assert 0.02 < np.abs(positions - crystal.sites).mean() < 0.5
    kinetic = 2 * frames["kinetic_energy"] / (93 * BOLTZMANN)
    assert 150 < kinetic.mean() < 450
    total = frames["kinetic_energy"] + frames["potential_energy"]
    conserved = frames["conserved_energy"].reshape(2, 20)
    assert conserved.std(axis=1).max() < 0.1 * total.reshape(2, 20).std(axis=1).min()
    # with 20 steps between looks at the committee and 5 between frames, every fourth frame has a spread
    assert np.isfinite(frames["committee_spread"][:20]).tolist() == [False, False, False, True] * 5
    each = frames["force_spread"].reshape(40, 32)
    np.testing.assert_allclose(each.max(axis=1), frames["committee_spread"], rtol=1e-6)
    assert (np.isfinite(each).all(axis=1) == np.isfinite(frames["committee_spread"])).all()


def test_another_temperature_is_another_simulation_of_the_same_system(crystal: Any, tmp_path: Path) -> None:
    settings, starts = spec(length_ps=1.0), crystal.frames([300.0])
    for name, temperature in (("own", None), ("cold", 100.0), ("again", 100.0)):
        simulate([Simulation(starts, ABOUT, tmp_path / f"{name}.h5", temperature)], crystal.potential(), settings, [0])
    own, cold = read_frames(tmp_path / "own.h5"), read_frames(tmp_path / "cold.h5")
    assert set(own["temperature"]) == {300.0}
    assert set(cold["temperature"]) == {100.0}
    assert (set(cold["system"]), set(cold["permittivity"])) == ({"crystal"}, {78.3})
    np.testing.assert_array_equal(own["cell"], cold["cell"])
    assert 2 * cold["kinetic_energy"].mean() / (93 * BOLTZMANN) == pytest.approx(100, rel=0.3)
    scaled = (own["velocities"] / cold["velocities"]).ravel()
    assert scaled.std() > 1, "its random numbers are its own"
    assert (tmp_path / "cold.h5").read_bytes() == (tmp_path / "again.h5").read_bytes()


def test_at_an_absurd_temperature_it_keeps_what_came_before_the_crash(crystal: Any, tmp_path: Path) -> None:
    """Springs between neighbours keep no other atoms apart, and at a million degrees they meet soon."""
    settings = spec(equilibrate_ps=0, save_every_fs=2, timestep_fs=0.5, min_distance_A=0.8, length_ps=1.0)
    simulate([start(crystal, tmp_path / "r.h5", 1e6)], crystal.potential(), settings, range(2))
    kept, stopped = read_frames(tmp_path / "r.h5"), read_metadata(tmp_path / "r.h5")["stopped"]
    assert all("closer than min_distance_A = 0.8" in reason for reason in stopped.values())
    for name, reason in stopped.items():
        last = float(of_replica(kept, name)["time"][-1])
        assert 0 < float(reason.split()[1]) * 1000 - last <= 2
    assert len(kept) < 2 * 500
    assert np.isfinite(kept["positions"]).all()


def test_velocities_are_those_of_the_positions(crystal: Any, tmp_path: Path) -> None:
    output = tmp_path / "r.h5"
    simulate([start(crystal, output)], crystal.potential(), spec(save_every_fs=2, ensemble="nve"), [0])
    frames = read_frames(output)
    positions, velocities = frames.stacked("positions"), frames.stacked("velocities")
    np.testing.assert_allclose((positions[2:] - positions[:-2]) / 4, velocities[1:-1], atol=1e-5)


def test_nve_equilibrates_with_a_thermostat_and_then_keeps_its_energy(crystal: Any, tmp_path: Path) -> None:
    output = tmp_path / "r.h5"
    settings = spec(ensemble="nve", equilibrate_ps=0.5, timestep_fs=1)
    simulate([start(crystal, output)], crystal.potential(), settings, range(4))
    frames = read_frames(output)
    total = (frames["kinetic_energy"] + frames["potential_energy"]).reshape(4, -1)
    assert (total.std(axis=1) < 1e-3).all()
    # without a thermostat half of the initial kinetic energy would have become potential energy
    assert 2 * frames["kinetic_energy"].mean() / (93 * BOLTZMANN) == pytest.approx(300, rel=0.2)


@pytest.mark.parametrize("thermostat", ["bussi", "langevin", "nose-hoover"])
def test_a_replica_does_not_depend_on_its_neighbours(thermostat: str, crystal: Any, tmp_path: Path) -> None:
    for name, replicas in (("all", range(3)), ("alone", [1])):
        potential = crystal.potential(doubt=0.1)
        simulate([start(crystal, tmp_path / f"{name}.h5")], potential, spec(thermostat=thermostat), replicas)
    together, alone = (read_frames(tmp_path / f"{name}.h5") for name in ("all", "alone"))
    one, other = of_replica(together, "r0001"), of_replica(alone, "r0001")
    assert len(one) == 20
    assert set(one.arrays) == set(other.arrays)
    for field in one.arrays:
        np.testing.assert_array_equal(one[field], other[field])
    assert not np.allclose(one["positions"], of_replica(together, "r0002")["positions"])


@pytest.mark.parametrize(
    ("ensemble", "thermostat"), [("nvt", "bussi"), ("nve", "bussi"), ("nvt", "langevin"), ("nvt", "nose-hoover")]
)
@pytest.mark.parametrize("evaluations", [10, 40, 75, 110])
def test_an_interrupted_simulation_goes_on_to_the_same_bytes(
    ensemble: str, thermostat: str, evaluations: int, crystal: Any, tmp_path: Path
) -> None:
    settings = spec(ensemble=ensemble, thermostat=thermostat)
    whole, broken = tmp_path / "whole.h5", tmp_path / "broken.h5"
    undisturbed = crystal.potential(doubt=0.1)
    simulate([start(crystal, whole)], undisturbed, settings, range(2))
    killed, second = crystal.potential(doubt=0.1), crystal.potential(doubt=0.1)
    killed.spares = evaluations
    with pytest.raises(KeyboardInterrupt):
        simulate([start(crystal, broken)], killed, settings, range(2))
    assert not broken.exists()
    simulate([start(crystal, broken)], second, settings, range(2))
    assert broken.read_bytes() == whole.read_bytes()
    # segments of 30 steps that were finished are not run again
    done = max(0, (evaluations - 2) // 31) * 30
    assert second.evaluations <= undisturbed.evaluations - done


TEMPERATURES = (None, 200.0, 500.0)


def at_once(crystal: Any, place: Path, temperatures: tuple[float | None, ...] = TEMPERATURES) -> list[Simulation]:
    return [start(crystal, place / f"{kelvin}.h5", kelvin) for kelvin in temperatures]


def files(place: Path) -> dict[str, bytes]:
    assert not list(place.glob("*.journal"))
    return {path.name: path.read_bytes() for path in place.iterdir()}


def test_systems_side_by_side_do_what_each_does_alone(
    crystal: Any, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    potential = crystal.potential(doubt=0.1)
    simulate(at_once(crystal, tmp_path / "together"), potential, spec(), range(2))
    assert "simulate 3 systems: 125/125 steps (100 %)" in (said := capsys.readouterr().err)
    assert ", 3 move" in said
    steps = 125 + 5  # and once at the start of each segment, of which there are five
    assert potential.evaluations < steps + 3 * 5, "relaxed apart, moved in one batch"
    for kelvin in TEMPERATURES:
        simulate(at_once(crystal, tmp_path / "alone", (kelvin,)), crystal.potential(doubt=0.1), spec(), range(2))
    assert files(tmp_path / "together") == files(tmp_path / "alone")


@pytest.mark.parametrize("evaluations", [2, 40, 75, 110])
@pytest.mark.parametrize("behind", [0, 1])
def test_interrupted_systems_go_on_together_to_the_same_bytes(
    behind: int, evaluations: int, crystal: Any, tmp_path: Path
) -> None:
    """Also where one journal is a part behind, and where one system has stopped long before the end."""
    settings = spec(spread_every=5, max_spread_eV_A=1.25)
    simulate(at_once(crystal, tmp_path / "whole"), crystal.potential(doubt=1.0), settings, [0, 1, 2])
    killed = crystal.potential(doubt=1.0)
    killed.spares = evaluations
    broken = at_once(crystal, tmp_path / "broken")
    with pytest.raises(KeyboardInterrupt):
        simulate(broken, killed, settings, [0, 1, 2])
    for part in sorted((tmp_path / "broken/200.0.journal").glob("*.h5"))[-1:]:
        if behind:
            part.unlink()
    simulate(broken, crystal.potential(doubt=1.0), settings, [0, 1, 2])
    assert files(tmp_path / "broken") == files(tmp_path / "whole")
    assert read_frames(tmp_path / "whole/500.0.h5")["time"].max() < 100
    assert read_frames(tmp_path / "whole/200.0.h5")["time"].max() == 200


def test_a_system_without_a_frame_is_told_when_the_others_are_made(crystal: Any, tmp_path: Path) -> None:
    settings = spec(max_spread_eV_A=1.0, spread_every=1)
    both = at_once(crystal, tmp_path / "both", (5.0, 20000.0))
    for _ in range(2):  # the second time nothing is simulated again
        with pytest.raises(SimulationError, match=r"^crystal at 20000 K r0000 stopped in equilibration"):
            simulate(both, crystal.potential(doubt=1.0), settings, [0])
        assert len(read_frames(tmp_path / "both/5.0.h5")) == 20


def test_trajectories_are_never_all_in_memory(crystal: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Four times the frames take no more memory, neither while it runs nor when the file is made."""
    monkeypatch.setattr(sys.modules["saltern.dynamics.simulate"], "PART_BYTES", 200_000)

    def peak(length_ps: float) -> tuple[int, int]:
        output = tmp_path / f"{length_ps}.h5"
        settings = spec(length_ps=length_ps, save_every_fs=2, segment_ps=1000, equilibrate_ps=0)
        tracemalloc.start()
        simulate([start(crystal, output)], crystal.potential(), settings, range(16))
        highest = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
        return highest, output.stat().st_size

    peak(0.02)  # what is imported and cached the first time
    (short, _), (long, size) = peak(0.08), peak(0.32)
    assert size > 4_000_000
    assert long - short < size / 8


def test_a_journal_of_another_question_is_not_used(crystal: Any, tmp_path: Path) -> None:
    killed, other = crystal.potential(), crystal.potential()
    killed.spares = 100
    with pytest.raises(KeyboardInterrupt):
        simulate([start(crystal, tmp_path / "r.h5")], killed, spec(), [0])
    other.hashes = ("other springs",)
    simulate([start(crystal, tmp_path / "r.h5")], other, spec(), [0])
    assert other.evaluations > 125


def test_a_replica_that_the_committee_doubts_stops_alone(crystal: Any, tmp_path: Path) -> None:
    free, watched = tmp_path / "free.h5", tmp_path / "watched.h5"
    simulate([start(crystal, free)], crystal.potential(doubt=1.0), spec(spread_every=5), range(3))
    frames = read_frames(free)
    largest = frames["committee_spread"].reshape(3, -1).max(axis=1)
    limit = float(np.sort(largest)[-2:].mean())
    worst = f"r{largest.argmax():04d}"
    settings = spec(spread_every=5, max_spread_eV_A=limit)
    simulate([start(crystal, watched)], crystal.potential(doubt=1.0), settings, range(3))
    kept, stopped = read_frames(watched), read_metadata(watched)["stopped"]
    assert [name for name, reason in stopped.items() if reason] == [worst]
    first = int(np.argmax(of_replica(frames, worst)["committee_spread"] > limit))
    assert stopped[worst].startswith(f"at {0.01 * (first + 1):.4f} ps: the committee disagrees by")
    assert len(of_replica(kept, worst)) == first
    for name in stopped:
        expected = of_replica(frames, name)
        expected = expected.select(range(first)) if name == worst else expected
        np.testing.assert_array_equal(of_replica(kept, name)["positions"], expected["positions"])


def test_a_stopped_replica_stays_stopped_after_an_interruption(crystal: Any, tmp_path: Path) -> None:
    """The files of a disturbed and an undisturbed run agree to the byte, the reason included."""

    def run(name: str, spares: int) -> None:
        potential = crystal.potential(doubt=1.0)
        potential.spares = spares
        settings = spec(spread_every=5, max_spread_eV_A=1.25)
        simulate([start(crystal, tmp_path / name)], potential, settings, range(6))

    run("whole.h5", -1)
    with pytest.raises(KeyboardInterrupt):
        run("broken.h5", 105)
    run("broken.h5", -1)
    reasons = read_metadata(tmp_path / "whole.h5")["stopped"]
    assert 0 < sum(reason is not None for reason in reasons.values()) < 6
    assert (tmp_path / "broken.h5").read_bytes() == (tmp_path / "whole.h5").read_bytes()


def test_colliding_atoms_stop_it(dimer: Any, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """A spring without length pulls two atoms into each other; what came before is kept."""
    potential, frames = dimer(2.0, k=0.5, r0=0.0)
    settings = spec(equilibrate_ps=0, ensemble="nve", save_every_fs=4)
    simulate([Simulation(frames, ABOUT, tmp_path / "r.h5")], potential, settings, [0])
    kept, reason = read_frames(tmp_path / "r.h5"), read_metadata(tmp_path / "r.h5")["stopped"]["r0000"]
    assert "Ne 0 and Ar 1 are" in reason or "Ar 1 and Ne 0 are" in reason
    assert "closer than min_distance_A = 0.5" in reason
    step = kept.stacked("positions")[:, 1] - kept.stacked("positions")[:, 0] - [20, 0, 0]
    distances = np.linalg.norm(step, axis=1)
    assert (distances > 0.5).all()
    assert distances[-1] < 0.7
    assert float(reason.split()[1]) * 1000 - kept["time"][-1] <= 4
    assert f"dimer r0000 stopped {reason}" in capsys.readouterr().err


class Cliff:
    """Wraps a potential; where an atom is further than `edge` from where it began, its force is not a number."""

    def __init__(self, inner: Any, edge: float) -> None:
        self._inner, self._edge, self._origin = inner, edge, None

    def __getattr__(self, name: str) -> Any:
        return getattr(self._inner, name)

    def evaluate(self, batch: Any, **options: Any) -> Any:
        result = self._inner.evaluate(batch, **options)
        self._origin = batch.positions if self._origin is None else self._origin
        result.forces[(batch.positions - self._origin).norm(dim=1) > self._edge] = np.nan
        return result


def test_forces_that_are_not_finite_stop_it(crystal: Any, tmp_path: Path) -> None:
    cliff = Cliff(crystal.potential(), 0.3)
    simulate([start(crystal, tmp_path / "r.h5")], cliff, spec(equilibrate_ps=0), [0])
    kept, reason = read_frames(tmp_path / "r.h5"), read_metadata(tmp_path / "r.h5")["stopped"]["r0000"]
    assert reason.endswith("is not finite")
    assert "the force on" in reason
    assert 0 < len(kept) < 20
    assert np.isfinite(kept["positions"]).all()


def test_nothing_simulated_is_an_error(crystal: Any, tmp_path: Path) -> None:
    settings = spec(spread_every=1, max_spread_eV_A=1e-6)
    with pytest.raises(SimulationError, match=r"crystal r0000 stopped in equilibration, .* the committee disagrees"):
        simulate([start(crystal, tmp_path / "r.h5")], crystal.potential(doubt=1.0), settings, [0])
    assert not (tmp_path / "r.h5").exists()


def test_frames_further_apart_than_the_simulation_is_long_are_refused(crystal: Any, tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"save_every_fs: 500 is not allowed; allowed: at most length_ps, 200 fs"):
        simulate([start(crystal, tmp_path / "r.h5")], crystal.potential(), spec(save_every_fs=500), [0])


def test_replicas_start_from_the_last_frames_of_trajectories(crystal: Any) -> None:
    candidates = crystal.frames([300.0] * 5, ["t00", "t00", "t01", "t01", "t01"])
    candidates = candidates.with_arrays(time=np.array([0.0, 1.0, 0.0, 1.0, 2.0]))
    starts = starting_frames(candidates, [1, 2, 3])
    assert starts["time"].tolist() == [2.0, 1.0, 2.0]
    assert starts["trajectory"].tolist() == ["r0001", "r0002", "r0003"]


def sampling(**settings: Any) -> SampleSpec:
    chosen = {
        "engine": "potential", "potential": "p", "frames": 7, "trajectories": 3, "every_ps": 0.0333,
        "equilibrate_ps": 0.05, "timestep_fs": 2, **settings,
    }  # fmt: skip
    return SampleSpec(sample=SampleConfig(**chosen))


def test_candidate_frames(crystal: Any) -> None:
    frames = sample_with_potential(crystal.frames([300.0]), ABOUT, crystal.potential(), sampling())
    assert frames["trajectory"].tolist() == ["t00"] * 3 + ["t01"] * 2 + ["t02"] * 2
    np.testing.assert_allclose(frames["time"], [34, 68, 102, 34, 68, 34, 68])
    assert set(frames["temperature"]) == {300.0}
    assert set(frames["permittivity"]) == {78.3}
    assert frames["numbers"][:32].tolist() == crystal.numbers.tolist()
    positions = frames.stacked("positions")
    assert np.abs(positions[0] - positions[3]).max() > 0.05  # independent trajectories
    again = sample_with_potential(crystal.frames([300.0]), ABOUT, crystal.potential(), sampling())
    np.testing.assert_array_equal(again["positions"], frames["positions"])


def test_a_packed_box_is_cold_when_its_frames_are_taken(crystal: Any) -> None:
    """Half of the energy of springs at 300 K is kinetic and as much potential; this start has some seven times that."""

    def energy(frames: Frames) -> float:
        return float(crystal.potential().evaluate(Batch.of(frames)).energy.mean())

    start = crystal.frames([300.0])
    start = start.with_arrays(positions=start["positions"] + np.random.default_rng(0).normal(scale=0.25, size=(32, 3)))
    thermal = 93 / 2 * BOLTZMANN * 300.0
    assert energy(start) > 7 * thermal
    frames = sample_with_potential(start, ABOUT, crystal.potential(), sampling(equilibrate_ps=0.8, frames=30))
    assert 0.7 * thermal < energy(frames) < 1.5 * thermal


def test_too_few_candidate_frames_are_an_error(crystal: Any) -> None:
    with pytest.raises(SimulationError, match=r"crystal t0\d stopped .* the committee disagrees"):
        sample_with_potential(crystal.frames([300.0]), ABOUT, crystal.potential(doubt=50.0), sampling())
