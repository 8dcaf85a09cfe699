"""One question put to three witnesses: scratch, ref and the numerical gradient. Yields findings, never prints."""

from __future__ import annotations

import zlib
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from functools import cache
from typing import TYPE_CHECKING

import numpy as np

from compare import kinks, witness
from compare.cases import Batch
from compare.diagnose import diagnose
from compare.differ import BOUND, difference, form_fault, judge, scales_like_rounding, unstable
from compare.imprecision import UNSTABLE, in_both, within_any_order
from compare.invariants import invariants, refusals
from compare.kinds import FLOAT64_ONLY, ask_ref, ask_scratch, cast, decoy
from compare.noise import MANY, K, chained, noise_of, replays
from compare.places import turned
from compare.records import Case, Cause, Difference, Finding, Noise, Outcome, Pair, Verdict
from compare.second import second_order
from compare.suspicions import Asked
from compare.visibility import Sight, overlooked, sights

if TYPE_CHECKING:
    from compare.records import Array

DTYPES = ("float32", "float64")
# Noise units from which on K replays settle nothing. Of one number, four replays of a half are four draws, and by bad
# luck beyond x units lies the share of Student's t (4 degrees of freedom) beyond 2x: 6e-4 at BOUND. Of MANY it is 3e-8.
DOUBT = 1.5
TWICE = "two identical calls gave two answers"


@dataclass(frozen=True)
class Measured:
    """A case as the ref sees it: the truth, its noise by quantity, the kinks within rounding; and for diagnosis."""

    truth: Outcome
    noise: dict[str, Noise]
    flips: list[kinks.Flip]
    finer: Callable[[], dict[str, Noise]]  # the noise from more replays, measured when first asked for
    asked: Asked


def verify(
    pairs: Sequence[Pair],
    batch: Batch | None,
    seed: int = 0,
    dtypes: Iterable[str] = DTYPES,
    device: str = "cpu",
) -> Iterator[Finding]:
    """Every pair: what it must refuse, what needs no oracle, every case in every dtype, and what none could see."""
    for pair in pairs:
        yield from refusals(pair)
        asked = ("float64",) if pair.kind in FLOAT64_ONLY else tuple(dtypes)
        if "float64" in asked:
            first = next(iter(pair.cases(generator(seed, pair.name), batch)))
            yield from sworn(pair, cast(first, "float64"), generator(seed, pair.name, "invariants"))
        for dtype in asked:
            seen: list[Sight] = []
            for case in pair.cases(generator(seed, pair.name), batch):
                yield from check(pair, case, dtype, seed, device, seen)
            yield from overlooked(Finding(pair.name, pair.at, "", dtype, "", Verdict.INCONCLUSIVE), seen)


def generator(seed: int, *names: str) -> np.random.Generator:
    """A generator of its own for each name, so that one pair's cases do not depend on which others are asked."""
    return np.random.default_rng([seed, *(zlib.crc32(name.encode()) for name in names)])


def sworn(pair: Pair, case: Case, rng: np.random.Generator) -> Iterator[Finding]:
    """The invariants of a pair; an implementation that cannot be asked is left to the cases, which say so."""
    try:
        with np.errstate(all="ignore"):
            yield from [*invariants(pair, case, rng), *second_order(pair, case, rng)]
    except Exception:
        return


def check(
    pair: Pair,
    case: Case,
    dtype: str,
    seed: int = 0,
    device: str = "cpu",
    seen: list[Sight] | None = None,
    known: Measured | None = None,
    third: bool = True,
) -> Iterator[Finding]:
    """One case in one dtype. Form comes first (raises, shape, dtype, mutation, repeatability), then numbers.

    A finding that agrees says so if the case could not see one of its terms; seen collects how visible each was.
    known is what the ref said of this case before: many implementations can be held against one measurement.
    third says whether the numerical gradient is heard as well.
    """
    case = cast(case, dtype)
    blank = Finding(pair.name, pair.at, case.name, dtype, "value", Verdict.CRASHED, convention=pair.convention)
    before = {name: x.copy() for name, x in case.inputs.items()}
    try:
        with np.errstate(all="ignore"):
            # another question comes before each, so that an answer left over from the last call shows
            _, answer = ask_scratch(pair, decoy(case)), ask_scratch(pair, case)
            _, again = ask_scratch(pair, decoy(case)), ask_scratch(pair, case)
    except Exception as error:  # whatever the code under test raises is its answer
        yield replace(blank, message=f"raised {type(error).__name__}: {error}")
        return
    changed = [name for name, x in case.inputs.items() if not _same(x, before[name])]
    if changed:
        yield replace(blank, verdict=Verdict.DIFFER, message=f"wrote to its input {', '.join(changed)}")
        case = replace(case, inputs=before)
    measured = known or measure(pair, case, dtype, seed, device)
    numerical: witness.Numerical | None = witness.Numerical(
        pair, cast(case, "float64"), generator(seed, pair.name, case.name, "numerical")
    )
    if not third or not _is_number(answer.value, measured.truth.value):
        numerical = None  # a function that has no value has no slope
    noise = measured.noise
    visible = sights(pair, kinks.widened(case), lambda c: ask_ref(pair, c), measured.truth.quantities(), noise)
    if seen is not None:
        seen += visible
    for quantity, truth in measured.truth.quantities().items():
        row = replace(blank, quantity=quantity)
        mine, repeat = answer.quantities().get(quantity), again.quantities().get(quantity)
        fault = form_fault(mine, np.asarray(truth, dtype))
        if not fault and not _same(np.asarray(mine), np.asarray(repeat)):
            fault = TWICE
        if fault or mine is None:
            causes = turned(case, mine, truth, BOUND * measured.noise[quantity].tensor)
            if fault == TWICE:
                causes = explained(quantity, row.dtype, measured, answer)
            yield replace(row, verdict=Verdict.DIFFER, message=fault, causes=causes)
            continue
        mine = np.asarray(mine)
        found = conclude(row, pair, case, measured, answer, numerical)
        if quantity == "value" and found.verdict is Verdict.IMPRECISE:
            numerical = None  # its rounding is larger than the numerical gradient allows for
        unseen = [str(s) for s in visible if s.quantity == quantity and not s.visible]
        yield replace(found, message="; ".join([*filter(None, [found.message]), *unseen])) if unseen else found


def measure(
    pair: Pair, case: Case, dtype: str, seed: int = 0, device: str = "cpu", ask: Callable[[Case], Outcome] | None = None
) -> Measured:
    """Truth, noise and kinks of a case: everything that the ref alone can tell. ask stands in for asking the pair."""
    ask = ask or (lambda c: ask_ref(pair, c, device))
    rng = generator(seed, pair.name, case.name, dtype, "noise")
    # an exact promise is about kinks; without any, rounding is measured as ever
    asked = case if pair.kinks else replace(case, exact=False)
    truth = ask(kinks.widened(asked))
    found = kinks.flips(pair.kinks, asked, ask, truth, rng)

    def noise(count: int) -> dict[str, Noise]:
        answers = replays(ask, asked, pair.sums, rng, count)
        told = {}
        for quantity, t in truth.quantities().items():
            errors = [kinks.explain(a[quantity] - t, found, quantity)[0] for a in answers]
            told[quantity] = noise_of(errors, t, np.dtype(dtype))
            if pair.kind == "schedule":
                told[quantity] = chained(told[quantity], t)
        return told

    return Measured(truth, noise(K), found, cache(lambda: noise(MANY)), _asked(pair, kinks.widened(case), truth, ask))


def _asked(pair: Pair, case: Case, truth: Outcome, ask: Callable[[Case], Outcome]) -> Asked:
    loss = pair.loss or ("softmax" if pair.at == "two_layer.objective" else "")
    return Asked(case, truth, pair.at, loss, ask, decoy(case))


def conclude(
    row: Finding, pair: Pair, case: Case, measured: Measured, answer: Outcome, numerical: witness.Numerical | None
) -> Finding:
    """The verdict on one quantity of an answer, from its difference and from what the third witness says."""
    quantity, truth = row.quantity, measured.truth.quantities()[row.quantity]
    mine = answer.quantities()[quantity]
    if len(measured.flips) > kinks.MOST:
        message = f"{len(measured.flips)} kinks lie within rounding: this case judges nothing"
        return replace(row, verdict=Verdict.INCONCLUSIVE, message=message)
    found = compared(quantity, mine, measured)
    verdict, message = judge(found), found.fault
    errors = in_both(pair, case, quantity) if verdict is Verdict.DIFFER and not found.fault else None
    if errors and scales_like_rounding(*errors) and within_any_order(case, found):
        verdict = Verdict.IMPRECISE
        message = f"rounding explains it, {found.noise_units:.0f} times that of a stable algorithm"
    heard = numerical.hear(quantity, mine, truth, found.entry) if numerical and row.dtype == "float64" else None
    if heard and heard.verdict is not Verdict.AGREE and verdict is Verdict.AGREE:
        verdict, message = heard.verdict, heard.message
    elif verdict is Verdict.DIFFER:
        message = message or _in_numbers(found)
        if heard and heard.message:
            message = f"{message}; {heard.message}"
    causes: tuple[Cause, ...] = ()
    if verdict is Verdict.DIFFER and errors and unstable(*errors):
        causes = (UNSTABLE,)
    elif verdict is Verdict.DIFFER and judge(found) is Verdict.DIFFER:  # else the numerical gradient alone objects
        causes = explained(quantity, row.dtype, measured, answer)
    if found.kinks:
        message = "; ".join(
            filter(None, [message, f"{found.kinks} kink{'s' * (found.kinks != 1)} within rounding, on the other side"])
        )
    return replace(
        row,
        verdict=verdict,
        noise_units=found.noise_units,
        entry=found.entry,
        scratch=found.scratch,
        ref=found.ref,
        numerical=heard.value if heard else None,
        slopes=heard.slopes if heard else 0,
        unjudged=heard.unjudged if heard else 0,
        causes=causes,
        message=message,
    )


def explained(quantity: str, dtype: str, measured: Measured, answer: Outcome) -> tuple[Cause, ...]:
    """The likely causes of a quantity that differs."""
    truth, mine = measured.truth.quantities(), answer.quantities()
    sound = [q for q, t in truth.items() if not form_fault(mine[q], np.asarray(t, dtype))]
    told = {q: np.asarray(mine[q], np.float64) for q in sound}
    noise = {q: n.tensor for q, n in measured.noise.items()}

    def settle(quantity: str, residual: Array) -> Array:
        return kinks.explain(residual, measured.flips, quantity)[0]

    return diagnose(quantity, told, measured.asked, noise, settle)


def compared(quantity: str, mine: Array, measured: Measured) -> Difference:
    """Scratch against the truth in noise units, kinks within rounding taken into account.

    Where the units of K replays leave doubt, MANY fresh ones are taken, and theirs are told.
    """
    truth = measured.truth.quantities()[quantity]
    with np.errstate(all="ignore"):
        residual, flipped = kinks.explain(np.asarray(mine, np.float64) - truth, measured.flips, quantity)
    found = difference(quantity, mine, truth, measured.noise[quantity], residual, flipped)
    if DOUBT < found.noise_units < np.inf:
        found = difference(quantity, mine, truth, measured.finer()[quantity], residual, flipped)
    return found


def _in_numbers(found: Difference) -> str:
    if found.entry is None or found.scratch is None or found.ref is None or found.allowed is None:
        return ""
    where = f"entry {list(found.entry)}: " if found.entry else ""
    off = abs(found.scratch - found.ref)
    return f"{where}scratch {found.scratch:.9g}, ref {found.ref:.9g}, off by {off:.3g}, allowed {found.allowed:.3g}"


def _is_number(value: Array, truth: Array) -> bool:
    """Whether a value is one finite number, or an array of them as a layer puts out."""
    return bool(value.shape == truth.shape and value.dtype.kind == "f" and np.isfinite(value).all())


def _same(a: Array, b: Array) -> bool:
    return np.array_equal(a, b, equal_nan=a.dtype.kind == "f")
