"""The finished parts of a file that is not yet whole."""

from __future__ import annotations

import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from saltern.frames import Frames
from saltern.store.files import whole_file
from saltern.store.hdf5 import read_frames, read_metadata, write_frames


class Journal:
    """A directory of numbered parts, each whole, so that a killed job loses only the part in flight.

    The directory belongs to one question: `identity` is any text that changes with it, such as a hash of inputs
    and specification. Parts of another question are thrown away.
    """

    def __init__(self, directory: str | Path, identity: str) -> None:
        self._directory = Path(directory)
        mark = self._directory / "identity"
        if not mark.exists() or mark.read_text(encoding="utf-8") != identity:
            self.discard()
            with whole_file(mark) as temporary:
                temporary.write_text(identity, encoding="utf-8")

    def parts(self) -> list[int]:
        """Numbers of the finished parts, in order."""
        return sorted(int(path.stem) for path in self._directory.glob("[0-9]*.h5"))

    def write(
        self, part: int, frames: Frames, metadata: Mapping[str, Any] | None = None, state: bytes | None = None
    ) -> None:
        """Add a finished part; `state` is what its writer needs to go on."""
        if state is not None:
            with whole_file(self._state(part)) as temporary:
                temporary.write_bytes(state)
        write_frames(self._path(part), frames, metadata)

    def read(self, part: int) -> Frames:
        """The frames of a finished part."""
        return read_frames(self._path(part))

    def metadata(self, part: int) -> dict[str, Any]:
        """What was written about a finished part."""
        return read_metadata(self._path(part))

    def state(self, part: int) -> bytes:
        """What the writer of a finished part needs to go on."""
        return self._state(part).read_bytes()

    def cut(self, parts: int) -> None:
        """Keep so many parts and forget what came after."""
        for part in self.parts()[parts:]:
            self._path(part).unlink()

    def discard(self) -> None:
        """Remove the directory: the file it led to is whole, or nobody asks for it any more."""
        shutil.rmtree(self._directory, ignore_errors=True)

    def _path(self, part: int) -> Path:
        return self._directory / f"{part:06d}.h5"

    def _state(self, part: int) -> Path:
        return self._directory / f"{part:06d}.state"
