"""Dose and response: planted errors have the size that is told; from 10 noise units up all of them are found."""

from pathlib import Path

import numpy as np
import pytest
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator
from threadpoolctl import threadpool_limits

from compare import board_dose, dose, pictures
from compare.check import DTYPES, generator, measure
from compare.differ import BOUND
from compare.dose import ASKED, PLACES, UNITS, Response, doses, planted, responses, spoilt
from compare.kinds import ask_scratch, cast
from compare.pairs import TABLE
from compare.sides import standing_in

SEEDS = range(8)  # every pair in either precision


@pytest.fixture(scope="module")
def found():
    return list(doses(SEEDS))


def test_every_pair_place_and_size_is_asked_in_either_precision(found):
    asked = {(d.pair, d.dtype) for d in found}
    assert len(asked) >= 7  # a draw without any gradient has none to spoil
    assert {d.pair for d in found} == set(ASKED)
    for pair, dtype in asked:
        assert {(d.place, d.units) for d in found if (d.pair, d.dtype) == (pair, dtype)} == {
            (p, u) for p in PLACES for u in UNITS
        }


def test_from_ten_units_up_every_error_is_found_and_below_three_none(found):
    assert all(d.found for d in found if d.units >= 10)
    assert not any(d.found for d in found if d.units <= 3)
    assert all(abs(d.told - d.units) < BOUND for d in found if d.units <= 100)


def test_in_float32_a_found_error_is_told_as_a_bug_and_in_float64_once_it_is_too_large_for_rounding(found):
    """A relative error of 1e-14 in float64 may be an unstable sum as well: imprecise. At 1e-11 it is none."""
    assert all(d.differs for d in found if d.found and d.dtype == "float32")
    assert not any(d.differs for d in found if d.dtype == "float64" and d.relative < 1e-14)
    assert all(d.differs for d in found if d.found and d.relative > 1e-8)


@pytest.mark.parametrize("place", PLACES)
def test_an_error_measures_what_it_was_made_to_measure(place):
    """An error alone, on top of the truth itself, at the very units that it is planted for."""
    pair = next(p for p in TABLE if p.name == "affine")
    case = cast(next(iter(pair.cases(generator(0, "affine")))), "float32")
    known = measure(pair, case, "float32")
    truth = known.truth.grads["W"]
    where = dose._where(truth, place, np.random.default_rng(1))
    assert int(where.sum()) == {"one entry": 1, "one row": 10, "one column": 48, "all of W": 480}[place]
    relative = 20 / dose._alone("dW", where * truth, known)
    found = dose.compared("dW", truth * (1 + relative * where), known)
    assert found.noise_units == pytest.approx(20, rel=1e-6)


@pytest.mark.parametrize("name", ASKED)
def test_a_spoilt_module_answers_with_the_error_in_its_place(name):
    pair = next(p for p in TABLE if p.name == name)
    case = cast(next(iter(pair.cases(generator(0, name)))), "float64")
    right = ask_scratch(pair, case)
    factor = np.ones_like(right.grads[ASKED[name]])
    factor[2, 1] = 3.0
    with standing_in(spoilt(pair, ASKED[name], factor)):
        wrong = ask_scratch(pair, case)
    assert np.array_equal(wrong.value, right.value)
    for argument, grad in wrong.grads.items():
        assert np.array_equal(grad, right.grads[argument] * (factor if argument == ASKED[name] else 1))


def test_responses_count_by_precision_place_and_size(found):
    rows = responses(found)
    assert len(rows) == len(DTYPES) * len(PLACES) * len(UNITS)
    assert [r.dtype for r in rows] == sorted(r.dtype for r in rows)
    row = next(r for r in rows if (r.dtype, r.place, r.units) == ("float32", "one row", 5.0))
    same = [d for d in found if (d.dtype, d.place, d.units) == ("float32", "one row", 5.0)]
    assert (row.planted, row.found) == (len(same), sum(d.found for d in same))
    assert row.share == row.found / row.planted


def test_a_seed_is_repeated_alone():
    with threadpool_limits(1):
        assert planted(3) == planted(3) == list(doses([3]))


def test_the_curve_is_a_picture_and_is_logged(tmp_path: Path):
    rows = [Response(dtype, place, units, 4, int(4 * (units > 5)), 0, 1e-6 * units)
            for dtype in DTYPES for place in PLACES for units in (1.0, 10.0)]  # fmt: skip
    curve = pictures.dose_curve(rows)
    assert len(curve.axes) == 2
    line = curve.axes[0].lines[0]
    assert (line.get_xdata().tolist(), line.get_ydata().tolist()) == ([1, 10], [0, 1])
    board_dose.log(tmp_path / "dose", rows, curve)
    events = EventAccumulator(str(tmp_path / "dose" / "one row")).Reload()
    (tag,) = [t for t in events.Tags()["scalars"] if "float64" in t]
    assert [(e.step, e.value) for e in events.Scalars(tag)] == [(10, 0.0), (100, 1.0)]
    drawn = EventAccumulator(str(tmp_path / "dose" / "curve")).Reload()
    assert drawn.Images("dose and response")[0].width > 400
