"""The two-layer network by hand, against torch's own modules, in its fast form, and trained."""

import itertools
from dataclasses import replace

import numpy as np
import pytest
import torch
import torch.nn.functional as F

import ref.two_layer
from compare import lockstep, models
from compare.check import check, generator
from compare.cli import main
from compare.data import from_arrays
from compare.pairs import select
from compare.parties import Plan
from compare.records import Verdict
from compare.telling import settings_line
from scratch import fused_two_layer, two_layer

FORMS = {"textbook": two_layer.objective, "fused": fused_two_layer.objective}


def draw(N=9, D=6, H=5, C=4, dtype=np.float64, seed=0):
    rng = np.random.default_rng(seed)
    params = {name: p.astype(dtype) for name, p in two_layer.init(rng, D, H, C).items()}
    for name, p in params.items():
        if name.startswith("b"):
            p += rng.normal(0, 0.5, p.shape).astype(dtype)
    return params, rng.normal(0, 1, (N, D)).astype(dtype), rng.integers(0, C, N)


@pytest.mark.parametrize("objective", FORMS.values(), ids=FORMS)
def test_by_hand(objective):
    """Two hidden units, one of them off; scores equal, so both classes have probability ½."""
    params = {
        "W1": np.array([[1.0, -1.0]]), "b1": np.array([1.0, 0.0]),
        "W2": np.array([[1.0, 1.0], [5.0, 7.0]]), "b2": np.zeros(2),
    }  # fmt: skip
    value, grads = objective(params, np.array([[2.0]]), np.array([0]), reg=0.5)
    assert value == pytest.approx(np.log(2) + 0.5 * (2 + 76), rel=1e-15)  # 1 + 1 and 1 + 1 + 25 + 49
    # hidden (3, 0); dscores (-½, ½); dW2 = hiddenᵀ dscores + W2; dhidden = (0, 1), of which the unit off passes none
    assert grads["W2"].tolist() == [[-0.5, 2.5], [5, 7]]
    assert grads["b2"].tolist() == [-0.5, 0.5]
    assert grads["W1"].tolist() == [[1, -1]]
    assert grads["b1"].tolist() == [0, 0]


def torch_answer(params, X, y, reg):
    """torch's modules with weights copied in, written here on their own."""
    widths = [X.shape[1], *(len(p) for name, p in params.items() if name.startswith("b"))]
    linear = [torch.nn.Linear(n, m, dtype=torch.float64) for n, m in itertools.pairwise(widths)]
    out = torch.from_numpy(X)
    for k, layer in enumerate(linear, start=1):
        layer.weight.data = torch.from_numpy(params[f"W{k}"]).T.contiguous()
        layer.bias.data = torch.from_numpy(params[f"b{k}"])
        out = layer(out)
        out = F.relu(out) if k < len(linear) else out
    loss = F.cross_entropy(out, torch.from_numpy(y)) + reg * sum((layer.weight**2).sum() for layer in linear)
    loss.backward()
    grads = {}
    for k, layer in enumerate(linear, start=1):
        grads[f"W{k}"], grads[f"b{k}"] = layer.weight.grad.T.numpy(), layer.bias.grad.numpy()
    return loss.item(), grads


@pytest.mark.parametrize("objective", FORMS.values(), ids=FORMS)
@pytest.mark.parametrize("hidden", [1, 5, (7,), (5, 4), (6, 3, 5)])
def test_agrees_with_torchs_own_modules_for_any_number_of_layers(objective, hidden):
    params, X, y = draw(H=hidden)
    expected, dexpected = torch_answer(params, X, y, 0.1)
    value, grads = objective(params, X, y, reg=0.1)
    assert value == pytest.approx(expected, rel=1e-13)
    assert set(grads) == set(params)
    for name, grad in dexpected.items():
        np.testing.assert_allclose(grads[name], grad, rtol=1e-11, atol=1e-14, err_msg=name)


@pytest.mark.parametrize("penalty", ["l2", "l1", "elastic_net"])
@pytest.mark.parametrize("decay_bias", [False, True])
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_the_fast_form_is_the_textbook(penalty, decay_bias, dtype):
    network = fused_two_layer.Network(dtype)
    for N, H in ((40, (9,)), (17, (9,)), (60, (9,)), (20, (8, 3))):  # buffers serve fewer rows, and grow
        params, X, y = draw(N, 30, H, dtype=dtype)
        value, grads = network(params, X, y, 0.3, penalty, decay_bias)
        expected, dexpected = two_layer.objective(params, X, y, 0.3, penalty, decay_bias)
        gamma = 100 * float(np.finfo(dtype).eps)  # sums of at most 60 terms, three products deep
        assert value.dtype == dtype
        assert value == pytest.approx(expected, rel=gamma)
        for name, grad in dexpected.items():
            assert grads[name].dtype == dtype
            np.testing.assert_allclose(grads[name], grad, rtol=gamma, atol=gamma * np.abs(grad).max(), err_msg=name)


@pytest.mark.parametrize("objective", FORMS.values(), ids=FORMS)
def test_inputs_are_only_read(objective):
    params, X, y = draw()
    for array in (*params.values(), X, y):
        array.setflags(write=False)
    objective(params, X, y, reg=0.1, decay_bias=True)


@pytest.mark.parametrize("objective", FORMS.values(), ids=FORMS)
def test_labels_that_name_no_class_are_refused(objective):
    params, X, y = draw()
    for wrong in (y + 4, y - 4, y[:3], y.astype(float)):
        with pytest.raises(ValueError, match="y"):
            objective(params, X, wrong)
    with pytest.raises(KeyError):
        objective(params, X, y, reg=1.0, penalty="l3")


def test_another_dtype_is_refused():
    with pytest.raises(ValueError, match="float32 or float64"):
        fused_two_layer.Network(np.int64)


@pytest.mark.parametrize(("scheme", "variance"), [("he", 2 / 400), ("xavier", 2 / 700)])
def test_start_weights_have_the_variance_of_their_scheme_and_are_the_same_on_both_sides(scheme, variance):
    mine = two_layer.init(np.random.default_rng(0), 400, 300, 10, scheme)
    theirs = ref.two_layer.init(np.random.default_rng(0), 400, 300, 10, scheme)
    assert list(mine) == ["W1", "b1", "W2", "b2"]
    for name, p in mine.items():
        np.testing.assert_array_equal(p, theirs[name].numpy())
    assert mine["W1"].var() == pytest.approx(variance, rel=5 * np.sqrt(2 / mine["W1"].size))
    assert not mine["b1"].any()
    with pytest.raises(KeyError):
        two_layer.init(np.random.default_rng(0), 4, 3, 2, "she")


def test_he_keeps_the_size_of_activations_through_ten_layers():
    """Each hidden layer's mean square stays near the input's; with half the variance it would fall by 2^-9."""
    rng = np.random.default_rng(0)
    params = two_layer.init(rng, 300, [300] * 9, 10)
    outs = two_layer.outputs(params, rng.normal(0, 1, (200, 300)))
    assert len(outs) == 10
    assert 0.5 < np.mean(np.maximum(outs[8], 0) ** 2) < 2


def test_hidden_is_what_enters_the_relus():
    params, X, _ = draw(H=(5, 3))
    first = X @ params["W1"] + params["b1"]
    np.testing.assert_allclose(two_layer.hidden(params, X)[: first.size], first.ravel(), rtol=1e-12)
    tensors = {name: torch.from_numpy(p) for name, p in params.items()}
    theirs = ref.two_layer.hidden(tensors, torch.from_numpy(X)).numpy()
    assert len(theirs) == 9 * (5 + 3)
    np.testing.assert_allclose(two_layer.hidden(params, X), theirs, rtol=1e-11, atol=1e-14)


def test_both_sides_tell_the_same_flow():
    params, X, y = draw(H=(5, 3))
    mine = two_layer.flow(params, X, y)
    tensors = {name: torch.from_numpy(p) for name, p in params.items()}
    theirs = ref.two_layer.flow(tensors, torch.from_numpy(X), torch.from_numpy(y))
    for a, b in zip((*mine[0], *mine[1]), (*theirs[0], *theirs[1]), strict=True):
        np.testing.assert_allclose(a, b.detach().numpy(), rtol=1e-11, atol=1e-14)
    assert [dout.shape for dout in mine[1]] == [(9, 5), (9, 3), (9, 4)]


@pytest.mark.parametrize("name", ["two_layer", "fused_two_layer"])
def test_the_pair_agrees_with_three_witnesses(name):
    (pair,) = select([name])
    for case in pair.cases(generator(0, name)):
        if case.name in ("typical", "at a kink"):
            for dtype in ("float32", "float64"):
                assert {f.verdict for f in check(pair, case, dtype)} == {Verdict.AGREE}, case.name


# trained


def images(count=160):
    rng = np.random.default_rng(0)
    labels = rng.integers(0, 3, count)
    pixels = rng.integers(0, 120, (count, 6, 6, 3)) + 60 * labels[:, None, None, None]
    return from_arrays(pixels.astype(np.uint8), labels)


PLAN = Plan("two-layer", "momentum", "cosine", 3, 16, 0.05, 2e-3, "l2", hidden=(12,))


def steps(plan, count=None):
    records = (r for r in lockstep.train(plan, images()) if isinstance(r, lockstep.Step))
    return list(itertools.islice(records, count))


@pytest.mark.parametrize("schedule", list(models.schedules("scratch")))
@pytest.mark.parametrize("rule", list(models.rules("scratch")))
def test_it_trains_in_lockstep_under_every_rule_and_schedule(rule, schedule):
    lr = models.model("two-layer").lr[rule]
    last = steps(replace(PLAN, rule=rule, schedule=schedule, lr=lr), 10)[-1]
    assert (last.step, last.flagged) == (10, None)


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_it_learns_in_lockstep(dtype):
    taken = steps(replace(PLAN, dtype=dtype))
    assert taken[-1].flagged is None
    assert taken[-1].scratch.params["W1"].shape == (108, 12)
    assert taken[-1].scratch.loss < taken[0].scratch.loss / 2


@pytest.mark.parametrize("init", ["he", "xavier"])
@pytest.mark.parametrize("hidden", [(9, 5), (7, 6, 5)])
def test_more_layers_train_in_lockstep(hidden, init):
    last = steps(replace(PLAN, hidden=hidden, init=init, augment="flip"))[-1]
    assert last.flagged is None
    assert [p.shape[1] for name, p in last.ref.params.items() if name.startswith("W")] == [*hidden, 3]


def test_a_relu_that_passes_half_is_flagged(monkeypatch):
    """A unit that is off lets half of its gradient through: a fault of kinks, which no crossing excuses."""

    def leaks(dout, cache):
        return {"X": dout * np.where(cache, 1, 0.5).astype(dout.dtype)}

    monkeypatch.setattr(two_layer, "relu_backward", leaks)
    monkeypatch.setattr(models, "scratch_objective", lambda *_: two_layer.objective)
    flags = [r.flagged for r in lockstep.train(replace(PLAN, epochs=1), images()) if isinstance(r, lockstep.Step)]
    assert flags[-1] is not None
    assert flags[-1].step == 1
    assert flags[-1].stage == "gradient"


def test_the_model_knows_its_widths():
    start = models.start(models.model("two-layer"), np.random.default_rng(0), 12, 3, (7,))
    assert {name: p.shape for name, p in start.items()} == {"W1": (12, 7), "b1": (7,), "W2": (7, 3), "b2": (3,)}
    assert set(models.start(models.model("softmax"), np.random.default_rng(0), 12, 3)) == {"W", "b"}


def test_xavier_starts_smaller_than_he():
    """Between 12 and 7 units: variance 2/19 instead of 2/12."""
    chosen = models.model("two-layer")
    he, xavier = (models.start(chosen, np.random.default_rng(0), 12, 3, (7,), scheme) for scheme in ("he", "xavier"))
    np.testing.assert_allclose(xavier["W1"], he["W1"] * np.sqrt(12 / 19), rtol=1e-14)


def refused(capsys, *arguments):
    with pytest.raises(SystemExit, match="2"):
        main(["train", *arguments, "--no-log"])
    return capsys.readouterr().err


@pytest.mark.parametrize("hidden", ["0", "-1", "", "100,", "100,x", "1.5", "1" * 5000])
def test_hidden_units_that_are_no_numbers_are_refused(hidden, capsys):
    told = refused(capsys, "two-layer", f"--hidden={hidden}")
    assert f"--hidden {hidden}: whole numbers from 1 to 999999, such as 100 or 100,50" in told


@pytest.mark.parametrize("given", ["--hidden=5", "--init=he"])
def test_options_of_a_network_are_refused_for_a_linear_model(given, capsys):
    assert "for a network only; softmax has no hidden layer" in refused(capsys, "softmax", given)


@pytest.mark.parametrize(("given", "near"), [("--init=hee", "he"), ("--augment=flips", "flip")])
def test_an_unknown_start_or_augmentation_names_the_closest(given, near, capsys):
    assert f"did you mean {near}" in refused(capsys, "two-layer", given)


@pytest.mark.parametrize(
    ("hidden", "title"),
    [((200,), "two-layer network (200 hidden units, he)"), ((9, 5), "3-layer network (9, 5 hidden units, he)"),
     ((50,) * 29, "30-layer network (29 × 50 hidden units, he)")],
)  # fmt: skip
def test_a_network_is_told_by_its_layers(hidden, title):
    assert settings_line(replace(PLAN, hidden=hidden), 16, 21).startswith(f"{title}: momentum, lr 0.05")
