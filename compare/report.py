"""Findings as people and programs read them: a table on the terminal, JSON in a file."""

from __future__ import annotations

import json
import math
import platform
import sys
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import fields, is_dataclass
from enum import Enum
from importlib.metadata import PackageNotFoundError, version
from itertools import groupby
from pathlib import Path
from typing import TYPE_CHECKING, Any

from rich.console import Console
from rich.markup import escape
from rich.progress import Progress, SpinnerColumn, TextColumn, TimeElapsedColumn
from rich.table import Table

from compare.records import Finding, Refusal, Verdict

if TYPE_CHECKING:
    from compare.sanity import Figure

SCHEMA = 1
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


def console(quiet: bool = False, json_to: str | None = None) -> Console:
    """Where tables go: standard output, or standard error when JSON has standard output to itself."""
    return Console(quiet=quiet, stderr=json_to == "-", highlight=False)


def versions() -> dict[str, str]:
    """Versions that a result depends on."""
    found = {"python": platform.python_version()}
    for name in ("gradtwin", "numpy", "torch", "torchvision"):
        try:
            found[name] = version(name)
        except PackageNotFoundError:
            found[name] = "not installed"
    return found


def plain(x: Any) -> Any:
    """Records as JSON has them: dataclasses as objects, enums as words, NumPy as lists, non-finite numbers as words."""
    if is_dataclass(x) and not isinstance(x, type):
        return {f.name: plain(getattr(x, f.name)) for f in fields(x)}
    if isinstance(x, Mapping):
        return {str(k): plain(v) for k, v in x.items()}
    if isinstance(x, Enum):
        return x.value
    if isinstance(x, str) or x is None or isinstance(x, bool | int):
        return x
    if isinstance(x, float):
        return x if math.isfinite(x) else str(x)
    if hasattr(x, "tolist"):
        return plain(x.tolist())
    if isinstance(x, Iterable):
        return [plain(v) for v in x]
    return str(x)


def write_json(to: str | None, command: str, seed: int, data: str | None, body: Mapping[str, Any]) -> None:
    """Write one result as JSON to a file, or to standard output for "-". Raises Refusal if the file cannot be."""
    if to is None:
        return
    head = {"schema": SCHEMA, "command": command, "seed": seed, "data": data, "versions": versions()}
    text = json.dumps(plain({**head, **body}), indent=1) + "\n"
    if to == "-":
        sys.stdout.write(text)
        return
    try:
        Path(to).write_text(text, encoding="utf-8")
    except OSError as error:
        raise Refusal(f"--json {to}: cannot be written: {error.strerror}") from error


def summary(findings: Iterable[Finding]) -> dict[str, int]:
    """How many findings of each verdict."""
    count = Counter(f.verdict for f in findings)
    return {verdict.value: count[verdict] for verdict in Verdict}


def exit_status(findings: Sequence[Finding], strict: bool = False) -> int:
    """0: all agree; 1: something differs (with strict, is imprecise); 3: something could not be judged."""
    verdicts = {f.verdict for f in findings}
    if verdicts & {Verdict.DIFFER, Verdict.CRASHED} or (strict and Verdict.IMPRECISE in verdicts):
        return 1
    return 3 if Verdict.INCONCLUSIVE in verdicts or not findings else 0


def verdict_table(findings: Sequence[Finding]) -> Table:
    """One line a pair, case and quantity, the dtypes beside each other; refusals one line a pair."""
    table = Table(box=None, pad_edge=False, header_style="bold")
    for name in ("pair", "case", "quantity"):
        table.add_column(name, no_wrap=True)
    for name in ("float32", "float64"):
        table.add_column(name, justify="right", no_wrap=True)
    table.add_column("numerical", justify="center", no_wrap=True)
    table.add_column("verdict", no_wrap=True)
    last = ("", "")
    for (pair, case, quantity), group in groupby(_judged(findings), lambda f: (f.pair, f.case, f.quantity)):
        rows = list(group)
        worst = min((f.verdict for f in rows), key=SEVERITY.index)
        units = {f.dtype: f for f in rows}
        table.add_row(
            "" if pair == last[0] else pair,
            "" if (pair, case) == last else case,
            quantity,
            *(_units(units.get(dtype)) for dtype in ("float32", "float64")),
            _heard(rows),
            f"[{STYLE[worst]}]{worst.value}[/]",
        )
        last = (pair, case)
    for pair, group in groupby((f for f in findings if f.quantity == "refusal"), lambda f: f.pair):
        rows = list(group)
        good = sum(f.verdict is Verdict.AGREE for f in rows)
        verdict = Verdict.AGREE if good == len(rows) else Verdict.DIFFER
        table.add_row(
            pair,
            "bad input",
            "refusal",
            "",
            f"{good}/{len(rows)}",
            "",
            f"[{STYLE[verdict]}]{verdict.value}[/]",
        )
    return table


def verdict_markdown(findings: Sequence[Finding]) -> str:
    """The findings as a table in Markdown, for TensorBoard's text."""
    lines = ["| pair | case | dtype | quantity | noise units | verdict | |", "|---|---|---|---|---|---|---|"]
    for f in findings:
        told = f.message.replace("|", "\\|") if f.verdict is not Verdict.AGREE else ""
        row = (f.pair, f.case, f.dtype, f.quantity, _units(f), f.verdict.value, told)
        lines.append("| " + " | ".join(row) + " |")
    return "\n".join(lines)


def print_verdicts(out: Console, findings: Sequence[Finding], strict: bool = False) -> None:
    """The table, every row that is not plain agreement in words, and the last line that sums it up."""
    out.print(verdict_table(findings))
    told = [f for f in findings if f.verdict is not Verdict.AGREE or "cannot see" in f.message]
    if told:
        out.print()
    for f in told:
        out.print(f"[{STYLE[f.verdict]}]{f.verdict.value}[/] {escape(headline(f))}", soft_wrap=True)
        for cause in f.causes:
            out.print(
                f"    likely: {escape(cause.cause)} (leaves {cause.unexplained:.2%} unexplained)",
                soft_wrap=True,
            )
        if f.convention and f.verdict is Verdict.DIFFER:
            out.print(f"    [dim]convention: {escape(f.convention)}[/]", soft_wrap=True)
    out.print()
    counts = summary(findings)
    pairs = len({f.pair for f in findings})
    words = ", ".join(f"{n} {name}" for name, n in counts.items() if n) or "nothing was compared"
    verdict = (
        "[bold green]every pair agrees[/]"
        if exit_status(findings, strict) == 0
        else "[bold red]not every pair agrees[/]"
    )
    out.print(f"{verdict}: {pairs} pairs, {len(findings)} findings: {words}", soft_wrap=True)


def headline(f: Finding) -> str:
    """A finding in one line: where, and what its message says."""
    units = "" if f.noise_units is None else f" {f.noise_units:.3g} noise units;"
    return f"{f.pair}, {f.case}, {f.dtype}, {f.quantity}:{units} {f.message}"


def _judged(findings: Sequence[Finding]) -> list[Finding]:
    """Findings with numbers, the dtypes of one quantity brought together in the order of first appearance."""
    order = {(f.pair, f.case, f.quantity): i for i, f in reversed(list(enumerate(findings)))}
    return sorted((f for f in findings if f.quantity != "refusal"), key=lambda f: order[f.pair, f.case, f.quantity])


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


def sanity_table(figures: Sequence[Figure]) -> Table:
    """Expectations of the lecture, measured."""
    table = Table(box=None, pad_edge=False, header_style="bold")
    table.add_column("sanity", no_wrap=True)
    for name in ("expected", "scratch", "ref"):
        table.add_column(name, justify="right")
    table.add_column("")
    for f in figures:
        holds = "[green]holds[/]" if f.holds else "[bold red]fails[/]"
        table.add_row(f.name, *(f"{x:.6f}" for x in (f.expected, f.scratch, f.ref)), holds)
    return table


@contextmanager
def progress(out: Console, total: int | None = None) -> Iterator[Callable[[str], None]]:
    """A spinner with the present task, on a terminal only; yields what to call at every step."""
    if not out.is_terminal or out.quiet:
        yield lambda _: None
        return
    columns = (SpinnerColumn(), TextColumn("{task.description}"), TimeElapsedColumn())
    with Progress(*columns, console=out, transient=True) as bar:
        task = bar.add_task("", total=total)
        yield lambda description: bar.update(task, description=description, advance=1)
