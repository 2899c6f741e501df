"""`lropt schedules` draws schedules; `lropt list` says what there is."""

from __future__ import annotations

import argparse
import re
from pathlib import Path
from typing import Any

from lropt_jax.commands.answers import Answer
from lropt_jax.commands.formatting import counted
from lropt_jax.commands.output import naming, whole
from lropt_jax.validation import require


def add_parsers(subparsers: Any) -> None:
    """Registers the subcommands."""
    parser = subparsers.add_parser(
        "schedules",
        help="draw schedules in the terminal and as a picture",
        description="Draws schedules: in the terminal, and all of them in one PNG.",
    )
    parser.add_argument(
        "names",
        nargs="+",
        metavar="NAME",
        help="a schedule (lropt list shows all), or a call: 'warmup(cosine_decay(0.1, 90), 10)'",
    )
    parser.add_argument(
        "--set",
        nargs="+",
        action="extend",
        default=[],
        metavar="ARGUMENT=VALUE",
        help="numbers of the schedule: --set peak_value=0.1 total_steps=200",
    )
    parser.add_argument("--steps", type=counted, help="updates to draw (default: all it takes)")
    parser.add_argument("--log", action="store_true", help="a logarithmic axis in the picture")
    parser.add_argument(
        "--output",
        type=Path,
        metavar="FILE",
        help="where the picture goes (default: runs/schedules.png)",
    )
    parser.set_defaults(run=draw)

    parser = subparsers.add_parser("list", help="list the optimizers, the schedules and the claims")
    parser.add_argument(
        "what", nargs="?", choices=("optimizers", "schedules", "claims", "problems")
    )
    parser.add_argument(
        "--memory",
        action="store_true",
        help="what each optimizer keeps beside the parameters, in bytes per parameter, measured",
    )
    parser.set_defaults(run=listed)


def draw(options: argparse.Namespace) -> Answer:
    """Draws the schedules in the terminal and saves a picture of them."""
    from lropt_jax.commands.braille import plot
    from lropt_jax.commands.expressions import read_schedule
    from lropt_jax.plotting.schedules import (
        common_horizon,
        named_schedules,
        plot_schedules,
        sample,
    )

    settings = _settings(options.set)
    require("lropt schedules", "report", "matplotlib")
    named = named_schedules([read_schedule(name, settings) for name in options.names])
    steps = common_horizon(named.values()) if options.steps is None else options.steps
    if steps < 1:
        raise ValueError(f"--steps must be at least 1, got {steps}")
    height = 12 if len(named) <= 3 else 4
    output = options.output or Path("runs") / "schedules.png"
    output = output if output.suffix else output.with_suffix(".png")
    figure = plot_schedules(named, options.steps, log=options.log)
    with whole(output.parent) as beside, naming(output):
        figure.savefig(beside / output.name)

    drawn = {
        name: dict(zip(("steps", "values"), sample(schedule, steps), strict=True))
        for name, schedule in named.items()
    }

    def show() -> None:
        for label, schedule in named.items():
            print(label)
            print(plot(list(drawn[label]["values"]), steps, height=height))
            if schedule.observes:
                print("(it changes with what it observes, not with the count: nothing observed)")
            print()
        print(f"saved {output}")

    return Answer({"schedules": drawn, "figure": output}, show)


def listed(options: argparse.Namespace) -> Answer:
    """What there is, a line each."""
    if options.memory:
        if options.what not in (None, "optimizers"):
            raise ValueError(f"--memory is of optimizers, not of {options.what}")
        from lropt_jax.optimizers.memory import memory_table

        return Answer({"memory": memory_table()}, lambda: print(memory()))
    from lropt_jax.optimizers import OPTIMIZERS
    from lropt_jax.problems import PROBLEMS
    from lropt_jax.reproductions.catalogue import CLAIMS, claim_named
    from lropt_jax.schedules import SCHEDULES

    parts: dict[str, dict[str, str]] = {
        "optimizers": {name: first_line(make) for name, make in OPTIMIZERS.items()},
        "schedules": {name: first_line(make) for name, make in SCHEDULES.items()},
        "problems": {name: first_line(make) for name, make in PROBLEMS.items()},
        "claims": {name: claim_named(name).title for name in CLAIMS},
    }
    wanted = {part: parts[part] for part in ([options.what] if options.what else parts)}

    def show() -> None:
        width = max(len(name) for lines in wanted.values() for name in lines)
        for i, (part, lines) in enumerate(wanted.items()):
            print(("\n" if i else "") + part)
            for name, line in lines.items():
                print(f"  {name:<{width}}  {line}")

    return Answer(wanted, show)


def memory() -> str:
    """The table of what the optimizers keep, in Markdown."""
    from lropt_jax.optimizers.memory import memory_table

    rows = memory_table()
    width = max(len(row.optimizer) for row in rows)
    lines = [
        f"| {'optimizer':<{width}} | bytes per parameter | copies | MB for 25 million |",
        f"|{'-' * (width + 2)}|--------------------:|-------:|------------------:|",
    ]
    for name, each, _ in rows:
        lines.append(
            f"| {name:<{width}} | {each:>19.3g} | {each / 4:>6.3g} | {25 * each:>17,.0f} |"
        )
    return "\n".join(lines)


def first_line(thing: Any) -> str:
    """The first line of a docstring, without its formula."""
    line = (thing.__doc__ or "").strip().split("\n")[0]
    return re.sub(r":? *\$[^$]*\$", "", line)


def _settings(pairs: list[str]) -> dict[str, str]:
    settings = {}
    for pair in pairs:
        name, equals, value = pair.partition("=")
        if not equals:
            raise ValueError(f"--set takes ARGUMENT=VALUE, got {pair!r}")
        settings[name] = value
    return settings
