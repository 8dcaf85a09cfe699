"""The third witness on functions whose derivatives are known by heart, held to its own error estimate."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from functools import partial
from typing import TYPE_CHECKING, Any

import numpy as np

from compare.check import generator
from compare.diagnose import diagnose
from compare.kinds import ask_ref
from compare.pairs import TABLE
from compare.records import Case, Cause, Finding, Outcome, Verdict
from compare.sides import side
from compare.suspicions import Asked

if TYPE_CHECKING:
    from compare.records import Array

Terms = tuple[Callable[["Array"], "Array"], Callable[["Array"], "Array"]]  # a function entry by entry, its derivative
SMOOTH: dict[str, Terms] = {
    "x": (lambda x: x, np.ones_like),
    "x²": (np.square, lambda x: 2 * x),
    "x³": (lambda x: x**3, lambda x: 3 * x**2),
    "exp": (np.exp, np.exp),
    "sin": (np.sin, np.cos),
}
SHARP = 1e-8  # of the size of the gradient: what a useful estimate of the error stays below where nothing bends sharply
EPS = float(np.finfo(np.float64).eps)


def checks(scale: float = 1.0, seed: int = 0) -> Iterator[Finding]:
    """A finding for each statement about scratch.numgrad and scratch.numgrad_linear; x or X is multiplied by scale."""
    found = list(_pointwise(scale, generator(seed, "numgrad")))
    yield from found
    if all(f.verdict is Verdict.AGREE for f in found):  # else what is built on it says nothing new
        yield from _kink(scale)
        yield from _directions(scale, generator(seed, "directions"))
    yield from _linear(scale, generator(seed, "linear"))


def _row(function: str, case: str, wrong: str, units: float = 0.0, causes: tuple[Cause, ...] = ()) -> Finding:
    verdict = Verdict.DIFFER if wrong else Verdict.AGREE
    return Finding(
        "numerical gradient", function, case, "float64", "gradient", verdict, units, causes=causes, message=wrong
    )


def _pointwise(scale: float, rng: np.random.Generator) -> Iterator[Finding]:
    """Sums of one function of each entry: gradient, error, and which points were looked at."""
    x = scale * rng.uniform(0.5, 1.5, 5) * np.array([1, -1, 1, 1, -1])
    weights = np.array([3.0, -1.0, 0.5, 2.0, 7.0])
    for name, (f, df) in SMOOTH.items():
        points: list[Array] = []

        def total(at: Array, f: Any = f, points: list[Array] = points) -> float:
            points.append(np.array(at))
            return float(weights @ f(at / scale))

        gradient, error = side("scratch", "numgrad.numerical_gradient")(total, x)
        truth = weights * df(x / scale) / scale
        off, size = np.abs(gradient - truth), float(np.abs(truth).max())
        steps = np.array(points) - x
        cause = ""
        if (steps != 0).sum(axis=1).max() > 1:
            cause = "other coordinates moved as well: the point is not put back"
        elif abs(float(np.sign(steps).sum())) > 0:
            cause = "differences are one-sided"
        elif off.max() > SHARP * size and not (called := _called(gradient, truth)).startswith("unknown"):
            cause = called
        elif np.any(off > error + 16 * EPS * size):
            cause = "the error estimate is too small"
        elif error.max() > SHARP * size:
            cause = "the step is too long: nothing bends here, and yet the error that is told is large"
        units = float((off / (error + EPS * size)).max())
        told = f"of {name}: off by {off.max():.3g}, told {error.max():.3g}"
        yield _row("numgrad.numerical_gradient", name, cause and told, units, _causes(cause))


def _called(gradient: Array, truth: Array) -> str:
    """What diagnose calls it, for a vector without data behind it."""
    case = Case("known", {"W": np.zeros((1, 1))}, ())
    outcome = Outcome(np.zeros(()), {"x": truth})
    noise = 1e-9 * float(np.linalg.norm(truth))
    return diagnose("dx", {"dx": gradient}, Asked(case, outcome, "known", "", lambda _: outcome), {"dx": noise})[
        0
    ].cause


def _causes(cause: str) -> tuple[Cause, ...]:
    return (Cause(cause, 1.0 if cause.startswith("unknown") else 0.0),) if cause else ()


def _kink(scale: float) -> Iterator[Finding]:
    """|x| at 0: every value between the one-sided slopes lies within the error; beside 0 the step shrinks."""
    for name, at, truth in (("|x| at 0", 0.0, 0.0), ("|x| beside 0", 1e-5, 1.0)):
        x = scale * np.array([at])
        other = np.array([3.0 * scale])  # gives the step its scale
        gradient, error = side("scratch", "numgrad.numerical_gradient")(
            lambda z: float(np.abs(z[0]) + z[1]) / scale, np.concatenate([x, other])
        )
        g, e = float(gradient[0]) * scale, float(error[0]) * scale
        cause = ""
        if abs(g - truth) + (at == 0) > e * (1 + 1e-6) + 16 * EPS * 1e6:
            cause = "the error estimate misses kinks"
        elif at and e > SHARP * 100:
            cause = "the step is too long: it crosses a kink that a shorter one would not"
        yield _row("numgrad.numerical_gradient", name, cause and f"{g:.6g} ± {e:.2g}", causes=_causes(cause))


def _directions(scale: float, rng: np.random.Generator) -> Iterator[Finding]:
    """The slope along a direction, and whether a search finds wrong entries of a claimed gradient."""
    x = scale * rng.normal(0, 1, (6, 4))
    v = rng.normal(0, 1, x.shape)

    def f(z: Array) -> float:
        return float(np.sum((z / scale) ** 2))

    truth = 2 * x / scale**2
    slope, error = side("scratch", "numgrad.slope_along")(f, x, v)
    off = abs(slope - float(np.vdot(truth, v)))
    cause = "slope along a direction is another's" if off > error + SHARP * np.linalg.norm(truth) else ""
    yield _row("numgrad.slope_along", "x²", cause and f"off by {off:.3g}, told {error:.3g}", causes=_causes(cause))
    missed = []
    for at in range(x.size):
        claimed = truth.copy()
        claimed.flat[at] += np.linalg.norm(truth) / 10
        found = side("scratch", "numgrad.search")(f, x, claimed, rng)
        if [int(s.where[0]) for s in found.suspects] != [at]:
            missed.append(at)
    quiet = not side("scratch", "numgrad.search")(f, x, truth, rng).suspects
    cause = "search misses entries" if missed else "" if quiet else "search suspects entries that are right"
    yield _row(
        "numgrad.search", "one wrong entry", cause and f"{len(missed)} of {x.size} missed", causes=_causes(cause)
    )


def _linear(scale: float, rng: np.random.Generator) -> Iterator[Finding]:
    """The fast form on both linear objectives: autograd in float64 knows the derivative."""
    N, D, C = 23, 9, 5
    inputs: Mapping[str, Array] = {
        "W": rng.normal(0, 0.3, (D, C)) / scale,
        "b": rng.normal(0, 0.5, C),
        "X": scale * rng.normal(0, 1, (N, D)),
        "y": rng.integers(0, C, N),
    }
    for pair in (p for p in TABLE if p.kind == "objective" and p.loss):
        for penalty, power in (("l2", 2), ("l1", 1)):
            options = {"reg": 0.05 * scale**power, "penalty": penalty}
            case = Case(penalty, inputs, ("W", "b"), options)
            truth = ask_ref(pair, case)
            params = {n: inputs[n] for n in case.wrt}
            found = side("scratch", "numgrad_linear.linear_gradient")(
                pair.loss, params, inputs["X"], inputs["y"], **options
            )
            for name, (gradient, error) in found.items():
                t = truth.grads[name]
                off, size = np.abs(gradient - t), float(np.sqrt(np.mean(t**2)))
                causes: tuple[Cause, ...] = ()
                if np.any(off > error + 16 * EPS * (np.abs(t) + size)) or error.max() > 1e-5 * size:
                    noise = float(np.linalg.norm(error)) + 1e-9 * size
                    asked = Asked(case, truth, pair.at, pair.loss, partial(ask_ref, pair))
                    causes = diagnose(f"d{name}", {f"d{name}": gradient}, asked, {f"d{name}": noise})
                    causes = causes or _causes("the error that is told is large where nothing bends")
                wrong = f"off by {off.max():.3g}, told {error.max():.3g}" if causes else ""
                yield _row("numgrad_linear.linear_gradient", f"{pair.name}, {penalty}, d{name}", wrong, causes=causes)
    yield from _linear_kink(scale)


def _linear_kink(scale: float) -> Iterator[Finding]:
    """One example, one feature, the margin met exactly: slopes 0 and x/N on either side."""
    W, X = np.array([[0.0, -1.0]]) / scale, np.array([[1.0]]) * scale
    params = {"W": W, "b": np.zeros(2)}
    gradient, error = side("scratch", "numgrad_linear.linear_gradient")("hinge", params, X, np.array([0]))["W"]
    low, high = (gradient - error)[0, 1], (gradient + error)[0, 1]
    cause = "" if low <= 0 and high >= scale else "the error estimate misses kinks"
    told = f"[{low:.3g}, {high:.3g}] does not hold both slopes, 0 and {scale:g}"
    yield _row("numgrad_linear.linear_gradient", "at a kink", cause and told, causes=_causes(cause))
