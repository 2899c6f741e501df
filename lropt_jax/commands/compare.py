"""`lropt compare`: optimizers tuned alike, tested once, with a report."""

from __future__ import annotations

import argparse
import dataclasses
import shlex
import shutil
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from lropt_jax.commands.answers import Answer
from lropt_jax.commands.formatting import Defaults, console, counted, real, show_table
from lropt_jax.commands.output import unfinished, whole, writable
from lropt_jax.commands.own_code import optimizer_named
from lropt_jax.commands.plans import add_plan, cost_words, said, with_kept
from lropt_jax.commands.problem import add_arguments, arguments, folder, problem, title
from lropt_jax.progress import several

EPOCHS, SEEDS, TUNING_SEEDS, TRIALS = 60, 10, 3, 24
UPDATES = {False: 1500, True: 200}  # of a named problem; quick or not
QUICK = {"epochs": 8, "seeds": 4, "tuning_seeds": 1}


def add_parsers(subparsers: Any) -> None:
    """Registers the subcommand."""
    from lropt_jax.comparisons.recipes import DEFAULT_OPTIMIZERS, SHAPES

    parser = subparsers.add_parser(
        "compare",
        help="compare optimizers: tuned alike, selected on validation, tested once",
        formatter_class=Defaults,
    )
    add_arguments(parser)
    add_plan(parser)
    parser.add_argument(
        "--optimizers",
        default=",".join(DEFAULT_OPTIMIZERS),
        metavar="A,B,...",
        help="sgd, momentum, nesterov, what lropt list shows, one of Optax (optax.lion), or your "
        "own (module:factory, mine.py:factory): a function of learning_rate",
    )
    parser.add_argument(
        "--schedule",
        default="cosine",
        help=f"shape of the learning rate: {', '.join(SHAPES)}",
    )
    parser.add_argument(
        "--epochs",
        type=counted,
        help=f"of each training ({EPOCHS}, cifar10: 200; quick: {QUICK['epochs']})",
    )
    parser.add_argument(
        "--seeds",
        type=counted,
        help=f"fresh seeds of the retraining ({SEEDS}; quick: {QUICK['seeds']})",
    )
    parser.add_argument(
        "--tuning-seeds",
        type=counted,
        help=f"seeds of a configuration in tuning ({TUNING_SEEDS}; quick: {QUICK['tuning_seeds']})",
    )
    parser.add_argument(
        "--tune",
        choices=("rate", "all"),
        default="rate",
        help="what is tuned: the learning rate on a grid, or with it the optimizers' further "
        "numbers (momentum, decays), sampled",
    )
    parser.add_argument(
        "--trials",
        type=counted,
        metavar="N",
        help=f"configurations of each optimizer, sampled ({TRIALS} with --tune all)",
    )
    parser.add_argument(
        "--select", metavar="METRIC", help="to choose by (default: valid_accuracy or valid_loss)"
    )
    parser.add_argument("--mode", choices=("min", "max"), help="which way it is better")
    parser.add_argument(
        "--splits", type=counted, default=1, metavar="K", help="splits of the data to repeat it on"
    )
    parser.add_argument(
        "--smallest-difference", type=real, metavar="D", help="that matters; less is a tie"
    )
    parser.add_argument("--key", type=counted, default=0, help="seed of all randomness")
    parser.add_argument("--strategy", help="of the lanes, see sweep (default: by the model)")
    parser.add_argument("--quick", action="store_true", help="a short look: few epochs, few seeds")
    parser.add_argument(
        "--output", type=Path, metavar="DIR", help="where to write (default: runs/compare-<data>)"
    )
    parser.set_defaults(run=run)


def run(options: argparse.Namespace) -> Answer:
    """Runs the comparison, writes its report and tells its table."""
    from lropt_jax.comparisons import recipes
    from lropt_jax.comparisons.preparing import prepared
    from lropt_jax.comparisons.protocol import played
    from lropt_jax.comparisons.report import require_report, write_report

    require_report("lropt compare", "all")
    defaults = (
        QUICK if options.quick else {"epochs": EPOCHS, "seeds": SEEDS, "tuning_seeds": TUNING_SEEDS}
    )
    chosen = {
        k: v if getattr(options, k) is None else getattr(options, k) for k, v in defaults.items()
    }
    for name, value in chosen.items():
        least = 2 if name == "seeds" else 1  # an interval needs two
        if value < least:
            raise ValueError(f"--{name.replace('_', '-')} must be at least {least}, got {value}")
    names = [name.strip() for name in options.optimizers.split(",") if name.strip()]
    if not names:
        raise ValueError("--optimizers must name at least one optimizer")
    twice = next((name for name in names if names.count(name) > 1), None)
    if twice is not None:
        raise ValueError(f"--optimizers names {twice} twice")
    shape = recipes.shape(options.schedule)
    found = {name: optimizer_named("--optimizers", name) for name in names}
    output = writable(options.output or Path("runs") / _folder_name(options))

    given = problem(options)
    per_epoch = given.task.steps_per_epoch
    if options.problem and options.epochs is None:  # epochs of these differ a thousandfold
        chosen["epochs"] = max(1, round(UPDATES[options.quick] / per_epoch))
    elif given.epochs is not None and options.epochs is None and not options.quick:
        chosen["epochs"] = given.epochs
    steps = chosen["epochs"] * per_epoch
    strategy = options.strategy or given.strategy
    kept = unfinished(output, _command(options, names, chosen, strategy))
    everything = options.tune == "all"
    trials = TRIALS if everything and options.trials is None else options.trials
    entries = {name: r.entry(shape, steps, everything) for name, r in found.items()}
    asked: dict[str, Any] = {
        "steps": steps,
        "trials": trials,
        "select": options.select or given.select,
        "mode": options.mode,
        "splits": options.splits,
        "smallest_difference": options.smallest_difference,
        "seeds": chosen["seeds"],
        "tuning_seeds": chosen["tuning_seeds"],
        "eval_every": per_epoch * max(1, chosen["epochs"] // 30),
        "key": options.key,
        "strategy": strategy,
    }
    agreed = prepared(given.task, entries, **asked)
    cost = agreed.cost()
    foreseen = with_kept(_plan_words(agreed, cost), cost, agreed.trained_before(kept), kept)
    if (planned := said(options, *foreseen)) is not None:
        return planned
    began = time.monotonic()
    comparison = played(agreed, kept, progress=True)
    setting = {
        **given.words,
        "epochs": str(chosen["epochs"]),
        "schedule": options.schedule,
        "seeds": f"{chosen['seeds']} fresh, {chosen['tuning_seeds']} for tuning",
        **({"splits": str(options.splits)} if options.splits > 1 else {}),
    }
    command = _command(options, names, chosen, comparison.protocol.strategy)
    heading = f"Optimizers compared on {title(options)}"
    with whole(output) as beside:
        page = write_report(comparison, beside, heading, setting, command, per_epoch, options.quick)
    page = output / page.name
    shutil.rmtree(kept)
    seconds = time.monotonic() - began

    def show() -> None:
        _print(comparison, setting)
        print(f"\nReport: {page}   ({seconds:.0f} s)")

    document = _document(comparison, setting)
    document |= {"lropt": command, "report": page, "seconds": seconds}
    failed = "" if comparison.ranking else "no optimizer finished on any seed"
    return Answer(document, show, failed)


def _document(comparison: Any, setting: Mapping[str, str]) -> dict[str, Any]:
    """What `_print` shows, for programs."""
    from lropt_jax.comparisons.tables import verdict

    found = comparison.recommendation
    return {
        "problem": setting,
        "recommendation": found,
        "recommended": found.optimizer,
        "code": found.code,
        "verdict": verdict(comparison),
        "metric": comparison.decisive,
        "mode": comparison.mode,
        "ranking": comparison.ranking,
        "optimizers": comparison.table(),
        "pairs": [
            {**dataclasses.asdict(t), "significant": t.significant, "tie": t.tie}
            for t in comparison.tests()
        ],
        "step_seconds": comparison.step_seconds,
        "warnings": comparison.warnings,
    }


def _plan_words(agreed: Any, cost: Any) -> str:
    """What is going to be trained, before it is, and what it costs."""
    p, plans = agreed.protocol, agreed.plans
    most = max(len(plan.configurations) for plan in plans.values())
    on = f" on {p.splits} splits" if p.splits > 1 else ""
    return (
        f"{several(len(plans), 'optimizer')} x {several(most, 'configuration')} x "
        f"{several(p.tuning_seeds, 'seed')}, then "
        f"{several(p.seeds, 'fresh seed')} each{on}, of {several(p.steps, 'update')}: "
        f"{cost_words(cost, next(iter(plans)))} Where a choice lies on the edge of its grid, all "
        "get as many configurations more."
    )


def _folder_name(options: argparse.Namespace) -> str:
    return f"compare-{folder(options)}{'-quick' if options.quick else ''}"


def _command(
    options: argparse.Namespace, names: list[str], chosen: dict[str, int], strategy: str
) -> str:
    words = ["lropt", "compare", *arguments(options)]
    if options.batch_size is not None:
        words += ["--batch-size", str(options.batch_size)]
    words += ["--optimizers", ",".join(names), "--schedule", options.schedule]
    for name, value in chosen.items():
        words += [f"--{name.replace('_', '-')}", str(value)]
    if options.tune != "rate":
        words += ["--tune", options.tune]
    for name in ("trials", "select", "mode", "smallest_difference"):
        if (value := getattr(options, name)) is not None:
            words += [f"--{name.replace('_', '-')}", str(value)]
    if options.splits != 1:
        words += ["--splits", str(options.splits)]
    return shlex.join([*words, "--key", str(options.key), "--strategy", strategy])


def _print(comparison: Any, setting: dict[str, str]) -> None:
    from lropt_jax.comparisons.tables import comparison_table, costs_table, verdict

    shown = console()
    words = ", ".join(f"{k}: {v}" for k, v in setting.items())
    over = f"over {setting['splits']} splits" if "splits" in setting else "over seeds on one split"
    for table, above, below in (
        (comparison_table(comparison), words, f"mean ± 95% interval {over}"),
        (costs_table(comparison, comparison.step_seconds), None, None),
    ):
        show_table(shown, table.headings, table.rows, table.best, above, below)
    shown.print(verdict(comparison))
    for line in comparison.warnings:
        shown.print(f"Note: {line}")
    shown.print(f"\n{comparison.recommendation}", highlight=False, soft_wrap=True)
