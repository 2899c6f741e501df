"""How much a loss scatters from batch to batch, and whether a difference is more than that.

The scatter is read off second differences of neighbouring rungs, which a straight slope leaves at
zero, and is taken as independent from rung to rung.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np

Array = np.ndarray[Any, Any]

NEIGHBOURS = 12  # rungs at either side that tell the scatter at a rung: a decade and a half
BEFORE, AFTER = 20, 4  # the same for a contrast
MEDIAN_TO_DEVIATION = 1.4826  # of a normal distribution
AGREED = 0.25  # of the mean difference the median of the seeds must have
ROUNDING = 1e-5  # of the loss: what float32 sums leave


class Contrast(NamedTuple):
    """A stretch of rungs against all rungs before an earlier one.

    Attributes:
      errors: by how many standard errors the stretch lies lower.
      difference: by how much.
    """

    errors: float
    difference: float


def scatter(losses: Array, mask: Array) -> Array:
    """The standard deviation of the noise at each rung; a few outliers change nothing.

    Args:
      losses: (..., rungs).
      mask: the rungs that count, of the same shape.

    Returns:
      Of the same shape; zero where fewer than three neighbouring rungs count.
    """
    sizes = np.sqrt(_squares(losses, mask))
    width = min(NEIGHBOURS, losses.shape[-1])
    padding = [(0, 0)] * (sizes.ndim - 1) + [(width, width)]
    padded = np.pad(sizes, padding, constant_values=np.nan)
    near = np.lib.stride_tricks.sliding_window_view(padded, 2 * width + 1, axis=-1)
    ordered = np.sort(near, axis=-1)  # NaN comes last
    count = np.isfinite(near).sum(axis=-1)
    middle = np.take_along_axis(ordered, np.maximum(count - 1, 0)[..., None] // 2, axis=-1)[..., 0]
    deviations: Array = MEDIAN_TO_DEVIATION * np.where(count > 0, middle, 0.0)
    return deviations


def contrast(
    losses: Array, place: int, *, rising: bool = False, backward: bool = False
) -> Contrast:
    """How far the loss lies below its beginning around a rung.

    Over all beginnings (the rungs before some rung) and all stretches after them that hold
    `place` (1, 2, 4, ... rungs that end there, begin there or lie around it), the largest
    difference of the two means in standard errors. Each seed is compared with itself, so seeds
    may lie at different levels; it counts only where the median of the seeds has a quarter of the
    mean difference, so that no few seeds speak for all.

    Args:
      losses: (seeds, rungs), all finite.
      place: the rung.
      rising: whether to ask how far above instead.
      backward: whether to compare with the end of the ladder instead of its beginning.
    """
    seeds, rungs = losses.shape
    # Noise grows with the rate: what comes before tells it better than what comes after.
    noise = _variances(losses[:, ::-1])[:, ::-1] if rising else _variances(losses)
    if backward:
        losses, noise, place = losses[:, ::-1], noise[:, ::-1], rungs - 1 - place
    signed = -losses if rising else losses
    sums = np.cumsum(np.pad(signed, [(0, 0), (1, 0)]), axis=-1)
    variances = np.cumsum(np.pad(noise.mean(axis=0) / seeds, (1, 0)))
    counts = np.arange(1, rungs)
    beginnings, theirs = sums[:, 1:-1] / counts, variances[1:-1] / counts**2
    best = Contrast(0.0, 0.0)
    for first, last in _stretches(place, rungs):
        size = last - first
        own = (sums[:, last] - sums[:, first]) / size
        falls = beginnings[:, :first] - own[:, None]
        fall = falls.mean(axis=0)
        level = np.maximum(np.abs(beginnings[:, :first]).max(axis=0), np.abs(own).max())
        error = np.sqrt(theirs[:first] + (variances[last] - variances[first]) / size**2)
        seen = (fall > ROUNDING * level) & (np.median(falls, axis=0) > AGREED * fall)
        with np.errstate(divide="ignore", invalid="ignore"):
            errors = np.where(seen, fall / error, 0.0)
        at = int(np.argmax(errors))
        if errors[at] > best.errors:
            best = Contrast(float(errors[at]), float(fall[at]))
    return best


def _stretches(place: int, rungs: int) -> set[tuple[int, int]]:
    """`(first, last)` of 1, 2, 4, ... rungs with `place` at the end, in the middle, or first."""
    found = set()
    size = 1
    while size < rungs:
        for first in (place - size + 1, place - size // 2, place):
            if first >= 1 and first + size <= rungs:
                found.add((first, first + size))
        size *= 2
    return found


def _squares(losses: Array, mask: Array) -> Array:
    """Squared second differences, in expectation the variance; NaN at the ends and the uncounted.

    Of independent noise of variance v the second difference has 6 v.
    """
    values = np.where(mask, losses, np.nan)
    squares = np.full(values.shape, np.nan)
    squares[..., 1:-1] = np.diff(values, 2, axis=-1) ** 2 / 6
    return squares


def _variances(losses: Array) -> Array:
    """The variance of the noise at each rung, the mean over its neighbours, (seeds, rungs)."""
    squares = _squares(losses, np.ones(losses.shape, bool))
    known = np.isfinite(squares)
    rungs = losses.shape[-1]
    first = np.clip(np.arange(rungs) - BEFORE, 0, max(0, rungs - BEFORE - AFTER - 1))
    last = np.minimum(rungs, first + BEFORE + AFTER + 1)

    def near(values: Array) -> Array:
        sums = np.cumsum(np.pad(values, [(0, 0), (1, 0)]), axis=-1)
        return sums[:, last] - sums[:, first]  # type: ignore[no-any-return]

    return near(np.where(known, squares, 0.0)) / np.maximum(near(known.astype(float)), 1.0)


def needed(seeds: int) -> float:
    """The standard errors beyond which a `contrast` is no chance, for so many seeds.

    By simulation on flat noise (normal, uniform, exponential; 20 to 400 rungs) that is exceeded
    less than once in a hundred times; the fewer seeds, the less is known of the noise.
    """
    return 4.2 + 0.8 / seeds
