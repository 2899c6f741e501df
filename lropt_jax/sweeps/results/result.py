"""What came out: every trial, seed and metric of a sweep, tidy."""

from __future__ import annotations

import dataclasses
import os
from html import escape
from typing import Any

import numpy as np

from lropt_jax.sweeps.planning.space import is_lane_number
from lropt_jax.sweeps.results import frames
from lropt_jax.sweeps.results.analysis import Sensitivity, sensitivity
from lropt_jax.sweeps.results.best_of_n import expected_best
from lropt_jax.sweeps.results.cautions import Caution, cautions
from lropt_jax.tasks.metrics import bounds, direction, usual_metric
from lropt_jax.validation import installed


class Best(dict[str, Any]):
    """A configuration, by the names of its hyperparameters.

    Attributes:
      trial: its number in the sweep.
      value: the mean of the metric over the seeds.
      metric: what it is the best by.
    """

    def __init__(self, configuration: dict[str, Any], trial: int, value: float, metric: str):
        super().__init__(configuration)
        self.trial, self.value, self.metric = trial, value, metric


@dataclasses.dataclass(repr=False)
class SweepResult:
    """The result of `sweep`.

    Attributes:
      trials: the configurations, a dict each.
      seeds: the seeds, the same for every trial.
      steps: updates taken at each evaluation, (evaluations,).
      values: each metric, (trials, seeds, evaluations); NaN from where a lane diverged. A metric
        may be NaN or infinite on its own, which makes no lane diverged.
      final: each metric over whole splits after the last update, (trials, seeds), where asked
        for.
      status: "finished", "pruned" or "diverged", (trials, seeds).
      diverged_at: updates taken before the training loss or the parameters were first not finite,
        or -1, (trials, seeds).
      reached: evaluations made, (trials, seeds); a pruned trial makes fewer.
      strategy: how each compiled group ran.
      width: the lanes of each group's program.
      model_steps: updates trained, summed over lanes.
      lineage: the copies that population-based training made, in order.
    """

    trials: list[dict[str, Any]]
    seeds: list[int]
    steps: np.ndarray
    values: dict[str, np.ndarray]
    final: dict[str, np.ndarray]
    status: np.ndarray
    diverged_at: np.ndarray
    reached: np.ndarray
    strategy: list[str] = dataclasses.field(default_factory=list)
    width: list[int] = dataclasses.field(default_factory=list)
    model_steps: int = 0
    lineage: list[Any] = dataclasses.field(default_factory=list)

    def __repr__(self) -> str:
        kinds, counts = np.unique(self.status.astype(str), return_counts=True)
        how = ", ".join(f"{count} {kind}" for kind, count in zip(kinds, counts, strict=True))
        return (
            f"SweepResult of {len(self.trials)} configurations x {len(self.seeds)} seeds: {how}. "
            f"{self._best_in_words()}\n"
            "Go on with .best(metric), .to_pandas(), .sensitivity(name), .plot_curves()."
        )

    def _repr_html_(self) -> str:
        return f"<p>{escape(repr(self)).replace(chr(10), '<br>')}</p>"

    def _best_in_words(self) -> str:
        try:
            best = self.best()
        except ValueError:  # none finished, or there is no metric that goes without saying
            return f"Metrics: {', '.join(self.values)}."
        values = ", ".join(f"{k}={getattr(v, '__name__', v)}" for k, v in best.items())
        return f"Best {best.metric}: {best.value:.4g} at {values}."

    def to_pandas(self) -> Any:
        """A tidy frame: trial, seed, the configuration's names, step, metric, value, status,
        diverged_at (missing where the lane did not diverge).

        Raises:
          ImportError: without pandas; it names the extra that installs it.
        """
        return frames.tidy(self.trials, self.seeds, self.steps, self.values, self.status,
                           self.diverged_at, self.evaluated)  # fmt: skip

    def to_xarray(self) -> Any:
        """A dataset: a variable a metric over (trial, seed, step), with the configuration's
        names along trial, and status and diverged_at over (trial, seed).

        Raises:
          ImportError: without xarray; it names the extra that installs it.
        """
        return frames.dataset(
            self.trials, self.seeds, self.steps, self.values, self.status, self.diverged_at
        )

    def save(self, path: str | os.PathLike[str]) -> None:
        """Writes `to_pandas()` to a .parquet or .csv file.

        Raises:
          ValueError: for another suffix.
        """
        frames.save(self.to_pandas, path)

    @property
    def evaluated(self) -> np.ndarray:
        """Which evaluations were made, (trials, seeds, evaluations)."""
        made: np.ndarray = np.arange(len(self.steps)) < self.reached[:, :, None]
        return made

    def table_file(self) -> tuple[str, bytes]:
        """The name and the bytes of the table's file: parquet, or CSV without pyarrow."""
        if installed("pandas"):
            return frames.file_of(self.to_pandas())
        return "results.csv", frames.plain_csv(
            self.trials, self.seeds, self.steps, self.values, self.status, self.diverged_at,
            self.evaluated,
        )  # fmt: skip

    def last(self, metric: str) -> np.ndarray:
        """A metric after the last update, (trials, seeds).

        Raises:
          KeyError: for an unknown metric; it lists the known ones.
        """
        if metric not in self.values:
            raise KeyError(f"unknown metric {metric!r}; this sweep has {', '.join(self.values)}")
        return self.values[metric][:, :, -1]

    def joined(self, other: SweepResult) -> SweepResult:
        """The trials of both, which must have seeds, evaluations and metrics in common.

        Raises:
          ValueError: for results that do not belong together; it names what differs.
        """
        for name, ours, theirs in (
            ("seeds", list(self.seeds), list(other.seeds)),
            ("steps", list(map(int, self.steps)), list(map(int, other.steps))),
            ("metrics", sorted(self.values), sorted(other.values)),
            ("final metrics", sorted(self.final), sorted(other.final)),
        ):
            if ours != theirs:
                raise ValueError(
                    f"only sweeps with the same {name} can be joined, got {ours} and {theirs}"
                )

        def both(a: dict[str, np.ndarray], b: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
            return {name: np.concatenate([a[name], b[name]]) for name in a}

        return SweepResult(
            self.trials + other.trials,
            self.seeds,
            self.steps,
            both(self.values, other.values),
            both(self.final, other.final),
            np.concatenate([self.status, other.status]),
            np.concatenate([self.diverged_at, other.diverged_at]),
            np.concatenate([self.reached, other.reached]),
            self.strategy + other.strategy,
            self.width + other.width,
            self.model_steps + other.model_steps,
            self.lineage + [_moved(event, len(self.trials)) for event in other.lineage],
        )

    def means(self, metric: str) -> np.ndarray:
        """A metric's mean over seeds after the last update, (trials,); NaN for configurations
        that did not finish on all of them with a finite value."""
        last = self.last(metric)
        usable = (self.status == "finished") & np.isfinite(last)
        means: np.ndarray = np.where(usable, last, np.nan).mean(axis=1)
        return means

    def metric_and_mode(self, metric: str | None, mode: str | None) -> tuple[str, str]:
        """Both, where None stands for the usual: the validation loss (or the only validation
        metric; the training loss where there is none), and what the metric's name says.

        Raises:
          KeyError: for an unknown metric; it lists the known ones.
          ValueError: for a metric whose name does not say which way is better, without `mode`.
        """
        metric = usual_metric(list(self.values)) if metric is None else metric
        self.last(metric)
        return metric, direction(metric, mode)

    def best(self, metric: str | None = None, mode: str | None = None) -> Best:
        """The best configuration by a metric's mean over all seeds, finishers only.

        Args:
          metric: as in `values`; by default the validation loss (or the only validation metric; the
            training loss where there is none).
          mode: "min" or "max"; by default what the last word of the metric's name says: "max" for
            accuracy, acc, auc, r2, score, f1, precision and recall, "min" for loss, error, mse,
            rmse, mae, mape, nll and perplexity.

        Returns:
          The configuration alone, so that `optimizer(**result.best())` is the optimizer; with
          attributes `trial` (its number), `value` (the mean), `metric`.

        Raises:
          KeyError: for an unknown metric.
          ValueError: when no configuration finished with a finite value on all its seeds, or for a
            metric whose name does not say which way is better, without `mode`.
        """
        metric, mode = self.metric_and_mode(metric, mode)
        means = self.means(metric)
        if not np.isfinite(means).any():
            raise ValueError(f"no configuration finished with a finite {metric} on all seeds")
        trial = int(np.nanargmin(means) if mode == "min" else np.nanargmax(means))
        return Best(self.trials[trial], trial, float(means[trial]), metric)

    def cautions(self, metric: str | None = None, mode: str | None = None) -> list[Caution]:
        """What is to be said about where `best` stands: on an edge of what was tried, or beside a
        cliff. Each prints as a sentence; none where nothing finished.

        Raises:
          KeyError, ValueError: for a metric as `best` does.
        """
        metric, mode = self.metric_and_mode(metric, mode)
        if not np.isfinite(self.means(metric)).any():
            return []
        best = self.best(metric, mode)
        diverged = (self.status == "diverged").any(axis=1)
        return cautions(self.trials, self.means(metric), diverged, best.trial, metric, mode)

    def sensitivity(
        self,
        name: str,
        metric: str | None = None,
        mode: str | None = None,
        tolerance: float | None = None,
    ) -> Sensitivity:
        """A metric against one hyperparameter, the others at their best for each of its values.

        Args:
          name: the hyperparameter.
          metric: see `best`.
          mode: see `best`.
          tolerance: how far from the best a value of the basin may be; by default 0.01 for a metric
            between 0 and 1 (an accuracy), 5% of the best for anything else.

        Raises:
          KeyError: for a name that is no number of the sweep, or an unknown metric.
        """
        metric, mode = self.metric_and_mode(metric, mode)
        given = [trial.get(name) for trial in self.trials]
        if not any(map(is_lane_number, given)):
            numbers = sorted({k for t in self.trials for k, v in t.items() if is_lane_number(v)})
            raise KeyError(f"{name!r} is no number of this sweep; it has {', '.join(numbers)}")
        x = np.array([v if is_lane_number(v) else np.nan for v in given], float)
        diverged = (self.status == "diverged").mean(axis=1)
        return sensitivity(
            name, metric, mode, x, self.means(metric), self.last(metric), diverged, tolerance
        )

    def budget_curve(
        self, metric: str | None = None, mode: str | None = None, trials: int | None = None
    ) -> Any:
        """What the best of n configurations comes to: see `expected_best`.

        Args:
          metric: see `best`.
          mode: see `best`.
          trials: the largest n; by default, and at most, as many as the sweep has.

        Returns:
          A frame: trials (n), expected_best, and low and high, a 95% band for the median best of n
          at all n at once. Configurations that did not finish count as worse than all others.

        Raises:
          ValueError: when no configuration finished, or for more trials than there are.
          ImportError: without pandas; it names the extra that installs it.
        """
        pd = frames.pandas()
        metric, mode = self.metric_and_mode(metric, mode)
        means = self.means(metric)
        if not np.isfinite(means).any():
            raise ValueError(f"no configuration finished with a finite {metric} on all seeds")
        mean, low, high = expected_best(means, trials, mode, bounds=bounds(metric, means))
        n = np.arange(1, len(mean) + 1)
        return pd.DataFrame({"trials": n, "expected_best": mean, "low": low, "high": high})

    def plot_sensitivity(
        self, name: str, metric: str | None = None, mode: str | None = None
    ) -> Any:
        """A figure of `sensitivity`, with a mark for each value at which a lane diverged."""
        from lropt_jax.plotting.sweeps import sensitivity_figure

        found = self.sensitivity(name, metric, mode)
        limits = bounds(found.metric, found.mean)
        shown = found.values, found.mean, found.half_width, found.diverged, found.basin
        return sensitivity_figure(*shown, name, found.metric, limits)

    def plot_heatmap(
        self, x: str, y: str, metric: str | None = None, mode: str | None = None
    ) -> Any:
        """A figure of a metric against two hyperparameters, cells of a grid or sampled points."""
        from lropt_jax.plotting.heatmaps import heatmap_figure

        metric, mode = self.metric_and_mode(metric, mode)
        diverged = (self.status == "diverged").any(axis=1)
        return heatmap_figure(self.trials, self.means(metric), diverged, x, y, metric, mode)

    def plot_parallel(self, metric: str | None = None, mode: str | None = None) -> Any:
        """A figure with one axis a hyperparameter and one line a configuration."""
        from lropt_jax.plotting.sweeps import parallel_figure

        metric, mode = self.metric_and_mode(metric, mode)
        return parallel_figure(self.trials, self.means(metric), metric, mode)

    def plot_curves(
        self, metric: str | None = None, best: int = 10, mode: str | None = None
    ) -> Any:
        """A figure of a metric over the updates, the best configurations in colour."""
        from lropt_jax.plotting.sweeps import curves_figure

        metric, mode = self.metric_and_mode(metric, mode)
        means = self.means(metric)
        order = np.argsort(means if mode == "min" else -means, kind="stable")  # NaN last
        chosen = [int(t) for t in order[:best] if np.isfinite(means[t])]
        curves = self.values[metric].mean(axis=1)
        return curves_figure(self.steps, curves, self.trials, chosen, metric)

    def plot_budget(self, metric: str | None = None, mode: str | None = None) -> Any:
        """A figure of `budget_curve`."""
        from lropt_jax.plotting.sweeps import budget_figure

        metric, mode = self.metric_and_mode(metric, mode)
        curve = self.budget_curve(metric, mode)
        shown = tuple(curve[name].to_numpy() for name in ("expected_best", "low", "high"))
        return budget_figure({"": shown}, metric)


def _moved(event: Any, places: int) -> Any:
    """An event of a lineage whose trials have other numbers now."""
    return dataclasses.replace(event, trial=event.trial + places, source=event.source + places)
