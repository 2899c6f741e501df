"""The smooth curve through losses, and how sure it is. Plain NumPy."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from lropt_jax.range_tests.noise import scatter

Array = np.ndarray[Any, Any]

NEAR = 2.0  # bandwidths, within which a smoothed value lies between the losses


def local_lines(losses: Array, mask: Array, bandwidth: float) -> tuple[Array, Array]:
    r"""The smoothed curve and its slope in loss per rung.

    At each rung $i$ a line is fitted to all counted rungs $j$ with weights
    $\exp(-\tfrac12 ((j - i)/h)^2)$; its value and its slope there are returned. Two-sided, after
    the fact: no lag, and exact on straight lines up to the ends of the ladder. Values are held
    between the losses nearby, which a line through a spike would leave.
    Cleveland 1979, Journal of the American Statistical Association 74.

    Args:
      losses: (..., rungs).
      mask: the rungs that count, of the same shape.
      bandwidth: h, in rungs; 0 does not smooth.

    Returns:
      Values and slopes, of the same shape; NaN at rungs that do not count, and slopes NaN where
      fewer than two count.
    """
    kernel, offset = _kernel(losses.shape[-1], bandwidth)
    weight, value = mask.astype(float), np.where(mask, losses, 0.0)
    moments = [weight @ (kernel * offset**k) for k in range(3)]
    sums = [value @ (kernel * offset**k) for k in range(2)]
    determinant = moments[0] * moments[2] - moments[1] ** 2
    enough = mask & (mask.sum(axis=-1, keepdims=True) > 1)
    with np.errstate(invalid="ignore", divide="ignore"):
        smooth = (moments[2] * sums[0] - moments[1] * sums[1]) / determinant
        slope = (moments[0] * sums[1] - moments[1] * sums[0]) / determinant
    held = _between_neighbours(smooth, losses, mask, bandwidth)
    smooth = np.where(enough & (bandwidth > 0), held, losses)
    return np.where(mask, smooth, np.nan), np.where(enough, slope, np.nan)


def standard_errors(losses: Array, mask: Array, bandwidth: float) -> Array:
    """The standard error of each smoothed value that the noise from batch to batch causes."""
    return scatter(losses, mask) * _weight_norms(mask, bandwidth)


def _weight_norms(mask: Array, bandwidth: float) -> Array:
    """The root of the sum of the squared weights of each rung's local line, 1 without smoothing."""
    if not bandwidth:
        return np.ones(mask.shape)
    kernel, offset = _kernel(mask.shape[-1], bandwidth)
    weight = mask.astype(float)
    first, second, third = (weight @ (kernel * offset**k) for k in range(3))
    squares = [weight @ (kernel**2 * offset**k) for k in range(3)]
    total = third**2 * squares[0] - 2 * second * third * squares[1] + second**2 * squares[2]
    with np.errstate(invalid="ignore", divide="ignore"):
        norms: Array = np.sqrt(total) / (first * third - second**2)
    return np.where(mask.sum(axis=-1, keepdims=True) > 1, norms, 1.0)


def _kernel(rungs: int, bandwidth: float) -> tuple[Array, Array]:
    """Weights of rung j for rung i, and j - i, both (j, i)."""
    offset = np.subtract.outer(np.arange(rungs), np.arange(rungs))
    # Without smoothing the slope is that of the three nearest rungs.
    kernel = np.exp(-0.5 * (offset / bandwidth) ** 2) if bandwidth else 1.0 * (abs(offset) <= 1)
    return kernel, offset


def _between_neighbours(smooth: Array, losses: Array, mask: Array, bandwidth: float) -> Array:
    half = math.ceil(NEAR * bandwidth)
    low = _windows(np.where(mask, losses, np.inf), half).min(axis=-1)
    high = _windows(np.where(mask, losses, -np.inf), half).max(axis=-1)
    return np.clip(smooth, low, high)


def _windows(losses: Array, half: int) -> Array:
    """For each rung those up to `half` away, (..., rungs, 2 half + 1); the end values repeat, so
    that a rise is seen at its first rung there too."""
    padding = [(0, 0)] * (losses.ndim - 1) + [(half, half)]
    padded = np.pad(losses, padding, mode="edge")
    return np.lib.stride_tricks.sliding_window_view(padded, 2 * half + 1, axis=-1)
