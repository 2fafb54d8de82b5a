"""The store: the only place that knows how frames lie on disk."""

from saltern.store.collect import collect_system
from saltern.store.files import file_hash, read_json, text_hash, whole_file, write_json
from saltern.store.hdf5 import read_frames, read_metadata, write_frames
from saltern.store.journal import Journal
from saltern.store.labels import LabelStore
from saltern.store.ledger import Account, Ledger, ledger_of
from saltern.store.release import Release, open_release, write_release

__all__ = [
    "Account",
    "Journal",
    "LabelStore",
    "Ledger",
    "Release",
    "collect_system",
    "file_hash",
    "ledger_of",
    "open_release",
    "read_frames",
    "read_json",
    "read_metadata",
    "text_hash",
    "whole_file",
    "write_frames",
    "write_json",
    "write_release",
]
