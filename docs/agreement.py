"""Measure and draw the pictures of docs/agreement.md.

    python docs/agreement.py [--draws 4000] [--seeds 400] [NAME…]

NAME is rounding, calibration, dose, step or kink; without one all are drawn. Calibration and dose take minutes.
"""

from __future__ import annotations

import argparse
import os
from pathlib import Path
from types import SimpleNamespace

import numpy as np

from compare import calibrate, check, dose, pictures, variants
from compare.kinds import ask_scratch, cast
from compare.pairs import TABLE
from compare.records import Case
from compare.sides import standing_in
from compare.timing import equal_threads
from scratch.linear import softmax_objective
from scratch.losses import softmax
from scratch.numgrad import derivative

DOCS = Path(__file__).parent
PAIR = {p.name: p for p in TABLE}
CORES = os.cpu_count() or 1


def rounding(asked: SimpleNamespace) -> None:
    """The softmax gradient in float32 by two correct forms, over more and more images."""
    sizes = np.array([2**k for k in range(2, 13)])
    rng = np.random.default_rng(0)
    named = {"as written": "matrix products", "by example": "one image after the other"}
    forms = {named[v.name]: v for v in variants.of(PAIR["softmax_objective"]) if v.name in named}
    relative: dict[str, list[float]] = {name: [] for name in forms}
    units: dict[str, list[float]] = {name: [] for name in forms}
    for N in sizes:
        D, C = 64, 10
        inputs = {"W": rng.normal(0, 0.1, (D, C)), "b": np.zeros(C), "X": rng.integers(0, 256, (N, D)) / 64,
                  "y": rng.integers(0, C, N)}  # fmt: skip
        case = cast(Case("growing", inputs, ("W", "b")), "float32")
        with equal_threads(1):
            known = check.measure(PAIR["softmax_objective"], case, "float32")
            truth = known.truth.grads["W"]
            for name, form in forms.items():
                with standing_in(form.modules):
                    dW = ask_scratch(PAIR["softmax_objective"], case).grads["W"]
                relative[name].append(float(np.linalg.norm(dW - truth) / np.linalg.norm(truth)))
                units[name].append(check.compared("dW", dW, known).noise_units)
    save("rounding", pictures.rounding_grows(sizes, relative, units))


def calibration(asked: SimpleNamespace) -> None:
    """Correct implementations of every pair, as `gradtwin selftest --calibrate` draws them."""
    found = [s for samples in calibrate.calibrate(asked.draws, processes=CORES) for s in samples]
    alarms = sum(s.verdict is not check.Verdict.AGREE and s.verdict is not check.Verdict.INCONCLUSIVE for s in found)
    told(f"{asked.draws:,} draws, {len(found):,} answers, {alarms} false alarms")
    save("calibration", pictures.calibration([s for s in found if s.verdict is not check.Verdict.INCONCLUSIVE]))


def dosed(asked: SimpleNamespace) -> None:
    """Planted errors, as `gradtwin selftest --dose` plants them."""
    save("dose", pictures.dose_curve(dose.responses(list(dose.doses(range(asked.seeds), CORES)))))


def step(asked: SimpleNamespace) -> None:
    """The derivative of the softmax loss by one weight: two fixed formulas over the step, and scratch.numgrad."""
    rng = np.random.default_rng(0)
    X, y, b = rng.normal(0, 1, (128, 3072)), rng.integers(0, 10, 128), np.zeros(10)
    W = rng.normal(0, 1 / np.sqrt(3072), (3072, 10))
    exact = float(softmax_objective({"W": W, "b": b}, X, y)[1]["W"][0, 0])

    def f(t: float) -> float:
        moved = W.copy()
        moved[0, 0] += t
        return float(softmax(X @ moved + b, y)[0])

    steps = 10.0 ** np.arange(-15, 1.01, 0.25)
    forms = {"one-sided, (f(x + h) − f(x)) / h": lambda h: (f(h) - f(0.0)) / h,
             "central, (f(x + h) − f(x − h)) / 2h": lambda h: (f(h) - f(-h)) / (2 * h)}  # fmt: skip
    errors = {name: np.array([abs(form(h) / exact - 1) for h in steps]) for name, form in forms.items()}
    slope, bound = derivative(f, float(np.sqrt(np.mean(W**2))), float(np.abs(W).max()))
    save("step", pictures.step_curve(steps, errors, (abs(slope / exact - 1), bound / abs(exact))))


def kink(asked: SimpleNamespace) -> None:
    """What derivative says of max(0, x) to either side of its kink."""
    distances = np.concatenate([-(10.0 ** np.arange(0, -17.01, -0.25)), [0.0], 10.0 ** np.arange(-17, 0.01, 0.25)])
    answers = np.array([derivative(lambda t, x=x: max(0.0, x + t), 1.0) for x in distances])  # type: ignore[misc]
    save("kink", pictures.kink_band(distances, answers[:, 0], answers[:, 1]))


def save(name: str, figure: pictures.Figure) -> None:
    """Write docs/agreement-NAME.png."""
    path = DOCS / f"agreement-{name}.png"
    figure.savefig(path, metadata={"Software": None})
    told(f"drew {path}")


def told(line: str) -> None:
    """Say it at once: some of this takes minutes."""
    os.write(1, f"{line}\n".encode())


DRAWN = {"rounding": rounding, "calibration": calibration, "dose": dosed, "step": step, "kink": kink}

if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("names", nargs="*", metavar="NAME")
    parser.add_argument("--draws", type=int, default=4_000)
    parser.add_argument("--seeds", type=int, default=400)
    chosen = parser.parse_args()
    for each in chosen.names or DRAWN:
        DRAWN[each](SimpleNamespace(draws=chosen.draws, seeds=chosen.seeds))
