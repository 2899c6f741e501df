"""Statistics of seeds: intervals, paired tests, corrections. Plain NumPy and SciPy."""

from __future__ import annotations

import dataclasses
import itertools
from collections.abc import Mapping

import numpy as np

SIGNIFICANT = 0.05


def mean_interval(
    values: np.ndarray, confidence: float = 0.95, overlap: float = 0.0
) -> tuple[float, float]:
    r"""The mean and the half-width of its Student-t interval, non-finite values left out.

    $$t_{n-1}\, s \sqrt{\tfrac{1}{n} + \text{overlap}}$$

    Args:
      values: one a seed.
      confidence: of the interval.
      overlap: 0 for independent values. For repeated splits of the same examples, whose training
        sets overlap, the test examples over the training examples (Nadeau and Bengio 2003, Machine
        Learning 52), without which the interval is far too narrow.

    Returns:
      Both; the half-width is NaN for fewer than two values.
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
    error = values.std(ddof=1) * np.sqrt(1 / n + overlap)
    return float(values.mean()), float(quantile * error)


@dataclasses.dataclass(frozen=True)
class PairedTest:
    """A difference between two methods over shared seeds.

    Attributes:
      first, second: their names; `first` has the higher mean.
      difference: mean of first minus second over the seeds.
      half_width: of the 95% interval of the difference, not corrected.
      p_value: two-sided paired t-test, corrected for the number of comparisons (Holm).
      smallest: the smallest difference that matters, in the metric's unit.
      significant: whether `p_value < 0.05`: the seeds do not explain the difference.
      tie: whether there is no order: not significant, or too small to matter.
    """

    first: str
    second: str
    difference: float
    half_width: float
    p_value: float
    smallest: float = 0.0

    @property
    def significant(self) -> bool:
        return self.p_value < SIGNIFICANT

    @property
    def tie(self) -> bool:
        return not (self.significant and self.difference >= self.smallest)


def paired_tests(
    values: Mapping[str, np.ndarray], smallest: float = 0.0, overlap: float = 0.0
) -> list[PairedTest]:
    """All pairs of methods, each tested over the seeds that both finished.

    Args:
      values: one array (seeds,) a method, the same seeds in the same places; NaN for a seed
        that did not finish.
      smallest: the smallest difference that matters; a smaller one is a tie, however sure.
      overlap: see `mean_interval`.

    Returns:
      One test a pair, the p-values corrected by Holm's step-down method (1979) for the number
      of pairs; a pair with fewer than two shared seeds has a NaN p-value and is not counted.
    """
    raw = []
    for a, b in itertools.combinations(values, 2):
        difference = np.asarray(values[a], float) - np.asarray(values[b], float)
        mean, half_width = mean_interval(difference, overlap=overlap)
        first, second = (b, a) if mean < 0 else (a, b)
        raw.append((first, second, abs(mean), half_width, _paired_p(difference, overlap)))
    corrected = holm(np.array([r[-1] for r in raw]))
    return [PairedTest(*r[:-1], float(p), smallest) for r, p in zip(raw, corrected, strict=True)]


def holm(p_values: np.ndarray) -> np.ndarray:
    """Holm's correction: the k-th smallest of m times m - k + 1, made monotone, at most 1."""
    p_values = np.asarray(p_values, float)
    corrected = np.full(p_values.shape, np.nan)
    known = np.flatnonzero(np.isfinite(p_values))
    order = known[np.argsort(p_values[known], kind="stable")]
    factors = len(order) - np.arange(len(order))
    corrected[order] = np.minimum(1, np.maximum.accumulate(p_values[order] * factors))
    return corrected


def lr_sensitivity(rates: np.ndarray, losses: np.ndarray, initial_loss: float) -> float:
    r"""How much is lost, on average, by a learning rate that is not the best.

    $$\frac{1}{\log b - \log a} \int_a^b
      \left[\min(\ell(\eta), \ell_0) - \min_{\eta'} \ell(\eta')\right] d\log\eta$$

    over the rates tried, by the trapezoidal rule. 0: any rate will do. Compare it between methods
    only where the ranges tried are equally wide, in decades.

    Args:
      rates: positive, ascending, at least two, (rates,).
      losses: the final loss at each; one that is not finite counts as the initial loss.
      initial_loss: before any update.

    Reference:
      Wortsman et al. 2023, arXiv:2309.14322.
    """
    losses = np.where(np.isfinite(losses), losses, np.inf)
    lost = np.minimum(losses, initial_loss) - min(losses.min(), initial_loss)
    width = np.diff(np.log(rates))
    return float(((lost[1:] + lost[:-1]) / 2 * width).sum() / width.sum())


def steps_to_target(steps: np.ndarray, curves: np.ndarray, target: float, mode: str) -> np.ndarray:
    """After how many updates each curve first is as good as the target, (seeds,); inf for never.

    Args:
      steps: updates at each evaluation, (evaluations,).
      curves: a metric, (seeds, evaluations).
      target: its value.
      mode: whether the metric's "min" or its "max" is best.
    """
    with np.errstate(invalid="ignore"):
        reached = curves <= target if mode == "min" else curves >= target
    return np.where(reached.any(axis=1), np.asarray(steps, float)[reached.argmax(axis=1)], np.inf)


def _paired_p(difference: np.ndarray, overlap: float) -> float:
    from scipy import stats

    difference = difference[np.isfinite(difference)]
    n = len(difference)
    if n < 2:
        return float("nan")
    if np.ptp(difference) == 0:
        return 1.0 if difference[0] == 0 else 0.0
    error = difference.std(ddof=1) * np.sqrt(1 / n + overlap)
    return float(2 * stats.t.sf(abs(difference.mean()) / error, n - 1))
