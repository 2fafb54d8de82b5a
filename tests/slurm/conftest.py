"""A campaign for the tests of this folder; the cluster itself is in tests/conftest.py."""

from pathlib import Path

import pytest
import yaml

ROOT = Path(__file__).parents[2]


@pytest.fixture(scope="module")
def one_system(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The tiny campaign with one system and one committee member: every rule, and half of the jobs."""
    campaign = yaml.safe_load((ROOT / "tests/workflow/tiny.yaml").read_text())
    del campaign["systems"][1:]
    campaign["levels"][0]["student"]["committee"] = 1
    path = tmp_path_factory.mktemp("campaign") / "one-system.yaml"
    path.write_text(yaml.safe_dump(campaign))
    return path
