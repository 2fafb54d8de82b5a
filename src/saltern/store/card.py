"""The dataset card: what a person who finds the release wants to know first."""

from __future__ import annotations

from typing import Any

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
