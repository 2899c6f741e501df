"""Which rule of the range test to trust: train at each suggestion, compare with a full sweep.

For each task, optimizer and schedule one sweep trains a ladder of learning rates together with the
rates that the rules suggest. A rule's regret is the best mean test
accuracy of the sweep minus that at its suggestion. The best of many noisy means is a little too
good, so regrets below the noise (its column) mean nothing.

The eleven older pairs are those that the recommended rule was chosen on. The fresh ones, of other
problems and optimizers, were set down before any of them was run, with the question that they
answer: is the knee's mean regret over them the least of all rules', or no more above it than the
mean noise?

    python benchmarks/range_test_rules.py [--fresh] [--quick] [--write docs/range_test.md]
"""

from __future__ import annotations

import argparse
import pathlib
from collections.abc import Callable
from typing import Any

import numpy as np
import optax
import pandas as pd

import lropt_jax
from lropt_jax import classification_task, grid, load_data, log_grid, lr_range_test, sweep
from lropt_jax.range_tests.rules import RULES
from lropt_jax.tasks.models import mlp

LADDER = log_grid(1e-4, 10.0, 16)
SEEDS = 3
KEY = 1  # not the range test's, so that no rate profits from having seen the same batches

TASKS: dict[str, tuple[Callable[[], Any], int]] = {  # the task and its epochs
    "digits": (lambda: classification_task(mlp((32, 10)), load_data("digits"), 32), 20),
    "mnist1d": (lambda: classification_task(mlp((100, 100, 10)), load_data("mnist1d"), 64), 20),
    "mnist1d, batch norm": (
        lambda: classification_task(mlp((100, 100, 10), batch_norm=True), load_data("mnist1d"), 64),
        20,
    ),
    "mnist5k": (lambda: classification_task(mlp((100, 10)), load_data("mnist5k"), 64), 10),
}
OPTIMIZERS: dict[str, tuple[Any, dict[str, Any]]] = {
    "sgd": (lropt_jax.sgd, {}),
    "momentum": (lropt_jax.sgd, {"momentum": 0.9}),
    "adam": (lropt_jax.adam, {}),
    "rmsprop": (lropt_jax.rmsprop, {}),
    "adagrad": (lropt_jax.adagrad, {}),
}
PAIRS = [
    ("digits", "sgd"),
    ("digits", "momentum"),
    ("digits", "adam"),
    ("digits", "adagrad"),
    ("mnist1d", "sgd"),
    ("mnist1d", "momentum"),
    ("mnist1d", "adam"),
    ("mnist1d", "rmsprop"),
    ("mnist1d, batch norm", "adam"),
    ("mnist5k", "momentum"),
    ("mnist5k", "adam"),
]
FRESH_TASKS: dict[str, tuple[Callable[[], Any], int]] = {
    "breast cancer": (lambda: classification_task(mlp((16, 2)), _breast_cancer(), 16), 20),
    "digits, linear": (lambda: classification_task(mlp((10,)), load_data("digits"), 32), 20),
    "digits, deep": (
        lambda: classification_task(mlp((64, 64, 64, 10)), load_data("digits"), 16),
        15,
    ),
    "mnist1d, wide": (lambda: classification_task(mlp((256, 10)), load_data("mnist1d"), 128), 30),
}
FRESH_OPTIMIZERS: dict[str, tuple[Any, dict[str, Any]]] = {
    "nesterov": (lropt_jax.sgd, {"momentum": 0.9, "nesterov": True}),
    "adamw": (lropt_jax.adamw, {}),
    "nadam": (lropt_jax.nadam, {}),
    "lion": (optax.lion, {}),
    "lamb": (lropt_jax.lamb, {}),
}
FRESH_PAIRS = [
    ("breast cancer", "nesterov"),
    ("breast cancer", "adamw"),
    ("digits, linear", "nesterov"),
    ("digits, linear", "lion"),
    ("digits, deep", "nadam"),
    ("digits, deep", "lamb"),
    ("mnist1d, wide", "lion"),
    ("mnist1d, wide", "adamw"),
]
FRESH_SCHEDULES = ("cosine", "constant")
SCHEDULES: dict[str, Callable[[Any, int], Any]] = {
    "cosine": lambda rate, steps: lropt_jax.cosine_decay(rate, steps),
    "constant": lambda rate, steps: rate,
    "one_cycle": lambda rate, steps: lropt_jax.one_cycle(rate, steps),
}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--fresh", action="store_true", help="the pairs that no rule was chosen on")
    parser.add_argument("--quick", action="store_true", help="two pairs, one schedule, 2 epochs")
    parser.add_argument("--write", type=pathlib.Path, help="a page whose tables are replaced")
    options = parser.parse_args()
    pairs = FRESH_PAIRS if options.fresh else PAIRS
    schedules = FRESH_SCHEDULES if options.fresh else tuple(SCHEDULES)
    rows = []
    for task_name, name in pairs[:2] if options.quick else pairs:
        make, epochs = (TASKS | FRESH_TASKS)[task_name]
        task = make()
        steps = task.steps_per_epoch * (2 if options.quick else epochs)
        factory, fixed = (OPTIMIZERS | FRESH_OPTIMIZERS)[name]
        rates = _rates(lr_range_test(task, factory, **fixed))
        print(task_name, name, rates, flush=True)
        for schedule in schedules[:1] if options.quick else schedules:
            row = _regrets(task, factory, fixed, SCHEDULES[schedule], steps, rates)
            rows.append({"task": task_name, "optimizer": name, "schedule": schedule, **row})
            print(rows[-1], flush=True)
    frame = pd.DataFrame(rows)
    tables = _tables(frame)
    if options.fresh:
        tables = {f"fresh {title}": table for title, table in tables.items()}
    for title, table in tables.items():
        print(f"\n<!-- {title} -->\n{table}")
    if options.write:
        _replace(options.write, tables)


def _breast_cancer() -> dict[str, dict[str, Any]]:
    """Wisconsin's 569 tumours, standardised, 369 to train on and 100 each for the rest."""
    from sklearn.datasets import load_breast_cancer

    x, y = load_breast_cancer(return_X_y=True)
    order = np.random.default_rng(0).permutation(len(x))
    x, y = x[order].astype(np.float32), y[order].astype(np.int32)
    x = (x - x[:369].mean(axis=0)) / x[:369].std(axis=0)
    cuts = {"train": slice(0, 369), "valid": slice(369, 469), "test": slice(469, 569)}
    return {name: {"x": x[cut], "y": y[cut]} for name, cut in cuts.items()}


def _rates(test: lropt_jax.RangeTest) -> dict[str, float | None]:
    return {rule: s and float(s.value) for rule, s in test.suggestions.items()}


def _regrets(
    task: Any, factory: Any, fixed: Any, schedule: Any, steps: int, rates: dict[str, float | None]
) -> dict[str, Any]:
    def optimizer(learning_rate: Any) -> Any:
        return factory(schedule(learning_rate, steps), **fixed)

    suggested = [rate for rate in rates.values() if rate is not None]
    tried = np.unique([*LADDER.values, *suggested])
    result = sweep(
        task,
        optimizer,
        {"learning_rate": grid(*map(float, tried))},
        seeds=SEEDS,
        steps=steps,
        key=KEY,
        progress=False,
        final_splits=("test",),
    )
    # A diverged training classifies by chance.
    accuracy = np.where(result.status == "finished", result.final["test_accuracy"], 0.1)
    mean = accuracy.mean(axis=1)
    best = int(np.argmax(mean))
    row: dict[str, Any] = {
        "best rate": tried[best],
        "best accuracy": mean[best],
        "noise": accuracy[best].std(ddof=1) * np.sqrt(2 / SEEDS),
    }
    for rule, rate in rates.items():
        at = None if rate is None else int(np.argmin(np.abs(tried - rate)))
        row[f"{rule} rate"] = np.nan if rate is None else rate
        row[rule] = np.nan if at is None else mean[best] - mean[at]
    return row


def _tables(frame: pd.DataFrame) -> dict[str, str]:
    lines = [_line("task", "optimizer", "schedule", "best", "at", "noise", *RULES)]
    lines.append(_line(*["---"] * 3, *["---:"] * (3 + len(RULES))))
    for _, row in frame.iterrows():
        cells = [_cell(row[rule], row[f"{rule} rate"]) for rule in RULES]
        best = f"{100 * row['best accuracy']:.1f}"
        names = (row["task"], row["optimizer"], row["schedule"])
        noise = f"{100 * row['noise']:.1f}"
        lines.append(_line(*names, best, f"{row['best rate']:.2g}", noise, *cells))
    short = [_line("rule", *(f"{s}: mean (worst)" for s in frame["schedule"].unique()), "all",
                   "median rate / best", "none")]  # fmt: skip
    short.append(_line("---", *["---:"] * (len(frame["schedule"].unique()) + 3)))
    for rule in RULES:
        groups = [part[rule] for _, part in frame.groupby("schedule", sort=False)]
        regrets = [f"{100 * g.mean():.1f} ({100 * g.max():.1f})" for g in [*groups, frame[rule]]]
        ratio = (frame[f"{rule} rate"] / frame["best rate"]).median()
        short.append(_line(rule, *regrets, f"{ratio:.2g}", str(int(frame[rule].isna().sum()))))
    return {"summary": "\n".join(short), "pairs": "\n".join(lines)}


def _cell(regret: float, rate: float) -> str:
    return "none" if np.isnan(regret) else f"{100 * regret:.1f} ({rate:.2g})"


def _line(*cells: str) -> str:
    return f"| {' | '.join(cells)} |"


def _replace(page: pathlib.Path, tables: dict[str, str]) -> None:
    """Puts each table between `<!-- begin TITLE -->` and `<!-- end TITLE -->`."""
    text = page.read_text(encoding="utf-8")
    for title, table in tables.items():
        before, _, rest = text.partition(f"<!-- begin {title} -->")
        _, end, after = rest.partition(f"<!-- end {title} -->")
        if not end:
            raise ValueError(f"{page} has no place for the table {title!r}")
        text = f"{before}<!-- begin {title} -->\n\n{table}\n\n{end}{after}"
    page.write_text(text, encoding="utf-8")


if __name__ == "__main__":
    main()
