"""What lies around a configuration: the box that its neighbours are drawn from."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

from lropt_jax.sweeps.planning.space import Grid, Range, integer, log_uniform, uniform
from lropt_jax.validation import is_scalar

RATE = 10**0.5  # a leader's rate is looked for within this factor on either side
DECAY = 10.0
SHRINK = 0.25  # a person's range: this part of it, around the leader
MOST_WARMUP = 0.3  # of the updates
AVERAGES = ("momentum", "b1", "nu", "nu1", "beta")


def around_row(chosen: Mapping[str, Any], steps: int, reach: float = 1.0) -> dict[str, Any]:
    """The box around a configuration of the list.

    Args:
      chosen: the configuration.
      steps: updates of its training.
      reach: how wide: 1, or less in later rounds.
    """
    box: dict[str, Any] = dict(chosen)
    rate = chosen["learning_rate"]
    factor = RATE**reach
    box["learning_rate"] = log_uniform(rate / factor, rate * factor)
    decay = chosen.get("weight_decay", 0.0)
    if decay > 0:
        factor = DECAY**reach
        box["weight_decay"] = log_uniform(decay / factor, max(decay, min(decay * factor, 1 / rate)))
    most = int(MOST_WARMUP * steps)
    if most >= 1:
        box["warmup_steps"] = integer(0, max(most, int(chosen["warmup_steps"])))
    for name in AVERAGES:
        if 0 < chosen.get(name, 0) < 1:
            left = 1 - chosen[name]
            box[name] = uniform(max(0.0, 1 - 2 * left), 1 - left / 2)
    return box


def around_point(
    space: Mapping[str, Any], chosen: Mapping[str, Any], reach: float = 1.0
) -> dict[str, Any]:
    """The box around a configuration of a person's own space; its choices stay as they are, but for
    grids of numbers, whose neighbours may be drawn."""
    box = {n: v if is_scalar(v) else Grid((v,)) for n, v in chosen.items()}
    for name, dimension in space.items():
        value = chosen.get(name)
        if isinstance(dimension, Range):
            box[name] = _narrowed(dimension, value, SHRINK * reach)
        elif isinstance(dimension, Grid):
            if dimension.scale == "log" and is_scalar(value):
                low, high = min(dimension.values), max(dimension.values)
                box[name] = _narrowed(log_uniform(low, high), value, SHRINK * reach)
            else:
                box[name] = Grid((value,), static=dimension.static)
    return box


def _narrowed(dimension: Range, value: Any, part: float) -> Any:
    log = dimension.scale == "log"
    to, back = (math.log, math.exp) if log else (float, float)
    low, high = to(dimension.low), to(dimension.high)
    half, middle = part * (high - low) / 2, to(min(max(value, dimension.low), dimension.high))
    lower, upper = max(low, middle - half), min(high, middle + half)
    if dimension.whole:
        least, most = math.floor(back(lower)), math.ceil(back(upper))
        least, most = max(least, int(dimension.low)), min(most, int(dimension.high))
        return Range(least, most, dimension.scale, whole=True) if least < most else least
    return Range(back(lower), back(upper), dimension.scale)
