"""From where a lane no longer counts. Plain NumPy."""

from __future__ import annotations

from typing import Any

import numpy as np

from lropt_jax.range_tests.noise import scatter

Array = np.ndarray[Any, Any]

MEDIAN_WINDOW = 5  # rungs: one or two bad batches are no divergence
EXPLAINED = 6.0  # standard deviations of the batch noise, which also pulls the best level down
ALONE = 30.0  # the same of one of the last two rungs, which may be one bad batch
GAIN = 0.25  # of what was gained; matters where the best loss is near zero


def diverged_at(losses: Array, factor: float) -> Array:
    r"""The first rung of each curve that no longer counts, or -1 where all count.

    With $m$ the running median of five rungs, $b$ its minimum, and $\sigma$ the batch noise
    around that, a curve diverges at its first loss that is not finite, or where it leaves

    $$m_i \le b + \max\bigl((k - 1)\,|b|,\ 6\,\sigma,\ (m_0 - b) / 4\bigr)$$

    never to return. For positive losses and no noise that is $m_i \le k\,b$; it holds its meaning
    for negative losses and for those around zero. The last two rungs have the median of
    the last five, and each itself 30 standard deviations.

    Args:
      losses: (..., rungs).
      factor: k > 1.
    """
    rungs = losses.shape[-1]
    bad = ~np.isfinite(losses)
    ends = np.where(bad.any(axis=-1), bad.argmax(axis=-1), rungs)
    finite = np.arange(rungs) < ends[..., None]
    median = _running_median(np.where(finite, losses, np.inf))
    median = np.where(finite & np.isinf(median), losses, median)  # a lane of a rung or two
    place = median.argmin(axis=-1)[..., None]
    best = np.take_along_axis(median, place, axis=-1)
    noise = np.take_along_axis(scatter(losses, finite), place, axis=-1)
    with np.errstate(invalid="ignore"):
        scale = np.maximum((factor - 1) * np.abs(best), GAIN * (median[..., :1] - best))
        inside = finite & (median <= best + np.maximum(scale, EXPLAINED * noise))
        # No window is centred on the last two rungs, which stand for themselves.
        inside[..., -2:] &= losses[..., -2:] <= best + np.maximum(scale, ALONE * noise)
    after = rungs - np.where(inside.any(axis=-1), inside[..., ::-1].argmax(axis=-1), rungs)
    return np.where(after < rungs, after, -1)


def counted(losses: Array, ends: Array) -> Array:
    """Which rungs count: those before each curve's end (-1: all), a mask like `losses`."""
    rungs = losses.shape[-1]
    mask: Array = np.arange(rungs) < np.where(ends < 0, rungs, ends)[..., None]
    return mask


def _running_median(losses: Array) -> Array:
    """Of five rungs. The first two and the last two have that of their neighbours, where no
    single batch sets the level; but before a loss that is not finite the windows are cut by it."""
    half = MEDIAN_WINDOW // 2
    padding = [(0, 0)] * (losses.ndim - 1) + [(half, half)]
    padded = np.pad(losses, padding, mode="edge")
    near = np.lib.stride_tricks.sliding_window_view(padded, MEDIAN_WINDOW, axis=-1)
    median: Array = np.sort(near, axis=-1)[..., half]
    if losses.shape[-1] >= MEDIAN_WINDOW:
        median[..., :half] = median[..., half : half + 1]
        whole = np.isfinite(losses).all(axis=-1, keepdims=True)
        median[..., -half:] = np.where(whole, median[..., -half - 1 : -half], median[..., -half:])
    return median
