"""Measured rounding: what correct variants do stays within it, and its floors hold."""

import numpy as np
import pytest
import torch

from compare import check
from compare.differ import BOUND
from compare.noise import Jitter, K, moved, noise_of, permuted, replays
from compare.pairs import select
from compare.records import Case, Outcome

EPS32 = float(np.finfo(np.float32).eps)


def softmax_loop(scores, y):
    grad, total = np.zeros_like(scores), scores.dtype.type(0)
    for i, label in enumerate(y):
        exp = np.exp(scores[i] - scores[i].max())
        Z = scores.dtype.type(0)
        for e in exp:
            Z += e
        total += np.log(Z) - (scores[i, label] - scores[i].max())
        for j, e in enumerate(exp):
            grad[i, j] = (e / Z - (j == label)) / scores.dtype.type(len(y))
    return total / scores.dtype.type(len(y)), grad


def softmax_reversed(scores, y):
    value, grad = softmax_loop(scores[::-1, ::-1], scores.shape[1] - 1 - y[::-1])
    return value, grad[::-1, ::-1]


def softmax_einsum(scores, y):
    onehot = np.eye(scores.shape[1], dtype=scores.dtype)[y]
    logp = scores - scores.max(axis=1, keepdims=True)
    logp = logp - np.log(np.einsum("nc->n", np.exp(logp)))[:, None]
    N = scores.dtype.type(len(y))
    return -np.einsum("nc,nc->", onehot, logp) / N, (np.exp(logp) - onehot) / N


def hinge_loop(scores, y):
    grad, total = np.zeros_like(scores), scores.dtype.type(0)
    for i, label in enumerate(y):
        for j in range(scores.shape[1]):
            margin = scores[i, j] - scores[i, label] + scores.dtype.type(1)
            if j != label and margin > 0:
                total += margin
                grad[i, j] += 1
                grad[i, label] -= 1
    return total / scores.dtype.type(len(y)), grad / scores.dtype.type(len(y))


def hinge_reversed(scores, y):
    value, grad = hinge_loop(scores[::-1, ::-1], scores.shape[1] - 1 - y[::-1])
    return value, grad[::-1, ::-1]


VARIANTS = {"softmax": (softmax_loop, softmax_reversed, softmax_einsum), "svm": (hinge_loop, hinge_reversed)}


def einsum_objective(loss, params, X, y, reg):
    """A loop over the features for the scores, einsum for dW, the penalty added up in order."""
    W, b = params["W"], params["b"]
    scores = np.zeros((len(X), W.shape[1]), X.dtype) + b
    for d in range(X.shape[1]):
        scores += X[:, d, None] * W[d]
    value, G = loss(scores, y)
    reg = W.dtype.type(reg)
    total = np.add.accumulate((W * W).ravel())[-1]
    return value + reg * total, np.einsum("nd,nc->dc", X, G) + 2 * reg * W, np.add.accumulate(G)[-1]


def quantities(pair, variant, case):
    x = case.inputs
    if pair.kind == "loss":
        value, grad = variant(x["scores"], x["y"])
        return {"value": value, "dscores": grad}
    params = {"W": x["W"], "b": x["b"]}
    value, dW, db = einsum_objective(variant, params, x["X"], x["y"], case.options.get("reg", 0.0))
    return {"value": value, "dW": dW, "db": db}


@pytest.mark.parametrize("name", ["softmax", "hinge", "softmax_objective", "svm_objective"])
@pytest.mark.parametrize("seed", [0, 1, 2])
@pytest.mark.parametrize("dtype", check.DTYPES)
def test_correct_variants_agree(name, seed, dtype):
    pair = next(p for p in select([name]) if p.name == name)  # softmax is a family too
    asked = 0
    for question in pair.cases(check.generator(seed, name), None):
        if question.options.keys() - {"reg"}:
            continue  # other penalties and margins: what these variants do not offer
        case = check.cast(question, dtype)
        known = check.measure(pair, case, dtype, seed)
        for variant in VARIANTS[pair.family]:
            for quantity, mine in quantities(pair, variant, case).items():
                found = check.compared(quantity, np.asarray(mine), known)
                assert not found.fault
                assert found.noise_units <= BOUND, (case.name, variant.__name__, quantity)
                asked += 1
    assert asked > 20


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_inputs_move_by_at_most_one_ulp_and_zeros_stay(dtype):
    rng = np.random.default_rng(0)
    x = rng.normal(0, 1, (50, 20)).astype(dtype)
    x[0] = 0
    case = moved(Case("", {"x": x, "y": np.arange(50)}, ("x",)), rng)
    change = np.abs(case.inputs["x"] - x)
    assert case.inputs["x"].dtype == dtype
    assert not case.inputs["x"][0].any()
    assert np.all(change <= np.spacing(np.abs(x)) * 2)  # eps |x| is at most two spacings of a number near a power of 2
    assert 0.5 < np.mean(change[1:] > 0) < 0.8  # two draws in three move
    assert case.inputs["y"] is not None
    assert np.array_equal(case.inputs["y"], np.arange(50))


def test_permuted_axes_come_back_in_place():
    rng = np.random.default_rng(0)
    X, W, y = rng.normal(0, 1, (5, 4)), rng.normal(0, 1, (4, 3)), np.arange(5)
    case = Case("", {"X": X, "W": W, "y": y}, ("X", "W"))
    other, back = permuted(case, ({"X": 0, "y": 0}, {"X": 1, "W": 0}), rng)
    assert not np.array_equal(other.inputs["X"], X)
    assert np.array_equal(X[other.inputs["y"]][:, 0].sum(), X[:, 0].sum())
    assert np.allclose((other.inputs["X"] @ other.inputs["W"])[np.argsort(other.inputs["y"])], X @ W, rtol=1e-14)
    assert np.array_equal(back("dX", other.inputs["X"]), X)
    assert np.array_equal(back("dW", other.inputs["W"]), W)
    assert back("value", np.float64(3)) == 3


def test_replays_are_many_differ_and_repeat_with_their_seed():
    x = np.random.default_rng(0).normal(0, 1, 1000).astype(np.float32)

    def ask(case):
        return Outcome(torch.from_numpy(case.inputs["x"]).sum().numpy(), {})

    case = Case("", {"x": x}, ())
    first, second = (replays(ask, case, ({"x": 0},), np.random.default_rng(3)) for _ in range(2))
    assert len(first) == K
    assert len({float(a["value"]) for a in first}) > 2
    assert [float(a["value"]) for a in first] == [float(a["value"]) for a in second]
    # none strays further than n u Σ|x|, and they do stray
    errors = [abs(float(a["value"]) - float(x.astype(np.float64).sum())) for a in first]
    assert 0 < max(errors) <= 1000 * EPS32 * float(np.abs(x).sum())


def test_loops_add_up_in_order():
    """1 + many numbers below half an ulp of 1: in order nothing arrives, in blocks all of it does."""
    x = torch.full((4097,), EPS32 / 4)
    x[0] = 1
    with Jitter(np.random.default_rng(0), loops=True):
        assert float(x.sum()) == 1.0
        assert float(x[None, :512].mm(torch.ones(512, 1))) == 1.0
    assert float(x.double().sum()) == pytest.approx(1 + 4096 * EPS32 / 4, rel=1e-12)
    assert float(x.sum()) > 1.0


def test_results_of_operations_are_moved_too():
    ones = torch.ones(1000)
    with Jitter(np.random.default_rng(0)):
        out = ones * 3.0
    assert len(torch.unique(out)) == 3
    assert float((out - 3).abs().max()) <= 2 * 3 * EPS32


def test_noise_never_falls_below_rounding_of_the_answer_itself():
    truth = np.array([[3.0, 0.0], [4.0, 0.0]])
    noise = noise_of([np.zeros((2, 2))] * K, truth, np.dtype(np.float32))
    assert noise.tensor == pytest.approx(EPS32 / 2 * 5)
    assert noise.entry[0, 0] == pytest.approx(EPS32 / 2 * 3)
    assert 0 < noise.entry[0, 1] <= 2 * np.finfo(np.float32).tiny


def test_noise_by_hand():
    """Each of K errors is 1 in one entry alone: the tensor's is 1, the entry's 2 √(1 + row · column / mean)."""
    error = np.array([[1.0, 0.0], [0.0, 0.0]])
    noise = noise_of([error] * K, np.zeros((2, 2)), np.dtype(np.float64))
    assert noise.tensor == 1
    # row mean ½, column mean ½, grand mean ¼: the outer product gives 1 there and 0 elsewhere
    assert noise.entry[0, 0] == pytest.approx(2 * np.sqrt(2))
    assert noise.entry[1, 1] < 1e-300
    vector = noise_of([np.array([2.0, 0.0])] * K, np.zeros(2), np.dtype(np.float64))
    assert vector.entry == pytest.approx([2 * np.sqrt(4 + 2), 2 * np.sqrt(2)])


def test_terms_on_a_grid_round_when_they_are_scaled():
    """Whole numbers add up exactly; with a factor taken in first, as code has it, they do not."""
    x, ones = torch.arange(1.0, 2001.0), torch.ones(512, 1)

    def off(scale):
        with Jitter(np.random.default_rng(0), loops=True, scale=scale):
            return abs(float(x.sum()) - 2001000.0), abs(float((x[None, :512] @ ones)[0, 0]) - 131328.0)

    assert off(1.0) == (0.0, 0.0)
    sums, products = zip(*map(off, (1.1, 1.3, 1.7, 1.9)), strict=True)
    assert 0 < max(sums) < 2000 * EPS32 * 2001000
    assert 0 < max(products) < 512 * EPS32 * 131328


def test_a_single_column_is_smoothed_as_a_vector_is():
    error = np.array([2.0, 0.0])
    column, vector = (noise_of([e] * K, np.zeros(e.shape), np.dtype(np.float64)) for e in (error[:, None], error))
    assert column.entry[:, 0] == pytest.approx(vector.entry)
