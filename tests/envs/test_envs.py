"""The pinned versions in envs/ fit pyproject.toml and each other."""

import tomllib
from pathlib import Path

import pytest
import yaml
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

ROOT = Path(__file__).parents[2]
ENVS = ROOT / "envs"
NEEDS_TORCH = {"e3nn", "opt-einsum-fx", "torch-pme"}


def pins(lines: list[str]) -> dict[str, str]:
    """Exact versions by package; anything but name==version is refused."""
    found = {}
    for line in lines:
        name, version = line.split("#")[0].strip().split("==")
        found[canonicalize_name(name)] = version
    return found


def lock(name: str) -> dict[str, str]:
    return pins((ENVS / name).read_text().splitlines())


def wanted(extra: str | None = None) -> list[Requirement]:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    return [Requirement(r) for r in (project["optional-dependencies"][extra] if extra else project["dependencies"])]


@pytest.mark.parametrize(("name", "extra"), [("core.lock.txt", None), ("dev.lock.txt", None), ("dev.lock.txt", "dev")])
def test_every_dependency_is_locked_at_a_version_that_satisfies_it(name: str, extra: str | None) -> None:
    locked = {**lock(name), **lock("torch.txt")}
    wrong = [str(r) for r in wanted(extra) if locked.get(canonicalize_name(r.name), "0") not in r.specifier]
    assert not wrong, f"run 'make lock': {wrong}"


def test_torch_and_its_cuda_libraries_are_in_no_lock_that_is_always_installed() -> None:
    chosen_at_install = {*lock("torch.txt"), *lock("cuda.lock.txt")}
    assert "torch" in chosen_at_install
    assert not chosen_at_install & {*lock("core.lock.txt"), *lock("dev.lock.txt")}


def test_test_tools_add_to_what_users_run_and_change_nothing_of_it() -> None:
    assert lock("core.lock.txt").items() < lock("dev.lock.txt").items()


@pytest.mark.parametrize("name", ["core", "cp2k"])
def test_conda_environment_holds_the_locked_versions(name: str) -> None:
    environment = yaml.safe_load((ENVS / f"{name}.yaml").read_text())
    *conda, last = environment["dependencies"]
    assert all("=" in package for package in conda)
    expected = {package: version for package, version in lock("core.lock.txt").items() if package not in NEEDS_TORCH}
    assert pins(last["pip"]) == expected
    assert (ENVS / f"{name}.post-deploy.sh").is_file(), "adds torch, and what needs it"
