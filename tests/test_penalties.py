"""L2, L1 and elastic net against figures worked out by hand, autograd, torch's weight_decay and scikit-learn."""

import numpy as np
import pytest
import torch

import ref.penalties
from scratch import penalties

W = np.array([[1.0, -2.0], [0.0, 0.5]])  # Σ W² = 5.25, Σ |W| = 3.5
ALL = pytest.mark.parametrize("name", ["l2", "l1", "elastic_net"])


def test_values_and_gradients_by_hand():
    value, grads = penalties.l2(W, 0.1)
    assert value == pytest.approx(0.525, abs=1e-15)
    assert grads["W"] == pytest.approx(np.array([[0.2, -0.4], [0, 0.1]]), abs=1e-16)
    value, grads = penalties.l1(W, 0.25)
    assert (value, grads["W"].tolist()) == (0.875, [[0.25, -0.25], [0, 0.25]])
    value, grads = penalties.elastic_net(W, 2.0, beta=0.25)  # 2 (0.25 · 5.25 + 3.5)
    assert (value, grads["W"].tolist()) == (9.625, [[3, -4], [0, 2.5]])
    assert penalties.elastic_net(W, 2.0)[0] == 2 * (0.5 * 5.25 + 3.5)


@ALL
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("scale", [1e-6, 1.0, 1e4])
def test_agrees_with_autograd_in_float64(name, dtype, scale):
    weights = (scale * np.random.default_rng(0).normal(0, 1, (30, 10))).astype(dtype)
    weights[0, :3] = 0  # sign(0) = 0 on both sides
    value, grads = getattr(penalties, name)(weights, 0.37)
    wide = torch.from_numpy(weights.astype(np.float64)).requires_grad_()
    theirs = getattr(ref.penalties, name)(wide, 0.37)
    (grad,) = torch.autograd.grad(theirs, wide)
    u = np.finfo(dtype).eps / 2
    assert value.dtype == grads["W"].dtype == dtype
    assert abs(float(value) - theirs.item()) <= 310 * u * theirs.item()
    assert np.all(np.abs(grads["W"] - grad.numpy()) <= 8 * u * np.abs(grad.numpy()))


@ALL
def test_no_strength_no_penalty_and_nothing_is_written_to(name):
    weights = W.copy()
    weights.flags.writeable = False
    value, grads = getattr(penalties, name)(weights, 0.0)
    assert value == 0
    assert not grads["W"].any()
    assert not np.shares_memory(grads["W"], weights)


def test_biases_are_penalised_as_any_array():
    value, grads = penalties.l2(np.array([3.0, -4.0]), 0.5)
    assert (value, grads["W"].tolist()) == (12.5, [3, -4])


def test_l2_is_torchs_weight_decay_of_twice_the_strength():
    weights = torch.nn.Parameter(torch.from_numpy(W.copy()))
    optimizer = torch.optim.SGD([weights], lr=0.125, weight_decay=2 * 0.25)
    weights.grad = torch.zeros_like(weights)
    optimizer.step()
    assert weights.detach().numpy().tolist() == (W - 0.125 * penalties.l2(W, 0.25)[1]["W"]).tolist()


@pytest.mark.parametrize("l1_ratio", [0.2, 0.5, 0.9])
def test_elastic_net_is_scikit_learns_by_the_docstrings_translation(l1_ratio):
    """At the minimum of 1/2N ‖y − X w‖² + penalty, 0 is a subgradient: so scikit-learn's minimum tells its penalty."""
    linear_model = pytest.importorskip("sklearn.linear_model", reason="scikit-learn is an optional peer")
    rng, alpha = np.random.default_rng(1), 0.3
    X = rng.normal(0, 1, (80, 12))
    y = X[:, :4] @ np.array([3.0, -2.0, 0.5, 0.1]) + rng.normal(0, 0.1, 80)
    model = linear_model.ElasticNet(alpha=alpha, l1_ratio=l1_ratio, fit_intercept=False, tol=1e-14, max_iter=100_000)
    w = model.fit(X, y).coef_
    reg, beta = alpha * l1_ratio, (1 - l1_ratio) / (2 * l1_ratio)
    slope = X.T @ (X @ w - y) / 80 + penalties.elastic_net(w, reg, beta)[1]["W"]
    used = w != 0
    assert 0 < used.sum() < 12
    # coordinate descent stops at a duality gap of 1e-14 ‖y‖²: the slope is then within about its root
    assert np.abs(slope[used]).max() <= 1e-5
    assert np.all(np.abs(slope[~used]) <= reg + 1e-5)
    halved = X.T @ (X @ w - y) / 80 + penalties.elastic_net(w, reg / 2, beta)[1]["W"]
    assert np.abs(halved[used]).max() > 0.01  # another strength has its minimum elsewhere
