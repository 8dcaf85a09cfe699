"""How update rules may be written: what is recognised, how the learning rate is found, what is refused."""

import sys
from pathlib import Path

import numpy as np
import pytest

from compare import forms
from compare.calls import Wish
from compare.plugin import executed
from compare.records import Refusal
from compare.user import User

CODE = """
import functools
import numpy as np

def course(w, dw, config=None):
    config = config or {}
    w -= config.setdefault('learning_rate', 1e-2) * dw
    return w, config

def other_key(w, dw, config):
    return w - config['eta'] * dw, config

def arrays(w, dw, v, lr, mu=0.9):
    v = mu * v - lr * dw
    return w + v, v

def counted(w, g, t, lr):
    return w - lr * g / t

def counted_and_returned(w, g, v, t, lr):
    return w - lr * g / t, v + g, t + 1

def swapped(grad, param, lr):
    return param - lr * grad

def in_place(params, grads, lr):
    for name in params:
        params[name] -= lr * grads[name]

def listed(params, grads, lr):
    for p, g in zip(params, grads):
        p -= lr * g

def listed_anew(params, grads, lr):
    return [p - lr * g for p, g in zip(params, grads)]

def stateful(param, grad, state, lr):
    state['v'] = 0.9 * state.get('v', 0) + grad
    param -= lr * state['v']

def none_at_first(w, g, state=None, lr=0.1):
    v = 0 if state is None else state[0]
    v = 0.9 * v + g
    return w - lr * v, (v,)

def update_only(grad, state, lr):
    return -lr * grad

def alpha_is_the_rate(w, g, alpha):
    return w - alpha * g

def keywords(w, *, grad, lr):
    return w - lr * grad

partial = functools.partial(arrays, mu=0.5)

_seen = 0
def in_globals(w, g, lr):
    global _seen
    _seen = 0.5 * _seen + g
    return w - lr * _seen

class Plain:
    def __init__(self, lr=0.01):
        self.lr = lr
    def update(self, params, grads):
        for name in params:
            params[name] -= self.lr * grads[name]

class Holding:
    def __init__(self, params, step_size):
        self.param_groups = [{'params': params, 'rate': step_size}]
    def step(self, grads):
        for group in self.param_groups:
            for p, g in zip(group['params'], grads):
                p -= group['rate'] * g

class Slotted:
    __slots__ = ('lr',)
    def __init__(self, lr):
        self.lr = lr
    def __call__(self, w, g):
        return w - self.lr * g

made = Plain(0.5)

class Rule:
    alpha = 0.9
    def init(self, param):
        return {'c': np.ones_like(param)}
    def update(self, param, grad, state, lr):
        state['c'] *= self.alpha
        param -= lr * grad * state['c']

class Decayed:
    def __init__(self, lr, strength):
        self.lr, self.strength = lr, strength
    def step(self, w, g):
        return w - self.lr * (g + self.strength * w)

def random(w, g, lr): return w - lr * g * np.random.rand()
def no_rate(w, g): return w - 0.1 * g
def constant(w, g, lr): return w - 0.1 * g
def still(w, g, lr): return w
def scalar(w, g, lr): return w.sum()
def infinite(w, g, lr): return w / 0
def whole(w, g, lr): return (w - lr * g).astype(int)
def needs_mu(w, g, lr, mu): return w - lr * g
def breaks(w, g, lr): return w - lr * undefined
def named(w, g, speed): return w - speed * g
"""
# name -> form, and the weights after two steps from 1 with gradient 1 and learning rates 0.1, 0.2
UNDERSTOOD = {
    "course": ("config", [0.9, 0.7]),
    "other_key": ("config", [0.9, 0.7]),
    "arrays": ("arrays", [0.9, 0.9 - 0.09 - 0.2]),
    "counted": ("arrays", [0.9, 0.8]),
    "counted_and_returned": ("arrays", [0.9, 0.8]),
    "swapped": ("arrays", [0.9, 0.7]),
    "in_place": ("arrays", [0.9, 0.7]),
    "listed": ("arrays", [0.9, 0.7]),
    "listed_anew": ("arrays", [0.9, 0.7]),
    "stateful": ("state", [0.9, 0.9 - 0.38]),
    "none_at_first": ("state", [0.9, 0.9 - 0.38]),
    "update_only": ("state", [0.9, 0.7]),
    "alpha_is_the_rate": ("arrays", [0.9, 0.7]),
    "keywords": ("arrays", [0.9, 0.7]),
    "partial": ("arrays", [0.9, 0.9 - 0.05 - 0.2]),
    "in_globals": ("arrays", [0.9, 0.9 - 0.3]),
    "Plain": ("object", [0.9, 0.7]),
    "Holding": ("object", [0.9, 0.7]),
    "Slotted": ("object", [0.9, 0.7]),
    "made": ("object", [0.9, 0.7]),
    "Rule": ("rule", [0.91, 0.91 - 0.2 * 0.81]),
}


@pytest.fixture
def user(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    """One name of the file, held in this very process."""
    monkeypatch.setattr(sys, "path", list(sys.path))
    path = tmp_path / "mine.py"
    path.write_text(CODE, encoding="utf-8")
    return lambda name: User(f"{path}:{name}", executed(path))


def run(me: User, wish: Wish, lr: tuple[float, ...] = (0.1, 0.2)):
    return forms.path(me, wish, np.ones((2, 3)), np.ones((len(lr), 2, 3)), np.array(lr))


@pytest.mark.parametrize("name", UNDERSTOOD)
def test_a_form_is_recognised_and_followed(user, name: str) -> None:
    form, expected = UNDERSTOOD[name]
    me = user(name)
    assert forms.taken(me, Wish({}))[0] == form
    for _ in range(2):  # each run starts afresh
        path, error = run(me, Wish({}))
        assert error == ""
        assert path[:, 1, 2] == pytest.approx(expected, rel=1e-14)


def test_how_it_was_taken_is_said(user) -> None:
    told = {name: forms.taken(user(name), Wish({}))[1] for name in ("course", "in_place", "Plain", "in_globals")}
    assert told == {
        "course": "course(w, dw, config), config from {}, the rate is config['learning_rate']",
        "in_place": "in_place(params, grads, lr), parameters in a dict, the rate is lr",
        "Plain": "Plain(lr).update(params, grads), parameters in a dict, the rate is set on the object",
        "in_globals": "in_globals(w, g, lr), the rate is lr; it keeps its state in globals",
    }


def test_settings_reach_arguments_constructors_and_configs(user) -> None:
    assert run(user("arrays"), Wish({"mu": 0.5}))[0][1, 0, 0] == pytest.approx(0.9 - 0.05 - 0.2)
    assert run(user("Decayed"), Wish({"strength": 2.0}))[0][0, 0, 0] == pytest.approx(1 - 0.1 * 3)
    assert forms.taken(user("named"), Wish({}, rate="speed"))[0] == "arrays"


def test_scratchs_own_interface_is_offered(user) -> None:
    rule = forms.Rule(user("stateful"), Wish({}))
    param = np.ones((2, 2), np.float32)
    state = rule.init(param)
    for lr in (0.1, 0.2):
        rule.update(param, np.ones_like(param), state, lr)
    assert param.dtype == np.float32
    assert param[0, 0] == pytest.approx(0.9 - 0.38, rel=1e-6)


@pytest.mark.parametrize(
    ("name", "told"),
    [
        ("random", "two identical runs gave two paths"),
        ("no_rate", "no_rate(w, g) has no learning rate (learning_rate, lr, eta, or --rate NAME)"),
        ("named", "named(w, g, speed) has no learning rate"),
        ("constant", "the learning rate changes nothing"),
        ("still", "it changes nothing"),
        ("scalar", "it returns float64 where array of shape (3, 2) is expected"),
        ("infinite", "it gives numbers that are not finite"),
        ("whole", "it gives int64 for float64"),
        ("needs_mu", "argument mu has no default: give it a value, --set mu="),
        ("Decayed", "argument strength has no default"),
        ("breaks", "NameError: name 'undefined' is not defined"),
    ],
)
def test_what_is_not_understood_is_refused_with_the_reason(user, name: str, told: str) -> None:
    with pytest.raises(Refusal) as refused:
        forms.taken(user(name), Wish({}))
    assert told in str(refused.value)
    assert "\n" not in str(refused.value)


def test_a_form_can_be_insisted_on(user) -> None:
    assert forms.taken(user("course"), Wish({}, form="config"))[0] == "config"
    with pytest.raises(Refusal, match="has not the form torch"):
        forms.taken(user("course"), Wish({}, form="torch"))
