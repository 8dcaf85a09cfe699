"""Findings as tables: on the terminal, and in Markdown for TensorBoard."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import groupby
from typing import TYPE_CHECKING

from rich.markup import escape
from rich.table import Table

from compare.differ import BOUND
from compare.records import REFUSAL, Finding, Verdict

if TYPE_CHECKING:
    from compare.sanity import Figure

READING = (
    "float32, float64: scratch's distance from the truth in noise units, one being what rounding does to any stable "
    f"algorithm; up to {BOUND:g} agree. numerical: ✓ the numerical gradient does not contradict, ✗ it does."
)
STYLE = {
    Verdict.AGREE: "green",
    Verdict.IMPRECISE: "yellow",
    Verdict.DIFFER: "bold red",
    Verdict.INCONCLUSIVE: "magenta",
    Verdict.SKIPPED: "dim",
    Verdict.CRASHED: "bold red",
}
SEVERITY = (
    Verdict.CRASHED,
    Verdict.DIFFER,
    Verdict.INCONCLUSIVE,
    Verdict.IMPRECISE,
    Verdict.SKIPPED,
    Verdict.AGREE,
)


def plain_table() -> Table:
    """A table as all commands draw theirs: no lines, two spaces between columns."""
    return Table(box=None, pad_edge=False, header_style="bold")


def verdict_table(findings: Sequence[Finding]) -> Table:
    """One line a case and quantity under the name of the pair, the dtypes beside each other.

    What has no number (invariants, refusals) is counted where it holds and named where it does not. Where the
    terminal is narrow, cases and quantities wrap; pairs, figures and verdicts are never cut.
    """
    table = plain_table()
    for name in ("pair / case", "quantity"):
        table.add_column(name, overflow="fold")
    for name in ("float32", "float64"):
        table.add_column(name, justify="right", no_wrap=True)
    table.add_column("numerical", justify="center", no_wrap=True)
    table.add_column("verdict", no_wrap=True)
    for pair, of_pair in groupby(_ordered(findings), lambda f: f.pair):
        table.add_row(f"[bold]{escape(pair)}[/]")
        for case, of_case in groupby(of_pair, _case):
            shown = f"  {escape(case)}"
            for cells in _lines(list(of_case)):
                table.add_row(shown, *cells)
                shown = ""
    return table


def _lines(findings: Sequence[Finding]) -> Iterator[tuple[str, ...]]:
    """The lines of one case: those with numbers or trouble, then how many others hold."""
    bare = [f for f in findings if _holds(f)]
    for quantity, group in groupby((f for f in findings if not _holds(f)), _quantity):
        rows = list(group)
        worst = min((f.verdict for f in rows), key=SEVERITY.index)
        units = {f.dtype: f for f in rows}
        numbers = (_units(units.get(dtype)) for dtype in ("float32", "float64"))
        yield escape(quantity), *numbers, _heard(rows), _styled(worst)
    if bare:
        word = "refused" if bare[0].quantity == REFUSAL else "hold" if len(bare) > 1 else "holds"
        yield f"{len(bare)} {word}", "", "", "", _styled(Verdict.AGREE)


def _holds(f: Finding) -> bool:
    """Whether there is nothing to tell but that it is so."""
    return f.noise_units is None and f.verdict is Verdict.AGREE


def _case(f: Finding) -> str:
    return "bad input" if f.quantity == REFUSAL else f.case


def _quantity(f: Finding) -> str:
    return f.case if f.quantity == REFUSAL else f.quantity


def _styled(verdict: Verdict) -> str:
    return f"[{STYLE[verdict]}]{verdict.value}[/]"


def sanity_table(figures: Sequence[Figure]) -> Table:
    """Expectations of the lecture, measured."""
    table = plain_table()
    table.add_column("sanity", no_wrap=True)
    for name in ("expected", "scratch", "ref"):
        table.add_column(name, justify="right")
    table.add_column("")
    for f in figures:
        holds = "[green]holds[/]" if f.holds else "[bold red]fails[/]"
        table.add_row(f.name, *(f"{x:.6f}" for x in (f.expected, f.scratch, f.ref)), holds)
    return table


def verdict_markdown(findings: Sequence[Finding]) -> str:
    """The findings as a table in Markdown, for TensorBoard's text."""
    lines = ["| pair | case | dtype | quantity | noise units | verdict | |", "|---|---|---|---|---|---|---|"]
    for f in findings:
        told = f.message.replace("|", "\\|") if f.verdict is not Verdict.AGREE else ""
        row = (f.pair, f.case, f.dtype, f.quantity, _units(f), f.verdict.value, told)
        lines.append("| " + " | ".join(row) + " |")
    return "\n".join(lines)


def headline(f: Finding) -> str:
    """A finding in one line: where, and what its message says."""
    units = "" if f.noise_units is None else f" {f.noise_units:.3g} noise units;"
    return f"{f.pair}, {f.case}, {f.dtype}, {f.quantity}:{units} {f.message}"


def _ordered(findings: Sequence[Finding]) -> list[Finding]:
    """In the order of first appearance by pair, case and quantity, the dtypes of one together; refusals last."""
    first: dict[tuple[str, ...], int] = {}
    for f in findings:
        for k in range(1, 4):
            first.setdefault((f.pair, _case(f), _quantity(f))[:k], len(first))

    def place(f: Finding) -> tuple[int, bool, int, int]:
        key = (f.pair, _case(f), _quantity(f))
        return first[key[:1]], f.quantity == REFUSAL, first[key[:2]], first[key]

    return sorted(findings, key=place)


def _units(f: Finding | None) -> str:
    if f is None or f.noise_units is None:
        return "-"
    return f"{f.noise_units:.2f}" if f.noise_units < 1000 else f"{f.noise_units:.1e}"


def _heard(rows: Sequence[Finding]) -> str:
    """Whether the numerical gradient was heard, and with whom it sides."""
    heard = [f for f in rows if f.numerical is not None]
    if not heard:
        return ""
    return "[bold red]✗[/]" if any("numerical gradient" in f.message for f in heard) else "[green]✓[/]"
