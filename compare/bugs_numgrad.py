"""Known bugs of the third witness: the numerical gradient and its fast form for linear models."""

from __future__ import annotations

from compare.plants import Plant


def _one(name: str, truth: str, *edits: tuple[str, str]) -> Plant:
    return Plant(f"numgrad: {name}", "numgrad", "numerical_gradient", (truth,), edits)


def _fast(name: str, truth: str, *edits: tuple[str, str]) -> Plant:
    return Plant(f"numgrad, linear: {name}", "numgrad_linear", "linear_gradient", (truth,), edits)


RICHARDSON = "        better = (4 * fine - coarse) / 3\n        kink"
SLOPE = "return (above - below) / (2 * h)"
NUMGRAD = (
    _one(
        "one-sided",
        "differences are one-sided",
        (SLOPE, "return (above - center) / h"),
        ("phi(h)), float(phi(-h))", "phi(h)), 2 * center - float(phi(h))"),
    ),
    _one("divided by h, not 2h", "doubled", (SLOPE, "return (above - below) / h")),
    _one("below minus above", "with the wrong sign", (SLOPE, "return (below - above) / (2 * h)")),
    _one("extrapolation divided by 4", "scaled by 1.33333", (RICHARDSON, RICHARDSON.replace("/ 3", "/ 4 * 16 / 9"))),
    _one(
        "point not put back", "other coordinates moved as well", ("        flat[i] = center\n    return", "    return")
    ),
    _one(
        "coordinates in reversed order",
        "entries in reversed order",
        ("return gradient.reshape", "gradient = gradient[::-1]\n    return gradient.reshape"),
    ),
    _one("no error told", "the error estimate is too small", ("    return best, bound", "    return best, 0.0")),
    _one(
        "kinks not noticed",
        "the error estimate misses kinks",
        ("kink = abs(bend_fine - bend / 4) * 2 / h", "kink = 0.0"),
    ),
    _one("step never shrinks", "the step is too long", ("        h /= 8\n", "        break\n")),
    _one(
        "directions lose their signs", "slope along a direction is another's", ("f(x + t * v)", "f(x + t * np.abs(v))")
    ),
    _one(
        "search forgets the second half",
        "search misses entries",
        ("np.array_split(suspect.where, 2)]", "np.array_split(suspect.where, 2)[:1]]"),
    ),
    _fast("-1 at the label forgotten", "−1 at the label missing", ("np.eye(C)[y]", "np.zeros((C, C))[y]")),
    _fast(
        "divided by h, not 2h",
        "doubled",
        ("slope = slope / width / N", "slope = 2 * slope / width / N"),
    ),
    _fast("1/N forgotten", "not divided by N", ("return slope / N, ", "return slope, ")),
    _fast(
        "true class's terms upwards",
        "true class gets plus the number of violations",
        ("np.where(y[example] == c, -1.0, 1.0)", "np.where(y[example] == c, 1.0, 1.0)"),
    ),
    _fast("penalty forgotten", "regulariser missing", ("(data + extra, doubt", "(data, doubt")),
    _fast("penalty on the bias", "regulariser applied on the bias", ('(name == "W" or decay_bias)', "True")),
    _fast(
        "kinks not noticed",
        "the error estimate misses kinks",
        ("- np.abs(m[close]), 0)", "- np.inf, 0)"),
    ),
    _fast("bias of zero features", "missing", ("np.ones((len(y), 1))", "np.zeros((len(y), 1))")),
)
