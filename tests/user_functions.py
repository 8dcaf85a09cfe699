"""A user's file: losses, objectives, layers and rules as people write them, right and wrong."""

import numpy as np


def adam(w, dw, config=None):
    config = config if config is not None else {}
    t = config["t"] = config.get("t", 0) + 1
    beta1 = config.setdefault("beta1", 0.9)
    m = config["m"] = beta1 * config.get("m", 0) + (1 - beta1) * dw
    v = config["v"] = 0.999 * config.get("v", 0) + 0.001 * dw * dw
    step = config["learning_rate"] * np.sqrt(1 - 0.999**t) / (1 - beta1**t) * m / (np.sqrt(v) + 1e-7)
    return w - step, config


def reset(w, g, state, lr):
    t = state["t"] = state.get("t", 0) + 1
    v = g if t in (1, 7) else 0.9 * state["v"] + g
    state["v"] = v
    return w - lr * v, state


def with_mu(w, g, v, lr, mu):
    v = mu * v + g
    return w - lr * v, v


def fails_late(w, g, lr, n):
    return w - lr * g / (4 - n if n >= 4 else 1) + int("x" * (n == 4) or 0)


class Held:
    def __init__(self, lr):
        self.lr = lr

    def step(self, w, g):
        return w - self.lr * g


made = Held(0.1)


def loops(w, g, lr):
    while True:
        pass


def leaves(w, g, lr):
    raise SystemExit


def norm_clipped(w, g, lr):
    return w - lr * g * min(1, 5 / np.linalg.norm(g))


def no_rate(w, g):
    return w - 0.1 * g


def nothing(a, b, lr):
    return a.sum()


def softmax_loss(x, y):
    p = np.exp(x - x.max(axis=1, keepdims=True))
    p /= p.sum(axis=1, keepdims=True)
    N = len(y)
    shifted = x - x.max(axis=1, keepdims=True)
    loss = (np.log(np.exp(shifted).sum(axis=1)) - shifted[np.arange(N), y]).mean()
    p[np.arange(N), y] -= 1
    return loss, p / N


def softmax_loss_unmeaned(x, y):
    loss, dx = softmax_loss(x, y)
    return loss, dx * len(y)


def svm_loss_vectorized(W, X, y, reg):
    dW, N = np.zeros(W.shape), len(y)
    margins = np.maximum(0, X.dot(W) - X.dot(W)[np.arange(N), y][:, None] + 1)
    margins[np.arange(N), y] = 0
    loss = margins.sum() / N + reg * np.sum(W * W)
    hit = (margins > 0).astype(float)
    hit[np.arange(N), y] = -hit.sum(axis=1)
    dW += X.T.dot(hit) / N + 2 * reg * W
    return loss, dW


def svm_loss_halved(W, X, y, reg):
    loss, dW = svm_loss_vectorized(W, X, y, reg)
    return loss - 0.5 * reg * np.sum(W * W), dW - reg * W


def softmax_three(W, b, X, y, lam):
    loss, ds = softmax_loss(X @ W + b, y)
    return loss + lam * np.sum(W * W), X.T @ ds + 2 * lam * W, ds.sum(axis=0)


def two_layer(params, X, y, reg=0.0):
    h = X @ params["W1"] + params["b1"]
    s = np.maximum(h, 0) @ params["W2"] + params["b2"]
    p = s - s.max(axis=1, keepdims=True)
    logp = p - np.log(np.exp(p).sum(axis=1, keepdims=True))
    N = len(y)
    loss = -logp[np.arange(N), y].mean() + reg * sum(np.sum(params[n] ** 2) for n in ("W1", "W2"))
    ds = np.exp(logp)
    ds[np.arange(N), y] -= 1
    ds /= N
    dh = ds @ params["W2"].T * (h > 0)
    return loss, {
        "W1": X.T @ dh + 2 * reg * params["W1"],
        "b1": dh.sum(axis=0),
        "W2": np.maximum(h, 0).T @ ds + 2 * reg * params["W2"],
        "b2": ds.sum(axis=0),
    }


def l2(W, reg):
    return reg * np.sum(W * W), 2 * reg * W


def affine_forward(x, w, b):
    return x.dot(w) + b, (x, w, b)


def affine_backward(dout, cache):
    x, w, _ = cache
    return dout.dot(w.T), x.T.dot(dout), dout.sum(axis=0)


def relu_forward(x):
    return np.maximum(0, x), x


def relu_backward(dout, cache):
    return dout * (cache >= 0)


def batchnorm_forward(x, gamma, beta, bn_param):
    std = np.sqrt(x.var(axis=0) + bn_param.get("eps", 1e-5))
    normal = (x - x.mean(axis=0)) / std
    return gamma * normal + beta, (normal, gamma, std)


def batchnorm_backward(dout, cache):
    normal, gamma, std = cache
    d = dout * gamma
    return (d - d.mean(0) - normal * (d * normal).mean(0)) / std, (dout * normal).sum(0), dout.sum(0)


def margins(scores, y):
    return scores - scores[np.arange(len(y)), y][:, None] + 1


def writes_loss(x, y):
    x -= x.max(axis=1, keepdims=True)
    return softmax_loss(x, y)


def stuck_loss(x, y):
    import ctypes

    while len(y) == 1:
        pass
    if x.shape[1] == 2:
        ctypes.string_at(0)
    return softmax_loss(x, y)


def softmax_grad_only(x, y):
    return softmax_loss(x, y)[1]
