"""A circuit read by three witnesses: the lecture's examples, faults planted, kinks."""

import numpy as np
import pytest

import scratch.graph
from compare import readings, ties, wording
from compare.circuit import expand
from compare.given import given as values_of
from compare.parsing import parse
from compare.records import Verdict

NEURON = "sigmoid(w0*x0 + w1*x1 + w2)"
WEIGHTS = ("w0=2", "x0=-1", "w1=-3", "x1=-2", "w2=-3")


def read(text, *assignments, opened=False):
    inputs, parts = values_of(assignments)
    circuit = parse(text, inputs, parts)
    return readings.read(expand(circuit) if opened else circuit, inputs)


def grads(found):
    return {name: found.wires[name].grad for name in found.circuit.inputs}


def test_the_lectures_circuit_with_a_named_part():
    found = read("q*z", "q=x+y", "x=-2", "y=5", "z=-4")
    assert found.wires["q"].value == 3
    assert found.wires[found.circuit.output].value == -12
    assert grads(found) == {"x": -4, "y": -4, "z": 3}
    assert found.verdict is Verdict.AGREE


@pytest.mark.parametrize("opened", [False, True])
def test_the_lectures_neuron_to_its_digits(opened):
    found = read(NEURON, *WEIGHTS, opened=opened)
    assert round(float(found.wires[found.circuit.output].value), 2) == 0.73
    assert {n: round(float(g), 2) for n, g in grads(found).items()} == {
        "w0": -0.20, "x0": 0.39, "w1": -0.39, "x1": -0.59, "w2": 0.20,
    }  # fmt: skip
    assert found.verdict is Verdict.AGREE


def test_every_wire_of_the_opened_neuron_as_on_the_slide():
    found = read(NEURON, *WEIGHTS, opened=True)
    shown = [(wording.sign(g), wording.brief(found.wires[g.name].value), wording.brief(found.wires[g.name].grad))
             for g in found.circuit.gates]  # fmt: skip
    assert shown == [
        ("×", "−2.00", "0.20"), ("×", "6.00", "0.20"), ("+", "4.00", "0.20"), ("+", "1.00", "0.20"),
        ("×−1", "−1.00", "−0.20"), ("exp", "0.37", "−0.53"), ("+1", "1.37", "−0.53"), ("1/x", "0.73", "1.00"),
    ]  # fmt: skip


def test_one_sigmoid_gate_and_its_four_agree():
    assert readings.apart(read(NEURON, *WEIGHTS), read(NEURON, *WEIGHTS, opened=True)) < 5


def test_the_measure_of_rounding_knows_that_a_selection_does_not_round():
    """A replay whose amax were moved would find no entry equal to it, and its gradient would be 0 / 0."""
    found = read("c / (1 + exp(amax(c + Z, axis=1, keepdims=True)))", "c=-1.93", "Z=[[0.3,-1.2,1.7],[0.5,0.1,-0.9]]")
    noise = found.wires["c"].noise[1]
    assert 1e-18 < noise.tensor < 1e-14
    assert found.wires["amax1"].noise[1].entry.min() > 1e-18
    assert found.verdict is Verdict.AGREE


WRONG = {
    "tanh": lambda a: (np.tanh(a), lambda g: g * (1 - np.tanh(a))),
    "sigmoid": lambda a: (1 / (1 + np.exp(-a)), lambda g: g / (1 + np.exp(-a))),
    "relu": lambda a: (np.maximum(a, 0), lambda g: g * (a >= -1)),
    "exp": lambda a: (np.exp(a) * (1 + 1e-11), lambda g: g * np.exp(a)),
}


@pytest.mark.parametrize("op", WRONG)
@pytest.mark.parametrize("value", ["x=-0.7", "x=[[0.3,-0.7]]"])
def test_a_planted_fault_is_seen(op, value, monkeypatch):
    assert read(f"sum({op}(x))", value).verdict is Verdict.AGREE
    WRONG[op].__name__ = op
    monkeypatch.setattr(scratch.graph, op, scratch.graph._unary(WRONG[op]))
    assert read(f"sum({op}(x))", value).verdict is Verdict.DIFFER


def test_the_numerical_gradient_sees_a_fault_that_both_sides_share(monkeypatch):
    import torch

    import ref.graph

    class Doubled(torch.autograd.Function):
        @staticmethod
        def forward(ctx, a):
            return a.clone()

        @staticmethod
        def backward(ctx, g):
            return 2 * g

    def relu(a):
        return a, lambda g: 2 * g

    monkeypatch.setattr(scratch.graph, "relu", scratch.graph._unary(relu))
    monkeypatch.setattr(ref.graph, "relu", Doubled.apply)
    found = read("relu(x)*y", "x=0.7", "y=1.5")
    assert found.verdict is Verdict.DIFFER
    assert found.doubts[0].startswith("x: numerical 1.5 ±")


def test_a_wrong_entry_of_a_long_input_is_found(monkeypatch):
    def exp(a):
        e = np.exp(a)
        slope = e.copy()
        slope[123] *= 1.001
        return e, lambda g: g * slope

    monkeypatch.setattr(scratch.graph, "exp", scratch.graph._unary(exp))
    x = np.linspace(-1, 1, 500)
    found = readings.read(parse("sum(exp(x))", {"x": x}), {"x": x})
    assert found.verdict is Verdict.DIFFER
    assert any(d.startswith("x[123]") for d in found.doubts)


@pytest.mark.parametrize(("text", "assignments"), [
    ("sigmoid(exp(tanh(sigmoid(tanh(max(a, b))))))", ("a=1.125", "b=1.125")),
    ("sigmoid(X + sigmoid(max(X, X) @ M))", ("X=[[0.3,-1.2],[0.7,0.1]]", "M=[[1.1,-0.4],[0.6,2]]")),
    ("tanh(max(max(a, b), c))*a", ("a=0.7", "b=0.7", "c=0.7")),
    ("exp(relu(a) + abs(b)*max(c, 0.3))", ("a=0", "b=0", "c=0.3")),
    ("sum(tanh(max(X, axis=1)))*2", ("X=[[1.3,1.3,0.2],[0.4,0.4,0.4]]",)),
    ("tanh(sqrt(a) + b) + c**b", ("a=0", "b=1.7", "c=-0")),
])  # fmt: skip
def test_rounding_is_measured_at_a_kink_with_its_choices_held(text, assignments):
    found = read(text, *assignments)
    assert found.kinks
    assert found.verdict is Verdict.AGREE
    inputs, parts = values_of(assignments)
    circuit = parse(text, inputs, parts)
    nodes = readings._scratch(circuit, inputs)
    still, constants = ties.frozen(circuit, nodes, found.kinks)
    held = readings._scratch(still, inputs | constants)
    assert held[circuit.output].value == pytest.approx(nodes[circuit.output].value, rel=1e-15)
    for name in inputs:
        wire, eps = found.wires[name], np.finfo(float).eps
        finite = np.isfinite(wire.ref_grad)
        assert np.all(wire.noise[1].entry[finite] >= eps / 2 * np.abs(wire.ref_grad[finite]))


def test_at_a_kink_the_convention_is_compared_with_torchs(monkeypatch):
    found = read("relu(z) + max(x, y) + abs(z)", "x=1", "y=1", "z=0")
    assert found.verdict is Verdict.AGREE
    assert found.kinks == ("relu1", "max1", "abs1")
    assert grads(found) == {"x": 0.5, "y": 0.5, "z": 0}

    def max(a, b):
        return np.maximum(a, b), lambda g: g * (a >= b), lambda g: g * (b > a)

    monkeypatch.setattr(scratch.graph, "max", scratch.graph._binary(max))
    assert read("max(x, y)", "x=1", "y=1").verdict is Verdict.DIFFER
