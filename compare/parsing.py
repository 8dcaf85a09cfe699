"""Expressions read safely: text in, a circuit out.

The text is read by Python's own grammar (ast.parse), and only what stands in the tables here passes: names, numbers,
arithmetic, subscripts and the gates. Nothing is ever evaluated as Python. Arithmetic on numbers alone is done in
floats while reading.
"""

from __future__ import annotations

import ast
import difflib
import operator
import warnings
from collections.abc import Callable, Mapping
from graphlib import CycleError, TopologicalSorter
from typing import Any, NoReturn

from compare.circuit import Circuit, Gate, caret, fresh, shorten
from compare.records import Refusal

LONGEST = 10_000  # characters of an expression
DEEPEST = 150  # operations inside each other
LARGEST = 10**6  # entries of an array that an expression may ask for

BINARY: dict[type[ast.operator], str] = {
    ast.Add: "add", ast.Sub: "sub", ast.Mult: "mul", ast.Div: "div", ast.Pow: "pow", ast.MatMult: "matmul",
}  # fmt: skip
FOLDED: dict[type[ast.operator], Callable[[float, float], Any]] = {
    ast.Add: operator.add, ast.Sub: operator.sub, ast.Mult: operator.mul, ast.Div: operator.truediv,
    ast.Pow: operator.pow,
}  # fmt: skip
WIRES = {  # gate -> how many wires go in
    "add": 2, "sub": 2, "mul": 2, "div": 2, "pow": 2, "matmul": 2, "max": 2, "min": 2,
    "neg": 1, "exp": 1, "log": 1, "sqrt": 1, "abs": 1, "sigmoid": 1, "tanh": 1, "relu": 1,
    "sum": 1, "mean": 1, "amax": 1, "transpose": 1, "reshape": 1, "broadcast": 1,
}  # fmt: skip
OPTIONS = {  # gate -> its options in order
    "sum": ("axis", "keepdims"), "mean": ("axis", "keepdims"), "amax": ("axis", "keepdims"),
    "transpose": ("axes",), "reshape": ("shape",), "broadcast": ("shape",),
}  # fmt: skip
NEEDED = {"reshape": "shape", "broadcast": "shape"}


def parse(text: str, inputs: Mapping[str, Any], parts: Mapping[str, str] | None = None) -> Circuit:
    """Read text as a circuit over inputs; parts are named sub-expressions, {"q": "x + y"}.

    Raises Refusal, with a caret under the column, for whatever is no expression of gates, for a name that is neither
    an input nor a part, for an input or a part that is not used, and for parts that need themselves.
    """
    text, parts = text.strip(), parts or {}
    reader = _Reader(tuple(inputs), tuple(parts))
    whole = reader.tree(text)
    trees = {name: reader.tree(part) for name, part in parts.items()}
    needs = {
        name: [n.id for n in ast.walk(tree) if isinstance(n, ast.Name) and n.id in parts]
        for name, tree in trees.items()
    }
    try:
        for name in TopologicalSorter(needs).static_order():
            reader.done[name] = reader.read(parts[name], trees[name], name)
    except CycleError as error:
        cycle = error.args[1][::-1]
        raise Refusal(f"{cycle[0]} needs itself: the graph has a cycle, {' -> '.join(cycle)}") from error
    output = reader.read(text, whole)
    unused = [name for name in (*inputs, *parts) if name not in reader.used]
    if unused:
        raise Refusal(f"{unused[0]} is given, but {shorten(text)!r} does not use it")
    if not inputs or not isinstance(output, str):
        raise Refusal(f"{shorten(text)!r} has no input: a number has no gradient")
    return Circuit(text, tuple(inputs), tuple(reader.gates), output)


class _Reader:
    """Reads expressions and collects their gates; remembers the wires of the parts that have been read."""

    def __init__(self, inputs: tuple[str, ...], parts: tuple[str, ...]) -> None:
        self.inputs = inputs
        self.gates: list[Gate] = []
        self.used: set[str] = set()
        self.done: dict[str, str | float] = {}
        self.taken = {*inputs, *parts}
        self.text = ""

    def read(self, text: str, tree: ast.expr, name: str = "") -> str | float:
        """Read one expression; its wire is called name, if it makes one."""
        self.text = text
        return self.visit(tree, 0, name)

    def tree(self, text: str) -> ast.expr:
        """Python's syntax tree of an expression."""
        if not text:
            raise Refusal("the expression is empty; one is 'sigmoid(w*x + b)', with w=2 x=1 b=0")
        if len(text) > LONGEST:
            raise Refusal(f"the expression has {len(text):,} characters; at most {LONGEST:,} are read")
        try:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")  # "1 is not callable": said below, with its column
                return ast.parse(text, mode="eval").body
        except SyntaxError as error:
            column = min(error.offset - 1, len(text)) if error.offset else len(text)  # no offset: it ends too soon
            message = error.msg if error.offset else "something is missing here"
            raise Refusal(caret(text, column, f"no expression: {message:.60}")) from error
        except (RecursionError, MemoryError, ValueError) as error:
            raise Refusal(f"{shorten(text)!r} cannot be read: too deeply nested, or no text") from error

    def refuse(self, node: ast.AST, message: str) -> NoReturn:
        raise Refusal(caret(self.text, self.column(node), message))

    def column(self, node: ast.AST) -> int:
        """Where node stands, in characters; an operator's node stands at its operator."""
        if not isinstance(node, ast.BinOp):
            return self.characters(node.lineno, node.col_offset) if isinstance(node, ast.expr) else 0
        left = node.left
        start = self.characters(left.end_lineno or 1, left.end_col_offset or 0)
        return start + len(self.text[start:]) - len(self.text[start:].lstrip(") \t\n"))

    def characters(self, line: int, offset: int) -> int:
        """Position in text: ast counts lines, and bytes within a line."""
        lines = self.text.split("\n")
        return len("\n".join(lines[: line - 1])) + (line > 1) + len(lines[line - 1].encode()[:offset].decode())

    def gate(self, node: ast.AST, op: str, args: tuple[str | float, ...], name: str, **options: Any) -> str | float:
        """Add a gate and return its wire, called name or else by its op and a number."""
        made = name or fresh(op, self.taken)
        self.gates.append(Gate(made, op, args, options, self.text, self.column(node)))
        return made

    def arithmetic(self, node: ast.BinOp, a: str | float, b: str | float, name: str) -> str | float:
        """A gate, or for two numbers their float: huge powers overflow at once."""
        op = type(node.op)
        if isinstance(a, str) or isinstance(b, str) or op not in FOLDED:
            return self.gate(node, BINARY[op], (a, b), name)
        try:
            value = FOLDED[op](a, b)
        except (ArithmeticError, ValueError):
            value = float("nan")
        if not isinstance(value, float) or value - value != 0:
            self.refuse(node, f"{BINARY[op]}({a:g}, {b:g}) is no finite number")
        return value

    def visit(self, node: ast.AST, depth: int, name: str = "") -> str | float:
        """The wire or number that a piece of the expression stands for."""
        if depth > DEEPEST:
            raise Refusal(f"nested more than {DEEPEST} deep: give parts of it names, as in q='x + y'")
        down = depth + 1
        match node:
            case ast.Name(id=wanted):
                return self.named(node, wanted)
            case ast.Constant(value=int() | float() as number) if not isinstance(number, bool):
                return self.number(node, number)
            case ast.UnaryOp(op=ast.UAdd(), operand=operand):
                return self.visit(operand, down, name)
            case ast.UnaryOp(op=ast.USub(), operand=operand):
                inner = self.visit(operand, down)
                return -inner if isinstance(inner, float) else self.gate(node, "neg", (inner,), name)
            case ast.BinOp(left=left, right=right) if type(node.op) in BINARY:
                return self.arithmetic(node, self.visit(left, down), self.visit(right, down), name)
            case ast.Subscript(value=value, slice=key):
                return self.gate(node, "index", (self.visit(value, down),), name, key=self.key(key))
            case ast.Call(func=ast.Name(id=function)):
                return self.call(node, function, down, name)
        return self.refuse(node, f"{_kind(node)} is not allowed here: an expression has names, numbers, "
                           "+ - * / ** @, [ ] and gates")  # fmt: skip

    def named(self, node: ast.AST, name: str) -> str | float:
        if name in self.inputs or name in self.done:
            self.used.add(name)
            return self.done.get(name, name)
        if name in WIRES:
            self.refuse(node, f"{name} is a gate: it wants its inputs in brackets, {name}(…)")
        close = difflib.get_close_matches(name, [*self.inputs, *self.done], 1, 0.5)
        hint = f"; did you mean {close[0]}?" if close else ""
        return self.refuse(node, f"no value for {shorten(name, 30)}: give one with {shorten(name, 30)}=…{hint}")

    def number(self, node: ast.AST, number: float) -> float:
        try:
            value = float(number)
        except OverflowError:
            value = float("inf")
        if value in (float("inf"), float("-inf")):
            self.refuse(node, "this number is larger than any float")
        return value

    def call(self, node: ast.Call, function: str, depth: int, name: str) -> str | float:
        if function not in WIRES:
            close = difflib.get_close_matches(function, WIRES, 1, 0.5)
            hint = f"; did you mean {close[0]}?" if close else f"; there are {', '.join(WIRES)}"
            self.refuse(node, f"unknown function {shorten(function, 30)}{hint}")
        given = list(node.args)
        keywords = {k.arg: k.value for k in node.keywords}
        if function in ("max", "min") and len(given) == 1:
            if function == "min":
                self.refuse(node, "min takes two wires; the smallest along an axis is -max(-x, axis=…)")
            function = "amax"
        count = WIRES[function]
        if len(given) < count:
            self.refuse(node, f"{function} takes {count} wire{'s' * (count > 1)}, not {len(given)}")
        allowed = OPTIONS.get(function, ())
        extra = dict(zip(allowed, given[count:], strict=False))
        if len(given) > count + len(allowed) or any(k not in allowed or k in extra for k in keywords):
            what = f"and the options {', '.join(allowed)}" if allowed else "and no option"
            what += "; the largest along an axis is max(x, axis=…)" * (function == "max")
            self.refuse(node, f"{function} takes {count} wire{'s' * (count > 1)} {what}")
        options = {str(k): self.literal(v) for k, v in (*extra.items(), *keywords.items())}
        if function in NEEDED and NEEDED[function] not in options:
            self.refuse(node, f"{function} needs a {NEEDED[function]}: {function}(x, (2, 3))")
        shape = options.get("shape", ())
        size = 1
        for n in shape if isinstance(shape, tuple) else (shape,):
            size *= abs(n) if isinstance(n, int) else 1
        if size > LARGEST:
            self.refuse(node, f"an array of more than {LARGEST:,} entries")
        args = tuple(self.visit(a, depth) for a in given[:count])
        return self.gate(node, function, args, name, **options)

    def literal(self, node: ast.AST) -> Any:
        """An option: a whole number, True, False, None, or a tuple of whole numbers."""
        match node:
            case ast.Constant(value=bool() | None as value):
                return value
            case ast.Constant(value=int() as value) if abs(value) < 2**31:
                return value
            case ast.UnaryOp(op=ast.USub(), operand=ast.Constant(value=int() as value)) if abs(value) < 2**31:
                return -value
            case ast.Tuple(elts=elements) | ast.List(elts=elements) if len(elements) <= 32:
                return tuple(self.literal(e) for e in elements)
        return self.refuse(node, "an option is a whole number, a tuple of them, True, False or None")

    def key(self, node: ast.AST) -> Any:
        """What stands in brackets: whole numbers, lists of them, slices with a positive step, …, None, and tuples."""
        match node:
            case ast.List(elts=elements) if elements and len(elements) <= 32:
                return [self.literal(e) for e in elements]
            case ast.Slice(lower=lower, upper=upper, step=step):
                low, high, by = (None if part is None else self.literal(part) for part in (lower, upper, step))
                if by is not None and by < 1:
                    self.refuse(node, "a slice has a positive step")
                return slice(low, high, by)
            case ast.Constant(value=value) if value is ...:
                return ...
            case ast.Constant(value=bool()):
                self.refuse(node, "an index is a whole number, a slice, … or None")
            case ast.Tuple(elts=elements) if len(elements) <= 32:
                return tuple(self.key(e) for e in elements)
        return self.literal(node)


def _kind(node: ast.AST) -> str:
    words = {ast.Attribute: "attribute access (.)", ast.Lambda: "lambda", ast.Compare: "a comparison",
             ast.Call: "calling a result", ast.IfExp: "if … else", ast.BoolOp: "and / or", ast.BinOp: "this operator",
             ast.NamedExpr: ":=", ast.UnaryOp: "this operator", ast.Starred: "* before a name",
             ast.JoinedStr: "a text"}  # fmt: skip
    if isinstance(node, ast.ListComp | ast.SetComp | ast.DictComp | ast.GeneratorExp):
        return "a comprehension"
    if isinstance(node, ast.Constant):
        return "a text" if isinstance(node.value, str | bytes) else f"{node.value}"
    return words.get(type(node), type(node).__name__.lower())
