"""`lropt find-lr`: the learning-rate range test, to the terminal and to a folder."""

from __future__ import annotations

import argparse
import dataclasses
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from lropt_jax.commands.answers import Answer
from lropt_jax.commands.expressions import read_value
from lropt_jax.commands.formatting import Defaults, counted, real
from lropt_jax.commands.output import whole, writable
from lropt_jax.commands.own_code import optimizer_named
from lropt_jax.commands.plans import add_plan, cost_words
from lropt_jax.commands.problem import add_arguments, as_folder, problem, title
from lropt_jax.progress import several
from lropt_jax.validation import require


def add_parsers(subparsers: Any) -> None:
    """Registers the subcommand."""
    parser = subparsers.add_parser(
        "find-lr",
        help="the learning-rate range test, with intervals over seeds",
        formatter_class=Defaults,
    )
    add_arguments(parser)
    add_plan(parser)
    parser.add_argument(
        "--optimizer",
        default="adam",
        help="what lropt list shows, one of Optax (optax.lion), or your own (mine.py:factory)",
    )
    parser.add_argument(
        "--over",
        action="append",
        default=[],
        metavar="NAME=A,B,...",
        help="values of a hyperparameter, a curve for each; may be repeated",
    )
    parser.add_argument(
        "--set",
        action="append",
        default=[],
        metavar="NAME=VALUE",
        help="a fixed hyperparameter; may be repeated",
    )
    parser.add_argument("--start", type=real, default=1e-7, help="the first learning rate")
    parser.add_argument("--end", type=real, default=10.0, help="the last learning rate")
    parser.add_argument("--steps", type=counted, default=100, help="rungs of the ladder")
    parser.add_argument("--seeds", type=counted, default=8, help="seeds of each configuration")
    parser.add_argument("--linear", action="store_true", help="equal differences, not ratios")
    parser.add_argument("--valid", action="store_true", help="validation loss, not the batch's")
    parser.add_argument("--key", type=counted, default=0, help="seed of all randomness")
    parser.add_argument(
        "--output", type=Path, metavar="DIR", help="where to write (default: runs/find-lr-...)"
    )
    parser.set_defaults(run=run)


def run(options: argparse.Namespace) -> Answer:
    """Runs the test, prints its summary and writes its figure, rows and summary."""
    require("lropt find-lr", "all", "pandas", "matplotlib")
    from lropt_jax.range_tests import lr_range_test
    from lropt_jax.range_tests.curve import RECOMMENDED
    from lropt_jax.range_tests.preparing import prepared

    found = optimizer_named("--optimizer", options.optimizer)
    over = dict(_named("--over", words) for words in options.over)
    fixed = {name: _single(name, v) for name, v in (_named("--set", w) for w in options.set)}
    if both := sorted(set(fixed) & set(over)):
        raise ValueError(f"{', '.join(both)} must be in --set or in --over, got both")
    fixed = {k: v for k, v in {**found.fixed, **fixed}.items() if k not in over}
    where = as_folder(f"find-lr-{title(options)}-{options.optimizer}")
    output = writable(options.output or Path("runs") / where)

    given = problem(options)
    ladder = (options.start, options.end, options.steps, options.seeds, options.key, over)
    about = {
        "spacing": "linear" if options.linear else "geometric",
        "split": "valid" if options.valid else "train",
        "strategy": given.strategy,
        **fixed,
    }
    if options.plan:  # only then: to foresee it takes as long as the test itself
        cost = prepared(given.task, found.factory, *ladder, **about).cost()
        plan = f"{several(options.steps, 'rung')}: {cost_words(cost, 'the first')}"
        return Answer({"plan": plan, **dataclasses.asdict(cost)}, lambda: print(plan))
    began = time.monotonic()
    test = lr_range_test(given.task, found.factory, *ladder, progress=True, **about)
    seconds = time.monotonic() - began
    words = {**given.words, "optimizer": options.optimizer, **{k: str(v) for k, v in fixed.items()}}
    summary = ", ".join(f"{k}: {v}" for k, v in words.items()) + f"\n\n{test.summary()}\n"
    # Written before it is shown: a terminal may be closed.
    with whole(output) as beside:
        (beside / "summary.txt").write_text(summary, encoding="utf-8")
        test.to_pandas().to_csv(beside / "rows.csv", index=False)
        test.plot().savefig(beside / "range_test.png")

    def show() -> None:
        print(summary)
        print(f"Figure and rows: {output}   ({seconds:.0f} s)")

    curves = [_curve(values, part) for values, part in test.parts()]
    suggested = [curve["suggestion"] for curve in curves if curve["suggestion"] is not None]
    document = {
        "problem": given.words,
        "optimizer": {"name": options.optimizer, **fixed},
        "rule": RECOMMENDED,
        "suggestion": suggested[0] if len(curves) == len(suggested) == 1 else None,
        "curves": curves,
        "learning_rates": test.learning_rates,
        "seeds": test.seeds,
        "split": test.split,
        "output": output,
        "seconds": seconds,
    }
    why = {str(curve["reasons"].get(RECOMMENDED)): None for curve in curves}
    failed = "" if suggested else f"no learning rate can be suggested: {'; '.join(why)}"
    return Answer(document, show, failed)


def _curve(values: Mapping[str, Any], test: Any) -> dict[str, Any]:
    """What the rules say of one configuration, and why some say nothing."""
    from lropt_jax.range_tests.curve import RECOMMENDED

    rules = test.suggestions
    return {
        "of": values,
        "suggestion": rules[RECOMMENDED],
        "bounds": test.bounds,
        "rules": rules,
        "reasons": {rule: reason for rule, reason in test.reasons.items() if reason},
        "median": test.median,
        "diverged": (test.diverged_at >= 0).sum(),
    }


def _named(option: str, words: str) -> tuple[str, list[Any]]:
    name, equals, values = words.partition("=")
    if not (name and equals and values):
        raise ValueError(f"{option} must be NAME=VALUE, got {words!r}")
    return name, [read_value(v) for v in values.split(",")]


def _single(name: str, values: list[Any]) -> Any:
    if len(values) > 1:
        raise ValueError(f"--set {name} takes one value, got {len(values)}; --over takes more")
    return values[0]
