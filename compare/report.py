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
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.markup import escape
from rich.progress import BarColumn, MofNCompleteColumn, Progress, SpinnerColumn, TextColumn, TimeElapsedColumn

from compare.diagnose import bare, confident, foremost, unknown
from compare.records import REFUSAL, Cause, Finding, Refusal, Verdict
from compare.tables import READING, STYLE, headline, verdict_table

SCHEMA = 1
WIDE = 10_000  # columns where no terminal sets a limit


def console(quiet: bool = False, json_to: str | None = None) -> Console:
    """Where tables go: standard output, or standard error when JSON has standard output to itself.

    A terminal's width holds there; in a file or a pipe every table has the width that it needs.
    """
    out = Console(quiet=quiet, stderr=json_to == "-", highlight=False)
    if not out.is_terminal:
        out.width = WIDE
    return out


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


def print_verdicts(out: Console, findings: Sequence[Finding], strict: bool = False) -> None:
    """The table, in words what is not plain agreement, and the last line that sums it up.

    Rows of one pair, quantity and verdict are told by one of them: one that the third witness has heard, if he heard
    any, and whose cause is sure, if any is.
    """
    out.print(verdict_table(findings))
    out.print(READING, style="dim")
    told = alike([f for f in findings if f.verdict is not Verdict.AGREE or "cannot see" in f.message])
    if told:
        out.print()
    for f, *others in told:
        out.print(f"[{STYLE[f.verdict]}]{f.verdict.value}[/] {escape(headline(f))}", soft_wrap=True)
        for line in cause_lines(f.causes):
            out.print(f"    {escape(line)}", soft_wrap=True)
        if f.convention and f.verdict is Verdict.DIFFER:
            out.print(f"    [dim]convention: {escape(f.convention)}[/]", soft_wrap=True)
        if others:
            where = ", ".join(dict.fromkeys(o.case for o in others))
            out.print(f"    [dim]likewise in {len(others)} more: {escape(where)}[/]", soft_wrap=True)
    for line in conclusions(findings):
        out.print(escape(line), soft_wrap=True, style="bold")
    out.print()
    slopes = sum(f.slopes for f in findings)
    if slopes:
        unjudged = sum(f.unjudged for f in findings)
        out.print(
            f"numerical gradient: {slopes:,} slopes, {unjudged:,} ({unjudged / slopes:.2%}) at a kink, not checkable"
        )
    counts = summary(findings)
    pairs = len({f.pair for f in findings})
    words = ", ".join(f"{n:,} {name}" for name, n in counts.items() if n) or "nothing was compared"
    verdict = (
        "[bold green]every pair agrees[/]"
        if exit_status(findings, strict) == 0
        else "[bold red]not every pair agrees[/]"
    )
    out.print(f"{verdict}: {pairs} pair{'s' * (pairs != 1)}, {len(findings):,} findings: {words}", soft_wrap=True)


def cause_lines(causes: Sequence[Cause]) -> list[str]:
    """Likely causes, a line each; where none is sure, that it is unknown, and what comes close."""
    shares = [f"{c.cause} (leaves {c.unexplained:.2%} unexplained)" for c in causes]
    if causes and unknown(causes[0]):
        close = "among them" if all(c.unexplained == 0 for c in causes[1:]) else "closest"
        return [f"cause {causes[0].cause}", *(f"{close}: {share}" for share in shares[1:])]
    first, rest = [f"likely: {share}" for share in shares[:1]], [f"or: {share}" for share in shares[1:]]
    return [*first, *rest, *(["this case cannot tell them apart"] if rest else [])]


def conclusions(findings: Sequence[Finding]) -> list[str]:
    """Of every pair with several rows that differ, the one mistake behind them, in a line."""
    lines = []
    for pair in dict.fromkeys(f.pair for f in findings):
        verdict = foremost([f for f in findings if f.pair == pair and f.verdict is Verdict.DIFFER])
        if verdict is None or verdict.of < 2 or unknown(verdict.causes[0]):
            continue
        words = ", or ".join(bare(c.cause) for c in verdict.causes)
        lines.append(f"{pair}, all in all: {words}; explains {verdict.explains} of {verdict.of} rows")
    return lines


def alike(findings: Sequence[Finding]) -> list[list[Finding]]:
    """Findings of one pair, quantity and verdict together, the one to tell first; what agrees stands alone."""
    groups: dict[tuple[str, ...], list[Finding]] = {}
    for f in findings:
        apart = (f.case, f.dtype) if f.verdict is Verdict.AGREE or f.quantity == REFUSAL else ()
        groups.setdefault((f.pair, f.quantity, f.verdict, *apart), []).append(f)
    return [sorted(g, key=lambda f: (f.numerical is None, not confident(f.causes))) for g in groups.values()]


@contextmanager
def progress(out: Console, total: int | None = None) -> Iterator[Callable[[str], None]]:
    """A spinner with the present task, and a bar if the total is known, on a terminal only; yields what to call."""
    if not out.is_interactive or out.quiet:
        yield lambda _: None
        return
    bars = (BarColumn(20), MofNCompleteColumn()) if total else ()
    columns = (SpinnerColumn(), *bars, TextColumn("{task.description}"), TimeElapsedColumn())
    with Progress(*columns, console=out, transient=True) as bar:
        task = bar.add_task("", total=total)
        yield lambda description: bar.update(task, description=description, advance=1)
