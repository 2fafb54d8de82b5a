"""Learning: from a dataset release to a committee of networks, and how wrong they are."""

from saltern.learning.errors import held_out_errors
from saltern.learning.group import ALONE, Group, LostProcessError, joined
from saltern.learning.stream import ReleaseFrames, ShuffledShare, loader
from saltern.learning.train import train

__all__ = [
    "ALONE",
    "Group",
    "LostProcessError",
    "ReleaseFrames",
    "ShuffledShare",
    "held_out_errors",
    "joined",
    "loader",
    "train",
]
