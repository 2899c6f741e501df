"""The result of `compare`: its numbers, words, figures and report."""

from __future__ import annotations

import dataclasses
import os
import warnings
from pathlib import Path
from typing import Any

import numpy as np

from lropt_jax.comparisons import words
from lropt_jax.comparisons.outcome import Outcome
from lropt_jax.comparisons.splits import without_deviating, without_deviations
from lropt_jax.comparisons.tables import comparison_table, verdict
from lropt_jax.pages.words import Recommendation
from lropt_jax.progress import several
from lropt_jax.sweeps.results import frames
from lropt_jax.sweeps.results.best_of_n import expected_best
from lropt_jax.sweeps.results.drawings import logged
from lropt_jax.sweeps.results.statistics import mean_interval
from lropt_jax.sweeps.running.costs import Ran, step_seconds
from lropt_jax.tasks.metrics import bounds, is_share
from lropt_jax.training.event_files import write_events
from lropt_jax.training.trained import Fit
from lropt_jax.validation import check_name


@dataclasses.dataclass(eq=False, repr=False)
class Comparison(Outcome):
    """The result of `compare`.

    Print it for the table and the verdict; `.recommendation` is the sentence and the line to
    paste, `.table()` and `.to_pandas()` are frames, `.trained(name)` is a trained model,
    `.report(path)` a page. Where intervals overlap it says that there is no order: more seeds
    may find one.

    Attributes:
      contestants: by name, in the order given: `.tuning` and `.retraining` are sweeps' results.
      protocol: how it was made.
      evaluations: the metrics that the task evaluates ("loss", "accuracy").
      repeats: the same on further splits of the data.
      ran: the compiled programs, whose time `step_seconds` measures.

    See also:
      `compare`, `Tuning`, `SweepResult`.

    Example:
      >>> from lropt_jax import adam, compare, problem, sgd
      >>> optimizers = {
      ...     "sgd": (sgd, {"learning_rate": [0.1, 1.0]}),
      ...     "adam": (adam, {"learning_rate": [0.001, 0.01]}),
      ... }
      >>> result = compare(problem("digits_linear"), optimizers, steps=60, seeds=2, progress=False)
      >>> sorted(result.ranking)
      ['adam', 'sgd']
      >>> mean, half_width = result.interval("adam", "test_accuracy")
      >>> line = result.recommendation.code  # to be pasted
    """

    ran: dict[str, Ran] = dataclasses.field(default_factory=dict)

    def __getstate__(self) -> dict[str, Any]:
        return {**self.__dict__, "ran": {}}  # compiled programs cannot be pickled

    @property
    def recommendation(self) -> Recommendation:
        """What to take, in words, with the line of code to paste (`.code`). Says "no order" where
        intervals overlap."""
        return words.recommendation(self)

    @property
    def warnings(self) -> list[str]:
        """What to doubt: a choice on an edge, beside a cliff, on one tuning seed; unequal budgets;
        few seeds."""
        return words.warnings(self)

    @property
    def step_seconds(self) -> dict[str, float]:
        """The time of one update of one model within its population, by optimizer, measured now, in
        turns; empty for a comparison that has been pickled."""
        if "_step_seconds" not in self.__dict__:
            self.__dict__["_step_seconds"] = step_seconds(self.ran)
        found: dict[str, float] = self.__dict__["_step_seconds"]
        return found

    def trained(self, name: str, seed: int | None = None) -> Fit:
        """A retrained model, as `fit` returns it: trained again, to the last bit as it was.

        Args:
          name: the optimizer's.
          seed: one of its `retraining.seeds`; by default the first.

        Raises:
          ValueError: for an unknown name or seed, an optimizer that never finished, and a
            comparison that has been pickled.
        """
        check_name("optimizer", name, self.contestants)
        contestant = self.contestants[name]
        if contestant.failure:
            raise ValueError(f"{name} has no retrained model: {contestant.failure}")
        if contestant.retraining.models is None:
            raise ValueError(
                "this comparison was pickled, and its models were not: call compare(...) as it was "
                "called, which reads back what its directory= has, and ask its result"
            )
        with warnings.catch_warnings():  # that it trains again is what this one says
            warnings.filterwarnings("ignore", "the sweep kept no model")
            fit = contestant.retraining.trained(0, seed)
        # What the table needs beside the task's own metrics is none of the model's.
        task, history = without_deviating(fit.task), without_deviations(fit.history)
        metrics = {name: value for name, value in fit.metrics.items() if name in history}
        return dataclasses.replace(fit, task=task, history=history, metrics=metrics)

    def save(self, path: str | os.PathLike[str]) -> None:
        """Writes `to_pandas()`, all rows of all trainings, to a file.

        Args:
          path: a file that ends in .parquet or .csv.

        Raises:
          ValueError: for another suffix.
        """
        frames.save(self.to_pandas, path)

    def to_tensorboard(self, directory: str | os.PathLike[str]) -> Path:
        """Writes all curves for TensorBoard, and the configurations for its HParams page.

        Each training is a run, "adam/tune/trial-3/seed-0" or "adam/retrain/trial-0/seed-7"; the
        page has its optimizer and its phase beside the configuration. Repeats on further splits
        are not in it.

        Args:
          directory: the folder that `tensorboard --logdir` is given, made if it does not exist.

        Raises:
          ImportError: without tensorboardX; it names the extra that installs it.
        """
        runs = [
            run
            for name, contestant in self.contestants.items()
            for phase, result in (("tune", contestant.tuning), ("retrain", contestant.retraining))
            for run in logged(result, f"{name}/{phase}/", optimizer=name, phase=phase)
        ]
        return write_events(directory, runs)

    def report(self, path: str | os.PathLike[str], title: str = "Optimizers compared") -> Any:
        """Writes a report to a folder: `report.html`, figures as PNG, all rows as CSV.

        Args:
          path: the folder; made if it does not exist.
          title: of the page.

        Returns:
          The path of `report.html`.

        Raises:
          ImportError: without what a report needs; it names the extra that installs it.
        """
        from lropt_jax.comparisons.report import write_report

        p = self.protocol
        sizes = ", ".join(f"{n:,} {split}" for split, n in p.examples.items())
        return write_report(self, path, title, {"updates": f"{p.steps:,}", "examples": sizes})

    def plot_learning_curves(self, steps_per_epoch: int | None = None) -> Any:
        """A figure of the retraining: training loss and the selecting metric over the updates, mean
        and 95% band over seeds.

        Args:
          steps_per_epoch: where given, the axis counts epochs.
        """
        from lropt_jax.plotting.comparisons import learning_curves

        select = self.protocol.select
        shown = list(dict.fromkeys(["train_loss", select]))
        runs = {name: c.retraining for name, c in self.contestants.items() if c.chosen}
        curves = {
            name: {metric: _band(run.values[metric][0]) for metric in shown}
            for name, run in runs.items()
        }
        steps = {name: run.steps / (steps_per_epoch or 1) for name, run in runs.items()}
        return learning_curves(
            curves, steps, shown, "epoch" if steps_per_epoch else "updates",
            [metric for metric in shown if is_share(metric)],
            {m: bounds(m, [of[m][0] for of in curves.values()]) for m in shown},
        )  # fmt: skip

    def plot_learning_rates(self) -> Any:
        """A figure of the tuning: the selecting metric against the learning rate (or the first
        number that was tuned), a panel an optimizer. Validation data alone."""
        from lropt_jax.plotting.comparisons import Panel, basins

        select, mode = self.protocol.select, self.protocol.mode
        panels = []
        for name, contestant in self.contestants.items():
            tuned = contestant.tuned
            if tuned is None:
                continue
            found = contestant.tuning.sensitivity(tuned, select, mode)
            panels.append(
                Panel(
                    name, tuned, found.values, found.mean, found.half_width, found.diverged > 0,
                    found.basin, contestant.chosen.get(tuned),
                )
            )  # fmt: skip
        seen = np.concatenate([panel.mean for panel in panels]) if panels else ()
        return basins(
            panels, list(self.contestants), select, bounds(select, seen), is_share(select), mode
        )

    def plot_generalization_gap(self) -> Any:
        """A figure of what the gap is measured in, on the training and the test split, every seed a
        dot."""
        from lropt_jax.plotting.comparisons import generalization_gap

        metric = self.gap_metric
        test = {name: self.values(name, f"test_{metric}").ravel() for name in self.contestants}
        train = {name: self.values(name, f"train_{metric}").ravel() for name in self.contestants}
        intervals = {name: self.interval(name, f"test_{metric}") for name in self.contestants}
        mode = "max" if metric == "accuracy" else self.mode
        return generalization_gap(train, test, intervals, metric, is_share(metric), mode)

    def plot_budget(self) -> Any:
        """A figure of the best of n of each optimizer's configurations, see `expected_best`."""
        from lropt_jax.plotting.sweeps import budget_figure

        select, mode = self.protocol.select, self.protocol.mode
        curves = {}
        for name, contestant in self.contestants.items():
            means = contestant.tuning.means(select)
            if np.isfinite(means).any():
                curves[name] = expected_best(means, mode=mode, bounds=bounds(select, means))
        return budget_figure(curves, select)

    def __str__(self) -> str:
        table = comparison_table(self)
        widths = [max(map(len, column)) for column in zip(table.headings, *table.rows, strict=True)]
        lines = [
            "  ".join(
                cell.ljust(w) if i == 0 else cell.rjust(w)
                for i, (cell, w) in enumerate(zip(row, widths, strict=True))
            ).rstrip()
            for row in [table.headings, *table.rows]
        ]
        return "\n".join([*lines, verdict(self)])

    def __repr__(self) -> str:
        p = self.protocol
        best = f"best {self.decisive}: {self.ranking[0]}" if self.ranking else "none finished"
        return (
            f"Comparison of {', '.join(self.contestants)}: {several(p.steps, 'update')}, "
            f"{several(p.seeds, 'seed')}; {best}.\n"
            "Go on with .table(), .tests(), .recommendation, .report(folder), "
            ".plot_learning_rates()."
        )

    def _repr_html_(self) -> str:
        from html import escape

        table = comparison_table(self)
        head = "".join(f"<th>{escape(h)}</th>" for h in table.headings)
        body = "".join(
            f"<tr>{''.join(f'<td>{escape(cell)}</td>' for cell in row)}</tr>" for row in table.rows
        )
        return f"<table><tr>{head}</tr>{body}</table><p>{escape(verdict(self))}</p>"


def _band(runs: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """The mean of runs (seeds, x) and the half-width of its 95% interval."""
    found = np.array([mean_interval(column) for column in runs.T])
    return found[:, 0], found[:, 1]
