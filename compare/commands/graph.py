"""gradtwin graph: a circuit with its values and gradients, as text, picture or player."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from compare import options
from compare.records import Refusal, Verdict

if TYPE_CHECKING:
    from rich.console import Console

    from compare.readings import Readings


def graph(
    expression: Annotated[
        str, typer.Argument(help="Such as 'sigmoid(w*x + b)'; one that starts with - goes after --.")
    ],
    values: Annotated[
        list[str] | None,
        typer.Argument(metavar="NAME=VALUE…", help="x=2, x=[1,2], x=weights.npy, or a part: q='x + y'."),
    ] = None,
    expand: Annotated[bool, typer.Option("--expand", help="Open every sigmoid into neg, exp, + 1 and 1 / x.")] = False,
    upstream: Annotated[
        str | None,
        typer.Option(metavar="VALUE", help="Gradient that reaches the output.  [default: ones, the sum's gradient]"),
    ] = None,
    png: Annotated[Path | None, typer.Option(metavar="FILE", help="Draw the circuit as PNG.")] = None,
    svg: Annotated[Path | None, typer.Option(metavar="FILE", help="Draw the circuit as SVG.")] = None,
    html: Annotated[Path | None, typer.Option(metavar="FILE", help="Write a page that steps through it.")] = None,
    tensorboard: Annotated[bool, typer.Option("--tensorboard", help="Log it for TensorBoard's Graphs tab.")] = False,
    runs: options.RunsDir = Path("runs"),
    seed: options.Seed = 0,
    json_to: options.Json = None,
    quiet: options.Quiet = False,
) -> int:
    """Compute an expression forward and backward, gate by gate, and hold every gradient against two witnesses.

    Gates: + - * / ** @ [ ], exp log sqrt abs sigmoid tanh relu, max(a, b) min(a, b), sum mean max over axis=…,
    transpose, reshape(x, (2, 3)), broadcast(x, (2, 3)).
    Exit status: 0 the witnesses agree, 1 they do not, 2 wrong input.
    """
    from compare.given import array_of, given
    from compare.parsing import parse

    if svg is not None and svg.suffix != ".svg":
        raise Refusal(f"--svg {svg}: the file's name must end in .svg")
    if png is not None and png.suffix != ".png":
        raise Refusal(f"--png {png}: the file's name must end in .png")
    inputs, parts = given(values or ())
    flowing = None if upstream is None else array_of("--upstream", upstream)
    if upstream is not None and flowing is None:
        raise Refusal(f"--upstream {upstream[:40]}: neither a number, a list nor a .npy file")
    collapsed = parse(expression, inputs, parts)
    from compare import circuit, readings, report  # torch comes with these: a slip of the pen is told sooner
    from compare.differ import BOUND

    opened = circuit.expand(collapsed) if expand else collapsed
    found = readings.read(opened, inputs, seed, flowing)
    out = report.console(quiet, json_to)
    _tell(out, found, flowing is None)
    status = 0 if found.verdict is Verdict.AGREE else 1
    if opened != collapsed:
        units = readings.apart(found, readings.read(collapsed, inputs, seed, flowing))
        agree = units <= BOUND
        out.print(f"one sigmoid gate and its four elementary gates {_verdict(agree)}: {units:.2f} noise units apart")
        status = max(status, 0 if agree else 1)
    for written in _write(found, png, svg, html, runs if tensorboard else None):
        out.print(f"written: {written}", soft_wrap=True, markup=False)
    report.write_json(json_to, "graph", seed, None, _json(found))
    return status


def _tell(out: Console, found: Readings, summed: bool) -> None:
    from rich.markup import escape
    from rich.table import Table

    from compare.circuit_table import table as wires
    from compare.wording import precise

    out.print(escape(found.circuit.text), style="bold", soft_wrap=True)
    out.print(wires(found))
    shape = found.wires[found.circuit.output].value.shape
    if shape and summed:
        out.print(f"the output has shape {shape}: gradients are those of its sum (--upstream gives another)")
    table = Table(box=None, pad_edge=False, header_style="bold")
    table.add_column("input", no_wrap=True)
    for name in ("scratch", "torch", "numerical", "±"):
        table.add_column(name, justify="right")
    table.add_column("noise units", justify="right")
    table.add_column("")
    for name in found.circuit.inputs:
        w = found.wires[name]
        error = "" if w.error is None else f"{float(w.error.max()):.0e}"
        numerical = "searched" if w.numerical is None else "–" if error == "inf" else precise(w.numerical)
        row = (name, precise(w.grad), precise(w.ref_grad), numerical, error, f"{w.noise_units:.2f}")
        table.add_row(*map(escape, row), _verdict(w.verdict is Verdict.AGREE))
    out.print()
    out.print(table)
    for name, w in found.wires.items():
        if w.verdict is not Verdict.AGREE:
            out.print(f"[bold red]differ[/] {escape(name)}: value {escape(precise(w.value))} against torch's "
                      f"{escape(precise(w.ref_value))}, gradient {escape(precise(w.grad))} against "
                      f"{escape(precise(w.ref_grad))}", soft_wrap=True)  # fmt: skip
    for doubt in found.doubts:
        out.print(f"[magenta]numerical gradient[/] {escape(doubt)}", soft_wrap=True)
    if found.kinks:
        out.print(f"at a kink or a tie: {', '.join(found.kinks)}; there torch's convention decides, not the "
                  "numerical gradient", soft_wrap=True)  # fmt: skip


def _verdict(agree: bool) -> str:
    return "[green]agree[/]" if agree else "[bold red]differ[/]"


def _write(found: Readings, png: Path | None, svg: Path | None, html: Path | None, runs: Path | None) -> list[str]:
    """Write what was asked for; returns the names."""
    from datetime import datetime

    from compare import draw, graphdef, player

    written = []
    for path in (png, svg):
        if path is not None:
            boxes = draw.save(found, path)
            why = (
                f" (boxes stand for {boxes}, which matplotlib's fonts lack; --svg and --html show it)" if boxes else ""
            )
            written.append(f"{path}{why}")
    if html is not None:
        player.save(found, html)
        written.append(str(html))
    if runs is not None:
        folder = runs / f"{datetime.now().strftime('%Y%m%d-%H%M%S-%f')}-graph"
        graphdef.write(found, folder)
        written.append(f"{folder} (gradtwin board --runs {runs})")
    return written


def _json(found: Readings) -> dict[str, Any]:
    from compare.wording import formula

    gates = {g.name: g for g in found.circuit.gates}
    nodes = []
    for name, gate in gates.items():
        w = found.wires[name]
        local = [{"wire": n, "value": d} for n, d in zip(gate.wires(), w.local, strict=True)] if w.local else None
        nodes.append({"name": name, "op": gate.op, "formula": formula(gate), "value": w.value, "grad": w.grad,
                      "ref_grad": w.ref_grad, "local": local})  # fmt: skip
    inputs = {}
    for name in found.circuit.inputs:
        w = found.wires[name]
        inputs[name] = {"value": w.value, "grad": w.grad, "ref_grad": w.ref_grad, "numerical": w.numerical}
    output = {"name": found.circuit.output, "value": found.wires[found.circuit.output].value}
    return {"expression": found.circuit.text, "inputs": inputs, "nodes": nodes, "output": output,
            "kinks": found.kinks, "verdict": found.verdict}  # fmt: skip
