"""Circuits drawn: the layout, the picture, the page to step through, TensorBoard's graph."""

import re
import shutil
from collections import Counter
from itertools import combinations
from pathlib import Path

import numpy as np
import pytest

import scratch.gates
import scratch.graph
from compare import circuit_table, draw, graphdef, layout, player, readings, rows, wording
from compare.circuit import expand
from compare.given import given as values_of
from compare.parsing import parse
from compare.records import Refusal

NEURON = "sigmoid(w0*x0 + w1*x1 + w2)"
WEIGHTS = ("w0=2", "x0=-1", "w1=-3", "x1=-2", "w2=-3")


def read(text, *assignments, opened=False):
    inputs, parts = values_of(assignments)
    circuit = parse(text, inputs, parts)
    return readings.read(expand(circuit) if opened else circuit, inputs)


TWELVE = "relu(x*y + 3) * max(z, w) / (1 + exp(-a)) + log(b)**2 - sqrt(c*x)"
TWELVES = ("x=1.5", "y=2", "z=-1", "w=0.2", "a=0.3", "b=2", "c=4")
NETWORK = "mean(max(relu(X @ W1 + b1) @ W2, axis=1))"
DRAWN = {"sum": ("(x+y)*z", "x=-2", "y=5", "z=-4"), "neuron": (NEURON, *WEIGHTS), "twelve": (TWELVE, *TWELVES),
         "arrays": (NETWORK, "X=[[1,2],[3,4]]", "W1=[[1,0,2],[3,1,1]]", "W2=[[1,2],[0,1],[1,1]]", "b1=0.1"),
         "twice": ("x*x - x/x", "x=3"),
         "constant": ("exp(2)*é", "é=3"), "kink": ("relu(x)", "x=0"), "input": ("x", "x=3")}  # fmt: skip


@pytest.mark.parametrize("dot", [False, True])
@pytest.mark.parametrize("name", DRAWN)
def test_gates_stand_apart_and_wires_lead_from_a_label_to_the_rim_of_a_gate(name, dot):
    if dot and shutil.which("dot") is None:
        pytest.skip("graphviz's program dot is not installed")
    found = read(*DRAWN[name])
    where = layout.layout(found.circuit, dot=dot)
    points = list(where.centres.values())
    assert len(points) == len(found.wires)
    gaps = [max(abs(a[0] - b[0]), abs(a[1] - b[1])) for i, a in enumerate(points) for b in points[:i]]
    assert min(gaps, default=1) >= layout.GATE
    for g in found.circuit.gates:
        x, y = where.centres[g.name]
        ends = []
        for i, source in enumerate(g.wires()):
            route = where.routes[g.name, i]
            assert len(route) % 3 == 1
            assert route[0] == (where.centres[source][0] + layout.GATE / 2 + where.stub, where.centres[source][1])
            assert np.hypot(route[-1][0] - x, route[-1][1] - y) == pytest.approx(layout.GATE / 2)
            assert route[-1][0] < x
            ends.append(route[-1][1])
        assert len(set(ends)) == len(ends)
        if g.op in layout.ORDERED:
            assert ends == sorted(ends, reverse=True)  # x - y and y - x look different


def test_dot_is_asked_and_its_order_taken_where_it_saves_crossings(monkeypatch):
    circuit = read(*DRAWN["twelve"]).circuit
    mirrored = []

    def dot(columns, links):
        mirrored.append(links)
        return [column[::-1] for column in rows.order(columns, list(links))]

    monkeypatch.setattr(layout, "order", lambda columns, links: [sorted(column) for column in columns])
    unsorted = layout.layout(circuit, dot=False)
    monkeypatch.setattr(layout, "_dot", dot)
    assert layout.layout(circuit).centres != unsorted.centres
    assert mirrored


def test_dots_order_crosses_no_more_than_ours():
    if shutil.which("dot") is None:
        pytest.skip("graphviz's program dot is not installed")
    columns = [["a", "b", "c"], ["f", "g", "h"]]
    links = [("a", "h", 0), ("b", "g", 0), ("c", "f", 0)]
    theirs = layout._dot(columns, links)
    assert [sorted(column) for column in theirs] == columns
    assert rows.crossings(theirs, links) == 0


def test_crossings_are_counted_and_removed():
    columns = [["a", "b"], ["f", "g"]]
    assert rows.crossings(columns, [("a", "g", 0), ("b", "f", 0)]) == 1
    assert rows.crossings(columns, [("a", "f", 0), ("a", "g", 0), ("b", "f", 0), ("b", "g", 0)]) == 1
    assert rows.crossings(columns, [("a", "f", -1), ("b", "f", 1)]) == 1  # b is the first input of f, and stands below
    assert rows.order(columns, [("a", "g", 0), ("b", "f", 0)]) == [["a", "b"], ["g", "f"]]
    assert rows.order(columns, [("a", "f", -1), ("b", "f", 1)])[0] == ["b", "a"]


def test_a_passing_wire_runs_straight_and_a_chain_stands_in_line():
    where = layout.layout(read(NEURON, *WEIGHTS, opened=True).circuit, dot=False)
    heights = [where.centres[name][1] for name in ("w0", "x0", "w1", "x1", "w2")]
    assert heights == sorted(heights, reverse=True)  # a tree stands as it is written
    level = where.centres["w2"][1]
    assert [y for _, y in where.routes["add2", 1][:-5]] == pytest.approx([level] * (len(where.routes["add2", 1]) - 5))
    assert len({round(where.centres[name][1], 9) for name in ("add2", "neg1", "exp1", "add3", "sigmoid1")}) == 1


@pytest.mark.parametrize("name", DRAWN)
def test_a_picture_shows_every_number_and_no_two_of_them_overlap(name):
    found = read(*DRAWN[name])
    figure = draw.picture(found)
    texts = figure.axes[0].texts
    shown = Counter(text.get_text() for text in texts)
    wanted = Counter(wording.brief(x) for wire in found.wires.values() for x in (wire.value, wire.grad))
    wanted += Counter(s for g in found.circuit.gates for s in wording.slopes(g, found.wires[g.name]))
    assert wanted <= shown
    figure.canvas.draw()
    boxes = [text.get_window_extent() for text in texts]
    assert not [(a.get_text(), b.get_text()) for (a, m), (b, n) in combinations(zip(texts, boxes, strict=True), 2)
                if m.overlaps(n)]  # fmt: skip
    width, height = figure.canvas.get_width_height()
    assert all(b.x0 >= 0 and b.y0 >= 0 and b.x1 <= width and b.y1 <= height for b in boxes)


def test_the_player_steps_forward_then_backward_one_gate_at_a_time():
    found = read("x*x + y", "x=3", "y=1")
    steps = player.steps(found)
    assert [(s["phase"], s["gate"]) for s in steps] == [
        ("start", ""), ("forward", "mul1"), ("forward", "add1"), ("backward", ""), ("backward", "add1"),
        ("backward", "mul1"), ("end", ""),
    ]  # fmt: skip
    told = "\n".join(steps[5]["lines"])
    assert "mul swaps: upstream × the other input" in told
    assert "gradient of x so far: 3.00 (1 of 2 uses added)" in told
    assert "gradient of x = 6 (2 of 2 uses added)" in told
    assert steps[5]["grad"] == {"x": "6.00"}


def test_every_gate_has_its_rule_in_words():
    gates = {
        name for name in vars(scratch.graph) if hasattr(scratch.gates, name) and callable(getattr(scratch.graph, name))
    }
    assert {n for n in gates if n.islower() and not n.startswith("_")} == set(player.RULES)


def test_the_page_needs_no_network_and_shows_text_as_text():
    page = player.page(read("x*x + y", "x=3", "y=1"))
    assert not re.search(r"(src|href)=|https?://|@import|url\(", page)
    found = read("x + y", "x=1", "y=2")
    hostile = readings.Readings(
        type(found.circuit)("</script><b>x</b>", found.circuit.inputs, found.circuit.gates, found.circuit.output),
        found.wires, (), (), found.verdict,
    )  # fmt: skip
    assert "<b>" not in player.page(hostile)


def test_a_large_circuit_is_told_as_a_table_and_not_drawn(tmp_path):
    inputs = {"x": np.asarray(0.5)}
    deep = readings.read(parse("tanh(" * 20 + "x" + ")" * 20, inputs), inputs)
    assert next(iter(circuit_table.table(deep).columns[0].cells)) == "[bold]tanh1[/] = tanh(x)"
    many = readings.read(parse(" + ".join(["x*x*x*x"] * 140), inputs), inputs)
    with pytest.raises(Refusal, match="559 gates are too many for a picture"):
        draw.save(many, tmp_path / "many.png")
    assert not list(Path(tmp_path).iterdir())
    assert len(graphdef.graph_def(many)) > 10_000


def test_letters_that_no_font_has_are_told_and_warn_of_nothing(tmp_path):
    found = read("中中 + é*λ", "中中=1", "é=2", "λ=3")
    assert draw.save(found, tmp_path / "circuit.png") == "中"
    assert draw.save(found, tmp_path / "circuit.svg") == ""
    assert "中中" in (tmp_path / "circuit.svg").read_text(encoding="utf-8")
    narrow = read("ab + é*λ", "ab=1", "é=2", "λ=3")
    wide = [draw.picture(x).get_figwidth() for x in (found, narrow)]
    assert wide[0] == pytest.approx(wide[1] + 2 * 0.115)  # room for two letters of two columns each


def test_a_zero_has_no_sign():
    assert wording.number(-0.0) == "0.00"
    assert wording.precise(np.asarray(-0.0)) == "0"


def test_the_page_shrinks_a_circuit_no_further_in_height_than_in_width():
    """Were the width alone held, a flat window would leave tiny letters in the middle of a wide scroll area."""
    page = player.page(read(NEURON, *WEIGHTS))
    width, height, *least = map(
        float, re.search(r'viewBox="0 0 (\S+) (\S+)".*min-width: (\S+)px; min-height: (\S+)px', page).groups()
    )
    assert least[0] / width == pytest.approx(least[1] / height, rel=0.01)
