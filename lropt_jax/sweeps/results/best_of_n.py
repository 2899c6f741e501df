"""The best of n configurations: what to expect of it, and how sure one can be."""

from __future__ import annotations

import functools
import math
from typing import Any

import numpy as np

from lropt_jax.validation import whole_number

BISECTIONS = 30


def expected_best(
    values: Any,
    trials: int | None = None,
    mode: str = "min",
    confidence: float = 0.95,
    bounds: tuple[float, float] = (-math.inf, math.inf),
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    r"""What the best of n configurations comes to, for n = 1, 2, ...: how far tuning pays.

    With the $N$ values from the best, $v_{(1)}$, to the worst, the mean is the average over all
    subsets of n of them, which is unbiased (the plug-in estimate of arXiv:1909.03004, which draws
    with replacement, is not):

    $$\widehat{E}[\text{best of } n] =
      \sum_{i=1}^N v_{(i)} \binom{N - i}{n - 1} \Big/ \binom{N}{n}$$

    The band is for the **median** best of n, the quantile $1 - 2^{-1/n}$ of a single
    configuration's value: a band for a mean would need to know the tail. It holds for all n at
    once, in at least `confidence` of all repetitions of the search, whatever the distribution of
    the values. Its ends are order statistics: at each n those whose binomial tails are equally
    improbable, at the level at which the whole band covers exactly (a recursion over the counts at
    the quantiles that are read), and nowhere further out than those of Dvoretzky, Kiefer, Wolfowitz
    and Massart.

    When to use:
      To see whether more trials of a random search would help, and to compare methods at every
      budget instead of the one that was spent. Start with 30 trials or more. Not for grids or
      a guided search: their trials are no random draws.

    Args:
      values: the score of each configuration, (N,), drawn independently (a random search; of a
        grid it says how a draw from the grid would do). One that is NaN or infinite, such as a
        diverged one's, is worse than all others: for the band it lies at the worse end of `bounds`,
        for the mean too where that is finite, else at the worst finite value.
      trials: the largest n, at most N, the default. A band for fewer is narrower.
      mode: whether the "min" or the "max" is best.
      confidence: that the band holds, in (0, 1).
      bounds: the lowest and the highest value that there can be: `(0, 1)` for an accuracy, `(0,
        inf)` for a loss that is never negative. Where the data do not bound the band, they do.

    Returns:
      `(mean, low, high)`, each (trials,), for n = 1 to `trials`. An end of the band that neither
      data nor bounds give is infinite.

    Raises:
      ValueError: without a finite value, for more trials than values, a value outside of the
        bounds, or another argument outside of its range.

    Reference:
      Lourie et al. 2023, arXiv:2311.09480 (bands for the median); Noé 1972, Ann. Math. Statist. 43
      (the recursion); Massart 1990, Ann. Probab. 18.

    See also:
      `sweep`, whose `budget_curve` calls it, `compare`.

    Example:
      >>> from lropt_jax import expected_best
      >>> accuracies = [0.61, 0.72, 0.55, 0.78, 0.70, 0.74, float("nan"), 0.66]
      >>> mean, low, high = expected_best(accuracies, trials=4, mode="max", bounds=(0, 1))
      >>> mean.round(3).tolist()
      [0.595, 0.716, 0.741, 0.754]
      >>> low.round(3).tolist(), high.round(3).tolist()
      ([0.0, 0.61, 0.66, 0.7], [0.78, 1.0, 1.0, 1.0])
    """
    if mode not in ("min", "max"):
        raise ValueError(f"mode must be 'min' or 'max', got {mode!r}")
    if not 0 < confidence < 1:
        raise ValueError(f"confidence must be in (0, 1), got {confidence!r}")
    sign = 1.0 if mode == "min" else -1.0
    best_end, worst_end = sorted(sign * float(b) for b in bounds)
    if not float(bounds[0]) < float(bounds[1]):
        raise ValueError(f"bounds must be (low, high) with low < high, got {bounds!r}")
    given = np.asarray(values, float)
    losses = np.sort(sign * given[np.isfinite(given)]) if given.ndim == 1 else given
    if given.ndim != 1 or not len(losses):
        raise ValueError(f"values must be one-dimensional with a finite value, got {values!r}")
    if losses[0] < best_end or losses[-1] > worst_end:
        raise ValueError(
            f"values must lie in bounds={bounds!r}, got some from {given[np.isfinite(given)].min()}"
            f" to {given[np.isfinite(given)].max()}"
        )
    count = len(given)
    trials = count if trials is None else whole_number("trials", trials)
    if trials > count:
        raise ValueError(f"trials must be at most the {count} values, got {trials}")
    lost = count - len(losses)
    worst = worst_end if math.isfinite(worst_end) else losses[-1]
    ordered = np.append(losses, np.full(lost, worst))
    mean = np.array([_shares(count, n) @ ordered for n in range(1, trials + 1)])
    # From the best end over the values, the lost ones among them, to the worst end.
    ends = np.concatenate([[best_end], losses, np.full(lost + 1, worst_end)])
    least, most = order_statistics(count, trials, confidence)
    low, high = ends[least], ends[most + 1]
    return (mean, low, high) if mode == "min" else (-mean, -high, -low)


def _shares(count: int, n: int) -> np.ndarray:
    """How often each order statistic is the best of n drawn without replacement, (count,)."""
    i = np.arange(1, count)
    ratios = np.maximum(count - i - n + 1, 0) / (count - i)  # C(N-i-1, n-1) / C(N-i, n-1)
    shares: np.ndarray = np.cumprod(np.append(n / count, ratios))
    return shares


def read_quantiles(trials: int) -> np.ndarray:
    """The quantiles of one value at which the median best of n = 1 to `trials` lies, (trials,)."""
    return -np.expm1(-math.log(2) / np.arange(1, trials + 1))


@functools.lru_cache(64)
def order_statistics(count: int, trials: int, confidence: float) -> tuple[np.ndarray, np.ndarray]:
    """How many of `count` values lie at or below each of the quantiles that are read.

    The least and the most, (trials,) each, that hold at once with this confidence. So the quantile
    lies between the order statistics `least` and `most + 1`, counted from 1.
    """
    quantiles = read_quantiles(trials)
    widest = _dkw(count, quantiles, confidence)  # covers: Massart 1990
    band, covers, fails = widest, 0.0, 0.5
    for _ in range(BISECTIONS):
        level = (covers + fails) / 2
        tried = _equal_tails(count, quantiles, level, widest)
        if coverage(count, quantiles, *tried) >= confidence:
            covers, band = level, tried
        else:
            fails = level
    return band


def coverage(count: int, quantiles: np.ndarray, least: np.ndarray, most: np.ndarray) -> float:
    """The probability that of `count` uniform numbers `least` to `most` lie below each quantile.

    The counts are those of a Poisson process, given its total: what comes in between two quantiles
    is independent of what was there.

    Args:
      count: of the numbers.
      quantiles: descending.
      least, most: the counts allowed below each, descending too.
    """
    if (least > most).any():
        return 0.0
    at, lowest, reached = 0.0, 0, np.ones(1)  # the probabilities of `lowest` numbers and more
    for quantile, low, high in zip(quantiles[::-1], least[::-1], most[::-1], strict=True):
        added = _poisson(np.arange(high - lowest + 1), count * (quantile - at))
        reached = np.convolve(reached, added)[low - lowest : high - lowest + 1]
        at, lowest = quantile, low
    above = _poisson(count - lowest - np.arange(len(reached)), count * (1 - at))
    return float(reached @ above / _poisson(np.array(count), count))


def _equal_tails(
    count: int, quantiles: np.ndarray, level: float, widest: tuple[np.ndarray, np.ndarray]
) -> tuple[np.ndarray, np.ndarray]:
    """The counts outside of which a binomial is with at most this probability on either side."""
    from scipy.stats import binom

    least, most = binom.ppf(level, count, quantiles), binom.isf(level, count, quantiles)
    return (
        np.maximum(least.astype(int), widest[0]),
        np.minimum(most.astype(int), widest[1]),
    )


def _dkw(count: int, quantiles: np.ndarray, confidence: float) -> tuple[np.ndarray, np.ndarray]:
    """The counts of Dvoretzky, Kiefer, Wolfowitz and Massart's band."""
    reach = math.sqrt(math.log(2 / (1 - confidence)) / (2 * count))
    least = np.ceil(count * (quantiles - reach)).clip(min=0).astype(int)
    most = np.floor(count * (quantiles + reach)).clip(max=count).astype(int)
    return least, most


def _poisson(k: np.ndarray, rate: float) -> np.ndarray:
    from scipy.special import gammaln

    probabilities: np.ndarray = np.exp(k * math.log(rate) - rate - gammaln(k + 1))
    return probabilities
