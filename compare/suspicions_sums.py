"""What the answer would be if … : mistakes with the sum over the batch. Which example is found, not tried one by one.

A gradient that sums over examples is Aᵀ δ: example i adds the product of row i of A (N, n), what came in, and of row i
of δ (N, m), what came back. Where it lies in a wrong answer is a matter of inner products with these rows.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING

import numpy as np

from compare.suspicions import Asked, Suspicion
from compare.suspicions_scores import Scored, gradient

if TYPE_CHECKING:
    from compare.records import Array

ALIKE = 3  # examples that the answer cannot tell apart are listed up to this many
VAGUE = "(one of"
MOST = 50_000_000  # multiplications at most in the search for where a sum ended
Parts = tuple["Array", "Array"]


def parts(asked: Asked, s: Scored | None) -> dict[str, Parts]:
    """A and δ of every quantity that sums over the examples, without its penalty."""
    inputs = asked.case.inputs
    if s is not None:
        return s.back(s.G)
    if asked.at == "layers.affine":
        dout = inputs["dout"]
        return {"dW": (inputs["X"], dout), "db": (np.ones((len(dout), 1)), dout)}
    return {}


def sums(asked: Asked, s: Scored | None, quantity: str, mine: Array, noise: float) -> Iterator[Suspicion]:
    """Examples dropped, counted twice, alone or mislabelled: the best fit of each to mine.

    An example that adds less than the noise cannot be missed.
    """
    if quantity == "value":
        yield from _values(asked, s, mine)
        return
    found = parts(asked, s).get(quantity)
    if found is None:
        return
    A, d = found
    N, penalty = len(A), asked.penalty[quantity]
    table = mine.reshape(A.shape[1], d.shape[1])
    data = (asked.quantities[quantity] - penalty).reshape(table.shape)
    given = table - penalty.reshape(table.shape)

    def predicted(wrong: Array) -> dict[str, Array]:
        return {quantity: wrong.reshape(penalty.shape) + penalty}

    def single(cause: str, rest: Array, delta: Array, scale: float = 1.0) -> Iterator[Suspicion]:
        """The sum scale · (rest + A_i δ_iᵀ) for the example that fits best, or those that fit alike."""
        best, _ = _best(given / scale - rest, A, delta)
        if np.linalg.norm(A[best]) * np.linalg.norm(delta[best]) <= noise:
            return
        wrong = predicted(scale * (rest + np.outer(A[best], delta[best])))
        yield from (Suspicion(cause.format(i=i), wrong) for i in _alike(best, A, delta))

    yield from single("example {i} dropped, the mean still over all", data, -d)
    if N < 2:
        return
    yield from single("example {i} dropped, the mean over the others", data, -d, N / (N - 1))
    yield from single("example {i} counted twice", data, d)
    yield from single("gradient of example {i} alone, not the sum over the batch", np.zeros_like(data), d)
    if s is not None:
        yield from single("gradient of example {i} alone, not divided by N", np.zeros_like(data), d, float(N))
        yield from _mislabelled(s, quantity, A, given - data, lambda change: predicted(data + change))
    if N > 3 and N * table.size <= MOST:
        k, total = _ended(given, A, d)
        yield Suspicion(f"examples {k} to {N - 1} dropped, the mean still over all", predicted(total))


def _best(r: Array, A: Array, delta: Array) -> tuple[int, float]:
    """The example whose A_i δ_iᵀ lies closest to r, and ‖r − A_i δ_iᵀ‖² − ‖r‖²."""
    cost = np.sum(delta * delta, axis=1) * np.sum(A * A, axis=1) - 2 * np.sum((A @ r) * delta, axis=1)
    best = int(cost.argmin())
    return best, float(cost[best])


def _alike(best: int, A: Array, delta: Array) -> list[str]:
    """The example in words, with those that add just the same: of db, say, every example of its class."""
    return _words(np.isclose(A, A[best]).all(axis=1) & np.isclose(delta, delta[best]).all(axis=1))


def _words(same: Array) -> list[str]:
    """Examples that cannot be told apart: each, or how many."""
    if same.sum() > ALIKE:
        return [f"{VAGUE} {same.sum()} that add the same)"]
    return [str(i) for i in np.flatnonzero(same)]


def _mislabelled(
    s: Scored, quantity: str, A: Array, residual: Array, predicted: Callable[[Array], dict[str, Array]]
) -> Iterator[Suspicion]:
    found = []
    for c in range(s.S.shape[1]):
        others = np.flatnonzero(s.y != c)
        if len(others):
            change = gradient(s.asked.loss, s.S, np.full(len(s.y), c), s.margin) - s.G
            delta = s.back(change)[quantity][1]
            k, cost = _best(residual, A[others], delta[others])
            delta[s.y == c] = np.nan  # they are labelled so, and like no other
            found.append((cost, c, int(others[k]), delta))
    if found:
        _, c, i, delta = min(found, key=lambda f: f[0])
        wrong = predicted(np.outer(A[i], delta[i]))
        for word in _alike(i, A, delta):
            yield Suspicion(f"example {word} mislabelled: {c} for {s.y[i]}", wrong)


def _ended(given: Array, A: Array, d: Array) -> tuple[int, Array]:
    """The k for which the sum over the first k examples comes closest, and that sum."""
    total, best = np.outer(A[0], d[0]), (np.inf, 0, given)
    for k in range(2, len(A) - 1):
        total = total + np.outer(A[k - 1], d[k - 1])
        off = float(np.linalg.norm(given - total))
        if off < best[0]:
            best = off, k, total
    return best[1:]


def _values(asked: Asked, s: Scored | None, mine: Array) -> Iterator[Suspicion]:
    """The loss without one example, or with another label: that whose share is missing, or too much."""
    if s is None or mine.size != 1 or asked.case.exact:
        return  # losses of an exact case are round numbers, which meet by chance
    N, penalty = len(s.losses), float(asked.penalty["value"])
    data, given = float(np.mean(s.losses)), float(mine) - penalty
    suspected = [
        ("example {i} dropped, the mean still over all", data - s.losses / N),
        ("example {i} dropped, the mean over the others", (N * data - s.losses) / max(N - 1, 1)),
        ("example {i} counted twice", data + s.losses / N),
        ("loss of example {i} alone, not the mean over the batch", s.losses),
    ]
    for c in range(s.S.shape[1]):
        other = np.where(s.y == c, np.nan, data + (s.losses_as(np.full(N, c)) - s.losses) / N)
        suspected.append((f"example {{i}} mislabelled: {c} for {{y}}", other))
    for cause, values in suspected:
        if np.isnan(values).all():
            continue
        best = int(np.nanargmin(np.abs(values - given)))
        for word in _words(np.isclose(values, values[best], rtol=1e-12)):
            yield Suspicion(cause.format(i=word, y=s.y[best]), {"value": np.asarray(values[best] + penalty)})
