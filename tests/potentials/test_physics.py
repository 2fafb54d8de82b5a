"""The network and its sum with the baseline: gradients, symmetries, extensivity."""

import os
from collections.abc import Callable

import numpy as np
import pytest
import torch
from ase import Atoms
from ase.build import molecule

from saltern.config import StudentConfig
from saltern.errors import UserError
from saltern.frames import Frames
from saltern.potentials import Batch, Network, Potential, closest, save

SPECIES = (1, 8, 11, 17)
EDGE = 7.0
WALLS = [[1.6, 1.0, 0.0, 2.0], [1.0, 2.4, 2.2, 0.0], [0.0, 2.2, 3.6, 0.0], [2.0, 0.0, 0.0, 3.6]]
"""Distances in Å of which the two hydrogens of a water (1.5 Å) are inside."""


def brine(seed: int = 0, edge: float = EDGE, repeat: int = 1) -> Frames:
    """Six waters and a pair of ions on a jittered grid, all images of a cutoff beyond half the box included."""
    rng = np.random.default_rng(seed)
    atoms = Atoms(cell=[edge] * 3, pbc=True)
    sites = np.stack(np.meshgrid(*[[0.0, 0.5]] * 3), -1).reshape(-1, 3) * edge
    for site, kind in zip(sites, ["H2O"] * 6 + ["Na", "Cl"], strict=True):
        piece = molecule("H2O") if kind == "H2O" else Atoms(kind)
        piece.rotate(360 * rng.random(), rng.normal(size=3))
        piece.translate(site + rng.normal(scale=0.2, size=3))
        atoms += piece
    atoms = atoms.repeat(repeat)
    charges = np.select([atoms.numbers == 11, atoms.numbers == 17], [1.0, -1.0], 0.0)
    return Frames.uniform(
        atoms.numbers, 1, positions=atoms.positions, cell=np.asarray(atoms.cell), charges=charges, permittivity=78.3
    )


def about(kind: str = "coulomb") -> dict[str, object]:
    """What a potential's file says besides the network."""
    return {"baseline": kind, "closest": WALLS, "permittivities": {}}


SHAPE: dict[str, object] = {
    "r_max_A": 4.0, "layers": 2, "l_max": 2, "features": 4, "radial_width": 8, "correlation": 2,
}  # fmt: skip


NETWORKS = os.environ.get(
    "SALTERN_TEST_NETWORK",
    "equivariant; cartesian; equivariant, torch; cartesian, on pairs; equivariant, attention; equivariant, perceptron; "
    "cartesian, attention; cartesian, perceptron; unconstrained; unconstrained, attention; pair",
).split("; ")


@pytest.fixture(params=NETWORKS, autouse=True)
def network(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """Everything here holds for all networks, compiled where there is a compiler, and as operations of torch.

    It holds for splines of pairs, beneath a network and alone. And for networks of other packages: `test_backends` runs
    this file in their environments.
    """
    name, *way = request.param.split(", ")
    monkeypatch.setitem(SHAPE, "network", name)
    monkeypatch.setitem(SHAPE, "kernels", "torch" if way == ["torch"] else "auto")
    monkeypatch.setitem(SHAPE, "prior", "pair" if way == ["on pairs"] else "none")
    monkeypatch.setitem(SHAPE, "message", "attention" if way == ["attention"] else "sum")
    monkeypatch.setitem(SHAPE, "readout", "perceptron" if way == ["perceptron"] else "linear")


def potential(
    kind: str = "coulomb", *, dtype: torch.dtype = torch.float64, members: int = 1, **shape: int
) -> Potential:
    """A committee with random weights, its readout included."""
    config = StudentConfig.model_validate({**SHAPE, **shape})
    networks = []
    for seed in range(members):
        shifts = [-1.0, -2.0, -3.0, -4.0]
        network = Network(config, SPECIES, shifts=shifts, scale=1.0, neighbours=20.0, seed=seed, dtype=dtype)
        with torch.no_grad():
            draw = torch.Generator().manual_seed(seed)
            network.readout.copy_(torch.randn(network.readout.shape, generator=draw))
            if network.pair is not None:
                network.pair.coefficients.copy_(0.01 * torch.randn(network.pair.coefficients.shape, generator=draw))
        networks.append(network)
    return Potential(networks, about(kind))


def energy_at(model: Potential, frames: Frames, positions: np.ndarray, cell: np.ndarray | None = None) -> float:
    moved = frames.with_arrays(positions=positions)
    moved = moved if cell is None else moved.with_arrays(cell=cell[None])
    return float(model.evaluate(Batch.of(moved)).energy)


def rotation(seed: int = 3) -> np.ndarray:
    matrix, _ = np.linalg.qr(np.random.default_rng(seed).normal(size=(3, 3)))
    return matrix * np.sign(np.linalg.det(matrix))


@pytest.mark.parametrize("l_max", [0, 1, 2, 3])
@pytest.mark.parametrize("kind", ["none", "coulomb"])
def test_forces_are_minus_the_gradient(kind: str, l_max: int) -> None:
    model, frames, step = potential(kind, l_max=l_max), brine(), 1e-5
    forces = model.evaluate(Batch.of(frames)).forces.numpy()
    for atom, axis in [(0, 0), (1, 1), (5, 2), (18, 0), (19, 1)]:
        shift = np.zeros_like(frames["positions"])
        shift[atom, axis] = step
        up, down = (energy_at(model, frames, frames["positions"] + s * shift) for s in (1, -1))
        assert forces[atom, axis] == pytest.approx(-(up - down) / (2 * step), abs=5e-8)
    np.testing.assert_allclose(forces.sum(0), 0, atol=1e-10)


@pytest.mark.parametrize("kind", ["none", "coulomb"])
def test_stress_is_the_strain_derivative(kind: str) -> None:
    model, frames, step = potential(kind), brine(), 1e-5
    stress = model.evaluate(Batch.of(frames), stress=True).stress
    assert stress is not None
    cell, volume = frames["cell"][0], EDGE**3
    for a, b in [(0, 0), (1, 2), (2, 1)]:
        strain = np.zeros((3, 3))
        strain[a, b] = strain[b, a] = step if a == b else step / 2
        up, down = (
            energy_at(model, frames, frames["positions"] @ (np.eye(3) + s * strain), cell @ (np.eye(3) + s * strain))
            for s in (1, -1)
        )
        assert float(stress[0, a, b]) == pytest.approx((up - down) / (2 * step * volume), abs=1e-9)


Motion = Callable[[np.ndarray], np.ndarray]


@pytest.mark.parametrize(("dtype", "tolerance"), [(torch.float64, 1e-9), (torch.float32, 1e-4)])
@pytest.mark.parametrize("matrix", [rotation(), np.diag([1.0, -1.0, 1.0])], ids=["rotation", "mirror"])
def test_rotations_and_mirrors_turn_the_forces_with_them(
    matrix: np.ndarray, dtype: torch.dtype, tolerance: float
) -> None:
    model, frames = potential(dtype=dtype), brine()
    turned = frames.with_arrays(positions=frames["positions"] @ matrix.T, cell=frames["cell"] @ matrix.T)
    before, after = model.evaluate(Batch.of(frames), stress=True), model.evaluate(Batch.of(turned), stress=True)
    scale = float(before.forces.abs().max())
    if SHAPE["network"] == "unconstrained":
        # which has to learn it: test_training
        assert np.abs(after.forces.numpy() - before.forces.numpy() @ matrix.T).max() > 1e-3 * scale
        return
    assert float(after.energy) == pytest.approx(float(before.energy), rel=tolerance)
    np.testing.assert_allclose(after.forces, before.forces @ matrix.T, atol=tolerance * scale)
    assert before.stress is not None
    assert after.stress is not None
    np.testing.assert_allclose(after.stress[0], matrix @ before.stress[0].numpy() @ matrix.T, atol=tolerance)


def test_translation_and_wrapping_change_nothing() -> None:
    model, frames = potential(), brine()
    before = model.evaluate(Batch.of(frames))
    lattice = np.random.default_rng(1).integers(-2, 3, size=(len(frames["numbers"]), 3)) * EDGE
    moved = frames.with_arrays(positions=frames["positions"] + lattice + [0.3, -1.7, 2.9])
    after = model.evaluate(Batch.of(moved))
    assert float(after.energy) == pytest.approx(float(before.energy), abs=1e-9)
    np.testing.assert_allclose(after.forces, before.forces, atol=1e-9)


def test_atoms_of_an_element_are_interchangeable() -> None:
    model, frames = potential(), brine()
    order = np.random.default_rng(5).permutation(len(frames["numbers"]))
    shuffled = Frames(
        frames.offsets, {n: frames[n] if n in ("cell", "permittivity") else frames[n][order] for n in frames.arrays}
    )
    before, after = model.evaluate(Batch.of(frames)), model.evaluate(Batch.of(shuffled))
    assert float(after.energy) == pytest.approx(float(before.energy), abs=1e-9)
    np.testing.assert_allclose(after.forces, before.forces[order], atol=1e-9)


def test_a_supercell_has_eight_times_the_energy() -> None:
    model = potential()
    one, eight = (model.evaluate(Batch.of(brine(repeat=n)), stress=True) for n in (1, 2))
    assert float(eight.energy) == pytest.approx(8 * float(one.energy), rel=1e-9)
    np.testing.assert_allclose(eight.stress, one.stress, atol=1e-9)


def test_fragments_beyond_the_receptive_field_add_up() -> None:
    """Two layers of 4 Å see 8 Å."""
    model, frames = potential("none"), brine()
    cell = np.eye(3)[None] * 60.0
    near, far = frames.with_arrays(cell=cell), frames.with_arrays(cell=cell, positions=frames["positions"] + [25, 0, 0])
    both = Frames(
        np.array([0, 2 * len(frames["numbers"])]),
        {n: cell if n == "cell" else np.concatenate([near[n], far[n]]) for n in ("numbers", "positions", "cell")},
    )
    parts = [model.evaluate(Batch.of(f)) for f in (near, far)]
    whole = model.evaluate(Batch.of(both))
    assert float(whole.energy) == pytest.approx(sum(float(p.energy) for p in parts), abs=1e-10)
    np.testing.assert_allclose(whole.forces, np.concatenate([p.forces for p in parts]), atol=1e-10)


def test_energy_and_force_fade_to_nothing_at_the_cutoff() -> None:
    model = potential("none")
    pair = Frames.uniform(np.array([11, 17]), 1, positions=np.zeros((2, 3)), cell=np.eye(3) * 30)

    def at(distance: float) -> tuple[float, float]:
        moved = pair.with_arrays(positions=np.array([[0, 0, 0], [distance, 0, 0]]))
        found = model.evaluate(Batch.of(moved))
        return float(found.energy), float(found.forces.abs().max())

    apart, (inside, pull) = at(4.1), at(4.0 - 1e-4)
    assert apart[1] == 0
    assert inside == pytest.approx(apart[0], abs=1e-10)
    assert pull < 1e-6
    assert at(3.0)[1] > 1e-4, "within the cutoff there is a force to fade"


def test_systems_of_a_batch_do_not_see_each_other() -> None:
    model = potential(members=3)
    frames = [brine(0), brine(1, edge=7.5), brine(2)]
    alone = [model.evaluate(Batch.of(f), stress=True, spread=True) for f in frames]
    together = model.evaluate(Batch.of(Frames.concatenate(frames)), stress=True, spread=True)
    np.testing.assert_allclose(together.energy, torch.cat([a.energy for a in alone]), atol=1e-9)
    np.testing.assert_allclose(together.forces, torch.cat([a.forces for a in alone]), atol=1e-9)
    np.testing.assert_allclose(together.stress, torch.cat([a.stress for a in alone]), atol=1e-11)
    np.testing.assert_allclose(together.spread, torch.cat([a.spread for a in alone]), atol=1e-9)


def test_spread_is_the_standard_deviation_of_the_members_forces() -> None:
    committee, frames = potential(members=3), brine()
    batch = Batch.of(frames)
    forces = [Potential([n], about()).evaluate(batch).forces
              for n in potential(members=3)._networks]  # fmt: skip
    expected = np.stack(forces).std(axis=0)
    found = committee.evaluate(batch, spread=True)
    assert float(found.spread) == pytest.approx(np.linalg.norm(expected, axis=1).max())
    np.testing.assert_allclose(found.forces, forces[0], atol=1e-12)


def test_moving_atoms_with_a_kept_list_is_the_same_as_a_fresh_one() -> None:
    model, batch = potential(), Batch.of(brine())
    rng = np.random.default_rng(0)
    for _ in range(30):
        batch = batch.moved(batch.positions + torch.tensor(rng.normal(scale=0.05, size=batch.positions.shape)))
        kept, fresh = model.evaluate(batch), Potential(model._networks, about()).evaluate(batch)
        assert torch.equal(kept.energy, fresh.energy)
        assert torch.equal(kept.forces, fresh.forces)


def test_a_saved_potential_is_the_same_potential(tmp_path) -> None:  # type: ignore[no-untyped-def]
    model, batch = potential(dtype=torch.float32), Batch.of(brine())
    told = {**about(), "permittivities": {"NaCl-1": 78.3}}
    save(tmp_path / "m.safetensors", model._networks[0], told)
    save(tmp_path / "again.safetensors", model._networks[0], told)
    loaded = Potential.load([tmp_path / "m.safetensors"], device="cpu")
    assert torch.equal(loaded.evaluate(batch).forces, model.evaluate(batch).forces)
    assert torch.equal(loaded.evaluate(batch).energy, model.evaluate(batch).energy)
    assert loaded.permittivities == {"NaCl-1": 78.3}
    assert (tmp_path / "m.safetensors").read_bytes() == (tmp_path / "again.safetensors").read_bytes()


def test_files_that_are_not_potentials_are_refused_in_one_line(tmp_path) -> None:  # type: ignore[no-untyped-def]
    model, path = potential(), tmp_path / "m.safetensors"
    save(path, model._networks[0], about("none"))
    whole = path.read_bytes()
    for damage in (whole[:-100], b"hello", b""):
        path.write_bytes(damage)
        with pytest.raises(UserError, match="not a whole potential"):
            Potential.load([path])
    with pytest.raises(UserError, match="no such file"):
        Potential.load([tmp_path / "nowhere"])
    another = Network(StudentConfig(), SPECIES, shifts=[0.0] * 4, scale=1.0, neighbours=1.0)
    another.config = model._networks[0].config
    save(path, another, about("none"))
    with pytest.raises(UserError, match="its weights are not those"):
        Potential.load([path])
    path.write_bytes(whole)
    save(tmp_path / "other", model._networks[0], about())
    with pytest.raises(UserError, match="same committee"):
        Potential.load([path, tmp_path / "other"])


def test_an_unknown_element_is_named() -> None:
    frames = brine()
    numbers = frames["numbers"].copy()
    numbers[-1] = 35
    with pytest.raises(UserError, match="Br is unknown"):
        potential().evaluate(Batch.of(frames.with_arrays(numbers=numbers)))


def test_walls_stand_where_the_training_frames_end() -> None:
    """1.5 Å apart, 0.1 Å inside the wall of 1.6 Å: 80 eV/Å³ · (0.1 Å)³ and three times that over 0.1 Å."""
    found = closest(SPECIES, [(torch.tensor([[0, 0, 1.6], [0, 3.0, 0]]), torch.tensor([0, 1]), torch.tensor([0, 0]))])
    assert found[0][0] == pytest.approx(1.6)
    assert found[0][1] == found[1][0] == pytest.approx(3.0)
    assert found[2][3] == pytest.approx(1.66 + 1.02), "never met: the covalent radii of Na and Cl"
    pair = Frames.uniform(np.array([1, 1]), 1, positions=np.array([[0, 0, 0], [1.5, 0, 0]]), cell=np.eye(3) * 20)
    walled, bare = potential("none"), potential("none")
    bare._core._radii.zero_()
    parts = [model.evaluate(Batch.of(pair)) for model in (walled, bare)]
    assert float(parts[0].energy - parts[1].energy) == pytest.approx(0.08, abs=1e-12)
    assert float((parts[0].forces - parts[1].forces)[1, 0]) == pytest.approx(2.4, abs=1e-12)
