"""The dataset card: what a person who finds the release wants to know first."""

from __future__ import annotations

from typing import Any

from saltern.store.ledger import HARD_ABOVE

_TEXT = """\
# {name}

Energies, forces and stresses of {accepted} periodic frames of {systems} electrolyte systems, made with Saltern.

| | |
|---|---|
| version (root hash) | `{root_hash}` |
| method | {methods} |
| licence | {licence} |
| frames | {train} train, {validation} validation, {test} test |
| ledger | {requested} requested = {accepted} accepted + {quarantined} quarantined |

Whole trajectories are in one split, so neighbours in time never sit on both sides.

## Systems

| system | salt | molality (mol/kg) | T (K) | accepted | quarantined |
|---|---|---|---|---|---|
{system_rows}
{hard_regions}{recalls}
## Files

- `shards/*.h5`: accepted frames, one file a system. Plain HDF5; every dataset names its unit. Frames may differ
  in size: frame i has the atoms `offsets[i]:offsets[i + 1]`.
- `quarantine/*.h5`: frames whose labels were refused, each with its `reason`.
- `index.parquet`: one row a frame: where it is, split, energy, largest force, label key, cost.
- `manifest.json`: SHA-256 of every file, the ledger, the table of fields.

## Limits

Labels are as good as their method. Energies are the engine's totals and only differences mean anything. The
frames were sampled at the stated temperatures and densities: expect nothing of a potential trained on them far
from there.

## Fields

| name | per | unit | meaning |
|---|---|---|---|
{field_rows}
"""


def card(manifest: dict[str, Any]) -> str:
    """The text of a release's README.md."""
    ledger = manifest["ledger"]
    return _TEXT.format(
        **{key: manifest[key] for key in ("name", "root_hash", "licence")},
        **manifest["frames"],
        methods=", ".join(manifest["methods"]),
        systems=len(manifest["systems"]),
        requested=ledger["requested"],
        accepted=ledger["accepted"],
        quarantined=ledger["quarantined"],
        hard_regions=_hard_regions(manifest),
        recalls=_recalls(manifest["recalls"]),
        system_rows="\n".join(_system_row(s, about, ledger) for s, about in manifest["systems"].items()),
        field_rows="\n".join(
            f"| `{name}` | {f['per']} | {f['unit']} | {f['meaning']} |" for name, f in manifest["fields"].items()
        ),
    )


def _system_row(system: str, about: dict[str, Any], ledger: dict[str, Any]) -> str:
    """One system's line."""
    entry = ledger["systems"][system]
    quarantined = ", ".join(f"{count} {reason}" for reason, count in entry["quarantined"].items()) or "0"
    return (
        f"| `{system}` | {about['system']['salt'] or 'none'} | {about['molality']:.3f} | "
        f"{about['system']['temperature']:g} | {entry['accepted']} | {quarantined} |"
    )


def _hard_regions(manifest: dict[str, Any]) -> str:
    """What the dataset has too little of, in words."""
    ledger = manifest["ledger"]
    if not ledger["hard_regions"]:
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


def _recalls(recalls: dict[str, Any]) -> str:
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
