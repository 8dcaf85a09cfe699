"""A circuit as a page to step through: forward, then backward, one gate a step. One file, no network needed."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from compare.circuit import Gate
from compare.draw import placed
from compare.layout import GATE, Point
from compare.readings import Readings, Wire
from compare.records import Refusal
from compare.wording import brief, formula, number, precise, sign, slopes

SCALE = 106.0  # pixels an inch
MARGIN = 50.0
SIX = "{:.6g}".format
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
    left = MARGIN + 12.0 * max(map(len, found.circuit.inputs)) - GATE / 2 * SCALE
    top = where.low + where.height

    def pixels(point: Point) -> Point:
        return round(point[0] * SCALE + left, 1), round((top - point[1]) * SCALE + MARGIN, 1)

    gates = {g.name: g for g in found.circuit.gates}
    return environment.get_template("player.html.j2").render(
        text=found.circuit.text,
        width=left + where.width * SCALE + MARGIN,
        height=where.height * SCALE + 2 * MARGIN + 24,
        radius=GATE / 2 * SCALE,
        stub=where.stub * SCALE,
        inlet=where.inlet * SCALE,
        wires=[_wire(found.wires[name], gates.get(name), pixels(at)) for name, at in where.centres.items()],
        routes=[
            {"target": target, "source": gates[target].wires()[i], "d": _path([pixels(p) for p in route]),
             "end": pixels(route[-1]), "upper": route[-1][1] >= where.centres[target][1],
             "slope": slopes(gates[target], found.wires[target])[i]}
            for (target, i), route in where.routes.items()
        ],
        steps=steps(found),
        output=found.circuit.output,
    )  # fmt: skip


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
    wires, inputs, out = found.wires, found.circuit.inputs, found.circuit.output
    given = [f"{n} = {precise(wires[n].value)}" for n in inputs]
    seed = f"∂ output / ∂ {out} = {precise(wires[out].grad)}: here the way back begins"
    done = [f"∂{out}/∂{n} = {precise(wires[n].grad)}" for n in inputs]
    return [
        _step("start", "", "The inputs are given", given, show=list(inputs)),
        *_forward(found),
        _step("backward", "", "The output's own gradient", [seed], grad={out: brief(wires[out].grad)}),
        *_backward(found),
        _step("end", "", "Every input knows what it does to the output", done),
    ]


def _step(phase: str, gate: str, title: str, lines: list[str], **more: Any) -> dict[str, Any]:
    return {"phase": phase, "gate": gate, "title": title, "lines": lines, "show": [], "grad": {}} | more


def _forward(found: Readings) -> Iterator[dict[str, Any]]:
    for g in found.circuit.gates:
        wire = found.wires[g.name]
        given = [f"{a} = {precise(found.wires[a].value)}" if isinstance(a, str) else f"constant {a:g}" for a in g.args]
        kept = ", ".join(f"∂{g.name}/∂{n}: {s}" for n, s in zip(g.wires(), slopes(g, wire, SIX), strict=True))
        lines = [", ".join(given), f"{g.name} = {formula(g)} = {precise(wire.value)}",
                 f"local gradient, kept for the way back: {kept}"]  # fmt: skip
        yield _step("forward", g.name, f"Forward through {_words(g)}", lines, show=[g.name])


def _backward(found: Readings) -> Iterator[dict[str, Any]]:
    wires = found.wires
    uses = Counter(n for g in found.circuit.gates for n in g.wires())
    got: Counter[str] = Counter()
    gathered = dict.fromkeys(wires, 0.0)
    for g in reversed(found.circuit.gates):
        upstream, local = wires[g.name].grad, wires[g.name].local
        if upstream is None:
            continue
        lines = [RULES[g.op], f"upstream = {precise(upstream)}"]
        grad = {}
        for i, (n, slope) in enumerate(zip(g.wires(), slopes(g, wires[g.name], SIX), strict=True)):
            got[n] += 1
            so_far = "…"
            if not local:
                lines.append(f"to {n}: {slope} upstream" if i else f"to {n}: upstream {slope}")
            elif upstream.ndim or local[i].ndim:
                back = ", summed back to its shape" if wires[n].value.shape != local[i].shape else ""
                lines.append(f"to {n}: upstream × ∂{g.name}/∂{n}, entry by entry × {slope}{back}")
            else:
                flows = float(upstream * local[i])
                gathered[n] += flows
                so_far = number(gathered[n])
                lines.append(f"to {n}: upstream × ∂{g.name}/∂{n} = {upstream:.6g} × {slope} = {flows:.6g}")
            more = f" ({got[n]} of {uses[n]} uses added)" if uses[n] > 1 else ""
            if got[n] == uses[n]:
                so_far = brief(wires[n].grad)
                lines.append(f"gradient of {n} = {precise(wires[n].grad)}{more}")
            elif more:
                lines.append(f"gradient of {n} so far: {so_far}{more}")
            grad[n] = so_far
        if g.name in found.kinks:
            lines.append("this gate sits exactly at a kink or a tie: the convention above decides, as torch's does")
        yield _step("backward", g.name, f"Backward through {_words(g)}", lines, grad=grad)


def _words(gate: Gate) -> str:
    return f"{gate.op} ({sign(gate)})" if sign(gate) != gate.op else gate.op


def _wire(wire: Wire, gate: Gate | None, at: Point) -> dict[str, Any]:
    label = sign(gate) if gate else ""
    return {
        "name": wire.name,
        "x": at[0],
        "y": at[1],
        "label": label,
        "size": 24 if len(label) == 1 else 17 if len(label) <= 3 else 13 if len(label) <= 5 else 10,
        "value": brief(wire.value),
        "tip": f"{wire.name}: value {precise(wire.value)}, gradient {precise(wire.grad)}",
    }


def _path(points: list[Point]) -> str:
    start, *rest = (f"{x},{y}" for x, y in points)
    return f"M{start} C{' '.join(rest)}"
