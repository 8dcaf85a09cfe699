"""Known bugs of the third witness: the numerical gradient and its fast form for linear models."""

from __future__ import annotations

from compare.plants import Plant


def _one(name: str, truth: str, *edits: tuple[str, str]) -> Plant:
    return Plant(f"numgrad: {name}", "numgrad", "numerical_gradient", (truth,), edits)


def _fast(name: str, truth: str, *edits: tuple[str, str]) -> Plant:
    return Plant(f"numgrad, linear: {name}", "numgrad_linear", "linear_gradient", (truth,), edits)


RICHARDSON = "better = (4 * fine - coarse) / 3"
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
    _one("extrapolation divided by 4", "scaled by 1.33", (RICHARDSON, RICHARDSON.replace("/ 3", "/ 4 * 16 / 9"))),
    _one(
        "point not put back", "other coordinates moved as well", ("        flat[i] = center\n    return", "    return")
    ),
    _one(
        "coordinates in reversed order",
        "entries in reversed order",
        ("return gradient.reshape", "gradient = gradient[::-1]\n    return gradient.reshape"),
    ),
    _one("no error told", "the error estimate is too small", ("    return best, error", "    return best, 0.0")),
    _one(
        "kinks not noticed",
        "the error estimate misses kinks",
        ("doubt = abs(better - fine) + kink +", "doubt = abs(better - fine) +"),
    ),
    _one("step never shrinks", "the step is too long", ("        h /= 8\n", "        break\n")),
    _one("directions lose their signs", "slope along a direction", ("f(x + t * v)", "f(x + t * np.abs(v))")),
    _one(
        "search forgets the second half",
        "search misses entries",
        ("np.array_split(suspect.where, 2)]", "np.array_split(suspect.where, 2)[:1]]"),
    ),
    _fast("-1 at the label forgotten", "−1 at the label missing", (" - features @ np.eye(C)[y]", "")),
    _fast(
        "divided by h, not 2h",
        "data term doubled",
        ("    width = np.where(h > 0, 2 * h, 1.0)[:, None]\n", "    width = np.where(h > 0, h, 1.0)[:, None]\n"),
    ),
    _fast("1/N forgotten", "data term not divided by N", ("return slope / N, (rounding", "return slope, (rounding")),
    _fast(
        "true class's terms upwards",
        "true class gets plus",
        ("np.where(y[example] == c, -1.0, 1.0)", "np.where(y[example] == c, 1.0, 1.0)"),
    ),
    _fast("penalty forgotten", "regulariser missing", ("(data + extra, doubt", "(data, doubt")),
    _fast("penalty on the bias", "regulariser applied on the bias", ('(name == "W" or decay_bias)', "True")),
    _fast(
        "kinks not noticed",
        "the error estimate misses kinks",
        ("crossed = np.abs(t[:, close]) >= np.abs(m[close])", "crossed = np.abs(t[:, close]) < 0"),
    ),
    _fast("bias of zero features", "missing", ("np.ones(len(y))])", "np.zeros(len(y))])")),
)
