"""gradtwin train: scratch and the ref in lockstep, logged to TensorBoard."""

from __future__ import annotations

import math
import os
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from compare import options
from compare.records import Refusal

if TYPE_CHECKING:
    from compare.parties import Plan

APART = ("resume", "data_root", "runs", "log", "json_to", "quiet")  # options that leave the training what it is
CONTROLS = 6  # runs from weights moved by 1 ulp with --control; in float32 one in float64 comes along


def train(
    ctx: typer.Context,
    model: Annotated[
        str | None, typer.Argument(metavar="MODEL", help="softmax, svm or two-layer; what is not given is its own.")
    ] = None,
    epochs: Annotated[int | None, typer.Option(help="Passes over the training images.")] = None,
    batch_size: Annotated[
        str | None, typer.Option(metavar="N|full", help="Images a step; full takes all of them.")
    ] = None,
    lr: Annotated[
        float | None, typer.Option(help="Learning rate, at the start of the schedule.  [default: the model's]")
    ] = None,
    reg: Annotated[float | None, typer.Option(help="Strength of the penalty on the weights.")] = None,
    penalty: Annotated[str | None, typer.Option(help="l2, l1 or elastic_net.")] = None,
    hidden: Annotated[
        str | None,
        typer.Option(metavar="N[,N…]", help="Units of a network's hidden layer, or layers.  [default: the model's]"),
    ] = None,
    init: Annotated[str | None, typer.Option(help="A network's start weights: he or xavier.  [default: he]")] = None,
    augment: Annotated[
        str | None,
        typer.Option(
            help="none; flip: half of the images mirrored; shift: and moved by up to a pixel.  [default: the model's]"
        ),
    ] = None,
    rule: Annotated[
        str | None,
        typer.Option(
            metavar="NAME[:OPTION=…,…]",
            help="sgd, momentum, nesterov, adagrad, rmsprop, adam or adamw; options as adam:beta2=0.99,eps=1e-6.",
        ),
    ] = None,
    momentum: Annotated[float | None, typer.Option(help="Momentum of a rule that has it.")] = None,
    weight_decay: Annotated[float | None, typer.Option(help="The rule's weight decay: ½ λ ‖θ‖², or AdamW's.")] = None,
    decay_bias: Annotated[
        bool,
        typer.Option("--decay-bias/--no-decay-bias", help="Whether weight decay takes biases too, as torch's does."),
    ] = True,
    clip: Annotated[float | None, typer.Option(help="Largest norm of all gradients together.  [default: any]")] = None,
    schedule: Annotated[
        str | None,
        typer.Option(
            metavar="NAME[:OPTION=…,…]",
            help="constant, step, exponential, inverse or cosine; options as step:drops=3,factor=0.5.",
        ),
    ] = None,
    warmup: Annotated[int | None, typer.Option(min=0, help="Steps of linear warm-up before the schedule.")] = None,
    control: Annotated[
        bool, typer.Option("--control", help="Six control runs for two: a finer measure of what rounding and chaos do.")
    ] = False,
    scratch: Annotated[
        str | None,
        typer.Option(metavar="FILE:NAME", help="Your own rule, loss, objective or model in scratch's place."),
    ] = None,
    resync: Annotated[
        bool, typer.Option("--resync", help="Start each step of scratch from the ref's weights: no drift adds up.")
    ] = False,
    dtype: Annotated[options.Dtype, typer.Option(help="Working precision of both sides.")] = options.Dtype.float32,
    seed: options.Seed = 0,
    data: options.Data = "auto",
    data_root: options.DataRoot = None,
    device: options.Device = "cpu",
    threads: Annotated[
        int, typer.Option(min=1, help="Threads for each side. One gives the same numbers on every machine.")
    ] = 1,
    runs: options.RunsDir = Path("runs"),
    resume: Annotated[
        Path | None, typer.Option(metavar="RUN", help="Go on with a training that was ended, from its last checkpoint.")
    ] = None,
    log: Annotated[bool, typer.Option("--log/--no-log", help="Write the run into --runs, or nothing.")] = True,
    json_to: options.Json = None,
    quiet: options.Quiet = False,
) -> int:
    """Train scratch and ref in lockstep: same start weights, same batches, every step compared.

    Exit status: 0 the sides stay within what rounding does, 1 they do not, 2 wrong usage or a loss that is not
    finite, 130 ended by Ctrl-C (what was done so far is reported).
    """
    os.environ.setdefault("KINETO_LOG_LEVEL", "99")  # torch's profiler would chat on standard error
    from compare import choices, models, own, report
    from compare.augment import AUGMENTS
    from compare.bridge import device_named
    from compare.parties import Plan
    from compare.running import resume as go_on
    from compare.running import run
    from compare.session import Job

    words = {name: _plain(x) for name, x in ctx.params.items() if name not in APART}
    if resume is not None:
        said = {n: x for n, x in words.items() if getattr(ctx.get_parameter_source(n), "name", "") == "COMMANDLINE"}
        return go_on(resume, said, data_root, report.console(quiet, json_to), json_to)
    if model is None:
        raise Refusal(f"name a MODEL to train: {', '.join(models.MODELS)}; or --resume RUN")
    chosen = models.model(model)
    rule, rule_options = choices.rule(rule or chosen.rule)
    rule_options = choices.with_option(rule, rule_options, "momentum", momentum)
    rule_options = choices.with_option(rule, rule_options, "weight_decay", weight_decay)
    schedule, schedule_options = choices.schedule(schedule or chosen.schedule)
    plan = Plan(
        model=model,
        rule=rule,
        schedule=schedule,
        epochs=chosen.epochs if epochs is None else epochs,
        batch_size=_batch(batch_size, chosen.batch_size),
        lr=chosen.lr[rule] if lr is None else lr,
        reg=chosen.reg if reg is None else reg,
        penalty=models.named("penalty (--penalty)", penalty or chosen.penalty, models.penalties("scratch")),
        dtype=dtype.value,
        seed=seed,
        device=device,
        hidden=chosen.hidden if hidden is None else _hidden(hidden),
        init=models.named("scheme of start weights (--init)", init or "he", models.schemes()),
        augment=models.named("augmentation (--augment)", augment or chosen.augment, AUGMENTS),
        rule_options=rule_options,
        schedule_options=schedule_options | ({"warmup": warmup} if warmup else {}),
        decay_bias=decay_bias,
        clip=clip or 0.0,
        controls=CONTROLS + (dtype is options.Dtype.float32) if control else 2,
        resync=resync,
    )
    if scratch is not None:
        plan = own.put(plan, scratch)
    _check(plan, clip)
    if threads > (cores := os.cpu_count() or threads):
        raise Refusal(f"--threads {threads}: this machine has {cores} cores; more threads would wait for each other")
    for option, given in (("hidden", hidden), ("init", init)):
        if given is not None and not chosen.hidden:
            raise Refusal(f"--{option} {given}: for a network only; {model} has no hidden layer")
    device_named(device)
    if log:
        options.check_runs(runs, "use --no-log")
    out = report.console(quiet, json_to)
    job = Job(plan, data, None if data_root is None else str(data_root), threads, words)
    return run(job, runs if log else None, batch_size is None, out, json_to)


def _plain(x: object) -> object:
    """An option as a checkpoint holds it."""
    return x.value if isinstance(x, options.Dtype) else x


def _batch(given: str | None, default: int) -> int:
    """Read --batch-size: N, or 0 for full."""
    if given is None:
        return default
    if given == "full":
        return 0
    if not given.lstrip("-").isdecimal():
        raise Refusal(f"--batch-size {given}: a whole number from 1, or full")
    if int(given) < 1:
        raise Refusal(f"--batch-size {given}: a batch needs at least one image; full takes all of them")
    return int(given)


def _hidden(given: str) -> tuple[int, ...]:
    """Read --hidden: the units of one layer, or of several, separated by commas."""
    units = [unit.strip() for unit in given.split(",")]
    if not all(unit.isdecimal() and len(unit) <= 6 and int(unit) for unit in units):
        raise Refusal(f"--hidden {given}: whole numbers from 1 to 999999, such as 100 or 100,50")
    return tuple(int(unit) for unit in units)


def _check(plan: Plan, clip: float | None) -> None:
    if plan.epochs < 1:
        raise Refusal(f"--epochs {plan.epochs}: at least 1")
    if not (math.isfinite(plan.lr) and plan.lr > 0):
        raise Refusal(f"--lr {plan.lr:g}: a finite number above 0")
    if clip is not None and not (math.isfinite(clip) and clip > 0):
        raise Refusal(f"--clip {clip:g}: a finite number above 0")
    if not (math.isfinite(plan.reg) and plan.reg >= 0):
        raise Refusal(f"--reg {plan.reg:g}: a finite number, 0 or above")
