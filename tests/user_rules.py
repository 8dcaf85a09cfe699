"""Update rules as people write them: (name, source, its convention, its call in torch.optim or why there is none)."""

COURSE = """
import numpy as np

def sgd(w, dw, config=None):
    if config is None: config = {}
    config.setdefault('learning_rate', 1e-2)
    w -= config['learning_rate'] * dw
    return w, config

def sgd_momentum(w, dw, config=None):
    if config is None: config = {}
    config.setdefault('learning_rate', 1e-2)
    config.setdefault('momentum', 0.9)
    v = config.get('velocity', np.zeros_like(w))
    v = config['momentum'] * v - config['learning_rate'] * dw
    next_w = w + v
    config['velocity'] = v
    return next_w, config

def rmsprop(w, dw, config=None):
    if config is None: config = {}
    config.setdefault('learning_rate', 1e-2)
    config.setdefault('decay_rate', 0.99)
    config.setdefault('epsilon', 1e-8)
    config.setdefault('cache', np.zeros_like(w))
    config['cache'] = config['decay_rate'] * config['cache'] + (1 - config['decay_rate']) * dw**2
    next_w = w - config['learning_rate'] * dw / (np.sqrt(config['cache']) + config['epsilon'])
    return next_w, config

def adam(w, dw, config=None):
    if config is None: config = {}
    config.setdefault('learning_rate', 1e-3)
    config.setdefault('beta1', 0.9)
    config.setdefault('beta2', 0.999)
    config.setdefault('epsilon', 1e-8)
    config.setdefault('m', np.zeros_like(w))
    config.setdefault('v', np.zeros_like(w))
    config.setdefault('t', 0)
    config['t'] += 1
    config['m'] = config['beta1'] * config['m'] + (1 - config['beta1']) * dw
    config['v'] = config['beta2'] * config['v'] + (1 - config['beta2']) * dw * dw
    mt = config['m'] / (1 - config['beta1'] ** config['t'])
    vt = config['v'] / (1 - config['beta2'] ** config['t'])
    return w - config['learning_rate'] * mt / (np.sqrt(vt) + config['epsilon']), config
"""
BOOK = """
import numpy as np

class AdaGrad:
    def __init__(self, lr=0.01):
        self.lr = lr
        self.h = None
    def update(self, params, grads):
        if self.h is None:
            self.h = {key: np.zeros_like(val) for key, val in params.items()}
        for key in params.keys():
            self.h[key] += grads[key] * grads[key]
            params[key] -= self.lr * grads[key] / (np.sqrt(self.h[key]) + 1e-7)

class Nesterov:
    def __init__(self, lr=0.01, momentum=0.9):
        self.lr, self.momentum, self.v = lr, momentum, None
    def update(self, params, grads):
        if self.v is None:
            self.v = {key: np.zeros_like(val) for key, val in params.items()}
        for key in params.keys():
            v_prev = self.v[key].copy()
            self.v[key] = self.momentum * self.v[key] - self.lr * grads[key]
            params[key] += -self.momentum * v_prev + (1 + self.momentum) * self.v[key]
"""
KERAS = """
import numpy as np

def adam(w, g, m, v, t, learning_rate=0.001, beta_1=0.9, beta_2=0.999, epsilon=1e-7):
    alpha = learning_rate * np.sqrt(1 - beta_2**t) / (1 - beta_1**t)
    m = m + (g - m) * (1 - beta_1)
    v = v + (np.square(g) - v) * (1 - beta_2)
    return w - m * alpha / (np.sqrt(v) + epsilon), m, v

def adagrad(w, g, state, learning_rate=0.001):
    accumulator = state.setdefault('accumulator', np.full_like(w, 0.1))
    accumulator += g * g
    w -= learning_rate * g / np.sqrt(accumulator + 1e-7)

def rmsprop(w, g, state, lr):
    state['ms'] = 0.9 * state.get('ms', np.ones_like(w)) + 0.1 * g * g
    state['mom'] = 0.5 * state.get('mom', 0) + lr * g / np.sqrt(state['ms'] + 1e-10)
    return w - state['mom'], state
"""
OPTAX = """
import numpy as np

class RMSProp:
    def __init__(self, decay=0.9, eps=1e-8):
        self.decay, self.eps = decay, eps
    def init(self, params):
        return {'nu': np.zeros_like(params)}
    def update(self, grads, state, lr):
        state['nu'] = self.decay * state['nu'] + (1 - self.decay) * grads**2
        return -lr * grads / np.sqrt(state['nu'] + self.eps), state
"""
TORCH = """
import torch

class AdamW(torch.optim.Optimizer):
    def __init__(self, params, lr=1e-3, betas=(0.9, 0.98), eps=1e-6, weight_decay=0.05):
        super().__init__(params, dict(lr=lr, betas=betas, eps=eps, weight_decay=weight_decay))
    @torch.no_grad()
    def step(self, closure=None):
        for group in self.param_groups:
            b1, b2 = group['betas']
            for p in group['params']:
                s = self.state[p]
                if not s:
                    s['t'], s['m'], s['v'] = 0, torch.zeros_like(p), torch.zeros_like(p)
                s['t'] += 1
                s['m'].mul_(b1).add_(p.grad, alpha=1 - b1)
                s['v'].mul_(b2).addcmul_(p.grad, p.grad, value=1 - b2)
                p.mul_(1 - group['lr'] * group['weight_decay'])
                m, v = s['m'] / (1 - b1 ** s['t']), s['v'] / (1 - b2 ** s['t'])
                p.sub_(group['lr'] * m / (v.sqrt() + group['eps']))
"""
OWN = """
import numpy as np

def dampened(w, g, buf=None, lr=0.1, momentum=0.8, dampening=0.3):
    buf = g.copy() if buf is None else momentum * buf + (1 - dampening) * g
    return w - lr * buf, buf

def nesterov(params, grads, state, lr):
    for i in range(len(params)):
        state[i] = 0.95 * state.get(i, 0) + grads[i]
        params[i] -= lr * (grads[i] + 0.95 * state[i])

def averaged(w, g, v, lr, beta=0.9):
    v = beta * v + (1 - beta) * g
    return w - lr * v, v

def l2_momentum(w, dw, v, lr):
    v = 0.9 * v + dw + 5e-4 * w
    return w - lr * v, v

def decoupled_momentum(w, dw, v, lr):
    v = 0.9 * v + dw
    return w - lr * v - lr * 5e-4 * w, v

def adam_l2(w, g, m, v, t, lr):
    g = g + 0.01 * w
    m, v = 0.9 * m + 0.1 * g, 0.999 * v + 0.001 * g**2
    return w - lr * (m / (1 - 0.9**t)) / (np.sqrt(v / (1 - 0.999**t)) + 1e-8), m, v

def adam_paper_decay(w, g, m, v, t, lr):
    m, v = 0.9 * m + 0.1 * g, 0.999 * v + 0.001 * g**2
    return w - lr * (m / (1 - 0.9**t)) / (np.sqrt(v / (1 - 0.999**t)) + 1e-8) - 1e-4 * w, m, v

def adam_uncorrected(w, g, m, v, lr):
    m, v = 0.9 * m + 0.1 * g, 0.999 * v + 0.001 * g**2
    return w - lr * m / (np.sqrt(v) + 1e-8), m, v

def adam_without_eps(w, g, m, v, t, lr):
    m, v = 0.9 * m + 0.1 * g, 0.999 * v + 0.001 * g**2
    return w - lr * (m / (1 - 0.9**t)) / np.sqrt(v / (1 - 0.999**t)), m, v

def adam_half_corrected(w, g, m, v, t, lr):
    m, v = 0.9 * m + 0.1 * g, 0.999 * v + 0.001 * g**2
    return w - lr * (m / (1 - 0.9**t)) / (np.sqrt(v) + 1e-8), m, v

def adam_stuck(w, g, m, v, lr):
    m, v = 0.9 * m + 0.1 * g, 0.995 * v + 0.005 * g**2
    return w - lr * (m / (1 - 0.9)) / (np.sqrt(v / (1 - 0.995)) + 1e-8), m, v

def centred(w, g, state, lr):
    c = state['c'] = 0.99 * state.get('c', 0) + 0.01 * g * g
    a = state['a'] = 0.99 * state.get('a', 0) + 0.01 * g
    return w - lr * g / (np.sqrt(c - a * a) + 1e-8), state

def slowed_adagrad(w, g, G, t, lr):
    G = G + g * g
    return w - lr / (1 + (t - 1) * 0.01) * g / (np.sqrt(G) + 1e-10), G

def late(w, g, v, lr):
    return w - lr * v, 0.9 * v + g

def ascent(w, g, lr):
    return w + lr * g

def returns_the_update(grad, state, lr):
    state['v'] = 0.9 * state.get('v', 0) - lr * grad
    return state['v']

velocity = 0
def in_globals(w, dw, learning_rate):
    global velocity
    velocity = 0.7 * velocity - learning_rate * dw
    return w + velocity
"""
UNTIL = "equal until the learning rate changes"
INSIDE = "ε is inside the root"
SGD, ADAM = "torch.optim.SGD(params, ", "torch.optim.Adam(params, lr, betas=(0.9, 0.999), eps=1e-08"

# source, name, form, rule with facets that must hold, hyperparameters, torch's call, what is said beside it
RULES = (
    (COURSE, "sgd", "config", {"rule": "sgd"}, {}, f"{SGD}lr)", ""),
    (COURSE, "sgd_momentum", "config", {"rule": "momentum", "rate": "inside"}, {"mu": 0.9},
     f"{SGD}lr, momentum=0.9)", UNTIL),
    (COURSE, "rmsprop", "config", {"rule": "rmsprop", "eps": "outside", "start": 0.0}, {"alpha": 0.99, "eps": 1e-8},
     "torch.optim.RMSprop(params, lr, alpha=0.99, eps=1e-08)", ""),
    (COURSE, "adam", "config", {"rule": "adam", "eps": "outside", "corrected": "mv"},
     {"beta1": 0.9, "beta2": 0.999, "eps": 1e-8}, f"{ADAM})", ""),
    (BOOK, "AdaGrad", "object", {"rule": "adagrad", "eps": "outside"}, {"eps": 1e-7},
     "torch.optim.Adagrad(params, lr, eps=1e-07)", ""),
    (BOOK, "Nesterov", "object", {"rule": "nesterov", "rate": "inside"}, {"mu": 0.9},
     f"{SGD}lr, momentum=0.9, nesterov=True)", UNTIL),
    (KERAS, "adam", "arrays", {"rule": "adam", "eps": "before", "corrected": "mv"},
     {"beta1": 0.9, "beta2": 0.999, "eps": 1e-7}, "", "ε comes before the bias correction"),
    (KERAS, "adagrad", "state", {"rule": "adagrad", "eps": "inside"}, {"start": 0.1, "eps": 1e-7},
     "torch.optim.Adagrad(params, lr, initial_accumulator_value=0.1000001, eps=0)", ""),
    (KERAS, "rmsprop", "state", {"rule": "rmsprop", "eps": "inside", "buffer": True, "rate": "inside", "start": 1.0},
     {"alpha": 0.9, "mu": 0.5, "eps": 1e-10}, "", "the accumulator starts from 1"),
    (OPTAX, "RMSProp", "rule", {"rule": "rmsprop", "eps": "inside", "start": 0.0}, {"alpha": 0.9, "eps": 1e-8},
     "", INSIDE),
    (TORCH, "AdamW", "torch", {"rule": "adam", "decay": "decoupled"},
     {"beta1": 0.9, "beta2": 0.98, "eps": 1e-6, "decay": 0.05},
     "torch.optim.AdamW(params, lr, betas=(0.9, 0.98), eps=1e-06, weight_decay=0.05)", ""),
    (OWN, "dampened", "arrays", {"rule": "momentum", "rate": "outside"}, {"mu": 0.8, "first": 1.0, "gain": 0.7},
     f"{SGD}lr, momentum=0.8, dampening=0.3)", ""),
    (OWN, "nesterov", "state", {"rule": "nesterov", "rate": "outside"}, {"mu": 0.95},
     f"{SGD}lr, momentum=0.95, nesterov=True)", ""),
    (OWN, "averaged", "arrays", {"rule": "momentum"}, {"mu": 0.9, "first": 0.1, "gain": 0.1},
     f"{SGD}lr=0.1 * lr, momentum=0.9)", ""),
    (OWN, "l2_momentum", "arrays", {"rule": "momentum", "decay": "coupled"}, {"mu": 0.9, "decay": 5e-4},
     f"{SGD}lr, momentum=0.9, weight_decay=0.0005)", ""),
    (OWN, "decoupled_momentum", "arrays", {"rule": "momentum", "decay": "decoupled"}, {"mu": 0.9, "decay": 5e-4},
     "", "multiply the weights by 1 − 0.0005 lr before each step"),
    (OWN, "adam_l2", "arrays", {"rule": "adam", "decay": "coupled"}, {"decay": 0.01},
     f"{ADAM}, weight_decay=0.01)", ""),
    (OWN, "adam_paper_decay", "arrays", {"rule": "adam", "decay": "unscaled"}, {"decay": 1e-4},
     "torch.optim.AdamW(params, lr, betas=(0.9, 0.999), eps=1e-08, weight_decay=0.0001 / lr)",
     "set weight_decay anew whenever lr changes"),
    (OWN, "adam_uncorrected", "arrays", {"rule": "adam", "corrected": ""}, {"beta1": 0.9, "beta2": 0.999, "eps": 1e-8},
     "", "m and v are not corrected"),
    (OWN, "adam_half_corrected", "arrays", {"rule": "adam", "corrected": "m"}, {"beta2": 0.999}, "",
     "v is not corrected"),
    (OWN, "adam_without_eps", "arrays", {"rule": "adam", "corrected": "mv"}, {"beta2": 0.999, "eps": 0.0},
     "torch.optim.Adam(params, lr, betas=(0.9, 0.999), eps=0)", ""),
    (OWN, "adam_stuck", "arrays", {"rule": "adam", "corrected": "stuck mv"}, {"beta1": 0.9, "beta2": 0.995}, "",
     "t is not counted"),
    (OWN, "centred", "state", {"rule": "rmsprop", "centered": True}, {"alpha": 0.99, "eps": 1e-8},
     "torch.optim.RMSprop(params, lr, alpha=0.99, eps=1e-08, centered=True)", ""),
    (OWN, "slowed_adagrad", "arrays", {"rule": "adagrad"}, {"lr_decay": 0.01, "eps": 1e-10},
     "torch.optim.Adagrad(params, lr, lr_decay=0.01, eps=1e-10)", ""),
    (OWN, "late", "arrays", {"rule": "late"}, {"mu": 0.9}, "", "torch's buffer holds the newest gradient"),
    (OWN, "ascent", "arrays", {"rule": "sgd", "climbs": True}, {}, f"{SGD}lr, maximize=True)", ""),
    (OWN, "returns_the_update", "state", {"rule": "momentum", "rate": "inside"}, {"mu": 0.9},
     f"{SGD}lr, momentum=0.9)", UNTIL),
    (OWN, "in_globals", "arrays", {"rule": "momentum", "rate": "inside"}, {"mu": 0.7},
     f"{SGD}lr, momentum=0.7)", UNTIL),
)  # fmt: skip

FAULTS = """
import numpy as np

def reset(w, g, state, lr):
    t = state['t'] = state.get('t', 0) + 1
    v = g if t in (1, 7) else 0.9 * state['v'] + g
    state['v'] = v
    return w - lr * v, state

def wrong_beta_second(w, g, m, v, t, lr):
    beta = 0.5 if t == 2 else 0.9
    m, v = beta * m + (1 - beta) * g, 0.999 * v + 0.001 * g**2
    return w - lr * (m / (1 - 0.9**t)) / (np.sqrt(v / (1 - 0.999**t)) + 1e-8), m, v

def old_rate(w, g, state, lr):
    used, state['lr'] = state.get('lr', lr), lr
    state['v'] = 0.9 * state.get('v', 0) + g
    return w - used * state['v'], state

def clipped(w, g, state, lr):
    state['v'] = 0.9 * state.get('v', 0) + np.clip(g, -1, 1)
    return w - lr * state['v'], state

def stale(w, g, state, lr):
    t = state['t'] = state.get('t', 0) + 1
    used = state['g'] if t == 4 else g
    state['g'] = g
    return w - lr * used, state

def norm_clipped(w, g, lr):
    return w - lr * g * min(1, 5 / np.linalg.norm(g))
"""
# name, the closest rule and its values, the first step that parts, the guess
FAULTY = (
    ("reset", "momentum", {"mu": 0.9}, 7, "step 7 is as if the state were new"),
    ("wrong_beta_second", "adam", {"beta1": 0.9, "beta2": 0.999, "eps": 1e-8}, 2, ""),
    ("old_rate", "momentum", {"mu": 0.9}, 6, "every change of the learning rate comes a step late"),
    ("clipped", "momentum", {"mu": 0.9}, 1, "every gradient is clipped to ±1"),
    ("stale", "sgd", {}, 4, ""),
)
