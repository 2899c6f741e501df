"""What does it say? The best configuration, and how a metric depends on what was tried."""

from __future__ import annotations

from typing import Any

import numpy as np

from lropt_jax.sweeps.results import frames
from lropt_jax.sweeps.results.analysis import Sensitivity, sensitivity
from lropt_jax.sweeps.results.best_of_n import expected_best
from lropt_jax.sweeps.results.cautions import Caution, cautions
from lropt_jax.sweeps.results.study import importances
from lropt_jax.tasks.metrics import bounds, direction, usual_metric
from lropt_jax.validation import is_scalar


class Best(dict[str, Any]):
    """The best configuration: the names and values that are the optimizer's.

    Attributes:
      trial: its number in the sweep.
      value: the mean of the metric over the seeds.
      metric: what it is the best by.
      configuration: all of it, with what is the task's ("batch_size", arguments of its function).
    """

    def __init__(
        self,
        configuration: dict[str, Any],
        trial: int,
        value: float,
        metric: str,
        of_task: tuple[str, ...] = (),
    ):
        super().__init__({k: v for k, v in configuration.items() if k not in of_task})
        self.trial, self.value, self.metric = trial, value, metric
        self.configuration = dict(configuration)

    def __missing__(self, name: str) -> Any:
        if name in self.configuration:  # the task's; `**best` passes it over
            return self.configuration[name]
        hint = f"; it is an attribute: .{name}" if name in ("trial", "value", "metric") else ""
        raise KeyError(f"{name!r} is no hyperparameter of this sweep{hint}")


class Readings:
    """What is read off the values of a sweep. See `SweepResult`."""

    trials: list[dict[str, Any]]
    seeds: list[int]
    steps: np.ndarray
    values: dict[str, np.ndarray]
    final: dict[str, np.ndarray]
    status: np.ndarray
    diverged_at: np.ndarray
    reached: np.ndarray
    by: tuple[str, str] | None
    of_task: tuple[str, ...]
    model_steps: int

    @property
    def evaluated(self) -> np.ndarray:
        """Which evaluations were made, (trials, seeds, evaluations)."""
        made: np.ndarray = np.arange(len(self.steps)) < self.reached[:, :, None]
        return made

    def last(self, metric: str) -> np.ndarray:
        """The values of `metric` after the last update, (trials, seeds).

        Raises:
          KeyError: for an unknown metric; it lists the known ones.
        """
        if metric not in self.values:
            raise KeyError(f"unknown metric {metric!r}; this sweep has {', '.join(self.values)}")
        return self.values[metric][:, :, -1]

    def means(self, metric: str) -> np.ndarray:
        """The mean of `metric` over seeds after the last update, (trials,); NaN for configurations
        that did not finish on all of them with a finite value.

        Raises:
          KeyError: for an unknown metric; it lists the known ones.
        """
        last = self.last(metric)
        usable = (self.status == "finished") & np.isfinite(last)
        means: np.ndarray = np.where(usable, last, np.nan).mean(axis=1)
        return means

    def metric_and_mode(self, metric: str | None, mode: str | None) -> tuple[str, str]:
        """`metric` and `mode`, where None stands for what the sweep kept models by, else for the
        usual: the validation loss (or the only validation metric; the training loss where there is
        none), and what the metric's name says.

        Raises:
          KeyError: for an unknown metric; it lists the known ones.
          ValueError: for a metric whose name does not say which way is better, without `mode`.
        """
        if metric is None and self.by is not None:
            metric, mode = self.by[0], mode or self.by[1]
        metric = usual_metric(list(self.values)) if metric is None else metric
        self.last(metric)
        return metric, direction(metric, mode)

    def ranking(self, metric: str, mode: str) -> list[int]:
        """The trials that finished, by the mean of `metric` over all seeds, the best (by `mode`)
        first."""
        means = self.means(metric)
        order = np.argsort(means if mode == "min" else -means, kind="stable")
        return [int(trial) for trial in order if np.isfinite(means[trial])]

    def best(self, metric: str | None = None, mode: str | None = None) -> Best:
        """The best configuration by a metric's mean over all seeds, finishers only.

        Args:
          metric: as in `values`; by default what the sweep kept models by (`keep_by`), else the
            validation loss (or the only validation metric; the training loss where there is none).
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
        order = self.ranking(metric, mode)
        if not order:
            raise ValueError(f"no configuration finished with a finite {metric} on all seeds")
        trial, value = order[0], float(self.means(metric)[order[0]])
        return Best(self.trials[trial], trial, value, metric, self.of_task)

    def cautions(self, metric: str | None = None, mode: str | None = None) -> list[Caution]:
        """What is to be said about where `best` stands: on an edge of what was tried, or beside a
        cliff. Each prints as a sentence; none where nothing finished.

        Args:
          metric, mode: see `best`.

        Raises:
          KeyError, ValueError: as `best` does for them.
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
          ValueError: for a metric whose name does not say which way is better, without `mode`.
        """
        metric, mode = self.metric_and_mode(metric, mode)
        given = [trial.get(name) for trial in self.trials]
        if not any(map(is_scalar, given)):
            numbers = sorted({k for t in self.trials for k, v in t.items() if is_scalar(v)})
            raise KeyError(f"{name!r} is no number of this sweep; it has {', '.join(numbers)}")
        x = np.array([v if is_scalar(v) else np.nan for v in given], float)
        diverged = (self.status == "diverged").mean(axis=1)
        return sensitivity(
            name, metric, mode, x, self.means(metric), self.last(metric), diverged, tolerance
        )

    def importances(self, metric: str | None = None, mode: str | None = None) -> dict[str, float]:
        """How much each hyperparameter matters, where it was varied: the share of the variance of
        the metric's rank that is due to it alone or with others, by Optuna's fANOVA (Hutter et al.
        2014, a forest of 64 trees with a fixed seed). Ranks, so that a corner that nearly diverged
        is no more than a bad one; configurations that did not finish share the worst.

        A dozen configurations are few for it. What does not vary has no importance, however much
        it would matter elsewhere: it says something about this space, not about the world.

        Args:
          metric, mode: see `best`.

        Returns:
          Shares that add up to 1, by name, the largest first; names that all configurations have.

        Raises:
          KeyError, ValueError: as `best` does; and when fewer than two configurations finished.
          ImportError: without Optuna and scikit-learn; it names the extra that installs them.

        Example:
          >>> from lropt_jax import classification_task, load_data, log_uniform, mlp, sgd, sweep
          >>> from lropt_jax import uniform
          >>> task = classification_task(mlp((8, 10)), load_data("digits"))
          >>> space = {"learning_rate": log_uniform(1e-4, 1.0), "momentum": uniform(0.0, 0.5)}
          >>> result = sweep(task, sgd, space, trials=16, steps=20, progress=False)
          >>> list(result.importances())
          ['learning_rate', 'momentum']
        """
        metric, mode = self.metric_and_mode(metric, mode)
        means = self.means(metric)
        if np.isfinite(means).sum() < 2:
            raise ValueError(f"importances need two configurations with a finite {metric}")
        return importances(self.trials, means, mode)

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
          KeyError, ValueError: as `best` does; and for more trials than there are.
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
