"""What gradtwin bench races: every pair at real size in float32, and one training step with its gather.

The peer is always the best form of torch: weights stored (C, D) and F.linear. X @ W with W (D, C), as people
write it, has a slower backward; it is timed beside.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import replace
from functools import cache, partial
from typing import TYPE_CHECKING

import numpy as np
import torch
import torch.nn.functional as F

from compare import network_race
from compare.bench import Task
from compare.check import Measured, compared, generator, measure
from compare.differ import form_fault, judge
from compare.kinds import FLOAT64_ONLY, ask_ref, ask_scratch, cast
from compare.records import Case, Outcome, Pair, Verdict
from compare.sides import side
from compare.timing import Call, linear_form

if TYPE_CHECKING:
    from compare.records import Array

D, C, BATCH = 3073, 10, 256  # 32×32×3 and a bias column, as the published measurements have it
SIZES, FULL_SIZES = (BATCH,), (64, BATCH, 4096)
MANY = (2500, 2000)  # parameters of a large model's layer
LOSS = {"linear.softmax_objective": "softmax", "linear.svm_objective": "hinge"}
DTYPE = "float32"
Answer = Callable[[], tuple["Array", Mapping[str, "Array"]]]  # value and gradients


def tasks(pairs: Sequence[Pair], seed: int = 0, full: bool = False) -> Iterator[Task]:
    """Every race of these pairs, its arrays made when its turn comes; full adds other batch sizes."""
    done = set()
    for pair in pairs:
        make = MAKERS.get(pair.kind, _first_case)
        for task in make(pair, generator(seed, "bench", pair.at), full):
            if (task.name, task.form) not in done:  # the fused form may have a row of its own in the table
                done.add((task.name, task.form))
                yield task


def judged(pair: Pair, case: Case) -> Callable[[Callable[[], Outcome]], str]:
    """Return a judge of answers to one case; truth and noise are measured once, at the first answer."""
    dtype = _dtype(pair)
    truth = cache(lambda: measure(pair, case, dtype))
    return lambda answer: disagreement(truth(), answer, dtype)


def disagreement(measured: Measured, answer: Callable[[], Outcome], dtype: str = DTYPE) -> str:
    """Say what differs between an answer and the truth on the same case, "" if nothing does."""
    try:
        mine = answer().quantities()
    except Exception as error:  # whatever the code under test raises is its answer
        return f"raised {type(error).__name__}: {error}"
    for quantity, truth in measured.truth.quantities().items():
        got = mine.get(quantity)
        fault = form_fault(got, np.asarray(truth, dtype))
        if fault or got is None:
            return f"{quantity}: {fault or 'missing'}"
        found = compared(quantity, got, measured)
        if judge(found) not in (Verdict.AGREE, Verdict.IMPRECISE):
            return f"{quantity}: {found.fault or f'{found.noise_units:.3g} noise units from the ref'}"
    return ""


def _first_case(pair: Pair, rng: np.random.Generator, full: bool) -> Iterator[Task]:
    """Race any pair that has no maker of its own on its first case."""
    yield _asked(pair, cast(next(iter(pair.cases(rng))), _dtype(pair)))


def _asked(pair: Pair, case: Case, floor: Call | None = None) -> Task:
    """Race both sides as verify asks them."""

    def scratch() -> Outcome:
        return ask_scratch(pair, case)

    return Task(
        pair.name,
        "textbook",
        scratch,
        ref=lambda: ask_ref(pair, case),
        agree=lambda: judged(pair, case)(scratch),
        floor=floor,
    )


def _loss(pair: Pair, rng: np.random.Generator, full: bool) -> Iterator[Task]:
    """Race a loss over 256 rows of scores, or a penalty on 3,073 × 10 weights."""
    case = next(iter(pair.cases(rng)))
    inputs: dict[str, Array] = {"W": rng.normal(0, 0.01, (D, C))}
    if "scores" in case.inputs:
        inputs = {"scores": rng.normal(0, 1.5, (BATCH, C)), "y": rng.integers(0, C, BATCH)}
    if set(inputs) == set(case.inputs):
        case = replace(case, inputs=inputs)
    yield _asked(pair, cast(case, DTYPE))


def _layer(pair: Pair, rng: np.random.Generator, full: bool) -> Iterator[Task]:
    """Race the affine layer over 256 rows, its three products as floor; other layers on their first case."""
    case = next(iter(pair.cases(rng)))
    if pair.at != "layers.affine":
        yield _asked(pair, cast(case, DTYPE))
        return
    inputs = _linear_inputs(rng, BATCH) | {"dout": rng.normal(0, 1, (BATCH, C))}
    case = cast(replace(case, inputs={n: inputs[n] for n in case.inputs}), DTYPE)
    X, W, dout = (case.inputs[n] for n in ("X", "W", "dout"))
    yield _asked(pair, case, floor=lambda: (np.dot(X, W), np.dot(dout, W.T), np.dot(X.T, dout)))


def _rule(pair: Pair, rng: np.random.Generator, full: bool) -> Iterator[Task]:
    """Race one update of 3,073 × 10 parameters, and of five million with full."""
    yield _update(pair, pair.name, rng, 3, (D, C))
    if full:
        yield _update(pair, f"{pair.name} 5M", rng, 1, MANY)


def _update(pair: Pair, name: str, rng: np.random.Generator, steps: int, shape: tuple[int, int]) -> Task:
    """The race of one update in place, judged on these steps; both sides keep their state."""
    grads = rng.normal(0, 1, (steps, *shape))
    inputs = {"param": rng.normal(0, 1, shape), "grads": grads, "lr": np.full(steps, 1e-3)}
    case = cast(replace(next(iter(pair.cases(rng))), inputs=inputs), DTYPE)
    rule, param, grad = (
        side("scratch", pair.at)(**case.options),
        case.inputs["param"].copy(),
        case.inputs["grads"][0],
    )
    state = rule.init(param)
    twin = torch.nn.Parameter(torch.from_numpy(param.copy()))
    twin.grad = torch.from_numpy(grad)
    optimizer = side("ref", pair.at)([twin], lr=1e-3, **case.options)
    return Task(
        name,
        "textbook",
        scratch=lambda: rule.update(param, grad, state, 1e-3),
        ref=optimizer.step,
        agree=lambda: judged(pair, case)(lambda: ask_scratch(pair, case)),
    )


def _objective(pair: Pair, rng: np.random.Generator, full: bool) -> Iterator[Task]:
    """Race loss and gradient over (N, 3073) rows: the textbook page, and the fast form with buffers kept."""
    if pair.at == "two_layer.objective":
        yield from _network(pair, rng, full)
        return
    if pair.at not in LOSS:
        yield from _first_case(pair, rng, full)
        return
    for N in FULL_SIZES if full else SIZES:
        case = cast(Case(f"N {N}", _linear_inputs(rng, N), ("W", "b")), DTYPE)
        name, judge_answer = f"{pair.at.split('.')[1]} {N}", judged(pair, case)
        ref, floor = best_torch(LOSS[pair.at], case), products(case)
        for form, call, held in forms(pair.at, case):
            agree = partial(judge_answer, partial(answered, call))
            people = partial(ask_ref, pair, case)
            yield Task(name, form, call, ref, agree, floor, people, held)


def _network(pair: Pair, rng: np.random.Generator, full: bool) -> Iterator[Task]:
    """Race loss and gradient of a two-layer network with 100 hidden units: textbook, and fast with buffers kept."""
    for N in FULL_SIZES if full else SIZES:
        case = cast(network_race.case(rng, N), DTYPE)
        judge_answer, ref = judged(pair, case), network_race.best_torch(case)
        floor, people = network_race.products(case), network_race.as_written(case)
        for form, call, held in network_race.forms(case):
            agree = partial(judge_answer, partial(answered, call))
            yield Task(f"two_layer {N}", form, call, ref, agree, floor, people, held)


def forms(at: str, case: Case) -> Iterator[tuple[str, Answer, float]]:
    """Yield scratch's linear objective at the dotted name, textbook and fused, and the megabytes that each keeps."""
    W, b, X, y = (case.inputs[n] for n in ("W", "b", "X", "y"))
    page = side("scratch", at)
    fused = side("scratch", linear_form())(LOSS[at], *W.shape, W.dtype)
    params = {"W": W, "b": b}
    yield "textbook", lambda: page(params, X, y), 0.0
    yield "fused", lambda: fused(params, X, y), fused.nbytes / 1e6


def best_torch(loss: str, case: Case) -> Call:
    """Write it in torch's fastest form: weights stored (C, D), F.linear, gradients into .grad."""
    x = {name: torch.from_numpy(array) for name, array in case.inputs.items()}
    W, b = x["W"].T.contiguous().requires_grad_(), x["b"].clone().requires_grad_()
    f = side("ref", f"losses.{loss}")

    def call() -> None:
        W.grad = b.grad = None
        f(F.linear(x["X"], W, b), x["y"]).backward()

    return call


def products(case: Case) -> Call:
    """Multiply X · W and Xᵀ · G, nothing else, into arrays that are there already: the floor."""
    X, W = case.inputs["X"], case.inputs["W"]
    scores, dW = np.empty((len(X), W.shape[1]), X.dtype), np.empty_like(W)
    G = np.full_like(scores, 1 / len(X))

    def call() -> None:
        np.dot(X, W, out=scores)
        np.dot(X.T, G, out=dW)

    return call


def _dtype(pair: Pair) -> str:
    return "float64" if pair.kind in FLOAT64_ONLY else DTYPE


def answered(call: Answer) -> Outcome:
    """Ask, and copy the answer out of its buffers."""
    value, grads = call()
    return Outcome(np.asarray(value), {name: grad.copy() for name, grad in grads.items()})


def _linear_inputs(rng: np.random.Generator, N: int) -> dict[str, Array]:
    return {
        "W": rng.normal(0, 1 / np.sqrt(D), (D, C)),
        "b": rng.normal(0, 0.5, C),
        "X": rng.normal(0, 1, (N, D)),
        "y": rng.integers(0, C, N),
    }


MAKERS: dict[str, Callable[[Pair, np.random.Generator, bool], Iterator[Task]]] = {
    "loss": _loss,
    "layer": _layer,
    "objective": _objective,
    "rule": _rule,
}
