"""gradtwin verify --images: as many as asked for, and what the numerical gradient could not check, told."""

import json

import pytest

from compare import cli, data, sanity
from compare.records import Refusal


def verify(*arguments: str) -> int:
    with pytest.raises(SystemExit) as end:
        cli.main(["verify", *arguments])
    return int(end.value.code or 0)


def test_the_slopes_worked_out_are_printed_and_counted(capsys, tmp_path):
    told = tmp_path / "told.json"
    asked = ("hinge", "--data", "synthetic", "--images", "9", "--dtype", "float64", "--json", str(told))
    assert verify(*asked) == 0
    findings = json.loads(told.read_text())["findings"]
    slopes = {(f["case"], f["quantity"]): f["slopes"] for f in findings if f["slopes"]}
    assert slopes["images", "dscores"] == 9 * 10
    total, unjudged = (sum(f[name] for f in findings) for name in ("slopes", "unjudged"))
    assert f"numerical gradient: {total:,} slopes, {unjudged} (" in capsys.readouterr().out


def test_a_batch_holds_as_many_images_as_asked_for_or_says_how_many_there_are():
    source = data.load("synthetic", None, 0)
    assert len(sanity.batch_of(source, 0).y) == 128
    batch = sanity.batch_of(source, 0, 500)
    assert batch.X.shape == (500, 3072)
    with pytest.raises(Refusal, match=r"--images 5001: the training part of synthetic has 5,000; ask for fewer"):
        sanity.batch_of(source, 0, 5001)


def test_more_images_than_there_are_end_in_one_line(capsys):
    assert verify("hinge", "--data", "synthetic", "--images", "9999999") == 2
    assert "--images 9999999" in capsys.readouterr().err
