"""What users train in scratch's place, for test_own: right, or with the faults that STUCK and WRONG plant."""

import numpy as np


def adam(w, dw, config=None):
    """The course's form; STUCK stops the count of steps."""
    config = {"m": np.zeros_like(w), "v": np.zeros_like(w), "t": 0} | (config or {})
    config["t"] = min(config["t"] + 1, STUCK)
    config["m"] = 0.9 * config["m"] + 0.1 * dw
    config["v"] = 0.999 * config["v"] + 0.001 * dw**2
    m, v = config["m"] / (1 - 0.9 ** config["t"]), config["v"] / (1 - 0.999 ** config["t"])
    return w - config["learning_rate"] * m / (np.sqrt(v) + 1e-8), config


class Momentum:
    """Scratch's form."""

    def __init__(self, momentum=0.9):
        self.momentum = momentum

    def init(self, param):
        return {"momentum_buffer": np.zeros_like(param), "count": 0}

    def update(self, param, grad, state, lr):
        state["count"] += 1
        state["momentum_buffer"] *= self.momentum if state["count"] != STUCK else 0
        state["momentum_buffer"] += grad
        param -= lr * state["momentum_buffer"]


def softmax_loss(scores, y):
    s = scores - scores.max(axis=1, keepdims=True)
    p = np.exp(s)
    p /= p.sum(axis=1, keepdims=True)
    value = -np.log(p[np.arange(len(y)), y]).mean()
    p[np.arange(len(y)), y] -= 1
    return value, p / (len(y) - WRONG)


def svm_loss(W, X, y, reg):
    S, N = X @ W, len(y)
    margins = np.maximum(0, S - S[np.arange(N), y][:, None] + 1)
    margins[np.arange(N), y] = 0
    k = (margins > 0).astype(X.dtype)
    k[np.arange(N), y] = -k.sum(axis=1)
    return margins.sum() / N + reg * (W * W).sum(), X.T @ k / N + (2 - WRONG) * reg * W


class TwoLayerNet:
    def __init__(self, input_size, hidden_size, output_size):
        assert (input_size, hidden_size, output_size) == (108, 5, 3)
        self.params = {}

    def loss(self, X, y=None, reg=0.0):
        W1, b1, W2, b2 = (self.params[k] for k in ("W1", "b1", "W2", "b2"))
        hidden = np.maximum(0, X @ W1 + b1)
        scores = hidden @ W2 + (1 + WRONG) * b2
        if y is None:
            return scores
        value, d = softmax_loss(scores, y)
        d *= (len(y) - WRONG) / len(y)
        dhidden = d @ W2.T
        dhidden[hidden <= 0] = 0
        grads = {"W1": X.T @ dhidden + 2 * reg * W1, "W2": hidden.T @ d + 2 * reg * W2}
        return value + reg * ((W1**2).sum() + (W2**2).sum()), grads | {"b1": dhidden.sum(0), "b2": d.sum(0)}


def raises(w, dw, lr):
    if STUCK == 0 and w.size > 100:
        raise OverflowError("too large")
    return w - lr * dw


def printing(w, dw, lr):
    print("a line of its own")  # noqa: T201 - that is what is tested
    return w - lr * dw


def momentum(w, dw, config=None):
    config = {"momentum": 0.5, "velocity": np.zeros_like(w)} | (config or {})
    config["velocity"] = config["momentum"] * config["velocity"] - config["learning_rate"] * dw
    return w + config["velocity"], config


def ends(w, dw, lr):
    raise SystemExit


def nothing(scores, y):
    return None, scores


def vector(W, X, y, reg):
    return np.ones(len(y)), W


def cut(W, X, y, reg):
    return 1.0, W[:-1]


def centres(W, X, y, reg):
    X -= WRONG * X.mean(axis=0)
    return svm_loss(W, X, y, reg)


class Renamed(TwoLayerNet):
    """Its gradients are called dW1; it has no loss without labels."""

    def loss(self, X, y, reg):
        value, grads = super().loss(X, y, reg)
        return value, {"d" + k: g for k, g in grads.items()}


class Fields:
    """As a later assignment has it: loss(X, y), and reg an attribute."""

    def __init__(self, input_dim, hidden_dim, num_classes, reg=0.0):
        self.net, self.params, self.reg = TwoLayerNet(input_dim, hidden_dim, num_classes), {}, reg

    def loss(self, X, y=None):
        self.net.params = self.params
        return self.net.loss(X, y, self.reg)


class Short(TwoLayerNet):
    def loss(self, X, y, reg):
        return 1.0, {"W1": self.params["W1"]}


class Leaves(Momentum):
    def update(self, param, grad, state, lr):
        super().update(param, grad, state, lr)
        if param.size > 100:
            raise SystemExit


class Without(TwoLayerNet):
    def __init__(self, input_size, hidden_size, output_size):
        pass


class Other(TwoLayerNet):
    def __init__(self, input_size, hidden_size, output_size):
        self.params = {"weights": 1}


class Silent(TwoLayerNet):
    def loss(self, X, y, reg):
        pass


class Layers(TwoLayerNet):
    def __init__(self, layers):
        pass


def scribbles(params, X, y, reg, penalty="l2", decay_bias=False):
    from scratch import linear

    X *= 1 + WRONG
    return linear.softmax_objective(params, X, y, reg)


STUCK, WRONG = 10**9, 0
