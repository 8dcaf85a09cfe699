"""The layers by hand, against torch, and with faults planted."""

import numpy as np
import pytest
import torch
import torch.nn.functional as F

import ref.layers
import ref.norms
from compare.check import check, generator
from compare.pairs import TABLE, select
from compare.records import Verdict
from compare.sides import standing_in
from scratch import layers, norms

NAMES = [
    "relu",
    "leaky_relu",
    "sigmoid",
    "tanh",
    "softmax_layer",
    "dropout",
    "batch_norm",
    "batch_norm_eval",
    "batch_norm_running",
    "layer_norm",
]


def findings(name, dtype="float64", cases=()):
    (pair,) = select([name])
    return [
        finding
        for case in pair.cases(generator(0, name))
        if not cases or case.name in cases
        for finding in check(pair, case, dtype)
    ]


@pytest.mark.parametrize("name", NAMES)
def test_every_layer_agrees_with_its_twin(name):
    found = [*findings(name, "float32"), *findings(name, "float64", ("typical", "at a kink"))]
    assert found
    assert {f.verdict for f in found} == {Verdict.AGREE}


def test_every_layer_stands_in_the_table():
    assert set(NAMES) <= {pair.name for pair in TABLE}


# by hand


def test_relu_and_its_kink_by_hand():
    out, cache = layers.relu_forward(np.array([[-1.0, 0.0, 2.0]]))
    assert out.tolist() == [[0, 0, 2]]
    assert layers.relu_backward(np.array([[5.0, 6.0, 7.0]]), cache)["X"].tolist() == [[0, 0, 7]]


def test_leaky_relu_and_its_kink_by_hand():
    out, cache = layers.leaky_relu_forward(np.array([[-4.0, 0.0, 2.0]]), slope=0.25)
    assert out.tolist() == [[-1, 0, 2]]
    assert layers.leaky_relu_backward(np.array([[8.0, 8.0, 8.0]]), cache)["X"].tolist() == [[2, 2, 8]]


def test_sigmoid_by_hand_and_far_out():
    out, cache = layers.sigmoid_forward(np.array([0.0, np.log(3.0), -800.0, 800.0]))
    np.testing.assert_allclose(out, [0.5, 0.75, 0.0, 1.0], rtol=1e-15)
    np.testing.assert_allclose(layers.sigmoid_backward(np.ones(4), cache)["X"], [0.25, 0.1875, 0, 0], rtol=1e-15)


def test_tanh_by_hand():
    out, cache = layers.tanh_forward(np.array([0.0, np.log(2.0)]))  # (2 - ½) / (2 + ½)
    np.testing.assert_allclose(out, [0, 0.6], rtol=1e-15)
    np.testing.assert_allclose(layers.tanh_backward(np.ones(2), cache)["X"], [1, 0.64], rtol=1e-15)


def test_softmax_by_hand():
    out, cache = layers.softmax_forward(np.array([[1000.0, 1000.0 + np.log(3.0)]]))
    np.testing.assert_allclose(out, [[0.25, 0.75]], rtol=1e-12)
    back = layers.softmax_backward(np.array([[1.0, 0.0]]), cache)["X"]
    np.testing.assert_allclose(back, [[0.1875, -0.1875]], rtol=1e-12)  # p0 (1 - p0), and its negative


def test_dropout_by_hand():
    mask = np.array([[True, False, True]])
    out, cache = layers.dropout_forward(np.array([[3.0, 4.0, 5.0]]), mask, p=0.5)
    assert out.tolist() == [[6, 0, 10]]
    assert layers.dropout_backward(np.array([[1.0, 1.0, 2.0]]), cache)["X"].tolist() == [[2, 0, 4]]


def test_dropout_masks_are_the_same_on_both_sides_and_keep_their_share():
    mine = layers.dropout_mask(np.random.default_rng(3), (200, 100), 0.3)
    theirs = ref.layers.dropout_mask(np.random.default_rng(3), (200, 100), 0.3)
    assert np.array_equal(mine, theirs.numpy())
    assert abs(mine.mean() - 0.7) < 5 * np.sqrt(0.3 * 0.7 / 20_000)


def test_dropout_is_torchs_once_the_mask_is_known():
    torch.manual_seed(0)
    kept = F.dropout(torch.ones(40, 30, dtype=torch.float64), 0.25)
    X = np.random.default_rng(0).normal(0, 1, (40, 30))
    torch.manual_seed(0)
    theirs = F.dropout(torch.from_numpy(X), 0.25)
    np.testing.assert_allclose(layers.dropout_forward(X, kept.numpy() > 0, 0.25)[0], theirs.numpy(), rtol=1e-15)


def test_batch_norm_by_hand():
    X, one, zero = np.array([[1.0], [3.0]]), np.ones(1), np.zeros(1)
    out, cache = norms.batch_norm_forward(X, 2 * one, 5 * one, eps=3.0)  # mean 2, variance 1, root 2
    assert out.tolist() == [[4], [6]]
    grads = norms.batch_norm_backward(np.array([[1.0], [0.0]]), cache)
    # out_0 = 5 + 2 (x0 - x1)/2 / √((x0 - x1)²/4 + 3): with d = -2, its slope by d is 3 / 2³ = 3/8
    np.testing.assert_allclose(grads["X"], [[3 / 8], [-3 / 8]], rtol=1e-15)
    assert grads["gamma"].tolist() == [-0.5]
    assert grads["beta"].tolist() == [1]
    assert np.array_equal(norms.batch_norm_forward(X, one, zero, 3.0)[0], [[-0.5], [0.5]])


def test_running_statistics_by_hand():
    moved = norms.batch_norm_running(np.array([[1.0], [3.0]]), np.array([[0.0], [1.0]]), momentum=0.5)
    assert moved.tolist() == [[1], [1.5]]  # half of mean 2; half of 1 and half of the unbiased variance 2


def test_at_test_time_the_running_statistics_count():
    running = np.array([[1.0], [4.0]])
    out, cache = norms.batch_norm_eval_forward(np.array([[7.0]]), np.full(1, 2.0), np.ones(1), running, eps=5.0)
    assert out.tolist() == [[5]]  # 2 (7 - 1) / 3 + 1
    assert norms.batch_norm_eval_backward(np.array([[3.0]]), cache)["X"].tolist() == [[2]]


def test_layer_norm_is_batch_norm_of_the_transpose():
    rng = np.random.default_rng(0)
    X, dout = rng.normal(0, 1, (5, 7)), rng.normal(0, 1, (5, 7))
    mine, cache = norms.layer_norm_forward(X, np.ones(7), np.zeros(7))
    other, other_cache = norms.batch_norm_forward(X.T, np.ones(5), np.zeros(5))
    np.testing.assert_allclose(mine, other.T, rtol=1e-13)
    back = norms.batch_norm_backward(dout.T, other_cache)["X"].T
    np.testing.assert_allclose(norms.layer_norm_backward(dout, cache)["X"], back, rtol=1e-12, atol=1e-14)


def test_torch_trains_its_own_batch_norm_module_the_same():
    rng = np.random.default_rng(1)
    module = torch.nn.BatchNorm1d(6, dtype=torch.float64)
    running = np.stack([np.zeros(6), np.ones(6)])
    for _ in range(3):
        X = rng.normal(1, 2, (9, 6))
        theirs = module(torch.from_numpy(X)).detach().numpy()
        np.testing.assert_allclose(norms.batch_norm_forward(X, np.ones(6), np.zeros(6))[0], theirs, atol=1e-14)
        running = norms.batch_norm_running(X, running)
    np.testing.assert_allclose(running[0], module.running_mean.numpy(), rtol=1e-14)
    np.testing.assert_allclose(running[1], module.running_var.numpy(), rtol=1e-14)


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: layers.dropout_forward(np.ones((2, 2)), np.ones((2, 2)), 1.0), "0 <= p < 1, not 1"),
        (lambda: layers.dropout_forward(np.ones((2, 2)), np.ones((1, 2))), "shape of X"),
        (lambda: norms.batch_norm_forward(np.ones((1, 2)), np.ones(2), np.ones(2)), "not 1"),
        (lambda: norms.batch_norm_running(np.ones((1, 2)), np.ones((2, 2))), "not 1"),
    ],
)
def test_what_means_nothing_is_refused(call, message):
    with pytest.raises(ValueError, match=message):
        call()


# planted faults


class _With:
    """A module in which one function is another."""

    def __init__(self, module, **others):
        self.module, self.others = module, others

    def __getattr__(self, name):
        return self.others.get(name) or getattr(self.module, name)


def _passes_at_the_kink(dout, cache):
    return {"X": dout * 1.0}


def _no_variance(dout, cache):
    normal, scale, gamma = cache
    g = dout * gamma
    return {"X": (g - g.mean(axis=0)) * scale, "gamma": (dout * normal).sum(axis=0), "beta": dout.sum(axis=0)}


FAULTS = {
    "relu": ("layers", "relu_backward", _passes_at_the_kink),
    "sigmoid": ("layers", "sigmoid_backward", lambda dout, cache: {"X": dout * cache}),
    "softmax_layer": ("layers", "softmax_backward", lambda dout, cache: {"X": dout * cache * (1 - cache)}),
    "dropout": ("layers", "dropout_backward", lambda dout, cache: {"X": dout * cache[0]}),
    "batch_norm": ("norms", "batch_norm_backward", _no_variance),
    "batch_norm_running": (
        "norms", "batch_norm_running",
        lambda X, running, momentum=0.1: 0.9 * running + 0.1 * np.stack([X.mean(axis=0), X.var(axis=0)]),
    ),
    "layer_norm": ("norms", "layer_norm_backward", _no_variance),
}  # fmt: skip


@pytest.mark.parametrize("name", FAULTS)
def test_a_planted_fault_is_found(name):
    module, function, wrong = FAULTS[name]
    real = {"layers": layers, "norms": norms}[module]
    with standing_in({f"scratch.{module}": _With(real, **{function: wrong})}):
        found = findings(name, cases=("typical",))
    assert Verdict.DIFFER in {f.verdict for f in found}


def test_a_gradient_of_one_at_the_kink_of_relu_is_found():
    def wrong(X):
        return np.maximum(X, 0), X >= 0

    with standing_in({"scratch.layers": _With(layers, relu_forward=wrong)}):
        found = findings("relu", cases=("typical", "at a kink"))
    assert {f.case for f in found if f.verdict is Verdict.DIFFER} == {"at a kink"}
