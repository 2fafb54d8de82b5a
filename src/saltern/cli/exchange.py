"""Commands that hand datasets on to other programs and take them in: dataset export and import."""

from __future__ import annotations

import argparse
import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

from saltern.cli.arguments import add_workers, parsed, workers_of
from saltern.errors import UserError

if TYPE_CHECKING:
    from saltern.store.formats import ImportOptions

_EXPORT = """\
Write the accepted frames of a release for other programs, a file (deepmd: a directory) for each split, without loss.

  saltern dataset export results/demo/atoms/dataset out --format extxyz
  saltern dataset export results/demo/atoms/dataset out --format nequip    in out: nequip-train -cp $PWD -cn nequip
  saltern dataset export results/demo/atoms/dataset out --format mace        in out: mace_run_train --config mace.yaml
"""

_IMPORT = """\
Make a release of data that were labelled elsewhere. Units and signs are checked: forces that cannot be in the unit that
was said, atoms that lie on each other, energies that do not fall along the forces are refused.

  saltern dataset import water.extxyz water --format extxyz --system water --temperature 330 --method PBE0-TS
  saltern dataset import data/ water --format deepmd --system water --temperature 330 --method PBE0-TS
  saltern dataset import positions.xyz licl --format cp2k --forces forces.txt --cell 13.8674 --system LiCl --no-energy
"""


def add_to(verbs: Any) -> None:
    """Add the parsers of these commands."""
    raw = argparse.RawDescriptionHelpFormatter
    export = verbs.add_parser(
        "export", help="write a release for other programs", description=_EXPORT, formatter_class=raw
    )
    export.add_argument("release", type=Path, metavar="RELEASE", help="directory of a dataset release")
    export.add_argument("output", type=Path, help="a new directory")
    export.add_argument("--format", required=True, metavar="NAME", help="extxyz, ase-db, lmdb, deepmd, nequip, mace")
    export.add_argument("--splits", nargs="+", default=["train", "validation", "test"], metavar="SPLIT")
    add_workers(export)
    export.set_defaults(run=_export)

    taken = verbs.add_parser(
        "import", help="make a release of data from elsewhere", description=_IMPORT, formatter_class=raw
    )
    taken.add_argument("source", type=Path, help="a file or directory")
    taken.add_argument("output", type=Path, help="a new directory")
    taken.add_argument("--format", required=True, metavar="NAME", help="extxyz, deepmd, cp2k")
    taken.add_argument("--name", help="name of the dataset; by default that of its directory")
    taken.add_argument("--system", required=True, metavar="ID", help="identifier of the system")
    taken.add_argument("--salt", help="its salt, such as NaCl; by default none")
    taken.add_argument("--molality", type=float, default=0.0, metavar="MOL/KG", help="of the salt (0)")
    taken.add_argument("--temperature", type=float, metavar="K", help="where the file does not say")
    taken.add_argument("--method", default="unknown", help="level of theory")
    taken.add_argument("--engine", default="unknown", help="program that made the labels")
    taken.add_argument("--engine-version", default="unknown")
    taken.add_argument("--licence", default="unknown", help="of the data, as an SPDX identifier")
    taken.add_argument("--permittivity", type=float, help="relative permittivity of the solvent, for the baseline")
    taken.add_argument(
        "--charges", nargs="+", default=[], metavar="ELEMENT=CHARGE", help="formal charges of the ions: Na=1 Cl=-1"
    )
    taken.add_argument("--energy-unit", metavar="UNIT", help="by default that of the format")
    taken.add_argument("--length-unit", metavar="UNIT", help="likewise")
    taken.add_argument("--force-unit", metavar="UNIT", help="likewise")
    taken.add_argument("--cell", type=float, nargs="+", default=[], metavar="Å", help="1, 3 or 9 numbers; cp2k")
    taken.add_argument("--forces", type=Path, metavar="FILE", help="forces that lie in a file of their own; cp2k")
    taken.add_argument("--time-step", type=float, default=1.0, metavar="FS", help="between frames, where not told (1)")
    taken.add_argument(
        "--near-duplicate-A",
        type=float,
        metavar="Å",
        help="refuse the data where frames of two splits are nearer than this, by default as collect.near_duplicate_A; "
        "0: take them all the same",
    )
    taken.add_argument("--no-energy", action="store_true", help="take frames without an energy")
    taken.set_defaults(run=_import)


def _export(options: argparse.Namespace) -> None:
    from saltern.store import open_release
    from saltern.store.formats import EXPORTS

    write = _known(EXPORTS, options.format)
    release = open_release(options.release)
    readers = {split: release.reader(split) for split in options.splits}
    batches = {split: reader.batches() for split, reader in readers.items()}
    write(batches, options.output, release.manifest, workers_of(options))
    print(f"{options.output}: {', '.join(f'{len(reader)} {split}' for split, reader in readers.items())}")


def _import(options: argparse.Namespace) -> None:
    from saltern.config import CollectConfig
    from saltern.store import import_frames, open_release
    from saltern.store.formats import IMPORTS, provenance

    read = _known(IMPORTS, options.format)
    about = {
        "id": options.system,
        "molality": options.molality,
        "system": {"salt": options.salt, "temperature": options.temperature, "role": "train"},
    }
    batches = read(options.source, _options(options))
    given = {"licence": options.licence, "near_duplicate_A": options.near_duplicate_A}
    config = parsed(
        CollectConfig, json.dumps({key: value for key, value in given.items() if value is not None}), "import"
    )
    name = options.name or options.output.name
    origin = {"imported": provenance(options.source), "format": options.format}
    import_frames(batches, {options.system: about}, name, config, options.output, origin)
    manifest = open_release(options.output).manifest
    print(f"{options.output}: {manifest['ledger']['accepted']} frames, version {manifest['root_hash'][:12]}")


def _known(formats: dict[str, Any], name: str) -> Any:
    """The format that is meant.

    Raises:
        UserError: when there is none of this name.
    """
    from saltern.errors import did_you_mean

    if name not in formats:
        raise UserError(
            f"--format: '{name}' is no format{did_you_mean(name, list(formats))}; allowed: {', '.join(formats)}"
        )
    return formats[name]


def _options(options: argparse.Namespace) -> ImportOptions:
    """What the importers are told."""
    from saltern.store.formats import ImportOptions

    return ImportOptions(
        energy_unit=options.energy_unit,
        length_unit=options.length_unit,
        force_unit=options.force_unit,
        system=options.system,
        temperature=options.temperature,
        method=options.method,
        engine=options.engine,
        engine_version=options.engine_version,
        permittivity=options.permittivity,
        charges=dict(map(_charge, options.charges)),
        cell=tuple(options.cell),
        forces=options.forces,
        time_step=options.time_step,
        allow_missing_energy=options.no_energy,
    )


def _charge(text: str) -> tuple[str, float]:
    """Element and charge of `Na=1`.

    Raises:
        UserError: when it is not of that form.
    """
    element, _, charge = text.partition("=")
    try:
        return element, float(charge)
    except ValueError:
        raise UserError(f"--charges: '{text}' is not ELEMENT=CHARGE, such as Na=1") from None
