"""THE TABLE: every method that exists twice, and how it is questioned. The one file that names both sides."""

from __future__ import annotations

import difflib
from typing import Any

import numpy as np

from compare import cases, cases_layers
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

_ONE, _WIDE = np.zeros((1, 3)), {"gamma": np.ones(3), "beta": np.zeros(3)}
BAD_FOR_DROPOUT = (("a mask of another shape", {"X": _SCORES, "mask": _ONE > 0, "dout": _SCORES}),)
BAD_FOR_BATCH_NORM = (("a batch of one", {"X": _ONE, **_WIDE, "dout": _ONE}),)
BAD_FOR_RUNNING = (("a batch of one", {"X": _ONE, "running": np.zeros((2, 3))}),)
_NETWORK = {"W1": np.zeros((4, 5)), "b1": np.zeros(5), "W2": np.zeros((5, 3)), "b2": np.zeros(3)}
BAD_FOR_NETWORK = tuple((name, {**_NETWORK, "X": np.zeros((2, 4)), "y": y}) for name, y in BAD_LABELS.items())

OVER_SCORES = ({"scores": 0, "y": 0},)
OVER_LAYER = ({"X": 0, "dout": 0, "value": 0}, {"X": 1, "W": 0})
OVER_EXAMPLES = {"X": 0, "dout": 0, "value": 0}
OVER_EXAMPLES_ALONE = ({"X": 0, "y": 0},)  # draws are tied to features
OVER_FEATURES = {"X": 1, "gamma": 0, "beta": 0, "dout": 1, "value": 1}
OVER_NETWORK = ({"X": 0, "y": 0}, {"X": 1, "W1": 0})
OVER_OBJECTIVE = ({"X": 0, "y": 0}, {"X": 1, "W": 0})


def _hinge_kinks(scores: Any, y: Any) -> Any:
    return side("ref", "losses.margins")(scores, y)


def _svm_kinks(W: Any, b: Any, X: Any, y: Any) -> Any:
    return _hinge_kinks(side("ref", "linear.scores")({"W": W, "b": b}, X), y)


def _own_kinks(X: Any, dout: Any) -> Any:
    return X


def _network_kinks(X: Any, y: Any, **params: Any) -> Any:
    return side("ref", "two_layer.hidden")(params, X)


MEAN = "mean over examples"
RELU = "subgradient 0 at the margin, as torch.relu; maximum has ½ there, clamp 0 or 1 by the version of torch"
TABLE = (
    Pair("softmax", "softmax", "loss", "losses.softmax", cases.losses, OVER_SCORES, refuses=BAD_FOR_LOSS,
         loss="softmax", convention=MEAN),
    Pair("hinge", "svm", "loss", "losses.hinge", cases.hinge, OVER_SCORES, _hinge_kinks,
         refuses=BAD_FOR_LOSS, loss="hinge",
         convention=f"{MEAN}; sum over classes (multi_margin_loss divides by C); {RELU}"),
    Pair("margins", "svm", "values", "losses.margins", cases.margins,
         convention="the true class's entry is the margin"),
    Pair("l2", "penalty", "loss", "penalties.l2", cases.penalties, ({"W": 0},),
         convention="reg Σ W²; torch's weight_decay=λ is ½ λ Σ W², biases too"),
    Pair("l1", "penalty", "loss", "penalties.l1", cases.penalties, ({"W": 0},), convention="sign(0) = 0"),
    Pair("elastic_net", "penalty", "loss", "penalties.elastic_net", cases.penalties, ({"W": 0},),
         convention="reg Σ (½ W² + |W|)"),
    Pair("affine", "layer", "layer", "layers.affine", cases.affine, OVER_LAYER),
    Pair("relu", "layer", "layer", "layers.relu", cases_layers.elementwise, (), _own_kinks,
         convention="derivative 0 at 0, as torch.relu"),
    Pair("leaky_relu", "layer", "layer", "layers.leaky_relu", cases_layers.leaky, (), _own_kinks,
         convention="derivative slope at 0, as torch's leaky_relu"),
    Pair("sigmoid", "layer", "layer", "layers.sigmoid", cases_layers.elementwise),
    Pair("tanh", "layer", "layer", "layers.tanh", cases_layers.elementwise),
    Pair("softmax_layer", "layer", "layer", "layers.softmax", cases_layers.elementwise,
         ({"X": 1, "dout": 1, "value": 1},), convention="over the classes, axis 1"),
    Pair("dropout", "layer", "layer", "layers.dropout", cases_layers.dropout, refuses=BAD_FOR_DROPOUT,
         convention="inverted: what stays is divided by 1 - p, p the share dropped"),
    Pair("batch_norm", "layer", "layer", "norms.batch_norm", cases_layers.norms, (OVER_EXAMPLES,),
         refuses=BAD_FOR_BATCH_NORM, convention="biased variance, eps inside the root"),
    Pair("batch_norm_eval", "layer", "layer", "norms.batch_norm_eval", cases_layers.norms_eval, (OVER_EXAMPLES,),
         convention="running statistics, eps inside the root"),
    Pair("batch_norm_running", "layer", "values", "norms.batch_norm_running", cases_layers.running, ({"X": 0},),
         refuses=BAD_FOR_RUNNING, convention="unbiased variance; momentum is the share of the new batch"),
    Pair("layer_norm", "layer", "layer", "norms.layer_norm", cases_layers.norms, (OVER_FEATURES, OVER_EXAMPLES),
         convention="biased variance over the features, eps inside the root"),
    Pair("two_layer", "network", "objective", "two_layer.objective", cases_layers.networks, OVER_NETWORK,
         _network_kinks, refuses=BAD_FOR_NETWORK,
         convention=f"{MEAN}; penalty on weights, not on biases; ReLU has 0 at 0"),
    Pair("fused_two_layer", "network", "objective", "two_layer.objective", cases_layers.networks, OVER_NETWORK,
         _network_kinks, BAD_FOR_NETWORK, scratch_at="fused_two_layer.objective",
         convention=f"{MEAN}; penalty on weights, not on biases; ReLU has 0 at 0"),
    Pair("softmax_objective", "softmax", "objective", "linear.softmax_objective", cases.objectives,
         OVER_OBJECTIVE, refuses=BAD_FOR_OBJECTIVE, loss="softmax", convention=f"{MEAN}; penalty on W, not on b"),
    Pair("svm_objective", "svm", "objective", "linear.svm_objective", cases.objectives,
         OVER_OBJECTIVE, _svm_kinks, refuses=BAD_FOR_OBJECTIVE, loss="hinge",
         convention=f"{MEAN}; penalty on W, not on b; {RELU}"),
    Pair("softmax_fused", "softmax", "objective", "linear.softmax_objective", cases.objectives, OVER_OBJECTIVE,
         refuses=BAD_FOR_OBJECTIVE, loss="softmax", scratch_at="fused.softmax_objective",
         convention="as softmax_objective, in chunks that stay in the cache"),
    Pair("svm_fused", "svm", "objective", "linear.svm_objective", cases.objectives, OVER_OBJECTIVE, _svm_kinks,
         refuses=BAD_FOR_OBJECTIVE, loss="hinge", scratch_at="fused.svm_objective",
         convention="as svm_objective, in chunks that stay in the cache"),
    Pair("linear_scores", "linear", "scores", "linear.scores", cases.scores, ({"X": 1, "W": 0},)),
    Pair("linear_init", "linear", "init", "linear.init", cases.starts,
         convention="W normal, b zero; both sides draw from NumPy's generator"),
    Pair("random_search", "search", "search", "search.random_search", cases.random_searches, OVER_EXAMPLES_ALONE,
         convention="both sides draw from NumPy's generator; a loss that is NaN is never kept"),
    Pair("local_search", "search", "search", "search.local_search", cases.local_searches, OVER_EXAMPLES_ALONE,
         convention="the start is the first try; a loss that is only equal moves nothing"),
    Pair("sgd", "rule", "rule", "optim.SGD", cases.rules, convention="weight_decay is coupled: g += λ θ"),
    Pair("momentum", "rule", "rule", "optim.Momentum", cases.rules,
         convention="b = μ b + g, first b = g; x −= η b (the course's velocity form by name)"),
    Pair("nesterov", "rule", "rule", "optim.Nesterov", cases.rules, convention="x −= η (g + μ b)"),
    Pair("adagrad", "rule", "rule", "adaptive.Adagrad", cases.rules,
         convention="ε outside the root, accumulator from 0"),
    Pair("rmsprop", "rule", "rule", "adaptive.RMSprop", cases.rules, convention="ε outside the root"),
    Pair("adam", "rule", "rule", "adaptive.Adam", cases.rules, convention="ε outside the root, after bias correction"),
    Pair("adamw", "rule", "rule", "adaptive.AdamW", cases.rules, convention="weight_decay is decoupled: θ −= η λ θ"),
    *(Pair(name, "schedule", "schedule", f"schedules.{name}", cases.schedules)
      for name in ("constant", "step", "exponential", "inverse", "cosine")),
)  # fmt: skip


def objective_pair(at: str) -> Pair:
    """The row of a model's objective, in its textbook form. Raises StopIteration for another name."""
    return next(pair for pair in TABLE if pair.at == at and pair.kind == "objective" and not pair.scratch_at)


def select(names: list[str] | tuple[str, ...] = ()) -> tuple[Pair, ...]:
    """Rows by pair or family name, all without names. Raises Refusal for an unknown name, with the closest one."""
    known = {p.name for p in TABLE} | {p.family for p in TABLE}
    for name in names:
        if name not in known:
            close = difflib.get_close_matches(name, sorted(known), 1, cutoff=0.4)
            hint = f"did you mean {close[0]}?" if close else "see `gradtwin list`"
            raise Refusal(f"no pair or family is called {name!r}: {hint}")
    return tuple(p for p in TABLE if not names or p.name in names or p.family in names)
