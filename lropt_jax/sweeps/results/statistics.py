"""Statistics of seeds: intervals, paired tests, corrections. Plain NumPy and SciPy."""

from __future__ import annotations

import dataclasses
import itertools
from collections.abc import Mapping

import numpy as np


def mean_interval(values: np.ndarray, confidence: float = 0.95) -> tuple[float, float]:
    """The mean and the half-width of its Student-t interval, non-finite values left out.

    The half-width is NaN for fewer than two values.
    """
    from scipy import stats

    values = np.asarray(values, float)
    values = values[np.isfinite(values)]
    n = len(values)
    if n == 0:
        return float("nan"), float("nan")
    if n == 1:
        return float(values[0]), float("nan")
    quantile = stats.t.ppf(0.5 + confidence / 2, n - 1)
    return float(values.mean()), float(quantile * values.std(ddof=1) / np.sqrt(n))


@dataclasses.dataclass(frozen=True)
class PairedTest:
    """A difference between two methods over shared seeds.

    Attributes:
      first, second: their names; `first` has the higher mean.
      difference: mean of first minus second over the seeds.
      half_width: of the 95% interval of the difference, not corrected.
      p_value: two-sided paired t-test, corrected for the number of comparisons (Holm).
      significant: whether `p_value < 0.05`.
    """

    first: str
    second: str
    difference: float
    half_width: float
    p_value: float

    @property
    def significant(self) -> bool:
        return self.p_value < 0.05


def paired_tests(values: Mapping[str, np.ndarray]) -> list[PairedTest]:
    """All pairs of methods, each tested over the seeds that both finished.

    Args:
      values: one array (seeds,) a method, the same seeds in the same places; NaN for a seed
        that did not finish.

    Returns:
      One test a pair, the p-values corrected by Holm's step-down method (1979) for the number
      of pairs; a pair with fewer than two shared seeds has a NaN p-value and is not counted.
    """
    raw = []
    for a, b in itertools.combinations(values, 2):
        difference = np.asarray(values[a], float) - np.asarray(values[b], float)
        mean, half_width = mean_interval(difference)
        first, second = (b, a) if mean < 0 else (a, b)
        raw.append((first, second, abs(mean), half_width, _paired_p(difference)))
    corrected = holm(np.array([r[-1] for r in raw]))
    return [PairedTest(*r[:-1], float(p)) for r, p in zip(raw, corrected, strict=True)]


def holm(p_values: np.ndarray) -> np.ndarray:
    """Holm's correction: the k-th smallest of m times m - k + 1, made monotone, at most 1."""
    p_values = np.asarray(p_values, float)
    corrected = np.full(p_values.shape, np.nan)
    known = np.flatnonzero(np.isfinite(p_values))
    order = known[np.argsort(p_values[known], kind="stable")]
    factors = len(order) - np.arange(len(order))
    corrected[order] = np.minimum(1, np.maximum.accumulate(p_values[order] * factors))
    return corrected


def _paired_p(difference: np.ndarray) -> float:
    from scipy import stats

    difference = difference[np.isfinite(difference)]
    if len(difference) < 2:
        return float("nan")
    if np.ptp(difference) == 0:
        return 1.0 if difference[0] == 0 else 0.0
    return float(stats.ttest_1samp(difference, 0.0).pvalue)
