import importlib.util
import math
import re
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from compare import family, forms, in_torch, in_words
from compare.calls import Wish
from compare.fitting import seen, simplest
from compare.guest import User
from compare.infer import _plainest, infer
from compare.judging import Inferred, judge
from compare.plugin import executed
from compare.probes import GROUPS, probe

_spec = importlib.util.spec_from_file_location("user_rules", Path(__file__).with_name("user_rules.py"))
user_rules = importlib.util.module_from_spec(_spec)
_spec.loader.exec_module(user_rules)

PROBE = probe()


@pytest.fixture
def user(tmp_path, monkeypatch):
    """A user's file, held in this very process."""
    monkeypatch.setattr(sys, "path", list(sys.path))

    def write(text, name):
        path = tmp_path / "my_optim.py"
        path.write_text(text, encoding="utf-8")
        return User(f"{path}:{name}", executed(path))

    return write


def observed(user, dtype=np.float64):
    path, error = forms.path(user, Wish({}), PROBE.param.astype(dtype), PROBE.grads.astype(dtype), PROBE.lr)
    assert not error
    return path


@pytest.mark.parametrize("rule", user_rules.RULES, ids=[r[1] for r in user_rules.RULES])
def test_the_convention_of_a_rule_as_people_write_it(rule, user):
    source, name, form, facets, values, call, note = rule
    me = user(source, name)
    assert forms.taken(me, Wish({}))[0] == form
    found = infer(PROBE, observed(me))
    assert found.found
    assert not found.imprecise
    assert {n: getattr(found.convention, n) for n in facets} == facets
    told = in_words.filled(found.convention, found.values)
    assert {n: told[n] for n in values} == pytest.approx(values, rel=1e-12)
    torchs = in_torch.call(found.convention, found.values)
    assert torchs.text == call
    assert note in torchs.note
    assert max(j.noise_units for j in found.judged) < 5
    assert [j.group for j in found.judged] == list(GROUPS)


@pytest.mark.parametrize("fault", user_rules.FAULTY, ids=[f[0] for f in user_rules.FAULTY])
def test_a_rule_with_a_fault_is_unknown_and_parts_at_its_step(fault, user):
    name, rule, values, step, guess = fault
    found = infer(PROBE, observed(user(user_rules.FAULTS, name)))
    assert not found.found
    assert found.convention.rule == rule
    assert found.parts.step == step
    assert found.parts.noise_units > 1e6
    assert found.guess == guess
    assert 0.1 < found.share < 1
    assert dict(found.values) == pytest.approx(values, rel=1e-6)


def test_float32_inside_is_told_and_float32_outside_is_judged_as_such(user):
    source = """
import numpy as np
def inside(w, g, state, lr):
    state['v'] = (0.9 * state.get('v', np.zeros(w.shape, np.float32)) + g).astype(np.float32)
    return w - lr * state['v'], state
def plain(w, g, v, lr):
    v = 0.9 * v + g
    return w - np.float32(lr) * v, v
"""
    found = infer(PROBE, observed(user(source, "inside")))
    assert (found.found, found.imprecise, dict(found.values)) == (True, True, {"mu": 0.9})
    path = observed(user(source, "plain"), np.float32)
    assert path.dtype == np.float32
    found = infer(PROBE, path)
    assert (found.found, found.imprecise, found.convention.decay, dict(found.values)) == (True, False, "", {"mu": 0.9})


@pytest.mark.parametrize("off", [1e-9, 1e-6, 1e-3])
def test_a_hyperparameter_a_little_off_is_no_round_number(off):
    c = family.Convention("adam", ("beta1", "beta2", "eps"), corrected="mv")
    beta = 0.9 + off
    path = np.stack(family.path(c, {"beta1": beta, "beta2": 0.999, "eps": 1e-8}, PROBE.param, PROBE.grads, PROBE.lr))
    found = infer(PROBE, path)
    assert found.found
    assert found.values["beta1"] == pytest.approx(beta, rel=1e-12)
    assert found.values["beta1"] != 0.9
    assert (found.values["beta2"], found.values["eps"]) == (0.999, 1e-8)


def test_a_convention_that_is_a_little_off_is_judged_off():
    c = family.Convention("momentum", ("mu",))
    path = np.stack(family.path(c, {"mu": 0.9}, PROBE.param, PROBE.grads, PROBE.lr))
    s = seen(PROBE.names, PROBE.param, PROBE.grads, PROBE.lr, path)
    assert max(j.noise_units for j in judge(c, {"mu": 0.9}, s)) < 1
    assert max(j.noise_units for j in judge(c, {"mu": 0.9 + 1e-13}, s)) > 5


@pytest.mark.parametrize(
    ("value", "tolerance", "decimal"),
    [(0.8999999999999997, 1e-9, 0.9), (0.99900001, 1e-9, 0.99900001), (0.99900001, 1e-4, 0.999),
     (1.0000000002e-8, 1e-9, 1e-8)],
)  # fmt: skip
def test_the_simplest_decimal(value, tolerance, decimal):
    assert simplest(value, tolerance * value) == decimal


@pytest.mark.parametrize(
    ("c", "values", "plain"),
    [
        (family.Convention("momentum", ("mu", "first", "gain"), "inside"), {"mu": 0.9, "first": 1.0, "gain": 1.0},
         family.Convention("momentum", ("mu",), "inside")),
        (family.Convention("momentum", ("mu", "decay"), decay="coupled"), {"mu": 0.0, "decay": 0.0},
         family.Convention("sgd", ())),
        (family.Convention("momentum", ("mu", "first", "gain")), {"mu": 0.0, "first": 0.5, "gain": 0.3}, None),
        (family.Convention("rmsprop", ("alpha", "eps", "mu"), "inside", buffer=True),
         {"alpha": 0.9, "eps": 0.1, "mu": 0.0}, family.Convention("rmsprop", ("alpha", "eps"))),
        (family.Convention("adagrad", ("eps", "start")), {"eps": 0.1, "start": 0.0},
         family.Convention("adagrad", ("eps",))),
        (family.Convention("adam", ("beta1", "beta2", "eps"), corrected="mv"),
         {"beta1": 0.0, "beta2": 0.9, "eps": 0.1}, None),
    ],
)  # fmt: skip
def test_what_does_nothing_is_left_out(c, values, plain):
    told = _plainest(Inferred(c, values, (), True))
    assert told.convention == (plain or c)
    assert set(told.values) == set(told.convention.free)
    if plain:  # and it does the same
        before = family.path(c, values, PROBE.param, PROBE.grads, PROBE.lr)
        after = family.path(told.convention, told.values, PROBE.param, PROBE.grads, PROBE.lr)
        assert np.stack(before) == pytest.approx(np.stack(after), rel=1e-12, abs=1e-300)


# --- torch's call does what the convention does ---

VALUES = {"mu": 0.9, "first": 0.5, "gain": 0.3, "eps": 1e-3, "start": 0.1, "lr_decay": 0.02, "alpha": 0.95,
          "beta1": 0.8, "beta2": 0.99, "decay": 0.05}  # fmt: skip
ALL = [
    replace(c, decay=decay, free=(*c.free, "decay") if decay else c.free, climbs=climbs)
    for kind in (family.linear, family.adaptive)
    for c in kind()
    for decay in ("", *family.DECAYS)
    for climbs in (False, True)
]
EXPRESSIBLE = [c for c in ALL if in_torch.call(c, VALUES).text]


def by_torch(c, calls):
    """The path of torch's own optimizer over the probe; calls is what lies open, done by hand."""
    p = torch.nn.Parameter(torch.from_numpy(PROBE.param.copy()))
    make = eval(f"lambda params, lr, torch: {calls.text}", {})  # noqa: S307 # our own words, which are to be run
    optimizer, last = make([p], float(PROBE.lr[0]), torch), float(PROBE.lr[0])
    scale = optimizer.param_groups[0]["lr"] / last
    out = []
    for grad, lr in zip(PROBE.grads, map(float, PROBE.lr), strict=True):
        group = optimizer.param_groups[0]
        group["lr"] = scale * lr
        if c.decay == "unscaled":
            group["weight_decay"] = VALUES["decay"] / lr
        if c.rate == "inside" and lr != last:
            optimizer.state[p]["momentum_buffer"].mul_(last / lr)
        last = lr
        p.grad = torch.from_numpy(grad.copy())
        optimizer.step()
        out.append(p.detach().numpy().copy())
    return np.stack(out)


def test_there_are_conventions_of_either_kind():
    assert len(EXPRESSIBLE) > 40
    assert len(ALL) - len(EXPRESSIBLE) > 40


@pytest.mark.parametrize("c", [c for c in EXPRESSIBLE if not (c.climbs and c.decay)], ids=repr)
def test_torchs_call_does_what_the_convention_does(c):
    values = {n: VALUES[n] for n in c.free}
    s = seen(PROBE.names, PROBE.param, PROBE.grads, PROBE.lr, by_torch(c, in_torch.call(c, values)))
    assert max(j.noise_units for j in judge(c, values, s)) < 5


def test_what_is_inexpressible_has_its_reason():
    notes = [in_torch.call(c, VALUES).note for c in ALL if not in_torch.call(c, VALUES).text]
    assert min(map(len, notes)) > 40


def test_every_convention_has_its_words():
    for c in ALL:
        told = in_words.told(c, {n: VALUES[n] for n in c.free})
        assert "θ ← θ + " if c.climbs else "θ ← θ − " in told.formula
        assert ("λ = 0.05" in told.facets["weight decay"]) == bool(c.decay)
        for name in set(c.free) & {"mu", "alpha", "beta1", "beta2"}:
            assert re.search(rf"{in_words.SIGNS[name]} = {VALUES[name]}", told.facets["hyperparameters"])


def test_a_first_step_against_hand():
    """θ = 2, g = 3, η = 0.1: by hand."""
    x = VALUES
    expected = {
        ("sgd", "", ""): 2 - 0.3,
        ("nesterov", "", ""): 2 - 0.1 * (3 + 0.9 * 3),
        ("adagrad", "outside", ""): 2 - 0.1 * 3 / (3 + 1e-3),
        ("rmsprop", "inside", ""): 2 - 0.1 * 3 / math.sqrt(0.05 * 9 + 1e-3),
        ("adam", "before", "mv"): 2 - 0.1 * math.sqrt(0.01) / 0.2 * (0.2 * 3) / (math.sqrt(0.01 * 9) + 1e-3),
        ("adam", "outside", "mv"): 2 - 0.1 * 3 / (3 + 1e-3),
        ("adam", "outside", ""): 2 - 0.1 * 0.6 / (0.3 + 1e-3),
    }
    for (rule, eps, corrected), after in expected.items():
        c = family.Convention(rule, (), eps=eps or "outside", corrected=corrected)
        assert family.path(c, x, 2.0, [3.0], [0.1]) == [pytest.approx(after, rel=1e-14)]
