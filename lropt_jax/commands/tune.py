"""`lropt tune`: which optimizer, rate and schedule for one's own problem, within a budget."""

from __future__ import annotations

import argparse
import dataclasses
import shutil
from pathlib import Path
from typing import Any

from lropt_jax.commands.answers import Answer
from lropt_jax.commands.formatting import Defaults, counted, real
from lropt_jax.commands.output import unfinished, whole, writable
from lropt_jax.commands.own_code import factory, named_in_module
from lropt_jax.commands.plans import add_plan, cost_words, said, with_kept
from lropt_jax.commands.problem import add_arguments, folder, problem, title
from lropt_jax.comparisons import recipes
from lropt_jax.sweeps import log_uniform

# What does not change what comes out.
NOT_ITS_OWN = ("run", "output", "traceback", "no_cache", "json", "plan")


def add_parsers(subparsers: Any) -> None:
    """Registers the subcommand."""
    parser = subparsers.add_parser(
        "tune",
        help="which optimizer, rate and schedule for your own problem, within a budget",
        formatter_class=Defaults,
    )
    add_arguments(parser)
    add_plan(parser)
    parser.add_argument(
        "--budget",
        default="5min",
        help='a time ("90s", "5min"), a number of trainings (16), or model-steps ("2e5 steps")',
    )
    parser.add_argument(
        "--steps",
        type=counted,
        metavar="N",
        help="updates of a training (default: 20 epochs, or less)",
    )
    parser.add_argument(
        "--metric", help="what decides (default: the problem's, valid_accuracy or valid_loss)"
    )
    parser.add_argument("--mode", choices=("min", "max"), help="which way it is better")
    parser.add_argument(
        "--candidate",
        action="append",
        default=[],
        metavar="MODULE:FACTORY",
        help="a further optimizer: what lropt list shows, one of Optax (optax.lion), or your own "
        "(mine.py:factory), a function of learning_rate; what else is tuned stands in its "
        "attribute space; may be repeated",
    )
    parser.add_argument(
        "--baseline",
        metavar="MODULE:NAME",
        help="what you use now: a transformation, or a function without arguments that returns it",
    )
    parser.add_argument(
        "--memory",
        type=real,
        metavar="R",
        help="bytes of optimizer state over bytes of parameters, at most; with 1 there is no Adam",
    )
    parser.add_argument("--seeds", type=counted, default=5, help="fresh seeds of the last step")
    parser.add_argument("--key", type=counted, default=0, help="seed of all randomness")
    parser.add_argument(
        "--output",
        type=Path,
        metavar="DIR",
        help="where to write, and to go on from (default: runs/tune-<problem>)",
    )
    parser.set_defaults(run=run)


def run(options: argparse.Namespace) -> Answer:
    """Tunes, writes the report and tells the answer."""
    from lropt_jax.comparisons.report import require_report
    from lropt_jax.tuning import tune
    from lropt_jax.tuning.budget import INTERRUPTED, read_budget
    from lropt_jax.tuning.protocol import planned_tuning

    require_report("lropt tune", "all")
    amount = read_budget(options.budget)
    candidates = {name: _candidate(name) for name in options.candidate}
    baseline = None
    if options.baseline is not None:
        baseline = named_in_module("--baseline", options.baseline, "baseline", _is_baseline)
    output = writable(options.output or Path("runs") / f"tune-{folder(options)}")
    given = problem(options)
    metric = options.metric or given.select
    own = sorted((k, str(v)) for k, v in vars(options).items() if k not in NOT_ITS_OWN)
    kept = unfinished(output, repr(own))
    asked: dict[str, Any] = {
        "steps": options.steps,
        "budget": options.budget,
        "metric": metric,
        "mode": options.mode,
        "candidates": candidates or None,
        "baseline": baseline,
        "memory": options.memory,
        "seeds": options.seeds,
        "key": options.key,
    }
    # Where time is what counts none is taken for foreseeing; what is going to be done `tune` says.
    if options.plan or amount.seconds is None:
        plan, cost, journal = planned_tuning(given.task, directory=kept, **asked)
        words = f"At most {cost_words(cost, 'one optimizer')}"
        words = f"{plan} {words}" if options.plan else words
        made = journal.model_steps
        left = None if amount.seconds is None else amount.seconds - journal.seconds
        cost = dataclasses.replace(cost, model_steps=max(cost.model_steps, made))
        if (planned := said(options, *with_kept(words, cost, made, kept, left))) is not None:
            return planned
    found = tune(given.task, directory=kept, **asked)
    with whole(output) as beside:
        page = output / found.report(beside, f"Tuning of {title(options)}").name
    if found.stopped != INTERRUPTED:
        shutil.rmtree(kept, ignore_errors=True)  # of nothing tried there is none

    def show() -> None:
        print(found.recommendation)
        for line in found.warnings:
            print(f"Note: {line}")
        print(f"\nReport: {page}   ({found.seconds:.0f} s, {found.model_steps:,} model-steps)")

    document = {
        "problem": given.words,
        "recommendation": found.recommendation,
        "code": found.code,
        "best": found.best,
        "metric": found.metric,
        "mode": found.mode,
        "steps": found.steps,
        "configurations": found.table(),
        "regret": found.regret,
        "doubling": found.doubling,
        "warnings": found.warnings,
        "stopped": found.stopped,
        "report": page,
        "model_steps": found.model_steps,
        "seconds": found.seconds,
    }
    goes_on = "The same command goes on from here" if found.stopped == INTERRUPTED else ""
    failed = "" if found.board.ranked() or goes_on else "no configuration was trained to its end"
    return Answer(document, show, failed, goes_on)


def _is_baseline(value: Any) -> bool:
    """Whether it is a transformation, or a function that may make one."""
    return callable(value) or (hasattr(value, "init") and hasattr(value, "update"))


def _candidate(name: str) -> tuple[Any, dict[str, Any]]:
    """A factory and its space: its own attribute, or the rates that `compare` begins with."""
    if ":" not in name and "." not in name:
        ours = recipes.recipe(name)
        return ours.factory, {**ours.fixed, "learning_rate": _rates(ours)}
    made = factory("--candidate", name)
    own = getattr(made, "space", None)
    if own is not None:
        return made, dict(own)
    found = recipes.foreign("--candidate", name, made)
    return made, {"learning_rate": _rates(found)}


def _rates(found: recipes.Recipe) -> Any:
    rates = found.learning_rates.values
    return log_uniform(rates[0] / 10, rates[-1] * 10)
