"""The bound that derivative tells, held against random functions: smooth pieces, a constant to drown in, and kinks."""

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from scratch.numgrad import EPS, derivative

unit = st.floats(-1, 1)
PIECES = {  # value and slope at 0 of a function of t with frequency or steepness w and phase b
    "wave": (lambda t, w, b: np.sin(w * t + b), lambda w, b: w * np.cos(b)),
    "softplus": (lambda t, w, b: np.logaddexp(0, w * t + b), lambda w, b: w / (1 + np.exp(-b))),
    "cubic": (lambda t, w, b: b * w * t + (w * t) ** 2 + (w * t) ** 3, lambda w, b: b * w),
    "line": (lambda t, w, b: b * w * t, lambda w, b: b * w),
}
smooth = st.tuples(st.sampled_from(sorted(PIECES)), st.floats(0, 2), unit, unit)  # kind, log10 w, b, log10 of its size
decades = st.floats(-3, 3)
many = settings(max_examples=400, deadline=None, derandomize=True)


def function(piece, scale, constant, kinks):
    """f and its slope at 0 from the left and from the right; kinks are (height, distance)."""
    kind, steep, b, size = piece
    value, slope = PIECES[kind]
    w, size = 10**steep / scale, 10**size
    heights, at = (np.array([k[i] for k in kinks], float) for i in (0, 1))
    heights = heights / scale

    def f(t):
        return constant + size * float(value(t, w, b)) + float(heights @ np.abs(t - at))

    sides = [size * float(slope(w, b)) + float(heights @ np.where(at == 0, s, -np.sign(at))) for s in (-1.0, 1.0)]
    rounding = 16 * EPS * (abs(sides[0]) + abs(sides[1]) + float(np.abs(heights).sum())) + np.finfo(float).tiny
    return f, sides, rounding


@many
@given(smooth, decades, unit)
def test_the_bound_holds_where_nothing_bends_sharply(piece, decade, constant):
    scale = 10**decade
    f, (exact, _), rounding = function(piece, scale, 1e3 * constant, [])
    slope, bound = derivative(f, scale)
    assert abs(slope - exact) <= bound + rounding
    if piece[1] < 1:  # less than ten turns a unit: it is also tight
        assert bound <= 1e-5 * (abs(exact) + 10 ** piece[3] * 10 ** piece[1] / scale) + 1e-7 * abs(constant) / scale


@many
@given(smooth, decades, st.lists(st.tuples(unit, st.floats(-6, 0.3), st.sampled_from([-1, 1])), max_size=6))
def test_the_bound_holds_beside_kinks_that_a_step_can_pass(piece, decade, kinks):
    scale = 10**decade
    f, (exact, _), rounding = function(piece, scale, 0.0, [(a, side * scale * 10**c) for a, c, side in kinks])
    slope, bound = derivative(f, scale)
    assert abs(slope - exact) <= bound + rounding


@many
@given(smooth, decades, unit.filter(lambda a: abs(a) > 1e-3))
def test_exactly_at_a_kink_both_sides_and_all_between_lie_within_the_bound(piece, decade, height):
    scale = 10**decade
    f, sides, rounding = function(piece, scale, 0.0, [(height, 0.0)])
    slope, bound = derivative(f, scale)
    for side in sides:
        assert abs(slope - side) <= 1.01 * bound + rounding
    # a finer step may see the kink larger, by a quarter at most; the smooth part has a bound of its own
    alone = derivative(function(piece, scale, 0.0, [])[0], scale)[1]
    assert bound <= 1.25 * abs(height) / scale + 10 * alone + rounding


@many
@given(smooth, decades, unit.filter(lambda a: abs(a) > 1e-3), st.floats(-13.5, 0), st.sampled_from([-1, 1]), unit)
def test_one_kink_at_any_distance_is_in_the_bound(piece, decade, height, distance, side, constant):
    """However near: where rounding hides it, the bound is its gap, to the hundredth that the rest may bend."""
    scale = 10**decade
    f, (exact, _), rounding = function(piece, scale, 1e3 * constant, [(height, side * scale * 10**distance)])
    slope, bound = derivative(f, scale)
    assert abs(slope - exact) <= 1.01 * bound + rounding
