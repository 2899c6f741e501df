"""`lropt compare`: optimizers tuned alike, tested once, with a report."""

from __future__ import annotations

import argparse
import hashlib
import shlex
import shutil
import sys
import time
from pathlib import Path
from typing import Any

from lropt_jax.commands.formatting import Defaults
from lropt_jax.commands.output import writable
from lropt_jax.commands.problem import add_arguments, problem

EPOCHS, SEEDS, TUNING_SEEDS = 60, 10, 3
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
    parser.add_argument(
        "--optimizers",
        default=",".join(DEFAULT_OPTIMIZERS),
        metavar="A,B,...",
        help="sgd, momentum, nesterov, or what lropt list shows",
    )
    parser.add_argument(
        "--schedule",
        default="cosine",
        help=f"shape of the learning rate: {', '.join(SHAPES)}",
    )
    parser.add_argument(
        "--epochs", type=int, help=f"of each training ({EPOCHS}; quick: {QUICK['epochs']})"
    )
    parser.add_argument(
        "--seeds",
        type=int,
        help=f"fresh seeds of the retraining ({SEEDS}; quick: {QUICK['seeds']})",
    )
    parser.add_argument(
        "--tuning-seeds",
        type=int,
        help=f"seeds of a configuration in tuning ({TUNING_SEEDS}; quick: {QUICK['tuning_seeds']})",
    )
    parser.add_argument("--key", type=int, default=0, help="seed of all randomness")
    parser.add_argument("--strategy", help="of the lanes, see sweep (default: by the model)")
    parser.add_argument("--quick", action="store_true", help="a short look: few epochs, few seeds")
    parser.add_argument(
        "--output", type=Path, metavar="DIR", help="where to write (default: runs/compare-<data>)"
    )
    parser.set_defaults(run=run)


def run(options: argparse.Namespace) -> None:
    """Runs the comparison, prints its table and writes its report."""
    from lropt_jax.comparisons import recipes
    from lropt_jax.comparisons.protocol import compare
    from lropt_jax.comparisons.report import require_report, write_report

    require_report()
    defaults = (
        QUICK if options.quick else {"epochs": EPOCHS, "seeds": SEEDS, "tuning_seeds": TUNING_SEEDS}
    )
    chosen = {
        k: v if getattr(options, k) is None else getattr(options, k) for k, v in defaults.items()
    }
    for name, value in chosen.items():
        if value < 1:
            raise ValueError(f"--{name.replace('_', '-')} must be at least 1, got {value}")
    names = [name.strip() for name in options.optimizers.split(",") if name.strip()]
    if not names:
        raise ValueError("--optimizers must name at least one optimizer")
    shape = recipes.shape(options.schedule)
    found = {name: recipes.recipe(name) for name in names}
    output = writable(options.output or Path("runs") / _folder_name(options))

    given = problem(options)
    per_epoch = given.task.steps_per_epoch
    steps = chosen["epochs"] * per_epoch
    strategy = options.strategy or given.strategy
    # Kept by the command, so that the same one goes on where it was interrupted.
    command = _command(options, names, chosen, strategy)
    unfinished = output / f"unfinished-{hashlib.sha256(command.encode()).hexdigest()[:8]}"
    began = time.monotonic()
    comparison = compare(
        given.task,
        {name: r.entry(shape, steps) for name, r in found.items()},
        steps=steps,
        seeds=chosen["seeds"],
        tuning_seeds=chosen["tuning_seeds"],
        eval_every=per_epoch * max(1, chosen["epochs"] // 30),
        key=options.key,
        strategy=strategy,
        directory=unfinished,
    )
    setting = {
        **given.words,
        "epochs": str(chosen["epochs"]),
        "schedule": options.schedule,
        "seeds": f"{chosen['seeds']} fresh, {chosen['tuning_seeds']} for tuning",
    }
    command = _command(options, names, chosen, comparison.protocol.strategy)
    title = f"Optimizers compared on {options.task or options.data}"
    page = write_report(comparison, output, title, setting, command, per_epoch)
    shutil.rmtree(unfinished)
    _print(comparison, setting)
    print(f"\nReport: {page}   ({time.monotonic() - began:.0f} s)")


def _folder_name(options: argparse.Namespace) -> str:
    what = options.task.replace(":", ".") if options.task else options.data
    model = "" if options.task or options.model == "mlp" else f"-{options.model}"
    return f"compare-{what}{model}{'-quick' if options.quick else ''}"


def _command(
    options: argparse.Namespace, names: list[str], chosen: dict[str, int], strategy: str
) -> str:
    where = (
        ["--task", options.task]
        if options.task
        else ["--data", options.data, "--model", options.model]
    )
    words = ["lropt", "compare", *where]
    if options.batch_size:
        words += ["--batch-size", str(options.batch_size)]
    words += ["--optimizers", ",".join(names), "--schedule", options.schedule]
    for name, value in chosen.items():
        words += [f"--{name.replace('_', '-')}", str(value)]
    return shlex.join([*words, "--key", str(options.key), "--strategy", strategy])


def _print(comparison: Any, setting: dict[str, str]) -> None:
    from lropt_jax.comparisons.tables import comparison_table, verdict

    table = comparison_table(comparison)
    from rich.console import Console
    from rich.table import Table

    console = Console(width=None if sys.stdout.isatty() else 120)
    words = ", ".join(f"{k}: {v}" for k, v in setting.items())
    shown = Table(caption="mean ± 95% interval over seeds", title=words, title_justify="left")
    for i, heading in enumerate(table.headings):
        shown.add_column(heading, justify="left" if i == 0 else "right", no_wrap=True)
    for i, row in enumerate(table.rows):
        shown.add_row(*row, style="bold" if i == table.best else None)
    console.print(shown)
    console.print(verdict(comparison))
