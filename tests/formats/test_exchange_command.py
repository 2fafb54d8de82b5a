"""`saltern dataset import` and `export` as a user types them, on data that others made."""

from pathlib import Path

import numpy as np
import pytest

from saltern.cli import main
from saltern.store import open_release

WATER = Path(__file__).parents[2].parent / "shared/data/water-pbe0ts"
needs_water = pytest.mark.skipif(not WATER.exists(), reason="needs shared/data/water-pbe0ts beside the checkout")


def take(target: Path, *more: str) -> int:
    told = ["--format", "deepmd", "--system", "water", "--temperature", "330", "--method", "PBE0-TS"]
    return main(["dataset", "import", str(WATER), str(target), *told, *more])


@needs_water
def test_published_water_comes_in_and_goes_out_unchanged(tmp_path, capsys):
    assert take(tmp_path / "water", "--near-duplicate-A", "0") == 0
    release = open_release(tmp_path / "water")
    release.verify()
    assert len(release.index) == 320
    assert len(release.manifest["origin"]["imported"]["sha256"]) == 64
    assert release.manifest["methods"] == ["PBE0-TS"], "the program is not known"
    source = [np.load(path) for path in sorted(WATER.glob("data_*/set.*/force.npy"))]
    frames = release.reader().frames(np.arange(320))
    found = np.sort(np.linalg.norm(frames["forces"], axis=1))
    expected = np.linalg.norm(np.concatenate([f.reshape(-1, 3) for f in source]).astype(float), axis=1)
    np.testing.assert_array_equal(found, np.sort(expected))
    assert main(["dataset", "export", str(tmp_path / "water"), str(tmp_path / "out"), "--format", "deepmd"]) == 0
    back = [np.load(path) for path in (tmp_path / "out").rglob("force.npy")]
    assert sum(map(len, back)) == 320
    np.testing.assert_array_equal(np.sort(np.concatenate(back).ravel()), np.sort(frames["forces"].ravel()))


@needs_water
@pytest.mark.parametrize(
    ("more", "reason"),
    [
        ([], "near_duplicate_A"),
        (["--force-unit", "kcal/mol/Å"], "would fit"),
        (["--charges", "Na"], "ELEMENT=CHARGE"),
        (["--format", "extxzy"], "did you mean 'extxyz'"),
    ],
)
def test_what_cannot_be_right_is_refused_and_nothing_is_left(tmp_path, capsys, more, reason):
    assert take(tmp_path / "water", *more) == 2
    assert reason in capsys.readouterr().err
    assert list(tmp_path.iterdir()) == []
