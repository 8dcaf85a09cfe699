"""Random expressions over scalars and arrays: graph, torch and the numerical gradient agree.

GRADTWIN_EXAMPLES says how many of each; the default keeps the suite short.
"""

import os
import re

import numpy as np
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from compare import readings
from compare.parsing import parse
from compare.records import Verdict

EXAMPLES = int(os.environ.get("GRADTWIN_EXAMPLES", "50"))
SETTINGS = {"max_examples": EXAMPLES, "deadline": None, "derandomize": True,
            "suppress_health_check": list(HealthCheck)}  # fmt: skip

# Every form has a value wherever its inputs are numbers: no expression drawn here may be refused.
UNARY = ("sigmoid({})", "tanh({})", "relu({})", "abs({})", "(-{})", "exp(tanh({}))", "log(1.5 + abs({}))",
         "sqrt(0.5 + ({})**2)", "({})**2", "({})**3", "(0.3 + abs({}))**-1.5", "1/(1.25 + ({})**2)", "({} - 0.5)",
         "3*({})", "max({}, 0.25)", "min(-1.25, {})")  # fmt: skip
BINARY = ("({} + {})", "({} - {})", "({})*({})", "max({}, {})", "min({}, {})", "({})/(1 + exp(tanh({})))",
          "(1.5 + abs({}))**tanh({})")  # fmt: skip
LEAVES = {(): "abc", (3,): "uv", (2, 1): "C", (1, 3): "R", (2, 3): "XZ"}
NARROWER = {s: [t for t in LEAVES if t != s and np.broadcast_shapes(s, t) == s] for s in LEAVES}
SHAPED = {  # a form that makes this shape -> what it is made of
    (): {"sum({})": [(2, 3)], "mean({})": [(3,)], "max({})": [(2, 3)],
         "(({}) @ ({}))": [(3,), (3,)], "({})[1, 2]": [(2, 3)],
         "({})[-1]": [(3,)]},
    (3,): {"sum({}, axis=0)": [(2, 3)], "max({}, axis=0)": [(2, 3)], "({})[1]": [(2, 3)], "(({}) @ M)": [(3,)],
           "mean({}, 0)": [(1, 3)], "reshape({}, 3)": [(1, 3)], "({})[[0, 0, 2]]": [(3,)]},
    (2, 1): {"mean({}, axis=1, keepdims=True)": [(2, 3)], "amax({}, 1, True)": [(2, 3)], "({})[:, 0:1]": [(2, 3)],
             "transpose(sum({}, axis=1)[None])": [(2, 3)]},
    (1, 3): {"max({}, axis=0, keepdims=True)": [(2, 3)], "({})[None]": [(3,)], "({})[1:]": [(2, 3)],
             "reshape({}, (1, 3))": [(3,)]},
    (2, 3): {"(({}) @ M)": [(2, 3)], "transpose(reshape({}, (3, 2)))": [(2, 3)], "broadcast({}, (2, 3))": [(1, 3)],
             "({} + {})": [(2, 1), (3,)], "max({}, {})": [(1, 3), (2, 1)], "(({}) @ ({}))": [(2, 1), (1, 3)],
             "({})[[1, 1]]": [(2, 3)], "matmul({}, transpose({}) @ ({}))": [(2, 3), (2, 3), (2, 3)]},
}  # fmt: skip


@st.composite
def expressions(draw, shape, depth=5, arrays=True):
    """An expression whose value has this shape, up to depth forms deep."""
    kind = draw(st.sampled_from(["leaf", "unary", "unary", "binary", "binary", "shaped"])) if depth else "leaf"
    if kind == "leaf":
        return draw(st.sampled_from(LEAVES[shape]))
    if kind == "shaped" and arrays:
        form, parts = draw(st.sampled_from(list(SHAPED[shape].items())))
    elif kind == "binary":
        form = draw(st.sampled_from(BINARY))
        parts = draw(st.permutations([shape, draw(st.sampled_from([shape, *NARROWER[shape]]))]))
    else:
        form, parts = draw(st.sampled_from(UNARY)), [shape]
    return form.format(*(draw(expressions(part, depth - 1, arrays)) for part in parts))


def assert_agreement(text, inputs):
    """All inputs that text names; at a kink the numerical gradient has no say, torch still has."""
    used = {name: value for name, value in inputs.items() if re.search(rf"\b{name}\b", text)}
    found = readings.read(parse(text, used), used)
    worst = max(found.wires.values(), key=lambda wire: wire.noise_units)
    assert found.verdict is Verdict.AGREE, (text, worst, found.doubts)


NUMBER = st.floats(-3, 3, width=32).filter(lambda x: abs(x) > 1e-3)


@settings(**SETTINGS)
@given(expressions((), arrays=False), st.tuples(NUMBER, NUMBER, NUMBER))
def test_three_witnesses_agree_on_random_expressions_of_scalars(text, numbers):
    assert_agreement(text, dict(zip("abc", map(np.asarray, numbers), strict=True)))


@settings(**SETTINGS)
@given(st.sampled_from(list(LEAVES)).flatmap(expressions), st.integers(0, 2**32 - 1))
def test_three_witnesses_agree_on_random_expressions_of_arrays(text, seed):
    rng = np.random.default_rng(seed)
    shapes = {name: shape for shape, names in LEAVES.items() for name in names} | {"M": (3, 3)}
    assert_agreement(text, {name: rng.uniform(-2, 2, shape) for name, shape in shapes.items()})
