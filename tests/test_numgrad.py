"""The third witness: exact where it can be, honest about its error, and a good finder of wrong entries."""

import itertools

import numpy as np
import pytest
from threadpoolctl import threadpool_limits

from scratch import linear, numgrad
from scratch.numgrad_linear import linear_gradient

EPS = float(np.finfo(np.float64).eps)
OBJECTIVES = {"softmax": linear.softmax_objective, "hinge": linear.svm_objective}


@pytest.mark.parametrize("scale", [1e-3, 1.0, 1e3])
@pytest.mark.parametrize("degree", [1, 2, 3, 4])
def test_polynomials_are_exact_up_to_rounding(degree, scale):
    rng = np.random.default_rng(0)
    for _ in range(50):
        a, x = rng.normal(0, 1, degree + 1), scale * rng.normal()
        f = np.polynomial.Polynomial(a)
        size = float(np.abs(a) @ (abs(x) + scale) ** np.arange(degree + 1))
        slope, error = numgrad.derivative(lambda t, f=f, x=x: f(x + t), scale)
        assert abs(slope - f.deriv()(x)) <= error
        # Up to a parabola the first step, scale / 8, leaves the rounding of 3 values, taken eightfold. Beyond, the
        # estimate takes what Richardson removes, in h^2, for the error, and ends near h = EPS^(1/3), eightfold.
        # The bound is twice the estimate.
        rounding = EPS if degree <= 2 else EPS ** (2 / 3)
        assert error <= 2 * 2 * 8 * 3 * 8 * rounding * size / scale


FUNCTIONS = {
    "cubic": (lambda x: x**3 - 2 * x, lambda x: 3 * x**2 - 2),
    "exp": (np.exp, np.exp),
    "sine": (lambda x: np.sin(3 * x), lambda x: 3 * np.cos(3 * x)),
    "log": (lambda x: np.log1p(x * x), lambda x: 2 * x / (1 + x * x)),
    "sigmoid": (lambda x: 1 / (1 + np.exp(-x)), lambda x: np.exp(-x) / (1 + np.exp(-x)) ** 2),
    "steep softplus": (lambda x: np.logaddexp(0, 1e3 * x) / 1e3, lambda x: 0.5 * (1 + np.tanh(500 * x))),
    "large score": (lambda x: np.logaddexp(1e4 * x, -3e3 * x), lambda x: -3e3 + 6.5e3 * (1 + np.tanh(6.5e3 * x))),
    "far from zero": (lambda x: 1e8 + x**2, lambda x: 2 * x),
    "constant": (lambda x: 3.0, lambda x: 0.0),
    "kinked": (lambda x: np.maximum(0, x - 0.3) + x**2, lambda x: float(x > 0.3) + 2 * x),
    "many kinks": (lambda x: np.abs(np.sin(20 * x)), lambda x: 20 * np.cos(20 * x) * np.sign(np.sin(20 * x))),
}


@pytest.mark.parametrize("name", FUNCTIONS)
def test_the_error_estimate_holds(name):
    f, df = FUNCTIONS[name]
    rng = np.random.default_rng(1)
    for x in itertools.chain(rng.normal(0, 1, 300), 0.3 + rng.choice([-1, 1], 100) * 10.0 ** rng.uniform(-9, 0, 100)):
        slope, error = numgrad.derivative(lambda t, x=x: f(x + t), max(abs(x), 1.0))
        # x + t rounds: the derivative is that of a point up to eps |x| away
        near = max(abs(df(x + EPS * x) - df(x)), abs(df(x - EPS * x) - df(x)))
        assert abs(slope - df(x)) <= error + 16 * EPS * (abs(slope) + 1) + 2 * near, (x, slope, df(x), error)


@pytest.mark.parametrize("kinks", [3, 30, 300])
def test_the_error_estimate_holds_among_many_kinks(kinks):
    """As of hinges: a coarse step crosses many kinks, and what they do may cancel by chance."""
    rng = np.random.default_rng(4)
    for _ in range(1000):
        a, c = rng.normal(0, 1, (2, kinks))
        slope, error = numgrad.derivative(lambda t, a=a, c=c: float(np.maximum(0, a * t + c).sum()), 1.0)
        exact = float(a[c > 0].sum())
        assert abs(slope - exact) <= error + 16 * EPS * kinks


def test_the_error_estimate_is_small_where_the_function_is_tame():
    for x in np.random.default_rng(2).normal(0, 1, 100):
        slope, error = numgrad.derivative(lambda t, x=x: np.sin(x + t), 1.0)
        assert error < 1e-8
        assert abs(slope - np.cos(x)) < 1e-9


@pytest.mark.parametrize(("left", "right"), [(-1.0, 1.0), (0.0, 1.0), (-3.0, 0.5), (2.0, 5.0)])
def test_exactly_at_a_kink_the_answer_is_the_midpoint_and_half_the_gap(left, right):
    slope, error = numgrad.derivative(lambda t: (right if t > 0 else left) * t, 1.0)
    assert slope == pytest.approx((left + right) / 2)
    assert error == pytest.approx((right - left) / 2, rel=1e-6)
    assert slope - error <= left + 1e-6 <= right - 1e-6 <= slope + error  # every value between the slopes is allowed


def test_nothing_is_known_where_the_function_is_not_finite():
    assert numgrad.derivative(lambda t: float("nan"), 1.0)[1] == np.inf


def test_every_coordinate_of_any_shape_and_the_input_is_left_alone():
    x = np.random.default_rng(3).normal(0, 1, (2, 3, 4))
    x.flags.writeable = False
    weights = np.arange(24.0).reshape(2, 3, 4)
    gradient, error = numgrad.numerical_gradient(lambda z: float(np.sum(weights * z**2)), x)
    assert gradient.shape == error.shape == x.shape
    assert np.all(np.abs(gradient - 2 * weights * x) <= error)
    assert numgrad.slope_along(lambda z: float(np.sum(weights * z**2)), x, np.ones(x.shape))[0] == pytest.approx(
        float(np.sum(2 * weights * x)), rel=1e-9
    )


def test_a_coordinate_is_put_back_before_the_next_moves():
    seen = []
    numgrad.numerical_gradient(lambda z: seen.append(z.copy()) or float(z @ z), np.array([1.0, 2.0, 3.0]))
    for z in seen:
        assert np.sum(z != [1.0, 2.0, 3.0]) <= 1


# Searching: a softmax over rows of X with a constant last feature, so that the last row of W is the bias.

D, C, SEEDS = 3073, 10, 50


def model(seed, N=2):
    rng = np.random.default_rng(seed)
    X = np.hstack([rng.normal(0, 1, (N, D - 1)), np.ones((N, 1))])
    y, W = rng.integers(0, C, N), rng.normal(0, 0.02, (D, C))
    zero = np.zeros(C)

    def f(weights):
        S = X @ weights
        top = S.max(axis=1)
        return float(np.mean(top + np.log(np.exp(S - top[:, None]).sum(axis=1)) - S[np.arange(N), y]))

    return rng, f, W, linear.softmax_objective({"W": W, "b": zero}, X, y)[1]["W"]


@pytest.fixture(scope="module")
def searches():
    """Of each seed, what is found in the right gradient, in one with a doubled bias row, in one with a wrong entry."""
    found = []
    with threadpool_limits(1):  # products as small as these only wait for a second thread
        for seed in range(SEEDS):
            rng, f, W, gradient = model(seed)
            doubled, single = gradient.copy(), gradient.copy()
            doubled[-1] *= 2
            entry = int(rng.integers(D)), int(rng.integers(C))
            single[entry] += 0.1 * np.abs(gradient).max()
            claims = (gradient, 4), (doubled, 1), (single, 4)
            found.append((entry, *(numgrad.search(f, W, g, rng, most) for g, most in claims)))
    return found


def test_search_finds_nothing_in_a_right_gradient(searches):
    assert [len(right.suspects) for _, right, _, _ in searches] == [0] * SEEDS
    assert [right.unjudged for _, right, _, _ in searches] == [0] * SEEDS


def test_search_finds_a_doubled_bias_row_every_time(searches):
    for _, _, doubled, _ in searches:
        assert doubled.suspects
        for s in doubled.suspects:
            assert s.where.size == 1
            assert s.where[0] // C == D - 1
            assert s.claimed == pytest.approx(2 * s.slope, rel=1e-5)


def test_search_finds_a_single_wrong_entry_and_no_other(searches):
    for entry, _, _, single in searches:
        assert [int(s.where[0]) for s in single.suspects] == [entry[0] * C + entry[1]]


def test_search_keeps_as_many_suspects_as_asked_for_and_takes_vectors():
    x = np.arange(1.0, 9.0)
    found = numgrad.search(lambda z: float(z @ z), x, np.zeros(8), np.random.default_rng(0), most=3)
    assert len(found.suspects) == 3
    assert all(s.slope == pytest.approx(2 * x[int(s.where[0])]) for s in found.suspects)
    assert not numgrad.search(lambda z: float(z @ z), x, 2 * x, np.random.default_rng(0)).suspects


def test_search_counts_the_blocks_that_no_step_can_judge():
    x = np.zeros((4, 3))  # |x| has its kink in every coordinate
    found = numgrad.search(lambda z: float(np.abs(z).sum()), x, np.zeros((4, 3)), np.random.default_rng(0))
    assert found.unjudged == found.blocks == 1 + 4 + 3  # the tensor, rows, columns
    assert not found.suspects


# The linear model, every coordinate at once.


def draw(N=12, D=5, C=4, seed=0, scale=0.5):
    rng = np.random.default_rng(seed)
    params = {"W": rng.normal(0, scale, (D, C)), "b": rng.normal(0, scale, C)}
    return params, rng.normal(0, 1, (N, D)), rng.integers(0, C, N)


@pytest.mark.parametrize("loss", OBJECTIVES)
@pytest.mark.parametrize("penalty", ["l2", "l1", "elastic_net"])
@pytest.mark.parametrize("decay_bias", [False, True])
def test_linear_gradient_is_the_coordinate_loops(loss, penalty, decay_bias):
    params, X, y = draw()
    fast = linear_gradient(loss, params, X, y, 0.3, penalty, decay_bias)
    for name in params:

        def f(moved, name=name):
            return float(OBJECTIVES[loss]({**params, name: moved}, X, y, 0.3, penalty, decay_bias)[0])

        slow, doubt = numgrad.numerical_gradient(f, params[name])
        gradient, error = fast[name]
        assert gradient.shape == error.shape == params[name].shape
        assert error.max() < 1e-8
        assert np.all(np.abs(gradient - slow) <= (error + doubt))


@pytest.mark.parametrize("loss", OBJECTIVES)
@pytest.mark.parametrize("scale", [1e-3, 1.0, 1e3])
@pytest.mark.parametrize("sizes", [(1, 3, 2), (40, 30, 10), (300, 20, 3), (130, 140, 5)])
def test_the_error_of_a_linear_gradient_holds(loss, scale, sizes):
    for seed in range(5):
        params, X, y = draw(*sizes, seed=seed, scale=scale)
        _, exact = OBJECTIVES[loss](params, X, y, 0.1, "l2", True)
        for name, (gradient, error) in linear_gradient(loss, params, X, y, 0.1, "l2", True).items():
            allowed = error + 16 * EPS * np.abs(exact[name])
            assert np.all(np.abs(gradient - exact[name]) <= allowed), (seed, name)


def test_a_linear_gradient_sees_a_forgotten_true_class():
    params, X, y = draw(30)
    gradient, error = linear_gradient("hinge", params, X, y)["W"]
    S = X @ params["W"] + params["b"]
    violated = (S - S[np.arange(30), y][:, None] + 1 > 0).astype(float)
    violated[np.arange(30), y] = 0
    assert np.abs(X.T @ violated / 30 - gradient).max() > 1e3 * error.max()


def test_at_exact_kinks_the_error_reaches_both_one_sided_slopes():
    """Identity features: W[i, c] is a score, so each tied margin is the kink of its own entry."""
    W = np.array([[2.0, 1.0, 0.0], [0.5, 1.5, -1.0]])
    params, X, y = {"W": W, "b": np.zeros(3)}, np.eye(2), np.array([0, 1])
    gradient, error = linear_gradient("hinge", params, X, y)["W"]
    # margins: row 0 has 0 (a tie) and -1; row 1 has 0 (a tie) and -1.5
    for slope in (np.zeros((2, 3)), np.array([[-0.5, 0.5, 0], [0.5, -0.5, 0]])):
        assert np.all(np.abs(gradient - slope) <= error + 1e-9)
    assert error[:, 2].max() < 1e-9  # the untied class is exact


def test_features_that_are_always_zero_have_slope_zero():
    params, X, y = draw()
    X[:, 2] = 0
    for loss in OBJECTIVES:
        gradient, error = linear_gradient(loss, params, X, y)["W"]
        assert not gradient[2].any()
        assert error[2].max() < 1e-15


def test_unknown_losses_and_penalties_are_refused():
    params, X, y = draw()
    with pytest.raises(KeyError, match="perceptron"):
        linear_gradient("perceptron", params, X, y)
    with pytest.raises(KeyError, match="l3"):
        linear_gradient("softmax", params, X, y, 0.1, "l3")
