"""What does it say? Sensitivity to one hyperparameter, and the best against the budget."""

from __future__ import annotations

import dataclasses
from typing import TYPE_CHECKING, Any

import numpy as np

from lropt_jax.sweeps.planning.space import is_lane_number
from lropt_jax.sweeps.results.statistics import expected_best, mean_interval
from lropt_jax.validation import require

if TYPE_CHECKING:
    from lropt_jax.sweeps.results.result import SweepResult

ACCURACY_TOLERANCE = 0.01  # a point
LOSS_TOLERANCE = 0.05  # of the best


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
    result: SweepResult,
    name: str,
    metric: str | None = None,
    mode: str | None = None,
    tolerance: float | None = None,
) -> Sensitivity:
    """See `SweepResult.sensitivity`."""
    metric, mode = result.metric_and_mode(metric, mode)
    given = np.array([is_lane_number(trial.get(name)) for trial in result.trials])
    if not given.any():
        numbers = sorted({k for t in result.trials for k, v in t.items() if is_lane_number(v)})
        raise KeyError(f"{name!r} is no number of this sweep; it has {', '.join(numbers)}")
    x = np.array(
        [float(t[name]) if g else np.nan for t, g in zip(result.trials, given, strict=True)]
    )
    last, means = result.last(metric), result.means(metric)
    values = np.unique(x[given])
    trials, mean, half_width, diverged = [], [], [], []
    for value in values:
        here = np.flatnonzero(x == value)
        diverged.append(float((result.status[here] == "diverged").mean()))
        finished = here[np.isfinite(means[here])]
        if not len(finished):
            trials.append(-1)
            mean.append(np.nan)
            half_width.append(np.nan)
            continue
        best = finished[int(np.argmin(_losses(means[finished], mode)))]
        trials.append(int(best))
        mean.append(float(means[best]))
        half_width.append(mean_interval(last[best])[1])
    return Sensitivity(
        name,
        metric,
        values,
        np.array(trials),
        np.array(mean),
        np.array(half_width),
        np.array(diverged),
        _basin(values, np.array(mean), metric, mode, tolerance),
    )


def budget_curve(
    result: SweepResult,
    metric: str | None = None,
    mode: str | None = None,
    trials: int | None = None,
) -> Any:
    """See `SweepResult.budget_curve`."""
    require("a table", "sweeps", "pandas")
    import pandas as pd

    metric, mode = result.metric_and_mode(metric, mode)
    means = result.means(metric)
    if not np.isfinite(means).any():
        raise ValueError(f"no configuration finished with a finite {metric} on all seeds")
    sign = 1.0 if mode == "min" else -1.0
    losses = np.where(np.isfinite(means), sign * means, np.inf)
    losses[np.isinf(losses)] = losses[np.isfinite(losses)].max()
    expected, low, high = expected_best(losses, trials or len(losses))
    low, high = (low, high) if mode == "min" else (high, low)
    budget = np.arange(1, len(expected) + 1)
    frame = pd.DataFrame({"trials": budget, "expected_best": sign * expected})
    return frame.assign(low=sign * low, high=sign * high)


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
        accuracy = metric.endswith("accuracy")
        tolerance = ACCURACY_TOLERANCE if accuracy else LOSS_TOLERANCE * abs(losses[best])
    inside = np.isfinite(losses) & (losses <= losses[best] + tolerance)
    low = high = best
    while low > 0 and inside[low - 1]:
        low -= 1
    while high + 1 < len(inside) and inside[high + 1]:
        high += 1
    return float(values[low]), float(values[high])
