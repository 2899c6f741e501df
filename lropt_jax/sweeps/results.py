"""What came out: every trial, seed and metric of a sweep, tidy."""

from __future__ import annotations

import dataclasses
import importlib.util
from typing import Any

import numpy as np


@dataclasses.dataclass
class SweepResult:
    """The result of `sweep`.

    Attributes:
      trials: the configurations, a dict each.
      seeds: the seeds, the same for every trial.
      steps: updates taken at each evaluation, (evaluations,).
      values: each metric, (trials, seeds, evaluations); NaN from where a lane diverged.
      final: each metric over whole splits after the last update, (trials, seeds), where asked
        for.
      status: "finished", "pruned" or "diverged", (trials, seeds).
      diverged_at: updates taken before the first non-finite value, or -1, (trials, seeds).
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

    def best(self, metric: str = "valid_loss", mode: str = "min") -> dict[str, Any]:
        """The best configuration by a metric's mean over all seeds, finishers only.

        Args:
          metric: as in `values`.
          mode: "min" or "max".

        Returns:
          The configuration, with "trial" (its number) and "value" (the mean).

        Raises:
          ValueError: when no configuration finished with all its seeds.
        """
        if mode not in ("min", "max"):
            raise ValueError(f"mode must be 'min' or 'max', got {mode!r}")
        means = self.last(metric).mean(axis=1)
        means = np.where((self.status == "finished").all(axis=1), means, np.nan)
        if not np.isfinite(means).any():
            raise ValueError(f"no configuration finished with a finite {metric} on all seeds")
        trial = int(np.nanargmin(means) if mode == "min" else np.nanargmax(means))
        return {**self.trials[trial], "trial": trial, "value": float(means[trial])}


def _pandas() -> Any:
    try:
        import pandas as pd
    except ImportError as error:
        raise ImportError("tables need pandas: pip install 'lropt-jax[sweeps]'") from error
    return pd


def _plain(value: Any) -> Any:
    if isinstance(value, (int, float, str, bool)) or value is None:
        return value
    return getattr(value, "__name__", repr(value))
