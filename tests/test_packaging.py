"""The wheel: built from a copy of the tree without a network, looked into, installed, and run outside the tree."""

import os
import re
import shutil
import subprocess
import sys
import tomllib
import zipfile
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
PACKAGES = ("compare", "ref", "scratch")
BESIDES = ("tests", "docs", "runs")
MADE = shutil.ignore_patterns("__pycache__", "events.out.*", "*.egg-info")


def run(*arguments: str | Path, cwd: Path, **environment: str) -> str:
    """Output of one Python process; what it says on standard error is shown where it fails."""
    done = subprocess.run([sys.executable, *arguments], cwd=cwd, env=os.environ | environment,
                          capture_output=True, text=True)  # fmt: skip
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The wheel of a copy of the tree, with a folder beside the packages that only looks like one of them."""
    tree = tmp_path_factory.mktemp("tree")
    for name in (*PACKAGES, *BESIDES):
        if (ROOT / name).is_dir():
            shutil.copytree(ROOT / name, tree / name, ignore=MADE)
    for name in ("pyproject.toml", "README.md", "LICENSE"):
        shutil.copy(ROOT / name, tree)
    for name in ("reference", "scratchpad"):
        (tree / name).mkdir()
        (tree / name / "__init__.py").touch()
    out = tmp_path_factory.mktemp("dist")
    run("-m", "pip", "wheel", "--no-index", "--no-deps", "--no-build-isolation", "--wheel-dir", out, tree, cwd=out)
    (built,) = out.glob("*.whl")
    return built


@pytest.fixture(scope="module")
def installed(wheel: Path) -> Path:
    target = wheel.parent / "installed"
    run("-m", "pip", "install", "--no-index", "--no-deps", "--target", target, wheel, cwd=wheel.parent)
    return target


def test_the_wheel_holds_every_file_of_the_three_packages_and_nothing_else(wheel: Path) -> None:
    held = {name for name in zipfile.ZipFile(wheel).namelist() if ".dist-info/" not in name}
    wanted = {
        path.relative_to(ROOT).as_posix()
        for package in PACKAGES
        for path in (ROOT / package).rglob("*")
        if path.is_file() and "__pycache__" not in path.parts
    }
    assert held == wanted
    assert {f"{package}/py.typed" for package in PACKAGES} <= held
    assert any(name.startswith("compare/templates/") for name in held)


def test_the_wheel_says_what_it_is_and_carries_the_licence(wheel: Path) -> None:
    parts = zipfile.ZipFile(wheel)
    told = parts.read(next(n for n in parts.namelist() if n.endswith(".dist-info/METADATA"))).decode()
    assert "Name: gradtwin\n" in told
    assert "License-Expression: MIT\n" in told
    assert "Requires-Python: >=3.11\n" in told
    assert any(n.endswith(".dist-info/licenses/LICENSE") for n in parts.namelist())
    scripts = parts.read(next(n for n in parts.namelist() if n.endswith(".dist-info/entry_points.txt"))).decode()
    assert "gradtwin = compare.cli:main" in scripts


def test_the_installed_wheel_runs_outside_the_tree(installed: Path, tmp_path: Path) -> None:
    told = run("-c", "import compare; print(compare.__file__)", cwd=tmp_path, PYTHONPATH=str(installed))
    assert Path(told.strip()).is_relative_to(installed)
    shown = run("-m", "compare", "--help", cwd=tmp_path, PYTHONPATH=str(installed))
    assert "verify" in shown
    listed = run("-m", "compare", "list", "--json", "-", "--quiet", cwd=tmp_path, PYTHONPATH=str(installed))
    assert '"softmax_objective"' in listed


def test_a_file_that_is_no_package_data_would_be_missed(wheel: Path, tmp_path: Path) -> None:
    stripped = tmp_path / wheel.name
    with zipfile.ZipFile(wheel) as parts, zipfile.ZipFile(stripped, "w") as fewer:
        for name in parts.namelist():
            if name != "compare/py.typed":
                fewer.writestr(name, parts.read(name))
    with pytest.raises(AssertionError):
        test_the_wheel_holds_every_file_of_the_three_packages_and_nothing_else(stripped)


def test_every_direct_dependency_is_pinned_within_its_bound() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    wanted = [*project["dependencies"], *(d for extra in project["optional-dependencies"].values() for d in extra)]
    lines = (ROOT / "constraints.txt").read_text(encoding="utf-8").splitlines()
    pinned = dict(line.lower().split("==") for line in lines if line and not line.startswith("#"))

    def figures(text: str) -> list[int]:
        return [int(x) for x in re.findall(r"\d+", text)]

    for line in wanted:
        name, least = line.lower().split(">=")
        pin = next(v for n, v in pinned.items() if n.replace("_", "-") == name)
        assert figures(pin) >= figures(least), name


def test_no_file_for_people_names_an_index_or_a_host() -> None:
    for name in ("Makefile", "constraints.txt", ".pre-commit-config.yaml", ".ci/run", "pyproject.toml"):
        text = (ROOT / name).read_text(encoding="utf-8")
        assert "://" not in text
        assert "index-url" not in text
