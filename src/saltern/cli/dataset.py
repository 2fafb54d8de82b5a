"""Commands for dataset releases: look at them, check, compare, query, join, hand on, take in."""

from __future__ import annotations

import argparse
import json
from pathlib import Path
from typing import Any

from saltern.cli import exchange
from saltern.cli.arguments import add_workers, workers_of
from saltern.errors import UserError

_DATASET = """\
A release is a directory with shards of HDF5, an index in Parquet and a manifest with the checksum of every file. It is
never changed: what differs is another release, which names the one before.

  saltern dataset info results/demo/atoms/dataset            what it holds
  saltern dataset verify results/demo/atoms/dataset          is every byte what it was?
  saltern dataset diff OLD NEW                               added, removed, relabelled, recalled
  saltern dataset query RELEASE "SELECT system, count(*) FROM frames GROUP BY system"
  saltern dataset export RELEASE out --format extxyz         for other programs
"""

_QUERY = """\
Ask the index of a release with SQL (DuckDB). The table `frames` has one row a frame; `saltern dataset info` lists its
columns.

  saltern dataset query RELEASE "SELECT system, avg(energy / atoms) FROM frames WHERE accepted GROUP BY system"
  saltern dataset query RELEASE "SELECT * FROM frames WHERE salt = 'NaCl' AND max_force < 5" --output nacl --name nacl

With --output the rows that are found become a release of their own; they must have the column `label_key`. Frames keep
their splits.
"""

SOME = 8
"""Systems that `info` names."""


def add_to(commands: Any) -> None:
    """Add the parsers of `saltern dataset`."""
    dataset = commands.add_parser(
        "dataset",
        help="look at dataset releases, check, compare, query, merge, export and import them",
        description=_DATASET,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    verbs = dataset.add_subparsers(title="commands", metavar="COMMAND", required=True)

    info = verbs.add_parser("info", help="what a release holds")
    _add_release(info)
    info.add_argument("--json", action="store_true", help="the manifest without its list of files, for programs")
    info.set_defaults(run=_info)

    verify = verbs.add_parser("verify", help="compare every byte with its checksum; names damaged files and frames")
    _add_release(verify)
    add_workers(verify)
    verify.set_defaults(run=_verify)

    diff = verbs.add_parser("diff", help="what changed from one release to another")
    diff.add_argument("older", type=Path, help="a release, or a version kept in versions/")
    diff.add_argument("newer", type=Path, help="likewise")
    diff.add_argument("--keys", action="store_true", help="list the label keys too")
    diff.set_defaults(run=_diff)

    query = verbs.add_parser(
        "query",
        help="SQL over the index; what it finds can become a release",
        description=_QUERY,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    _add_release(query)
    query.add_argument("sql", metavar="SQL", help="a SELECT from the table `frames`")
    query.add_argument("--output", type=Path, metavar="DIRECTORY", help="make a release of the frames that are found")
    query.add_argument("--name", help="name of that release; by default that of its directory")
    query.add_argument("--csv", action="store_true", help="print comma-separated values instead of a table")
    query.set_defaults(run=_query)

    merge = verbs.add_parser("merge", help="join releases; frames that are in several come once")
    merge.add_argument("releases", type=Path, nargs="+", help="two releases or more")
    merge.add_argument("output", type=Path, help="a new directory")
    merge.add_argument("--name", help="name of the new release; by default that of its directory")
    merge.add_argument(
        "--apart",
        action="store_true",
        help="trajectories of the same name in different releases are different ones, as those of different campaigns "
        "are: the release's name goes before theirs",
    )
    merge.set_defaults(run=_merge)

    stats = verbs.add_parser("stats", help="by element and by system: forces, energies, shortest distances")
    _add_release(stats)
    stats.add_argument("--json", action="store_true", help="everything, for programs")
    stats.set_defaults(run=_stats)

    exchange.add_to(verbs)


def _add_release(command: argparse.ArgumentParser) -> None:
    command.add_argument("release", type=Path, metavar="RELEASE", help="directory of a dataset release")


def _info(options: argparse.Namespace) -> None:
    from saltern.store import open_release

    release = open_release(options.release)
    about = {name: value for name, value in release.manifest.items() if name != "files"}
    if options.json:
        print(json.dumps(about, indent=1, sort_keys=True, ensure_ascii=False))
        return
    files, names = release.manifest["files"], list(about["systems"])
    ledger = "{requested} requested = {accepted} accepted + {quarantined} quarantined".format(**about["ledger"])
    size = sum(entry["bytes"] for entry in files.values())
    print(f"{about['name']}, version {about['root_hash'][:12]}, {about['licence']}")
    print(f"labels      {', '.join(about['methods'])}")
    print(f"frames      {ledger}")
    print(f"splits      {', '.join(f'{count} {split}' for split, count in about['frames'].items())}")
    print(f"systems     {len(names)}: {', '.join(names[:SOME])}{' ...' if len(names) > SOME else ''}")
    print(f"files       {len(files)}, {size / 1e6:.1f} MB, {size / len(release.index):.0f} bytes a frame")
    print(f"parent      {_parent(about['parent'])}")
    print(f"columns     {', '.join(release.index.columns)}")


def _parent(parent: dict[str, Any] | None) -> str:
    """The version before and what changed since, in words."""
    if parent is None:
        return "none"
    counts = ", ".join(f"{count} {name}" for name, count in parent.items() if name != "root_hash" and count)
    return f"{parent['root_hash'][:12]}; since then {counts or 'nothing'}"


def _verify(options: argparse.Namespace) -> None:
    from saltern.store import open_release

    release = open_release(options.release)
    release.verify(workers_of(options))
    print(f"{options.release}: whole; {len(release.manifest['files'])} files, version {release.manifest['root_hash']}")


def _diff(options: argparse.Namespace) -> None:
    from saltern.store import changes, open_release

    older, newer = open_release(options.older), open_release(options.newer)
    found = changes(older.index, newer.index)
    print(f"from {older.manifest['root_hash'][:12]} to {newer.manifest['root_hash'][:12]}")
    for name, count in found.counts().items():
        print(f"{name:11} {count}")
        if options.keys:
            print("".join(f"  {key}\n" for key in getattr(found, name)), end="")


def _query(options: argparse.Namespace) -> None:
    from saltern.store import Source, derive, open_release, query

    release = open_release(options.release)
    found = query(release, options.sql)
    if options.output is None:
        print(
            found.to_csv(index=False) if options.csv else found.to_string(index=False), end="" if options.csv else "\n"
        )
        return
    if "label_key" not in found:
        raise UserError(f"--output: the query must return label_key; it returns {', '.join(found.columns)}")
    chosen = release.index[release.index["label_key"].isin(found["label_key"])]
    origin = {"query": options.sql, "releases": [release.manifest["root_hash"]]}
    derive([Source(release, chosen)], options.name or options.output.name, options.output, origin)
    print(f"{options.output}: {len(chosen)} of {len(release.index)} frames")


def _merge(options: argparse.Namespace) -> None:
    from saltern.store import Source, derive, open_release

    if len(options.releases) < 2:
        raise UserError("dataset merge: give two releases or more, and a new directory last")
    releases = [open_release(path) for path in options.releases]
    origin = {"releases": [release.manifest["root_hash"] for release in releases]}
    prefixes = [f"{release.manifest['name']}-" if options.apart else "" for release in releases]
    if options.apart and len(set(prefixes)) < len(prefixes):
        raise UserError("dataset merge: --apart is for releases of different names; allowed: at most one of each name")
    sources = [Source(release, release.index, own) for release, own in zip(releases, prefixes, strict=True)]
    derive(sources, options.name or options.output.name, options.output, origin)
    made = open_release(options.output).manifest
    print(f"{options.output}: {made['ledger']['requested']} frames, version {made['root_hash'][:12]}")


def _stats(options: argparse.Namespace) -> None:
    from saltern.store import open_release, statistics_tables

    statistics = open_release(options.release).manifest["statistics"]
    print(json.dumps(statistics, indent=1, sort_keys=True) if options.json else statistics_tables(statistics), end="\n")
