"""Every layer written as an expression in the computational graph: the same values, the same gradients."""

import numpy as np
import pytest

from scratch import graph, layers, norms


def _relu(ops, X):
    return ops.relu(X)


def _leaky(ops, X):
    return ops.relu(X) - 0.01 * ops.relu(-X)


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
