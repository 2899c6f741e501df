"""`lropt sweep sweep.toml`: a sweep written down in a file."""

from __future__ import annotations

import argparse
import sys
import time
from pathlib import Path
from typing import Any

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
    parser.add_argument("--top", type=int, default=10, help="trials to print (default: 10)")
    parser.set_defaults(run=run)


def run(options: argparse.Namespace) -> None:
    """Runs the sweep, prints its best trials and draws its figures."""
    if options.example:
        print(EXAMPLE.read_text(), end="")
        return
    if options.file is None:
        raise ValueError("give a file, or --example to see one")
    from lropt_jax.commands.sweep_file import read
    from lropt_jax.sweeps import sweep

    described = read(options.file)
    directory = options.directory or described.directory or Path("runs") / options.file.stem
    began = time.monotonic()
    result = sweep(
        described.task,
        described.optimizer,
        described.space,
        directory=directory,
        **described.arguments,
    )
    _print(result, described.metric, described.mode, options.top)
    for caution in result.cautions(described.metric, described.mode):
        print(f"Note: the best's {caution}")
    drawn = _draw(result, described.metric, described.mode, directory)
    name, _ = result.table_file()
    words = f", {drawn} figures" if drawn else ""
    seconds = time.monotonic() - began
    print(f"\n{directory / name}{words}   ({result.model_steps:,} model-steps, {seconds:.0f} s)")


def _print(result: Any, metric: str, mode: str, top: int) -> None:
    """The best trials, and how the lanes ended."""
    import numpy as np

    from lropt_jax.comparisons.tables import mean_and_interval, number
    from lropt_jax.sweeps.results.statistics import mean_interval

    means = result.means(metric)
    order = np.argsort(means if mode == "min" else -means, kind="stable")[:top]
    names = list(dict.fromkeys(name for trial in result.trials for name in trial))
    rows = [
        [
            str(trial),
            *[number(result.trials[trial].get(name)) for name in names],
            mean_and_interval(metric, *mean_interval(result.last(metric)[trial])),
        ]
        for trial in order
        if np.isfinite(means[trial])
    ]
    headings = ["trial", *[n.replace("_", " ") for n in names], metric.replace("_", " ")]
    kinds, counts = np.unique(result.status.astype(str), return_counts=True)
    how = ", ".join(f"{count} {kind}" for kind, count in zip(kinds, counts, strict=True))
    pairs = zip(result.strategy, result.width, strict=True)
    ways = ", ".join(dict.fromkeys(f"{strategy} of {width}" for strategy, width in pairs))
    caption = f"{result.status.size} lanes: {how}; {ways} lanes"
    try:
        from rich.console import Console
        from rich.table import Table
    except ImportError:
        for row in [headings, *rows]:
            print("  ".join(f"{cell:>16}" for cell in row))
        print(caption)
        return
    table = Table(caption=caption)
    for heading in headings:
        table.add_column(heading, justify="right", no_wrap=True)
    for i, row in enumerate(rows):
        table.add_row(*row, style="bold" if i == 0 else None)
    Console(width=None if sys.stdout.isatty() else 120).print(table)


def _draw(result: Any, metric: str, mode: str, directory: Path) -> int:
    """Figures beside the table; none without matplotlib."""
    from lropt_jax.commands.output import naming
    from lropt_jax.validation import installed

    if not installed("matplotlib"):
        return 0
    figures = result.figures(metric, mode)
    for name, figure in figures.items():
        with naming(directory / f"{name}.png"):
            figure.savefig(directory / f"{name}.png")
    return len(figures)
