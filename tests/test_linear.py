"""Linear objectives: by hand, against autograd, and put together from their parts; start weights and scores."""

import numpy as np
import pytest
import torch
import torch.nn.functional as F

import ref.linear
from scratch import layers, linear, losses, penalties

OBJECTIVES = {"softmax": linear.softmax_objective, "hinge": linear.svm_objective}
PENALTIES = ["l2", "l1", "elastic_net"]
EACH = pytest.mark.parametrize("loss", OBJECTIVES)


def draw(N=20, D=7, C=4, dtype=np.float64, seed=0):
    rng = np.random.default_rng(seed)
    params = {"W": rng.normal(0, 0.5, (D, C)).astype(dtype), "b": rng.normal(0, 1, C).astype(dtype)}
    return params, rng.normal(0, 1, (N, D)).astype(dtype), rng.integers(0, C, N)


def test_svm_by_hand():
    # the scores are (1, 3, 1) with true class 0: only class 1 violates, by 3
    params = {"W": np.array([[1.0, 2.0, 0.0], [0.0, 0.0, 3.0]]), "b": np.array([0.0, 1.0, 1.0 - 1e-9])}
    value, grads = linear.svm_objective(params, np.array([[1.0, 0.0]]), np.array([0]), reg=0.5)
    # margins 3 and 1 - 1e-9, and 0.5 (1 + 4 + 9) of penalty
    assert value == pytest.approx(3 + 1 - 1e-9 + 7, abs=1e-12)
    assert grads["b"].tolist() == [-2, 1, 1]
    assert grads["W"].tolist() == [[-2 + 1, 1 + 2, 1], [0, 0, 3]]


def test_softmax_by_hand():
    # one example, X = 2, equal scores: p = ½ each, dscores = (-½, ½)
    params = {"W": np.array([[1.0, 1.0]]), "b": np.array([3.0, 3.0])}
    value, grads = linear.softmax_objective(params, np.array([[2.0]]), np.array([0]), reg=0.25, decay_bias=True)
    assert value == pytest.approx(np.log(2) + 0.25 * (2 + 18), abs=1e-14)
    assert grads["W"].tolist() == [[-1 + 0.5, 1 + 0.5]]
    assert grads["b"].tolist() == [-0.5 + 1.5, 0.5 + 1.5]


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_at_zero_weights_the_values_are_those_of_chance(dtype):
    _, X, y = draw(30, 12, 10, dtype)
    params = {"W": np.zeros((12, 10), dtype), "b": np.zeros(10, dtype)}
    assert linear.svm_objective(params, X, y, reg=1.0)[0] == 9
    assert linear.softmax_objective(params, X, y, reg=1.0)[0] == pytest.approx(
        np.log(10), rel=40 * float(np.finfo(dtype).eps)
    )


@EACH
@pytest.mark.parametrize("penalty", PENALTIES)
@pytest.mark.parametrize("decay_bias", [False, True])
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_is_the_sum_of_its_parts(loss, penalty, decay_bias, dtype):
    params, X, y = draw(dtype=dtype)
    value, grads = OBJECTIVES[loss](params, X, y, 0.3, penalty, decay_bias)
    out, cache = layers.affine_forward(X, params["W"], params["b"])
    expected, dloss = getattr(losses, loss)(out, y)
    parts = layers.affine_backward(dloss["scores"], cache)
    W, b = (getattr(penalties, penalty)(params[n], 0.3) for n in ("W", "b"))
    expected = expected + W[0] + (b[0] if decay_bias else 0)
    assert list(grads) == ["W", "b"]
    assert value.dtype == grads["W"].dtype == grads["b"].dtype == dtype
    assert value == expected
    assert np.array_equal(grads["W"], parts["W"] + W[1]["W"])
    assert np.array_equal(grads["b"], parts["b"] + b[1]["W"] if decay_bias else parts["b"])


@EACH
@pytest.mark.parametrize("penalty", PENALTIES)
@pytest.mark.parametrize("sizes", [(1, 7, 4), (20, 7, 2), (64, 300, 10)])
def test_agrees_with_autograd_in_float64(loss, penalty, sizes):
    params, X, y = draw(*sizes)
    value, grads = OBJECTIVES[loss](params, X, y, 0.3, penalty, True)
    tensors = {n: torch.from_numpy(p).requires_grad_() for n, p in params.items()}
    name = "svm" if loss == "hinge" else "softmax"
    theirs = getattr(ref.linear, f"{name}_objective")(
        tensors, torch.from_numpy(X), torch.from_numpy(y), 0.3, penalty, True
    )
    expected = torch.autograd.grad(theirs, list(tensors.values()))
    N, D, C = sizes
    u = np.finfo(np.float64).eps / 2
    size = float((np.abs(X) @ np.abs(params["W"]) + np.abs(params["b"])).max()) + 1
    allowed = 4 * (N + D + C + 8) * u * size  # roundings of the scores, their losses and the sums over examples
    assert abs(value - theirs.item()) <= allowed * (C + theirs.item())
    for mine, exact in zip(grads.values(), expected, strict=True):
        assert np.abs(mine - exact.numpy()).max() <= allowed * (float(np.abs(X).max()) + 1)


def test_svm_is_torchs_multi_margin_loss_times_the_classes():
    params, X, y = draw(50, 9, 6)
    theirs = 6 * F.multi_margin_loss(torch.from_numpy(X @ params["W"] + params["b"]), torch.from_numpy(y))
    assert linear.svm_objective(params, X, y)[0] == pytest.approx(theirs.item(), rel=1e-13)


@EACH
def test_inputs_are_only_read(loss):
    params, X, y = draw()
    for array in (*params.values(), X, y):
        array.flags.writeable = False
    first = OBJECTIVES[loss](params, X, y, 0.1, decay_bias=True)
    second = OBJECTIVES[loss](params, X, y, 0.1, decay_bias=True)
    assert first[0] == second[0]
    assert set(params) == {"W", "b"}
    for name in params:
        assert np.array_equal(first[1][name], second[1][name])
        assert not np.shares_memory(first[1][name], params[name])


@EACH
def test_bad_labels_and_unknown_penalties_are_refused(loss):
    params, X, y = draw()
    with pytest.raises(ValueError, match=r"y\[3\] = 4 is no class: labels run from 0 to 3"):
        OBJECTIVES[loss](params, X, np.where(np.arange(20) == 3, 4, y))
    with pytest.raises(KeyError, match="l3"):
        OBJECTIVES[loss](params, X, y, 0.1, "l3")
    with pytest.raises(ValueError, match="scores must be"):
        OBJECTIVES[loss](params, X[:0], y[:0])


def test_start_weights_are_small_normal_and_the_same_on_both_sides():
    mine = linear.init(np.random.default_rng(7), 3072, 10, scale=1e-2)
    theirs = ref.linear.init(np.random.default_rng(7), 3072, 10, scale=1e-2)
    assert (mine["W"].shape, mine["b"].shape) == ((3072, 10), (10,))
    assert mine["W"].dtype == mine["b"].dtype == np.float64
    assert not mine["b"].any()
    assert np.array_equal(mine["W"], theirs["W"].numpy())
    assert np.array_equal(mine["b"], theirs["b"].numpy())
    # 30,720 draws: the standard error of the deviation is 1/√(2n) = 0.4 % of it, that of the mean 0.57 %
    assert mine["W"].std() == pytest.approx(1e-2, rel=0.02)
    assert abs(mine["W"].mean()) < 3 * 1e-2 / np.sqrt(30_720)
    assert linear.init(np.random.default_rng(7), 3, 2)["W"] == pytest.approx(
        linear.init(np.random.default_rng(7), 3, 2, scale=1.0)["W"] * 1e-3
    )


def test_scores_by_hand():
    params = {"W": np.array([[1.0, 2.0], [3.0, 4.0]]), "b": np.array([0.5, -0.5])}
    assert linear.scores(params, np.array([[1.0, 1.0], [0.0, 2.0]])).tolist() == [[4.5, 5.5], [6.5, 7.5]]
