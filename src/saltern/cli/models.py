"""Commands of the stages that make and use potentials: train, evaluate, simulate, observe, report."""

from __future__ import annotations

import argparse
import os
import sys
from contextlib import AbstractContextManager, nullcontext
from pathlib import Path
from typing import TYPE_CHECKING, Any

from saltern.cli.arguments import add_spec, interval, parsed
from saltern.cli.launch import end_with_launcher, launch, place
from saltern.errors import UserError

if TYPE_CHECKING:
    from saltern.config import TrainSpec
    from saltern.dynamics import Simulation
    from saltern.frames import Frames
    from saltern.learning import Group
    from saltern.store import Release


def add_to(commands: Any) -> None:
    """Add the parsers of these commands."""
    train = commands.add_parser("train", help="train one committee member")
    train.add_argument("release", type=Path)
    train.add_argument("output", type=Path, help="the potential (.safetensors)")
    train.add_argument("curve", type=Path, help="its learning curve (.csv), written as it goes")
    train.add_argument("--member", type=int, required=True, metavar="N")
    train.add_argument(
        "--start",
        type=Path,
        nargs="?",
        metavar="FILE",
        help="a potential of the same student and baseline, from whose weights it starts; without it from random ones",
    )
    train.add_argument(
        "--simulated",
        type=Path,
        nargs="*",
        default=[],
        metavar="DIR",
        help="directories of trajectories that the potential of --start drove, for train.objective: relative_entropy",
    )
    train.add_argument(
        "--processes",
        type=int,
        default=1,
        metavar="P",
        help="divide every step among P processes: tasks of srun within a SLURM job, else processes of this machine",
    )
    train.add_argument(
        "--rendezvous", type=Path, metavar="FILE", help="where the processes meet; added to the command of each of them"
    )
    add_spec(train)
    train.set_defaults(run=_train)

    evaluate = commands.add_parser("evaluate", help="errors of the committee on the frames held out as test")
    evaluate.add_argument("release", type=Path)
    evaluate.add_argument("potentials", type=Path, nargs="+", help="the committee; the first member is measured")
    evaluate.add_argument("output", type=Path)
    evaluate.set_defaults(run=_evaluate)

    simulate = commands.add_parser("simulate", help="molecular dynamics of some replicas of one or several systems")
    simulate.add_argument("potentials", type=Path, nargs="+", help="the committee")
    simulate.add_argument("output", type=Path, help="directory for the trajectories, a file for each --start")
    simulate.add_argument(
        "--start",
        nargs=2,
        action="append",
        required=True,
        metavar=("FILE", "K"),
        help="a system's candidate frames, from which its replicas start, and the temperature; all run side by side",
    )
    simulate.add_argument("--replicas", type=interval, required=True, metavar="A:B", help="replicas A to B - 1")
    simulate.add_argument(
        "--driver",
        type=int,
        default=0,
        metavar="N",
        help="the member that drives, by its place among the potentials; the others are asked for their spread (0)",
    )
    add_spec(simulate)
    simulate.set_defaults(run=_simulate)

    observe = commands.add_parser("observe", help="properties of one system from all its replicas")
    observe.add_argument("trajectories", type=Path, nargs="+")
    observe.add_argument("output", type=Path)
    observe.add_argument("--errors", type=Path, metavar="FILE", help="what `evaluate` found: how far to trust forces")
    observe.add_argument(
        "--dataset",
        type=Path,
        metavar="RELEASE",
        help="what the potential was trained on, with which surroundings are compared and, where its teacher moves, "
        "g(r); wants --errors too",
    )
    add_spec(observe)
    observe.set_defaults(run=_observe)

    report = commands.add_parser("report", help="one page of results, its figures, and the same in a few lines of text")
    report.add_argument("results", type=Path, help="directory of the campaign's results")
    report.add_argument("page", type=Path, help="the page (.html)")
    report.add_argument("summary", type=Path, help="the lines (.txt)")
    report.add_argument("figures", type=Path, help="directory of the page's figures and of films of its frames (.svg)")
    report.add_argument("--levels", nargs="+", required=True, metavar="LEVEL")
    report.add_argument(
        "--temperatures",
        nargs="*",
        type=_temperatures,
        default=[],
        metavar="LEVEL=K,K,...",
        help="where every system of a level was simulated, if not at its own temperature",
    )
    report.set_defaults(run=_report)


def _temperatures(text: str) -> tuple[str, tuple[float, ...]]:
    """LEVEL=K,K,... as the level and its temperatures; for argparse."""
    level, _, values = text.partition("=")
    return level, tuple(float(value) for value in values.split(","))


def _train(options: argparse.Namespace) -> None:
    from saltern.config import TrainSpec
    from saltern.potentials import require

    spec = parsed(TrainSpec, options.spec)
    require(spec.student.network)
    if spec.train.start_level and not options.start:
        raise UserError(f"--start: required with train.start_level: {spec.train.start_level}; give its potential")
    if spec.train.compares and not (options.start and options.simulated):
        raise UserError("--simulated: required, with --start, with train.objective: relative_entropy")
    if options.processes > 1 and not options.rendezvous:
        files = [str(path) for path in (options.release, options.output, options.curve)]
        told = [f"--member={options.member}", f"--processes={options.processes}", f"--spec={options.spec}"]
        told += [f"--start={options.start}"] if options.start else []
        told += ["--simulated", *map(str, options.simulated)] if options.simulated else []
        sys.exit(launch([sys.executable, "-m", "saltern", "train", *files, *told], options.processes, options.output))
    _train_here(options, spec)


def _train_here(options: argparse.Namespace, spec: TrainSpec) -> None:
    """In this process, which may be one of several."""
    from saltern.learning import ALONE, LostProcessError, joined, train
    from saltern.store import open_release

    together: AbstractContextManager[Group] = nullcontext(ALONE)
    if options.rendezvous:
        end_with_launcher()
        rank, on_node = place()
        together = joined(options.rendezvous, rank, options.processes, on_node, spec.train.device)
    what = f"train {options.output.stem}"
    try:
        with together as group:
            release, files = open_release(options.release), (options.output, options.curve)
            trajectories = [file for place in options.simulated for file in sorted(place.glob("*.h5"))]
            train(release, spec, options.member, *files, what, group, options.start, trajectories)
    except LostProcessError as error:
        sys.exit(f"saltern: {what}: {error}")


def _evaluate(options: argparse.Namespace) -> None:
    import numpy as np

    from saltern.learning import at_rest, held_out_errors
    from saltern.potentials import Potential
    from saltern.store import open_release, write_json

    release, potential = open_release(options.release), Potential.load(options.potentials)
    frames = release.frames("test")
    found = held_out_errors(potential, frames, "evaluate", release.reader("train"))
    if not np.isfinite(frames["energy"]).any():
        # a student of mean forces: ions alone are all that there is
        members = [Potential.load([path]) for path in options.potentials]
        found |= at_rest(members, float(np.median(frames["temperature"])))
    write_json(options.output, found)


def _simulate(options: argparse.Namespace) -> None:
    from saltern.config import SimulateSpec
    from saltern.dynamics import simulate
    from saltern.potentials import Potential

    spec = parsed(SimulateSpec, options.spec)
    files, driver = options.potentials, options.driver
    if not 0 <= driver < len(files):
        raise UserError(f"--driver: {driver} is not allowed; allowed: 0 to {len(files) - 1}, for so many potentials")
    potential = Potential.load([files[driver], *files[:driver], *files[driver + 1 :]], device=spec.simulate.device)
    simulations = [_simulation(Path(file), kelvin, options.output, driver) for file, kelvin in options.start]
    simulate(simulations, potential, spec, options.replicas)


def _simulation(file: Path, temperature: str, output: Path, driver: int) -> Simulation:
    """A system at a temperature, from its candidate frames, and the committee's member that drives it."""
    from saltern.config import state_id
    from saltern.dynamics import Simulation, solute
    from saltern.store import read_frames, read_metadata

    try:
        kelvin = float(temperature)
    except ValueError:
        raise UserError(f"--start {file}: '{temperature}' is no temperature in K") from None
    candidates, about = read_frames(file), read_metadata(file)
    if about["sample"]["sample"]["engine"] == "packed":
        # the solvent is in the boxes for the teacher; its student knows none
        candidates = solute(candidates, about)
    own = float(about["system"]["temperature"])
    state = state_id(about["id"], own, kelvin)
    # what is kept on the way stands beside the directory, which Snakemake empties before a job
    return Simulation(
        candidates,
        {**about, "driver": driver},
        output / f"{state}.h5",
        None if kelvin == own else kelvin,
        output.with_name(f"{output.name}-{state}.journal"),
    )


def _observe(options: argparse.Namespace) -> None:
    from saltern.config import ObserveSpec
    from saltern.observables import MEASURED, TrainingEnvironments, measure, new_environments, outside
    from saltern.store import open_release, read_json, read_metadata, read_trajectories, write_json

    if options.dataset and not options.errors:
        raise UserError("--dataset: wants --errors too, which says how far from it is usual")
    config = parsed(ObserveSpec, options.spec).observe
    replicas: list[Frames] = []
    drivers: dict[str, int] = {}
    for path in options.trajectories:
        own = list(read_trajectories(path, MEASURED))
        replicas += own
        drivers |= dict.fromkeys((str(frames["trajectory"][0]) for frames in own), read_metadata(path).get("driver", 0))
    # what another member would give is no less uncertain than what another time would
    blocks = config.blocks if len(set(drivers.values())) == 1 else 1
    files = [os.path.relpath(path, options.output.parent) for path in options.trajectories]
    release = open_release(options.dataset) if options.dataset else None
    measured = {"trajectories": files, "drivers": drivers} | measure(
        replicas, config.properties, config.rdf_bin_A, blocks, config.viscosity_mPas, config.crystal_every_ps,
        config.contact_A, _liquid_of_teacher(release, options.trajectories[0], replicas[0]) if release else (),
        config.blocks,
    )  # fmt: skip
    if options.errors:
        errors = read_json(options.errors)
        measured["outside"] = outside(replicas, errors.get("calibration"), blocks)
        if release and "usual_distance" in errors:
            training = TrainingEnvironments(release.reader("train"))
            usual = errors["usual_distance"]
            measured["new_environments"] = new_environments(replicas, training, usual, blocks)
    write_json(options.output, measured)


def _liquid_of_teacher(release: Release, trajectory: Path, frames: Frames) -> list[Frames]:
    """What a teacher that moves made of a trajectory's system at its temperature, trajectory by trajectory.

    Such a teacher's labels are mean forces, which have no energy; frames of others are candidates, which are no liquid
    of theirs.
    """
    import numpy as np

    from saltern.store import read_metadata

    if np.isfinite(release.reader().frames([0], ["energy"])["energy"]).all():
        return []  # before the whole index is read, which may have a million rows
    rows = release.index
    same = (rows["system"] == read_metadata(trajectory)["id"]) & (rows["temperature"] == frames["temperature"][0])
    rows = rows[rows["accepted"] & same]
    names = ["numbers", "positions", "cell", "charges", "molecules", "temperature"]
    readers = [release.reader_of(own) for _, own in rows.groupby("trajectory")]
    return [reader.frames(slice(None), names + ["bias_energy"] * reader.has("bias_energy")) for reader in readers]


def _report(options: argparse.Namespace) -> None:
    from saltern.report import build, gather, summary
    from saltern.store import whole_file

    data = gather(options.results, options.levels, dict(options.temperatures))
    build(data, options.page, options.figures)
    with whole_file(options.summary) as temporary:
        temporary.write_text(f"{summary(data)}report: {options.page}\n", encoding="utf-8")
