"""What became of a planted bug and of a correct variant, and how many of each: the score of a selftest."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from compare.diagnose import bare, confident, foremost
from compare.peers import NAMES
from compare.places import REST
from compare.plants import Plant
from compare.records import Cause, Finding, Verdict

WRONG = (Verdict.DIFFER, Verdict.CRASHED)


@dataclass(frozen=True)
class Trial:
    """One bug at one scale: whether it was caught, what it was called, and which of the usual criteria saw it."""

    bug: str
    pair: str
    scale: float
    caught: bool
    named: bool
    misnamed: bool  # a cause that leaves less than 1 % unexplained, and is false
    causes: tuple[Cause, ...]  # the foremost; several where no case tells them apart
    truth: tuple[str, ...]
    findings: int  # that differ and have a cause
    explained: int  # of them, by the foremost
    misled: int  # of them, those that alone would have been named with confidence, and wrongly
    noise_units: float
    crashed: bool
    peers: tuple[str, ...] | None = None  # None for bugs of the numerical gradient, at which no other looks


@dataclass(frozen=True)
class Clean:
    """One correct variant at one scale: how many quantities were judged, and who called it wrong."""

    pair: str
    variant: str
    scale: float
    judged: int
    false_alarms: int
    peers: tuple[str, ...] = ()
    told: tuple[str, ...] = ()


def concluded(
    plant: Plant,
    scale: float,
    found: Sequence[tuple[Finding, tuple[str, ...]]],
    objected: tuple[str, ...] | None = None,
) -> Trial:
    """What became of a bug, from findings and what the true cause is there: the foremost alone counts as its name."""
    wrong = [(f, truth) for f, truth in found if f.verdict in WRONG]
    truths = tuple(dict.fromkeys(t for _, truth in wrong for t in truth))
    verdict = foremost([f for f, _ in wrong])
    causes = verdict.causes if verdict else ()
    right = [matches(c.cause, truths) for c in causes]
    return Trial(
        bug=plant.name,
        pair=plant.pair,
        scale=scale,
        caught=bool(wrong),
        named=bool(causes) and all(right),
        misnamed=any(asserts(c) for c in confident(causes)) and not any(right),
        causes=causes,
        truth=truths or plant.truth,
        findings=verdict.of if verdict else 0,
        explained=verdict.explains if verdict else 0,
        misled=sum(_misled(f, truth) for f, truth in wrong),
        noise_units=max((f.noise_units or 0.0 for f, _ in wrong), default=0.0),
        crashed=any(f.verdict is Verdict.CRASHED for f, _ in wrong),
        peers=objected,
    )


def matches(cause: str, truth: Sequence[str]) -> bool:
    """Whether a cause is one of the true ones, word for word but for its factor in figures and what follows a colon."""
    return _bare(cause) in truth


def _bare(cause: str) -> str:
    return bare(cause).split(": ")[0].removeprefix("data term ")


def asserts(cause: Cause) -> bool:
    """Whether a cause claims a mistake: to say where a difference lies, or how large it is, claims none."""
    return not cause.cause.endswith(REST) and "scaled by" not in cause.cause


def _misled(f: Finding, truth: Sequence[str]) -> bool:
    """Whether one finding alone would have named a false cause with confidence, and the true one not."""
    some = {re.sub(r"example \d+", "example", t) for t in truth}  # an example of several is not false
    if f.quantity.startswith("db"):  # nor is it to say where, of a term that is missing everywhere
        some |= {f"{t} on the bias" for t in truth}
    sure = {re.sub(r"example \(one of [^)]*\)", "example", _bare(c.cause)) for c in confident(f.causes) if asserts(c)}
    return bool(sure) and not sure & {*truth, *some}


@dataclass(frozen=True)
class Peer:
    """One of the usual criteria: bugs that it would have caught, and correct implementations that it calls wrong."""

    caught: int
    of: int
    false_alarms: int
    correct: int


@dataclass(frozen=True)
class AtScale:
    """The score at one scale of the inputs."""

    scale: float
    planted: int
    caught: int
    named: int
    misnamed: int
    misled: int  # single findings that alone would have named a false cause
    findings: int
    correct: int  # implementations
    wronged: int  # of them, called wrong
    peers: Mapping[str, Peer]


@dataclass(frozen=True)
class Score:
    """The score of a selftest, as JSON has it. A bug is caught, or named, only if it is at every scale."""

    planted: int
    caught: int
    named: int
    survivors: tuple[Mapping[str, object], ...]
    misnamed: tuple[Mapping[str, object], ...]
    unnamed: tuple[Mapping[str, object], ...]
    draws: int  # quantities of correct implementations that were judged
    false_alarms: int
    peers: Mapping[str, Peer]
    scales: tuple[AtScale, ...]

    @property
    def passes(self) -> bool:
        """Whether no bug survived and no correct implementation was called wrong."""
        return not self.survivors and not self.false_alarms


def score(trials: Sequence[Trial], cleans: Sequence[Clean]) -> Score:
    """Count everything, over all scales and at each."""
    bugs = dict.fromkeys(t.bug for t in trials)
    return Score(
        planted=len(bugs),
        caught=len(bugs) - len({t.bug for t in trials if not t.caught}),
        named=len(bugs) - len({t.bug for t in trials if not t.named}),
        survivors=tuple({"bug": t.bug, "scale": t.scale} for t in trials if not t.caught),
        misnamed=tuple(_told(t) for t in trials if t.misnamed),
        unnamed=tuple(_told(t) for t in trials if t.caught and not t.named and not t.misnamed),
        draws=sum(c.judged for c in cleans),
        false_alarms=sum(c.false_alarms for c in cleans),
        peers=_peers(trials, cleans),
        scales=tuple(
            _at(scale, [t for t in trials if t.scale == scale], [c for c in cleans if c.scale == scale])
            for scale in sorted({t.scale for t in trials})
        ),
    )


def _told(t: Trial) -> dict[str, object]:
    return {"bug": t.bug, "scale": t.scale, "causes": [c.cause for c in t.causes], "truth": list(t.truth)}


def _at(scale: float, trials: Sequence[Trial], cleans: Sequence[Clean]) -> AtScale:
    return AtScale(
        scale=scale,
        planted=len(trials),
        caught=sum(t.caught for t in trials),
        named=sum(t.named for t in trials),
        misnamed=sum(t.misnamed for t in trials),
        misled=sum(t.misled for t in trials),
        findings=sum(t.findings for t in trials),
        correct=len(cleans),
        wronged=sum(c.false_alarms > 0 for c in cleans),
        peers=_peers(trials, cleans),
    )


def _peers(trials: Sequence[Trial], cleans: Sequence[Clean]) -> dict[str, Peer]:
    """Every criterion on every bug but those of the numerical gradient, which none of them looks at."""
    seen = [t for t in trials if t.peers is not None]
    return {
        name: Peer(
            caught=sum(name in (t.peers or ()) for t in seen),
            of=len(seen),
            false_alarms=sum(name in c.peers for c in cleans),
            correct=len(cleans),
        )
        for name in NAMES
    }
