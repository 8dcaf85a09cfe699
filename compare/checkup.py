"""A user's own implementation, checked: a function in scratch's place, or an update rule whose convention is found."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

import numpy as np

from compare import adapters, check, forms, in_torch, in_words
from compare.adapters import Adapter, Described
from compare.calls import Wish
from compare.guest import Guest, NoAnswer
from compare.infer import infer
from compare.judging import Inferred, Judged
from compare.pairs import TABLE, select
from compare.probes import Probe, probe
from compare.records import Case, Cause, Finding, Pair, Refusal, Verdict
from compare.sides import side, standing_in
from compare.timing import equal_threads
from compare.user import User

if TYPE_CHECKING:
    from compare.cases import Batch
    from compare.records import Array

WIDENED = "float32 comes in, float64 comes out"


@dataclass(frozen=True)
class Rule:
    """What was found of an update rule: its form, its convention (None if it raised), and whether entries mix."""

    form: str
    taken: str
    inferred: Inferred | None
    findings: tuple[Finding, ...]
    mixes: bool = False


def meant(guest: Guest, name: str | None) -> Pair | None:
    """The pair that the code is to be held against, by name or by its own; None for an update rule of any kind.

    Raises Refusal for a pair that is unknown or cannot be checked.
    """
    told = Described(*guest.ask(adapters.described))
    known = {p.name: p for p in TABLE}
    name = name or adapters.suggested(told, known)
    if not name:
        return None
    if name not in known:
        select([name])  # refuses an unknown name, with the closest
        raise Refusal(f"--as {name} is a family; name one pair of it: {', '.join(p.name for p in select([name]))}")
    pair = known[name]
    if pair.kind != "rule" and not any(told.arguments.values()):
        raise Refusal(f"{guest.spec} takes no argument, and so cannot be held against {name}")
    if pair.kind not in (*adapters.KINDS, "rule"):
        kinds = "losses, penalties, objectives, layers, update rules"
        raise Refusal(f"--as {name}: a pair of kind {pair.kind} is not checked; there are {kinds}")
    if pair.kind == "layer" and not told.layer:
        raise Refusal(f"--as {name}: a layer needs {told.name}_forward and {told.name}_backward in the file")
    return pair


# --- functions ---


def function(user: User, name: str, batch: Batch | None, seed: int, dtypes: Sequence[str]) -> Iterator[Finding]:
    """A question to the guest: the code in scratch's place, asked all that gradtwin verify asks scratch.

    What could not be asked comes last, skipped, and what came back in float64 for float32.
    """
    pair = select([name])[0]
    adapter = Adapter(user, pair, Described(*adapters.described(user)))
    with standing_in(adapter.modules()), equal_threads(1):
        for finding in check.verify([adapter.asked()], batch, seed, dtypes):
            yield _yours(finding, user.spec)
    blank = Finding(pair.name, user.spec, "", "", "", Verdict.SKIPPED, convention=pair.convention)
    for case, reason in adapter.skipped.items():
        yield replace(blank, case=case, quantity="case", message=f"not asked: {reason}")
    for what in sorted(adapter.widened):
        yield replace(blank, case="all", dtype="float32", quantity=what, message=WIDENED)


def within(guest: Guest, pair: Pair, question: Callable[..., Iterator[Finding]], *args: Any) -> Iterator[Finding]:
    """The findings of a question; where the process ends on the way, that is the last of them."""
    last = Finding(pair.name, guest.spec, "", "", "", Verdict.CRASHED, convention=pair.convention)
    try:
        for finding in guest.each(question, *args):
            yield finding
            last = replace(last, case=finding.case, dtype=finding.dtype)
    except NoAnswer as error:
        message = f"{error}; nothing more was asked" + (f", after {last.case}" if last.case else "")
        yield replace(last, case="the process", quantity="all", message=message)


def _yours(finding: Finding, spec: str) -> Finding:
    """A finding of verify in the user's terms."""
    message = re.sub(r"\bscratch's\b", "your", re.sub(r"\bscratch (?=[-\d.]|nan|inf)", "yours ", finding.message))
    return replace(finding, function=spec, message=re.sub(r"\bscratch\b", "your code", message))


# --- update rules ---


def rule(guest: Guest, wish: Wish, seed: int, dtypes: Sequence[str], pair: Pair | None = None) -> Rule:
    """The convention of an update rule; then the rule against a pair, or against the one that it turns out to be."""
    form, taken = "", ""
    asked = probe()
    blank = Finding(pair.name if pair else "rule", guest.spec, "probe", "float64", "path", Verdict.CRASHED)
    try:
        form, taken = guest.ask(forms.taken, wish)
        path, error = guest.ask(forms.path, wish, asked.param, asked.grads, asked.lr)
        mixes = not error and _mixes(guest, wish, asked, path)
    except NoAnswer as ended:
        return Rule(form, taken, None, (replace(blank, message=str(ended)),))
    if error:
        message = f"raised at step {len(path) + 1} of {len(asked.lr)}: {error}"
        return Rule(form, taken, None, (replace(blank, message=message),))
    found = infer(asked, path)
    twin = in_torch.pair_of(found.convention, found.values) if found.found else None
    options: Mapping[str, Any] = twin[1] if twin else {}
    if pair:
        fields = side("scratch", pair.at).__dataclass_fields__
        options = {n: x for n, x in wish.settings.items() if n in fields}
    elif twin:
        pair = select([twin[0]])[0]
    name = pair.name if pair else twin[0] if twin else found.convention.rule
    findings = [_finding(replace(blank, pair=name), j, found, asked) for j in found.judged]
    if pair:
        findings += within(guest, pair, held, wish, pair.name, options, seed, dtypes)
    return Rule(form, taken, found, tuple(findings), mixes)


def _finding(blank: Finding, j: Judged, found: Inferred, asked: Probe) -> Finding:
    row = replace(blank, case=j.group, verdict=Verdict.AGREE, noise_units=j.noise_units)
    if found.imprecise:
        message = "agrees within float32's rounding only: something in it is kept in float32"
        return replace(row, verdict=Verdict.IMPRECISE, message=message)
    if j.step is None or j.entry is None or j.mine is None or j.told is None or j.allowed is None:
        return row
    name, message = in_words.told(found.convention, found.values).name, f"parts at step {j.step}"
    causes: tuple[Cause, ...] = ()
    if found.parts == j:
        gap = f"off by {abs(j.mine - j.told):.3g}, allowed {j.allowed:.3g}"
        where = f"{message} of {len(asked.lr)}, entry {j.entry} (gradient {asked.grads[j.step - 1, j.entry]:.3g})"
        message = f"{where}: yours {j.mine:.9g}, {name} {j.told:.9g}, {gap}"
        causes = (Cause(found.guess, 0.0),) if found.guess else ()
    row = replace(row, verdict=Verdict.DIFFER, message=message, causes=causes)
    return replace(row, entry=(j.step, j.entry), scratch=j.mine, ref=j.told)


def held(
    user: User, wish: Wish, name: str, options: Mapping[str, Any], seed: int, dtypes: Sequence[str]
) -> Iterator[Finding]:
    """A question to the guest: the rule in scratch's place against the ref with these options, on its questions."""
    pair = select([name])[0]
    module, attribute = pair.at.rsplit(".", 1)

    def cases(rng: np.random.Generator, batch: Any = None) -> Iterator[Case]:
        for case in pair.cases(rng, batch):
            if not case.options:  # weight decay cannot be set from here
                yield replace(case, options=options)

    stand_in = SimpleNamespace(**{attribute: lambda **_: forms.Rule(user, wish)})
    with standing_in({f"scratch.{module}": stand_in}), equal_threads(1):
        for finding in check.verify([replace(pair, cases=cases)], None, seed, dtypes):
            yield _yours(finding, user.spec)


def _mixes(guest: Guest, wish: Wish, asked: Probe, path: Array) -> bool:
    """Whether one entry's gradient moves another entry: a norm over all of them, for example."""
    last = [n for n, name in enumerate(asked.names) if name == "sizes"][-1]
    grads = asked.grads.copy()
    grads[:, last] *= 3
    again, _ = guest.ask(forms.path, wish, asked.param, grads, asked.lr)
    others = np.arange(path.shape[1]) != last
    return again.shape == path.shape and not np.array_equal(again[:, others], path[:, others], equal_nan=True)
