"""What the person at the terminal meets."""

import subprocess
import sys
from pathlib import Path

import pytest

from saltern.cli import main

ROOT = Path(__file__).parents[2]
COMPARED = '{"baseline": {}, "student": {}, "train": {"objective": "relative_entropy"}}'
STARTED = '{"baseline": {}, "student": {}, "train": {"start_level": "cheap"}}'


def test_validate_says_what_is_there(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["validate", str(ROOT / "config/demo.yaml")]) == 0
    assert "8 systems" in capsys.readouterr().out


def test_validate_tells_each_mistake_in_one_line_and_exits_with_2(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    wrong = (ROOT / "config/demo.yaml").read_text().replace("NaCl", "NaCI").replace("epochs", "epoch")
    (tmp_path / "wrong.yaml").write_text(wrong)
    assert main(["validate", str(tmp_path / "wrong.yaml")]) == 2
    captured = capsys.readouterr()
    assert captured.out == ""
    assert captured.err.count("\n") == 1, "the schema first: chemistry is checked once the keys are right"
    assert "did you mean 'epochs'?" in captured.err
    (tmp_path / "wrong.yaml").write_text(wrong.replace("epoch:", "epochs:"))
    assert main(["validate", str(tmp_path / "wrong.yaml")]) == 2
    assert "did you mean 'NaCl'?" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["validate", "nowhere.yaml"], "nowhere.yaml: cannot be read"),
        (["dataset", "verify", "nowhere"], "cannot be read"),
        (["compose", "x.h5", "--system", '{"salt": "NaCl", "molalty": 2}'], "--system: molalty"),
        (
            ["label", "nowhere.h5", "x.h5", "--frames", "0:2", "--store", "s", "--spec", "{}"],
            "nowhere.h5: no such file",
        ),
        (
            ["sample", "nowhere.h5", "x.h5", "--spec", '{"sample": {"engine": "potential", "level": "cheap"}}'],
            "--potentials: required with sample.level: cheap; give its committee",
        ),
        (
            ["train", "nowhere", "x", "x.csv", "--member=0", "--start", f"--spec={STARTED}"],
            "--start: required with train.start_level: cheap; give its potential",
        ),
        (
            ["train", "nowhere", "x", "x.csv", "--member=0", "--start=y", "--simulated", f"--spec={COMPARED}"],
            "--simulated: required, with --start, with train.objective: relative_entropy",
        ),
    ],
)
def test_wrong_input_exits_with_2_and_one_line(
    arguments: list[str], said: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(arguments) == 2
    error = capsys.readouterr().err
    assert said in error
    assert error.count("\n") == 1


def test_wrong_arguments_exit_with_2() -> None:
    with pytest.raises(SystemExit) as caught:
        main(["label", "a", "b", "--frames", "5:2", "--store", "s", "--spec", "{}"])
    assert caught.value.code == 2


def test_help_is_quick_and_imports_nothing_heavy() -> None:
    """Every cluster job parses the Snakefile, so what that imports must stay light."""
    heavy = ["torch", "openmm", "tblite", "pymatgen", "matplotlib", "pandas", "e3nn", "scipy", "h5py"]
    code = f"import sys, saltern.cli, saltern.config, saltern.systems; print([m for m in {heavy} if m in sys.modules])"
    found = subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True).stdout
    assert found.strip() == "[]"


def test_every_command_explains_itself() -> None:
    from saltern.cli import parser

    commands = next(a for a in parser()._actions if hasattr(a, "choices") and a.choices)
    for name in commands.choices:
        with pytest.raises(SystemExit) as caught:
            main([name, "--help"])
        assert caught.value.code == 0
