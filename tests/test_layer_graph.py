"""Every layer written as an expression in the computational graph: the same values, the same gradients."""

import numpy as np
import pytest

from compare.pairs import TABLE
from scratch import graph, layers, norms, two_layer


def _relu(ops, X):
    return ops.relu(X)


def _leaky(ops, X):
    return 0.01 * X + 0.99 * ops.relu(X)  # at 0 the slope is that of the first term, as the layer has it


def _sigmoid(ops, X):
    return ops.sigmoid(X)


def _tanh(ops, X):
    return ops.tanh(X)


def _softmax(ops, X):
    exp = ops.exp(X - ops.amax(X, axis=1, keepdims=True))
    return exp / ops.sum(exp, axis=1, keepdims=True)


def _affine(ops, X, W, b):
    return X @ W + b


def _norm(axis):
    def f(ops, X, gamma, beta):
        centred = X - ops.mean(X, axis=axis, keepdims=True)
        variance = ops.mean(centred * centred, axis=axis, keepdims=True)
        return gamma * centred / ops.sqrt(variance + 1e-5) + beta

    return f


RNG = np.random.default_rng(7)
ONE = {"X": RNG.normal(0, 1.5, (8, 5))}
ONE["X"][2, 3] = 0.0  # a kink
NORM = {**ONE, "gamma": RNG.normal(1, 0.3, 5), "beta": RNG.normal(0, 1, 5)}
MASK = RNG.random((8, 5)) > 0.4
RUNNING = np.stack([RNG.normal(0, 1, 5), RNG.uniform(0.5, 2, 5)])
IN_THE_GRAPH = {
    "relu": (_relu, layers.relu_forward, layers.relu_backward, ONE, {}),
    "leaky_relu": (_leaky, layers.leaky_relu_forward, layers.leaky_relu_backward, ONE, {}),
    "sigmoid": (_sigmoid, layers.sigmoid_forward, layers.sigmoid_backward, ONE, {}),
    "tanh": (_tanh, layers.tanh_forward, layers.tanh_backward, ONE, {}),
    "softmax": (_softmax, layers.softmax_forward, layers.softmax_backward, ONE, {}),
    "dropout": (
        lambda ops, X: X * (MASK / 0.6), layers.dropout_forward, layers.dropout_backward, ONE, {"mask": MASK, "p": 0.4},
    ),
    "affine": (
        _affine, layers.affine_forward, layers.affine_backward,
        {**ONE, "W": RNG.normal(0, 1, (5, 3)), "b": RNG.normal(0, 1, 3)}, {},
    ),
    "batch_norm": (_norm(0), norms.batch_norm_forward, norms.batch_norm_backward, NORM, {}),
    "layer_norm": (_norm(1), norms.layer_norm_forward, norms.layer_norm_backward, NORM, {}),
    "batch_norm_eval": (
        lambda ops, X, gamma, beta: gamma * (X - RUNNING[0]) / np.sqrt(RUNNING[1] + 1e-5) + beta,
        norms.batch_norm_eval_forward, norms.batch_norm_eval_backward, NORM, {"running": RUNNING},
    ),
}  # fmt: skip


@pytest.mark.parametrize("name", IN_THE_GRAPH)
def test_a_layer_written_in_the_graph_is_the_layer(name):
    expression, forward, backward, inputs, options = IN_THE_GRAPH[name]
    out, cache = forward(**inputs, **options)
    dout = np.random.default_rng(1).normal(0, 1, out.shape)
    wires = {n: graph.Node(x) for n, x in inputs.items()}
    root = expression(graph, **wires)
    graph.backward(root, dout)
    np.testing.assert_allclose(root.value, out, rtol=1e-12, atol=1e-14)
    for n, grad in backward(dout, cache).items():
        np.testing.assert_allclose(wires[n].grad, grad, rtol=1e-11, atol=1e-13, err_msg=n)


def test_every_layer_of_the_table_is_written_in_the_graph():
    rows = {pair.name for pair in TABLE if (pair.family, pair.kind) == ("layer", "layer")}
    assert rows == {name.replace("softmax", "softmax_layer") for name in IN_THE_GRAPH}


def test_a_network_written_in_the_graph_is_the_network():
    """Three layers under log-sum-exp: objective and every gradient, and the flow to each layer's output."""
    rng = np.random.default_rng(3)
    params = two_layer.init(rng, 6, (5, 4), 3)
    X, y, reg = rng.normal(0, 1, (7, 6)), rng.integers(0, 3, 7), 0.1
    wires = {name: graph.Node(p) for name, p in params.items()}
    outs = [X @ wires["W1"] + wires["b1"]]
    for k in (2, 3):
        outs.append(graph.relu(outs[-1]) @ wires[f"W{k}"] + wires[f"b{k}"])
    scores = outs[-1] - graph.amax(outs[-1], axis=1, keepdims=True)
    loss = graph.mean(graph.log(graph.sum(graph.exp(scores), axis=1)) - scores[np.arange(7), y])
    root = loss + reg * (graph.sum(wires["W1"] ** 2) + graph.sum(wires["W2"] ** 2) + graph.sum(wires["W3"] ** 2))
    graph.backward(root)
    value, grads = two_layer.objective(params, X, y, reg)
    assert root.value == pytest.approx(value, rel=1e-14)
    for name, grad in grads.items():
        np.testing.assert_allclose(wires[name].grad, grad, rtol=1e-11, atol=1e-14, err_msg=name)
    mine, dmine = two_layer.flow(params, X, y)
    for k in range(3):
        np.testing.assert_allclose(outs[k].value, mine[k], rtol=1e-13)
        np.testing.assert_allclose(outs[k].grad, dmine[k], rtol=1e-11, atol=1e-14)
