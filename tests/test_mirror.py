"""The two sides are mirror images: the same files, names, arguments and defaults, but for the exceptions here."""

import dataclasses
import importlib
import inspect
import pkgutil
import types
from collections.abc import Iterator
from typing import Any

import pytest

import ref
import scratch
from compare.pairs import TABLE
from compare.sides import side

FILES_ALONE = {
    "scratch.arrays": "names for NumPy's arrays, and the check of labels that torch makes itself",
    "scratch.blocks": "updates in blocks that fit the cache; torch's optimizers do so inside",
    "scratch.domain": "messages for gates without a value; torch returns NaN or infinity instead",
    "scratch.fused_tiled": "a fast form of fused, not another mathematics",
    "scratch.fused": "the fast forms: pairs of their own, against the ref's plain objectives",
    "scratch.fused_two_layer": "as scratch.fused",
    "scratch.gates": "each gate's local gradients by hand; autograd has them",
    "scratch.numgrad": "the third witness is neither side's twin",
    "scratch.numgrad_linear": "as scratch.numgrad",
    "ref.conventions": "the conventions that torch.optim lacks, as optimizers; scratch's rules have options",
}
NAMES_ALONE = {
    "scratch.graph.Node": "a tensor is torch's node",
    "scratch.graph.backward": "Tensor.backward",
    "scratch.graph.order": "autograd keeps its own order",
    "scratch.optim.Rule": "the type of a rule; torch's is Optimizer",
    "ref.two_layer.Network": "torch's way to say a network is a Module",
}
# The first arguments differ by nature; what follows them is compared.
LEADING = {
    "schedules": (("step", "lr", "steps"), ("optimizer", "steps")),
    "schedules.warm_up": (("step", "lr"), ("optimizer",)),
    "adaptive": ((), ("params", "lr")),
    "optim": ((), ("params", "lr")),  # a dataclass of hyperparameters against the builder of an optimizer
    "optim.clip_by_norm": (("grads",), ("params",)),
}
Arguments = list[tuple[str, Any]]


def modules(package: types.ModuleType) -> dict[str, types.ModuleType]:
    found = pkgutil.walk_packages(package.__path__, f"{package.__name__}.")
    return {info.name.split(".", 1)[1]: importlib.import_module(info.name) for info in found if not info.ispkg}


def public(module: types.ModuleType) -> dict[str, Any]:
    """Functions and classes written for this module: imported ones and other values are not."""
    return {
        name: value
        for name, value in vars(module).items()
        if not name.startswith("_")
        and (inspect.isfunction(value) or inspect.isclass(value))
        and (value.__module__ == module.__name__ or hasattr(value, "__wrapped__"))
    }


def arguments(f: Any) -> Arguments:
    """Names and defaults, in order; those of a dataclass are its fields."""
    if dataclasses.is_dataclass(f):
        return [(x.name, inspect.Parameter.empty if x.default is dataclasses.MISSING else x.default)
                for x in dataclasses.fields(f)]  # fmt: skip
    return [(p.name, p.default) for p in inspect.signature(f).parameters.values()]


def folded(found: dict[str, Any]) -> tuple[dict[str, Any], list[str]]:
    """f_forward and f_backward as the one layer f, and what is wrong with such pairs."""
    faults, one = [], {}
    for name, value in found.items():
        if name.endswith("_forward"):
            layer = name.removesuffix("_forward")
            back = found.get(f"{layer}_backward")
            if back is None:
                faults.append(f"{name} has no {layer}_backward")
            elif [n for n, _ in arguments(back)] != ["dout", "cache"]:
                faults.append(f"{layer}_backward takes {arguments(back)}, not (dout, cache)")
            one[layer] = value
        elif name.endswith("_backward"):
            if f"{name.removesuffix('_backward')}_forward" not in found:
                faults.append(f"{name} has no {name.removesuffix('_backward')}_forward")
        else:
            one[name] = value
    return one, faults


def unlike(file: str, mine: types.ModuleType, twin: types.ModuleType) -> Iterator[str]:
    """Yield what keeps two modules from being mirror images."""
    ours, faults = folded(public(mine))
    theirs = public(twin)
    yield from faults
    for package, here, there in (("scratch", ours, theirs), ("ref", theirs, ours)):
        for name in here.keys() - there.keys():
            if f"{package}.{file}.{name}" not in NAMES_ALONE:
                yield f"{file}.{name} is {package}'s alone"
    for name in ours.keys() & theirs.keys():
        a, b = arguments(ours[name]), arguments(theirs[name])
        first, second = LEADING.get(f"{file}.{name}", LEADING.get(file, ((), ())))
        if tuple(n for n, _ in a[: len(first)]) != first or tuple(n for n, _ in b[: len(second)]) != second:
            yield f"{file}.{name} begins with {a[: len(first)]} and {b[: len(second)]}"
        if a[len(first) :] != b[len(second) :]:
            yield f"{file}.{name} takes {a[len(first) :]} in scratch and {b[len(second) :]} in ref"


def test_the_same_files_lie_on_both_sides() -> None:
    ours, theirs = modules(scratch).keys(), modules(ref).keys()
    alone = {f"scratch.{n}" for n in ours - theirs} | {f"ref.{n}" for n in theirs - ours}
    assert alone - FILES_ALONE.keys() == set()


@pytest.mark.parametrize("file", sorted(modules(scratch).keys() & modules(ref).keys()))
def test_names_arguments_and_defaults_are_the_same(file: str) -> None:
    assert list(unlike(file, modules(scratch)[file], modules(ref)[file])) == []


def test_every_exception_is_still_needed() -> None:
    sides_of = {"scratch": modules(scratch), "ref": modules(ref)}
    for name in FILES_ALONE:
        package, file = name.split(".", 1)
        other = "ref" if package == "scratch" else "scratch"
        assert (file in sides_of[package], file in sides_of[other]) == (True, False), name
    for name in NAMES_ALONE:
        package, file, own = name.split(".")
        other = "ref" if package == "scratch" else "scratch"
        has = [own in public(sides_of[p][file]) for p in (package, other)]
        assert has == [True, False], name


def test_choices_by_name_are_the_same() -> None:
    for at in ("optim.RULES", "schedules.SCHEDULES", "linear.PENALTIES"):
        assert list(side("scratch", at)) == list(side("ref", at))


def test_every_row_of_the_table_stands_on_both_sides() -> None:
    for pair in TABLE:
        assert callable(side("ref", pair.at)), pair.name
        own = pair.scratch_at or (f"{pair.at}_forward" if pair.kind == "layer" else pair.at)
        assert callable(side("scratch", own)), pair.name


def planted(name: str, source: str) -> types.ModuleType:
    module = types.ModuleType(name)
    exec(source, vars(module))  # noqa: S102 the sources are the literals below
    return module


@pytest.mark.parametrize(
    ("file", "mine", "twin", "told"),
    [
        ("losses", "def f(x, margin=1.0): ...", "def f(x, margin=0.5): ...", "losses.f takes"),
        ("losses", "def f(x, y): ...", "def f(y, x): ...", "losses.f takes"),
        ("losses", "def f(x): ...\ndef g(x): ...", "def f(x): ...", "losses.g is scratch's alone"),
        ("losses", "", "def f(x): ...", "losses.f is ref's alone"),
        ("layers", "def f_forward(x): ...", "def f(x): ...", "f_forward has no f_backward"),
        ("layers", "def f_forward(x): ...\ndef f_backward(dout): ...", "def f(x): ...", "not (dout, cache)"),
        ("layers", "def f_backward(dout, cache): ...", "", "f_backward has no f_forward"),
        ("schedules", "def f(step, lr, steps, k=1): ...", "def f(optimizer, steps, k=2): ...", "schedules.f takes"),
        ("optim", "def f(momentum=0.9): ...", "def f(lr, params, momentum=0.9): ...", "optim.f begins with"),
    ],
)
def test_a_planted_mismatch_is_told(file: str, mine: str, twin: str, told: str) -> None:
    found = list(unlike(file, planted(f"scratch.{file}", mine), planted(f"ref.{file}", twin)))
    assert len(found) == 1
    assert told in found[0]


def test_mirror_images_are_told_as_such() -> None:
    both = "def f(x, margin=1.0): ..."
    assert list(unlike("losses", planted("scratch.losses", both), planted("ref.losses", both))) == []
