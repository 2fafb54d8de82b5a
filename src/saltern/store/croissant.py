"""A release's description for dataset search and loaders: Croissant 1.0, which is JSON-LD.

Specification: https://docs.mlcommons.org/croissant/docs/croissant-spec-1.0.html
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import numpy as np

from saltern.fields import FIELDS
from saltern.store.card import KEYWORDS, authors_of
from saltern.store.statistics import labels_in_words
from saltern.store.versions import SHORT

if TYPE_CHECKING:
    import pandas as pd

_CONTEXT = {
    "@language": "en",
    "@vocab": "https://schema.org/",
    "citeAs": "cr:citeAs",
    "column": "cr:column",
    "conformsTo": "dct:conformsTo",
    "cr": "http://mlcommons.org/croissant/",
    "rai": "http://mlcommons.org/croissant/RAI/",
    "data": {"@id": "cr:data", "@type": "@json"},
    "dataType": {"@id": "cr:dataType", "@type": "@vocab"},
    "dct": "http://purl.org/dc/terms/",
    "equivalentProperty": "cr:equivalentProperty",
    "examples": {"@id": "cr:examples", "@type": "@json"},
    "extract": "cr:extract",
    "field": "cr:field",
    "fileProperty": "cr:fileProperty",
    "fileObject": "cr:fileObject",
    "fileSet": "cr:fileSet",
    "format": "cr:format",
    "includes": "cr:includes",
    "isLiveDataset": "cr:isLiveDataset",
    "jsonPath": "cr:jsonPath",
    "key": "cr:key",
    "md5": "cr:md5",
    "parentField": "cr:parentField",
    "path": "cr:path",
    "recordSet": "cr:recordSet",
    "references": "cr:references",
    "regex": "cr:regex",
    "repeated": "cr:repeated",
    "replace": "cr:replace",
    "samplingRate": "cr:samplingRate",
    "sc": "https://schema.org/",
    "separator": "cr:separator",
    "source": "cr:source",
    "subField": "cr:subField",
    "transform": "cr:transform",
}
"""The context that the specification gives, with what mlcroissant 1.1 adds to it."""

_INDEX = "index.parquet"
_FORMATS = {".parquet": "application/x-parquet", ".h5": "application/x-hdf5"}
_TYPES = {"b": "sc:Boolean", "i": "sc:Integer", "u": "sc:Integer", "f": "sc:Float"}
_COLUMNS = {
    "file": "file of the release that holds the frame",
    "row": "number of the frame in that file",
    "salt": "salt, empty for the pure solvent",
    "molality": "molality that was reached (mol/kg)",
    "atoms": "number of atoms",
    "max_force": "largest force on an atom (eV/Å)",
    "checksum": "checksum of everything that is stored of the frame",
    "split": "train, validation or test; empty for frames that are not accepted",
}
"""Columns of the index that are no stored quantities."""


def croissant(manifest: Mapping[str, Any], index: pd.DataFrame) -> dict[str, Any]:
    """The content of a release's croissant.json.

    Args:
        manifest: with `files`, the index and the shards among them; `date` (ISO 8601) says when it was published.
        index: the release's index, of which only the columns' names and types are looked at.

    Returns:
        what JSON can hold. The files are named relative to the release, in which croissant.json stands.
    """
    version, cited = manifest["root_hash"][:SHORT], " and ".join(authors_of(manifest))
    content = {
        "@context": _CONTEXT,
        "@type": "sc:Dataset",
        "conformsTo": "http://mlcommons.org/croissant/1.0",
        "name": manifest["name"],
        "description": _description(manifest),
        "license": f"https://spdx.org/licenses/{manifest['licence']}.html",
        # versions follow each other by content, which semantic versioning has a place for behind the plus
        "version": f"1.0.0+{version}",
        "citeAs": f"{cited}: {manifest['name']}, dataset, version {version}",
        "creator": [_creator(name) for name in authors_of(manifest)],
        "keywords": KEYWORDS,
        "distribution": _distribution(manifest["files"]),
        "recordSet": [_frames(index)],
    }
    return {**content, "datePublished": manifest["date"]} if manifest.get("date") else content


def _description(manifest: Mapping[str, Any]) -> str:
    """What it is, in a sentence."""
    frames = sum(manifest["frames"].values())
    salts = sorted({about["system"]["salt"] or "pure solvent" for about in manifest["systems"].values()})
    labels = labels_in_words(manifest.get("statistics"))
    return (
        f"{labels} of {frames} periodic frames of {len(manifest['systems'])} electrolyte systems "
        f"({', '.join(salts)}), method {', '.join(manifest['methods'])}. README.md is for people."
    )


def _creator(name: str) -> dict[str, str]:
    """'Family, Given' is a person, anything else an organization."""
    family, comma, given = (part.strip() for part in name.partition(","))
    if comma and given:
        return {"@type": "sc:Person", "name": f"{given} {family}", "familyName": family, "givenName": given}
    return {"@type": "sc:Organization", "name": name}


def _distribution(files: Mapping[str, Any]) -> list[dict[str, Any]]:
    """The index and every shard; a file is a hash, or a hash and a size."""
    wanted = [name for name in sorted(files) if name == _INDEX or name.endswith(".h5")]
    return [
        _file(name, files[name] if isinstance(files[name], Mapping) else {"sha256": files[name]}) for name in wanted
    ]


def _file(name: str, seal: Mapping[str, Any]) -> dict[str, Any]:
    """One file with its checksum."""
    entry = {
        "@type": "cr:FileObject",
        "@id": name,
        "name": name,
        "contentUrl": name,
        "encodingFormat": _FORMATS["." + name.rsplit(".", 1)[-1]],
        "sha256": seal["sha256"],
    }
    return {**entry, "contentSize": f"{seal['bytes']} B"} if "bytes" in seal else entry


def _frames(index: pd.DataFrame) -> dict[str, Any]:
    """The records of the index: one a frame."""
    return {
        "@type": "cr:RecordSet",
        "@id": "frames",
        "name": "frames",
        "description": "One record a frame, quarantined ones included: where it is, what it is, what it cost.",
        "field": [_field(str(name), index[name].dtype) for name in index.columns],
    }


def _field(name: str, dtype: Any) -> dict[str, Any]:
    """One column."""
    entry = FIELDS.get(name)
    meaning = _COLUMNS.get(name, name)
    if entry is not None:
        meaning = f"{entry.meaning} ({entry.unit})" if entry.unit else entry.meaning
    kind = dtype.kind if isinstance(dtype, np.dtype) else "O"
    return {
        "@type": "cr:Field",
        "@id": f"frames/{name}",
        "name": name,
        "description": meaning,
        "dataType": _TYPES.get(kind, "sc:Text"),
        "source": {"fileObject": {"@id": _INDEX}, "extract": {"column": name}},
    }
