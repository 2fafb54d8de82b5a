"""A page's worth of made-up numbers: smooth formulas and seeded noise, results of nothing."""

from types import SimpleNamespace

import numpy as np
import pytest

from saltern.frames import Frames
from saltern.report.data import (
    Calibration,
    CostRow,
    CrystalRow,
    Growth,
    HealthRow,
    HeldOutError,
    IonPair,
    LearningCurve,
    LedgerRow,
    LevelData,
    MeanForceCurve,
    Measured,
    MemberRow,
    Parity,
    ReportData,
    SystemRow,
)
from saltern.report.properties import curves, property_rows
from saltern.report.snapshot import snapshot

FORCE_SCALE = {"H": 0.9, "O": 1.2, "Li": 0.5, "Na": 0.4, "Cl": 0.45}
PEAKS = {"Li-O": 1.97, "Na-O": 2.42, "Cl-O": 3.17, "O-O": 2.79, "Li-Cl": 2.37, "Na-Cl": 2.85, "Li-Li": 3.5,
         "Na-Na": 3.9, "Cl-Cl": 5.2}  # fmt: skip
REFUSED = {1: {"scf-not-converged": 2}, 6: {"large-force": 1}}
NUMBERS = {"Li": 3, "Na": 11, "Cl": 17}


def systems():
    found = []
    for salt in ("NaCl", "LiCl"):
        for pairs in (1, 2):
            for temperature in (298.15, 350.0):
                name = f"{salt}-{len(found):06x}"
                cation = salt[:2]
                found.append(
                    SystemRow(
                        id=name,
                        salt=salt,
                        solvent="water",
                        role="test" if (salt, pairs, temperature) == ("LiCl", 2, 350.0) else "train",
                        molality=round(pairs / 24 * 55.508, 3),
                        temperature=temperature,
                        counts={cation: pairs, "Cl": pairs, "water": 24},
                        box_edge=9.1 + 0.12 * pairs + 0.0006 * (temperature - 298.15),
                        density=1.02 + 0.06 * pairs - 0.0005 * (temperature - 298.15),
                        density_source="made up for this page: density correlation",
                        permittivity=78.4 if temperature < 300 else 62.0,
                        permittivity_source="made up for this page: permittivity of water",
                    )
                )
    return tuple(found)


def number(value, error=None, unit=""):
    return {"value": value, "error": error, "unit": unit}


def measured(system, order):
    """What `observe` would have written."""
    rng = np.random.default_rng(order)
    cation = system.salt[:2]
    r = np.arange(0.025, system.box_edge / 2, 0.05)
    rdf = []
    for a, b in ((cation, cation), (cation, "Cl"), (cation, "O"), ("Cl", "Cl"), ("Cl", "O"), ("O", "O")):
        peak = PEAKS[f"{a}-{b}"]
        hydration = b == "O"
        width = (0.11 if hydration else 0.2) * np.sqrt(system.temperature / 298.15)
        height = (6.0 if a == "Li" else 3.5) if hydration else 1.5
        error = (0.02 if hydration else 0.12) * np.sqrt(peak / np.maximum(r, 1.5))
        g = height * np.exp(-0.5 * ((r - peak) / width) ** 2) + 1 / (1 + np.exp(-(r - peak - 0.9) / 0.18))
        error *= g > 0.01
        g = np.maximum(0, g + error * rng.normal(size=len(r)))
        rdf.append(
            {
                "pair": [a, b],
                "r": {"values": r.tolist(), "unit": "Å"},
                "g": {"values": g.tolist(), "error": error.tolist(), "unit": ""},
                "peak_position": number(round(peak + 0.01 * rng.normal(), 4), 0.012, "Å"),
                "peak_height": number(round(float(g.max()), 3), 0.11),
                "remark": "",
            }
        )
    coordination = [
        {"centre": a, "neighbour": b, **number(*value), "cutoff": number(cutoff, unit="Å"), "remark": remark}
        for a, b, value, cutoff, remark in (
            (cation, "O", (4.3 if cation == "Li" else 5.6, 0.14), 2.9, ""),
            ("Cl", "O", (6.7, 0.2), 3.8, ""),
            (cation, "Cl", (None,), None, "no first minimum of g(r) above the noise"),
        )
    ]
    diffusion = []
    for species, at_25 in ((cation, 1.0 if cation == "Li" else 1.25), ("Cl", 1.7), ("water", 2.0)):
        value = at_25 * np.exp(0.019 * (system.temperature - 298.15)) * (1 - 0.06 * system.molality)
        believed = not (system.temperature > 300 and species == cation)
        diffusion.append(
            {
                "species": species,
                "atom": "O" if species == "water" else species,
                "uncorrected": number(0.8 * value, 0.11, "1e-9 m²/s"),
                "corrected": number(value, 0.11, "1e-9 m²/s"),
                "window": {"start": 2.0, "end": 20.0, "unit": "ps"},
                "slope": number(0.97 if believed else 0.72, 0.03),
                "diffusive": believed,
                "remark": "" if believed else "not yet diffusive: log-log slope 0.72 from 2 to 20 ps",
            }
        )
    return {
        "replicas": 2,
        "drivers": {"r0000": 0, "r0001": 0},
        "length": number(100.0, unit="ps"),
        "rdf": rdf,
        "coordination": coordination,
        "diffusion": diffusion,
        "drift": {},
    }


def frames_of(system, order):
    """Ions and water molecules on a grid, thrown about by whole cells as unwrapped positions are."""
    rng = np.random.default_rng(100 + order)
    cation, pairs = NUMBERS[system.salt[:2]], system.counts["Cl"]
    sites = rng.permutation(np.stack(np.meshgrid(np.arange(4), np.arange(3), np.arange(3)), axis=-1).reshape(-1, 3))[
        : 24 + 2 * pairs
    ]
    centres = (sites + 0.5) / (4, 3, 3) * system.box_edge + rng.normal(scale=0.2, size=sites.shape)
    centres += rng.integers(-2, 3, sites.shape) * system.box_edge
    water = np.array([[0.0, 0, 0], [0.76, 0.59, 0], [-0.76, 0.59, 0]])
    rotations = np.linalg.qr(rng.normal(size=(24, 3, 3)))[0]
    positions = np.concatenate([centres[: 2 * pairs], (centres[2 * pairs :, None] + water @ rotations).reshape(-1, 3)])
    return Frames.uniform(
        np.array([cation] * pairs + [17] * pairs + [8, 1, 1] * 24),
        1,
        positions=positions,
        cell=np.eye(3) * system.box_edge,
        charges=np.array([1.0] * pairs + [-1.0] * pairs + [0.0] * 72),
        molecules=np.concatenate([np.arange(2 * pairs), 2 * pairs + np.arange(72) // 3]),
        system=system.id,
        time=50000.0,
    )


def level(rows):
    rng = np.random.default_rng(7)
    force_parity = []
    for element, scale in FORCE_SCALE.items():
        reference = scale * rng.normal(size=6000 if element in "OH" else 500)
        force_parity.append(Parity(element, reference, reference + 0.04 * rng.standard_t(5, size=len(reference))))
    energy_parity = []
    for row in rows[:4]:
        reference = 0.004 * rng.normal(size=12)
        energy_parity.append(Parity(row.id, reference, reference + 0.0005 * rng.normal(size=12)))
    epochs, r = np.arange(5, 305, 5), np.linspace(2.6, 12, 200)
    return LevelData(
        name="atoms",
        methods=("GFN1-xTB (tblite 0.8.0)",),
        method_cpu_seconds={"GFN1-xTB (tblite 0.8.0)": 5200.0},
        root_hash="0123456789abcdef" * 4,
        ledger=tuple(
            LedgerRow(
                row.id,
                30,
                30 - 2 * (i == 1) - (i == 6),
                {"scf-not-converged": 2} if i == 1 else {"large-force": 1} if i == 6 else {},
                650.0,
            )
            for i, row in enumerate(rows)
        ),
        errors=(
            HeldOutError("energy", Measured(0.52, 0.06), Measured(0.41, 0.05), 4.1, "meV/atom", 48),
            HeldOutError(
                "force",
                Measured(51.2, 1.1),
                Measured(37.1, 0.8),
                1030.0,
                "meV/Å",
                13500,
                Measured(1010.0, 12.0),
                Measured(28.0, 0.9),
            ),
            *(
                HeldOutError(f"force on {e}", Measured(40 + 10 * s, 2.0), Measured(30.0, 1.0), 1000 * s, "meV/Å", 1500)
                for e, s in FORCE_SCALE.items()
            ),
        ),
        environments=(
            HeldOutError("force on free ions", Measured(44.0, 3.0), Measured(31.0, 2.0), 610.0, "meV/Å", 900),
        ),
        calibration=Calibration(
            Measured(1.83, 0.07),
            Measured(0.61, 0.02),
            tuple((s, Measured(1.9 * s**0.9, 0.3 + 0.05 * s)) for s in np.geomspace(8, 90, 10)),
            24,
        ),
        members=(
            MemberRow("m0000", Measured(51.2, 1.1), Measured(0.051, 0.001), 0.0, 300),
            MemberRow("m0001", Measured(52.0, 1.2), Measured(0.052, 0.001), 0.0625, 180, 150, "made up"),
            MemberRow("m0002", Measured(1009.0, 12.0), Measured(1.0, 0.01), 1.0, 300, unmoved=("body.radial",)),
        ),
        force_parity=tuple(force_parity),
        energy_parity=tuple(energy_parity),
        learning=tuple(
            LearningCurve(f"m000{m}", epochs, 0.05 + 0.5 * np.exp(-epochs / (35 + 4 * m)) + 0.004 * rng.random(60))
            for m in range(3)
        ),
        curves=tuple(c for i, row in enumerate(rows) for c in curves(row, measured(row, i))),
        properties=tuple(p for i, row in enumerate(rows) for p in property_rows(row, measured(row, i))),
        health=tuple(
            HealthRow(
                row.id,
                2,
                100.0 - 58 * (i == 5),
                Measured(0.012 * (-1) ** i, 0.004),
                Measured(row.temperature + 0.4, 1.2),
                0.31 + 0.05 * i,
                "committee spread 5.20 eV/Å above 5 at 42.1 ps" if i == 5 else "",
                Measured(0.012 + 0.1 * (i == 3), 0.004),
                Measured(62.0 + 40 * (i == 3), 3.0),
                Measured(0.011 + 0.24 * (i == 3), 0.006),
            )
            for i, row in enumerate(rows)
        ),
        crystals=tuple(
            CrystalRow(
                "NaCl",
                lattice,
                72.0,
                Measured(5.9 + n / 3, 0.01),
                Measured(6.0 * n - 17.0, 0.4),
                np.linspace(2.5, 5, 60),
                6.0 * n - 17 + 20 * np.linspace(-0.4, 2.1, 60) ** 2,
                np.full(60, 0.5),
            )
            for n, lattice in enumerate(("rocksalt", "zincblende", "CsCl"))
        ),
        ion_pairs=(
            IonPair(
                MeanForceCurve("", ("Na", "Cl"), r, np.cos(3 * r) - 3, np.cos(3 * r), np.full(len(r), 0.02)),
                *(
                    (Measured(place, 0.01), Measured(value, 0.02))
                    for place, value in ((2.9, -0.6), (3.6, 2.7), (5.2, -0.6))
                ),
            ),
        ),
        growth=(
            Growth(rows[0].id, 2.0, (np.array([16, 14, 13, 13]), np.array([17, 9, 4, 0])), (True, False)),
            Growth(rows[1].id, 2.0, (np.array([0, 2, 1, 0]),), (False,)),
        ),
        audit="no crystal in any of 96 frames & more\n",
        films=tuple((snapshot(frames_of(row, i)),) for i, row in enumerate(rows)),
        spec={
            "simulate": {"length_ps": 50.0, "timestep_fs": 0.5},
            "train": {"train": {"epochs": 300, "energy_weight": 1.0, "force_weight": 100.0}, "student": {}},
        },
    )


def sample():
    rows = systems()
    return ReportData(
        campaign="made-up-numbers",
        systems=rows,
        levels=(level(rows),),
        cost=(
            CostRow("compose", 8, 9.0, 12.0, 210.0),
            CostRow("sample", 8, 640.0, 350.0, 380.0),
            CostRow("label", 16, 5200.0, 2900.0, 260.0),
            CostRow("train", 3, 9100.0, 9400.0, 1350.0),
            CostRow("simulate", 16, 15200.0, 15800.0, 980.0),
        ),
        versions={"saltern": "0.0.0", "numpy": "0.0"},
    )


@pytest.fixture(scope="session")
def data():
    return sample()


@pytest.fixture(scope="session")
def made():
    """The parts from which other tests write files."""
    return SimpleNamespace(systems=systems(), measured=measured, frames_of=frames_of)
