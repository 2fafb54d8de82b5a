"""The pinned versions in envs/ fit pyproject.toml and each other."""

import hashlib
import tomllib
from pathlib import Path

import pytest
import yaml
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

ROOT = Path(__file__).parents[2]
ENVS = ROOT / "envs"
NETWORKS = ("nequip", "mace", "sevennet")


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


@pytest.mark.parametrize(
    ("name", "extra"),
    [
        ("core.lock.txt", None), ("dev.lock.txt", None), ("dev.lock.txt", "dev"),
        *[(f"{network}.lock.txt", extra) for network in NETWORKS for extra in (None, network)],
    ],
)  # fmt: skip
def test_every_dependency_is_locked_at_a_version_that_satisfies_it(name: str, extra: str | None) -> None:
    locked = {**lock(name), **lock("torch.txt")}
    wrong = [str(r) for r in wanted(extra) if locked.get(canonicalize_name(r.name), "0") not in r.specifier]
    assert not wrong, f"run 'make lock': {wrong}"


def test_torch_and_its_cuda_libraries_are_in_no_lock_that_is_always_installed() -> None:
    chosen_at_install = {*lock("torch.txt"), *lock("cuda.lock.txt")}
    assert "torch" in chosen_at_install
    assert not chosen_at_install & {*lock("core.lock.txt"), *lock("dev.lock.txt")}


@pytest.mark.parametrize("name", ["dev", *NETWORKS])
def test_what_is_added_to_what_users_run_changes_nothing_of_it(name: str) -> None:
    assert lock("core.lock.txt").items() < lock(f"{name}.lock.txt").items()


@pytest.mark.parametrize("name", ["core", "cp2k"])
def test_conda_environment_holds_the_locked_versions(name: str) -> None:
    environment = yaml.safe_load((ENVS / f"{name}.yaml").read_text())
    *conda, last = environment["dependencies"]
    assert all("=" in package for package in conda)
    assert pins(last["pip"]) == lock("core.lock.txt")
    assert (ENVS / f"{name}.post-deploy.sh").is_file(), "adds torch, and Saltern"


@pytest.mark.parametrize("name", NETWORKS)
def test_conda_environment_of_a_network_is_made_anew_when_its_lock_changes(name: str) -> None:
    text = (ENVS / f"{name}.yaml").read_text()
    found = hashlib.sha256((ENVS / f"{name}.lock.txt").read_bytes()).hexdigest()[:16]
    assert f"# Sum of envs/{name}.lock.txt: {found}\n" in text, "run 'make lock'"
    assert f'"$CONDA_PREFIX" {name}' in (ENVS / f"{name}.post-deploy.sh").read_text()
