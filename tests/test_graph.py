import inspect
import math
import tracemalloc

import numpy as np
import pytest
import torch

import ref.graph as ref
import scratch.graph as scratch
from scratch import gates
from scratch.graph import Node, backward, order

GATES = [
    "add", "sub", "mul", "div", "neg", "pow", "exp", "log", "max", "min", "abs", "sqrt", "sigmoid", "tanh", "relu",
    "sum", "mean", "amax", "matmul", "transpose", "reshape", "index", "broadcast",
]  # fmt: skip


def test_the_lectures_first_circuit():
    x, y, z = Node(-2), Node(5), Node(-4)
    f = (x + y) * z
    backward(f)
    assert (f.value, x.grad, y.grad, z.grad) == (-12, -4, -4, 3)


def test_the_lectures_sigmoid_neuron():
    w0, x0, w1, x1, w2 = (Node(v) for v in (2, -1, -3, -2, -3))
    f = scratch.sigmoid(w0 * x0 + w1 * x1 + w2)
    backward(f)
    assert round(f.value, 2) == 0.73
    assert [round(n.grad, 2) for n in (w0, x0, w1, x1, w2)] == [-0.20, 0.39, -0.39, -0.59, 0.20]


def test_every_gate_stands_on_both_sides_with_the_same_signature():
    for name in GATES:
        mine, theirs = (inspect.signature(getattr(side, name)).parameters for side in (scratch, ref))
        assert [(p.name, p.default) for p in mine.values()] == [(p.name, p.default) for p in theirs.values()], name
        assert getattr(scratch, name).__doc__


def test_a_value_used_twice_adds_its_gradients():
    x = Node(3.0)
    y = x * x
    backward(y * y + x)  # x^4 + x
    assert x.grad == 4 * 27 + 1


def test_a_second_backward_starts_afresh():
    x = Node(3.0)
    f = x * x
    backward(f)
    backward(f)
    assert x.grad == 6
    backward(f, 10.0)
    assert x.grad == 60


def test_a_chain_of_100_000_gates():
    x = Node(1.0)
    f = x
    for _ in range(50_000):
        f = (f + 1.0) * 1.0
    backward(f)
    assert f.value == 50_001
    assert x.grad == 1
    assert len(order(f)) == 100_001


def test_order_puts_every_gate_before_its_inputs():
    x = Node(2.0)
    a = x * 3.0
    f = a * x + a
    place = {node: i for i, node in enumerate(order(f))}
    assert all(place[node] < place[wire] for node in place for wire, _ in node.edges)


def test_one_expression_runs_on_both_sides():
    def f(ops, x, y):
        return ops.sum(ops.sigmoid(x * y + 1) / (2 - ops.tanh(x)) ** 2 - abs(y) @ abs(y) * 0.1 + -x[1])

    rng = np.random.default_rng(0)
    x, y = rng.standard_normal((2, 3))
    mine = [Node(x), Node(y)]
    out = f(scratch, *mine)
    backward(out)
    theirs = [torch.tensor(v, requires_grad=True) for v in (x, y)]
    expected = f(ref, *theirs)
    expected.backward()
    assert out.value == pytest.approx(expected.item(), rel=1e-14)
    for a, b in zip(mine, theirs, strict=True):
        # ten gates deep, every term below 2: 40 roundings of at most u each
        np.testing.assert_allclose(a.grad, b.grad.numpy(), rtol=0, atol=40 * 2.0**-53 * 2)


@pytest.mark.parametrize("shapes", [((3,), (3,)), ((2, 3), (3,)), ((3,), (3, 2)), ((2, 3), (3, 4)),
                                    ((5, 2, 3), (3, 4)), ((2, 3), (5, 3, 4)), ((5, 1, 2, 3), (4, 3, 2)),
                                    ((3,), (5, 3, 2)), ((5, 2, 3), (3,))])  # fmt: skip
def test_matmul_of_every_rank_is_torchs(shapes):
    rng = np.random.default_rng(1)
    values = [rng.integers(-4, 5, shape).astype(float) for shape in shapes]  # exact in any order of summation
    a, b = map(Node, values)
    out = a @ b
    g = rng.integers(-4, 5, np.shape(out.value)).astype(float)
    backward(out, g if g.ndim else float(g))
    ta, tb = (torch.tensor(v, requires_grad=True) for v in values)
    expected = ta @ tb
    expected.backward(torch.tensor(g))
    np.testing.assert_array_equal(out.value, expected.detach().numpy())
    np.testing.assert_array_equal(a.grad, ta.grad.numpy())
    np.testing.assert_array_equal(b.grad, tb.grad.numpy())


KINKS = [
    ("relu", [0.0]), ("abs", [0.0]), ("sqrt", [0.0]), ("max", [1.0, 1.0]), ("min", [1.0, 1.0]), ("max", [2.0, 1.0]),
    ("min", [2.0, 1.0]), ("pow", [0.0, 2.0]), ("pow", [0.0, 0.5]), ("pow", [0.0, 0.0]), ("pow", [0.0, 1.0]),
    ("pow", [-2.0, 3.0]), ("pow", [-2.0, 0.0]), ("pow", [3.0, 0.0]), ("sigmoid", [800.0]), ("sigmoid", [-800.0]),
    ("tanh", [30.0]),
]  # fmt: skip


@pytest.mark.parametrize(("op", "at"), KINKS)
@pytest.mark.parametrize("array", [False, True])
def test_what_a_gate_does_at_a_kink_or_an_end_equals_torchs(op, at, array):
    mine = [Node(np.array([v, v])) if array else Node(v) for v in at]
    out = getattr(scratch, op)(*mine)
    backward(out, np.ones(2) if array else None)
    theirs = [torch.tensor([v, v] if array else v, dtype=torch.float64, requires_grad=True) for v in at]
    expected = getattr(ref, op)(*theirs)
    expected.sum().backward()
    np.testing.assert_array_equal(out.value, expected.detach().numpy())
    for a, b in zip(mine, theirs, strict=True):
        np.testing.assert_allclose(a.grad, b.grad.numpy(), rtol=2.0**-51, atol=0)


def test_an_infinite_upstream_does_not_pass_a_closed_gate():
    x = Node(np.array([-1.0, 4.0]))
    backward(scratch.sum(scratch.sqrt(scratch.relu(x))))
    np.testing.assert_array_equal(x.grad, [0.0, 0.25])


@pytest.mark.parametrize("axis", [None, 0, 1, (0, 1), -1])
@pytest.mark.parametrize("keepdims", [False, True])
def test_the_largest_entries_share_the_gradient_when_they_tie(axis, keepdims):
    value = np.array([[1.0, 3.0, 3.0], [3.0, 0.0, -1.0]])
    x = Node(value)
    backward(scratch.sum(scratch.amax(x, axis, keepdims)))
    t = torch.tensor(value, requires_grad=True)
    ref.amax(t, axis, keepdims).sum().backward()
    np.testing.assert_array_equal(x.grad, t.grad.numpy())
    assert x.grad[0, 1] == x.grad[0, 2]


def test_gradients_of_what_was_repeated_are_summed_back():
    x, row, column, scalar = Node(np.ones((2, 3))), Node(np.ones(3)), Node(np.ones((2, 1))), Node(2.0)
    backward(scratch.sum(x * row * column * scalar))
    assert row.grad.tolist() == [4, 4, 4]
    assert column.grad.tolist() == [[6], [6]]
    assert scalar.grad == 6
    assert isinstance(scalar.grad, float)


@pytest.mark.parametrize("op", [scratch.sum, scratch.mean, scratch.amax, scratch.transpose, lambda x: x[None][0]])
@pytest.mark.parametrize("value", [2.0, np.float32(2)])
def test_gates_for_arrays_take_a_number_and_return_its_gradient_as_one(op, value):
    x = Node(value)
    backward(op(x) * x)
    assert x.grad == 4
    assert type(x.grad) is type(value)


def test_an_entry_picked_twice_receives_both_gradients():
    x = Node(np.arange(4.0))
    backward(scratch.sum(scratch.index(x, [1, 1, 2]) * np.array([1.0, 2.0, 4.0])))
    assert x.grad.tolist() == [0, 3, 4, 0]


@pytest.mark.parametrize("key", [1, -1, slice(0, 2), (0, 1), (..., None, 1), (slice(None), slice(0, 3, 2)), np.int64(1),
                                 [0, 0, 1], ([0, 1, 0], [2, 2, 2])])  # fmt: skip
def test_every_kind_of_key_returns_the_gradient_as_torch_does(key):
    value = np.arange(6.0).reshape(2, 3)
    x, t = Node(value), torch.tensor(value, requires_grad=True)
    out, expected = scratch.index(x, key), ref.index(t, key)
    np.testing.assert_array_equal(out.value, expected.detach().numpy())
    backward(scratch.sum(out * out))
    (expected * expected).sum().backward()
    np.testing.assert_array_equal(x.grad, t.grad.numpy())


@pytest.mark.parametrize("op", ["exp", "sigmoid", "tanh", "relu", "abs", "sum", "mean", "amax", "transpose"])
def test_precision_is_kept(op):
    x = Node(np.linspace(0.1, 1, 6, dtype=np.float32).reshape(2, 3))
    out = getattr(scratch, op)(x)
    backward(out, np.ones(np.shape(out.value), np.float32))
    assert out.value.dtype == np.float32
    assert x.grad.dtype == np.float32
    assert type(scratch.sum(Node(np.ones(3))).value) is float


def test_no_jacobian_is_ever_stored():
    n = 20_000  # a Jacobian would take n² · 8 bytes = 3.2 GB
    x = Node(np.linspace(0.5, 1.5, n))
    tracemalloc.start()
    f = scratch.sum(scratch.sigmoid(scratch.max(x * x, scratch.exp(-x))) / (1 + scratch.sqrt(x)))
    backward(f)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 40 * 8 * n


REFUSED = [
    (lambda: Node(1.0) / 0, "div(1, 0): division by zero"),
    (lambda: Node(np.ones((2, 2))) / np.array([1.0, 0]), "div(1, 0) at entry (0, 1): division by zero"),
    (lambda: scratch.log(Node(-2.0)), "log(-2): only positive numbers have a logarithm"),
    (lambda: scratch.log(np.array([1.0, 0.0])), "log(0) at entry (1,)"),
    (lambda: scratch.sqrt(-1.0), "negative numbers have no real square root"),
    (lambda: Node(-8.0) ** (1 / 3), "a negative base needs a whole exponent"),
    (lambda: Node(0.0) ** -1, "a base of 0 one that is not negative"),
    (lambda: Node(9.0) ** (9.0**9), "the result is no finite number"),
    (lambda: Node(1e200) * 1e200, "mul(1e+200, 1e+200): the result is no finite number"),
    (lambda: scratch.exp(np.array([1e4])), "exp(array (1,)): the result is no finite number"),
    (lambda: Node(np.ones((2, 3))) + np.ones(4), "add: shapes (2, 3) and (4,) do not broadcast"),
    (lambda: Node(np.ones((2, 3))) @ np.ones((4, 2)), "matmul: shapes (2, 3) and (4, 2) do not fit"),
    (lambda: Node(2.0) @ 3.0, "matmul: shapes () and (): a number has no matrix product; times is *"),
    (lambda: scratch.sum(np.ones((2, 3)), axis=2), "sum of shape (2, 3): axis 2 is out of bounds"),
    (lambda: scratch.reshape(np.ones(6), (4, 2)), "reshape of shape (6,): cannot reshape"),
    (lambda: scratch.index(np.ones(3), 7), "index of shape (3,): index 7 is out of bounds"),
    (lambda: scratch.mean(np.ones(0)), "mean(array (0,)): the result is no finite number"),
    (lambda: Node("two"), "a wire carries real numbers, not 'two'"),
    (lambda: Node(1j), "a wire carries real numbers, not 1j"),
    (lambda: backward(3.0), "backward before forward: 3.0 is no node"),
    (lambda: backward(Node(np.ones(3))), "backward from an array of shape (3,) needs an upstream gradient"),
    (lambda: backward(Node(np.ones(3)), np.ones(2)), "upstream gradient of shape (2,) for a value of (3,)"),
]


@pytest.mark.parametrize(("wrong", "message"), REFUSED, ids=[m[:30] for _, m in REFUSED])
def test_bad_input_is_refused_in_a_line_that_names_the_gate(wrong, message):
    with pytest.raises(ValueError) as refused:  # noqa: PT011 the message is compared below, with its brackets
        wrong()
    assert message in str(refused.value)
    assert len(str(refused.value).splitlines()) == 1


def test_a_cycle_is_refused():
    x = Node(1.0)
    a = x * 2.0
    f = a + 1.0
    a.edges = ((f, lambda g: g),)
    with pytest.raises(ValueError, match="cycle through add, mul"):
        backward(f)


def test_a_wrong_local_gradient_does_not_pass_for_torchs(monkeypatch):
    def wrong(a):
        t = math.tanh(a)
        return t, lambda g: g * (1 - t)

    x, t = Node(0.5), torch.tensor(0.5, dtype=torch.float64, requires_grad=True)
    torch.tanh(t).backward()
    backward(scratch.tanh(x))
    assert x.grad == pytest.approx(t.grad.item(), rel=1e-15)
    backward(scratch._unary(wrong)(x))
    assert x.grad != pytest.approx(t.grad.item(), rel=1e-2)
    assert gates.tanh(0.5)[0] == math.tanh(0.5)
