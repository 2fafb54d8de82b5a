"""The store: the only place that knows how frames lie on disk."""

from saltern.store.collect import collect_system
from saltern.store.derive import Source, derive, import_frames
from saltern.store.files import file_hash, read_json, text_hash, whole_file, write_json
from saltern.store.hdf5 import read_frames, read_metadata, write_frames
from saltern.store.journal import Journal
from saltern.store.labels import LabelStore
from saltern.store.ledger import Account, Ledger, ledger_of
from saltern.store.parallel import Workers
from saltern.store.part import PartWriter, size_of
from saltern.store.query import query
from saltern.store.reader import TRAINING, FrameReader
from saltern.store.release import Release, open_release, write_release
from saltern.store.shard import Shard, frame_checksums, write_shard
from saltern.store.statistics import statistics_tables
from saltern.store.trajectories import read_trajectories, spaced_frames, write_trajectories
from saltern.store.versions import History, changes

__all__ = [
    "TRAINING",
    "Account",
    "FrameReader",
    "History",
    "Journal",
    "LabelStore",
    "Ledger",
    "PartWriter",
    "Release",
    "Shard",
    "Source",
    "Workers",
    "changes",
    "collect_system",
    "derive",
    "file_hash",
    "frame_checksums",
    "import_frames",
    "ledger_of",
    "open_release",
    "query",
    "read_frames",
    "read_json",
    "read_metadata",
    "read_trajectories",
    "size_of",
    "spaced_frames",
    "statistics_tables",
    "text_hash",
    "whole_file",
    "write_frames",
    "write_json",
    "write_release",
    "write_shard",
    "write_trajectories",
]
