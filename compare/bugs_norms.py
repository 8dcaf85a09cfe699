"""Known bugs of batch and layer normalisation, and of the two-layer network."""

from __future__ import annotations

from compare.plants import Plant


def _norm(layer: str, name: str, truth: str | tuple[str, ...], *edits: tuple[str, str]) -> Plant:
    return Plant(f"{layer}: {name}", "norms", layer, (truth,) if isinstance(truth, str) else truth, edits)


def _network(name: str, truth: str | tuple[str, ...], *edits: tuple[str, str]) -> Plant:
    return Plant(f"network: {name}", "two_layer", "two_layer", (truth,) if isinstance(truth, str) else truth, edits)


CENTRE = "    variance = (centred * centred).mean(axis=axis, keepdims=True)\n"
SCALE = "    scale = 1 / np.sqrt(variance + X.dtype.type(eps))\n"
FORWARD = "    return gamma * normal + beta, (normal, scale, gamma)\n\n\ndef _backward"
BACK = '"X": (g - g.mean(axis=axis, keepdims=True) - normal * along) * scale,'
GAMMA = BACK + '\n        "gamma": (dout * normal).sum(axis=0),'
RUNNING = "    scale = 1 / np.sqrt(running[1] + X.dtype.type(eps))\n"
MOVED = "return np.asarray((1 - share) * running + share * batch)"
NORMS = (
    _norm(
        "batch_norm",
        "gradient through the mean forgotten",
        "the gradient through the mean missing",
        (BACK, BACK.replace(" - g.mean(axis=axis, keepdims=True)", "")),
    ),
    _norm(
        "batch_norm",
        "gradient through the variance forgotten",
        "the gradient through the variance missing",
        (BACK, BACK.replace(" - normal * along", "")),
    ),
    _norm(
        "batch_norm",
        "statistics taken for constants",
        "the gradient through mean and variance missing",
        (BACK, '"X": g * scale,'),
    ),
    _norm(
        "batch_norm",
        "unbiased variance",
        "unbiased variance",
        (CENTRE, CENTRE + "    variance = variance * X.dtype.type(X.shape[axis] / (X.shape[axis] - 1))\n"),
        (
            "along = (g * normal).mean(axis=axis, keepdims=True)",
            "along = (g * normal).sum(axis=axis, keepdims=True) / g.dtype.type(g.shape[axis] - 1)",
        ),
    ),
    _norm(
        "batch_norm",
        "eps outside the root",
        "eps outside the root",
        (SCALE, "    scale = 1 / (np.sqrt(variance) + X.dtype.type(eps))\n"),
    ),
    _norm("batch_norm", "eps forgotten", "eps missing", (SCALE, "    scale = 1 / np.sqrt(variance)\n")),
    _norm(
        "batch_norm",
        "gamma forgotten in dX",
        "gamma missing, in the gradient alone",
        ("    g = dout * gamma\n", "    g = dout\n"),
    ),
    _norm(
        "batch_norm",
        "dgamma without x̂",
        "x̂ missing from the gradient by gamma",
        (GAMMA, GAMMA.replace("(dout * normal)", "dout")),
    ),
    _norm(
        "batch_norm",
        "dgamma a mean",
        "divided by N once too often",
        (GAMMA, GAMMA.replace(".sum(axis=0),", ".mean(axis=0),")),
    ),
    _norm("batch_norm", "beta forgotten", "beta missing", (FORWARD, FORWARD.replace(" + beta", ""))),
    _norm(
        "layer_norm",
        "over the wrong axis",
        "normalised over the wrong axis",
        ("return _forward(X, gamma, beta, eps, axis=1)", "return _forward(X, gamma, beta, eps, axis=0)"),
        ("return _backward(dout, cache, axis=1)", "return _backward(dout, cache, axis=0)"),
    ),
    _norm(
        "layer_norm",
        "backward over the wrong axis",
        "the backward pass over the wrong axis",
        ("return _backward(dout, cache, axis=1)", "return _backward(dout, cache, axis=0)"),
    ),
    _norm(
        "batch_norm_eval",
        "batch's own statistics",
        "the batch's own statistics for the running ones",
        (
            RUNNING,
            "    running = np.stack([X.mean(axis=0), X.var(axis=0)])\n" + RUNNING,
        ),
    ),
    _norm(
        "batch_norm_eval",
        "variance for its root",
        "variance in place of its root",
        (
            RUNNING,
            "    scale = 1 / (running[1] + X.dtype.type(eps))\n",
        ),
    ),
    _norm("batch_norm_running", "biased variance", "biased variance", ("X.var(axis=0, ddof=1)", "X.var(axis=0)")),
    _norm(
        "batch_norm_running",
        "momentum the other way round",
        "momentum the other way round",
        (MOVED, "return np.asarray(share * running + (1 - share) * batch)"),
    ),
)
MASK = 'douts.append(relu_backward(dinput, passes[k - 2])["X"])'
GRADS = '        grads[f"W{k}"], grads[f"b{k}"] = x.T @ dout, dout.sum(axis=0)\n'
BIAS = 'params[f"W{k}"], params[f"b{k}"]'
DECAY = '        if decay_bias or name.startswith("W"):\n'
NETWORK = (
    _network(
        "ReLU forgotten on the way back",
        "the ReLU's mask missing on the way back",
        (MASK, "douts.append(dinput)"),
    ),
    _network(
        "ReLU's mask of dout",
        "the ReLU's mask taken from dout",
        (MASK, "douts.append(dinput * (dinput > 0))"),
    ),
    _network(
        "inputs of the ReLU for its outputs",
        "the ReLU's inputs for its outputs",
        (GRADS, GRADS.replace("x.T", "(outs[k - 2] if k > 1 else x).T")),
    ),
    _network(
        "penalty on the first layer alone", "regulariser missing", (DECAY, '        if decay_bias or name == "W1":\n')
    ),
    _network("penalty on biases too", "regulariser applied on the bias", (DECAY, "        if True:\n")),
    _network(
        "last bias forgotten",
        "bias b{layers} missing from the scores",
        (BIAS, f"{BIAS} * (k < len(params) // 2)"),
    ),
    _network(
        "gradient of the first layer halved",
        "halved",
        (GRADS, GRADS + '        if k == 1:\n            grads["W1"] = 0.5 * grads["W1"]\n'),
    ),
    _network(
        "labels shifted",
        "labels shifted by one class up",
        (
            "    outs, inputs, passes = _forward(params, X)\n",
            '    y = (y + 1) % len(params[f"b{len(params) // 2}"])\n    outs, inputs, passes = _forward(params, X)\n',
        ),
    ),
)
