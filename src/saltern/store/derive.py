"""New releases from old ones: what a query chose, what a merge joins; and from frames that were made elsewhere."""

from __future__ import annotations

import tempfile
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from saltern.config import USES, CollectConfig
from saltern.errors import UserError
from saltern.frames import Array, Frames
from saltern.store.part import NOT_IN_SHARDS, PartWriter
from saltern.store.release import Release, refuse_existing, write_release

if TYPE_CHECKING:
    import pandas as pd


@dataclass(frozen=True)
class Source:
    """Some frames of a release.

    Attributes:
        release: where they are.
        rows: theirs of its index.
        prefix: what is put before the names of their trajectories.
    """

    release: Release
    rows: pd.DataFrame
    prefix: str = ""


def derive(sources: Sequence[Source], name: str, directory: Path, origin: Mapping[str, Any]) -> None:
    """Make a release of frames that are in others. They keep their splits; one that is in several comes once.

    Args:
        sources: the frames.
        name: name of the new dataset.
        directory: the new release.
        origin: how it came about, for the manifest.

    Raises:
        UserError: when there are no frames, or the releases contradict each other.
    """
    rows = _joined(sources)
    abouts = _abouts(sources)
    splits = dict(zip(rows["label_key"], rows["split"], strict=True))
    config = CollectConfig(licence=_licence(sources), near_duplicate_A=0)
    with tempfile.TemporaryDirectory(dir=_place(directory), prefix=f".{directory.name}.") as place:
        parts = []
        for system, chosen in rows.groupby("system", sort=True):
            parts.append(Path(place) / str(system))
            with PartWriter(parts[-1], str(system), abouts[str(system)], len(chosen)) as part:
                for number, share in chosen.groupby("source", sort=True):
                    source = sources[int(str(number))]
                    for frames in _with_costs(source.release, share):
                        part.add(frames.with_arrays(trajectory=_named(frames["trajectory"], source.prefix)))
        write_release(parts, name, config, directory, _recalls(sources), splits=splits, origin=origin)


def import_frames(
    batches: Iterable[Frames],
    abouts: Mapping[str, Mapping[str, Any]],
    name: str,
    config: CollectConfig,
    directory: Path,
    origin: Mapping[str, Any],
) -> None:
    """Make a release of frames that were labelled elsewhere.

    Args:
        batches: the frames, some at a time.
        abouts: what is known of each of their systems: `system` with `salt`, `temperature` and `role`; `molality`.
        name: name of the dataset.
        config: splits and licence.
        directory: the release.
        origin: where they come from, for the manifest.

    Raises:
        UserError: when there are no frames.
    """
    with tempfile.TemporaryDirectory(dir=_place(directory), prefix=f".{directory.name}.") as place:
        parts = {system: Path(place) / system for system in abouts}
        with ExitStack() as stack:
            writers = {s: stack.enter_context(PartWriter(parts[s], s, about)) for s, about in abouts.items()}
            for frames in batches:
                for system in dict.fromkeys(frames["system"].tolist()):
                    chosen = frames["system"] == system
                    writers[system].add(frames if chosen.all() else frames.select(chosen))
        write_release(list(parts.values()), name, config, directory, origin=origin)


def _place(directory: Path) -> Path:
    """Where a release is prepared: beside its place, for shards are linked and not copied."""
    refuse_existing(directory)
    directory.parent.mkdir(parents=True, exist_ok=True)
    return directory.parent


def _joined(sources: Sequence[Source]) -> pd.DataFrame:
    """The rows of all sources with the number of their source, each label key once.

    Raises:
        UserError: when there are none, or two sources contradict each other.
    """
    import pandas as pd

    columns = ["label_key", "checksum", "split", "system", "trajectory", "file", "row"]
    own = [
        s.rows[columns].assign(source=number, trajectory=_named(s.rows["trajectory"].to_numpy(), s.prefix))
        for number, s in enumerate(sources)
    ]
    rows = pd.concat(own, ignore_index=True)
    if rows.empty:
        raise UserError("no frame is chosen")
    answers = rows.groupby("label_key")["checksum"].nunique()
    if (answers > 1).any():
        key = answers.index[answers > 1][0]
        raise UserError(
            f"{(answers > 1).sum()} frames have different labels in the releases, such as {key}; "
            "recall the wrong ones and release again"
        )
    split = rows["split"].where(rows["split"] != "")
    splits = split.groupby([rows["system"], rows["trajectory"]]).nunique()
    if (splits > 1).any() and len(sources) > 1:
        system, trajectory = splits.index[splits > 1][0]
        raise UserError(
            f"trajectory {trajectory} of {system} is in different splits of the releases; where they mean different "
            "trajectories by it, say --apart"
        )
    return rows.drop_duplicates("label_key")


def _named(trajectories: Array, prefix: str) -> Array:
    """Names of trajectories with what is put before them."""
    return np.array([f"{prefix}{name}" for name in trajectories], dtype=np.str_) if prefix else trajectories


def _abouts(sources: Sequence[Source]) -> dict[str, Mapping[str, Any]]:
    """What is known of every system, by the first source that has it; what its campaign does with it may differ.

    Raises:
        UserError: when two sources know different things of one.
    """
    found: dict[str, Mapping[str, Any]] = {}
    for source in sources:
        for system, about in source.release.manifest["systems"].items():
            if _substance(found.setdefault(system, about)) != _substance(about):
                raise UserError(f"{source.release.directory}: {system} is another system than in the release before")
    return found


def _substance(about: Mapping[str, Any]) -> dict[str, Any]:
    """What is known of a system, less what a campaign calls it and does with it."""
    system = {name: value for name, value in about["system"].items() if name not in USES}
    return {**about, "system": system}


def _licence(sources: Sequence[Source]) -> str:
    """The licence of all sources.

    Raises:
        UserError: when they differ.
    """
    found = sorted({source.release.manifest["licence"] for source in sources})
    if len(found) > 1:
        raise UserError(f"the releases have different licences: {', '.join(found)}")
    return str(found[0])


def _recalls(sources: Sequence[Source]) -> dict[str, Any]:
    """Reason and date of every recall that the sources know."""
    return {name: about for source in sources for name, about in source.release.manifest["recalls"].items()}


def _with_costs(release: Release, share: pd.DataFrame) -> Iterator[Frames]:
    """Frames of a release, with what is in its index only."""
    index = release.index.loc[release.index["label_key"].isin(share["label_key"])]
    known = [name for name in NOT_IN_SHARDS if name in index]
    start = 0
    for frames in release.reader_of(index).batches():
        rows = index.iloc[start : start + len(frames)]
        yield frames.with_arrays(**{name: rows[name].to_numpy() for name in known})
        start += len(frames)
