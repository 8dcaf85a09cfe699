"""The refusal to time what is wrong, peers that compute the same, and the shape of what comes out."""

import json
import time
from dataclasses import fields, replace

import numpy as np
import pytest
import torch

from compare import bench, cli, graph_race, network_race, numgrad_race, races, step_race, timing
from compare.commands import bench as command
from compare.pairs import TABLE, select
from compare.records import Outcome
from compare.sides import side

TINY = timing.Effort(budget_s=0.0, sample_s=1e-6, least=2, most=2)
ROW = {
    "task", "form", "threads", "agrees", "fault", "rounds", "scratch_s", "ref_s", "floor_s", "people_s", "ratio",
    "ratio_low", "ratio_high", "floor_ratio", "people_ratio", "peak_mb", "ref_peak_mb", "note",
}  # fmt: skip


def task(agree, calls):
    return bench.Task("t", "textbook", lambda: calls.append("scratch"), lambda: calls.append("ref"), agree)


def test_no_speed_without_agreement():
    calls = []
    rows = list(bench.bench([task(lambda: "dW: 900 noise units from the ref", calls)], effort=TINY))
    assert calls == []  # neither side was even started
    assert (rows[0].agrees, rows[0].fault) == (False, "dW: 900 noise units from the ref")
    figures = {f.name for f in fields(bench.Row)} - {"task", "form", "threads", "agrees", "fault", "rounds"}
    assert all(getattr(rows[0], name) is None for name in figures)


def test_a_task_that_agrees_is_raced():
    row = next(bench.bench([task(lambda: "", [])], effort=TINY))
    assert row.agrees
    assert row.rounds == 2
    assert row.scratch_s > 0
    assert row.ref_s > 0
    assert row.ratio_low <= row.ratio <= row.ratio_high
    assert row.floor_s is row.floor_ratio is row.people_s is None


FAULTS = {
    "a factor": lambda o: replace(o, grads={n: 1.001 * g for n, g in o.grads.items()}),
    "one wrong row": lambda o: replace(o, grads={"W": spoiled(o.grads["W"]), "b": o.grads["b"]}),
    "the value": lambda o: replace(o, value=o.value + np.float32(0.01)),
    "the dtype": lambda o: replace(o, grads={n: g.astype(np.float64) for n, g in o.grads.items()}),
    "a missing gradient": lambda o: replace(o, grads={"W": o.grads["W"]}),
}


def spoiled(dW):
    dW = dW.copy()
    dW[2000] *= -1
    return dW


@pytest.fixture(scope="module")
def objective():
    return next(iter(races.tasks(select(["softmax_objective"]))))


@pytest.fixture(scope="module")
def judge():
    pair = select(["softmax_objective"])[0]
    rng = np.random.default_rng(0)
    case = races.cast(races.Case("real size", races._linear_inputs(rng, 64), ("W", "b")), "float32")
    answers = [partial_answer(call) for _, call, _ in races.forms(pair.at, case)]
    return races.judged(pair, case), answers


def partial_answer(call):
    return lambda: races.answered(call)


def test_both_forms_agree_at_real_size(judge):
    ask, answers = judge
    assert [ask(answer) for answer in answers] == ["", ""]


@pytest.mark.parametrize("fault", FAULTS)
def test_a_wrong_implementation_is_named_and_not_timed(judge, fault):
    ask, answers = judge
    for answer in answers:
        assert ask(lambda answer=answer: FAULTS[fault](answer())) != ""


def test_a_crash_is_an_answer_too(judge):
    def broken():
        raise ZeroDivisionError("by hand")

    assert judge[0](broken) == "raised ZeroDivisionError: by hand"


def test_every_pair_of_the_table_is_raced_and_named():
    made = [t.name.split(" ")[0] for t in races.tasks(TABLE)]
    for pair in TABLE:
        assert {pair.name, *pair.at.split(".")} & set(made)
    names = [(t.name, t.form) for t in races.tasks(select(["softmax_objective"]), full=True)]
    assert names == [(f"softmax_objective {N}", f) for N in (64, 256, 4096) for f in ("textbook", "fused")]


def test_peers_compute_the_same_gradients(objective):
    """The best form and the form people write must be peers, not strawmen that compute something else."""
    inputs = races.cast(races.Case("c", races._linear_inputs(np.random.default_rng(1), 8), ("W", "b")), "float32")
    for loss, at in (("softmax", "linear.softmax_objective"), ("hinge", "linear.svm_objective")):
        call = races.best_torch(loss, inputs)
        call()
        W = next(c.cell_contents for c in call.__closure__ if getattr(c.cell_contents, "shape", None) == (10, 3073))
        params = {n: inputs.inputs[n].astype(np.float64) for n in ("W", "b")}
        X = inputs.inputs["X"].astype(np.float64)
        grads = side("scratch", at)(params, X, inputs.inputs["y"])[1]
        np.testing.assert_allclose(W.grad.numpy().T, grads["W"], atol=1e-5)


def test_the_network_is_raced_in_both_forms_against_peers_that_compute_the_same():
    rows = list(bench.bench(races.tasks(select(["network"])), effort=TINY))
    assert [(r.task, r.form, r.fault) for r in rows] == [
        ("two_layer 256", "textbook", ""),
        ("two_layer 256", "fused", ""),
    ]
    assert all(r.floor_ratio and r.people_ratio for r in rows)
    asked = races.cast(network_race.case(np.random.default_rng(1), 8), "float32")
    params = {n: asked.inputs[n].astype(np.float64) for n in asked.wrt}
    grads = side("scratch", "two_layer.objective")(params, asked.inputs["X"].astype(np.float64), asked.inputs["y"])[1]
    for call, turned in ((network_race.best_torch(asked), True), (network_race.as_written(asked), False)):
        call()
        leaves = [c.cell_contents for c in call.__closure__ if isinstance(c.cell_contents, torch.Tensor)]
        for grad in grads.values():
            found = [p.grad.numpy() for p in leaves if tuple(p.shape) == (grad.T if turned else grad).shape]
            assert len(found) == 1
            np.testing.assert_allclose(found[0].T if turned else found[0], grad, atol=1e-5)


def test_training_step_races_both_forms_on_the_same_batches():
    tasks = list(step_race.tasks(select(["softmax_objective"])[0], count=1000))
    rows = list(bench.bench(tasks, effort=TINY))
    assert [(r.task, r.form, r.agrees) for r in rows] == [("train_step", f, True) for f in ("textbook", "fused")]
    images = step_race.Images(0, 1000)
    first, second, third, again = (rows for rows, _ in zip(images.batches(), range(4), strict=False))
    assert len(set(first) | set(second) | set(third)) == 3 * races.BATCH
    np.testing.assert_array_equal(again, first)


def test_what_does_a_share_of_the_work_is_told_for_the_whole_of_it():
    waits = bench.Task("t", "textbook", lambda: None, lambda: time.sleep(1e-3), lambda: "", ref_times=50.0)
    (row,) = bench.bench([waits], effort=TINY)
    assert row.ref_s >= 50e-3  # 50 calls of a millisecond
    assert row.ratio < 1e-3


def test_the_numerical_gradient_races_the_loop_and_the_analytic_gradient():
    (task,) = numgrad_race.tasks()
    assert task.ref_times == (3072 * 10 + 10) / numgrad_race.SAMPLE
    (row,) = bench.bench([task], effort=TINY)
    assert (row.task, row.agrees, row.people_s) == ("numerical_gradient", True, None)
    assert f"{numgrad_race.SAMPLE} of 30,730 weights" in row.note
    assert row.ref_s > row.scratch_s > row.floor_s


def test_a_wrong_numerical_gradient_is_not_timed(monkeypatch):
    from scratch import numgrad_linear

    own = numgrad_linear.linear_gradient

    def doubled(*asked):
        return {n: (2 * g, e) for n, (g, e) in own(*asked).items()}

    monkeypatch.setattr(numgrad_linear, "linear_gradient", doubled)
    (row,) = bench.bench(numgrad_race.tasks(), effort=TINY)
    assert not row.agrees
    assert "times the error that it tells" in row.fault


def test_the_graph_races_torchs_autograd_on_numbers_and_arrays():
    numbers, arrays = bench.bench(graph_race.tasks(), effort=TINY)
    assert (numbers.task, numbers.agrees) == ("graph numbers", True)
    assert (arrays.task, arrays.agrees) == ("graph 256×100", True)
    assert numbers.ratio > 0


def test_a_wrong_gate_is_not_timed(monkeypatch):
    from scratch import gates, graph

    def tanh(a):
        return gates.tanh(a)[0], lambda g: g * (1 - abs(gates.tanh(a)[0]))

    monkeypatch.setattr(graph, "tanh", graph._unary(tanh))
    (row,) = bench.bench([graph_race.task("3", "sum(tanh(x))", {"x": np.float32([0.1, 0.2, 0.3])})], effort=TINY)
    assert not row.agrees
    assert row.fault.startswith("dx: ")


@pytest.mark.parametrize(("x", "told"), [(1 / 900, "1/900"), (0.45, ".45"), (1.2, "1.2"), (17.4, "17"), (120.0, "120")])
def test_a_ratio_reads_as_people_say_it(x, told):
    assert command.ratio_words(x) == told


def run(capsys, *arguments):
    with pytest.raises(SystemExit) as end:
        cli.main(["bench", *arguments])
    return end.value.code, capsys.readouterr()


def test_command_writes_json_as_documented(capsys, monkeypatch):
    monkeypatch.setattr(timing, "QUICK", TINY)
    code, seen = run(capsys, "softmax_objective", "sgd", "--quick", "--json", "-", "--quiet")
    body = json.loads(seen.out)
    assert code == 0
    assert (body["schema"], body["command"], body["seed"], body["threads"]) == (1, "bench", 0, 1)
    assert {"numpy", "torch"} <= set(body["versions"])
    assert [(r["task"], r["form"]) for r in body["rows"]] == [
        ("softmax_objective 256", "textbook"), ("softmax_objective 256", "fused"), ("sgd", "textbook")
    ]  # fmt: skip
    for row in body["rows"]:
        assert set(row) == ROW
        assert row["agrees"]
        assert row["ratio_low"] <= row["ratio"] <= row["ratio_high"]


def test_command_ends_with_1_and_prints_no_speed_for_a_wrong_pair(capsys, monkeypatch):
    import scratch.losses

    right = scratch.losses.softmax

    def wrong(scores, y):
        value, grads = right(scores, y)
        return value, {"scores": grads["scores"] * np.float32(1.01)}

    monkeypatch.setattr(scratch.losses, "softmax", wrong)
    monkeypatch.setattr(timing, "QUICK", TINY)
    pair = next(p for p in TABLE if p.name == "softmax")
    monkeypatch.setattr("compare.pairs.select", lambda names=(): (pair,))
    code, seen = run(capsys, "softmax", "--quick")
    assert code == 1
    line = next(line for line in seen.out.splitlines() if line.startswith("softmax"))
    assert "differs" in line
    assert "µs" not in line
    assert "not timed softmax, textbook: dscores" in seen.out


def test_unknown_names_are_refused_with_the_closest(capsys):
    for name, hint in (
        ("sofmax", "softmax"),
        ("trainstep", "train_step"),
        ("numerical_gradeint", "numerical_gradient"),
    ):
        code, seen = run(capsys, name)
        assert code == 2
        assert f"did you mean {hint}?" in seen.err
        assert seen.out == ""


def test_outcomes_outlive_the_buffers():
    buffer = np.ones(3)
    answer = races.answered(lambda: (np.float64(1), {"W": buffer}))
    buffer[:] = 0
    assert isinstance(answer, Outcome)
    np.testing.assert_array_equal(answer.grads["W"], 1)
