"""What differences and slopes say: equivalence, one-sided limits, bootstrap intervals, slopes."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Iterable, Sequence

import numpy as np

from lropt_jax.tasks.metrics import bounds

Array = np.ndarray


@dataclasses.dataclass(frozen=True)
class Interval:
    """An estimate with the interval that holds it.

    Attributes:
      value: the estimate.
      low, high: the ends; NaN where there is nothing to estimate them from.
    """

    value: float
    low: float
    high: float

    def within(self, low: float, high: float) -> bool:
        """Whether the whole interval lies between two numbers."""
        return low <= self.low and self.high <= high

    def outside(self, low: float, high: float) -> bool:
        """Whether the whole interval lies on one side of what lies between two numbers."""
        return self.high < low or self.low > high

    def says(self, low: float, high: float) -> bool | None:
        """True within, False outside, None where it straddles an end."""
        if self.within(low, high):
            return True
        return False if self.outside(low, high) else None

    def __str__(self) -> str:
        return f"{self.value:.3g} [{self.low:.3g}, {self.high:.3g}]"


def mean_within(values: Array, confidence: float = 0.95) -> Interval:
    """The mean with its Student-t interval; non-finite values are left out.

    Args:
      values: (seeds,), for a paired difference the differences.
      confidence: of the two-sided interval; 0.9 is what an equivalence test at 5% reads.
    """
    from scipy import stats

    values = np.asarray(values, float)
    values = values[np.isfinite(values)]
    if len(values) < 2:
        value = float(values.mean()) if len(values) else float("nan")
        return Interval(value, float("nan"), float("nan"))
    mean, error = float(values.mean()), float(values.std(ddof=1) / np.sqrt(len(values)))
    half = float(stats.t.ppf(0.5 + confidence / 2, len(values) - 1)) * error
    return Interval(mean, mean - half, mean + half)


def metric_within(metric: str, values: Array) -> Interval:
    """The mean of a metric over seeds with its 95% interval, cut where no value of it can lie."""
    found, (lowest, highest) = mean_within(values), bounds(metric, values)
    low, high = (float(np.clip(end, lowest, highest)) for end in (found.low, found.high))
    return Interval(found.value, low, high)


def equivalent(differences: Array, margin: float) -> bool:
    """Two one-sided tests at 5%: the 90% interval of the mean lies inside ± margin.

    Equality needs this test: a p-value above 0.05 only says that one has not looked hard enough.

    Args:
      differences: paired, (seeds,).
      margin: below which a difference does not matter.

    Reference:
      Schuirmann 1987, A comparison of the two one-sided tests procedure and the power approach.
    """
    return mean_within(differences, 0.9).within(-margin, margin)


def equality(differences: Array, margin: float) -> bool | None:
    """Whether two things are equal up to a margin.

    True where an equivalence test at 5% says so (the 90% interval lies inside ± margin), False
    where the 95% interval lies outside of it, None where the data do not tell.

    Args:
      differences: paired, (seeds,).
      margin: below which a difference does not matter.
    """
    if equivalent(differences, margin):
        return True
    return False if mean_within(differences).outside(-margin, margin) else None


def not_worse(differences: Array, margin: float) -> bool | None:
    """Whether something is not worse by more than a margin, one-sided at 97.5%.

    True where the lower end of the 95% interval lies above -margin, False where its upper end
    lies below, None where it straddles. `not_worse(differences, -margin)` asks whether something
    is better by at least a margin.

    Args:
      differences: paired, (seeds,), positive where it is better.
      margin: how much worse does not matter.
    """
    return mean_within(differences).says(-margin, np.inf)


def at_least(answers: Iterable[bool | None], needed: int) -> bool | None:
    """Whether so many of several questions are answered by yes.

    True where so many are, False where they cannot be any more, whatever the open ones (None)
    should turn out to be; None else.

    Example:
      >>> at_least([True, True, None], 2), at_least([True, False, None], 2)
      (True, None)
    """
    found = list(answers)
    yes, no = sum(a is True for a in found), sum(a is False for a in found)
    if yes >= needed:
        return True
    return False if len(found) - no < needed else None


def bootstrap(
    statistic: Callable[[Array], float],
    size: int,
    confidence: float = 0.95,
    resamples: int = 2000,
    seed: int = 0,
) -> Interval:
    """A percentile interval of a statistic of resampled seeds (or problems).

    Args:
      statistic: of the numbers of the resampled units, an int array (size,) with repetitions.
      size: how many units there are.
      confidence: of the interval.
      resamples: how many.
      seed: of the resampling.

    Reference:
      Efron and Tibshirani 1993, An introduction to the bootstrap.
    """
    rng = np.random.default_rng(seed)
    found = [statistic(rng.integers(0, size, size)) for _ in range(resamples)]
    low, high = np.nanquantile(found, [0.5 - confidence / 2, 0.5 + confidence / 2])
    return Interval(float(statistic(np.arange(size))), float(low), float(high))


def log_slope(x: Sequence[float] | Array, y: Sequence[float] | Array) -> Interval:
    """The slope of log y on log x with its 95% interval (least squares)."""
    from scipy import stats

    fitted = stats.linregress(np.log(np.asarray(x, float)), np.log(np.asarray(y, float)))
    if len(x) < 3:
        return Interval(float(fitted.slope), float("nan"), float("nan"))
    half = float(stats.t.ppf(0.975, len(x) - 2) * fitted.stderr)
    return Interval(float(fitted.slope), float(fitted.slope) - half, float(fitted.slope) + half)
