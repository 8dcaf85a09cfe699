"""Right in mathematics, poor in arithmetic: told as imprecise, with its factor; not passed over, and no bug."""

from types import SimpleNamespace

import numpy as np
import pytest

from compare.check import DTYPES, check, generator
from compare.kinds import cast
from compare.pairs import TABLE
from compare.records import Case, Verdict
from compare.report import exit_status
from compare.sides import standing_in
from scratch import layers, norms, penalties

PAIR = {p.name: p for p in TABLE}
RNG = np.random.default_rng(0)
FAR = RNG.normal(30, 1, (24, 10))  # thirty times as far from 0 as from each other
NORM = {"X": FAR, "gamma": np.ones(10), "beta": np.zeros(10), "dout": RNG.normal(0, 1, (24, 10))}


def mean_of_squares_less_square_of_mean(X, gamma, beta, eps=1e-5):
    mean = X.mean(axis=0)
    variance = (X * X).mean(axis=0) - mean * mean
    scale = 1 / np.sqrt(variance + X.dtype.type(eps))
    normal = (X - mean) * scale
    return gamma * normal + beta, (normal, scale[None], gamma)


def by_a_quotient(X):
    out = 1 - 2 / (np.exp(2 * X) + 1)
    return out, out


def by_tanh(X):
    out = 0.5 + 0.5 * np.tanh(X / 2)
    return out, out


POOR = {
    "variance as a difference of squares": (
        "batch_norm", Case("far from 0", NORM, ("X", "gamma", "beta")),
        {"scratch.norms": SimpleNamespace(batch_norm_forward=mean_of_squares_less_square_of_mean,
                                          batch_norm_backward=norms.batch_norm_backward)},
    ),
    "a small tanh as a difference": (
        "tanh", Case("near 0", {"X": RNG.normal(0, 0.02, (24, 10)), "dout": NORM["dout"]}, ("X",)),
        {"scratch.layers": SimpleNamespace(tanh_forward=by_a_quotient, tanh_backward=layers.tanh_backward)},
    ),
    "a small sigmoid as a difference": (
        "sigmoid", Case("far left", {"X": RNG.normal(-7, 0.3, (24, 10)), "dout": NORM["dout"]}, ("X",)),
        {"scratch.layers": SimpleNamespace(sigmoid_forward=by_tanh, sigmoid_backward=layers.sigmoid_backward)},
    ),
}  # fmt: skip


def asked(name, modules, dtype):
    pair, case, _ = POOR[name]
    with standing_in(modules):
        return list(check(PAIR[pair], case, dtype))


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("name", POOR)
def test_poor_arithmetic_is_imprecise_with_its_factor(name, dtype):
    found = asked(name, POOR[name][2], dtype)
    (value,) = [f for f in found if f.quantity == "value"]
    assert value.verdict is Verdict.IMPRECISE
    assert value.noise_units > 5
    assert value.message.startswith(f"rounding explains it, {value.noise_units:.0f} times that of a stable algorithm")
    assert value.causes == ()
    assert {f.verdict for f in found} <= {Verdict.AGREE, Verdict.IMPRECISE}
    assert (exit_status(found), exit_status(found, strict=True)) == (0, 1)
    assert {f.verdict for f in asked(name, {}, dtype)} == {Verdict.AGREE}  # scratch's own form has none of it


def test_an_error_as_small_that_does_not_shrink_with_the_precision_is_a_bug():
    """The same layer with every output 1e-4 too large: as far off in float32 as the difference of squares."""

    def off(X, gamma, beta, eps=1e-5):
        out, cache = norms.batch_norm_forward(X, gamma, beta, eps)
        return out * X.dtype.type(1 + 1e-4), cache

    modules = {"scratch.norms": SimpleNamespace(batch_norm_forward=off, batch_norm_backward=norms.batch_norm_backward)}
    verdicts = {f.quantity: f.verdict for f in asked("variance as a difference of squares", modules, "float32")}
    assert verdicts["value"] is Verdict.DIFFER


def test_float32_inside_float64_is_a_bug():
    """It rounds as float32 does whatever is asked of it: nothing shrinks."""

    def narrow(X):
        out, cache = layers.sigmoid_forward(X.astype(np.float32))
        return out.astype(X.dtype), cache.astype(X.dtype)

    modules = {"scratch.layers": SimpleNamespace(sigmoid_forward=narrow, sigmoid_backward=layers.sigmoid_backward)}
    case = cast(Case("typical", {"X": RNG.normal(0, 1, (8, 3)), "dout": np.ones((8, 3))}, ("X",)), "float64")
    with standing_in(modules):
        found = {f.quantity: f.verdict for f in check(PAIR["sigmoid"], case, "float64")}
    assert found["value"] is Verdict.DIFFER


def test_what_shrinks_but_is_too_large_for_any_sum_is_unstable():
    """So far left that 1 - s has nothing to tell: off by hundreds of noise units, where 24 rows explain 118."""
    pair, case, modules = POOR["a small sigmoid as a difference"]
    far = Case("further left", {**case.inputs, "X": case.inputs["X"] - 3}, case.wrt)
    with standing_in(modules):
        found = {f.quantity: f for f in check(PAIR[pair], far, "float32")}
    assert found["dX"].verdict is Verdict.DIFFER
    (cause,) = found["dX"].causes
    assert cause.cause.startswith("numerically unstable: it shrinks with the precision")


def cancelling(K):
    def l2(W, reg):
        """Σ W² as Σ (W + K)² − 2 K W − K²: right, and its rounding is about K² times that of W²."""
        k, reg = W.dtype.type(K), W.dtype.type(reg)
        return reg * np.sum((W + k) ** 2 - 2 * k * W - k * k), {"W": 2 * reg * W}

    return l2


def verdicts(l2, dtype="float32"):
    case = next(iter(PAIR["l2"].cases(generator(0, "l2"), None)))
    with standing_in({"scratch.penalties": SimpleNamespace(l2=l2)}):
        return {f.quantity: f for f in check(PAIR["l2"], case, dtype)}


@pytest.mark.parametrize("dtype", DTYPES)
def test_an_unstable_formula_is_imprecise(dtype):
    found = verdicts(cancelling(200), dtype=dtype)
    assert found["value"].verdict is Verdict.IMPRECISE
    assert found["value"].message.startswith("rounding explains it, ")
    assert found["value"].noise_units > 5
    assert found["dW"].verdict is Verdict.AGREE
    assert exit_status(list(found.values())) == 0
    assert exit_status(list(found.values()), strict=True) == 1


def float16_inside(W, reg):
    value, grads = penalties.l2(W.astype(np.float16).astype(W.dtype), reg)
    return value, {"W": grads["W"].astype(W.dtype)}


def float32_inside(W, reg):
    value, grads = penalties.l2(W.astype(np.float32), reg)
    return W.dtype.type(value), {"W": grads["W"].astype(W.dtype)}


def slightly_wrong(W, reg):
    """A relative error of 1e-5: some ninety units in the last place of float32."""
    value, grads = penalties.l2(W, reg)
    return value * W.dtype.type(1 + 1e-5), {"W": grads["W"] * W.dtype.type(1 + 1e-5)}


@pytest.mark.parametrize("function", [float16_inside, slightly_wrong])
@pytest.mark.parametrize("dtype", DTYPES)
def test_an_error_that_does_not_shrink_with_the_precision_differs(function, dtype):
    assert verdicts(function, dtype=dtype)["dW"].verdict is Verdict.DIFFER


def test_float32_inside_differs_where_float64_was_asked_for():
    assert verdicts(float32_inside, dtype="float64")["dW"].verdict is Verdict.DIFFER
    assert verdicts(float32_inside, dtype="float32")["dW"].verdict is Verdict.AGREE
