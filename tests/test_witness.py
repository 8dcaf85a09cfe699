"""The third witness: whom it sides with, and when it cannot tell."""

from dataclasses import replace

import numpy as np
import pytest

from compare import check, data, sanity
from compare.kinds import ask_ref, value_of
from compare.pairs import TABLE
from compare.records import Case, Verdict
from compare.witness import FULL, Numerical

PAIR = {p.name: p for p in TABLE}


def asked(name, case=None, exact=False):
    """The witness, and the true gradients."""
    case = case or next(iter(PAIR[name].cases(check.generator(0, name), None)))
    case = replace(case, exact=exact)
    return Numerical(PAIR[name], case, np.random.default_rng(0)), ask_ref(PAIR[name], case).quantities()


NAMES = ["softmax", "hinge", "l2", "elastic_net", "affine", "softmax_objective", "svm_objective"]


@pytest.mark.parametrize("name", NAMES)
def test_a_right_gradient_has_its_consent(name):
    witness, truth = asked(name)
    for quantity, t in truth.items():
        entry = (0,) * np.ndim(t)
        heard = witness.hear(quantity, t, t, entry)
        if quantity == "value":
            assert heard is None
            continue
        assert heard.verdict is Verdict.AGREE, heard.message
        assert heard.value == pytest.approx(t[entry], rel=1e-5, abs=1e-9)


@pytest.mark.parametrize("name", NAMES)
def test_a_single_wrong_entry_is_found_and_the_ref_is_believed(name):
    witness, truth = asked(name)
    for quantity, t in truth.items():
        if quantity != "value":
            entry = tuple(n // 2 for n in t.shape)
            wrong = t.copy()
            wrong[entry] += 0.3 * np.abs(t).max()
            heard = witness.hear(quantity, wrong, t, entry)
            assert heard.verdict is Verdict.DIFFER
            assert f"at {list(entry)}" in heard.message
            assert heard.value == pytest.approx(t[entry], rel=1e-5, abs=1e-9)
            if t.size <= FULL or name.endswith("objective"):
                assert "sides with ref: scratch's derivative is wrong (1 entries" in heard.message


def test_when_both_sides_are_wrong_it_says_so():
    witness, truth = asked("softmax_objective")
    heard = witness.hear("db", 2 * truth["db"], 2 * truth["db"], (0,))
    assert heard.verdict is Verdict.DIFFER
    assert "sides with neither side" in heard.message


def test_the_convention_at_an_exact_kink_is_left_to_the_ref():
    """Every value between the one-sided slopes is a subgradient: here the witness has no objection to either."""
    scores, y = np.array([[2.0, 1.0, -3.0]]), np.array([0])
    case = Case("tied", {"scores": scores, "y": y}, ("scores",))
    witness, truth = asked("hinge", case, exact=True)
    for claim in (truth["dscores"], np.array([[-1.0, 1.0, 0.0]]), np.array([[-0.5, 0.5, 0.0]])):
        assert witness.hear("dscores", claim, truth["dscores"], (0, 1)).verdict is Verdict.AGREE
    for claim in (np.array([[0.0, 1.2, 0.0]]), np.array([[0.0, 0.0, 0.1]])):
        assert witness.hear("dscores", claim, truth["dscores"], (0, 1)).verdict is Verdict.DIFFER


def test_a_layer_whose_terms_are_all_negative_drowns_in_no_rounding_of_zero():
    """Σ dout · out is minus the size of its terms here: added once, the size would leave a value of 0."""
    inputs = {"X": np.full((1, 7), 2.1), "W": np.full((7, 2), 0.3), "b": np.array([33.1, 12.7]),
              "dout": np.full((1, 2), -0.0034)}  # fmt: skip
    witness, truth = asked("affine", Case("all negative", inputs, ("X", "W", "b")))
    for quantity in ("dX", "dW", "db"):
        entry = (0,) * truth[quantity].ndim
        heard = witness.hear(quantity, truth[quantity], truth[quantity], entry)
        assert heard.verdict is Verdict.AGREE
        assert heard.value == pytest.approx(truth[quantity][entry], rel=1e-9)
    assert value_of(PAIR["affine"], Case("", inputs, ("b",)))(inputs) == pytest.approx(
        0.0034 * (2 * 2.1 * 0.3 * 7 + 33.1 + 12.7)
    )


@pytest.mark.parametrize("classes", [3, 300])
def test_too_many_kinks_are_inconclusive_unless_they_were_meant(classes):
    scores = np.zeros((1, classes))
    scores[0, 0] = 1.0  # every margin is 0: few coordinates are all differentiated, many are searched in blocks
    case = Case("tied", {"scores": scores, "y": np.array([0])}, ("scores",))
    for exact, verdict in ((False, Verdict.INCONCLUSIVE), (True, Verdict.AGREE)):
        witness, truth = asked("hinge", case, exact)
        assert witness.hear("dscores", truth["dscores"], truth["dscores"], (0, 0)).verdict is verdict


def test_every_coordinate_of_a_linear_model_is_worked_out_once(monkeypatch):
    from scratch import numgrad_linear

    calls = []
    own = numgrad_linear.linear_gradient
    monkeypatch.setattr(numgrad_linear, "linear_gradient", lambda *a, **k: calls.append(1) or own(*a, **k))
    witness, truth = asked("svm_objective")
    for quantity in ("dW", "db", "dW"):
        witness.hear(quantity, truth[quantity], truth[quantity], (0,) * truth[quantity].ndim)
    assert len(calls) == 1


# Images, every coordinate: 3,072 weights a class, and a margin here and there within a step of its kink.


@pytest.fixture(scope="module")
def on_images():
    """The hinge objective on 60 built-in images, as verify asks it with --images 60, and its witness."""
    batch = sanity.batch_of(data.load("synthetic", None, 0), 0, 60)
    cases = PAIR["svm_objective"].cases(check.generator(0, "svm_objective"), batch)
    case = next(c for c in cases if c.name == "images")
    witness = Numerical(PAIR["svm_objective"], case, np.random.default_rng(0))
    return case, witness, ask_ref(PAIR["svm_objective"], case).quantities()


def test_every_coordinate_on_images_is_right_and_few_lie_at_a_kink(on_images):
    _, witness, truth = on_images
    heard = {q: witness.hear(q, truth[q], truth[q], (0,) * truth[q].ndim) for q in ("dW", "db")}
    assert {h.verdict for h in heard.values()} == {Verdict.AGREE}
    assert (heard["dW"].slopes, heard["db"].slopes) == (30720, 10)
    assert sum(h.unjudged for h in heard.values()) < 0.005 * 30730


def test_the_true_class_forgotten_is_seen_on_images(on_images):
    case, witness, truth = on_images
    x = case.inputs
    scores = x["X"] @ x["W"] + x["b"]
    rows = np.arange(len(x["y"]))
    violated = (scores - scores[rows, x["y"]][:, None] + 1 > 0).astype(float)
    violated[rows, x["y"]] = 0
    forgotten = x["X"].T @ violated / len(rows) + 2 * case.options["reg"] * x["W"]
    heard = witness.hear("dW", forgotten, truth["dW"], (0, 0))
    assert heard.verdict is Verdict.DIFFER
    assert "sides with ref: scratch's derivative is wrong" in heard.message


def test_slopes_at_a_kink_are_counted_unless_they_were_meant():
    scores = np.array([[1.0, 0.0, -3.0]] + [[4.0, 0.0, 0.0]] * 30)  # one margin of 0 moves two slopes of 93
    case = Case("one tie", {"scores": scores, "y": np.zeros(31, int)}, ("scores",))
    for exact, unjudged in ((False, 2), (True, 0)):
        witness, truth = asked("hinge", case, exact)
        heard = witness.hear("dscores", truth["dscores"], truth["dscores"], (0, 0))
        assert (heard.verdict, heard.slopes, heard.unjudged) == (Verdict.AGREE, 93, unjudged)
