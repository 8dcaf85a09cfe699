"""The calibration: correct variants of every pair raise no alarm, wrong ones do, and a draw can be asked for again."""

from types import SimpleNamespace

import numpy as np
import pytest
from threadpoolctl import threadpool_limits

from compare import calibrate, check, variants
from compare.calibrate import one, quantiles, rows
from compare.kinds import cast
from compare.noise import chained, noise_of
from compare.pairs import TABLE
from compare.records import Case, Noise, Outcome, Verdict
from compare.sides import side
from compare.suspicions import Asked
from compare.variants import Variant

PAIR = {p.name: p for p in TABLE}


@pytest.mark.parametrize("name", PAIR)
def test_every_pair_has_correct_variants_and_none_of_them_raises_an_alarm(name):
    forms = variants.of(PAIR[name])
    assert len(forms) > 1
    assert len({v.name for v in forms}) == len(forms)
    with threadpool_limits(1):
        samples = [s for number in range(2) for s in one((number, name, 5))]
    assert samples
    assert {s.variant for s in samples} <= {v.name for v in forms}
    assert {s.verdict for s in samples} <= {Verdict.AGREE, Verdict.INCONCLUSIVE}


def test_a_wrong_variant_is_a_false_alarm_and_is_counted(monkeypatch):
    """The l2 penalty of ½ Σ W²: half of everything."""
    own = side("scratch", "penalties.l2")

    def halved(W, reg):
        value, grads = own(W, reg)
        return value / 2, {"W": grads["W"] / 2}

    wrong = Variant("halved", {"scratch.penalties": SimpleNamespace(l2=halved)})
    monkeypatch.setattr(variants, "of", lambda pair: [wrong])
    samples = one((0, "l2", 0))
    assert [s.verdict for s in samples] == [Verdict.DIFFER, Verdict.DIFFER]
    (row,) = rows(samples)
    assert (row.pair, row.draws, row.judged, row.false_alarms) == ("l2", 1, 2, 2)


def test_a_draw_is_the_same_whenever_it_is_asked_for():
    whole = list(calibrate.calibrate(4, 3, pairs=["l1", "softmax"]))
    part = list(calibrate.calibrate(2, 3, pairs=["l1", "softmax"], first=2))
    assert whole[2:] == part
    assert [samples[0].draw for samples in whole] == [0, 1, 2, 3]
    assert [samples[0].pair for samples in whole] == ["softmax", "l1"] * 2


def test_quantiles_are_of_the_samples_themselves():
    assert quantiles(range(101)) == (50, 99, 100, 100)


def known(fine):
    """One number whose truth is 0 and whose noise was 1 in eight replays."""
    truth = Outcome(np.zeros(()), {})
    asked = Asked(Case("known", {}, ()), truth, "", "", lambda _: truth)
    return check.Measured(truth, {"value": Noise(1.0, np.ones(()))}, [], fine, asked)


def test_where_eight_replays_leave_doubt_more_decide():
    fine = known(lambda: {"value": Noise(3.0, np.array(2.0))})
    found = check.compared("value", np.array(6.0), fine)
    assert (found.tensor_units, found.entry_units) == (2.0, 3.0)
    assert check.compared("value", np.array(check.DOUBT), fine).noise_units == check.DOUBT


def test_more_replays_are_fresh_are_taken_once_and_repeat_with_their_seed():
    pair = PAIR["l2"]
    case = cast(next(iter(pair.cases(np.random.default_rng(0)))), "float32")
    first, second = (check.measure(pair, case, "float32", seed=3) for _ in range(2))
    assert first.finer() is first.finer()
    assert first.finer()["value"].tensor == second.finer()["value"].tensor != first.noise["value"].tensor


def test_a_chain_of_products_may_round_at_every_step():
    """Ten steps at a rate of 3: step t, counted from 0, may be off by (t + 1) u 3."""
    truth = np.full(10, 3.0)
    noise = chained(noise_of([np.zeros(10)] * 8, truth, np.dtype(np.float64)), truth)
    u = float(np.finfo(np.float64).eps) / 2
    assert noise.entry == pytest.approx(3 * u * np.arange(1, 11))
    assert noise.tensor == pytest.approx(3 * u * np.sqrt(385))  # 1² + … + 10² = 385
