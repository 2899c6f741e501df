"""What is it worth to search on? The regret that is left, and what a doubled budget would buy."""

from __future__ import annotations

from typing import Any

import numpy as np

from lropt_jax.comparisons.inference import Interval
from lropt_jax.sweeps.results.best_of_n import expected_best

DOUBLINGS = 5  # regret is against a search 32 times as long
RESAMPLES = 400
HIGHEST_RATIO = 0.9  # of two successive gains
USUAL_RATIO = 0.6  # where too few were tried to see one
LEAST = 4  # values that a gain can be read off


def gains(values: Any, mode: str) -> tuple[float, float]:
    """The gain of the last doubling of a search that found these values, and the ratio of it to the
    gain of the doubling before.

    Both are read off the unbiased curve of the expected best of n. A value that is not finite is
    as bad as the worst.
    """
    known = np.asarray(values, float)
    count = len(known)
    if count < 2 or not np.isfinite(known).any():
        return float("nan"), USUAL_RATIO
    mean = expected_best(known, mode=mode)[0]
    half, quarter = mean[count // 2 - 1], mean[max(count // 4, 1) - 1]
    last, before = abs(half - mean[-1]), abs(quarter - half)
    if count < LEAST or before <= 0:
        return last, USUAL_RATIO
    return last, min(last / before, HIGHEST_RATIO)


def further_gain(values: Any, mode: str, doublings: int) -> float:
    """What so many further doublings would gain, each as much less than the one before as the last
    one that was made."""
    last, ratio = gains(values, mode)
    return float(last * sum(ratio ** (k + 1) for k in range(doublings)))


def regret(
    values: Any, mode: str, half_width: float = 0.0, seed: int = 0, end: float | None = None
) -> tuple[Interval, Interval]:
    """How far the best found lies behind the best of a far longer search, and what doubling the
    budget would gain, with 95% intervals.

    The curve of the expected best of n is read as if configurations came in no order, and goes on
    as it went. The interval is a bootstrap over the configurations, and the seeds' own: what is
    uncertain of the value found is as uncertain of its regret. Its lower end is 0: no search shows
    that there is something better than what it found.

    Args:
      values: of the configurations tried, NaN for those that did not finish.
      mode: which way they are better.
      half_width: of the interval of the recommended one's mean over fresh seeds.
      seed: of the resampling.
      end: the best value that there can be (1 of an accuracy), which nothing is gained beyond.
    """
    known = np.asarray(values, float)
    seeds = half_width if np.isfinite(half_width) else 0.0
    left, doubled = (_bootstrapped(known, mode, k, seed) for k in (DOUBLINGS, 1))
    upper = left.value + float(np.hypot(left.high - left.value, seeds))
    left = Interval(left.value, 0.0 if np.isfinite(left.value) else left.low, upper)
    finite = known[np.isfinite(known)]
    if end is None or not len(finite):
        return left, doubled
    room = abs(end - float(finite.max() if mode == "max" else finite.min()))
    # The mean of the best over fresh seeds is as much farther from the end as it is uncertain.
    return _within(left, room, room + seeds), _within(doubled, room, room)


def _within(found: Interval, most: float, highest: float) -> Interval:
    """The interval, its value at most `most` and its upper end at most `highest`."""
    return Interval(min(found.value, most), min(found.low, most), min(found.high, highest))


def _bootstrapped(known: Any, mode: str, doublings: int, seed: int) -> Interval:
    """What so many doublings would gain, with the interval of resampled configurations."""
    value = further_gain(known, mode, doublings)
    if not np.isfinite(value):
        return Interval(*[float("nan")] * 3)
    random = np.random.default_rng(seed)
    draws = [
        further_gain(known[random.integers(0, len(known), len(known))], mode, doublings)
        for _ in range(RESAMPLES)
    ]
    low, high = np.quantile([d for d in draws if np.isfinite(d)] or [value], [0.025, 0.975])
    return Interval(value, float(min(low, value)), float(max(high, value)))
