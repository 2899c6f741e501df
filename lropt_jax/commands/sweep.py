"""`lropt sweep sweep.toml`: a sweep written down in a file."""

from __future__ import annotations

import argparse
import functools
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

from lropt_jax.commands.answers import Answer
from lropt_jax.commands.formatting import console, counted, show_table
from lropt_jax.commands.output import whole, writable
from lropt_jax.commands.plans import add_plan, cost_words, said, with_kept
from lropt_jax.progress import several
from lropt_jax.validation import installed, whole_number

if TYPE_CHECKING:
    from lropt_jax.commands.sweep_file import Described

EXAMPLE = Path(__file__).with_name("sweep_example.toml")


def add_parsers(subparsers: Any) -> None:
    """Registers the subcommand."""
    parser = subparsers.add_parser(
        "sweep",
        help="train every configuration of a space, as one program; goes on where it was stopped",
        description="Trains every configuration that a file describes. `lropt sweep --example` "
        "prints a file that explains itself.",
    )
    parser.add_argument("file", nargs="?", type=Path, metavar="SWEEP.TOML", help="what to train")
    parser.add_argument("--example", action="store_true", help="print a documented file and stop")
    parser.add_argument(
        "--directory",
        type=Path,
        metavar="DIR",
        help="where progress, table and figures are kept (default: runs/<name of the file>)",
    )
    parser.add_argument("--top", type=counted, default=10, help="trials to print (default: 10)")
    add_plan(parser)
    parser.set_defaults(run=run)


def run(options: argparse.Namespace) -> Answer:
    """Runs the sweep, draws its figures, and tells its best trials."""
    if options.example:
        text = EXAMPLE.read_text(encoding="utf-8")
        return Answer({"example": text}, lambda: print(text, end=""))
    top = whole_number("--top", options.top, least=0)
    if options.file is None:
        raise ValueError("give a file, or --example to see one")
    from lropt_jax.commands.sweep_file import read
    from lropt_jax.sweeps import sweep
    from lropt_jax.sweeps.results.words import recommendation

    described = read(options.file)
    directory = options.directory or described.directory or Path("runs") / options.file.stem
    # What goes on, or is read back, was foreseen when it was begun.
    foresee = options.plan or not directory.exists()
    if not directory.exists():
        writable(directory)
    if foresee and (planned := said(options, *_foreseen(described, directory))) is not None:
        return planned
    began = time.monotonic()
    result = sweep(
        described.task,
        described.optimizer,
        described.space,
        directory=directory,
        **described.arguments,
    )
    metric, mode = described.metric, described.mode
    trials = _ranked(result, metric, mode)
    warnings = [f"the best's {caution}" for caution in result.cautions(metric, mode)]
    found = recommendation(result, metric, mode)
    page: Path | None
    written = _written(result, metric, mode, directory, f"Sweep of {options.file.stem}")
    page, drawn = (written[0], written[1:]) if written else (None, [])
    name, _ = result.table_file()
    seconds = time.monotonic() - began

    def show() -> None:
        _print(result, metric, trials[:top])
        for line in warnings:
            print(f"Note: {line}")
        cost = f"({result.model_steps:,} model-steps, {seconds:.0f} s)"
        print(f"\n{found}\n\nTable: {directory / name}   {cost}")
        if page is not None:
            print(f"Report: {page}")

    document = {
        "recommendation": found,
        "code": found.code,
        "metric": metric,
        "mode": mode,
        "best": trials[0] if trials else None,
        "trials": trials,
        "lanes": _ends(result),
        "warnings": warnings,
        "table": directory / name,
        "figures": drawn,
        "report": page,
        "model_steps": result.model_steps,
        "seconds": seconds,
    }
    failed = "" if trials else f"no configuration finished with a finite {metric} on all seeds"
    return Answer(document, show, failed)


def _foreseen(described: Described, directory: Path) -> tuple[str, dict[str, Any]]:
    """What is going to be trained, before it is, and what it costs; what the directory has of it
    already is not trained again."""
    from lropt_jax.sweeps.keeping.progress import trained_before
    from lropt_jax.sweeps.planning.plan import planned
    from lropt_jax.sweeps.running.foreseen import foreseen
    from lropt_jax.sweeps.running.placement import Placement
    from lropt_jax.training.visits import itinerary

    given = dict(described.arguments)
    when = itinerary(given.pop("steps"), given.pop("eval_every"))
    placement = Placement(given.pop("strategy", "auto"), given.pop("width", None))
    rule = given.pop("prune", None)
    task, optimizer, space = described.task, described.optimizer, described.space
    plan = planned(task, optimizer, space, itinerary=when, rule=rule, **given)
    cost = foreseen(plan, placement)
    words = (
        f"{several(len(plan.configurations), 'configuration')} x "
        f"{several(len(plan.seeds), 'seed')}, of {several(when.steps, 'update')}: "
        f"{cost_words(cost, 'the first')}"
    )
    if rule is not None:
        words += " That is the most: who is pruned stops early."
    made = trained_before(directory, plan, functools.partial(placement.identity, plan))
    return with_kept(words, cost, made, directory)


def _ranked(result: Any, metric: str, mode: str) -> list[dict[str, Any]]:
    """The trials that finished, the best first."""
    from lropt_jax.sweeps.results.statistics import mean_interval

    rows = []
    for trial in result.ranking(metric, mode):
        mean, half = mean_interval(result.last(metric)[trial])
        configuration = result.trials[trial]
        rows.append(
            {"trial": trial, "configuration": configuration, "mean": mean, "half_width": half}
        )
    return rows


def _ends(result: Any) -> dict[str, int]:
    """How many lanes ended how."""
    import numpy as np

    kinds, counts = np.unique(result.status.astype(str), return_counts=True)
    return dict(zip(kinds.tolist(), counts.tolist(), strict=True))


def _print(result: Any, metric: str, trials: list[dict[str, Any]]) -> None:
    """The best trials, and how the lanes ended."""
    from lropt_jax.pages.words import heading, mean_and_interval, number, plain

    names = list(dict.fromkeys(name for trial in result.trials for name in trial))
    rows = [
        [
            str(one["trial"]),
            *[number(one["configuration"].get(name, "")) for name in names],
            mean_and_interval(metric, one["mean"], one["half_width"]),
        ]
        for one in trials
    ]
    headings = ["trial", *map(plain, names), heading(metric)]
    how = ", ".join(f"{count} {kind}" for kind, count in _ends(result).items())
    pairs = zip(result.strategy, result.width, strict=True)
    ways = ", ".join(dict.fromkeys(f"{s} of {several(w, 'lane')}" for s, w in pairs))
    caption = f"{several(result.status.size, 'lane')}: {how}; {ways}"
    if installed("rich"):
        show_table(console(), headings, rows, 0 if rows else None, caption=caption)
        return
    for row in [headings, *rows]:
        print("  ".join(f"{cell:>16}" for cell in row))
    print(caption)


def _written(result: Any, metric: str, mode: str, directory: Path, title: str) -> list[Path]:
    """The page and the figures beside the table, the page first; none without matplotlib and
    jinja2."""
    if not all(map(installed, ("matplotlib", "pandas", "jinja2", "scipy"))):
        return []
    figures = result.figures(metric, mode)
    with whole(directory) as beside:
        page = result.report(beside, metric, mode, title).name
        for name, figure in figures.items():
            figure.savefig(beside / f"{name}.png")
    return [directory / page, *(directory / f"{name}.png" for name in figures)]
