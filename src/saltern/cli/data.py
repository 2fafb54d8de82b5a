"""Commands of the stages that make a dataset: compose, sample, label, collect, release."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import TYPE_CHECKING, Any

from saltern.cli.arguments import add_spec, add_store, add_workers, interval, parsed, workers_of

if TYPE_CHECKING:
    from collections.abc import Sequence

    from saltern.config import LabelSpec, SampleSpec
    from saltern.frames import Frames
    from saltern.potentials import Potential


def add_to(commands: Any) -> None:
    """Add the parsers of these commands."""
    compose = commands.add_parser("compose", help="pack the box of one system")
    compose.add_argument("output", type=Path)
    compose.add_argument("--system", required=True, metavar="JSON", help="the system, as in an expanded campaign")
    compose.set_defaults(run=_compose)

    systems = commands.add_parser("systems", help="write the table that says what each system's identifier stands for")
    systems.add_argument("systems", type=Path, nargs="+", help="composed systems")
    systems.add_argument("output", type=Path, help="a tab-separated table")
    systems.set_defaults(run=_systems)

    sample = commands.add_parser("sample", help="candidate frames of one system from molecular dynamics")
    sample.add_argument("system", type=Path, help="the composed system")
    sample.add_argument("output", type=Path)
    sample.add_argument(
        "--potentials",
        type=Path,
        nargs="*",
        default=[],
        metavar="FILE",
        help="the committee that samples, where a level above does; the first member drives (that of the spec)",
    )
    add_spec(sample)
    sample.set_defaults(run=_sample)

    label = commands.add_parser("label", help="energy, forces and stress of one batch of candidate frames")
    label.add_argument("candidates", type=Path)
    label.add_argument("output", type=Path)
    label.add_argument("--frames", type=interval, required=True, metavar="A:B", help="candidates A to B - 1")
    add_store(label, "where answers are found and kept")
    add_spec(label)
    label.add_argument(
        "--recalls",
        type=Path,
        nargs="*",
        default=[],
        metavar="FILE",
        help="recalls because of which the batch is made again",
    )
    label.add_argument(
        "--potentials",
        type=Path,
        nargs="*",
        default=[],
        metavar="FILE",
        help="the committee of the level above, where that is the teacher; the first member drives",
    )
    label.set_defaults(run=_label)

    collect = commands.add_parser("collect", help="gather one system's labels and close its ledger")
    collect.add_argument("system", type=Path, help="the composed system")
    collect.add_argument("labels", type=Path, nargs="+", help="its label batches")
    collect.add_argument("output", type=Path, help="a directory")
    collect.add_argument("--requested", type=int, required=True, metavar="N", help="frames the campaign asked for")
    collect.set_defaults(run=_collect)

    release = commands.add_parser("release", help="seal the collected systems into a dataset release")
    release.add_argument("systems", type=Path, nargs="+", help="what collect made, one directory a system")
    release.add_argument("output", type=Path, help="a new directory")
    release.add_argument("--name", required=True)
    add_store(release, "for why labels were recalled")
    release.add_argument(
        "--history",
        type=Path,
        metavar="DIRECTORY",
        help="where manifest and index of every version are kept; the release names the one before",
    )
    add_spec(release)
    add_workers(release)
    release.set_defaults(run=_release)


def _compose(options: argparse.Namespace) -> None:
    from saltern.config import System
    from saltern.store import write_frames
    from saltern.systems import compose

    frames, about = compose(parsed(System, options.system, "--system"))
    write_frames(options.output, frames, about)


def _systems(options: argparse.Namespace) -> None:
    import pandas as pd

    from saltern.store import read_frames, read_metadata, whole_file
    from saltern.systems import table

    rows = table([(read_frames(path), read_metadata(path)) for path in options.systems])
    with whole_file(options.output) as temporary:
        pd.DataFrame(rows).to_csv(temporary, sep="\t", index=False)


def _sample(options: argparse.Namespace) -> None:
    from saltern.config import SampleSpec, System
    from saltern.store import read_frames, read_metadata, write_frames
    from saltern.systems import compose

    spec = parsed(SampleSpec, options.spec)
    potential = _sampling(spec, options.potentials)
    about = read_metadata(options.system)
    system = System(**about["system"])
    # the first box is there already, the other trajectories start from packings of their own
    others = (compose(system, trajectory)[0] for trajectory in range(1, spec.sample.trajectories))
    starts = [read_frames(options.system), *others]
    told: dict[str, Any] = {}
    if potential is not None:
        frames = _sample_with_student(starts, about, spec, potential)
        told["potentials"] = list(potential.hashes)
    elif spec.sample.engine == "packed":
        frames = _packed(starts)
    else:
        frames = _sample_classically(starts, about, spec, system.seed)
    write_frames(options.output, frames, {**about, "sample": spec.model_dump(), **told})


def _packed(starts: Sequence[Frames]) -> Frames:
    """The packed boxes as candidates, one trajectory each."""
    import numpy as np

    from saltern.frames import Frames

    names = np.array([f"t{number:02d}" for number in range(len(starts))])
    return Frames.concatenate(starts).with_arrays(trajectory=names, time=np.zeros(len(starts)))


def _sample_classically(starts: Sequence[Frames], about: dict[str, Any], spec: SampleSpec, seed: int) -> Frames:
    from saltern.engines.openmm import sample

    return sample(starts, about, spec, seed)


def _sampling(spec: SampleSpec, paths: Sequence[Path]) -> Potential | None:
    """The potential that samples, where one does: a file, or what another level has learned."""
    from saltern.errors import UserError
    from saltern.potentials import Potential

    if spec.sample.engine != "potential":
        return None
    files = list(paths) or [Path(file) for file in [spec.sample.potential] if file]
    if not files:
        raise UserError(f"--potentials: required with sample.level: {spec.sample.level}; give its committee")
    return Potential.load(files)


def _sample_with_student(
    starts: Sequence[Frames], about: dict[str, Any], spec: SampleSpec, potential: Potential
) -> Frames:
    from saltern.dynamics import sample_with_potential
    from saltern.frames import Frames

    return sample_with_potential(Frames.concatenate(starts), about, potential, spec)


def _label(options: argparse.Namespace) -> None:
    from saltern.config import LabelSpec
    from saltern.dynamics import harvest
    from saltern.labelling import label_batch
    from saltern.store import LabelStore, read_frames, read_metadata

    about = read_metadata(options.candidates)
    what = f"label {about['id']} {options.output.stem}"
    candidates = read_frames(options.candidates)
    spec = parsed(LabelSpec, options.spec)
    if spec.sample is not None:
        potential = _teaching(spec, options.potentials, what)
        harvest(candidates, about, options.frames, spec, options.output, what, potential)
        return
    recalls = [path.stem for path in options.recalls]
    label_batch(candidates, options.frames, spec, LabelStore(options.store), options.output, what, recalls)


def _teaching(spec: LabelSpec, paths: Sequence[Path], what: str) -> Potential | None:
    """What another level has learned, where that is the teacher."""
    from saltern.config import LevelTeacher
    from saltern.errors import UserError
    from saltern.potentials import Potential

    if not isinstance(spec.teacher, LevelTeacher):
        return None
    if not paths:
        raise UserError(f"{what}: --potentials: required, but missing; the teacher is level {spec.teacher.level}")
    return Potential.load(paths, device=spec.teacher.device)


def _collect(options: argparse.Namespace) -> None:
    from saltern.store import collect_system

    collect_system(options.system, options.labels, options.requested, options.output)


def _release(options: argparse.Namespace) -> None:
    from saltern.config import CollectSpec
    from saltern.progress import say
    from saltern.store import History, LabelStore, open_release, write_release

    collect = parsed(CollectSpec, options.spec).collect
    history = History(options.history) if options.history else None
    recalls = LabelStore(options.store).recalls()
    workers = workers_of(options)
    write_release(options.systems, options.name, collect, options.output, recalls, history, workers=workers)
    manifest = open_release(options.output).manifest
    ledger = manifest["ledger"]
    say(
        f"release {options.name}: {ledger['requested']} frames requested = {ledger['accepted']} accepted + "
        f"{ledger['quarantined']} quarantined; version {manifest['root_hash'][:12]}"
    )
