"""The checker checked: a fault planted in any one line of scratch/losses.py or scratch/linear.py is seen by verify.

Mutants are made systematically: every statement deleted, every operator, constant, name of NumPy, argument and
branch changed, one at a time. What the ref alone decides (truth, noise, visibility) is worked out once a case.
"""

import ast
import copy
from functools import cache
from pathlib import Path
from types import ModuleType

import pytest

import scratch
from compare import check
from compare.pairs import select
from compare.records import Verdict
from compare.report import exit_status
from compare.sides import standing_in

PAIRS = {
    "losses": ("softmax", "hinge", "margins"),
    "linear": ("linear_scores", "linear_init", "softmax_objective", "svm_objective"),
}
SWAPS = {
    ast.Add: ast.Sub, ast.Sub: ast.Add, ast.Mult: ast.Div, ast.Div: ast.Mult, ast.Gt: ast.GtE, ast.GtE: ast.Gt,
    ast.Lt: ast.LtE, ast.LtE: ast.Lt, ast.And: ast.Or, ast.Or: ast.And,
}  # fmt: skip
NAMES = {
    "max": "min", "sum": "mean", "mean": "sum", "exp": "exp2", "log": "log2", "maximum": "minimum", "zeros": "ones",
    "standard_normal": "random", "softmax": "hinge", "hinge": "softmax", "l2": "l1", "l1": "l2", "elastic_net": "l2",
    "arange": "ones", "asarray": "abs",
}  # fmt: skip

# Mutants that answer every question as before, each with the reason why no fault was planted.
EQUIVALENT = {
    "losses": {
        ("axis=1", "axis=-1"): "axis -1 of a table is its axis 1",
        ("total[:, 0]", "total[:, -1]"): "the first column of one column is also the last",
        ("margins(scores, y, margin), 0", "0, margins(scores, y, margin)"): "max(a, 0) is max(0, a)",
    },
    "linear": {("('W', 'b')", "('b', 'W')"): "penalties are added one by one, in any order"},
}


def equivalent(module, before, after):
    return any(before.replace(old, new) == after for old, new in EQUIVALENT[module])


def source(module):
    return (Path(scratch.__file__).parent / f"{module}.py").read_text(encoding="utf-8")


def is_docstring(node):
    return isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant)


def statements(tree):
    """Every line that computes: not imports, docstrings or the head of a function, whose defaults count."""
    found = [node for node in tree.body if isinstance(node, ast.Assign)]
    for f in tree.body:
        if isinstance(f, ast.FunctionDef):
            found += [node for node in ast.walk(f) if isinstance(node, ast.stmt) and node is not f]
    return [node for node in found if not is_docstring(node)]


def changes(node):
    """Every way to change one node, as functions that change it in place."""

    def put(field, value):
        return lambda n: setattr(n, field, value)

    if isinstance(node, ast.BinOp | ast.AugAssign) and type(node.op) in SWAPS:
        yield put("op", SWAPS[type(node.op)]())
    if isinstance(node, ast.Compare) and type(node.ops[0]) in SWAPS:
        yield put("ops", [SWAPS[type(node.ops[0])]()])
        yield lambda n: (n.comparators.append(n.left), setattr(n, "left", n.comparators.pop(0)))
    if isinstance(node, ast.UnaryOp) and isinstance(node.op, ast.USub):
        yield put("op", ast.UAdd())
    if isinstance(node, ast.Constant) and isinstance(node.value, bool):
        yield put("value", not node.value)
    elif isinstance(node, ast.Constant) and isinstance(node.value, int | float):
        yield put("value", node.value + 1)
        yield put("value", -node.value) if node.value else put("value", -1)
    elif isinstance(node, ast.Constant) and isinstance(node.value, str):
        yield put("value", {"W": "b", "b": "W"}.get(node.value, f"{node.value}_"))
    if isinstance(node, ast.Attribute) and node.attr in NAMES:
        yield put("attr", NAMES[node.attr])
    if isinstance(node, ast.IfExp):
        yield lambda n: n.__dict__.update(body=n.orelse, orelse=n.body)
    if isinstance(node, ast.Call):
        if node.args:
            yield lambda n: n.args.pop()
        if len(node.args) > 1:
            yield lambda n: n.args.insert(0, n.args.pop(1))
        if node.keywords:
            yield lambda n: n.keywords.pop()
    if isinstance(node, ast.Tuple) and len(node.elts) > 1 and isinstance(node.ctx, ast.Load):
        yield lambda n: n.elts.reverse()
    if isinstance(node, ast.Subscript) and isinstance(node.ctx, ast.Load):
        yield lambda n: n.__dict__.update(slice=ast.Constant(0))


class Delete(ast.NodeTransformer):
    """Put pass in place of one statement."""

    def __init__(self, node):
        self.node = node

    def visit(self, node):
        return ast.copy_location(ast.Pass(), node) if node is self.node else self.generic_visit(node)


def places(tree):
    """Nodes that may change: those of the statements, and the defaults of functions."""
    for stmt in statements(tree):
        yield from ((stmt, node) for node in ast.walk(stmt))
    for f in tree.body:
        if isinstance(f, ast.FunctionDef):
            yield from ((f, default) for default in f.args.defaults)


def mutants(module):
    """(line, how it was, how it is, whole source) of every mutant."""
    tree = ast.parse(source(module))
    count = len(list(places(tree)))
    told = {ast.unparse(tree)}
    for k in range(count):
        stmt, node = list(places(tree))[k]
        for c in range(len(list(changes(node)))):
            other = copy.deepcopy(tree)
            head, changed = list(places(other))[k]
            list(changes(changed))[c](changed)
            yield from _once(told, stmt, head, other)
    for k in range(len(statements(tree))):
        other = copy.deepcopy(tree)
        node = statements(other)[k]
        if not isinstance(node, ast.Return | ast.For):  # the body of a for is deleted line by line
            other = Delete(node).visit(other)
            whole = statements(tree)[k]
            yield whole.lineno, first_line(whole), "pass", ast.unparse(ast.fix_missing_locations(other))


def _once(told, stmt, head, tree):
    text = ast.unparse(ast.fix_missing_locations(tree))
    if text not in told:
        told.add(text)
        yield stmt.lineno, first_line(stmt), first_line(head), text


def first_line(node):
    return next(line for line in ast.unparse(node).splitlines() if line.strip())


MEASURE = check.measure


@cache
def measured(pair, case, dtype, seed):
    found = next(p for p in select([pair]))
    asked = next(c for c in found.cases(check.generator(seed, pair), None) if c.name == case)
    return MEASURE(found, check.cast(asked, dtype), dtype, seed)


@pytest.fixture
def quick(monkeypatch):
    """Ask the ref once, and leave out the causes: verdicts alone are in question here."""

    def once(pair, case, dtype, seed, device):
        return measured(pair.name, case.name, dtype, seed)

    monkeypatch.setattr(check, "measure", once)
    monkeypatch.setattr(check, "sights", lambda *_: [])
    monkeypatch.setattr(check, "diagnose", lambda *_: ())


def faults(module, text):
    """The first finding that makes verify fail with this text in the module's place, float32 first; None if none."""
    mutant = ModuleType(f"scratch.{module}")
    exec(compile(text, f"{module}.py", "exec"), mutant.__dict__)  # noqa: S102 a mutant of our own source
    with standing_in({f"scratch.{module}": mutant}):
        for dtype in check.DTYPES:
            for finding in check.verify(select(PAIRS[module]), None, 0, [dtype]):
                if exit_status([finding]) == 1:
                    return finding
    return None


@pytest.mark.parametrize("module", PAIRS)
def test_the_code_as_it_is_passes(module, quick):
    assert faults(module, source(module)) is None


@pytest.mark.parametrize("module", PAIRS)
def test_a_fault_in_any_line_fails_and_names_the_quantity(module, quick):
    survivors, seen = [], set()
    known = {(f.pair, f.quantity) for f in check.verify(select(PAIRS[module]), None)}
    for line, before, after, text in mutants(module):
        finding = faults(module, text)
        if finding is None:
            survivors.append((before, after))
            continue
        seen.add(line)
        assert finding.pair in PAIRS[module]
        assert finding.verdict in (Verdict.DIFFER, Verdict.CRASHED)
        assert finding.message
        assert (finding.pair, finding.quantity) in known
    assert [s for s in survivors if not equivalent(module, *s)] == []
    assert {stmt.lineno for stmt in statements(ast.parse(source(module)))} <= seen  # no line without a fault seen
    assert len(survivors) < 0.1 * len(list(mutants(module)))


@pytest.mark.parametrize(
    ("module", "right", "wrong", "named"),
    [
        ("losses", "dscores[rows, y] -= 1", "pass", ("softmax", "dscores")),
        ("losses", "dscores = exp / total", "dscores = exp", ("softmax", "dscores")),
        ("losses", "np.log(total[:, 0]) - shifted", "np.log(total[:, 0]) + shifted", ("softmax", "value")),
        ("losses", "violation.sum() / scores", "violation.sum() * scores", ("hinge", "value")),
        ("losses", "dscores[rows, y] = -dscores.sum(axis=1)", "pass", ("hinge", "dscores")),
        ("losses", "scores - true + ", "scores + true + ", ("hinge", "value")),  # which is made of margins
        ("linear", "X.T @ dscores", "X.T @ dscores / 2", ("softmax_objective", "dW")),
        ("linear", "dscores.sum(axis=0)", "dscores.mean(axis=0)", ("softmax_objective", "db")),
        ("linear", "value + extra", "value", ("softmax_objective", "value")),
        ("linear", 'grads[name] + dextra["W"]', "grads[name]", ("softmax_objective", "dW")),
    ],
)
def test_the_quantity_named_is_the_one_that_the_line_makes(module, right, wrong, named, quick):
    text = source(module)
    assert text.count(right) >= 1
    finding = faults(module, text.replace(right, wrong))
    assert (finding.pair, finding.quantity) == named
    assert finding.dtype == "float32"
    assert "scratch" in finding.message
    assert "ref" in finding.message
