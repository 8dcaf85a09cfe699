"""A circuit as a page to step through: forward, then backward, one gate a step. One file, no network needed."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from compare.circuit import Gate
from compare.draw import brief, formula, number, placed, precise, sign
from compare.layout import GATE, Layout
from compare.readings import Readings
from compare.records import Refusal

SCALE = 92.0  # pixels an inch
MARGIN = 46.0
RULES = {  # what each gate does to the upstream gradient
    "add": "add distributes: every input receives the upstream gradient unchanged",
    "sub": "sub distributes: the first input receives the upstream gradient, the second its negative",
    "mul": "mul swaps: upstream × the other input",
    "div": "div: the numerator receives upstream / b, the denominator −upstream × a / b²",
    "neg": "neg flips the sign of the upstream gradient",
    "pow": "pow: the base receives upstream × b · aᵇ⁻¹, the exponent upstream × aᵇ log a",
    "exp": "exp: upstream × the gate's own value, because eˣ is its own derivative",
    "log": "log: upstream / x",
    "sqrt": "sqrt: upstream / 2√x",
    "abs": "abs: upstream × the sign of x, and 0 at the kink",
    "relu": "relu is a switch: upstream where x > 0, nothing elsewhere",
    "sigmoid": "sigmoid: upstream × (1 − σ) σ",
    "tanh": "tanh: upstream × (1 − tanh²)",
    "max": "max routes: the larger input receives all of the upstream gradient; at a tie each receives half",
    "min": "min routes: the smaller input receives all of the upstream gradient; at a tie each receives half",
    "amax": "max over an axis routes: the largest entries receive the upstream gradient, ties share it",
    "matmul": "matmul swaps, too: dA = upstream · Bᵀ and dB = Aᵀ · upstream",
    "sum": "sum distributes: every entry receives its sum's upstream gradient",
    "mean": "mean distributes: each of n entries receives 1/n of the upstream gradient",
    "transpose": "transpose carries the gradient back in the old order of the axes",
    "reshape": "reshape carries the gradient back in the old shape",
    "broadcast": "broadcast copies; the gradients of the copies are added up",
    "index": "index picks; the gradient flows back to the entries picked, nothing to the others",
}


def page(found: Readings) -> str:
    """The HTML page. Steps 0 … n: the inputs, every gate forward, the output's gradient, every gate backward."""
    from jinja2 import Environment, PackageLoader, StrictUndefined

    where = placed(found)
    environment = Environment(
        loader=PackageLoader("compare"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    names = 11.0 * max(map(len, found.circuit.inputs)) + 8
    top = where.low + where.height
    return environment.get_template("player.html.j2").render(
        text=found.circuit.text,
        width=where.width * SCALE + 2 * MARGIN + names,
        height=where.height * SCALE + 2 * MARGIN + 24,
        radius=GATE / 2 * SCALE,
        wires=[_wire(found, name, where, names, top) for name in where.centres],
        routes=[
            {"target": target, "source": _gate(found, target).wires()[i], "d": _path(route, names, top)}
            for (target, i), route in where.routes.items()
        ],
        steps=steps(found),
        output=found.circuit.output,
        kinks=list(found.kinks),
    )


def save(found: Readings, path: Path) -> None:
    """Write the page. Raises Refusal where it cannot be written."""
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(page(found), encoding="utf-8")
    except OSError as error:
        raise Refusal(f"{path}: cannot be written: {error.strerror or error}") from error


def steps(found: Readings) -> list[dict[str, Any]]:
    """What is shown at each step: the gate at work, the wires that appear, and lines of words.

    show lists wires whose value is known from this step on; grad maps wires to the gradient gathered so far.
    """
    circuit, wires = found.circuit, found.wires
    told: list[dict[str, Any]] = []

    def tell(phase: str, gate: str, title: str, lines: list[str], **more: Any) -> None:
        told.append({"phase": phase, "gate": gate, "title": title, "lines": lines, "show": [], "grad": {}} | more)

    tell("start", "", "The inputs are given", [f"{n} = {precise(wires[n].value)}" for n in circuit.inputs],
         show=list(circuit.inputs))  # fmt: skip
    for g in circuit.gates:
        given = [f"{a} = {precise(wires[a].value)}" if isinstance(a, str) else f"constant {a:g}" for a in g.args]
        result = f"{g.name} = {formula(g)} = {precise(wires[g.name].value)}"
        tell("forward", g.name, f"Forward through {_words(g)}", [", ".join(given), result], show=[g.name])
    uses = {n: sum(g.wires().count(n) for g in circuit.gates) for n in wires}
    got = dict.fromkeys(wires, 0)
    gathered = dict.fromkeys(wires, 0.0)
    out = circuit.output
    seed = precise(wires[out].grad)
    tell("backward", "", "The output's own gradient", [f"∂ output / ∂ {out} = {seed}: here the way back begins"],
         grad={out: brief(wires[out].grad)})  # fmt: skip
    for g in reversed(circuit.gates):
        upstream = wires[g.name].grad
        if upstream is None:
            continue
        lines = [RULES[g.op], f"upstream = {precise(upstream)}"]
        grad = {}
        for i, n in enumerate(g.wires()):
            got[n] += 1
            more = f" ({got[n]} of {uses[n]} uses added)" if uses[n] > 1 else ""
            if upstream.ndim == 0 and wires[g.name].local:
                slope = float(wires[g.name].local[i])
                gathered[n] += float(upstream) * slope
                lines.append(
                    f"to {n}: upstream × ∂{g.name}/∂{n} = {upstream:.6g} × {slope:.6g} = {upstream * slope:.6g}"
                )
                so_far = number(gathered[n])
            else:
                so_far = "…"
            if got[n] == uses[n]:
                so_far = brief(wires[n].grad)
                lines.append(f"gradient of {n} = {precise(wires[n].grad)}{more}")
            elif more:
                lines.append(f"gradient of {n} so far: {so_far}{more}")
            grad[n] = so_far
        if g.name in found.kinks:
            lines.append("this gate sits exactly at a kink or a tie: the convention above decides, as torch's does")
        tell("backward", g.name, f"Backward through {_words(g)}", lines, grad=grad)
    done = [f"∂{out}/∂{n} = {precise(wires[n].grad)}" for n in circuit.inputs]
    tell("end", "", "Every input knows what it does to the output", done)
    return told


def _words(gate: Gate) -> str:
    return f"{gate.op} ({sign(gate)})" if sign(gate) != gate.op else gate.op


def _gate(found: Readings, name: str) -> Gate:
    return next(g for g in found.circuit.gates if g.name == name)


def _wire(found: Readings, name: str, where: Layout, names: float, top: float) -> Mapping[str, Any]:
    x, y = _pixels(where.centres[name], names, top)
    wire = found.wires[name]
    label = "" if wire.op == "input" else sign(_gate(found, name))
    start = x + GATE / 2 * SCALE
    return {
        "name": name,
        "x": x,
        "y": y,
        "start": start,
        "end": start + where.stub * SCALE,
        "middle": start + where.stub * SCALE / 2,
        "label": label,
        "size": 24 if len(label) == 1 else 17 if len(label) <= 3 else 13 if len(label) <= 5 else 10,
        "value": brief(wire.value),
        "tip": f"{name}: value {precise(wire.value)}, gradient {precise(wire.grad)}",
    }


def _pixels(point: tuple[float, float], names: float, top: float) -> tuple[float, float]:
    return round(point[0] * SCALE + MARGIN + names, 1), round((top - point[1]) * SCALE + MARGIN, 1)


def _path(route: tuple[tuple[float, float], ...], names: float, top: float) -> str:
    points = [_pixels(p, names, top) for p in route]
    head, rest = points[0], points[1:]
    return f"M{head[0]},{head[1]} C" + " ".join(f"{x},{y}" for x, y in rest)
