"""What does it say? Sensitivity to one hyperparameter."""

from __future__ import annotations

import dataclasses
from typing import Any

import numpy as np

from lropt_jax.sweeps.results.statistics import mean_interval
from lropt_jax.tasks.metrics import bounds
from lropt_jax.validation import require

SHARE_TOLERANCE = 0.01  # of a metric between 0 and 1: a point
TOLERANCE = 0.05  # of the best of any other


@dataclasses.dataclass(frozen=True)
class Sensitivity:
    """A metric against one hyperparameter, the others at their best for each of its values.

    Attributes:
      name: the hyperparameter.
      metric: the metric after the last update.
      values: the hyperparameter's values, ascending, (values,).
      trials: the best trial at each value, -1 where none finished, (values,).
      mean: the metric's mean over that trial's seeds, NaN where none finished, (values,).
      half_width: of its 95% interval, NaN for a single seed, (values,).
      diverged: the share of lanes that diverged at each value, (values,).
      basin: the lowest and the highest value of the stretch around the best whose mean lies
        within the tolerance of it, or None where nothing finished.
    """

    name: str
    metric: str
    values: np.ndarray
    trials: np.ndarray
    mean: np.ndarray
    half_width: np.ndarray
    diverged: np.ndarray
    basin: tuple[float, float] | None

    @property
    def basin_width(self) -> float:
        """The basin's highest value over its lowest, in decades; NaN without a positive basin."""
        if self.basin is None or self.basin[0] <= 0:
            return float("nan")
        return float(np.log10(self.basin[1] / self.basin[0]))

    def to_pandas(self) -> Any:
        """A frame with a row for each value."""
        require("a table", "sweeps", "pandas")
        import pandas as pd

        return pd.DataFrame(
            {
                self.name: self.values,
                "trial": self.trials,
                "mean": self.mean,
                "half_width": self.half_width,
                "diverged": self.diverged,
            }
        )


def sensitivity(
    name: str,
    metric: str,
    mode: str,
    x: np.ndarray,
    means: np.ndarray,
    by_seed: np.ndarray,
    diverged: np.ndarray,
    tolerance: float | None = None,
) -> Sensitivity:
    """A metric against one hyperparameter, the others at their best for each of its values.

    Args:
      name: the hyperparameter's.
      metric: what is looked at.
      mode: which way it is better.
      x: the hyperparameter of each trial, NaN where it has none, (trials,).
      means: the metric over the seeds, NaN where one did not finish, (trials,).
      by_seed: the same for each seed, (trials, seeds).
      diverged: the share of each trial's seeds that diverged, (trials,).
      tolerance: of the basin, see `SweepResult.sensitivity`.
    """
    known = np.flatnonzero(np.isfinite(x))
    values, counts = np.unique(x[known], return_counts=True)
    here = np.split(known[np.argsort(x[known], kind="stable")], np.cumsum(counts)[:-1])
    losses = np.where(np.isfinite(means), _losses(means, mode), np.inf)
    best = np.array([trials[np.argmin(losses[trials])] for trials in here])
    finished = np.isfinite(means[best])
    mean = np.where(finished, means[best], np.nan)
    half_widths = [mean_interval(by_seed[trial])[1] for trial in best]
    return Sensitivity(
        name,
        metric,
        values,
        np.where(finished, best, -1),
        mean,
        np.where(finished, half_widths, np.nan),
        np.array([diverged[trials].mean() for trials in here]),
        _basin(values, mean, metric, mode, tolerance),
    )


def as_good(metric: str, best: float) -> float:
    """How far from the best a value may be and still come close to it."""
    return SHARE_TOLERANCE if bounds(metric) == (0.0, 1.0) else TOLERANCE * abs(best)


def _losses(values: np.ndarray, mode: str) -> np.ndarray:
    return values if mode == "min" else -values


def _basin(
    values: np.ndarray, mean: np.ndarray, metric: str, mode: str, tolerance: float | None
) -> tuple[float, float] | None:
    """The stretch around the best value without a gap."""
    if not np.isfinite(mean).any():
        return None
    losses = _losses(mean, mode)
    best = int(np.nanargmin(losses))
    if tolerance is None:
        tolerance = as_good(metric, float(losses[best]))
    inside = np.isfinite(losses) & (losses <= losses[best] + tolerance)
    low = high = best
    while low > 0 and inside[low - 1]:
        low -= 1
    while high + 1 < len(inside) and inside[high + 1]:
        high += 1
    return float(values[low]), float(values[high])
