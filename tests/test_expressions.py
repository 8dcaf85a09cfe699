"""Expressions as text: what is refused, where the caret stands, and where values come from."""

import pickle

import numpy as np
import pytest

from compare import readings
from compare.given import given as values_of
from compare.parsing import parse
from compare.records import Refusal, Verdict


def read(text, *assignments):
    inputs, parts = values_of(assignments)
    return readings.read(parse(text, inputs, parts), inputs)


REFUSED = [
    ("x*w3 + w2", ("x=1", "w2=1"), 2, "no value for w3: give one with w3=…; did you mean w2?"),
    ("1 + sigmod(x)", ("x=1",), 4, "unknown function sigmod; did you mean sigmoid?"),
    ("x + sigmoid", ("x=1",), 4, "sigmoid is a gate"),
    ("1 + x/y", ("x=1", "y=0"), 5, "div(1, 0): division by zero"),
    ("1 + log(x)", ("x=-1",), 4, "log(-1): only positive numbers have a logarithm"),
    ("x + y", ("x=[1,2]", "y=[1,2,3]"), 2, "add: shapes (2,) and (3,) do not broadcast"),
    ("x @ y", ("x=1", "y=[1,2]"), 2, "matmul: shapes () and (2,): a number has no matrix product"),
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
    ("broadcast(x, (100000, 100000))", ("x=1",), 0, "more than 1,000,000 entries"),
    ("exp(x, x)", ("x=1",), 0, "exp takes 1 wire and no option"),
    ("max(x, x, x)", ("x=1",), 0, "max takes 2 wires and no option"),
    ("x[y]", ("x=[1]", "y=1"), 2, "an option is a whole number"),
    ("x; y", ("x=1",), 1, "no expression"),
    ("'a' + x", ("x=1",), 0, "a text is not allowed"),
    ("x + True", ("x=1",), 4, "True is not allowed"),
    ("1 + ~x", ("x=1",), 4, "this operator is not allowed"),
    ("x * y +", ("x=1", "y=2"), 7, "something is missing here"),
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
    ("exp(2)", (), "has no input"),
    ("a + b", ("a=b + 1", "b=a*2"), "a needs itself: the graph has a cycle, a -> b -> a"),
    ("x", ("x=nan",), "a value must be finite"),
    ("x", ("x=-inf",), "a value must be finite"),
    ("x", ("x=[1, NaN]",), "a value must be finite"),
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


@pytest.mark.parametrize("kind", ["pickled", "pickle", "text", "empty", "vast", "long", "complex"])
def test_a_file_that_holds_no_array_of_numbers_is_refused_in_a_line(kind, tmp_path):
    path = tmp_path / "x.npy"
    match kind:
        case "pickled":
            np.save(path, np.array([{"a": 1}], dtype=object), allow_pickle=True)
        case "pickle":
            path.write_bytes(pickle.dumps([1, 2]))
        case "text" | "empty":
            path.write_text("1 2 3" if kind == "text" else "")
        case "vast":  # a header alone, that claims 7 TiB
            with path.open("wb") as file:
                header = {"descr": "<f8", "fortran_order": False, "shape": (10**6, 10**6)}
                np.lib.format.write_array_header_1_0(file, header)
        case "long":  # infinite as float64, or already
            np.save(path, np.array([np.longdouble("1e400")]))
        case "complex":
            np.save(path, np.array([1 + 2j]))
    with pytest.raises(Refusal, match=r"x\.npy: (cannot be read as \.npy|holds no array|a value must)") as refused:
        read("sum(x)", f"x={path}")
    assert "\n" not in str(refused.value)


def test_arrays_come_from_files(tmp_path):
    np.save(tmp_path / "weights.npy", np.arange(6).reshape(2, 3))
    found = read("sum(W @ x)", f"W=@{tmp_path / 'weights.npy'}", "x=[1, 2, 3]")
    assert found.wires["x"].grad.tolist() == [3, 5, 7]
    assert found.verdict is Verdict.AGREE


def test_the_caret_counts_columns_of_the_terminal_and_control_characters_are_not_shown():
    with pytest.raises(Refusal) as wide:
        read("中中 + q", "中中=1")
    assert str(wide.value).split("\n")[1].index("^") == len("gradtwin: error: ") + 2 * 2 + 3
    with pytest.raises(Refusal) as control:
        read("x + \x1b[31m y", "x=1", "y=1")
    assert "\x1b" not in str(control.value)


@pytest.mark.parametrize(("text", "made"), [("sum(c*r)", "mul: shapes (4000, 1) and (1, 4000) make"),
                                            ("sum(c @ r)", "matmul: shapes (4000, 1) and (1, 4000) make")])  # fmt: skip
def test_a_gate_that_would_fill_the_memory_is_refused_before_it_computes(text, made, monkeypatch):
    monkeypatch.setattr("scratch.graph.mul", lambda *args: pytest.fail("it computed"))
    monkeypatch.setattr("scratch.graph.matmul", lambda *args: pytest.fail("it computed"))
    inputs = {"c": np.ones((4000, 1)), "r": np.ones((1, 4000))}
    with pytest.raises(Refusal, match="an array of 16,000,000 entries; at most 10,000,000") as refused:
        readings.read(parse(text, inputs), inputs)
    assert made in str(refused.value)
    assert "^ column" in str(refused.value)


def test_an_input_larger_than_a_wire_may_be_is_refused():
    with pytest.raises(Refusal, match="x has 10,000,001 entries; at most 10,000,000"):
        readings.read(parse("sum(x)", ["x"]), {"x": np.broadcast_to(1.0, 10_000_001)})
