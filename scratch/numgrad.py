"""The numerical gradient: the third witness, which knows the function and nothing of its derivative."""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from scratch.arrays import Array

EPS = float(np.finfo(np.float64).eps)
SLACK = 2.0  # an estimate of an error is itself estimated
BLUR = 1e-3  # an error beyond this share of a typical entry judges nothing
Scalar = Callable[[Array], float]


def derivative(phi: Callable[[float], float], scale: float, largest: float = 0.0) -> tuple[float, float]:
    """phi'(0) and a bound on its error, for a variable whose natural size is scale.

    D(h) = (phi(h) - phi(-h)) / 2h has the error c h² + …; (4 D(h/2) - D(h)) / 3 removes its leading term. The step
    starts at scale / 8 and shrinks eightfold while that helps: near a kink, or where scores are large, only
    small steps see the slope. The bound is twice what truncation and the rounding of phi and of its argument leave:
    they are estimates. A kink inside the step shows in the second difference: a parabola's falls to a quarter with
    half the step, a kink's to a half. What exceeds the quarter joins the bound. So exactly at a kink, or nearer to one
    than the shortest step, it is half of the gap between the one-sided slopes, and the values between them are those
    allowed. Kinks too close for any step that rounding allows, two of them that hide each other, can break it.
    largest is the largest number that phi adds its argument to: a step that drowns in its rounding is not taken.
    Source: Ridders, "Accurate computation of F'(x) and F'(x) F''(x)" (1982), with two columns of his table.
    """
    center = float(phi(0.0))

    def around(h: float) -> tuple[float, float, float]:
        above, below = float(phi(h)), float(phi(-h))
        rounding = EPS * (abs(above) + abs(below) + abs(center))
        return (above - below) / (2 * h), above - 2 * center + below, rounding

    best, rest, bend_seen, bound, h = 0.0, np.inf, 0.0, np.inf, scale / 8
    while h > 64 * EPS * max(scale, largest):
        coarse, bend, _ = around(h)
        fine, bend_fine, rounding = around(h / 2)
        better = (4 * fine - coarse) / 3
        kink = abs(bend_fine - bend / 4) * 2 / h
        guess, blur = abs(better - fine), 8 * rounding / h + EPS * scale / h * abs(better)
        error, doubt = rest + bend_seen, guess + blur + kink
        # a finer step crosses fewer kinks: if it sees more than rounding explains, the coarser was lucky
        lucky = guess > 4 * (rest + blur) or guess + kink > 4 * (error + blur)
        stays = kink > 4 * blur and guess + blur < rest  # a kink within every step: then the rest decides
        if doubt < error or lucky or stays:
            best, rest, bend_seen, bound = better, guess + blur, kink, SLACK * (guess + blur) + kink
        else:
            if kink > 4 * blur:  # still there at a finer step: it was there
                bound = max(bound, kink)
            if doubt > 8 * error or error == 0:
                break
        h /= 8
    return best, bound


def numerical_gradient(f: Scalar, x: Array) -> tuple[Array, Array]:
    """The derivative of f by every coordinate of x, one at a time: (gradient, error), both shaped as x.

    x (any shape) is taken as float64; f maps an array of that shape to a number and is handed a private copy.
    A coordinate's step comes from the larger of its own size and the typical one.
    """
    x = np.array(x, dtype=np.float64)
    flat = x.reshape(-1)
    gradient, error = np.zeros(flat.size), np.zeros(flat.size)
    typical, largest = _typical(flat), float(np.abs(flat).max(initial=0.0))
    for i, center in enumerate(flat):

        def phi(t: float, i: int = i, center: float = center) -> float:
            flat[i] = center + t
            return f(x)

        gradient[i], error[i] = derivative(phi, max(abs(center), typical), largest)
        flat[i] = center
    return gradient.reshape(x.shape), error.reshape(x.shape)


def slope_along(f: Scalar, x: Array, v: Array) -> tuple[float, float]:
    """The derivative of f at x in the direction v (shaped as x), and its error: two numbers for any size of x."""
    x = np.array(x, dtype=np.float64)
    return derivative(lambda t: f(x + t * v), _typical(x), float(np.abs(x).max(initial=0.0)))


def gradient_along(g: Callable[[Array], Array], x: Array, v: Array) -> tuple[Array, Array]:
    """The change of a gradient g (any shape) along v, H v, and the error of each entry: the second order.

    g maps an array like x to an array; steps and errors are those of derivative, for all entries at once. Where g
    jumps, as a hinge's gradient does, a step that meets no jump is found before the rounding of a short one counts.
    """
    x = np.array(x, dtype=np.float64)
    best: Array = np.zeros(1)
    error: Array = np.full(1, np.inf)
    last: Array | None = None
    h, shortest = _typical(x) / 8, 64 * EPS * float(np.abs(x).max(initial=0.0))
    while h > shortest:
        pairs = [(g(x + step * v), g(x - step * v)) for step in (h, h / 2)]
        coarse, fine = ((up - down) / (2 * step) for (up, down), step in zip(pairs, (h, h / 2), strict=True))
        better = (4 * fine - coarse) / 3
        rounding = 8 * EPS * max(float(np.abs(a).max()) for pair in pairs for a in pair) / h
        if last is not None:  # jumps that cancel at one step do not at two
            guess = np.abs(better - fine) + np.abs(better - last)
            doubt = guess + rounding
            # as in derivative: a finer step that sees more than rounding explains shows that the coarser was lucky
            taken = (doubt < error) | (guess > 4 * (error + rounding))
            if not taken.any() and np.all(doubt > 8 * error):
                break
            best, error = np.where(taken, better, best), np.where(taken, doubt, error)
        last, h = better, h / 8
    return best, error


@dataclass(frozen=True)
class Suspect:
    """A block of coordinates (flat indices) along which a claimed gradient and the function's slope part."""

    where: Array
    claimed: float
    slope: float
    error: float


@dataclass(frozen=True)
class Search:
    """What a search found: single wrong entries, and how many of its first blocks no step could judge."""

    suspects: tuple[Suspect, ...]
    blocks: int
    unjudged: int


def search(f: Scalar, x: Array, gradient: Array, rng: np.random.Generator, most: int = 4) -> Search:
    """Find where a claimed gradient is wrong, without asking for every coordinate.

    A random direction over a block meets an error anywhere in it with probability one. Blocks are the tensor and,
    for a matrix, up to 8 bundles of rows and up to 16 of columns; a block that fails is halved until single
    entries are left (group testing), of which at most `most` are kept. A gradient that is right has no suspects.
    """
    x = np.array(x, dtype=np.float64)
    claimed = np.asarray(gradient, np.float64).reshape(-1)

    def test(where: Array) -> Suspect:
        v = np.zeros(x.size)
        v[where] = rng.choice((-1.0, 1.0), where.size) * rng.uniform(0.5, 1.0, where.size)
        if where.size == 1:
            v[where] = 1.0  # a single entry is told in its own units
        slope, error = slope_along(f, x, v.reshape(x.shape))
        # the sum of the claimed entries rounds as well
        return Suspect(where, float(v @ claimed), slope, error + EPS * float(np.abs(v) @ np.abs(claimed)))

    index = np.arange(x.size)
    table = index.reshape(len(x), -1) if x.ndim > 1 else index[:, None]
    blocks = [index, *(rows.reshape(-1) for rows in np.array_split(table, min(len(table), 8)))]
    blocks += [columns.reshape(-1) for columns in np.array_split(table.T, min(table.shape[1], 16))]
    tested = [test(block) for block in blocks]
    size = float(np.linalg.norm(claimed)) / np.sqrt(x.size)
    unjudged = sum(int(s.error > BLUR * size * np.sqrt(s.where.size)) for s in tested)
    failed = sorted((s for s in tested if _parts(s)), key=lambda s: s.where.size)
    found: dict[int, Suspect] = {}
    while failed and len(found) < most:
        suspect = failed.pop(0)
        if suspect.where.size == 1:
            found.setdefault(int(suspect.where[0]), suspect)
        else:
            halves = [test(half) for half in np.array_split(suspect.where, 2)]
            failed = [half for half in halves if _parts(half)] + failed
    return Search(tuple(found.values()), len(blocks), unjudged)


def _parts(s: Suspect) -> bool:
    return abs(s.claimed - s.slope) > s.error


def _typical(x: Array) -> float:
    return float(np.sqrt(np.mean(np.square(x)))) or 1.0
