"""Formats of other programs: what releases are exported to, and datasets imported from."""

from saltern.store.formats.ase_db import export_ase_db
from saltern.store.formats.ase_lmdb import export_ase_lmdb
from saltern.store.formats.base import Export, Import, ImportOptions, Splits, provenance
from saltern.store.formats.cp2k import import_cp2k
from saltern.store.formats.deepmd import export_deepmd, import_deepmd
from saltern.store.formats.extxyz import export_extxyz, import_extxyz
from saltern.store.formats.mace import export_mace
from saltern.store.formats.nequip import export_nequip

EXPORTS: dict[str, Export] = {
    "extxyz": export_extxyz,
    "ase-db": export_ase_db,
    "lmdb": export_ase_lmdb,
    "deepmd": export_deepmd,
    "nequip": export_nequip,
    "mace": export_mace,
}
"""Formats that a release can be written in, by name."""

IMPORTS: dict[str, Import] = {"extxyz": import_extxyz, "deepmd": import_deepmd, "cp2k": import_cp2k}
"""Formats that a dataset can be read from, by name."""

__all__ = ["EXPORTS", "IMPORTS", "Export", "Import", "ImportOptions", "Splits", "provenance"]
