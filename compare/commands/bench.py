"""gradtwin bench: speed and memory of scratch against the ref and against the floor."""

import os
from typing import TYPE_CHECKING, Annotated

import typer

from compare import options
from compare.records import Refusal

if TYPE_CHECKING:
    from rich.table import Table

    from compare.bench import Row
    from compare.records import Pair

READING = (
    "ratio: scratch's time over that of torch's best form, median and quartiles of rounds run turn about; "
    "under 1 scratch is faster. GEMMs: against the matrix products alone. X @ W: against torch as people write "
    "it. MB: most that a call holds at once beyond its inputs, buffers it keeps included, scratch/torch."
)

# torch's profiler, which weighs its memory, would chat on standard error; read when torch is imported
QUIET_TORCH = {"KINETO_LOG_LEVEL": "99", "TORCH_CPP_LOG_LEVEL": "ERROR"}


def bench(
    pairs: Annotated[
        list[str] | None,
        typer.Argument(
            help="Pairs, families, train_step, numerical_gradient or graph; all without. See `gradtwin list`."
        ),
    ] = None,
    threads: Annotated[int, typer.Option(min=1, max=2, help="Threads for either side.")] = 1,
    quick: Annotated[bool, typer.Option("--quick", help="Short races: a first impression in seconds.")] = False,
    full: Annotated[
        bool, typer.Option("--full", help="Batches of 64 and 4,096 rows too, and updates of 5 million parameters.")
    ] = False,
    seed: options.Seed = 0,
    json_to: options.Json = None,
    quiet: options.Quiet = False,
) -> int:
    """Race scratch against the best form of torch and the floor. No speed for a pair that does not agree.

    Exit status: 0 every pair raced agrees, 1 one does not (its row says what differs), 2 wrong usage.
    """
    for name, value in QUIET_TORCH.items():
        os.environ.setdefault(name, value)
    from dataclasses import replace
    from itertools import chain

    from compare import bench as races
    from compare import graph_race, numgrad_race, report, step_race, timing
    from compare.pairs import select
    from compare.races import tasks

    if quick and full:
        raise Refusal("--quick and --full: give one of them")
    names = list(pairs or ())
    own = (step_race.NAME, numgrad_race.NAME, graph_race.NAME)
    with_step, with_numerical, with_graph = (not names or name in names for name in own)
    others = [name for name in names if name not in own]
    chosen = _select(others, own) if others or not names else ()
    out = report.console(quiet, json_to)
    out.print(f"{timing.machine()}; {threads} thread{'s' * (threads > 1)} a side", soft_wrap=True)

    wanted = tasks(chosen, seed, full)
    if with_step:
        images = step_race.QUICK_IMAGES if quick else step_race.IMAGES
        wanted = chain(wanted, step_race.tasks(select(["softmax_objective"])[0], seed, images))
    if with_numerical:
        wanted = chain(wanted, numgrad_race.tasks(seed))
    if with_graph:
        wanted = chain(wanted, graph_race.tasks(seed))
    effort = timing.QUICK if quick else races.EFFORT
    effort = replace(effort, least=5) if threads > 1 else effort
    rows = []
    with report.progress(out) as track:
        for row in races.bench(wanted, threads, effort):
            rows.append(row)
            track(f"{row.task}, {row.form}")
    out.print(table(rows))
    for row in rows:
        if not row.agrees:
            out.print(f"[bold red]not timed[/] {row.task}, {row.form}: {row.fault}", soft_wrap=True)
    out.print(READING, style="dim")
    for note in dict.fromkeys(row.note for row in rows if row.note):
        out.print(note, style="dim")
    body = {"machine": timing.machine(), "threads": threads, "rows": rows}
    report.write_json(json_to, "bench", seed, None, body)
    return 0 if all(row.agrees for row in rows) else 1


def _select(names: list[str], own: tuple[str, ...]) -> "tuple[Pair, ...]":
    """Choose pairs by name; a misspelt race of bench's own is told so too."""
    from difflib import get_close_matches

    from compare.pairs import select

    for name in names:
        for close in get_close_matches(name, own, 1, cutoff=0.8):
            raise Refusal(f"no pair or family is called {name!r}: did you mean {close}?")
    return select(names)


def table(rows: "list[Row]") -> "Table":
    """One line a race."""
    from rich.table import Table

    found = Table(box=None, pad_edge=False, padding=(0, 1, 0, 0), header_style="bold")
    for name in ("task", "form"):
        found.add_column(name, no_wrap=True)
    for name in ("scratch", "torch", "ratio", "GEMMs", "X @ W", "MB"):
        found.add_column(name, justify="right", no_wrap=True)
    for r in rows:
        if r.agrees:
            style = "green" if (r.ratio or 0) < 1 else "yellow"
            ratio = f"[{style}]{ratio_words(r.ratio)}[/] {ratio_words(r.ratio_low)}-{ratio_words(r.ratio_high)}"
            memory = f"{r.peak_mb:.1f}/{r.ref_peak_mb:.1f}"
            cells = (
                _seconds(r.scratch_s),
                _seconds(r.ref_s),
                ratio,
                ratio_words(r.floor_ratio),
                ratio_words(r.people_ratio),
            )
            found.add_row(r.task, r.form, *cells, memory)
        else:
            found.add_row(r.task, r.form, "[bold red]differs[/]", *"-----")
    return found


def _seconds(s: float | None) -> str:
    if s is None:
        return "-"
    if s >= 10:
        return f"{s:.0f} s"
    return f"{s * 1e6:.0f} µs" if s < 1e-3 else f"{s * 1e3:.2f} ms"


def ratio_words(x: float | None) -> str:
    """Two digits are what a race can tell: .45, 1.2, 17; 1/900 where there is more than a hundred between."""
    if x is None:
        return "-"
    if 0 < x < 0.01:
        return f"1/{1 / x:.0f}"
    return f"{x:.2f}".lstrip("0") if x < 1 else f"{x:.2g}" if x < 100 else f"{x:.0f}"
