"""The command: what it prints, writes and returns."""

import json
import math
import re
import shlex
from pathlib import Path

import pytest

import scratch.graph
from compare import cli

NEURON = "sigmoid(w0*x0 + w1*x1 + w2)"
WEIGHTS = ("w0=2", "x0=-1", "w1=-3", "x1=-2", "w2=-3")


def run(*arguments):
    with pytest.raises(SystemExit) as exit_:
        cli.main(["graph", *arguments])
    return exit_.value.code


def test_the_command_writes_what_it_is_asked_for(tmp_path, capsys):
    files = {kind: tmp_path / f"circuit.{kind}" for kind in ("png", "svg", "html", "json")}
    options = [part for kind, path in files.items() for part in (f"--{kind}", str(path))]
    status = run(NEURON, *WEIGHTS, "--expand", "--tensorboard", "--runs", str(tmp_path / "runs"), *options)
    told = capsys.readouterr().out
    assert status == 0
    assert "one sigmoid gate and its four elementary gates agree" in told
    assert files["png"].read_bytes().startswith(b"\x89PNG")
    assert "<svg" in files["svg"].read_text()
    assert re.search(r"0\.73", files["svg"].read_text())
    result = json.loads(files["json"].read_text())
    assert (result["schema"], result["command"], result["verdict"]) == (1, "graph", "agree")
    assert result["inputs"]["x1"]["grad"] == pytest.approx(result["inputs"]["x1"]["ref_grad"], rel=1e-14)
    assert round(result["inputs"]["x1"]["grad"], 2) == -0.59
    assert [n["op"] for n in result["nodes"]][-4:] == ["neg", "exp", "add", "div"]
    assert result["output"] == {"name": "sigmoid1", "value": pytest.approx(0.7310585786300049)}
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    events = EventAccumulator(str(next((tmp_path / "runs").iterdir())))
    events.Reload()
    wires = {node.name: node for node in events.Graph().node}
    assert wires["add2"].input == ["add1", "w2"]
    assert wires["w0"].op == "Placeholder"
    assert wires["mul2"].attr["gradient"].s == b"0.196612"
    assert wires["mul2"].attr["local"].s == b"d/dw1 -2  d/dx1 -3"


def test_the_command_says_which_column_under_the_expression(capsys):
    assert run("x*w3", "x=1") == 2
    first, second = capsys.readouterr().err.rstrip("\n").split("\n")
    assert first[second.index("^")] == "w"


def test_the_command_fails_where_the_witnesses_differ(monkeypatch, capsys):
    def wrong(a):
        return math.tanh(a), lambda g: g * (1 - math.tanh(a))

    monkeypatch.setattr(scratch.graph, "tanh", scratch.graph._unary(wrong))
    assert run("tanh(x)", "x=0.5") == 1
    assert "differ" in capsys.readouterr().out


def test_an_arrays_gradient_is_its_sums_unless_upstream_says_otherwise(capsys):
    assert run("x*y", "x=[1,2]", "y=3", "--json", "-") == 0
    told = capsys.readouterr()
    assert json.loads(told.out)["inputs"]["y"]["grad"] == 3
    assert "gradients are those of its sum" in told.err
    assert run("x*y", "x=[1,2]", "y=3", "--upstream", "[1,10]", "--json", "-") == 0
    assert json.loads(capsys.readouterr().out)["inputs"]["y"]["grad"] == 21
    capsys.readouterr()
    for bad in ("[1,10,100]", "nan", "[1, Infinity]", "[]", "word"):
        assert run("x*y", "x=[1,2]", "y=3", "--upstream", bad) == 2
        assert capsys.readouterr().err.count("\n") <= 2


def test_the_commands_of_the_page_for_students_do_what_it_says(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    page = (Path(__file__).parents[1] / "docs" / "graph.md").read_text(encoding="utf-8")
    commands = re.findall(r"^    gradtwin graph (.+)$", page, re.MULTILINE)
    for command in commands:
        assert run(*shlex.split(command)) == 0
    assert len(commands) == 2
    assert (tmp_path / "docs" / "graph.png").exists()
    assert "four elementary gates agree" in capsys.readouterr().out
