"""`Tuning`: the answer of `tune`, and all that it rests on."""

from __future__ import annotations

import dataclasses
import functools
import os
import warnings
from collections.abc import Mapping
from typing import Any

import numpy as np
import optax

from lropt_jax.comparisons.inference import Interval, metric_within
from lropt_jax.pages.words import Recommendation
from lropt_jax.progress import several, shown
from lropt_jax.range_tests import RangeTest
from lropt_jax.sweeps.planning.values import same_as
from lropt_jax.sweeps.results import frames
from lropt_jax.sweeps.results.statistics import mean_interval
from lropt_jax.tasks.metrics import bounds
from lropt_jax.training.trained import Fit
from lropt_jax.training.untrained import untrained
from lropt_jax.tuning import words
from lropt_jax.tuning.board import Board, Tried
from lropt_jax.tuning.contenders import BASELINE, Configuration, Contender
from lropt_jax.tuning.finals import Finalist
from lropt_jax.tuning.regret import regret
from lropt_jax.validation import require, whole_number

UNTRAINED, EXAMPLES = 8, 1000  # models that have learned nothing, and what they are judged on


@shown
@dataclasses.dataclass(eq=False, repr=False)
class Tuning:
    """The result of `tune`.

    `.recommendation` is a sentence and the line to paste, `.best` the numbers,
    `.optimizer(steps)` the optimizer for a training of your length, `.trained()` its model,
    `.regret` what more budget may bring.

    Attributes:
      metric: what decided.
      mode: whether its "min" or its "max" is better.
      steps: updates of each training.
      board: what was tried, on which task and of which optimizers.
      tried: the configurations, in order; each on one seed.
      finalists: those that were trained on fresh seeds, the baseline last.
      chosen: the one that is recommended; None where none was trained on fresh seeds.
      alike: those that cannot be told from it.
      range_tests: by optimizer.
      plan: what was going to be done, as it was said at the beginning.
      stopped: why it ended before its plan; empty where it did not.
      learned_from: what the ordered list was learned from; None for a hand-made prior.
      seconds: that it took.
      model_steps: that it took, the range tests and the fresh seeds among them.

    See also:
      `tune`, `Comparison`, `fit`.

    Example:
      >>> from lropt_jax import fit, problem, tune
      >>> task = problem("digits_linear")
      >>> found = tune(task, steps=60, budget=2, seeds=2, progress=False)
      >>> "learning_rate" in found.best, len(found.tried)
      (True, 2)
      >>> model = fit(task, found.optimizer(steps=200), steps=200)
    """

    metric: str
    mode: str
    steps: int
    board: Board
    finalists: list[Finalist]
    chosen: Finalist | None
    alike: list[Finalist]
    range_tests: dict[str, RangeTest]
    plan: str
    stopped: str
    learned_from: str | None
    seconds: float
    model_steps: int

    def __getstate__(self) -> dict[str, Any]:
        raise TypeError("a Tuning holds the task: keep its .table(), or tune(..., directory=...)")

    @property
    def tried(self) -> list[Tried]:
        """The configurations, in order; each on one seed."""
        return self.board.tried

    @property
    def leader(self) -> tuple[Contender, Configuration] | None:
        """Whose configuration is recommended, and which; None where nothing finished."""
        if self.chosen is not None:
            return self.chosen.contender, self.chosen.configuration
        order = self.board.ranked()
        if not order and not self.tried:  # no time for anything: where the search would begin
            return self.board.beginning()
        if not order:
            return None
        return self.board.contenders[order[0].contender], order[0].configuration

    @property
    def best(self) -> Configuration:
        """The configuration that is recommended: "optimizer", "learning_rate" (the peak),
        "schedule", "warmup_steps" and the optimizer's own numbers; of a person's own candidate, its
        numbers. Empty where nothing finished."""
        return {} if self.leader is None else self.leader[0].words(self.leader[1])

    @property
    def recommendation(self) -> Recommendation:
        """What to take, in a sentence, with the line of code to paste (`.code`)."""
        return words.recommendation(self)

    @property
    def warnings(self) -> list[str]:
        """What to doubt, a line each."""
        return words.warnings(self)

    @property
    def code(self) -> str:
        """The line that makes the optimizer that is recommended."""
        return "" if self.leader is None else self.leader[0].code(self.leader[1])

    @property
    def regret(self) -> Interval:
        """How far, in the metric's unit, the best found is expected to lie behind what a search 32
        times as long would find: `value`, and `low` and `high` of a 95% interval."""
        return self._regrets[0]

    @property
    def doubling(self) -> Interval:
        """What doubling the budget would be expected to gain."""
        return self._regrets[1]

    @property
    def _regrets(self) -> tuple[Interval, Interval]:
        half = mean_interval(self.chosen.values)[1] if self.chosen is not None else float("nan")
        values = [t.value for t in self.tried]
        low, high = bounds(self.metric, values)
        return regret(values, self.mode, half, end=high if self.mode == "max" else low)

    @functools.cached_property
    def untrained(self) -> np.ndarray | None:
        """The metric of a few models that have learned nothing, (models,); None where it cannot be
        told cheaply."""
        if self.metric == "train_loss":
            return None
        name = self.metric.removeprefix("valid_")
        return untrained(self.board.setting.task, name, UNTRAINED, EXAMPLES)

    def optimizer(self, steps: int | None = None) -> optax.GradientTransformation:
        """The optimizer that is recommended.

        Args:
          steps: updates of the training that it is for: its schedule is stretched to them; by
            default those that it was tuned for. What a person gave is as it was given.

        Raises:
          ValueError: where nothing finished, and for a bad number.
        """
        contender, configuration = self._leader()
        if steps is not None:
            steps = whole_number("steps", steps, allowed=" or None")
        return contender.optimizer(configuration, steps)

    def trained(self, seed: int | None = None) -> Fit:
        """The model of the recommended configuration on a fresh seed, trained again to the last bit
        as it was (of one that never met a fresh seed, the one that was tried).

        Args:
          seed: one of the fresh seeds; by default the first.

        Raises:
          ValueError: where nothing was trained or finished, and for another seed.
        """
        contender, configuration = self._leader()
        if not self.tried:
            raise ValueError(f"there is no trained model: {self.recommendation}")
        result, trial = (
            (self.chosen.result, self.chosen.trial) if self.chosen is not None
            else (self.board.results[contender.name], -1)
        )  # fmt: skip
        if trial < 0:
            trial = list(map(same_as, result.trials)).index(same_as(configuration))
        with warnings.catch_warnings():
            warnings.filterwarnings("ignore", message="the sweep kept no model")
            return result.trained(trial, seed)

    def table(self) -> Any:
        """A frame with a row a configuration, the best first: its numbers, the metric on the seed
        that it was tried on, status, origin ("list", "space", "near" a leader) and updates; for
        the finalists `fresh_mean`, `fresh_low`, `fresh_high` and, where there is a test split,
        `test_mean` and `test_low`, `test_high`.

        Raises:
          ImportError: without pandas; it names the extra that installs it.
        """
        require("a table", "report", "pandas")
        import pandas as pd

        sign = 1.0 if self.mode == "min" else -1.0
        rows = []
        for t in self.tried:
            own = {self.metric: t.value, "status": t.status, "origin": t.origin,
                   "updates": t.updates}  # fmt: skip
            words = self.board.contenders[t.contender].words(t.configuration)
            fresh = next((_fresh(f, self.metric) for f in self.finalists if f.what == t.what), {})
            rows.append({**frames.beside(words, own), **own, **fresh})
        rows += [
            {"optimizer": f.name, "origin": BASELINE, **_fresh(f, self.metric)}
            for f in self.finalists if f.contender.name == BASELINE
        ]  # fmt: skip
        frame = pd.DataFrame(rows)
        columns = list(map(str, frame))
        last = [n for n in (self.metric, "status", "origin", "updates") if n in columns]
        last += [n for n in columns if n.startswith(("fresh_", "test_"))]
        frame = frame[[n for n in columns if n not in last] + last]
        if self.metric in frame:
            frame = frame.sort_values(
                self.metric, key=lambda v: sign * v, kind="stable", na_position="last"
            )
        return frame.reset_index(drop=True)

    def report(self, path: str | os.PathLike[str], title: str = "Tuning") -> Any:
        """Writes a report to a folder: `report.html`, figures as PNG, all rows as CSV.

        Args:
          path: the folder; made if it does not exist.
          title: of the page.

        Returns:
          The path of `report.html`.

        Raises:
          ImportError: without what a report needs; it names the extra that installs it.
        """
        from lropt_jax.tuning.report import write_report

        return write_report(self, path, title)

    def _leader(self) -> tuple[Contender, Configuration]:
        if self.leader is None:
            raise ValueError(f"there is nothing to recommend: {self.recommendation}")
        return self.leader

    def _about(self) -> tuple[str, dict[str, str]]:
        sentence = str(self.recommendation).partition("\n\n")[0]
        count = several(len(self.tried), "configuration")
        title = f"Tuning of {count}, {several(self.model_steps, 'model-step')}"
        rows = {"Recommended": sentence}
        if self.code:
            rows["Code"] = self.code
        taken = ".optimizer(steps), .trained(), " if self.leader is not None else ""
        rows["Go on with"] = f"{taken}.table(), .report(folder)"
        return title, rows


def _fresh(finalist: Finalist, metric: str) -> Mapping[str, float]:
    (low, high), test = finalist.interval, finalist.test(metric)
    found = {"fresh_mean": finalist.mean, "fresh_low": low, "fresh_high": high}
    if test is not None:
        of_test = metric_within(metric, test)
        found |= {"test_mean": of_test.value, "test_low": of_test.low, "test_high": of_test.high}
    return found
