"""Learning: from a dataset release to a committee of networks, and how wrong they are."""

from saltern.learning.errors import held_out_errors
from saltern.learning.group import ALONE, Group, LostProcessError, joined
from saltern.learning.rest import at_rest
from saltern.learning.stream import Loader, ReleaseFrames, ShuffledShare
from saltern.learning.train import train

__all__ = [
    "ALONE",
    "Group",
    "Loader",
    "LostProcessError",
    "ReleaseFrames",
    "ShuffledShare",
    "at_rest",
    "held_out_errors",
    "joined",
    "train",
]
