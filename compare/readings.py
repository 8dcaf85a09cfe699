"""A circuit read by three witnesses: scratch's gates, torch's autograd, and the numerical gradient of the inputs."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from compare.circuit import Circuit, run
from compare.differ import difference, judge
from compare.noise import noise_of, replays
from compare.records import Case, Noise, Outcome, Refusal, Verdict
from compare.sides import side
from compare.ties import frozen, kinks_of, slopes_of

if TYPE_CHECKING:
    from compare.records import Array

FULL = 64  # an input with more entries is searched in random directions instead of entry by entry
LARGEST = 10**7  # entries of one wire: the replays keep some twenty copies of each, at 8 bytes an entry


@dataclass(frozen=True)
class Wire:
    """One wire: its value, its gradient by scratch and by the ref, and the local gradients of the gate behind it.

    local has one entry a wire that goes in; a matrix product has none, its local gradient being a matrix a number.
    ref_grad is None where no gradient flows. numerical and error (of the numerical gradient) are those of inputs only.
    """

    name: str
    op: str
    value: Array
    grad: Array | None
    ref_value: Array
    ref_grad: Array | None
    local: tuple[Array, ...]
    verdict: Verdict
    noise_units: float
    noise: tuple[Noise, ...]  # of the value, and of the gradient where there is one
    numerical: Array | None = None
    error: Array | None = None


@dataclass(frozen=True)
class Readings:
    """A circuit with all its wires read; kinks names the gates that sit exactly at a tie or a kink."""

    circuit: Circuit
    wires: Mapping[str, Wire]
    kinks: tuple[str, ...]
    doubts: tuple[str, ...]  # what the numerical gradient holds against scratch, a line each
    verdict: Verdict


def read(circuit: Circuit, inputs: Mapping[str, Array], seed: int = 0, upstream: Array | None = None) -> Readings:
    """Forward and backward on both sides, judged wire by wire; upstream defaults to ones (the sum's gradient)."""
    nodes = _scratch(circuit, inputs)
    out = nodes[circuit.output]
    shape = np.shape(out.value)
    try:
        flowing = np.array(np.broadcast_to(1.0 if upstream is None else upstream, shape), dtype=np.float64)
    except ValueError as error:
        raise Refusal(
            f"--upstream has shape {np.asarray(upstream).shape}, the output {shape}: they do not broadcast"
        ) from error
    side("scratch", "graph.backward")(out, flowing if shape else float(flowing))
    kinks = kinks_of(circuit, nodes)
    case = Case("circuit", dict(inputs), tuple(inputs))
    truth = _ask(circuit, {}, flowing)(case).quantities()
    rng = np.random.default_rng(seed)
    still = _ask(*frozen(circuit, nodes, kinks), flowing)  # a replay that left a kink would be no replay
    here, answers = still(case).quantities(), replays(still, case, (), rng)
    ops = dict.fromkeys(inputs, "input") | {g.name: g.op for g in circuit.gates}
    wires = {}
    for name, op in ops.items():
        node = nodes[name]
        found, noises = [], []
        for quantity, mine in ((f"d={name}", node.value), (f"d{name}", node.grad)):
            if mine is None or quantity not in truth:
                continue
            judged = np.isfinite(truth[quantity])  # infinite slopes, as √ has at 0, are compared as such
            errors = [np.where(judged, a[quantity] - here[quantity], 0) for a in answers]
            noise = noise_of(errors, np.where(judged, truth[quantity], 0), np.dtype(np.float64))
            noises.append(noise)
            found.append(difference(quantity, np.asarray(mine), truth[quantity], noise))
        units = max(d.noise_units for d in found)
        verdicts = [judge(d) for d in found]
        wires[name] = Wire(
            name, op, np.asarray(node.value), None if node.grad is None else np.asarray(node.grad),
            truth[f"d={name}"], truth.get(f"d{name}"), slopes_of(op, node),
            Verdict.DIFFER if Verdict.DIFFER in verdicts else Verdict.AGREE, units, tuple(noises),
        )  # fmt: skip
    doubts: list[str] = []
    lift = 2 * max(float(np.sum(np.abs(w.value))) for w in wires.values())  # no value can cancel it
    for name in inputs:
        wires[name] = _numerical(circuit, inputs, flowing, wires[name], rng, lift, doubts)
    # at a kink the convention decides, and that is compared with torch's: the numerical gradient has no say there
    differs = (doubts and not kinks) or any(w.verdict is Verdict.DIFFER for w in wires.values())
    return Readings(circuit, wires, kinks, tuple(doubts), Verdict.DIFFER if differs else Verdict.AGREE)


def apart(a: Readings, b: Readings) -> float:
    """How far two circuits of the same inputs and output lie apart: the most noise units of any of these."""
    units = []
    for name in (*a.circuit.inputs, a.circuit.output):
        mine, other = a.wires[name], b.wires[name]
        both = ((mine.value, other.value), (mine.grad, other.grad))
        for (x, y), *noises in zip(both, mine.noise, other.noise, strict=False):
            if x is not None and y is not None:
                units.append(min(difference(name, x, y, noise).noise_units for noise in noises))
    return max(units)


def _scratch(circuit: Circuit, inputs: Mapping[str, Array]) -> dict[str, Any]:
    node = side("scratch", "graph.Node")
    for name, value in inputs.items():
        if np.size(value) > LARGEST:
            raise Refusal(f"{name} has {np.size(value):,} entries; at most {LARGEST:,} are read: give a part of it")
    return run(circuit, Bounded("scratch"), {name: node(value) for name, value in inputs.items()})


class Gates:
    """The gates of one side, by name, each looked up once."""

    def __init__(self, package: str) -> None:
        self.package = package

    def __getattr__(self, op: str) -> Any:
        gate = side(self.package, f"graph.{op}")
        setattr(self, op, gate)
        return gate


class Bounded(Gates):
    """The gates of one side that refuse, before they compute, an array of more than LARGEST entries."""

    def __getattr__(self, op: str) -> Any:
        gate = side(self.package, f"graph.{op}")

        def bounded(*args: Any, **options: Any) -> Any:
            shapes = [np.shape(getattr(a, "value", a)) for a in args]
            if len(shapes) == 2 and (made := _made(op, *shapes)) > LARGEST:
                both = " and ".join(map(str, shapes))
                raise ValueError(f"{op}: shapes {both} make an array of {made:,} entries; at most {LARGEST:,}")
            return gate(*args, **options)

        setattr(self, op, bounded)
        return bounded


def _made(op: str, a: tuple[int, ...], b: tuple[int, ...]) -> int:
    """Entries that a gate of two makes of these shapes; 0 where they do not fit, which the gate itself tells."""
    try:
        if op != "matmul":
            return math.prod(np.broadcast_shapes(a, b))
        return math.prod((*np.broadcast_shapes(a[:-2], b[:-2]), *a[-2:-1], *b[-1:] * (len(b) > 1)))
    except ValueError:
        return 0


def _ask(circuit: Circuit, constants: Mapping[str, Array], upstream: Array) -> Any:
    """The ref as a function of the case: every wire's value under "d=NAME", its gradient under "dNAME"."""
    import torch

    def ask(case: Case) -> Outcome:
        tensors = {n: torch.tensor(x, dtype=torch.float64).requires_grad_() for n, x in case.inputs.items()}
        held = {n: torch.tensor(x, dtype=torch.float64) for n, x in constants.items()}
        wires = run(circuit, Gates("ref"), tensors | held, lambda c: torch.tensor(c, dtype=torch.float64))
        flowing = {n: t for n, t in wires.items() if t.requires_grad}
        grads = torch.autograd.grad(wires[circuit.output], list(flowing.values()), torch.tensor(upstream))
        values = {f"={n}": t.detach().numpy() for n, t in wires.items()}
        return Outcome(
            values[f"={circuit.output}"], values | {n: g.numpy() for n, g in zip(flowing, grads, strict=True)}
        )

    return ask


def _numerical(
    circuit: Circuit,
    inputs: Mapping[str, Array],
    upstream: Array,
    wire: Wire,
    rng: np.random.Generator,
    lift: float,
    doubts: list[str],
) -> Wire:
    """The wire of an input with its numerical gradient; where that contradicts scratch, a line goes to doubts.

    lift is added to the function: a sum that cancels to little rounds like its terms, and is to look like them.
    """

    def f(moved: Array) -> float:
        try:
            return lift + float(
                np.sum(upstream * _scratch(circuit, {**inputs, wire.name: moved})[circuit.output].value)
            )
        except Refusal:  # a step left the domain: a smaller one will not
            return math.nan

    x = inputs[wire.name]
    grad = np.asarray(wire.grad, np.float64)
    with np.errstate(all="ignore"):
        if x.size > FULL:
            found = side("scratch", "numgrad.search")(f, x, grad, rng)
            for s in found.suspects:
                at = tuple(int(i) for i in np.unravel_index(int(s.where[0]), x.shape))
                doubts.append(f"{wire.name}{list(at)}: numerical {s.slope:.6g} ± {s.error:.1g}, scratch {grad[at]:.6g}")
            return wire
        numerical, error = side("scratch", "numgrad.numerical_gradient")(f, x)
        scale = float(np.sqrt(np.mean(np.square(numerical)))) or 1.0
        allowed = error + 16 * np.finfo(np.float64).eps * (np.abs(numerical) + scale)
        wrong = np.abs(grad - numerical) > allowed
    for at in np.argwhere(wrong)[:3]:
        i = tuple(int(k) for k in at)
        where = list(i) if i else ""
        doubts.append(f"{wire.name}{where}: numerical {numerical[i]:.6g} ± {error[i]:.1g}, scratch {grad[i]:.6g}")
    return Wire(**{**wire.__dict__, "numerical": numerical, "error": error})
