"""What came out: every trial, seed and metric of a sweep, tidy."""

from __future__ import annotations

import dataclasses
import importlib.util
import os
from typing import Any

import numpy as np

from lropt_jax.sweeps.results import analysis
from lropt_jax.sweeps.results.analysis import Sensitivity
from lropt_jax.validation import require


@dataclasses.dataclass
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

    def to_pandas(self) -> Any:
        """A tidy frame: trial, seed, the configuration's names, step, metric, value, status,
        diverged_at (missing where the lane did not diverge)."""
        pd = _pandas()
        shape = (len(self.trials), len(self.seeds), len(self.steps))
        trial, seed, step = (i.ravel() for i in np.indices(shape))
        names = list(dict.fromkeys(name for t in self.trials for name in t))
        columns = {
            "trial": trial,
            "seed": np.asarray(self.seeds)[seed],
            **{
                name: pd.Series([_plain(t.get(name)) for t in self.trials]).to_numpy()[trial]
                for name in names
            },
            "step": self.steps[step],
        }
        at = self.diverged_at[trial, seed]
        tail = {
            "status": self.status[trial, seed],
            "diverged_at": pd.array(at, dtype="Int64").copy(),
        }
        tail["diverged_at"][at < 0] = pd.NA
        made = self.evaluated.ravel()
        frames = [
            pd.DataFrame({**columns, "metric": metric, "value": value.ravel(), **tail})[made]
            for metric, value in self.values.items()
        ]
        return pd.concat(frames, ignore_index=True)

    def to_xarray(self) -> Any:
        """A dataset: a variable a metric over (trial, seed, step), with the configuration's
        names along trial, and status and diverged_at over (trial, seed).

        Raises:
          ImportError: when xarray is not installed.
        """
        require("to_xarray", "sweeps", "xarray", "pandas")
        import xarray

        lanes = ("trial", "seed")
        names = dict.fromkeys(name for trial in self.trials for name in trial)
        columns = {
            name: ("trial", _pandas().Series([_plain(t.get(name)) for t in self.trials]).to_numpy())
            for name in names
        }
        return xarray.Dataset(
            {
                **{name: ((*lanes, "step"), values) for name, values in self.values.items()},
                "status": (lanes, self.status.astype(str)),
                "diverged_at": (lanes, self.diverged_at),
            },
            coords={
                "trial": np.arange(len(self.trials)),
                "seed": self.seeds,
                "step": self.steps,
                **columns,
            },
        )

    def save(self, path: str | os.PathLike[str]) -> None:
        """Writes `to_pandas()` to a .parquet or .csv file.

        Raises:
          ValueError: for another suffix.
        """
        suffix = os.path.splitext(path)[1]
        frame = self.to_pandas()
        if suffix == ".csv":
            frame.to_csv(path, index=False)
        elif suffix == ".parquet":
            frame.to_parquet(path, index=False)
        else:
            raise ValueError(f"path must end in .parquet or .csv, got {os.fspath(path)!r}")

    @property
    def evaluated(self) -> np.ndarray:
        """Which evaluations were made, (trials, seeds, evaluations)."""
        made: np.ndarray = np.arange(len(self.steps)) < self.reached[:, :, None]
        return made

    def table_file(self) -> tuple[str, bytes]:
        """The name and the bytes of the table's file: parquet, or CSV without pyarrow."""
        frame = self.to_pandas()
        if importlib.util.find_spec("pyarrow") is None:
            return "results.csv", frame.to_csv(index=False).encode()
        return "results.parquet", frame.to_parquet(index=False)

    def last(self, metric: str) -> np.ndarray:
        """A metric after the last update, (trials, seeds).

        Raises:
          KeyError: for an unknown metric; it lists the known ones.
        """
        if metric not in self.values:
            raise KeyError(f"unknown metric {metric!r}; this sweep has {', '.join(self.values)}")
        return self.values[metric][:, :, -1]

    def joined(self, other: SweepResult) -> SweepResult:
        """The trials of both, which share seeds, steps and metrics."""

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
        )

    def means(self, metric: str) -> np.ndarray:
        """A metric's mean over seeds after the last update, (trials,); NaN for configurations
        that did not finish on all of them with a finite value."""
        last = self.last(metric)
        usable = (self.status == "finished") & np.isfinite(last)
        means: np.ndarray = np.where(usable, last, np.nan).mean(axis=1)
        return means

    def metric_and_mode(self, metric: str | None, mode: str | None) -> tuple[str, str]:
        """Both, where None stands for the usual: the validation loss (the training loss where
        there is none), and the highest of an accuracy, the lowest of anything else."""
        if metric is None:
            metric = "valid_loss" if "valid_loss" in self.values else "train_loss"
        if mode is None:
            mode = "max" if metric.endswith("accuracy") else "min"
        if mode not in ("min", "max"):
            raise ValueError(f"mode must be 'min' or 'max', got {mode!r}")
        return metric, mode

    def best(self, metric: str | None = None, mode: str | None = None) -> dict[str, Any]:
        """The best configuration by a metric's mean over all seeds, finishers only.

        Args:
          metric: as in `values`; by default the validation loss, or the training loss.
          mode: "min" or "max"; by default "max" for an accuracy.

        Returns:
          The configuration, with "trial" (its number) and "value" (the mean).

        Raises:
          KeyError: for an unknown metric.
          ValueError: when no configuration finished with all its seeds.
        """
        metric, mode = self.metric_and_mode(metric, mode)
        means = self.means(metric)
        if not np.isfinite(means).any():
            raise ValueError(f"no configuration finished with a finite {metric} on all seeds")
        trial = int(np.nanargmin(means) if mode == "min" else np.nanargmax(means))
        return {**self.trials[trial], "trial": trial, "value": float(means[trial])}

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
          tolerance: how far from the best a value of the basin may be; by default 0.01 for an
            accuracy, 5% of the best for anything else.

        Raises:
          KeyError: for a name that is no number of the sweep, or an unknown metric.
        """
        return analysis.sensitivity(self, name, metric, mode, tolerance)

    def budget_curve(
        self, metric: str | None = None, mode: str | None = None, trials: int | None = None
    ) -> Any:
        """The expected best of n configurations drawn at random from this sweep.

        Configurations that did not finish count as the worst that did.

        Args:
          metric: see `best`.
          mode: see `best`.
          trials: the largest n; by default as many as the sweep has.

        Returns:
          A frame: trials (n), expected_best, and low and high, between which 95% of draws lie.

        Raises:
          ValueError: when no configuration finished.
        """
        return analysis.budget_curve(self, metric, mode, trials)

    def plot_sensitivity(self, name: str, metric: str | None = None) -> Any:
        """A figure of `sensitivity`, with a mark for each value at which a lane diverged."""
        from lropt_jax.plotting import sweeps

        return sweeps.sensitivity_figure(self, name, metric)

    def plot_heatmap(self, x: str, y: str, metric: str | None = None) -> Any:
        """A figure of a metric against two hyperparameters; diverged cells are hatched."""
        from lropt_jax.plotting import sweeps

        return sweeps.heatmap_figure(self, x, y, metric)

    def plot_parallel(self, metric: str | None = None) -> Any:
        """A figure with one axis a hyperparameter and one line a configuration."""
        from lropt_jax.plotting import sweeps

        return sweeps.parallel_figure(self, metric)

    def plot_curves(self, metric: str | None = None, best: int = 10) -> Any:
        """A figure of a metric over the updates, the best configurations in colour."""
        from lropt_jax.plotting import sweeps

        return sweeps.curves_figure(self, metric, best)

    def plot_budget(self, metric: str | None = None) -> Any:
        """A figure of `budget_curve`."""
        from lropt_jax.plotting import sweeps

        return sweeps.budget_figure(self, metric)


def _pandas() -> Any:
    require("a table", "sweeps", "pandas")
    import pandas as pd

    return pd


def _plain(value: Any) -> Any:
    if isinstance(value, (int, float, str, bool)) or value is None:
        return value
    return getattr(value, "__name__", repr(value))
