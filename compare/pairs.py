"""THE TABLE: every method that exists twice, and how it is questioned. The one file that names both sides."""

from __future__ import annotations

import difflib
from typing import Any

import numpy as np

from compare import cases
from compare.records import Pair, Refusal
from compare.sides import side

_SCORES, _LABELS = np.zeros((2, 3)), np.array([0, 2])
_PARAMS = {"W": np.zeros((4, 3)), "b": np.zeros(3)}
BAD_LABELS = {
    "a label past the last class": np.array([0, 3]),
    "a negative label": np.array([0, -1]),
    "float labels": np.array([0.0, 2.0]),
    "too few labels": np.array([0]),
}
BAD_FOR_LOSS = (
    *((name, {"scores": _SCORES, "y": y}) for name, y in BAD_LABELS.items()),
    ("an empty batch", {"scores": np.zeros((0, 3)), "y": np.array([], dtype=np.int64)}),
    ("scores with one axis", {"scores": np.zeros(3), "y": _LABELS}),
)
BAD_FOR_OBJECTIVE = tuple((name, {**_PARAMS, "X": np.zeros((2, 4)), "y": y}) for name, y in BAD_LABELS.items())

OVER_SCORES = ({"scores": 0, "y": 0},)
OVER_LAYER = ({"X": 0, "dout": 0, "value": 0}, {"X": 1, "W": 0})
OVER_OBJECTIVE = ({"X": 0, "y": 0}, {"X": 1, "W": 0})


def _hinge_kinks(scores: Any, y: Any) -> Any:
    return side("ref", "losses.margins")(scores, y)


def _svm_kinks(W: Any, b: Any, X: Any, y: Any) -> Any:
    return _hinge_kinks(side("ref", "linear.scores")({"W": W, "b": b}, X), y)


MEAN = "mean over examples"
RELU = "subgradient 0 at the margin, as torch.relu; clamp(min=0) has 1 there"
TABLE = (
    Pair("softmax", "softmax", "loss", "losses.softmax", cases.losses, OVER_SCORES, None, BAD_FOR_LOSS,
         "softmax", convention=MEAN),
    Pair("hinge", "svm", "loss", "losses.hinge", cases.losses, OVER_SCORES, _hinge_kinks, BAD_FOR_LOSS,
         "hinge", convention=f"{MEAN}; sum over classes (multi_margin_loss divides by C); {RELU}"),
    Pair("l2", "penalty", "loss", "penalties.l2", cases.penalties, ({"W": 0},),
         convention="reg Σ W²; torch's weight_decay=λ is ½ λ Σ W², biases too"),
    Pair("l1", "penalty", "loss", "penalties.l1", cases.penalties, ({"W": 0},), convention="sign(0) = 0"),
    Pair("elastic_net", "penalty", "loss", "penalties.elastic_net", cases.penalties, ({"W": 0},),
         convention="reg Σ (½ W² + |W|)"),
    Pair("affine", "layer", "layer", "layers.affine", cases.affine, OVER_LAYER),
    Pair("softmax_objective", "softmax", "objective", "linear.softmax_objective", cases.objectives,
         OVER_OBJECTIVE, None, BAD_FOR_OBJECTIVE, "softmax", convention=f"{MEAN}; penalty on W, not on b"),
    Pair("svm_objective", "svm", "objective", "linear.svm_objective", cases.objectives,
         OVER_OBJECTIVE, _svm_kinks, BAD_FOR_OBJECTIVE, "hinge", convention=f"{MEAN}; penalty on W, not on b; {RELU}"),
    Pair("sgd", "rule", "rule", "optim.SGD", cases.rules, convention="weight_decay is coupled: g += λ θ"),
    Pair("constant", "schedule", "schedule", "schedules.constant", cases.schedules),
)  # fmt: skip


def select(names: list[str] | tuple[str, ...] = ()) -> tuple[Pair, ...]:
    """Rows by pair or family name, all without names. Raises Refusal for an unknown name, with the closest one."""
    known = {p.name for p in TABLE} | {p.family for p in TABLE}
    for name in names:
        if name not in known:
            close = difflib.get_close_matches(name, sorted(known), 1, cutoff=0.4)
            hint = f"did you mean {close[0]}?" if close else "see `gradtwin list`"
            raise Refusal(f"no pair or family is called {name!r}: {hint}")
    return tuple(p for p in TABLE if not names or p.name in names or p.family in names)
