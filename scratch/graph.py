"""A computational graph: values flow forward through gates, gradients flow back.

Every gate applied to a Node makes a Node, which keeps its value, its inputs and its local gradients. backward
then multiplies the upstream gradient by the local one, gate by gate, and adds where a value is used twice.

    x, y, z = Node(-2), Node(5), Node(-4)
    f = (x + y) * z
    backward(f)             # f.value is -12, and x.grad, y.grad, z.grad are -4, -4, 3

The gates of scratch.gates stand here under the same names, on nodes, numbers and arrays. All of them raise
ValueError where shapes do not fit or no finite real value exists (division by zero, log of a negative number,
overflow); the message names the gate and the entry. Source: CS231n notes, "Backpropagation, intuitions".
"""

from __future__ import annotations

from collections.abc import Callable
from contextlib import nullcontext
from functools import wraps
from typing import Any

import numpy as np

from scratch import gates
from scratch.domain import explain
from scratch.gates import Local, Value


def backward(root: Node, upstream: Any = None) -> None:
    """Set grad, d root / d value (shaped as value), on every node that root depends on; constants get none.

    upstream is the gradient that reaches root, shaped as root: 1 for a scalar if not given. A second call
    starts afresh and gives the same gradients. Gradients of different nodes may share memory.
    Raises ValueError for an array without upstream, an upstream of another shape, a cycle, or no node at all.
    """
    if not isinstance(root, Node):
        raise ValueError(f"backward before forward: {root!r:.60} is no node, so no gate has computed it")
    value = root.value
    if upstream is None:
        if type(value) is not float and value.ndim:
            raise ValueError(
                f"backward from an array of shape {value.shape} needs an upstream gradient; or sum it first"
            )
        upstream = 1.0
    elif np.shape(upstream) != np.shape(value):
        raise ValueError(f"upstream gradient of shape {np.shape(upstream)} for a value of {np.shape(value)}")
    nodes = order(root)
    for node in nodes:
        node.grad = None
    arrays = {type(node.value) for node in nodes} != {float}
    root.grad = _fit(_plain(upstream), value)
    with np.errstate(all="ignore") if arrays else nullcontext():  # a slope may be infinite: √ at 0
        for node in nodes:
            g = node.grad
            for wire, local in node.edges:
                d = local(g)
                if arrays or type(d) is not float:
                    d = _fit(d, wire.value)
                wire.grad = d if wire.grad is None else wire.grad + d


def order(root: Node) -> list[Node]:
    """List the nodes that root depends on, root first, each before its inputs.

    No recursion, so a chain may be of any length: a node is placed when all its uses have been.
    Raises ValueError for a cycle, which only an assignment to edges can make.
    """
    uses = {root: 0}
    found = [root]
    for node in found:  # grows while it is walked, as placed does below
        for wire, _ in node.edges:
            if wire in uses:
                uses[wire] += 1
            else:
                uses[wire] = 1
                found.append(wire)
    placed = [] if uses[root] else [root]
    for node in placed:
        for wire, _ in node.edges:
            left = uses[wire] = uses[wire] - 1
            if not left:
                placed.append(wire)
    if len(placed) < len(uses):
        stuck = sorted({node.op for node, left in uses.items() if left})
        raise ValueError(f"the graph has a cycle through {', '.join(stuck)}")
    return placed


def _fit(d: Value, value: Value) -> Value:
    """Shape and type a gradient as its value: summed over the axes along which that was repeated."""
    if type(value) is float:
        return d if type(d) is float else float(np.sum(d))
    shape, long = np.shape(value), np.shape(d)
    if long != shape:
        extra = len(long) - len(shape)
        repeated = tuple(i for i, n in enumerate(long) if i < extra or shape[i - extra] != n)
        d = np.sum(d, axis=repeated, keepdims=True).reshape(shape)
    return d if type(d) is not float and d.dtype == value.dtype else value.dtype.type(d)


def _plain(value: Any) -> Value:
    """Take a number as Python float (NumPy's are slow), an array in its own floating-point type."""
    if type(value) is float:
        return value
    if type(value) is int and -1e308 <= value <= 1e308:
        return float(value)
    array = np.asarray(value)
    if array.dtype.kind in "iub":
        array = array.astype(np.float64)
    if array.dtype.kind != "f":
        raise ValueError(f"a wire carries real numbers, not {value!r:.60} ({array.dtype})")
    if array.ndim == 0:
        return float(array) if array.dtype == np.float64 else array[()]
    return array


def _unary(f: Callable[[Value], gates.Unary]) -> Callable[[Any], Node]:
    """Make the gate f of a value a gate of a node."""
    op = f.__name__

    @wraps(f)
    def gate(a: Any) -> Node:
        x = a.value if type(a) is Node else _plain(a)
        try:
            if type(x) is float:
                value, da = f(x)
                if value - value != 0:
                    raise OverflowError("not finite")
            else:
                with np.errstate(divide="raise", over="raise", invalid="raise"):
                    value, da = f(x)
        except (ArithmeticError, ValueError) as error:
            raise ValueError(explain(op, error, x)) from error
        return Node(value, op, ((a, da),) if type(a) is Node else ())

    return gate


def _binary(f: Callable[[Value, Value], gates.Binary]) -> Callable[[Any, Any], Node]:
    """Make the gate f of two values a gate of two nodes."""
    op = f.__name__

    @wraps(f)
    def gate(a: Any, b: Any) -> Node:
        x = a.value if type(a) is Node else _plain(a)
        y = b.value if type(b) is Node else _plain(b)
        try:
            if type(x) is float and type(y) is float:
                value, da, db = f(x, y)
                if value - value != 0:
                    raise OverflowError("not finite")
            else:
                with np.errstate(divide="raise", over="raise", invalid="raise"):
                    value, da, db = f(x, y)
        except (ArithmeticError, ValueError) as error:
            raise ValueError(explain(op, error, x, y)) from error
        if type(b) is not Node:
            return Node(value, op, ((a, da),) if type(a) is Node else ())
        return Node(value, op, ((a, da), (b, db)) if type(a) is Node else ((b, db),))

    return gate


def _shaped(f: Callable[..., gates.Unary]) -> Callable[..., Node]:
    """Make the gate f of an array with options (axis, shape, key) a gate of a node."""
    op = f.__name__

    @wraps(f)
    def gate(a: Any, *args: Any, **options: Any) -> Node:
        x = a.value if type(a) is Node else _plain(a)
        try:
            with np.errstate(divide="raise", over="raise", invalid="raise"):
                value, da = f(x, *args, **options)
        except (ArithmeticError, ValueError, IndexError) as error:
            raise ValueError(explain(op, error, x)) from error
        return Node(value, op, ((a, da),) if type(a) is Node else ())

    return gate


add, sub, mul, div = _binary(gates.add), _binary(gates.sub), _binary(gates.mul), _binary(gates.div)
pow, max, min, matmul = _binary(gates.pow), _binary(gates.max), _binary(gates.min), _binary(gates.matmul)
neg, exp, log, sqrt = _unary(gates.neg), _unary(gates.exp), _unary(gates.log), _unary(gates.sqrt)
abs, sigmoid, tanh, relu = _unary(gates.abs), _unary(gates.sigmoid), _unary(gates.tanh), _unary(gates.relu)
sum, mean, amax, index = _shaped(gates.sum), _shaped(gates.mean), _shaped(gates.amax), _shaped(gates.index)
transpose, reshape, broadcast = _shaped(gates.transpose), _shaped(gates.reshape), _shaped(gates.broadcast)


class Node:
    """One wire: a value, and after backward() its gradient; behind it the gate that made it, if any.

    value is a Python float or an array of floats; integers become float64. op is the gate's name, or "input".
    edges are the nodes that went in, each with what carries a gradient back to it; a constant is no edge.
    Raises ValueError for what is not real numbers.
    """

    __slots__ = ("edges", "grad", "op", "value")
    __array_ufunc__ = None  # array + node is the node's business

    def __init__(self, value: Any, op: str = "input", edges: tuple[tuple[Node, Local], ...] = ()) -> None:
        self.value: Value = value if type(value) is float else _plain(value)
        self.grad: Value | None = None
        self.op = op
        self.edges = edges

    __add__, __sub__, __mul__, __truediv__, __pow__, __matmul__ = add, sub, mul, div, pow, matmul
    __neg__, __abs__, __getitem__ = neg, abs, index
    __iter__ = None  # a node is one wire, however many numbers it carries

    def __radd__(self, other: Any) -> Node:
        return add(other, self)

    def __rsub__(self, other: Any) -> Node:
        return sub(other, self)

    def __rmul__(self, other: Any) -> Node:
        return mul(other, self)

    def __rtruediv__(self, other: Any) -> Node:
        return div(other, self)

    def __rpow__(self, other: Any) -> Node:
        return pow(other, self)

    def __rmatmul__(self, other: Any) -> Node:
        return matmul(other, self)

    def __repr__(self) -> str:
        return f"Node({self.value!r}, {self.op}, grad={self.grad!r})"
