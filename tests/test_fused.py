"""The fast linear objectives against the textbook pages, torch, and figures worked out by hand."""

import itertools

import numpy as np
import pytest
import torch
import torch.nn.functional as F

from scratch import fused, fused_tiled, linear

PAIRS = {"softmax": linear.softmax_objective, "hinge": linear.svm_objective}
FORMS = (fused.Linear, fused_tiled.Tiled)
FUNCTIONS = {"softmax": fused.softmax_objective, "hinge": fused.svm_objective}


def draw(N, D, C, dtype=np.float64, seed=0, scale=0.1):
    rng = np.random.default_rng(seed)
    params = {"W": rng.normal(0, scale, (D, C)).astype(dtype), "b": rng.normal(0, 1, C).astype(dtype)}
    return params, rng.normal(0, 1, (N, D)).astype(dtype), rng.integers(0, C, N)


def assert_same(mine, theirs, params, X):
    """Equal up to rounding: sums of D terms in the scores, of N in the gradient, each of rounding u.

    A score's error is at most γ_D (|X||W| + |b|), and no entry of the loss's Jacobian exceeds 2.
    """
    dtype = X.dtype
    gamma = 2 * (X.shape[1] + len(X) + params["W"].shape[1] + 10) * np.finfo(dtype).eps
    size = float((np.abs(X) @ np.abs(params["W"]) + np.abs(params["b"])).max()) + 1
    assert mine[0].dtype == theirs[0].dtype == dtype
    np.testing.assert_allclose(mine[0], theirs[0], rtol=gamma, atol=gamma * size)
    for name, grad in theirs[1].items():
        assert mine[1][name].shape == grad.shape
        assert mine[1][name].dtype == dtype
        largest = float(np.abs(X).max()) if name == "W" else 1.0
        np.testing.assert_allclose(mine[1][name], grad, rtol=gamma, atol=2 * gamma * size * max(largest, 1.0))


GRID = list(itertools.product((1, 2, 15, 17, 63, 65, 256, 300), ((1, 2), (3, 2), (16, 5), (437, 3), (3073, 10))))


@pytest.mark.parametrize("loss", PAIRS)
@pytest.mark.parametrize("form", FORMS)
def test_agrees_with_the_textbook_in_float64_at_any_size(loss, form):
    for N, (D, C) in GRID:
        params, X, y = draw(N, D, C, scale=1 / np.sqrt(D))
        mine = form(loss, D, C, np.float64)(params, X, y)
        theirs = PAIRS[loss](params, X, y)
        assert abs(mine[0] - theirs[0]) <= 1e-13 * max(1, abs(theirs[0])), (N, D, C)
        for name, grad in theirs[1].items():
            assert np.linalg.norm(mine[1][name] - grad) <= 1e-13 * (np.linalg.norm(grad) + 1), (N, D, C, name)


@pytest.mark.parametrize("loss", PAIRS)
@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("C", [2, 10, 33, 200])
def test_agrees_with_torch_in_float32(loss, form, C):
    params, X, y = draw(70, 257, C, np.float32)
    if loss == "hinge":  # multiples of 1/8 and small sums: nothing rounds, so no kink is crossed
        params = {n: np.round(8 * p) / 8 for n, p in params.items()}
        X = np.round(8 * X) / 8
    W, b = (torch.from_numpy(params[n]).requires_grad_() for n in ("W", "b"))
    scores = torch.from_numpy(X) @ W + b
    target = torch.from_numpy(y)
    value = F.cross_entropy(scores, target)
    if loss == "hinge":
        # multi_margin_loss has the other convention at a kink (violation exactly 0) and divides by C
        violation = F.relu(scores - scores.gather(1, target[:, None]) + 1)
        value = violation.scatter(1, target[:, None], 0.0).sum() / len(y)
    value.backward()
    theirs = value.detach().numpy()[()], {"W": W.grad.numpy(), "b": b.grad.numpy()}
    assert_same(form(loss, 257, C)(params, X, y), theirs, params, X)


@pytest.mark.parametrize("loss", PAIRS)
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("penalty", ["l2", "l1", "elastic_net"])
@pytest.mark.parametrize("decay_bias", [False, True])
def test_functions_have_the_textbook_signature_and_penalties(loss, dtype, penalty, decay_bias):
    params, X, y = draw(40, 30, 4, dtype)
    options = {"reg": 0.3, "penalty": penalty, "decay_bias": decay_bias}
    if loss == "hinge":
        params, X = {n: np.round(8 * p) / 8 for n, p in params.items()}, np.round(8 * X) / 8
    mine, theirs = FUNCTIONS[loss](params, X, y, **options), PAIRS[loss](params, X, y, **options)
    assert_same(mine, theirs, params, X)


@pytest.mark.parametrize(("loss", "expected"), [("softmax", np.log(7)), ("hinge", 6.0)])
def test_zero_weights_give_the_figures_of_the_lecture(loss, expected):
    _, X, y = draw(19, 12, 7)
    params = {"W": np.zeros((12, 7)), "b": np.zeros(7)}
    value, grads = FUNCTIONS[loss](params, X, y)
    assert value == pytest.approx(expected, rel=1e-15)
    share = np.full((19, 7), 1 / 7 if loss == "softmax" else 1.0)
    share[np.arange(19), y] -= 1 if loss == "softmax" else 7
    np.testing.assert_allclose(grads["W"], X.T @ share / 19, atol=1e-14)
    np.testing.assert_allclose(grads["b"], share.sum(axis=0) / 19, atol=1e-14)


@pytest.mark.parametrize("loss", PAIRS)
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_scores_of_ten_thousand_stay_finite(loss, dtype):
    params, X, y = draw(50, 1, 4, dtype)
    params = {"W": np.array([[1e4, -1e4, 0, 5e3]], dtype), "b": np.zeros(4, dtype)}
    mine, theirs = FUNCTIONS[loss](params, np.sign(X), y), PAIRS[loss](params, np.sign(X), y)
    np.testing.assert_allclose(mine[0], theirs[0], rtol=8 * np.finfo(dtype).eps)
    for name, grad in theirs[1].items():
        assert np.isfinite(mine[1][name]).all()
        np.testing.assert_allclose(mine[1][name], grad, atol=60 * np.finfo(dtype).eps)


def test_at_a_kink_the_hinge_follows_the_textbook():
    params = {"W": np.array([[1.0, 0.0, 0.0]]), "b": np.zeros(3)}
    value, grads = fused.svm_objective(params, np.ones((1, 1)), np.array([0]))
    assert value == 0  # both margins are exactly 0
    np.testing.assert_array_equal(grads["W"], 0)


@pytest.mark.parametrize("loss", PAIRS)
@pytest.mark.parametrize("form", FORMS)
def test_any_layout_of_the_inputs_gives_the_same_bits(loss, form):
    params, X, y = draw(70, 40, 5, np.float32)
    fast = form(loss, 40, 5)
    first = fast(params, X, y)[1]["W"].copy()
    wide = np.zeros((140, 80), np.float32)
    wide[::2, ::2] = X
    column_major = {"W": np.asfortranarray(params["W"]), "b": params["b"]}
    for p, inputs in ((params, np.asfortranarray(X)), (params, wide[::2, ::2]), (column_major, X)):
        np.testing.assert_array_equal(fast(p, inputs, y)[1]["W"], first)
    for kind in (np.int8, np.uint8, np.int32, np.uint64):
        np.testing.assert_array_equal(fast(params, X, y.astype(kind))[1]["W"], first)


@pytest.mark.parametrize("loss", PAIRS)
@pytest.mark.parametrize("form", FORMS)
def test_buffers_carry_nothing_from_call_to_call(loss, form):
    params, X, y = draw(300, 3073, 10, np.float32)
    fast = form(loss, 3073, 10)
    fast(params, 100 * X, y)
    value, grads = fast(params, X[:37], y[:37])
    fresh = form(loss, 3073, 10)(params, X[:37], y[:37])
    assert value == fresh[0]
    for name in ("W", "b"):
        np.testing.assert_array_equal(grads[name], fresh[1][name])


@pytest.mark.parametrize("form", FORMS)
def test_inputs_are_only_read(form):
    params, X, y = draw(70, 40, 5)
    for array in (*params.values(), X, y):
        array.setflags(write=False)
    before = [a.copy() for a in (*params.values(), X, y)]
    fused.softmax_objective(params, X, y, reg=0.1, decay_bias=True)
    fused.svm_objective(params, X, y, reg=0.1, decay_bias=True)
    form("hinge", 40, 5, np.float64)(params, X, y, rows=np.arange(0, 70, 2))
    for array, copy in zip((*params.values(), X, y), before, strict=True):
        np.testing.assert_array_equal(array, copy)


@pytest.mark.parametrize("form", FORMS)
def test_out_receives_the_gradients_and_leaves_buffers_free(form):
    params, X, y = draw(20, 12, 3)
    fast = form("softmax", 12, 3, np.float64)
    out = {"W": np.full((12, 3), np.nan), "b": np.full(3, np.nan)}
    _, grads = fast(params, X, y, reg=0.2, out=out)
    expected = linear.softmax_objective(params, X, y, reg=0.2)[1]
    assert grads is out
    fast(params, 2 * X, y)
    np.testing.assert_allclose(out["W"], expected["W"], atol=1e-14)
    np.testing.assert_allclose(out["b"], expected["b"], atol=1e-14)


@pytest.mark.parametrize("form", FORMS)
def test_scores_are_those_of_the_textbook_over_many_chunks(form):
    params, X, _ = draw(700, 40, 5)
    np.testing.assert_allclose(
        form("softmax", 40, 5, np.float64).scores(params, X), linear.scores(params, X), atol=1e-13
    )


def test_what_can_be_read_where_it_lies_is_not_copied():
    params, X, y = draw(300, 40, 5)
    fast = fused.Linear("softmax", 40, 5, np.float64)
    before = fast.nbytes
    fast(params, X, y)
    assert fast.nbytes == before
    fast(params, X, y, rows=np.arange(300))
    assert fast.nbytes == before + 8 * 40 * fast.rows


@pytest.mark.parametrize("loss", PAIRS)
@pytest.mark.parametrize("form", FORMS)
def test_gathers_bytes_and_subtracts_the_mean(loss, form):
    rng = np.random.default_rng(1)
    U, y = rng.integers(0, 256, (500, 48), dtype=np.uint8), rng.integers(0, 6, 500)
    mean, rows = U.mean(axis=0), rng.permutation(500)[:333]
    params = {"W": rng.normal(0, 0.01, (48, 6)), "b": rng.normal(0, 1, 6)}
    mine = form(loss, 48, 6, np.float64, mean=mean)(params, U, y, rows=rows)
    X = U[rows] - mean
    assert_same(mine, PAIRS[loss](params, X, y[rows]), params, X)


@pytest.mark.parametrize("f", FUNCTIONS.values())
@pytest.mark.parametrize(
    "y", [np.array([0, 3]), np.array([0, -1]), np.array([0.0, 1.0]), np.array([0]), np.array([True, False])]
)
def test_labels_that_name_no_class_are_refused(f, y):
    params, X, _ = draw(2, 4, 3)
    with pytest.raises(ValueError, match=r"y"):
        f(params, X, y)


@pytest.mark.parametrize("form", FORMS)
def test_other_unusable_input_is_refused(form):
    params, X, y = draw(5, 4, 3)
    fast = form("softmax", 4, 3, np.float64)
    with pytest.raises(ValueError, match="N >= 1"):
        fast(params, X[:0], y[:0])
    with pytest.raises(ValueError, match=r"X must be \(N, 4\)"):
        fast(params, X[:, :3], y)
    with pytest.raises(ValueError, match="W, b must be"):
        fast({"W": params["W"].T, "b": params["b"]}, X, y)
    for rows in (np.array([0, 5]), np.array([-1])):
        with pytest.raises(IndexError, match="rows must lie in 0 … 4"):
            fast(params, X, y, rows=rows)
    with pytest.raises(KeyError):
        fast(params, X, y, penalty="l3")
    with pytest.raises(ValueError, match="float32 or float64"):
        form("softmax", 4, 3, np.int64)
    with pytest.raises(ValueError, match="mean must have shape"):
        form("softmax", 4, 3, mean=np.zeros(5))


@pytest.mark.parametrize("itemsize", [4, 8])
def test_tiles_cover_every_column_and_stay_under_the_bound(itemsize):
    for D, C in itertools.product((1, 2, 15, 16, 17, 785, 3073, 3074, 20_000), (2, 10, 32, 33, 1000)):
        rows, tiles, width = fused_tiled._tiles(D, C, itemsize)
        assert rows >= 1
        assert D <= tiles * width < D + tiles * fused.LANES
        assert tiles == 1 or rows * width * C <= fused_tiled.UNPACKED
        assert C > fused_tiled.FEW_CLASSES or rows * width * C <= fused_tiled.UNPACKED


def test_a_planted_fault_would_be_seen(monkeypatch):
    params, X, y = draw(300, 437, 3)
    expected = linear.softmax_objective(params, X, y)
    monkeypatch.setattr(fused.Linear, "_add_gradient", lambda self, dscores, near, first: self.dW.fill(0))
    with pytest.raises(AssertionError):
        assert_same(fused.softmax_objective(params, X, y), expected, params, X)
