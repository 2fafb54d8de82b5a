"""What a label costs before any has been measured, and how many labels make a good job.

The figures are here, and not with the fit to measured labels (`saltern.labelling.cost`), because the number of jobs
follows from them: it must be the same whenever and wherever a campaign is read, or Snakemake would make labels again.
"""

from __future__ import annotations

from dataclasses import dataclass
from math import ceil

from saltern.config.moving import LevelTeacher
from saltern.config.stages import Cp2kTeacher, SevennetTeacher, StudentConfig, Teacher

JOB_OVERHEAD_S = 5.0
"""Processor time of a SLURM job around what it does: Snakemake starts twice (4.4 to 5.0 s measured)."""

JOB_S = 1800.0
"""Processor time that a label job is given (s). The overhead is then 0.3 %, and still below 1 % where the figures are
wrong by a factor of three; a cluster fills its gaps with jobs of this length, and the time limit is far away."""

MOST_FRAMES = 5000
"""Frames in one job at most, so that its memory stays below 1 GB and its file can be moved about."""

CUTOFF_EXPONENT = 0.7
"""Time grows with this power of the cutoff: 104, 125 and 166 CPU s at 600, 900 and 1200 Ry (revPBE-D3, 26 atoms). It is
less than the grid's own 3/2, since most Gaussians lie on coarser grids."""

SINGLE_ZETA = 0.25
"""Cost of the single-zeta basis, by the cost of the double-zeta one (a pair of runs at 120 and 280 Ry)."""


@dataclass(frozen=True)
class Figure:
    """CPU time of one frame (s) at a number of atoms and a cutoff, and how it grows with the number of atoms."""

    seconds: float
    atoms: int
    exponent: float
    cutoff_Ry: float | None = None
    """None where there is no grid."""


FIGURES = {
    ("tblite", "GFN1-xTB"): Figure(2.4, 98, 1.4),
    ("tblite", "GFN2-xTB"): Figure(3.0, 50, 1.4),
    ("sevennet", "SevenNet-MF-0-r2SCAN"): Figure(1.9, 98, 1.2),
    ("sevennet", "SevenNet-0"): Figure(1.6, 98, 1.2),
    ("cp2k", "gfn1-xtb"): Figure(1.2, 26, 1.4),
    ("cp2k", "revpbe-d3"): Figure(104.0, 26, 1.1, cutoff_Ry=600),
    ("cp2k", "blyp-d3"): Figure(104.0, 26, 1.1, cutoff_Ry=600),
    ("cp2k", "r2scan"): Figure(270.0, 26, 1.2, cutoff_Ry=280),
    ("cp2k", "dc-r2scan"): Figure(1100.0, 26, 1.2, cutoff_Ry=280),
    ("cp2k", "pbe0"): Figure(1100.0, 26, 1.2, cutoff_Ry=280),
    ("openmm", "spce-joung-cheatham"): Figure(3.2, 2558, 1.0),
    ("openmm", "spce-zhang"): Figure(3.2, 2558, 1.0),
}
"""Measured on one core of an AMD EPYC, Saltern's default settings, sodium chloride in 8 to 64 waters, each frame from
the atoms.

tblite 0.8: 0.53, 1.05, 1.6, 2.4 and 5.1 CPU s at 26, 50, 74, 98 and 148 atoms with GFN1; 1.7 and 3.0 s at 26 and 50
atoms with GFN2. sevenn 0.13: 0.38, 0.97, 1.9, 4.4 and 10.5 CPU s at 26, 50, 98, 194 and 386 atoms with SevenNet-MF-0;
0.38, 0.59, 1.3, 3.9 and 9.6 with SevenNet-0. CP2K 2023.1 at 26 atoms: 1.2 s (GFN1), 104 s (revPBE-D3, 600 Ry; lithium
chloride, 50 atoms: 198 s), 8.3 s for each of some 32 steps (r2SCAN, 280 Ry); the exponent of the others is that of
three steps at 26, 50 and 98 atoms (11.4, 21.3, 53.6 s at 280 Ry). BLYP is taken to cost what revPBE does. DC-r2SCAN
took 36 s a step before it was stopped; PBE0 is taken to cost the same. With GFN1, pure water costs a third of what a
box with ions does.
OpenMM 8.6 took 3.2 CPU s a picosecond for 2558 atoms (cutoff 9 Å, 4 fs)."""

STUDENT = StudentConfig()
STUDENT_STEP_S = 200e-6
"""CPU time of a step of dynamics of one atom (s) with the default student, its sums over neighbours compiled; without
that it is four times as long. Measured on a busy core: an evaluation took 150 µs an atom (some 200 atoms); dynamics of
the demo's student, 74 atoms, 122 µs, where this figure gives 108."""

UNMEASURED = 2.0
"""A label may cost this factor more or less than its figure: another machine, another build of the program."""

EXPONENT_ERROR = 0.3
"""Uncertainty (one standard deviation) of the exponents, which matters away from the sizes that were measured."""


def expected_seconds(teacher: Teacher, atoms: int, student: StudentConfig | None = None) -> float:
    """CPU time of the label of one frame (s) by the built-in figures; of one picosecond of a teacher that moves.

    Args:
        teacher: engine, method and settings.
        atoms: of the frame.
        student: where the teacher is another level's student, that; by default the default one.
    """
    if isinstance(teacher, LevelTeacher):
        return 1000 / teacher.timestep_fs * atoms * STUDENT_STEP_S * _relative_cost(student or STUDENT)
    figure = FIGURES[teacher.engine, teacher.method]
    seconds: float = figure.seconds * (atoms / figure.atoms) ** figure.exponent
    if isinstance(teacher, Cp2kTeacher) and figure.cutoff_Ry is not None:
        seconds *= (teacher.cutoff_Ry / figure.cutoff_Ry) ** CUTOFF_EXPONENT
        seconds *= SINGLE_ZETA if teacher.basis.startswith("SZV") else 1.0
    return seconds


def _relative_cost(student: StudentConfig) -> float:
    """What a student costs by the default one.

    Measured: 0.30 with one layer, 0.64 with 8 channels, 0.96 with l_max 1, 0.62 with a cutoff of 4 Å, 0.66 with two
    layers, 8 channels, l_max 1 and 7 Å. This is within a factor of 1.2 of them all.
    """
    width: float = student.features * (student.l_max + 1) / (STUDENT.features * (STUDENT.l_max + 1))
    reach: float = student.r_max_A / STUDENT.r_max_A
    return float(student.layers / STUDENT.layers * reach**2 * width**0.5)


def expected_memory_mb(teacher: Teacher, atoms: int) -> int:
    """Memory of a label job (MB), with room to spare.

    Python and its libraries take 0.2 GB. SevenNet took 0.7, 1.3, 2.1 and 3.3 GB at 26, 98, 194 and 386 atoms, CP2K's
    grids 0.9 and 1.8 GB at 26 and 50 atoms and 1200 Ry, most of it in proportion to the points of the grid; with exact
    exchange it is told to keep 2 GB of integrals. A student is given what a simulation is.

    Args:
        teacher: engine, method and settings.
        atoms: of a frame.
    """
    if isinstance(teacher, LevelTeacher):
        return 4000
    if isinstance(teacher, SevennetTeacher):
        return 1000 + 10 * atoms
    if not isinstance(teacher, Cp2kTeacher) or teacher.method == "gfn1-xtb":
        return 1000
    grid: float = 50 * atoms * (teacher.cutoff_Ry / 1200) ** 1.5
    exchange = 2000 if teacher.method in ("pbe0", "dc-r2scan") else 0
    return round(500 + grid + exchange)


def frames_per_job(teacher: Teacher, atoms: int, frames: int) -> int:
    """How many of a system's frames to label in one job, so that jobs take about `JOB_S` and are alike.

    Args:
        teacher: engine, method and settings.
        atoms: of a frame.
        frames: of the system.
    """
    jobs = max(1, round(frames * expected_seconds(teacher, atoms) / JOB_S))
    return min(ceil(frames / jobs), MOST_FRAMES)
