"""Hyperparameters chosen on the validation part: an Optuna study whose trials train scratch alone.

A study lies in a store that several machines may share: each takes the next trial, trains, and writes down what came
out. Unless the sampler learns from the trials before, all settings are drawn when the study is made and wait there in
a queue: the same seed gives the same trials, however many machines share them and however often they were interrupted.
"""

from __future__ import annotations

import os
import socket
from collections.abc import Callable, Generator, Mapping
from concurrent.futures import FIRST_COMPLETED, Future, wait
from dataclasses import dataclass, replace
from datetime import datetime
from typing import TYPE_CHECKING, Any

import optuna
from optuna.trial import FrozenTrial, TrialState

from compare import models, space
from compare.alone import Material, Trace
from compare.parties import Plan
from compare.pool import pool
from compare.records import Refusal
from compare.space import Choice, Space, Value

if TYPE_CHECKING:
    from optuna import Study

DONE = (TrialState.COMPLETE, TrialState.PRUNED)
SAMPLERS = ("random", "tpe")
LONG = 10  # a trial on another machine that takes so many times the longest one yet is taken for dead
PATIENCE = 600  # seconds, but not before


@dataclass(frozen=True)
class Trial:
    """One trial that is done: its settings, and what it came to. accuracy None: it failed, fault says why."""

    number: int
    settings: Mapping[str, Value]
    accuracy: float | None
    loss: float | None
    seconds: float
    fault: str
    trace: Trace | None = None  # only of trials of this run


def sweep(
    study: Study,
    base: Plan,
    wanted: Space,
    material: Material,
    trials: int,
    processes: int,
    sampler: str = "random",
    interrupted: Callable[[], bool] = lambda: False,
) -> Generator[Trial, None, None]:
    """Train until the study has so many trials; yield each of this run when it is done.

    Whoever stops early loses the trials in flight, and nothing else: they are queued again. Raises KeyboardInterrupt
    soon after interrupted() says so.
    """
    recover(study)
    _queue(study, base, wanted, trials, sampler)
    taken: set[int] = set()
    flying: dict[Future[Trace], optuna.Trial] = {}
    try:
        with pool(material, processes, interrupted) as submit:
            while True:
                if interrupted():
                    raise KeyboardInterrupt
                while len(flying) < processes and started(study) < trials:
                    trial = _ask(study)
                    taken.add(trial.number)
                    flying[submit(plan_of(base, suggest(trial, wanted, base)))] = trial
                if not flying:
                    return
                for future in wait(flying, 0.1, FIRST_COMPLETED).done if not interrupted() else ():
                    trial, trace = flying.pop(future), future.result()
                    _tell(study, trial, trace)
                    taken.remove(trial.number)
                    yield _done(study.trials[trial.number], trace)
    finally:
        for number in sorted(taken):
            _requeue(study, study.trials[number])


def open_study(name: str, store: str | None, asked: Mapping[str, Any], wanted: Space) -> tuple[Study, Space]:
    """Make a study, or go on with the one of that name; return it and its space.

    asked is what must be the same whenever the study goes on; an empty wanted takes the study's own space. Raises
    Refusal where anything differs, and for a store that cannot be used.
    """
    optuna.logging.set_verbosity(optuna.logging.ERROR)
    try:
        storage = optuna.storages.RDBStorage(store, _connection(store)) if store else None
        try:
            study = optuna.create_study(study_name=name, storage=storage, direction="maximize")
        except optuna.exceptions.DuplicatedStudyError:
            study = optuna.load_study(study_name=name, storage=storage)  # type: ignore[arg-type] # there is one
            return study, _same(study, name, asked, wanted)
    except Refusal:
        raise
    except Exception as error:  # whatever the database or its driver raises
        raise Refusal(f"--store {store}: cannot be used: {str(error).strip().splitlines()[0]}") from error
    wanted = wanted or space.UNLESS_TOLD
    study.set_user_attr("space", {name: str(values) for name, values in wanted.items()})
    study.set_user_attr("asked", dict(asked))
    return study, wanted


def _connection(store: str) -> dict[str, Any]:
    """SQLite makes one writer wait for another: let it be patient."""
    return {"connect_args": {"timeout": 60}} if store.startswith("sqlite") else {}


def _same(study: Study, name: str, asked: Mapping[str, Any], wanted: Space) -> Space:
    """The space of a study that exists already. Raises Refusal where it was asked otherwise."""
    before: dict[str, Any] | None = study.user_attrs.get("asked")
    if before is None:
        raise Refusal(f"--study {name}: it is being set up; try again in a moment, or take another name")
    for key, value in asked.items():
        if before[key] != value:
            raise Refusal(f"--study {name}: it was begun with {key} {before[key]}, not {value}; take another name")
    words = [f"{key}={text}" for key, text in study.user_attrs["space"].items()]
    own = space.parse(models.model(before["model"]), words)
    if wanted and {k: str(v) for k, v in wanted.items()} != {k: str(v) for k, v in own.items()}:
        raise Refusal(f"--study {name}: it searches {' '.join(words)}; take another name, or leave NAME=VALUES away")
    return own


def plan_of(base: Plan, settings: Mapping[str, Value]) -> Plan:
    """The training of a trial; where no rate was searched, the model's own for the rule."""
    plan = replace(base, **space.options(settings))
    return plan if "lr" in settings else replace(plan, lr=models.model(plan.model).lr[plan.rule])


def suggest(trial: optuna.Trial, wanted: Space, base: Plan) -> dict[str, Value]:
    """A trial's settings: those that it was queued with, or what the study's sampler suggests."""
    found: dict[str, Value] = {}
    for name in sorted(wanted, key=lambda name: name == "lr"):
        values = wanted[name]
        if isinstance(values, Choice):
            found[name] = trial.suggest_categorical(name, values.values)  # type: ignore[assignment] # one of these
        elif isinstance(values.low, int):
            found[name] = trial.suggest_int(name, values.low, int(values.high), log=True)
        else:
            found[name] = trial.suggest_float(name, *space.ends(values, base, found), log=True)
    return found


def base(model: str, seed: int, material: Material) -> Plan:
    """The model's own settings, in float32; a batch larger than the set becomes the full set."""
    m = models.model(model)
    batch = 0 if m.batch_size > len(material.train.labels) else m.batch_size
    return Plan(model, m.rule, m.schedule, m.epochs, batch, m.lr[m.rule], m.reg, m.penalty, seed=seed, hidden=m.hidden,
                augment=m.augment)  # fmt: skip


def results(study: Study) -> list[Trial]:
    """Every trial of the study that is done, whoever did it, by number."""
    return [_done(t) for t in study.get_trials(states=DONE)]


def best(done: list[Trial]) -> Trial | None:
    """The highest accuracy on the validation part, among equals the lowest loss."""
    fair = [t for t in done if t.accuracy is not None and t.loss is not None]
    return max(fair, key=lambda t: (t.accuracy, -(t.loss or 0.0), -t.number), default=None)


def started(study: Study) -> int:
    """Trials that are done or on their way, here or elsewhere."""
    return len(study.get_trials(deepcopy=False, states=(*DONE, TrialState.RUNNING)))


def elsewhere(study: Study) -> int:
    """Trials on their way, seen from one who has none."""
    return len(study.get_trials(deepcopy=False, states=(TrialState.RUNNING,)))


def recover(study: Study) -> int:
    """Queue again the trials of processes that are no more; return how many."""
    longest = max((t.duration.total_seconds() for t in study.get_trials(states=DONE) if t.duration), default=0.0)
    lost = [t for t in study.get_trials(states=(TrialState.RUNNING,)) if _dead(t, max(PATIENCE, LONG * longest))]
    for trial in lost:
        _requeue(study, trial)
    return len(lost)


def _dead(trial: FrozenTrial, patience: float) -> bool:
    if os.name == "posix" and trial.user_attrs.get("host") == socket.gethostname():
        return not _alive(int(trial.user_attrs["process"]))
    return trial.datetime_start is not None and (datetime.now() - trial.datetime_start).total_seconds() > patience


def _alive(process: int) -> bool:
    try:
        os.kill(process, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        return True
    return process != os.getpid()  # this process has just begun


def _requeue(study: Study, trial: FrozenTrial) -> None:
    """Give a trial up and have it tried anew."""
    study.tell(trial.number, state=TrialState.FAIL, skip_if_finished=True)
    settings = trial.system_attrs.get("fixed_params") or trial.params
    if settings:
        study.enqueue_trial(settings)


def _queue(study: Study, base: Plan, wanted: Space, trials: int, sampler: str) -> None:
    """Queue the settings that are not queued yet; a sampler that learns makes them when they are asked for."""
    if sampler == "tpe":
        study.sampler = optuna.samplers.TPESampler(seed=base.seed + len(study.trials))
        return
    queued = study.user_attrs.get("queued", 0)
    study.set_user_attr("queued", max(queued, trials))  # first, so that no other machine queues the same
    for point in space.points(wanted, trials, base.seed, base)[queued:]:
        study.enqueue_trial(point)


def _ask(study: Study) -> optuna.Trial:
    """Take the next trial, and say who took it."""
    trial = study.ask()
    trial.set_user_attr("host", socket.gethostname())
    trial.set_user_attr("process", os.getpid())
    return trial


def _tell(study: Study, trial: optuna.Trial, trace: Trace) -> None:
    """Write down what a training came to; one that failed is pruned, so that no sampler likes it."""
    trial.set_user_attr("seconds", trace.seconds)
    if trace.fault or trace.last is None:
        trial.set_user_attr("fault", trace.fault)
        study.tell(trial, state=TrialState.PRUNED)
        return
    trial.set_user_attr("validation_loss", trace.last.validation_loss)
    study.tell(trial, trace.last.validation_accuracy)


def _done(trial: FrozenTrial, trace: Trace | None = None) -> Trial:
    told = trial.user_attrs
    return Trial(
        trial.number,
        {name: trial.params[name] for name in space.SETTINGS if name in trial.params},
        trial.value,
        told.get("validation_loss"),
        float(told.get("seconds", 0.0)),
        told.get("fault", ""),
        trace,
    )
