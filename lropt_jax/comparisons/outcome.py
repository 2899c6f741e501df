"""The numbers of a comparison: its protocol, its table, its tests."""

from __future__ import annotations

import dataclasses
from typing import Any

import numpy as np

from lropt_jax.comparisons.contestant import GAP, Contestant
from lropt_jax.sweeps.results import frames
from lropt_jax.sweeps.results.statistics import (
    PairedTest,
    lr_sensitivity,
    mean_interval,
    paired_tests,
    steps_to_target,
)
from lropt_jax.tasks.metrics import bounds, direction, usual_metric
from lropt_jax.validation import require

SHARE_OF_DEVIATION = 0.25  # of the seeds' standard deviation: the smallest difference by default


@dataclasses.dataclass(frozen=True)
class Protocol:
    """How a comparison was made.

    Attributes:
      steps: updates of each training.
      tuning_seeds: seeds of each configuration while tuning.
      seeds: fresh seeds of the retraining.
      select: the metric that configurations were selected by.
      mode: whether its "min" or its "max" was selected.
      strategy: how the lanes were run.
      examples: of each split.
      splits: how many splits of the data it was repeated on.
      start: the validation metrics before training, means over the tuning seeds.
      target: the value of `select` that steps are counted to; None for the median of what the
        optimizers came to.
      smallest_difference: that matters, in the unit of the deciding metric; None for the default.
    """

    steps: int
    tuning_seeds: int
    seeds: int
    select: str
    mode: str
    strategy: str
    examples: dict[str, int]
    splits: int = 1
    start: dict[str, float] = dataclasses.field(default_factory=dict)
    target: float | None = None
    smallest_difference: float | None = None


@dataclasses.dataclass
class Outcome:
    """What came out, as numbers.

    Attributes:
      contestants: by name, in the order given.
      protocol: how it was made.
      evaluations: the metrics that the task evaluates ("loss", "accuracy").
      repeats: the same on further splits of the data.
    """

    contestants: dict[str, Contestant]
    protocol: Protocol
    evaluations: list[str]
    repeats: tuple[Outcome, ...] = ()

    @property
    def decisive(self) -> str:
        """The metric that decides: that which was selected by, on the test split."""
        select = self.protocol.select
        if not select.startswith("valid_"):
            known = [f"valid_{name}" for name in self.evaluations]
            select = usual_metric(known, ["valid_accuracy"])
        return "test_" + select.removeprefix("valid_")

    @property
    def mode(self) -> str:
        """Whether the "min" or the "max" of the deciding metric is best."""
        if self.protocol.select.startswith("valid_"):
            return self.protocol.mode
        return direction(self.decisive)

    @property
    def metrics(self) -> list[str]:
        """What the table shows: every metric of the task, the deciding one last, and the gap."""
        decides = self.decisive.removeprefix("test_")
        order = sorted(self.evaluations, key=lambda name: (name == decides, name != "loss"))
        return [f"{split}_{name}" for name in order for split in ("train", "test")] + [GAP]

    @property
    def gap_metric(self) -> str:
        """What the generalization gap is measured in, without a split's name."""
        decides = self.decisive.removeprefix("test_")
        return "accuracy" if "accuracy" in self.evaluations else decides

    @property
    def equal_budgets(self) -> bool:
        """Whether every optimizer was tuned on the same number of configurations."""
        return len({c.configurations for o in self.all for c in o.contestants.values()}) == 1

    @property
    def all(self) -> tuple[Outcome, ...]:
        """The outcomes of all splits, this one's first."""
        return (self, *self.repeats)

    @property
    def overlap(self) -> float:
        """How far the training sets of repeated splits overlap, see `mean_interval`."""
        examples = self.protocol.examples
        return examples["test"] / examples["train"] if self.repeats else 0.0

    def values(self, name: str, metric: str) -> np.ndarray:
        """The `metric` of the retrained models of the optimizer `name`, (splits, seeds).
        `generalization_gap` is what they are worse by on the test split than on the training split:
        in accuracy where there is one, else in the deciding metric."""
        if metric == GAP:
            measured = self.gap_metric
            higher = measured == "accuracy" or self.mode == "max"
            train, test = (self.values(name, f"{s}_{measured}") for s in ("train", "test"))
            gap: np.ndarray = train - test if higher else test - train
            return gap
        return np.stack([outcome.contestants[name].final(metric) for outcome in self.all])

    def spread(self, name: str, metric: str) -> np.ndarray:
        """What an interval of `values(name, metric)` is over: the seeds of one split, or the
        splits' means over seeds."""
        values = self.values(name, metric)
        return np.array([mean_interval(row)[0] for row in values]) if self.repeats else values[0]

    def interval(self, name: str, metric: str) -> tuple[float, float]:
        """The mean of `values(name, metric)`, and the half-width of its 95% interval."""
        return mean_interval(self.spread(name, metric), overlap=self.overlap)

    def standard_error(self, name: str, metric: str | None = None) -> float:
        """The standard error that a test metric has from its finite number of examples; NaN where
        it is no mean over examples.

        Args:
          name: the optimizer's.
          metric: "test_accuracy", say; by default the deciding one.
        """
        metric = metric or self.decisive
        deviations = [o.contestants[name].deviations.get(metric) for o in self.all]
        known = [d for d in deviations if d is not None]
        if not known:
            return float("nan")
        variance = np.square(np.concatenate(known))
        variance = variance[np.isfinite(variance)]
        examples = self.protocol.examples["test"]
        return float(np.sqrt(variance.mean() / examples)) if len(variance) else float("nan")

    @property
    def ranking(self) -> list[str]:
        """The optimizers from the best mean of the deciding metric to the worst: those that
        finished on every seed before those that did not; without those that never finished."""
        sign = 1.0 if self.mode == "min" else -1.0
        means = {name: self.interval(name, self.decisive)[0] for name in self.contestants}
        whole = {
            name: np.isfinite(self.values(name, self.decisive)).all() for name in self.contestants
        }
        found = [name for name, mean in means.items() if np.isfinite(mean)]
        return sorted(found, key=lambda name: (not whole[name], sign * means[name]))

    @property
    def smallest_difference(self) -> float:
        """The smallest difference of the deciding metric that matters: as given, or a quarter of
        the standard deviation between the best's seeds, at least one example of the test split."""
        if self.protocol.smallest_difference is not None:
            return self.protocol.smallest_difference
        if not self.ranking:
            return 0.0
        values = self.values(self.ranking[0], self.decisive)
        finite = [row[np.isfinite(row)] for row in values]
        deviations = [row.std(ddof=1) for row in finite if len(row) > 1]
        scale = float(np.sqrt(np.mean(np.square(deviations)))) if deviations else 0.0
        share = bounds(self.decisive) == (0.0, 1.0)
        example = 1 / self.protocol.examples["test"] if share else 0.0
        return max(SHARE_OF_DEVIATION * scale, example)

    @property
    def target(self) -> float:
        """The value of the selecting metric that steps are counted to; NaN without any."""
        if self.protocol.target is not None:
            return self.protocol.target
        select = self.protocol.select
        lasts = [
            mean_interval(c.retraining.last(select)[0])[0]
            for c in self.contestants.values()
            if c.chosen
        ]
        known = [last for last in lasts if np.isfinite(last)]
        return float(np.median(known)) if known else float("nan")

    def tests(self, metric: str | None = None) -> list[PairedTest]:
        """Paired t-tests of all pairs over the shared seeds (with `splits`, over these), corrected
        for their number (Holm); `tie` says where there is no order.

        Args:
          metric: as in `metrics`; by default the deciding one.
        """
        decides = metric in (None, self.decisive)
        smallest = self.smallest_difference if decides else 0.0
        spreads = {name: self.spread(name, metric or self.decisive) for name in self.contestants}
        return paired_tests(spreads, smallest, self.overlap)

    def table(self) -> Any:
        """A frame with one row an optimizer, indexed by its name.

        For every metric of the task on the training and the test split, and for the generalization
        gap, the mean over the retraining's seeds and `<metric>_interval`, the half-width of its 95%
        interval: over seeds on one split of the data (with `splits=k`, over the splits). Then

        - `<deciding metric>_standard_error`: the test set's own, from its number of examples, which
          no number of seeds makes smaller;
        - `configurations`: how many were truly tried; `finished`: seeds of the retraining;
        - `lr_sensitivity` (Wortsman et al. 2023, arXiv:2309.14322): how far the loss lies above the
          best, on average over the logarithms of the rates tried: the validation loss of the
          tuning runs (or what was selected by);
        - `basin_decades`: how wide the stretch of rates is that are as good as the best, to one
          point (of a metric between 0 and 1) or 5%;
        - `steps_to_target`: updates until `Comparison.target`, the median over seeds; infinite
          where more than half never came to it;
        - the chosen values.

        Raises:
          ImportError: without pandas; it names the extra that installs it.
        """
        require("a table", "report", "pandas")
        import pandas as pd

        rows = []
        for name, contestant in self.contestants.items():
            row: dict[str, Any] = {"optimizer": name}
            for metric in self.metrics:
                row[metric], row[f"{metric}_interval"] = self.interval(name, metric)
            row[f"{self.decisive}_standard_error"] = self.standard_error(name)
            row["finished"] = sum(o.contestants[name].finished for o in self.all)
            row["configurations"] = contestant.configurations
            row |= self._width(contestant)
            row["steps_to_target"] = self._steps(contestant)
            rows.append({**row, **frames.beside(contestant.chosen, row)})
        return pd.DataFrame(rows).set_index("optimizer")

    def to_pandas(self) -> Any:
        """All rows of all trainings, tidy, with the optimizer, the phase (tune, retrain) and the
        split of the data (0 for the task's own).

        Raises:
          ImportError: without pandas; it names the extra that installs it.
        """
        require("a table", "report", "pandas")
        import pandas as pd

        parts: list[Any] = []
        names: dict[str, None] = {}
        for split, outcome in enumerate(self.all):
            for name, contestant in outcome.contestants.items():
                phases = {"tune": contestant.tuning, "retrain": contestant.retraining}
                for phase, result in phases.items():
                    if not result.trials:
                        continue
                    own = {"optimizer": name, "phase": phase, "split": split}
                    frame = result.to_pandas()
                    frame = frame.rename(columns={n: frames.free(n, own) for n in frame})
                    for column, value in reversed(own.items()):
                        frame.insert(0, column, value)
                    names |= {n: None for n in frame if n not in (*own, *frames.TAKEN)}
                    parts.append(frame)
        whole = pd.concat(parts, ignore_index=True)
        return whole.assign(**{n: frames.of_one_kind(whole[n]) for n in names})

    def _width(self, contestant: Contestant) -> dict[str, float]:
        """How much room there is around the best value of the learning rate."""
        nothing = {"lr_sensitivity": float("nan"), "basin_decades": float("nan")}
        name, select = contestant.tuned, self.protocol.select
        if name is None or not contestant.chosen:
            return nothing
        found = contestant.tuning.sensitivity(name, select, self.protocol.mode)
        metric = "valid_loss" if "valid_loss" in contestant.tuning.values else select
        mode = self.protocol.mode if metric == select else "min"
        losses = contestant.tuning.sensitivity(name, metric, mode)
        start = self.protocol.start.get(metric, float("nan"))
        if not np.isfinite(start):
            return {**nothing, "basin_decades": found.basin_width}
        sign = 1.0 if mode == "min" else -1.0
        lost = lr_sensitivity(losses.values, sign * losses.mean, sign * start)
        return {"lr_sensitivity": lost, "basin_decades": found.basin_width}

    def _steps(self, contestant: Contestant) -> float:
        run = contestant.retraining
        if not contestant.chosen or len(run.steps) < 2:
            return float("nan")
        curves = run.values[self.protocol.select][0]
        return float(np.median(steps_to_target(run.steps, curves, self.target, self.protocol.mode)))
