"""What the curves of a configuration show: a fall, a rise after it, or neither, and what then."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np

from lropt_jax.range_tests.noise import contrast, needed
from lropt_jax.range_tests.rules import FEWEST, Profile

Array = np.ndarray[Any, Any]


class Evidence(NamedTuple):
    """What the curves of a configuration show, beyond their noise.

    Attributes:
      shortcoming: why no rule can answer, or None.
      turns: whether the loss rises after its bottom, or training diverges there.
    """

    shortcoming: str | None
    turns: bool


def evidence(losses: Array, mask: Array, pooled: Profile, split: str = "train") -> Evidence:
    """What the seeds of a configuration show together.

    Args:
      losses: (seeds, rungs).
      mask: the rungs that count, of the same shape.
      pooled: the curve pooled over them.
      split: what the losses are of, "train" or "valid".
    """
    if len(pooled.x) == 0:
        when = "before any update" if split == "train" else "after the first update"
        return Evidence(f"the loss is not finite {when}", False)
    if len(pooled.x) < FEWEST:
        when = f" before training diverged at {pooled.rate(-1):.2g}" if pooled.diverged else ""
        reason = f"too few rungs: {len(pooled.x)}{when}, at least {FEWEST} are needed"
        return Evidence(reason, pooled.diverged)
    if _lower(losses, mask, pooled.bottom, len(pooled.x)) and pooled.fall > 0:
        return Evidence(None, pooled.diverged or _rises_after(losses, mask, pooled))
    return Evidence(_without_fall(losses, mask, pooled), False)


def _without_fall(losses: Array, mask: Array, pooled: Profile) -> str:
    fall = f"{max(pooled.fall, 0):.2g}"
    highest = int(np.argmax(pooled.y))
    if pooled.diverged or _lower(losses, mask, highest, len(pooled.x), rising=True):
        rise = pooled.rise
        if rise < FEWEST:
            since = f"the loss rises from {pooled.rate(rise):.2g} on"
            return f"{since}, and is not seen to fall: start lower"
        return (
            f"the loss rises from {pooled.rate(rise):.2g} on; before, it falls by {fall}, "
            "not more than chance: there is nothing to learn, or more seeds are needed to see it"
        )
    return f"the loss is flat: it falls by {fall}, not more than chance"


def _lower(losses: Array, mask: Array, place: int, rungs: int, rising: bool = False) -> bool:
    """Whether the seeds that count at a rung are lower around it (higher) than before."""
    chosen = mask[:, place]
    last = min(rungs, int(mask[chosen].sum(axis=-1).min()))
    found = contrast(losses[chosen, :last], place, rising=rising)
    return found.errors > needed(int(chosen.sum()))


def _rises_after(losses: Array, mask: Array, pooled: Profile) -> bool:
    """Whether what comes after the bottom is higher."""
    chosen = mask[:, -1]
    # Above the level a rise is a rise, however high: spikes would only add noise.
    capped = np.minimum(losses[chosen], pooled.level + pooled.fall)
    found = contrast(capped, pooled.bottom, backward=True)
    return found.errors > needed(int(chosen.sum()))
