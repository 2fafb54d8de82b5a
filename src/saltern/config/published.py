"""Potentials that are there already, in place of a teacher."""

from __future__ import annotations

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
    """A dataset release that is there."""
    return str(Path(_file(str(Path(path, "manifest.json")))).parent)


class PublishedTeacher(Section):
    """What others have learned: the level neither labels nor trains, it only simulates and observes.

    Give `sample: {engine: packed}` where the potentials know ions alone, without solvent. Of the student say its
    `network`, if it is one of another package; `label`, `collect`, `baseline` and `train` have nothing to say.
    """

    engine: Literal["published"] = "published"
    """Potentials from elsewhere, or from an earlier campaign."""
    potentials: tuple[Annotated[str, AfterValidator(_file)], ...] = Field(
        min_length=1, max_length=64, examples=[["somewhere/potentials/m0000.safetensors"]]
    )
    """The committee's files; the first one drives the atoms, the spread of all is the error bar of a force."""
    dataset: Annotated[str, AfterValidator(_release)] = Field(examples=["somewhere/dataset"])
    """The release that they learned from. Its test frames give the errors, and its training frames tell what in the
    simulations is new to the potentials. It is verified and copied."""

    @property
    def method(self) -> str:
        """What stands for the level of theory."""
        return "published"
