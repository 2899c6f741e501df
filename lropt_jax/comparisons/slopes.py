"""How the best value of a hyperparameter moves with something else: its slope, over seeds."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from lropt_jax.comparisons.inference import Array, Interval, bootstrap


def best_between(values: Sequence[float] | Array, scores: Sequence[float] | Array) -> float:
    """Where a score is highest between the values of a log grid.

    The vertex of the parabola in the logarithm through the best value and its two neighbours, so
    that an answer is no coarser than the seeds allow. The best itself where it lies on an edge,
    or beside a value that did not finish.

    Args:
      values: positive, ascending, (values,).
      scores: the higher the better, NaN where nothing finished, (values,).

    Returns:
      The value; NaN where nothing finished.
    """
    x, y = np.log(np.asarray(values, float)), np.asarray(scores, float)
    if not np.isfinite(y).any():
        return float("nan")
    best = int(np.nanargmax(y))
    if not 0 < best < len(x) - 1 or not np.isfinite(y[best - 1 : best + 2]).all():
        return float(np.exp(x[best]))
    bend, slope, _ = np.polyfit(x[best - 1 : best + 2] - x[best], y[best - 1 : best + 2], 2)
    moved = 0.0 if bend >= 0 else -slope / (2 * bend)
    half = (x[best + 1] - x[best - 1]) / 4  # a parabola's vertex is nearest to its best
    return float(np.exp(x[best] + np.clip(moved, -half, half)))


def slope_of_best(
    sizes: Sequence[float] | Array,
    values: Sequence[float] | Array,
    scores: Array,
    confidence: float = 0.95,
    resamples: int = 1000,
) -> Interval:
    """The slope of the log of the best value on the log of something, with its interval.

    Seeds are resampled (`bootstrap`), the same for all sizes and values: with few seeds the
    interval is on the short side.

    Args:
      sizes: what the best value may depend on (a batch, a width, a learning rate), (sizes,).
      values: the values tried, a log grid, (values,).
      scores: the higher the better, NaN where a training did not finish, (sizes, values, seeds).
      confidence: of the interval.
      resamples: how many.

    Example:
      >>> rates = np.geomspace(0.01, 1.0, 7)
      >>> batches = np.array([8, 16, 32])
      >>> off = np.log(rates)[None, :, None] - np.log(batches / 100)[:, None, None]
      >>> scores = -(off**2) + np.array([0.0, 0.1, 0.2])  # best at a rate of batch / 100
      >>> str(slope_of_best(batches, rates, scores))
      '1 [1, 1]'
    """
    where, scores = np.log(np.asarray(sizes, float)), np.asarray(scores, float)

    def slope(seeds: Array) -> float:
        best = np.log([best_between(values, s) for s in scores[:, :, seeds].mean(axis=2)])
        known = np.isfinite(best)
        if known.sum() < 2:
            return float("nan")
        return float(np.polyfit(where[known], best[known], 1)[0])

    return bootstrap(slope, scores.shape[2], confidence, resamples)
