"""The score of a selftest as tables."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from itertools import groupby
from math import inf

from rich.markup import escape
from rich.table import Table

from compare.calibrate import QUANTILES, Row
from compare.dose import SURE, Response
from compare.tables import plain_table
from compare.trials import Clean, Score, Trial

SHORT = {"assert_close": "ac", "allclose": "np", "JAX": "jx", "gradcheck": "gc", "CS231n": "cs"}
LEGEND = (
    "gt gradtwin: ✓ caught and named, ● caught, ✗ caught and called something else, ○ not caught; a mark a scale "
    "({scales}). What others' criteria would have done with the same answers, ● caught, ○ not: ac "
    "torch.testing.assert_close, np numpy.allclose, jx JAX's check_grads, gc torch.autograd.gradcheck, cs CS231n's "
    "relative error; no mark: they do not look there."
)


def bug_table(trials: Sequence[Trial]) -> Table:
    """One line a bug: the cause that was named, and a mark a scale for gradtwin and for each criterion."""
    table = plain_table()
    table.add_column("bug planted", overflow="fold", ratio=1)
    table.add_column("cause named", overflow="fold", ratio=1)
    for name in ("gt", *SHORT.values()):
        table.add_column(name, no_wrap=True)
    for bug, group in groupby(trials, lambda t: t.bug):
        tried = sorted(group, key=lambda t: t.scale)
        seen = [t.peers for t in tried if t.peers is not None]
        marks = ["".join("●" if name in peers else "○" for peers in seen) for name in SHORT]
        table.add_row(escape(bug), escape(_causes(tried)), "".join(_mark(t) for t in tried), *marks)
    return table


def _mark(t: Trial) -> str:
    if not t.caught:
        return "[bold red]○[/]"
    return "[green]✓[/]" if t.named else "[bold red]✗[/]" if t.misnamed else "[yellow]●[/]"


def _causes(tried: Sequence[Trial]) -> str:
    """What the bug was called at the scales, each name once."""
    return "; or ".join(dict.fromkeys(", or ".join(c.cause for c in t.causes) or "-" for t in tried))


def clean_table(cleans: Sequence[Clean]) -> Table:
    """One line a pair: its correct implementations at all scales, and how many of them each would call wrong."""
    table = plain_table()
    table.add_column("correct", overflow="fold")
    for name in ("forms", "judged", "gt", *SHORT.values()):
        table.add_column(name, justify="right", no_wrap=True)
    for pair in dict.fromkeys(c.pair for c in cleans):
        group = [c for c in cleans if c.pair == pair]
        alarms = [sum(c.false_alarms > 0 for c in group), *(sum(n in c.peers for c in group) for n in SHORT)]
        table.add_row(pair, str(len(group)), str(sum(c.judged for c in group)), *(_count(n) for n in alarms))
    return table


def _count(n: int) -> str:
    return f"[bold red]{n}[/]" if n else "0"


def score_table(score: Score) -> Table:
    """Gradtwin and the usual criteria: bugs caught at each scale, and correct implementations called wrong."""
    table = plain_table()
    table.add_column("", no_wrap=True)
    for at in score.scales:
        table.add_column(f"scale {at.scale:g}", justify="right", no_wrap=True)
    table.add_column("false alarms", justify="right", no_wrap=True)
    correct = sum(at.correct for at in score.scales)
    wronged = sum(at.wronged for at in score.scales)
    table.add_row(
        "gradtwin caught", *(f"{at.caught}/{at.planted}" for at in score.scales), f"{wronged}/{correct}", style="bold"
    )
    table.add_row("gradtwin named", *(f"{at.named}/{at.planted}" for at in score.scales), style="bold")
    for name, peer in score.peers.items():
        shares = [f"{at.peers[name].caught}/{at.peers[name].of}" for at in score.scales]
        table.add_row(f"{name} caught", *shares, f"{peer.false_alarms}/{peer.correct}")
    return table


def calibration_table(rows: Sequence[Row]) -> Table:
    """One line a pair and dtype: what correct implementations came to, in noise units."""
    table = plain_table()
    table.add_column("pair", overflow="fold")
    table.add_column("dtype", no_wrap=True)
    for name in ("draws", "judged", "false alarms", "imprecise", *(f"{q:g}" for q in QUANTILES[:-1]), "largest"):
        table.add_column(name, justify="right", no_wrap=True)
    for r in rows:
        worst = [max(pair) for pair in zip(r.tensor_units, r.entry_units, strict=True)]
        table.add_row(
            r.pair, r.dtype, str(r.draws), str(r.judged), _count(r.false_alarms), str(r.imprecise),
            *(f"{units:.2f}" for units in worst),
        )  # fmt: skip
    return table


def dose_table(rows: Sequence[Response]) -> Table:
    """One line a precision and place: from where to where the share that is found rises from none to all."""
    table = plain_table()
    for name in ("dtype", "place"):
        table.add_column(name, no_wrap=True)
    for name in ("planted", "none found", "all found", "as a bug", "relative"):
        table.add_column(name, justify="right", no_wrap=True)
    for (dtype, place), group in groupby(rows, lambda r: (r.dtype, r.place)):
        of_size = list(group)
        none = max((r.units for r in of_size if not r.found), default=0.0)
        every = _from(of_size, lambda r: r.found == r.planted)
        told = _from(of_size, lambda r: r.differs == r.planted)
        (ten,) = (r.relative for r in of_size if r.units == SURE)
        words = (f"{x:g}" if x < inf else "-" for x in (none, every, told))
        table.add_row(dtype, place, str(of_size[0].planted), *words, f"{ten:.1e}")
    return table


def _from(rows: Sequence[Response], holds: Callable[[Response], bool]) -> float:
    """The size from which on it holds of every size."""
    failing = [r.units for r in rows if not holds(r)]
    return min((r.units for r in rows if r.units > max(failing, default=0.0)), default=inf)
