"""Who may import whom: parsed from every file, and seen in fresh processes."""

import ast
import graphlib
import json
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
STANDARD = set(sys.stdlib_module_names)
ALLOWED = {"scratch": {"numpy", "scratch"}, "ref": {"numpy", "torch", "ref"}}
# What judges and what writes gets records handed over; it never asks a side itself.
DEAF = ("records", "options", "bridge", "noise", "differ", "diagnose", "cases", "data", "report", "board", "cli",
        *sorted(f"commands.{p.stem}" for p in (ROOT / "compare/commands").glob("*.py")))  # fmt: skip
# Each of these imports only from those before it.
ORDER = ("records", "bridge", "noise", "differ", "diagnose", "cases", "kinds", "pairs", "data", "check", "lockstep",
         "bench", "plugin", "report", "board", "cli")  # fmt: skip


def files(package: str) -> dict[str, str]:
    """Every file of a package: dotted module name -> source."""
    found = {}
    for path in sorted((ROOT / package).rglob("*.py")):
        parts = path.relative_to(ROOT).with_suffix("").parts
        found[".".join(parts[:-1] if parts[-1] == "__init__" else parts)] = path.read_text(encoding="utf-8")
    return found


def for_types_only(node: ast.AST) -> bool:
    return isinstance(node, ast.If) and ast.unparse(node.test) in ("TYPE_CHECKING", "typing.TYPE_CHECKING")


def imported(source: str, with_types: bool = True) -> list[str]:
    """Every import of a file, at any depth, as dotted names; "from a import b" counts as a and as a.b."""

    def walk(node: ast.AST) -> Iterator[str]:
        for child in ast.iter_child_nodes(node):
            if isinstance(child, ast.Import):
                yield from (alias.name for alias in child.names)
            elif isinstance(child, ast.ImportFrom):
                module = "." * child.level + (child.module or "")
                yield module
                yield from (f"{module}.{alias.name}" for alias in child.names)
            elif for_types_only(child) and not with_types:
                for other in child.orelse:
                    yield from walk(other)
            else:
                yield from walk(child)

    return list(walk(ast.parse(source)))


def strangers(source: str, package: str) -> set[str]:
    """Top-level names that a file of this package must not import."""
    return {name.split(".")[0] for name in imported(source)} - STANDARD - ALLOWED[package]


def dynamic(source: str) -> bool:
    """Whether a file imports by a name that it computes."""
    return any(
        name.split(".")[0] in ("importlib", "runpy") and "metadata" not in name for name in imported(source)
    ) or any(isinstance(node, ast.Name) and node.id == "__import__" for node in ast.walk(ast.parse(source)))


def edges(sources: dict[str, str]) -> dict[str, set[str]]:
    """Module -> the modules among these that it imports; imports for types alone bind nothing at run time."""
    return {name: {i for i in imported(text, with_types=False) if i in sources and i != name and "." in i}
            for name, text in sources.items()}  # fmt: skip


def modules_after(statements: str) -> set[str]:
    """What a fresh Python has loaded after these statements."""
    told = f"import sys, json\n{statements}\nsys.stderr.write(json.dumps(sorted(sys.modules)))"
    done = subprocess.run([sys.executable, "-c", told], cwd=ROOT, capture_output=True, text=True, check=True)
    return set(json.loads(done.stderr.splitlines()[-1]))


def modules_of_command(arguments: list[str]) -> set[str]:
    call = f"try:\n    main({arguments!r})\nexcept SystemExit as end:\n    assert end.code == 0"
    return modules_after(f"from compare.cli import main\n{call}")


@pytest.mark.parametrize("package", ["scratch", "ref"])
def test_a_side_imports_its_library_and_itself_alone(package: str) -> None:
    found = {name: strangers(source, package) for name, source in files(package).items()}
    assert len(found) > 5
    assert {name: bad for name, bad in found.items() if bad} == {}


@pytest.mark.parametrize(
    ("package", "line", "stranger"),
    [
        ("scratch", "import torch", "torch"),
        ("scratch", "from compare import records", "compare"),
        ("scratch", "def f():\n    import scipy.special", "scipy"),
        ("scratch", "if TYPE_CHECKING:\n    from ref import losses", "ref"),
        ("ref", "from scratch.losses import hinge", "scratch"),
        ("ref", "from . import losses", ""),
    ],
)
def test_a_forbidden_import_is_seen_anywhere_in_a_file(package: str, line: str, stranger: str) -> None:
    assert strangers(f"import math\n{line}\n", package) == {stranger}


def test_compare_reaches_both_sides_by_dotted_name_and_from_one_place() -> None:
    sources = files("compare")
    direct = {n: {i for i in imported(text) if i.split(".")[0] in ("scratch", "ref")} for n, text in sources.items()}
    assert {name: bad for name, bad in direct.items() if bad} == {}
    assert "compare.sides" in [name for name, text in sources.items() if dynamic(text)]
    may = {"compare.sides", "compare.plants", "compare.plugin"}  # the sides; bugs planted in them; a user's own file
    assert {name for name, text in sources.items() if dynamic(text)} <= may


def test_what_judges_and_what_writes_asks_no_side() -> None:
    sources = files("compare")
    askers = {name for name, text in sources.items() if "compare.sides" in imported(text)}
    assert "compare.kinds" in askers
    assert askers & {f"compare.{name}" for name in DEAF} == set()


def test_the_judge_knows_no_torch() -> None:
    sources = files("compare")
    for name in ("records", "differ", "diagnose"):
        assert "torch" not in {i.split(".")[0] for i in imported(sources[f"compare.{name}"])}


@pytest.mark.parametrize("package", ["scratch", "ref", "compare"])
def test_no_import_goes_in_a_circle(package: str) -> None:
    order = list(graphlib.TopologicalSorter(edges(files(package))).static_order())
    assert len(order) >= len(files(package))


def test_a_circle_is_seen_even_through_an_import_inside_a_function() -> None:
    planted = {"p.a": "from p import b", "p.b": "def f():\n    import p.c", "p.c": "from p.a import x"}
    with pytest.raises(graphlib.CycleError):
        list(graphlib.TopologicalSorter(edges(planted)).static_order())


def test_compare_imports_only_upwards_in_its_order() -> None:
    needs = edges(files("compare"))
    rank = {f"compare.{name}": i for i, name in enumerate(ORDER)}
    below = {(a, b) for a, wanted in needs.items() for b in wanted if a in rank and b in rank and rank[a] < rank[b]}
    assert below == set()


def test_all_of_scratch_loads_without_torch() -> None:
    names = ", ".join(files("scratch"))
    loaded = modules_after(f"import {names}")
    assert "scratch.losses" in loaded
    assert loaded & {"torch", "ref", "compare", "scipy"} == set()


def test_help_loads_neither_numpy_nor_torch() -> None:
    loaded = modules_of_command(["--help"])
    assert "compare.commands.verify" in loaded
    assert loaded & {"torch", "torchvision", "numpy", "matplotlib", "tensorboard"} == set()


def test_the_list_of_pairs_loads_no_torch() -> None:
    loaded = modules_of_command(["list"])
    assert "compare.pairs" in loaded
    assert loaded & {"torch", "torchvision", "matplotlib", "tensorboard"} == set()


def test_the_map_of_compare_names_every_room_once() -> None:
    told = (ROOT / "CONTRIBUTING.md").read_text(encoding="utf-8")
    lines = [line for line in told.split("The rooms of `compare/`")[1].split("## ")[0].splitlines() if line[:2] == "| "]
    named = [room for line in lines[1:] for room in line.split("|")[2].replace(" ", "").split(",")]
    rooms = [p.stem for p in (ROOT / "compare").glob("*.py") if not p.stem.startswith("__")]
    assert sorted(named) == sorted(rooms)
