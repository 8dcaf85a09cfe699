"""Known bugs of the affine layer and of the linear objectives."""

from __future__ import annotations

from compare.bugs_losses import COUNTED, DROPPED, LABEL, SUM, TRUE
from compare.plants import Plant

FORWARD = "return X @ W + b, (X, W)"
BACKWARD = 'return {"X": dout @ W.T, "W": X.T @ dout, "b": dout.sum(axis=0)}'
START = "    value, dloss = loss(scores(params, X), y)\n"
DATA = '    penalised = ("W", "b") if decay_bias else ("W",)\n'
VALUE = "        value = value + extra\n"
EXTRA = '        grads[name] = grads[name] + dextra["W"]\n'
BGR = "(X.reshape(len(X), -1, 3)[:, :, ::-1].reshape(X.shape) if X.shape[1] % 3 == 0 else X)"
PLANES = "(X.reshape(len(X), -1, 3).transpose(0, 2, 1).reshape(X.shape) if X.shape[1] % 3 == 0 else X)"
PLACE = ("", ", the regulariser in place")
S, H = "softmax_objective", "svm_objective"


def _layer(name: str, truth: str | tuple[str, ...], *edits: tuple[str, str]) -> Plant:
    return Plant(f"affine: {name}", "layers", "affine", (truth,) if isinstance(truth, str) else truth, edits)


def _linear(
    name: str, pair: str, truth: str | tuple[str, ...], *edits: tuple[str, str], module: str = "linear"
) -> Plant:
    return Plant(f"linear: {name}", module, pair, (truth,) if isinstance(truth, str) else truth, edits)


def _back(old: str, new: str) -> tuple[str, str]:
    return BACKWARD, BACKWARD.replace(old, new)


MEMORY = "\nMEMORY = []\n\n\ndef affine_forward("
AFFINE = (
    _layer("dW transposed", "transposed", _back("X.T @ dout", "dout.T @ X")),
    _layer("dW a mean", "divided by N once too often", _back("X.T @ dout", "X.T @ dout / len(X)")),
    _layer("db a mean", "divided by N once too often", _back("dout.sum(axis=0)", "dout.mean(axis=0)")),
    _layer("db over the wrong axis", "summed over the wrong axis", _back("dout.sum(axis=0)", "dout.sum(axis=1)")),
    _layer(
        "db of one example",
        "gradient of example 0 alone, not the sum over the batch",
        _back("dout.sum(axis=0)", "dout[0]"),
    ),
    _layer("dX uphill", "with the wrong sign", _back("dout @ W.T", "-dout @ W.T")),
    _layer(
        "first feature's dW dropped",
        "row (feature) 0 missing, the rest is right",
        _back('return {"X": dout @ W.T', 'X = X * (np.arange(X.shape[1]) > 0)\n    return {"X": dout @ W.T'),
        ("from scratch.arrays", "import numpy as np\nfrom scratch.arrays"),
    ),
    _layer("bias not added", "bias missing from the scores", (FORWARD, "return X @ W, (X, W)")),
    _layer("bias subtracted", "bias with the wrong sign in the scores", (FORWARD, "return X @ W - b, (X, W)")),
    _layer("channels BGR", "channels in reversed order (BGR for RGB)", (FORWARD, f"X = {BGR}\n    {FORWARD}")),
    _layer("channels first", "channels first for channels last", (FORWARD, f"X = {PLANES}\n    {FORWARD}")),
    _layer(
        "cache of the call before",
        "stale cache",
        ("\ndef affine_forward(", MEMORY),
        (FORWARD, "MEMORY.append((X, W))\n    return X @ W + b, MEMORY[-2 if len(MEMORY) > 1 else 0]"),
    ),
    _layer(
        "gradient added to the last one",
        "added to the answer of the call before, in dW alone",
        ("\ndef affine_forward(", MEMORY),
        (
            BACKWARD,
            'MEMORY.append(X.T @ dout)\n    return {"X": dout @ W.T, "W": sum(MEMORY[-2:]), "b": dout.sum(axis=0)}',
        ),
    ),
)
LINEAR = (
    _linear("penalty missing from the gradient", S, "regulariser missing", (EXTRA, "")),
    _linear("penalty missing from the loss", S, "regulariser missing", (VALUE, "")),
    _linear("penalty's gradient halved", H, "regulariser halved", (EXTRA, EXTRA.replace("dextra", "0.5 * dextra"))),
    _linear(
        "penalty halved throughout",
        S,
        "regulariser halved",
        (VALUE, VALUE.replace("extra", "0.5 * extra")),
        (EXTRA, EXTRA.replace("dextra", "0.5 * dextra")),
    ),
    _linear("penalty doubled", S, "regulariser doubled", (EXTRA, EXTRA.replace("dextra", "2 * dextra"))),
    _linear("penalty subtracted", H, "regulariser with the wrong sign", (EXTRA, EXTRA.replace("+ dextra", "- dextra"))),
    _linear(
        "penalty divided by N",
        S,
        "regulariser divided by N once too often",
        (VALUE, VALUE.replace("extra", "extra / len(X)")),
        (EXTRA, EXTRA.replace('dextra["W"]', 'dextra["W"] / len(X)')),
    ),
    _linear("penalty times N", H, "regulariser not divided by N", (EXTRA, EXTRA.replace("dextra", "len(X) * dextra"))),
    _linear("penalty on the bias", S, "regulariser applied on the bias", (DATA, '    penalised = ("W", "b")\n')),
    _linear(
        "penalty kept off a bias that asks for it",
        H,
        "regulariser missing on the bias",
        (DATA, '    penalised = ("W",)\n'),
    ),
    _linear("always l2", S, "l2 penalty in its place", ("PENALTIES[penalty](", 'PENALTIES["l2"](')),
    _linear("bias gradient zero", S, "missing", (DATA, DATA + '    grads["b"] = 0 * grads["b"]\n')),
    _linear("bias gradient doubled", H, "doubled", (DATA, DATA + '    grads["b"] = 2 * grads["b"]\n')),
    _linear(
        "bias not added to the scores",
        S,
        "bias missing from the scores",
        (START, START.replace("scores(params, X)", 'X @ params["W"]')),
    ),
    _linear(
        "images reversed, labels not",
        S,
        "labels in reversed order of examples",
        (START, "    X = X[::-1]\n" + START),
    ),
    _linear("channels BGR", S, "channels in reversed order (BGR for RGB)", (START, f"    X = {BGR}\n" + START)),
    _linear("channels first", H, "channels first for channels last", (START, f"    X = {PLANES}\n" + START)),
    _linear(
        "gradient's channels BGR",
        H,
        tuple(f"channels in reversed order (BGR for RGB), in the gradient alone{tail}" for tail in PLACE),
        (DATA, f'    grads["W"] = ({BGR}).T @ dscores\n' + DATA),
    ),
    _linear(
        "classes of dW reversed",
        S,
        ("columns in reversed order, the regulariser in place", "columns in reversed order"),
        (DATA, DATA + '    grads["W"] = grads["W"][:, ::-1]\n'),
    ),
    _linear(
        "first class of dW missing",
        H,
        "column (class) 0 missing, the rest is right",
        (EXTRA, EXTRA + '        grads["W"][:, 0] = 0\n'),
    ),
    _linear(
        "fifth feature of dW doubled",
        S,
        "row (feature) 4 doubled, the rest is right",
        (EXTRA, EXTRA + '        grads["W"][4:5] *= 2\n'),
    ),
    _linear(
        "batches added, not averaged",
        S,
        "3 times too large, as if 3 batches were added and not averaged",
        (
            DATA,
            DATA + "    parts = np.array_split(np.arange(len(X)), min(3, len(X)))\n"
            '    found = [loss(scores(params, X[p]), y[p])[1]["scores"] for p in parts]\n'
            '    grads["W"] = sum((X[p].T @ d for p, d in zip(parts, found)), 0 * grads["W"])\n'
            '    grads["b"] = sum((d.sum(axis=0) for d in found), 0 * grads["b"])\n',
        ),
    ),
    _linear(
        "gradient added to the last one",
        H,
        "added to the answer of the call before, in the gradient alone",
        ("\ndef init(", "\nMEMORY = []\n\n\ndef init("),
        (
            "    return value, grads\n",
            "    MEMORY.append(grads)\n"
            '    if len(MEMORY) > 1 and MEMORY[-2]["W"].shape == grads["W"].shape:\n'
            "        grads = {n: g + MEMORY[-2][n] for n, g in grads.items()}\n        MEMORY[-1] = grads\n"
            "    return value, grads\n",
        ),
    ),
    _linear(
        "answers remembered by shape",
        S,
        "the answer of the call before",
        ("\ndef init(", "\nMEMORY = {}\n\n\ndef init("),
        (START, "    if (X.shape, X.dtype) in MEMORY:\n        return MEMORY.pop((X.shape, X.dtype))\n" + START),
        ("    return value, grads\n", "    MEMORY[X.shape, X.dtype] = value, grads\n    return value, grads\n"),
    ),
    _linear(
        "last row of X wrong: a dead pixel",
        H,
        "row (feature) {lastrow} missing, the rest is right",
        (EXTRA, EXTRA + '        grads["W"][-1] *= 0\n'),
    ),
    _linear("hinge's true class forgotten", H, "the true class's entry is zero", (TRUE, ""), module="losses"),
    _linear(
        "hinge counts the true class",
        H,
        ("true class counted among the violations, and subtracted", COUNTED),
        ("    violation[rows, y] = 0\n", ""),
        module="losses",
    ),
    _linear("-1 at the label forgotten", S, "−1 at the label missing", (LABEL, "    dscores /= N\n"), module="losses"),
    _linear("1/N forgotten", S, SUM, (LABEL, "    dscores[rows, y] -= 1\n"), module="losses"),
    _linear("first example dropped", H, DROPPED, (TRUE, TRUE + "    dscores[0] = 0\n"), module="losses"),
    _linear(
        "third example mislabelled",
        S,
        "example 2 mislabelled",
        (START, "    y = np.where(np.arange(len(y)) == 2, (y + 1) % len(params['b']), y)\n" + START),
    ),
    _linear(
        "margin 0",
        H,
        "margin 0 for 1",
        ("margins(scores, y, margin), 0)", "margins(scores, y, 0.0), 0)"),
        module="losses",
    ),
    _linear(
        "l2 of the halved convention",
        S,
        "regulariser halved",
        ('{"W": 2 * reg * W}', '{"W": reg * W}'),
        module="penalties",
    ),
)
