"""What tests of the campaign file share."""

from pathlib import Path
from typing import Any

import pytest


@pytest.fixture
def published(tmp_path: Path) -> dict[str, Any]:
    """A level whose two potentials and dataset are there, as far as a campaign file can see."""
    files = [tmp_path / f"{name}.safetensors" for name in ("one", "two")]
    (tmp_path / "dataset").mkdir()
    for file in files:
        file.touch()
    (tmp_path / "dataset/manifest.json").write_text('{"frames": {"test": 2}}')
    teacher = {"engine": "published", "potentials": list(map(str, files)), "dataset": str(tmp_path / "dataset")}
    return {"name": "atoms", "teacher": teacher}
