"""The dataset card and the citation: what a person who finds the release wants to know first."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any

from saltern.store.ledger import HARD_ABOVE
from saltern.store.shard import READING
from saltern.store.statistics import labels_in_words, statistics_tables
from saltern.store.versions import SHORT

_TEXT = """\
# {name}

{labels} of {accepted} periodic frames of {systems} electrolyte systems, made with Saltern.

| | |
|---|---|
| version (root hash) | `{root_hash}` |
| parent version | {parent} |
| method | {methods} |
| licence | {licence} |
| frames | {train} train, {validation} validation, {test} test |
| ledger | {requested} requested = {accepted} accepted + {quarantined} quarantined |

{changes}## Splits

{splits}
{duplicates}
## Systems

| system | salt | molality (mol/kg) | T (K) | accepted | quarantined |
|---|---|---|---|---|---|
{system_rows}
{statistics}{hard_regions}{recalls}
## Files

- `shards/*.h5`: accepted frames. Plain HDF5; every dataset names its unit. Frames may differ in size: frame i has the
  atoms `offsets[i]:offsets[i + 1]`.
- `quarantine/*.h5`: frames whose labels were refused, each with its `reason`.
- `index.parquet`: one row a frame: where it is, split, energy, largest force, label key, cost.
- `manifest.json`: SHA-256 of every file, the ledger, the table of fields.
{more_files}
## Reading

`saltern.store.open_release(DIRECTORY)` reads all of it. Without Saltern, h5py is enough:

```python
{reading}```

## Licence

{licence} (https://spdx.org/licenses/{licence}.html). {citing}

## Limits

Labels are as good as their method. Energies are the engine's totals and only differences mean anything. The
frames were sampled at the stated temperatures and densities: expect nothing of a potential trained on them far
from there. {split_limit}

## Fields

| name | per | unit | meaning |
|---|---|---|---|
{field_rows}
"""

KEYWORDS = ["electrolyte solutions", "machine-learned interatomic potentials", "molecular dynamics"]
_FILES = {
    "near_duplicates.json": ("near_duplicates", "how near the splits come to each other, and the closest pairs."),
    "statistics.json": ("statistics", "forces by element; energies, stresses and distances by system."),
    "croissant.json": ("authors", "this release for dataset search and loaders (Croissant 1.0, JSON-LD)."),
    "CITATION.cff": ("authors", "how to cite it."),
}
"""Files that newer releases have, each with the key of the manifest that came with it."""

_BY = {
    "trajectory": "Whole trajectories are in one split, so neighbours in time never sit on both sides.",
    "system": "Whole systems are in one split: test errors are those on systems that were never seen.",
    "salt": "Whole salts are in one split: test errors are those on electrolytes that were never seen.",
    "molality": "Whole molalities are in one split: test errors are those at molalities that were never seen.",
    "temperature": "Whole temperatures are in one split: test errors are those at temperatures that were never seen.",
}
_UNITS = {"molality": " mol/kg", "temperature": " K"}


def card(manifest: Mapping[str, Any]) -> str:
    """The text of a release's README.md.

    Args:
        manifest: of the release; what older ones lack is left out (parent, splits, near_duplicates, statistics).
    """
    ledger = manifest["ledger"]
    splits = manifest.get("splits") or {"by": "trajectory"}
    return _TEXT.format(
        **{key: manifest[key] for key in ("name", "root_hash", "licence")},
        **manifest["frames"],
        methods=", ".join(manifest["methods"]),
        labels=labels_in_words(manifest.get("statistics")),
        systems=len(manifest["systems"]),
        parent=_parent(manifest.get("parent")),
        changes=_changes(manifest.get("parent")),
        splits=_splits(splits),
        split_limit=_split_limit(splits),
        duplicates=_duplicates(manifest.get("near_duplicates")),
        requested=ledger["requested"],
        accepted=ledger["accepted"],
        quarantined=ledger["quarantined"],
        statistics=_statistics(manifest.get("statistics")),
        hard_regions=_hard_regions(manifest),
        recalls=_recalls(manifest.get("recalls") or {}),
        more_files=_more_files(manifest),
        reading=READING,
        citing="`CITATION.cff` says how to cite it." if "authors" in manifest else "",
        system_rows="\n".join(_system_row(s, about, ledger) for s, about in manifest["systems"].items()),
        field_rows="\n".join(
            f"| `{name}` | {f['per']} | {f['unit']} | {f['meaning']} |" for name, f in manifest["fields"].items()
        ),
    )


def _more_files(manifest: Mapping[str, Any]) -> str:
    """The files that come with what the manifest says."""
    return "".join(f"- `{name}`: {meaning}\n" for name, (key, meaning) in _FILES.items() if key in manifest)


def _parent(parent: Mapping[str, Any] | None) -> str:
    """The version before."""
    return f"`{parent['root_hash']}`" if parent else "none"


def _changes(parent: Mapping[str, Any] | None) -> str:
    """What became of the frames since the version before."""
    if not parent:
        return ""
    told = {
        "added": "added",
        "removed": "removed",
        "relabelled": "labelled again with another result",
        "recalled": "labelled again after a recall",
        "moved": "in another split",
    }
    counts = [f"{parent[key]} {words}" for key, words in told.items() if parent.get(key)]
    since = f"Frames that changed since version `{parent['root_hash'][:SHORT]}`"
    return f"{since}: {', '.join(counts) or 'none'}.\n\n"


def _splits(splits: Mapping[str, Any]) -> str:
    """How the frames were divided, and what is held out."""
    lines = [_BY.get(splits["by"], f"The splits are those that came with the frames ({splits['by']}).")]
    if "groups" in splits:
        drawn = ", ".join(f"{count} {split}" for split, count in splits["groups"].items())
        unit = _UNITS.get(splits["by"], "")
        lines += ["", f"- groups drawn by {splits['by']} with seed {splits['seed']}: {drawn}"]
        lines += [
            f"- {split}: {', '.join(f'{name}{unit}' for name in names) or 'none'}"
            for split, names in splits.get("names", {}).items()
        ]
        lines += [f"- held out for testing: {_entry(entry)}" for entry in splits["hold_out"]]
        lines += [f"- test system: `{system}`" for system in splits["test_systems"]]
    return "\n".join(lines)


def _entry(entry: Mapping[str, Any]) -> str:
    """An entry of `hold_out` in words."""
    return ", ".join(f"{key} {value or 'none'}{_UNITS.get(key, '')}" for key, value in entry.items())


def _split_limit(splits: Mapping[str, Any]) -> str:
    """What the test error does not tell."""
    if splits["by"] == "trajectory" and not splits.get("hold_out") and not splits.get("test_systems"):
        return "Test frames are of the same systems as training frames: their error says nothing about other systems."
    return "Test errors hold for a step of that kind, not for a longer one."


def _duplicates(report: Mapping[str, Any] | None) -> str:
    """How near the splits come to each other."""
    if not report:
        return ""
    if not report["threshold_A"]:
        return "\nNear-duplicates were not looked for.\n"
    if not report["compared"]:
        return "\nNo two splits have frames of the same composition, so none can be near-duplicates.\n"
    found = report["percentiles_A"]
    return (
        f"\nNear-duplicates: {report['compared']} validation and test frames were each compared with all frames of the "
        f"same composition in other splits; {report['near']} of them nearer than {report['threshold_A']:g} Å. Distance "
        f"to the nearest one: least {found['p0']:.3f} Å, median {found['p50']:.3f} Å; the same frame displaced by 0.01 "
        "Å is about 0.02 to 0.05 Å away.\n"
    )


def _statistics(plain: Mapping[str, Any] | None) -> str:
    """Tables by element and by system."""
    return f"\n## Statistics\n\n{statistics_tables(plain)}\n" if plain else ""


def _system_row(system: str, about: Mapping[str, Any], ledger: Mapping[str, Any]) -> str:
    """One system's line."""
    entry = ledger["systems"][system]
    quarantined = ", ".join(f"{count} {reason}" for reason, count in entry["quarantined"].items()) or "0"
    return (
        f"| `{system}` | {about['system']['salt'] or 'none'} | {about['molality']:.3f} | "
        f"{about['system']['temperature']:g} | {entry['accepted']} | {quarantined} |"
    )


def _hard_regions(manifest: Mapping[str, Any]) -> str:
    """What the dataset has too little of, in words."""
    ledger = manifest["ledger"]
    if not ledger.get("hard_regions"):
        return ""
    lines = []
    for system in ledger["hard_regions"]:
        entry, asked = ledger["systems"][system], manifest["systems"][system]["system"]
        refused = sum(entry["quarantined"].values())
        reasons = ", ".join(f"{count} {reason}" for reason, count in entry["quarantined"].items())
        lines.append(
            f"- `{system}` ({asked['salt'] or 'pure solvent'}, {asked['temperature']:g} K): {refused} of "
            f"{entry['requested']} frames, {100 * refused / entry['requested']:.1f} %: {reasons}"
        )
    listed = "\n".join(lines)
    return f"""
## Under-sampled hard regions

In these systems more than {100 * HARD_ABOVE:g} % of the frames have no label. What could not be labelled is not a
random choice, so the configurations in `quarantine/` that belong to them are missing from this dataset:

{listed}
"""


def _recalls(recalls: Mapping[str, Any]) -> str:
    """Which labels were taken out of use and made again, in words."""
    if not recalls:
        return ""
    lines = []
    for name, entry in recalls.items():
        why = ": ".join(text for text in (entry["date"], entry["reason"]) if text)
        lines.append(f"- `{name}`: {entry['frames']} frames{f' ({why})' if why else ''}")
    listed = "\n".join(lines)
    return f"""
## Recalls

Earlier labels of some frames were found to be wrong and taken out of use. They were made again after:

{listed}

The column `recall` of the index names these frames.
"""


def citation(manifest: Mapping[str, Any]) -> str:
    """The text of a release's CITATION.cff (Citation File Format 1.2.0)."""
    content = {
        "cff-version": "1.2.0",
        "message": "If you use this dataset, please cite it.",
        "type": "dataset",
        "title": manifest["name"],
        "version": manifest["root_hash"][:SHORT],
        "authors": [_author(name) for name in authors_of(manifest)],
        "license": manifest["licence"],
        "keywords": KEYWORDS,
    }
    # JSON is YAML in which every text is quoted: a version such as 12e456789012 must not become a number
    return "".join(f"{key}: {json.dumps(value, ensure_ascii=False)}\n" for key, value in content.items())


def authors_of(manifest: Mapping[str, Any]) -> Sequence[str]:
    """Whom a citation names; the dataset itself where nobody is given."""
    return manifest.get("authors") or [manifest["name"]]


def _author(name: str) -> dict[str, str]:
    """'Family, Given' is a person, anything else an entity."""
    family, comma, given = (part.strip() for part in name.partition(","))
    return {"family-names": family, "given-names": given} if comma and given else {"name": name}
