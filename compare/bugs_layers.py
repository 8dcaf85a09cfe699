"""Known bugs of the layers beyond the affine one."""

from __future__ import annotations

from compare.plants import Plant


def _layer(layer: str, name: str, truth: str | tuple[str, ...], *edits: tuple[str, str]) -> Plant:
    told = (truth,) if isinstance(truth, str) else truth
    return Plant(f"{layer}: {name}", "layers", "softmax_layer" if layer == "softmax layer" else layer, told, edits)


RELU = "return np.maximum(X, 0), X > 0"
RELU_BACK = '    passes = cache\n    return {"X": dout * passes}\n'
LEAKY = "return np.where(passes, X, slope * X), (passes, slope)"
LEAKY_BACK = 'return {"X": np.where(passes, dout, slope * dout)}'
SIGMOID = "    out = np.where(X >= 0, 1, e) / (1 + e)\n"
SIGMOID_BACK = 'return {"X": dout * (1 - out) * out}'
TANH_BACK = 'return {"X": dout * (1 - out * out)}'
SOFTMAX = "    exp = np.exp(X - X.max(axis=1, keepdims=True))\n    out = exp / exp.sum(axis=1, keepdims=True)\n"
SOFTMAX_BACK = 'return {"X": p * (dout - (dout * p).sum(axis=1, keepdims=True))}'
DROP = "return X * mask / X.dtype.type(1 - p), (mask, p)"
DROP_BACK = 'return {"X": dout * mask / dout.dtype.type(1 - p)}'
LAYERS = (
    _layer("relu", "mask forgotten", "the derivative missing", (RELU_BACK, '    return {"X": dout}\n')),
    _layer("relu", ">= at the kink", "≥ for > at the kink", (RELU, "return np.maximum(X, 0), X >= 0")),
    _layer(
        "relu",
        "mask of dout",
        "the mask taken from dout, not from X",
        (RELU_BACK, '    return {"X": dout * (dout > 0)}\n'),
    ),
    _layer(
        "relu", "output for its mask", "X in place of its mask", (RELU, "return np.maximum(X, 0), np.maximum(X, 0)")
    ),
    _layer("relu", "mask inverted", "the mask inverted", (RELU, "return np.maximum(X, 0), X <= 0")),
    _layer("relu", "absolute value", "absolute value for max", (RELU, "return np.abs(X), np.sign(X)")),
    _layer("leaky_relu", "slope forgotten", "the slope missing", (LEAKY_BACK, 'return {"X": dout * passes}')),
    _layer(
        "leaky_relu",
        "slope without dout",
        "the slope not multiplied by dout",
        (LEAKY_BACK, 'return {"X": np.where(passes, dout, dout.dtype.type(slope))}'),
    ),
    _layer("leaky_relu", ">= at the kink", "≥ for > at the kink", ("passes = X > 0", "passes = X >= 0")),
    _layer(
        "sigmoid",
        "(1 - s) forgotten",
        "(1 − σ) missing from the derivative",
        (SIGMOID_BACK, 'return {"X": dout * out}'),
    ),
    _layer(
        "sigmoid",
        "derivative of the input",
        "derivative of the input",
        (SIGMOID, SIGMOID + "    return out, X\n"),
    ),
    _layer("sigmoid", "dout forgotten", "dout missing", (SIGMOID_BACK, 'return {"X": (1 - out) * out}')),
    _layer(
        "sigmoid",
        "e^x for e^-x",
        "e^x for e^−x, in the value alone",
        ("np.where(X >= 0, 1, e)", "np.where(X >= 0, e, 1)"),
    ),
    _layer("tanh", "square forgotten", "the square missing", (TANH_BACK, 'return {"X": dout * (1 - out)}')),
    _layer(
        "tanh",
        "input for output",
        "derivative of the input",
        ("    out = np.tanh(X)\n    return out, out", "    out = np.tanh(X)\n    return out, X"),
    ),
    _layer(
        "tanh",
        "derivative of a sigmoid",
        "tanh (1 − tanh) for (1 − tanh²)",
        (TANH_BACK, 'return {"X": dout * out * (1 - out)}'),
    ),
    _layer(
        "softmax layer", "sum forgotten", "the sum over the classes missing", (SOFTMAX_BACK, 'return {"X": p * dout}')
    ),
    _layer(
        "softmax layer",
        "diagonal alone",
        "the diagonal of the Jacobian alone",
        (SOFTMAX_BACK, 'return {"X": p * (1 - p) * dout}'),
    ),
    _layer(
        "softmax layer",
        "sum without p",
        "the sum over the classes without p",
        (SOFTMAX_BACK, SOFTMAX_BACK.replace("(dout * p).sum", "dout.sum")),
    ),
    _layer(
        "softmax layer",
        "over the examples",
        "softmax over the examples, not the classes",
        (SOFTMAX, SOFTMAX.replace("axis=1", "axis=0")),
        (SOFTMAX_BACK, SOFTMAX_BACK.replace("axis=1", "axis=0")),
    ),
    _layer(
        "dropout",
        "not divided",
        "not divided by 1 − p",
        (DROP, "return X * mask, (mask, p)"),
        (DROP_BACK, 'return {"X": dout * mask}'),
    ),
    _layer(
        "dropout",
        "not divided on the way back",
        "not divided by 1 − p, in the gradient alone",
        (DROP_BACK, 'return {"X": dout * mask}'),
    ),
    _layer(
        "dropout",
        "divided by p",
        ("divided by p, not by 1 − p", "overflow or 0/0"),  # where p is 0
        (DROP, "return X * mask / X.dtype.type(p), (mask, 1 - p)"),
    ),
    _layer(
        "dropout",
        "mask forgotten on the way back",
        "the mask missing, in the gradient alone",
        (DROP_BACK, DROP_BACK.replace(" * mask", "")),
    ),
    _layer(
        "dropout",
        "mask inverted",
        "the mask inverted",
        ("    return X * mask / X", "    mask = ~mask\n    return X * mask / X"),
    ),
)
