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
    export.name: export
    for export in (
        Export("extxyz", "extended XYZ as ASE and MACE read it, every number with every bit", export_extxyz),
        Export("ase-db", "ASE database in SQLite", export_ase_db),
        Export("lmdb", "LMDB in FAIR Chemistry's ASE-LMDB layout", export_ase_lmdb),
        Export("deepmd", "DeePMD-kit npy directories", export_deepmd),
        Export("nequip", "extended XYZ with a nequip.yaml that trains as it stands", export_nequip),
        Export("mace", "extended XYZ with a mace.yaml that trains as it stands", export_mace),
    )
}
"""Formats that a release can be written in, by name."""

IMPORTS: dict[str, Import] = {
    entry.name: entry
    for entry in (
        Import("extxyz", "extended XYZ with energies and forces", import_extxyz),
        Import("deepmd", "DeePMD-kit npy directories", import_deepmd),
        Import("cp2k", "XYZ positions with the forces that CP2K prints, or a file of forces", import_cp2k),
    )
}
"""Formats that a dataset can be read from, by name."""

__all__ = ["EXPORTS", "IMPORTS", "Export", "Import", "ImportOptions", "Splits", "provenance"]
