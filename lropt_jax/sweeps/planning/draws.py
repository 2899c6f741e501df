"""Which trials? The configurations of a space: its full grid, or samples of it."""

from __future__ import annotations

import itertools
import math
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from lropt_jax.sweeps.planning.space import (
    Grid,
    Range,
    Space,
    Spaces,
    dimensions,
    free_names,
    listed,
)
from lropt_jax.validation import check_few, whole_number

LARGEST = 100_000  # configurations of a sweep: each is checked before any is trained


def size(space: Spaces) -> int:
    """How many points the full grid has."""
    return sum(
        math.prod(len(v.values) for v in one.values() if isinstance(v, Grid))
        for one in listed(space)
    )


def draw(space: Spaces, trials: int | None, seed: int | Sequence[int] = 0) -> list[dict[str, Any]]:
    """The configurations of a sweep, as dicts.

    Args:
      space: maps names to `grid`, `log_grid`, `uniform`, `log_uniform`, `integer`, `choice` or
        fixed values; or a list of such (a configuration is one whose values are all fixed).
      trials: None for the full grid, in the order of `space`, its last name running fastest;
        a number samples so many by a scrambled Sobol sequence, of several spaces in turn.
      seed: of the scrambling.

    Raises:
      ValueError: for an empty space, a range in a full grid, `trials < 1`, or more configurations
        than one sweep plans.
    """
    if trials is None:
        way = "give trials=n to sample it, or fewer values"
        check_few("the configurations of space's full grid", size(space), LARGEST, way)
    else:
        trials = whole_number("trials", trials, allowed=" or None")
        way = "sweep in parts, of other keys, and join them with SweepResult.joined"
        check_few("trials", trials, LARGEST, way)
    if isinstance(space, Mapping):
        return _drawn(dimensions(space), trials, seed)
    spaces = listed(space)
    if trials is None:
        return [drawn for one in spaces for drawn in _drawn(one, None, seed)]
    if not any(free_names(one) for one in spaces):
        raise ValueError(f"trials must be None where the configurations are listed, got {trials}")
    # In turn, so that more trials go on where fewer ended. A configuration has one turn only.
    words = list(seed) if isinstance(seed, Sequence) else [seed]
    each = [
        _drawn(one, trials if free_names(one) else None, [*words, place])
        for place, one in enumerate(spaces)
    ]
    turns = (drawn[turn] for turn in range(trials) for drawn in each if turn < len(drawn))
    return list(itertools.islice(turns, trials))


def _drawn(space: Space, trials: int | None, seed: int | Sequence[int]) -> list[dict[str, Any]]:
    free = free_names(space)
    if trials is None:
        ranges = [name for name in free if isinstance(space[name], Range)]
        if ranges:
            raise ValueError(
                f"the full grid needs values for {', '.join(ranges)}: give trials=n to sample "
                "the range, or use grid(...) or log_grid(low, high, n)"
            )
        axes = [v.values if isinstance(v, Grid) else (v,) for v in space.values()]
        return [dict(zip(space, point, strict=True)) for point in itertools.product(*axes)]
    if not free:
        raise ValueError(
            f"trials={trials} samples, but every value of the space is fixed: give a range or a "
            "grid, or trials=None; repetitions are what seeds are for"
        )
    from scipy.stats import qmc

    generator = np.random.default_rng(seed)
    try:
        sampler = qmc.Sobol(len(free), scramble=True, rng=generator)
    except TypeError:  # before SciPy 1.15
        sampler = qmc.Sobol(len(free), scramble=True, seed=generator)
    points = sampler.random(2 ** math.ceil(math.log2(trials)))[:trials]
    return [
        {**space, **{name: space[name].at(u) for name, u in zip(free, point, strict=True)}}
        for point in points
    ]
