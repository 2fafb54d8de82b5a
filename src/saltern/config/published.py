"""A dataset that is there already, and maybe potentials, in place of a teacher."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated, Literal

from pydantic import AfterValidator, Field
from pydantic_core import PydanticCustomError

from saltern.config.base import Section


def _file(path: str) -> str:
    """A file that is there."""
    if not Path(path).is_file():
        raise PydanticCustomError("no_file", "A file that is there, as seen from where the campaign is run")
    return path


def _release(path: str) -> str:
    """A dataset release that is there and has frames to tell errors from."""
    manifest = Path(_file(str(Path(path, "manifest.json"))))
    try:
        tested = json.loads(manifest.read_text())["frames"]["test"]
    except (ValueError, LookupError, TypeError):
        return str(manifest.parent)  # what is wrong with it the first job says, which verifies it
    if not tested:
        raise PydanticCustomError("nothing_tested", "A release with test frames; saltern dataset merge joins releases")
    return str(manifest.parent)


class PublishedTeacher(Section):
    """What others have labelled or learned: the level asks for no label.

    With a dataset alone it trains its student on that and goes on as every level does. With potentials, too, it only
    simulates and observes; of the student say its `network` then, if it is one of another package, and of `baseline`
    and `train` nothing. `label` and `collect` have nothing to say either way. Give `sample: {engine: packed}` where the
    frames are of ions alone, without solvent.
    """

    engine: Literal["published"] = "published"
    """A dataset from elsewhere, or from an earlier campaign."""
    dataset: Annotated[str, AfterValidator(_release)] = Field(examples=["somewhere/dataset"])
    """The release to learn from, or that the potentials learned from. Its test frames give the errors, and its training
    frames tell what in the simulations is new to the potentials. It is verified and copied."""
    potentials: tuple[Annotated[str, AfterValidator(_file)], ...] = Field(
        (), max_length=64, examples=[["somewhere/potentials/m0000.safetensors"]]
    )
    """The committee's files; the first one drives the atoms, the spread of all is the error bar of a force. Without any
    the committee is trained."""

    @property
    def method(self) -> str:
        """What stands for the level of theory."""
        return "published"
