"""Softmax and hinge against figures worked out by hand, 50 digits of mpmath, torch, SciPy and scikit-learn."""

import mpmath
import numpy as np
import pytest
import torch
import torch.nn.functional as F

import ref.losses
from scratch import losses

CAT = np.array([[3.2, 5.1, -1.7]])  # the course's cat, car and frog scores of the cat picture
DTYPES = [np.float32, np.float64]
BOTH = pytest.mark.parametrize("loss", [losses.softmax, losses.hinge])


def gamma(n, dtype):
    """n u / (1 - n u), the bound for n roundings in a row."""
    u = float(np.finfo(dtype).eps) / 2
    return n * u / (1 - n * u)


def by_autograd(loss, scores, y):
    scores = torch.from_numpy(scores).requires_grad_()
    value = loss(scores, torch.from_numpy(y))
    (grad,) = torch.autograd.grad(value, scores)
    return value.item(), grad.numpy()


def assert_near(mine, theirs, scores, dtype):
    """Within γ of what was summed: C terms an example and N examples, sizes up to the spread of a row."""
    value, grads = mine
    N, C = scores.shape
    allowed = gamma(4 * (N + C + 8), dtype)
    spread = C * (1 + float(np.ptp(scores, axis=1).max()))
    assert abs(float(value) - theirs[0]) <= allowed * spread
    # an exponential's argument rounds by u times the largest score: a relative error of that size in p
    argument = gamma(4, dtype) * float(np.abs(scores).max())
    assert np.abs(grads["scores"] - theirs[1]).max() <= (allowed * C + argument) / N


def test_the_courses_example():
    value, grads = losses.hinge(CAT, np.array([0]))
    assert value == pytest.approx(2.9, abs=1e-15)  # max(0, 5.1 - 3.2 + 1) + max(0, -1.7 - 3.2 + 1)
    assert grads["scores"].tolist() == [[-1, 1, 0]]
    value, grads = losses.softmax(CAT, np.array([0]))
    assert round(float(value), 2) == 2.04  # -log 0.13
    assert value == pytest.approx(2.04035515280017, abs=1e-14)  # log(1 + e^1.9 + e^-4.9)
    assert np.round(grads["scores"] + [[1, 0, 0]], 2).tolist() == [[0.13, 0.87, 0.0]]


def test_hinge_over_the_courses_three_pictures():
    # cat, car, frog: 2.9, 0, 12.9; their mean is 15.8 / 3
    scores = np.array([[3.2, 5.1, -1.7], [1.3, 4.9, 2.0], [2.2, 2.5, -3.1]])
    value, grads = losses.hinge(scores, np.array([0, 1, 2]))
    assert value == pytest.approx(15.8 / 3, abs=1e-14)
    assert (3 * grads["scores"]).tolist() == [[-1, 1, 0], [0, 0, 0], [1, 1, -2]]


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("C", [2, 3, 10, 1000])
@pytest.mark.parametrize("N", [1, 2, 7])
def test_at_zero_scores_the_values_are_those_of_chance(N, C, dtype):
    scores, y = np.zeros((N, C), dtype), np.arange(N) % C
    assert losses.hinge(scores, y)[0] == C - 1
    assert losses.softmax(scores, y)[0] == pytest.approx(np.log(C), rel=gamma(N + 3, dtype))


def test_gradient_of_two_equal_scores():
    assert losses.softmax(np.zeros((1, 2)), np.array([0]))[1]["scores"].tolist() == [[-0.5, 0.5]]
    assert losses.softmax(np.zeros((2, 2)), np.array([0, 1]))[1]["scores"].tolist() == [[-0.25, 0.25], [0.25, -0.25]]


@BOTH
@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("labels", [np.uint8, np.int32, np.int64])
def test_keeps_the_dtype_and_shapes_and_writes_to_nothing(loss, dtype, labels):
    scores = np.random.default_rng(0).normal(0, 2, (5, 4)).astype(dtype)
    y = np.array([0, 3, 1, 1, 2], labels)
    scores.flags.writeable = y.flags.writeable = False
    value, grads = loss(scores, y)
    assert value.dtype == grads["scores"].dtype == dtype
    assert (np.shape(value), grads["scores"].shape, list(grads)) == ((), (5, 4), ["scores"])
    assert not np.shares_memory(grads["scores"], scores)
    assert losses.margins(scores, y).dtype == dtype


@BOTH
@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("scale", [1e-3, 1.0, 30.0, 1e4])
@pytest.mark.parametrize("shape", [(1, 10), (64, 2), (64, 10), (7, 300)])
def test_agrees_with_autograd_in_float64(loss, dtype, scale, shape):
    rng = np.random.default_rng([shape[0], shape[1], int(1e3 * scale)])
    scores = (scale * np.round(rng.normal(0, 1, shape), 3)).astype(dtype)  # no margin within rounding of its kink
    y = rng.integers(0, shape[1], shape[0])
    wide = scores.astype(np.float64)
    exact = np.abs(ref.losses.margins(torch.from_numpy(wide), torch.from_numpy(y)).numpy())
    if loss is losses.hinge and exact.min() <= 4 * np.finfo(dtype).eps * np.abs(wide).max():
        scores = np.round(scores * 8) / 8 + dtype(1 / 16) * (np.arange(shape[1]) % 2).astype(dtype)
        wide = scores.astype(np.float64)  # multiples of 1/16: every margin is exact, kinks included
    theirs = by_autograd(getattr(ref.losses, loss.__name__), wide, y)
    assert_near(loss(scores, y), theirs, wide, dtype)


def test_hinge_is_c_times_torchs_multi_margin_loss():
    rng = np.random.default_rng(3)
    scores, y = rng.normal(0, 1.5, (50, 7)), rng.integers(0, 7, 50)
    theirs = by_autograd(lambda s, t: 7 * F.multi_margin_loss(s, t), scores, y)
    assert_near(losses.hinge(scores, y), theirs, scores, np.float64)


def test_softmax_against_scipy_and_scikit_learn():
    special = pytest.importorskip("scipy.special", reason="SciPy is an optional peer")
    metrics = pytest.importorskip("sklearn.metrics", reason="scikit-learn is an optional peer")
    rng = np.random.default_rng(4)
    scores, y = rng.normal(0, 1.5, (50, 7)), rng.integers(0, 7, 50)
    p = special.softmax(scores, axis=1)
    theirs = metrics.log_loss(y, p, labels=range(7)), (p - np.eye(7)[y]) / 50
    assert_near(losses.softmax(scores, y), theirs, scores, np.float64)


def test_hinge_of_two_opposite_scores_is_scikit_learns():
    metrics = pytest.importorskip("sklearn.metrics", reason="scikit-learn is an optional peer")
    rng = np.random.default_rng(5)
    decision, y = rng.normal(0, 1, 40), rng.integers(0, 2, 40)
    y[:2] = 0, 1
    scores = np.stack([-decision / 2, decision / 2], axis=1)  # their difference is the decision
    assert losses.hinge(scores, y)[0] == pytest.approx(metrics.hinge_loss(y, decision), rel=gamma(50, np.float64))


@pytest.mark.parametrize("scale", [0.1, 3.0, 1e4])
def test_softmax_to_the_last_digits_against_50_of_mpmath(scale):
    scores = scale * np.random.default_rng(6).normal(0, 1, (3, 4))
    y = np.array([2, 0, 3])
    value, grads = losses.softmax(scores, y)
    with mpmath.workdps(50):
        rows = [[mpmath.mpf(s) for s in row] for row in scores.tolist()]
        exp = [[mpmath.exp(s) for s in row] for row in rows]
        logs = [mpmath.log(mpmath.fsum(e)) - row[k] for e, row, k in zip(exp, rows, y, strict=True)]
        assert abs(value - mpmath.fsum(logs) / 3) <= gamma(12, np.float64) * (abs(value) + 1)
        for i in range(3):
            for j in range(4):
                entry = (exp[i][j] / mpmath.fsum(exp[i]) - int(j == y[i])) / 3
                assert abs(grads["scores"][i, j] - entry) <= gamma(12, np.float64) * (1 + scale) / 3


@pytest.mark.parametrize("dtype", DTYPES)
def test_softmax_is_stable_for_scores_of_ten_thousand(dtype):
    scores = np.array([[1e4, -1e4, 0], [-1e4, -1e4, -1e4], [1e4, 1e4, -1e4]], dtype)
    value, grads = losses.softmax(scores, np.array([1, 0, 0]))
    # -log p: 20,000 for the first, log 3, log 2
    assert value == pytest.approx((2e4 + np.log(3) + np.log(2)) / 3, rel=gamma(8, dtype))
    expected = np.array([[1, -1, 0], [1 / 3 - 1, 1 / 3, 1 / 3], [-0.5, 0.5, 0]]) / 3
    assert np.abs(grads["scores"] - expected).max() <= gamma(4, dtype)


@pytest.mark.parametrize("dtype", DTYPES)
def test_hinge_is_exact_for_scores_of_ten_thousand(dtype):
    scores = np.array([[1e4, -1e4, 0], [-1e4, -1e4, -1e4]], dtype)
    value, grads = losses.hinge(scores, np.array([1, 0]))
    assert value == (20_001 + 10_001 + 2) / 2
    assert (2 * grads["scores"]).tolist() == [[1, -2, 1], [-2, 1, 1]]


@BOTH
def test_one_class_costs_nothing(loss):
    value, grads = loss(np.array([[3.0], [-2.0]]), np.array([0, 0]))
    assert value == 0
    assert not grads["scores"].any()


@BOTH
def test_classes_without_examples_are_pushed_down_by_all(loss):
    value, grads = loss(np.zeros((6, 5)), np.array([1, 1, 1, 3, 3, 3]))
    assert (grads["scores"][:, [0, 2, 4]] > 0).all()
    assert np.abs(grads["scores"].sum(axis=1)).max() <= gamma(5, np.float64)
    assert value > 0


def test_ties_at_the_margin_have_subgradient_zero_as_torchs_relu():
    scores = np.array([[2.0, 1.0, 1.0, 5.0]])  # the first rival lies exactly 1 below the true class
    value, grads = losses.hinge(scores, np.array([0]))
    assert (value, grads["scores"].tolist()) == (4.0, [[-1, 0, 0, 1]])
    assert by_autograd(ref.losses.hinge, scores, np.array([0]))[1].tolist() == [[-1, 0, 0, 1]]
    # multi_margin_loss leaves ties out too; maximum with 0 would halve them, at the tie and in the true class
    halved = by_autograd(lambda s, y: torch.maximum(s - s[:, :1] + 1, 0 * s)[:, 1:].sum(), scores, np.array([0]))
    assert by_autograd(lambda s, y: 4 * F.multi_margin_loss(s, y), scores, np.array([0]))[1].tolist() == [[-1, 0, 0, 1]]
    assert halved[1].tolist() == [[-2, 0.5, 0.5, 1]]


def test_margins_hold_the_margin_itself_in_the_true_column():
    assert losses.margins(np.array([[2.0, 0.5, -1.0]]), np.array([0]), margin=0.25).tolist() == [[0.25, -1.25, -2.75]]


@pytest.mark.parametrize("dtype", DTYPES)
def test_another_margin(dtype):
    value, grads = losses.hinge(CAT.astype(dtype), np.array([0]), margin=5.0)
    assert value == pytest.approx(1.9 + 5 + (5 - 4.9), rel=gamma(60, dtype))
    assert grads["scores"].tolist() == [[-2, 1, 1]]
    theirs = by_autograd(lambda s, y: ref.losses.hinge(s, y, margin=5.0), CAT.astype(dtype), np.array([0]))
    assert grads["scores"].tolist() == theirs[1].tolist()


@BOTH
@pytest.mark.parametrize(
    ("y", "words"),
    [
        ([0, 3], r"y\[1\] = 3 is no class: labels run from 0 to 2"),
        ([-1, 0], r"y\[0\] = -1 is no class"),
        ([0.0, 2.0], "2 integer labels, not float64"),
        ([True, False], "2 integer labels, not bool"),
        ([0], r"2 integer labels, not int64 of shape \(1,\)"),
        ([[0], [1]], r"of shape \(2, 1\)"),
    ],
)
def test_labels_that_name_no_class_are_refused(loss, y, words):
    with pytest.raises(ValueError, match=words):
        loss(np.zeros((2, 3)), np.array(y))


@BOTH
@pytest.mark.parametrize("shape", [(0, 3), (3,), (2, 3, 1)])
def test_scores_that_are_no_table_are_refused(loss, shape):
    y = np.zeros(shape[0], np.int64)
    with pytest.raises(ValueError, match=r"scores must be \(N, C\) with N >= 1, not \(" + str(shape[0])):
        loss(np.zeros(shape), y)
