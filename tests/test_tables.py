"""The one table: whole in a terminal of 80 columns, and of any width where no terminal sets a limit."""

import io
import sys

import pytest
from rich.console import Console

from compare import check, report, tables
from compare.pairs import TABLE
from compare.records import REFUSAL, Cause, Finding, Verdict


def row(pair="l2", case="typical", quantity="dW", dtype="float64", verdict=Verdict.AGREE, units=0.5, **more):
    return Finding(pair, f"at.{pair}", case, dtype, quantity, verdict, units, **more)


def lines(findings, width=80):
    out = Console(width=width, file=io.StringIO(), highlight=False)
    out.print(tables.verdict_table(findings))
    return [line.rstrip() for line in out.file.getvalue().splitlines()]


def test_dtypes_stand_beside_each_other_and_the_worse_verdict_counts():
    pair = [row(dtype="float32", units=0.26), row(units=2.9e17, verdict=Verdict.DIFFER, numerical=1.0)]
    assert lines(pair)[1:] == ["l2", "  typical    dW           0.26  2.9e+17      ✓      differ"]


def test_what_has_no_number_is_counted_where_it_holds_and_named_where_it_does_not():
    bare = {"pair": "hinge", "units": None}
    found = [
        row(case="a negative label", quantity=REFUSAL, **bare),
        row(case="an empty batch", quantity=REFUSAL, verdict=Verdict.DIFFER, **bare),
        row(case="float labels", quantity=REFUSAL, **bare),
        row(case="invariants", quantity="shift invariance", **bare),
        row(case="invariants", quantity="order of classes", verdict=Verdict.DIFFER, **bare),
        row(case="second order", quantity="d²scores·v", **bare),
    ]
    told = [line.split() for line in lines(found)[1:]]
    assert told == [
        ["hinge"],
        ["invariants", "order", "of", "classes", "-", "-", "differ"],
        ["1", "holds", "agree"],
        ["second", "order", "1", "holds", "agree"],
        ["bad", "input", "an", "empty", "batch", "-", "-", "differ"],
        ["2", "refused", "agree"],
    ]


def every_name():
    """A finding for every pair and case there is, with the widest figures and verdict."""
    for pair in TABLE:
        for case in pair.cases(check.generator(0, pair.name), None):
            wrt = [f"d{name}" for name in case.wrt]
            for quantity in ("value", *wrt):
                yield row(pair.name, case.name, quantity, verdict=Verdict.INCONCLUSIVE, units=1.2e300)


def test_nothing_is_cut_at_80_columns():
    told = lines(list(every_name()))
    assert all(len(line) <= 80 for line in told)
    assert "…" not in "".join(told)
    assert {p.name for p in TABLE} <= set(told)
    for f in every_name():
        assert any(line.startswith(f"  {f.case}  ") for line in told), f.case
    assert sum(line.endswith("  1.2e+300             inconclusive") for line in told) == len(
        {(f.pair, f.case, f.quantity) for f in every_name()}
    )


@pytest.mark.parametrize("width", [70, 50])
def test_in_a_narrow_terminal_names_wrap_and_figures_stay(width):
    told = lines([row("a" * 30, "b" * 30, "c" * 30, verdict=Verdict.INCONCLUSIVE, units=1.2e300)], width)
    assert all(len(line) <= width for line in told)
    assert "…" not in "".join(told)
    for letter in "abc":
        assert sum(line.count(letter) for line in told[1:] if "inconclusive" not in line) >= 15
    assert sum("1.2e+300" in line and line.endswith("inconclusive") for line in told) == 1


def test_brackets_in_a_name_are_no_markup():
    assert lines([row("f[red]", "x[0]", "d[bold]W")])[1:3] == [
        "f[red]",
        "  x[0]       d[bold]W        -     0.50             agree",
    ]


def test_without_a_terminal_a_table_has_the_width_that_it_needs(capsys, monkeypatch):
    monkeypatch.setenv("COLUMNS", "40")
    report.console().print(tables.verdict_table([row("p" * 90, "c" * 90, "q" * 90)]))
    told = capsys.readouterr().out.splitlines()
    assert told[1].strip() == "p" * 90
    assert told[2].split() == ["c" * 90, "q" * 90, "-", "0.50", "agree"]


def test_json_on_standard_output_sends_tables_to_standard_error(capsys):
    report.console(json_to="-").print("told")
    assert capsys.readouterr() == ("", "told\n")
    assert report.console(quiet=True).quiet
    assert sys.stdout is not sys.stderr


def told(findings, capsys):
    report.print_verdicts(report.console(), findings)
    return capsys.readouterr().out.split(tables.READING)[1].strip().splitlines()


def test_rows_alike_are_told_by_the_one_that_the_third_witness_heard(capsys):
    bad = {"verdict": Verdict.DIFFER, "message": "entry [0]: scratch 2, ref 1"}
    found = [
        row(dtype="float32", **bad),
        row(quantity="value"),
        row(numerical=1.0, causes=(Cause("factor 2", 0.0),), convention="reg Σ W²", **bad),
        row(case="images", dtype="float32", **bad),
    ]
    assert told(found, capsys) == [
        "differ l2, typical, float64, dW: 0.5 noise units; entry [0]: scratch 2, ref 1",
        "    likely: factor 2 (leaves 0.00% unexplained)",
        "    convention: reg Σ W²",
        "    likewise in 2 more: typical, images",
        "",
        "not every pair agrees: 1 pair, 4 findings: 1 agree, 3 differ",
    ]


def test_causes_that_a_case_cannot_tell_apart_are_told_together_and_unknown_is_said():
    assert report.cause_lines((Cause("halved", 0.0), Cause("transposed", 0.0))) == [
        "likely: halved (leaves 0.00% unexplained)",
        "or: transposed (leaves 0.00% unexplained)",
        "this case cannot tell them apart",
    ]
    assert report.cause_lines((Cause("unknown: no known cause explains it", 1.0), Cause("doubled", 0.0123))) == [
        "cause unknown: no known cause explains it",
        "closest: doubled (leaves 1.23% unexplained)",
    ]
    assert report.cause_lines((Cause("unknown: 4 causes fit alike here", 1.0), Cause("doubled", 0.0)))[1:] == [
        "among them: doubled (leaves 0.00% unexplained)"
    ]
    assert report.cause_lines(()) == []


def test_the_one_mistake_behind_several_rows_is_told_last(capsys):
    halved, lost = (Cause("halved (factor ½)", 0.0),), (Cause("unknown: no known cause explains it", 1.0),)
    bad = {"verdict": Verdict.DIFFER, "message": "m"}
    found = [row(case=c, causes=halved, **bad) for c in "abc"] + [row(quantity="value", causes=lost, **bad)]
    assert "l2, all in all: halved; explains 3 of 4 rows" in told(found, capsys)
    alone = told([row(causes=halved, **bad)], capsys)
    assert not any("all in all" in line for line in alone)
    unsure = told([row(case=c, causes=lost, **bad) for c in "ab"], capsys)
    assert not any("all in all" in line for line in unsure)


def test_rows_alike_are_told_by_one_whose_cause_is_sure(capsys):
    lost, halved = (Cause("unknown: no known cause explains it", 1.0),), (Cause("halved", 0.0),)
    bad = {"verdict": Verdict.DIFFER, "message": "m", "quantity": "value"}
    lines = told([row(causes=lost, **bad), row(case="images", causes=halved, **bad)], capsys)
    assert lines[:2] == [
        "differ l2, images, float64, value: 0.5 noise units; m",
        "    likely: halved (leaves 0.00% unexplained)",
    ]


def test_every_quantity_and_every_verdict_is_told_apart(capsys):
    found = [
        row(verdict=Verdict.DIFFER, message="m"),
        row(quantity="value", verdict=Verdict.DIFFER, message="m"),
        row(case="images", verdict=Verdict.IMPRECISE, message="m"),
        row(case="a", quantity=REFUSAL, verdict=Verdict.DIFFER, units=None, message="m"),
        row(case="b", quantity=REFUSAL, verdict=Verdict.DIFFER, units=None, message="m"),
        row(case="c", message="cannot see the term reg"),
        row(case="d", message="cannot see the term reg"),
        row("l1", message=""),
    ]
    *lines, _, last = told(found, capsys)
    assert [line.split(":")[0] for line in lines] == [
        "differ l2, typical, float64, dW",
        "differ l2, typical, float64, value",
        "imprecise l2, images, float64, dW",
        "differ l2, a, float64, refusal",
        "differ l2, b, float64, refusal",
        "agree l2, c, float64, dW",
        "agree l2, d, float64, dW",
    ]
    assert last == "not every pair agrees: 2 pairs, 8 findings: 3 agree, 1 imprecise, 4 differ"
