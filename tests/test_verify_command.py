"""gradtwin verify from the outside: its exit status, its words, its JSON."""

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from compare import check, cli, sanity
from compare.records import Verdict
from scratch import losses

FIELDS = {
    "pair", "function", "case", "dtype", "quantity", "verdict", "noise_units", "entry", "scratch", "ref",
    "numerical", "causes", "convention", "message", "slopes", "unjudged",
}  # fmt: skip


@pytest.fixture(scope="module")
def source(tmp_path_factory: pytest.TempPathFactory) -> str:
    """Noise in three classes, 6 × 6 pixels."""
    path = tmp_path_factory.mktemp("data") / "[a].npz"
    images = np.random.default_rng(0).integers(0, 256, (120, 6, 6, 3)).astype(np.uint8)
    np.savez(path, images=images, labels=np.arange(120) % 3)
    return f"npz:{path}"


@pytest.fixture
def verify(source: str, capsys: pytest.CaptureFixture[str]):
    """Run the command: its exit status, standard output and standard error."""

    def run(*arguments: str) -> tuple[int, str, str]:
        with pytest.raises(SystemExit) as ended:
            cli.main(["verify", *arguments, "--data", source])
        return ended.value.code, *capsys.readouterr()

    return run


def test_pairs_that_agree_end_with_0_and_the_same_json_for_one_seed(verify) -> None:
    results = []
    for _ in range(2):
        code, out, told = verify("margins", "l2", "--json", "-", "--seed", "3")
        assert code == 0
        results.append(json.loads(out))
    assert results[0] == results[1]
    assert "every pair agrees: 2 pairs" in told
    assert "[a].npz" in told.splitlines()[0]
    body = results[0]
    assert (body["schema"], body["command"], body["seed"]) == (1, "verify", 3)
    assert {"gradtwin", "numpy", "torch", "python"} <= set(body["versions"])
    assert all(set(f) == FIELDS for f in body["findings"])
    assert body["summary"]["agree"] == len(body["findings"]) == sum(body["summary"].values())
    assert {f["dtype"] for f in body["findings"]} == {"float32", "float64"}


def test_threads_asked_for_elsewhere_do_not_change_the_figures(verify) -> None:
    before, found = torch.get_num_threads(), []
    try:
        for threads in (1, 2):
            torch.set_num_threads(threads)
            found.append(json.loads(verify("softmax_fused", "--dtype", "float32", "--json", "-")[1]))
            assert torch.get_num_threads() == threads
    finally:
        torch.set_num_threads(before)
    assert found[0] == found[1]


def test_one_precision_only(verify) -> None:
    body = json.loads(verify("l2", "--dtype", "float32", "--json", "-", "--quiet")[1])
    assert {f["dtype"] for f in body["findings"]} == {"float32"}


def test_sanity_figures_stand_beside_what_they_must_be(verify) -> None:
    code, out, _ = verify("softmax_objective", "--dtype", "float32", "--json", "-")
    (figure,) = json.loads(out)["sanity"]
    assert code == 0
    assert figure["name"] == "softmax loss at W = 0 is log C"
    assert figure["expected"] == pytest.approx(1.0986122886681098, rel=1e-15)  # log 3
    assert figure["scratch"] == pytest.approx(figure["expected"], rel=1e-13)


def test_a_planted_fault_ends_with_1_and_is_named(verify, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    right = losses.hinge

    def a_sum(scores, y, margin=1.0):
        value, grads = right(scores, y, margin)
        return value, {"scores": grads["scores"] * len(y)}

    monkeypatch.setattr(losses, "hinge", a_sum)
    code, out, _ = verify("hinge", "--json", str(tmp_path / "out.json"))
    assert code == 1
    line = next(line for line in out.splitlines() if line.startswith("differ hinge, typical, float64, dscores: "))
    for part in ("noise units; entry [", "scratch ", "ref ", "allowed ", "numerical gradient"):
        assert part in line
    assert "likely: not divided by N" in out
    assert "likewise in " in out
    assert out.splitlines()[-1].startswith("not every pair agrees: 1 pair, ")
    findings = json.loads((tmp_path / "out.json").read_text())["findings"]
    wrong = {f["quantity"] for f in findings if f["verdict"] == "differ" and f["case"] != "invariants"}
    assert wrong == {"dscores"}


@pytest.mark.parametrize(
    ("verdict", "arguments", "code"),
    [
        (Verdict.AGREE, [], 0), (Verdict.SKIPPED, [], 0), (Verdict.IMPRECISE, [], 0),
        (Verdict.IMPRECISE, ["--strict"], 1), (Verdict.DIFFER, [], 1), (Verdict.CRASHED, [], 1),
        (Verdict.INCONCLUSIVE, [], 3),
    ],
)  # fmt: skip
def test_the_exit_status_says_the_worst(verify, monkeypatch: pytest.MonkeyPatch, verdict, arguments, code) -> None:
    real = check.verify

    def one_changed(*given, **more):
        first, *others = real(*given, **more)
        yield replace(first, verdict=verdict, message="as played")
        yield from others

    monkeypatch.setattr(check, "verify", one_changed)
    found, out, _ = verify("l1", *arguments)
    assert found == code
    assert ("not every pair agrees" in out) == (code != 0)
    assert ("as played" in out) == (verdict is not Verdict.AGREE)


def test_a_sanity_figure_that_fails_ends_with_1_and_is_named(verify, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sanity, "figures", lambda *_: [sanity.Figure("1 is 1", 1.0, 1.0, 1.5)])
    code, out, _ = verify("l1")
    assert code == 1
    assert out.splitlines()[-1] == "but not as expected: 1 is 1"


@pytest.mark.parametrize(
    ("arguments", "why"),
    [
        (["sofmax"], "no pair or family is called 'sofmax': did you mean softmax?"),
        (["l2", "--dtype", "float16"], "Invalid value for '--dtype': 'float16' is not one of 'float32', 'float64'."),
        (["l2", "--seed", "-1"], "--seed"),
        (["l2", "--device", "tpu"], "--device tpu"),
    ],
)
def test_bad_input_is_one_line_and_2(verify, arguments, why) -> None:
    code, out, told = verify(*arguments)
    assert (code, out) == (2, "")
    assert why in told
    assert len(told.splitlines()) == 1


@pytest.mark.skipif(torch.cuda.is_available(), reason="a CUDA device is here: nothing to refuse")
def test_cuda_where_there_is_none_is_said(verify) -> None:
    code, _, told = verify("l2", "--device", "cuda")
    assert code == 2
    assert "0 CUDA devices here; use cpu" in told


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA device here")
def test_the_ref_computes_on_a_gpu_where_there_is_one(verify) -> None:
    code, out, _ = verify("softmax", "svm", "--device", "cuda")
    assert code == 0
    assert "the ref computes on cuda" in out
