"""The command that proves what a potential was not shown: audit."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Iterator, Sequence
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from saltern.cli.arguments import add_workers, workers_of
from saltern.errors import UserError
from saltern.frames import evenly
from saltern.text import aligned

if TYPE_CHECKING:
    import pandas as pd

    from saltern.frames import Array, Frames
    from saltern.observables import Findings, Known
    from saltern.store import FrameReader, Release, Workers

_AUDIT = """\
Looks at every accepted frame of a dataset release, of all splits, and says how crystalline the most crystalline one is:
ions in the largest solid-like cluster of the cations' sub-lattice, ions with an octahedron of counter-ions, ions in the
largest cluster in contact, and the largest structure factor. The rows `planted` are a control: one frame of the system
after 64 of its ions were put into a cube of rocksalt, which must be seen.

With trajectories it says how far the surroundings of their ions are from the nearest ones that were trained on, as the
root mean square relative difference of the distances to twelve neighbours of either sign, and compares that with frames
held out from the same dataset: a crystal that was not in the data is far from all of them.

Exit code: 0 no crystal in the dataset, 1 there is one, 2 the input is wrong.
"""

ENVIRONMENTS = 200_000
"""Surroundings of ions that trajectories are compared with; more would hardly be nearer."""
CONTACT_FRAMES = 200
"""Frames of a system from which it is told which ions touch."""
SHARE = 100
"""Frames that a worker looks at before the progress is told; a second or two."""


def add_to(commands: Any) -> None:
    """Add the parser of `saltern audit`."""
    audit = commands.add_parser(
        "audit",
        help="prove that no crystal is in a dataset, and that one in a trajectory is new",
        description=_AUDIT,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    audit.add_argument("release", type=Path, metavar="RELEASE", help="directory of a dataset release")
    audit.add_argument("--trajectory", type=Path, nargs="+", default=[], metavar="FILE", help="trajectories (.h5)")
    audit.add_argument(
        "--contact",
        type=float,
        metavar="A",
        help="distance within which a cation and an anion touch (default: first minimum of their g(r), by system)",
    )
    audit.add_argument(
        "--samples", type=int, default=50, metavar="N", help="frames of a trajectory that are compared (default: 50)"
    )
    add_workers(audit)
    audit.set_defaults(run=_audit)


def _audit(options: argparse.Namespace) -> None:
    from saltern.store import open_release

    if options.contact is not None and not options.contact > 0:
        raise UserError(f"--contact {options.contact:g}: above 0")
    if options.samples < 1:
        raise UserError(f"--samples {options.samples}: at least 1")
    release, workers = open_release(options.release), workers_of(options)
    rows = release.index[release.index["accepted"]]
    found: dict[tuple[str, str], Findings] = {}
    for system, of_system in rows.groupby("system", sort=True):
        found |= _looked_at(release, str(system), of_system, options.contact, workers)
    print(_table(found), end="\n\n")
    if options.trajectory:
        _compare(release, options.trajectory, options.samples, options.contact)
    seeded = _seeded(release)
    crystals = _verdict([f for (system, split), f in found.items() if split != "planted" and system not in seeded])
    if seeded:
        print(f"not counted, for they start with a crystal and are test only: {', '.join(seeded)}")
    sys.exit(1 if crystals else 0)


def _seeded(release: Release) -> list[str]:
    """Systems of the release that were given a crystal to start with, which none is that is trained on."""
    systems = release.manifest["systems"]
    return [name for name, about in systems.items() if about.get("system", {}).get("seed_crystal")]


def _looked_at(
    release: Release, system: str, rows: pd.DataFrame, contact: float | None, workers: Workers
) -> dict[tuple[str, str], Findings]:
    """What was found in every split of a system, and in one of its frames with a crystal put in."""
    from saltern.observables import Findings, contact_of, planted
    from saltern.progress import track

    sample = _frames(release, rows.iloc[evenly(len(rows), CONTACT_FRAMES)])
    touching = contact if contact is not None else contact_of(sample)
    found: dict[tuple[str, str], Findings] = {}
    for split, chosen in rows.groupby("split", sort=False):
        reader = release.reader_of(chosen)
        shares = [reader.subset(range(i, min(i + SHARE, len(reader)))) for i in range(0, len(reader), SHARE)]
        found[system, str(split)] = total = Findings()
        streamed = workers.stream(partial(examined, contact=touching), shares)
        for share in track(streamed, f"audit {system} {split}", len(shares), unit="share"):
            total.merge(share)
    control = None if touching is None else planted(sample.select([0]), touching)
    if control is not None:
        found[system, "planted"] = Findings()
        found[system, "planted"].add(control, touching)
    return found


def examined(reader: FrameReader, contact: float | None) -> Findings:
    """What is found in some frames of one system; for worker processes."""
    from saltern.observables import AUDITED, Findings

    found = Findings()
    for batch in reader.batches(names=AUDITED):
        found.add(batch, contact)
    return found


def _frames(release: Release, rows: pd.DataFrame) -> Frames:
    """Frames of some rows of the index, in memory."""
    from saltern.observables import AUDITED

    return release.reader_of(rows).frames(slice(None), AUDITED)


def _table(found: dict[tuple[str, str], Findings]) -> str:
    """One line a system and split; a dash where it was not told which ions touch."""
    head = ("system", "split", "frames", "ions", "solid", "octahedral", "cluster", "largest S(k)")
    rows = [
        (system, split, *map(str, (f.frames, f.ions, f.solid)), _count(f.octahedral), _count(f.cluster), _peak(f))
        for (system, split), f in found.items()
    ]
    return "\n".join(aligned([head, *rows], left=(0, 1, len(head) - 1)))


def _peak(found: Findings) -> str:
    return f"{found.peak:.2f} at {found.peak_k:.2f} 1/Å"


def _count(number: int) -> str:
    return "-" if number < 0 else str(number)


def _verdict(found: Sequence[Findings]) -> int:
    """Say whether there is a crystal; returns the number of frames with one."""
    from saltern.observables import CRYSTAL

    frames, crystals = sum(f.frames for f in found), sum(f.crystals for f in found)
    largest = max((f.solid for f in found), default=0)
    said = f"{crystals} of {frames} frames hold a crystal" if crystals else f"no crystal in any of {frames} frames"
    print(f"{said}: the largest solid-like cluster has {largest} cations; a crystal has {CRYSTAL} or more")
    return crystals


def _compare(release: Release, paths: Sequence[Path], samples: int, contact: float | None) -> None:
    """Say how far trajectories are from what was trained on."""
    from saltern.observables import contact_of

    index = release.index[~release.index["system"].isin(_seeded(release))]
    held = next((split for split in ("test", "validation") if (index["split"] == split).any()), None)
    if held is None:
        raise UserError(f"{release.directory}: no frame was held out, so that nothing tells how far is far")
    known, rows = _known(release), index[index["split"] == held]
    usual = _distances(known, _frames(release, rows.iloc[evenly(len(rows), samples)]))
    print(
        f"{'distance (%) to training':42} {'ions':>8} {'median':>8} {'99 %':>8} {'largest':>8} {'beyond held-out':>16}"
    )
    print(_distance_line(f"{held} frames", usual, usual))
    for path in paths:
        for name, solution, crystal in _sampled(path, samples):
            if len(solution):
                print(_distance_line(f"{name}, no crystal", _distances(known, solution), usual))
            if len(crystal):
                touching = contact or contact_of(crystal)
                since = f"{name}, octahedral from {crystal['time'][0] / 1000:g} ps"
                print(_distance_line(since, _distances(known, crystal, touching), usual))
    print()


def _known(release: Release) -> Known:
    """Surroundings of ions in the training frames, of some of them where there are very many."""
    from saltern.observables import AUDITED, Known, frame_environments
    from saltern.progress import track

    reader = release.reader("train")
    ions = int((reader.frames([0], ["charges"])["charges"] != 0).sum())
    some = reader.subset(evenly(len(reader), ENVIRONMENTS // max(ions, 1)))
    frames = (frame for batch in some.batches(names=AUDITED) for frame in batch)
    tracked = track(frames, "audit: surroundings of ions", len(some))
    return Known(pair for frame in tracked for pair in frame_environments(frame))


def _distances(known: Known, frames: Frames, contact: float | None = None) -> Array:
    """Distance from every ion's surroundings to the nearest ones that were trained on, (ion,), %."""
    import numpy as np

    from saltern.observables import frame_environments

    return 100 * np.concatenate([known.distances(*pair) for pair in frame_environments(frames, contact)])


def _sampled(path: Path, samples: int) -> Iterator[tuple[str, Frames, Frames]]:
    """Name of each trajectory of a file, and some of its frames: those without and those with a crystal."""
    from saltern.observables import AUDITED, has_crystal
    from saltern.store import read_trajectories

    for frames in read_trajectories(path, [*AUDITED, "trajectory", "time"]):
        # the last one is always there
        chosen = frames.select(range(len(frames) - 1, -1, -max(1, len(frames) // samples))[::-1])
        solid = has_crystal(chosen)
        yield f"{path.stem} {frames['trajectory'][0]}", chosen.select(~solid), chosen.select(solid)


def _distance_line(what: str, found: Array, usual: Array) -> str:
    """One line of the table of distances."""
    import numpy as np

    if not len(found):
        return f"{what:42} {0:8}"
    median, most = np.percentile(found, [50, 99])
    beyond = 100 * float((found > usual.max()).mean())
    return f"{what:42} {len(found):8} {median:8.2f} {most:8.2f} {found.max():8.2f} {beyond:14.1f} %"
