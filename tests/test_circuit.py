import json
import os
import re
from pathlib import Path

import numpy as np
import pytest
from hypothesis import HealthCheck, assume, given, settings
from hypothesis import strategies as st

import scratch.gates
import scratch.graph
from compare import cli, draw, graphdef, layout, player, readings
from compare.circuit import expand
from compare.given import given as values_of
from compare.parsing import parse
from compare.records import Refusal, Verdict

NEURON = "sigmoid(w0*x0 + w1*x1 + w2)"
WEIGHTS = ("w0=2", "x0=-1", "w1=-3", "x1=-2", "w2=-3")
EXAMPLES = int(os.environ.get("GRADTWIN_EXAMPLES", "120"))  # of random expressions; thousands on demand


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
    shown = [(draw.sign(g), draw.brief(found.wires[g.name].value), draw.brief(found.wires[g.name].grad))
             for g in found.circuit.gates]  # fmt: skip
    assert shown == [
        ("×", "−2.00", "0.20"), ("×", "6.00", "0.20"), ("+", "4.00", "0.20"), ("+", "1.00", "0.20"),
        ("×−1", "−1.00", "−0.20"), ("exp", "0.37", "−0.53"), ("+1", "1.37", "−0.53"), ("1/x", "0.73", "1.00"),
    ]  # fmt: skip


def test_one_sigmoid_gate_and_its_four_agree():
    assert readings.apart(read(NEURON, *WEIGHTS), read(NEURON, *WEIGHTS, opened=True)) < 5


SCALARS = ("a", "b", "c")
UNARY = ("sigmoid({})", "tanh({})", "relu({})", "abs({})", "(-{})", "exp(tanh({}))", "log(1.5 + abs({}))",
         "sqrt(0.5 + {0}*{0})", "{}**2", "{}**3", "(0.3 + abs({}))**-1.5", "1/(1.25 + {0}**2)")  # fmt: skip
BINARY = (
    "({} + {})",
    "({} - {})",
    "{}*{}",
    "max({}, {})",
    "min({}, {})",
    "{}/(1 + exp({}))",
    "(1.5 + abs({}))**tanh({})",
)
ARRAY = ("mean({} + Z, axis=1, keepdims=True)", "sum({}*Z, axis=0)", "amax({} + Z, axis=1, keepdims=True)",
         "transpose(transpose({} - Z))", "sum(reshape({} + Z, (3, 2)) @ Z)", "(({} + Z) @ M)", "({} + Z)[1]",
         "broadcast(sum({}), (2, 3))", "max({} + Z, axis=0)", "matmul(Z, mean({})*M)")  # fmt: skip


def expressions(names, *shapes):
    def grow(inner):
        forms = [st.builds(form.format, *[inner] * len(set(re.findall(r"{\d?}", form)) or [1]))
                 if "{0}" in form else st.builds(form.format, *[inner] * form.count("{}"))
                 for form in shapes]  # fmt: skip
        return st.one_of(forms)

    leaves = st.one_of(st.sampled_from(names), st.sampled_from(names), st.sampled_from(["0.5", "3", "-1.25"]))
    return st.recursive(leaves, grow, max_leaves=9)


def judged(text, inputs):
    """Read the circuit of text; a refusal or a gate that sits at a kink says nothing and is not counted."""
    used = {name: value for name, value in inputs.items() if re.search(rf"\b{name}\b", text)}
    assume(used)
    try:
        found = readings.read(parse(text, used), used)
    except Refusal:
        assume(False)
    assume(not found.kinks)
    return found


QUIET = {"deadline": None, "derandomize": True, "suppress_health_check": list(HealthCheck)}
NUMBER = st.floats(-3, 3, width=32).filter(lambda x: abs(x) > 1e-3)


@settings(max_examples=EXAMPLES, **QUIET)
@given(expressions(SCALARS, *UNARY, *BINARY), st.tuples(NUMBER, NUMBER, NUMBER))
def test_three_witnesses_agree_on_random_scalar_expressions(text, numbers):
    found = judged(text, dict(zip(SCALARS, map(np.asarray, numbers), strict=True)))
    worst = max(found.wires.values(), key=lambda w: w.noise_units)
    assert found.verdict is Verdict.AGREE, (text, worst, found.doubts)


@settings(max_examples=EXAMPLES, **QUIET)
@given(
    expressions(("a", "b", "c", "Z"), *UNARY, *BINARY, *ARRAY),
    st.lists(st.sampled_from([(), (3,), (2, 1), (1, 3), (2, 3)]), min_size=3, max_size=3),
    st.integers(0, 2**32 - 1),
)
def test_three_witnesses_agree_on_random_array_expressions(text, shapes, seed):
    rng = np.random.default_rng(seed)
    inputs = {name: rng.uniform(-2, 2, shape) for name, shape in zip(SCALARS, shapes, strict=True)}
    inputs |= {"Z": rng.uniform(-2, 2, (2, 3)), "M": rng.uniform(-1, 1, (3, 3))}
    found = judged(text, inputs)
    worst = max(found.wires.values(), key=lambda w: w.noise_units)
    assert found.verdict is Verdict.AGREE, (text, worst, found.doubts)


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


def test_at_a_kink_the_convention_is_compared_with_torchs(monkeypatch):
    found = read("relu(z) + max(x, y) + abs(z)", "x=1", "y=1", "z=0")
    assert found.verdict is Verdict.AGREE
    assert found.kinks == ("relu1", "max1", "abs1")
    assert grads(found) == {"x": 0.5, "y": 0.5, "z": 0}

    def max(a, b):
        return np.maximum(a, b), lambda g: g * (a >= b), lambda g: g * (b > a)

    monkeypatch.setattr(scratch.graph, "max", scratch.graph._binary(max))
    assert read("max(x, y)", "x=1", "y=1").verdict is Verdict.DIFFER


REFUSED = [
    ("x*w3 + w2", ("x=1", "w2=1"), 2, "no value for w3: give one with w3=…; did you mean w2?"),
    ("1 + sigmod(x)", ("x=1",), 4, "unknown function sigmod; did you mean sigmoid?"),
    ("x + sigmoid", ("x=1",), 4, "sigmoid is a gate"),
    ("1 + x/y", ("x=1", "y=0"), 5, "div(1, 0): division by zero"),
    ("1 + log(x)", ("x=-1",), 4, "log(-1): only positive numbers have a logarithm"),
    ("x + y", ("x=[1,2]", "y=[1,2,3]"), 2, "add: shapes (2,) and (3,) do not broadcast"),
    ("é*x + ñ", ("x=1", "é=2"), 6, "no value for ñ"),
    ("x.T", ("x=1",), 0, "attribute access (.) is not allowed"),
    ("x + __import__('os')", ("x=1",), 4, "unknown function __import__"),
    ("__import__('os').system('ls')", ("x=1",), 0, "calling a result is not allowed"),
    ("x + [a for a in x]", ("x=1",), 4, "a comprehension is not allowed"),
    ("x + (lambda: x)", ("x=1",), 5, "lambda is not allowed"),
    ("x < 2", ("x=1",), 0, "a comparison is not allowed"),
    ("x if x else x", ("x=1",), 0, "if … else is not allowed"),
    ("x * 9**9**9", ("x=1",), 5, "pow(9, 3.8742e+08) is no finite number"),
    ("x**9**9", ("x=9",), 1, "the result is no finite number"),
    ("x * 1e999", ("x=1",), 4, "larger than any float"),
    ("sum(x, axis=x)", ("x=1",), 12, "an option is a whole number"),
    ("sum(x, 0, 1, 2)", ("x=1",), 0, "sum takes 1 wire and the options axis, keepdims"),
    ("max(x)[::-1]", ("x=[1]",), 7, "a slice has a positive step"),
    ("reshape(x)", ("x=[1]",), 0, "reshape needs a shape"),
    ("broadcast(x, (100000, 100000))", ("x=1",), 0, "more than 100,000,000 entries"),
    ("exp(x, x)", ("x=1",), 0, "exp takes 1 wire and no option"),
    ("max(x, x, x)", ("x=1",), 0, "max takes 2 wires and no option"),
    ("x[y]", ("x=[1]", "y=1"), 2, "an option is a whole number"),
    ("x; y", ("x=1",), 1, "no expression"),
    ("'a' + x", ("x=1",), 0, "constant is not allowed"),
]


@pytest.mark.parametrize(("text", "assignments", "column", "message"), REFUSED, ids=[r[0] for r in REFUSED])
def test_bad_input_is_refused_with_its_column_marked(text, assignments, column, message):
    with pytest.raises(Refusal) as refused:
        read(text, *assignments)
    shown, marked = str(refused.value).split("\n")
    assert shown == text
    assert marked.index("^") == len("gradtwin: error: ") + column
    assert message in marked


@pytest.mark.parametrize(("text", "assignments", "message"), [
    ("x", ("x=1", "y=2"), "y is given, but 'x' does not use it"),
    ("2 + 3", (), "has no input"),
    ("a + b", ("a=b + 1", "b=a*2"), "a needs itself: the graph has a cycle, a -> b -> a"),
    ("x", ("x=nan",), "a value must be finite"),
    ("x", ("x=[]",), "an empty array"),
    ("x", ("x=[1,[2]]",), "no list of numbers"),
    ("x", ("x=none.npy",), "x=none.npy: cannot be read as .npy"),
    ("x", ("x=1", "x=2"), "x is given twice"),
    ("x", ("sigmoid=1",), "sigmoid is the name of a gate"),
    ("x", ("x",), "'x' is no NAME=VALUE"),
    ("x", ("3=1",), "'3=1' is no NAME=VALUE"),
])  # fmt: skip
def test_bad_values_are_refused_in_a_line(text, assignments, message):
    with pytest.raises(Refusal) as refused:
        read(text, *assignments)
    assert message in str(refused.value)
    assert "\n" not in str(refused.value)


MONSTERS = [  # each would take hours, or all memory, were it evaluated as Python
    "x" * 1_000_000, "x+" * 500_000 + "x", "x+" * 4_000 + "x", "(" * 4_000 + "x" + ")" * 4_000, "-" * 9_000 + "x",
    "exp(" * 180 + "x" + ")" * 180, "x" + "[0]" * 3_000, "9" * 9_000 + "*x",
]  # fmt: skip


@pytest.mark.parametrize("text", MONSTERS, ids=lambda text: text[:8])
def test_monsters_are_refused_at_once(text):
    with pytest.raises(Refusal) as refused:
        read(text, "x=1")
    assert len(str(refused.value)) < 400


def test_a_pickled_array_is_refused(tmp_path):
    np.save(tmp_path / "x.npy", np.array([{"a": 1}], dtype=object), allow_pickle=True)
    with pytest.raises(Refusal, match=r"cannot be read as \.npy"):
        read("sum(x)", f"x={tmp_path / 'x.npy'}")


def test_arrays_come_from_files(tmp_path):
    np.save(tmp_path / "weights.npy", np.arange(6).reshape(2, 3))
    found = read("sum(W @ x)", f"W=@{tmp_path / 'weights.npy'}", "x=[1, 2, 3]")
    assert found.wires["x"].grad.tolist() == [3, 5, 7]
    assert found.verdict is Verdict.AGREE


def run(*arguments):
    with pytest.raises(SystemExit) as exit_:
        cli.main(["graph", *arguments])
    return exit_.value.code


def test_the_command_writes_what_it_is_asked_for(tmp_path, capsys):
    files = {kind: tmp_path / f"circuit.{kind}" for kind in ("png", "svg", "html", "json")}
    options = [part for kind, path in files.items() for part in (f"--{kind}", str(path))]
    status = run(NEURON, *WEIGHTS, "--expand", "--tensorboard", "--runs", str(tmp_path / "runs"), *options)
    told = capsys.readouterr().out
    assert status == 0
    assert "one sigmoid gate and its four elementary gates agree" in told
    assert files["png"].read_bytes().startswith(b"\x89PNG")
    assert "<svg" in files["svg"].read_text()
    assert re.search(r"0\.73", files["svg"].read_text())
    result = json.loads(files["json"].read_text())
    assert (result["schema"], result["command"], result["verdict"]) == (1, "graph", "agree")
    assert result["inputs"]["x1"]["grad"] == pytest.approx(result["inputs"]["x1"]["ref_grad"], rel=1e-14)
    assert round(result["inputs"]["x1"]["grad"], 2) == -0.59
    assert [n["op"] for n in result["nodes"]][-4:] == ["neg", "exp", "add", "div"]
    assert result["output"] == {"name": "sigmoid1", "value": pytest.approx(0.7310585786300049)}
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    events = EventAccumulator(str(next((tmp_path / "runs").iterdir())))
    events.Reload()
    wires = {node.name: node for node in events.Graph().node}
    assert wires["add2"].input == ["add1", "w2"]
    assert wires["w0"].op == "Placeholder"
    assert wires["mul2"].attr["gradient"].s == b"0.196612"


def test_the_command_says_which_column_under_the_expression(capsys):
    assert run("x*w3", "x=1") == 2
    first, second = capsys.readouterr().err.rstrip("\n").split("\n")
    assert first[second.index("^")] == "w"


def test_the_command_fails_where_the_witnesses_differ(monkeypatch, capsys):
    monkeypatch.setattr(scratch.graph, "tanh", scratch.graph._unary(WRONG["tanh"]))
    assert run("tanh(x)", "x=0.5") == 1
    assert "differ" in capsys.readouterr().out


def test_an_arrays_gradient_is_its_sums_unless_upstream_says_otherwise(capsys):
    assert run("x*y", "x=[1,2]", "y=3", "--json", "-") == 0
    told = capsys.readouterr()
    assert json.loads(told.out)["inputs"]["y"]["grad"] == 3
    assert "gradients are those of its sum" in told.err
    assert run("x*y", "x=[1,2]", "y=3", "--upstream", "[1,10]", "--json", "-") == 0
    assert json.loads(capsys.readouterr().out)["inputs"]["y"]["grad"] == 21
    assert run("x*y", "x=[1,2]", "y=3", "--upstream", "[1,10,100]") == 2


def test_both_layouts_place_every_gate_apart_and_to_the_right_of_its_inputs():
    found = read("max(x*y, z)**2/(1 + exp(-x)) + 3*x*w", "x=1.5", "y=2", "z=-1", "w=0.2")
    for dot in (False, True):  # the same one twice where dot is not installed
        where = layout.layout(found.circuit, dot=dot)
        points = list(where.centres.values())
        assert len(points) == len(found.wires)
        gaps = [max(abs(a[0] - b[0]), abs(a[1] - b[1])) for i, a in enumerate(points) for b in points[:i]]
        assert min(gaps) >= layout.GATE
        for g in found.circuit.gates:
            for i, source in enumerate(g.wires()):
                route = where.routes[g.name, i]
                assert len(route) % 3 == 1
                assert where.centres[source][0] < route[0][0] < where.centres[g.name][0]
                assert abs(route[-1][0] - (where.centres[g.name][0] - layout.GATE / 2)) < 0.05


def test_the_plain_layout_of_a_tree_does_not_cross():
    found = read(NEURON, *WEIGHTS)
    where = layout.layout(found.circuit, dot=False)
    heights = [where.centres[name][1] for name in ("w0", "x0", "w1", "x1", "w2")]
    assert heights == sorted(heights, reverse=True)


def test_the_player_steps_forward_then_backward_one_gate_at_a_time():
    found = read("x*x + y", "x=3", "y=1")
    steps = player.steps(found)
    assert [(s["phase"], s["gate"]) for s in steps] == [
        ("start", ""), ("forward", "mul1"), ("forward", "add1"), ("backward", ""), ("backward", "add1"),
        ("backward", "mul1"), ("end", ""),
    ]  # fmt: skip
    told = "\n".join(steps[5]["lines"])
    assert "mul swaps: upstream × the other input" in told
    assert "gradient of x so far: 3.00 (1 of 2 uses added)" in told
    assert "gradient of x = 6 (2 of 2 uses added)" in told
    assert steps[5]["grad"] == {"x": "6.00"}


def test_every_gate_has_its_rule_in_words():
    gates = {
        name for name in vars(scratch.graph) if hasattr(scratch.gates, name) and callable(getattr(scratch.graph, name))
    }
    assert {n for n in gates if n.islower() and not n.startswith("_")} == set(player.RULES)


def test_the_page_needs_no_network_and_shows_text_as_text():
    page = player.page(read("x*x + y", "x=3", "y=1"))
    assert not re.search(r"(src|href)=|https?://|@import|url\(", page)
    found = read("x + y", "x=1", "y=2")
    hostile = readings.Readings(
        type(found.circuit)("</script><b>x</b>", found.circuit.inputs, found.circuit.gates, found.circuit.output),
        found.wires, (), (), found.verdict,
    )  # fmt: skip
    assert "<b>" not in player.page(hostile)


def test_a_large_circuit_is_told_as_a_table_and_not_drawn(tmp_path):
    inputs = {"x": np.asarray(0.5)}
    deep = readings.read(parse("tanh(" * 20 + "x" + ")" * 20, inputs), inputs)
    assert type(draw.tree(deep)).__name__ == "Table"
    many = readings.read(parse(" + ".join(["x*x*x*x"] * 140), inputs), inputs)
    with pytest.raises(Refusal, match="559 gates are too many for a picture"):
        draw.save(many, tmp_path / "many.png")
    assert not list(Path(tmp_path).iterdir())
    assert len(graphdef.graph_def(many)) > 10_000
