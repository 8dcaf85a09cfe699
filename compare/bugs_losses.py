"""Known bugs of the losses over scores and of the penalties."""

from __future__ import annotations

from compare.plants import Plant

LABEL = "    dscores[rows, y] -= 1\n    dscores /= N\n"  # of softmax
TRUE = "    dscores[rows, y] = -dscores.sum(axis=1)\n"  # of hinge
HIT = "    dscores = (violation > 0).astype(scores.dtype)\n"
SOFTMAX_VALUE = "value = (np.log(total[:, 0]) - shifted[rows, y]).mean()"
HINGE_VALUE = "value = violation.sum() / scores.dtype.type(N)"
SOFTMAX_START = "    shifted = scores - scores.max(axis=1, keepdims=True)\n"
HINGE_START = "    violation = np.maximum(margins(scores, y, margin), 0)\n"
ZERO = "    violation[rows, y] = 0\n"


def _softmax(name: str, truth: str | tuple[str, ...], *edits: tuple[str, str], pair: str = "softmax") -> Plant:
    return Plant(name, "losses", pair, (truth,) if isinstance(truth, str) else truth, edits)


def _hinge(name: str, truth: str | tuple[str, ...], *edits: tuple[str, str], pair: str = "hinge") -> Plant:
    return _softmax(name, truth, *edits, pair=pair)


def _penalty(name: str, pair: str, truth: str | tuple[str, ...], *edits: tuple[str, str]) -> Plant:
    return Plant(name, "penalties", pair, (truth,) if isinstance(truth, str) else truth, edits)


def _label(text: str) -> tuple[str, str]:
    return LABEL, text


def _after(text: str) -> tuple[str, str]:
    return LABEL, LABEL + text


def _true(text: str) -> tuple[str, str]:
    return TRUE, text


SUM = "not divided by N"
COUNTED = "true class counted among the violations"  # what happened to the value
DROPPED = "example 0 dropped, the mean still over all"
SOFTMAX = (
    _softmax("softmax: 1/N forgotten in the gradient", SUM, _label("    dscores[rows, y] -= 1\n")),
    _softmax("softmax: loss summed, gradient averaged", SUM, (SOFTMAX_VALUE, SOFTMAX_VALUE.replace("mean", "sum"))),
    _softmax(
        "softmax: summed throughout",
        SUM,
        (SOFTMAX_VALUE, SOFTMAX_VALUE.replace("mean", "sum")),
        _label("    dscores[rows, y] -= 1\n"),
    ),
    _softmax("softmax: divided by N twice", "divided by N once too often", _after("    dscores /= N\n")),
    _softmax("softmax: a mean over classes too", "divided by C", _after("    dscores /= scores.shape[1]\n")),
    _softmax(
        "softmax: divided by N - 1",
        "divided by N − 1",
        _label("    dscores[rows, y] -= 1\n    dscores /= max(N - 1, 1)\n"),
    ),
    _softmax("softmax: gradient halved", "halved", _after("    dscores /= 2\n")),
    _softmax("softmax: gradient doubled", "doubled", _after("    dscores *= 2\n")),
    _softmax("softmax: gradient uphill", "with the wrong sign", _after("    dscores *= -1\n")),
    _softmax("softmax: -1 at the label forgotten", "−1 at the label missing", _label("    dscores /= N\n")),
    _softmax("softmax: +1 at the label", "+1 for −1 at the label", _label(LABEL.replace("-= 1", "+= 1"))),
    _softmax(
        "softmax: 1/N before -1 at the label",
        "−1 at the label before dividing by N is −1 after it",
        _label("    dscores /= N\n    dscores[rows, y] -= 1\n"),
    ),
    _softmax(
        "softmax: [:, y] for [rows, y]",
        "−1 at every example's label in every row ([:, y] for [rows, y])",
        _label(LABEL.replace("rows, y", ":, y")),
    ),
    _softmax(
        "softmax: probabilities over the examples",
        "softmax over the examples, not the classes",
        (
            "    dscores = exp / total\n",
            "    e = np.exp(scores - scores.max(axis=0))\n    dscores = e / e.sum(axis=0)\n",
        ),
    ),
    _softmax(
        "softmax: probabilities not normalised",
        "probabilities not normalised",
        ("dscores = exp / total", "dscores = exp.copy()"),
    ),
    _softmax("softmax: largest score not subtracted", "overflow or 0/0", (SOFTMAX_START, "    shifted = scores\n")),
    _softmax(
        "softmax: sigmoid's p (1 - p) on top",
        "the derivative p (1 − p) of a sigmoid on top",
        _after("    p = exp / total\n    dscores *= p * (1 - p)\n"),
    ),
    _softmax(
        "softmax: labels counted from 1 in the gradient",
        "labels shifted by one class down, in the gradient alone",
        _label(LABEL.replace("rows, y", "rows, y - 1")),
    ),
    _softmax(
        "softmax: labels one too high",
        "labels shifted by one class up",
        (SOFTMAX_START, "    y = (y + 1) % scores.shape[1]\n" + SOFTMAX_START),
    ),
    _softmax("softmax: first example dropped", DROPPED, _after("    dscores[0] = 0\n")),
    _softmax(
        "softmax: last example dropped",
        "example {last} dropped, the mean still over all",
        _after("    dscores[-1] = 0\n"),
    ),
    _softmax(
        "softmax: last example dropped, mean over the others",
        "example {last} dropped, the mean over the others",
        _after("    dscores[-1] *= N == 1\n    dscores *= N / max(N - 1, 1)\n"),
    ),
    _softmax(
        "softmax: third example mislabelled",
        "example 2 mislabelled",
        (SOFTMAX_START, "    y = np.where(rows == 2, (y + 1) % scores.shape[1], y)\n" + SOFTMAX_START),
    ),
    _softmax(
        "softmax: loss with the wrong sign",
        "with the wrong sign",
        (SOFTMAX_VALUE, SOFTMAX_VALUE.replace("(np", "-(np")),
    ),
    _softmax(
        "softmax: true score missing from the loss",
        "the true class's score missing from the value",
        (SOFTMAX_VALUE, "value = np.log(total[:, 0]).mean()"),
    ),
    _softmax(
        "softmax: classes in reversed order", "columns in reversed order", _after("    dscores = dscores[:, ::-1]\n")
    ),
    _softmax("softmax: first class missing", "class 0 missing, the rest is right", _after("    dscores[:, 0] = 0\n")),
    _softmax(
        "softmax: value stale",
        "the answer of the call before, in the value alone",
        ("\n\ndef softmax(", "\n\nLAST = [0, 0]\n\n\ndef softmax("),
        ("    dscores = exp / total\n", "    LAST.append(value)\n    value = LAST[-2]\n    dscores = exp / total\n"),
    ),
)
HINGE = (
    _hinge("hinge: true class forgotten", "the true class's entry is zero", _true("")),
    _hinge(
        "hinge: true class with plus", "true class gets plus the number of violations", _true(TRUE.replace("= -", "= "))
    ),
    _hinge(
        "hinge: true class gets -1",
        "true class gets −1, not minus the number of violations",
        _true("    dscores[rows, y] = -1\n"),
    ),
    _hinge(
        "hinge: true class gets -1 where violated",
        "true class gets −1, not minus the number of violations, where there are any",
        _true("    dscores[rows, y] = -1.0 * (dscores.sum(axis=1) > 0)\n"),
    ),
    _hinge(
        "hinge: true class not left out",
        ("true class counted among the violations, and subtracted", COUNTED),
        (ZERO, ""),
    ),
    _hinge(
        "hinge: true class not left out of the loss",
        "true class counted among the violations, in the value alone",
        (HINGE_VALUE, "value = np.maximum(margins(scores, y, margin), 0).sum() / scores.dtype.type(N)"),
    ),
    _hinge(
        "hinge: >= at the margin",
        "≥ for > at the margin",
        (HIT, "    dscores = (margins(scores, y, margin) >= 0).astype(scores.dtype)\n    dscores[rows, y] = 0\n"),
    ),
    _hinge(
        "hinge: margin 0", "margin 0 for {margin}", ("margins(scores, y, margin), 0)", "margins(scores, y, 0.0), 0)")
    ),
    _hinge(
        "hinge: margin 2", "margin 2 for {margin}", ("margins(scores, y, margin), 0)", "margins(scores, y, 2.0), 0)")
    ),
    _hinge("hinge: margin subtracted", "margin -1 for 1", ("scores - true + scores", "scores - true - scores")),
    _hinge(
        "hinge: squared",
        "squared hinge",
        (HINGE_VALUE, HINGE_VALUE.replace("violation", "(violation**2)")),
        (HIT, "    dscores = 2 * violation\n"),
    ),
    _hinge(
        "hinge: squared in the loss alone",
        "squared hinge, in the value alone",
        (HINGE_VALUE, HINGE_VALUE.replace("violation", "(violation**2)")),
    ),
    _hinge(
        "hinge: only the worst rival",
        "only the worst violation of each example",
        (ZERO, ZERO + "    violation *= violation == violation.max(axis=1, keepdims=True)\n"),
    ),
    _hinge(
        "hinge: violations for their count",
        "violations themselves, not whether they are positive",
        (HIT, "    dscores = violation.copy()\n"),
    ),
    _hinge(
        "hinge: absolute value for max",
        "absolute value for max",
        (HINGE_START, "    violation = np.abs(margins(scores, y, margin))\n"),
    ),
    _hinge("hinge: 1/N forgotten", SUM, (TRUE + "    dscores /= N\n", TRUE)),
    _hinge(
        "hinge: divided by C too",
        "divided by C",
        (TRUE, TRUE + "    dscores /= scores.shape[1]\n"),
        (HINGE_VALUE, HINGE_VALUE + " / scores.shape[1]"),
    ),
    _hinge(
        "hinge: divided by C, not by N",
        "divided by C, not by N",
        (TRUE + "    dscores /= N\n", TRUE + "    dscores /= scores.shape[1]\n"),
    ),
    _hinge("hinge: loss summed", SUM, (HINGE_VALUE, "value = violation.sum()")),
    _hinge("hinge: first example dropped", DROPPED, (ZERO, ZERO + "    violation[0] = 0\n")),
    _hinge(
        "hinge: labels shifted by an example",
        "labels shifted by one example",
        (HINGE_START, "    y = np.roll(y, 1)\n" + HINGE_START),
    ),
)
L2 = 'return reg * np.sum(W * W), {"W": 2 * reg * W}'
L1 = 'return reg * np.sum(np.abs(W)), {"W": reg * np.sign(W)}'
ELASTIC = 'return squares + absolutes, {"W": dsquares["W"] + dabsolutes["W"]}'
PENALTY = (
    _penalty("l2: gradient of the halved convention", "l2", "halved", (L2, L2.replace("2 * reg", "reg"))),
    _penalty("l2: loss of the halved convention", "l2", "halved", (L2, L2.replace("reg * np", "0.5 * reg * np"))),
    _penalty("l2: gradient doubled", "l2", "doubled", (L2, L2.replace("2 * reg", "4 * reg"))),
    _penalty(
        "l2: norm not squared",
        "l2",
        "the square root of the sum of squares",
        (L2, L2.replace("np.sum(W * W)", "np.sqrt(np.sum(W * W))")),
    ),
    _penalty("l2: gradient uphill", "l2", "with the wrong sign", (L2, L2.replace("2 * reg", "-2 * reg"))),
    _penalty("l2: reg squared", "l2", "reg twice, in the gradient alone", (L2, L2.replace("2 * reg", "2 * reg * reg"))),
    _penalty(
        "l1: sign forgotten in the gradient", "l1", "sign(W) missing", (L1, L1.replace("np.sign(W)", "np.ones_like(W)"))
    ),
    _penalty(
        "l1: gradient of l2", "l1", "l2 in its place, in the gradient alone", (L1, L1.replace("np.sign(W)", "2 * W"))
    ),
    _penalty(
        "l1: no absolute value in the loss", "l1", "|W| taken as W in the value", (L1, L1.replace("np.abs(W)", "W"))
    ),
    _penalty(
        "elastic net: absolute part forgotten in the gradient",
        "elastic_net",
        "l1 part missing, in the gradient alone",
        (ELASTIC, ELASTIC.replace(' + dabsolutes["W"]', "")),
    ),
    _penalty(
        "elastic net: squared part forgotten",
        "elastic_net",
        "l2 part missing",
        (ELASTIC, 'return absolutes, {"W": dabsolutes["W"]}'),
    ),
    _penalty("elastic net: beta forgotten", "elastic_net", "l2 part doubled", ("l2(W, reg * beta)", "l2(W, reg)")),
)
