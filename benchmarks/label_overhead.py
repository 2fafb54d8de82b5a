"""What labelling costs beyond the engine: the processor time of a label job minus what its labels say they took.

    python benchmarks/label_overhead.py [FRAMES]

Boxes of 16 waters, pure and with one NaCl, with GFN1-xTB. FRAMES frames (100) are labelled into an empty store; then
the same frames are asked for again, which is all look-ups. Imports, paid once a job, are told apart.
"""

from __future__ import annotations

import contextlib
import io
import sys
import tempfile
from pathlib import Path

import numpy as np

from saltern.config import LabelConfig, LabelSpec, System, TbliteTeacher
from saltern.engines import cpu_time
from saltern.frames import Frames
from saltern.labelling import label_batch
from saltern.store import LabelStore, read_frames
from saltern.systems import compose


def candidates(system: System, frames: int) -> Frames:
    """The packed box of a system, rattled anew in every frame."""
    box, _ = compose(system)
    rng = np.random.default_rng(0)
    return Frames.uniform(
        box["numbers"],
        frames,
        positions=box["positions"] + rng.normal(0, 0.05, (frames, *box["positions"].shape)),
        cell=box["cell"][0],
        charges=box["charges"],
        molecules=box["molecules"],
        system=system.id,
        trajectory="t0",
        time=np.arange(frames) * 500.0,
        temperature=298.15,
        permittivity=78.3,
    )


def labelled(box: Frames, store: LabelStore, output: Path) -> float:
    """Processor time of a label job (s)."""
    spec = LabelSpec(teacher=TbliteTeacher(), label=LabelConfig())
    start = cpu_time()
    with contextlib.redirect_stderr(io.StringIO()):
        label_batch(box, range(len(box)), spec, store, output, "benchmark")
    return cpu_time() - start


def main() -> None:
    """Print one row a box."""
    frames = int(sys.argv[1]) if len(sys.argv) > 1 else 100
    with tempfile.TemporaryDirectory() as name:
        place = Path(name)
        warm = labelled(
            candidates(System(solvent_molecules=2, density=0.3), 1), LabelStore(place / "w"), place / "w.h5"
        )
        print(f"imports and a first label of two waters: {warm:.2f} CPU s")
        print(f"{'box':>12} {'atoms':>6} {'engine (ms)':>12} {'beyond (ms)':>12} {'share':>7} {'look-up (ms)':>13}")
        for what, salt, molality in (("water", None, 0.0), ("one NaCl", "NaCl", 3.47)):
            box = candidates(System(salt=salt, molality=molality, solvent_molecules=16), frames)
            store, output = LabelStore(place / what), place / f"{what}.h5"
            first = labelled(box, store, output)
            engine = float(read_frames(output)["cpu_seconds"].sum())
            again = labelled(box, store, output)
            each = [1000 * seconds / frames for seconds in (engine, first - engine, again)]
            numbers = f"{each[0]:12.1f} {each[1]:12.2f} {each[1] / each[0]:7.2%} {each[2]:13.2f}"
            print(f"{what:>12} {box.atom_counts[0]:6d} {numbers}")


if __name__ == "__main__":
    main()
