"""gradtwin check: the user's own implementation against its twin."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any

import typer

from compare import options
from compare.records import Refusal

if TYPE_CHECKING:
    from collections.abc import Sequence

    from rich.console import Console

    from compare.checkup import Rule


def check(
    target: Annotated[
        str, typer.Argument(metavar="FILE:NAME", help="A function or class in a Python file, as my_optim.py:step.")
    ],
    as_pair: Annotated[
        str | None,
        typer.Option("--as", metavar="PAIR", help="What it should be; see `gradtwin list`.  [default: from its name]"),
    ] = None,
    form: Annotated[
        str | None,
        typer.Option(help="Form of an update rule: config, state, arrays, rule, object or torch.  [default: tried]"),
    ] = None,
    rate: Annotated[
        str | None, typer.Option(metavar="NAME", help="What holds the learning rate.  [default: found by its name]")
    ] = None,
    settings: Annotated[
        list[str] | None,
        typer.Option("--set", metavar="NAME=VALUE", help="An argument of the code, such as a hyperparameter."),
    ] = None,
    timeout: Annotated[float, typer.Option(min=0.1, help="Seconds that one answer of the code may take.")] = 20.0,
    prints: Annotated[bool, typer.Option("--prints", help="Show on standard error what the code prints.")] = False,
    seed: options.Seed = 0,
    data: options.Data = "auto",
    data_root: options.DataRoot = None,
    dtype: Annotated[options.Dtype | None, typer.Option(help="One precision only.  [default: both]")] = None,
    strict: Annotated[bool, typer.Option("--strict", help="Imprecise counts as a failure too.")] = False,
    json_to: options.Json = None,
    quiet: options.Quiet = False,
) -> int:
    """Check your own loss, objective, layer or update rule, in a process of its own.

    A loss, an objective or a layer takes scratch's place in gradtwin verify. Of an update rule the convention is
    found out, and its call in torch.optim; with --as it is held against that rule of the table instead.
    Exit status: 0 agrees (a convention reproduces the rule), 1 something differs (none does), 2 wrong usage or code
    that cannot be loaded, 3 something could not be judged.
    """
    from compare import checkup, report
    from compare.calls import Wish
    from compare.forms import FORMS
    from compare.guest import Guest
    from compare.timing import equal_threads

    if form and form not in FORMS:
        raise Refusal(f"--form {form}: there are {', '.join(FORMS)}")
    wish = Wish(_settings(settings or ()), form or "", rate or "")
    out = report.console(quiet, json_to)
    dtypes = [dtype.value] if dtype else ["float32", "float64"]
    with equal_threads(1), Guest(target, timeout, prints) as guest:
        pair = checkup.meant(guest, as_pair)
        if pair is None or pair.kind == "rule":
            with report.progress(out) as track:
                track("trying update rules")
                found = checkup.rule(guest, wish, seed, dtypes, pair)
            _tell(out, target, found)
            findings, body, source = list(found.findings), _json(found), None
        else:
            from compare import data as images
            from compare import sanity

            if wish.settings or form or rate:
                raise Refusal(f"--set, --form and --rate are for update rules; {target} is checked as {pair.name}")
            loaded = images.load(data, data_root, seed)
            source = loaded.name
            out.print(loaded.note, soft_wrap=True)
            out.print(f"{target} is held against {pair.name}: {pair.convention}".rstrip(": "), soft_wrap=True)
            findings, body = [], {}
            batch = sanity.batch_of(loaded, seed)
            with report.progress(out) as track:
                for finding in checkup.within(guest, pair, checkup.function, pair.name, batch, seed, dtypes):
                    findings.append(finding)
                    track(f"{finding.pair}, {finding.case}")
    report.print_verdicts(out, findings, strict)
    body = {"findings": findings, "summary": report.summary(findings), **body}
    report.write_json(json_to, "check", seed, source, body)
    return report.exit_status(findings, strict)


def _settings(given: Sequence[str]) -> dict[str, Any]:
    """NAME=VALUE pairs; a value is a number or a word of Python (True, None, a tuple), else text."""
    import ast

    found: dict[str, Any] = {}
    for text in given:
        name, equals, value = text.partition("=")
        if not equals or not name.isidentifier():
            raise Refusal(f"--set {text}: expected NAME=VALUE, such as momentum=0.9")
        try:
            found[name] = ast.literal_eval(value)
        except (ValueError, SyntaxError):
            found[name] = value
    return found


def _tell(out: Console, target: str, found: Rule) -> None:
    """The form, the convention and torch's call."""
    from rich.markup import escape

    from compare import in_torch, in_words

    def line(name: str, text: str) -> None:
        out.print(f"  {name:<17} {escape(text)}", soft_wrap=True)

    if found.form:
        out.print(f"{escape(target)}, taken as {found.form}: {escape(found.taken)}", soft_wrap=True)
    if found.inferred is None:
        return
    c, values = found.inferred.convention, found.inferred.values
    told, call = in_words.told(c, values), in_torch.call(c, values)
    if found.inferred.found:
        out.print(f"\nconvention: [bold]{escape(told.name)}[/]")
    else:
        out.print(f"\nconvention: [bold red]unknown[/]; the closest is {escape(told.name)}, which reproduces "
                  f"{found.inferred.share:.0%} of what was observed", soft_wrap=True)  # fmt: skip
    for name, text in told.facets.items():
        line(name, text)
    line("formula", told.formula)
    line("in torch", call.text or f"inexpressible in torch.optim: {call.note}")
    if call.text and call.note:
        line("", call.note)
    if told.warning:
        out.print(f"[yellow]note[/] {escape(told.warning)}", soft_wrap=True)
    if found.mixes:
        out.print("[yellow]note[/] a gradient moves entries other than its own: a norm over all of them, such as "
                  "clipping, is in it; conventions are told entry by entry", soft_wrap=True)  # fmt: skip
    out.print()


def _json(found: Rule) -> dict[str, Any]:
    from compare import in_torch, in_words

    body: dict[str, Any] = {"form": found.form, "taken": found.taken, "found": False, "convention": None}
    if found.inferred is None:
        return body
    c, values = found.inferred.convention, found.inferred.values
    told, call = in_words.told(c, values), in_torch.call(c, values)
    convention = {
        "name": told.name, "hyperparameters": in_words.filled(c, values), "facets": told.facets,
        "formula": told.formula, "torch": call.text or None, "note": call.note, "warning": told.warning,
        "share": found.inferred.share,
    }  # fmt: skip
    return body | {"found": found.inferred.found, "convention": convention, "mixes": found.mixes}
