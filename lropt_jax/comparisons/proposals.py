"""What is tried next? Further configurations of one optimizer, beyond its grid or within it."""

from __future__ import annotations

import itertools
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from lropt_jax.sweeps.planning.draws import draw
from lropt_jax.sweeps.planning.space import (
    Grid,
    Range,
    Space,
    Spaces,
    free_names,
    listed,
    static_names,
)
from lropt_jax.sweeps.planning.values import same_as

FINE = 1.1  # the ratio of two neighbours below which nothing is tried between them

Configuration = dict[str, Any]


def distinct(configurations: Sequence[Mapping[str, Any]]) -> int:
    """How many different configurations there are."""
    return len(set(map(same_as, configurations)))


def as_spaces(space: Spaces, configurations: Sequence[Configuration]) -> list[Space]:
    """Configurations as spaces of one point each, in which what is structure stays structure, and a
    value that is a list (of layers, say) one value."""
    static = static_names(space)
    return [
        {name: Grid((value,), static=name in static) for name, value in c.items()}
        for c in configurations
    ]


def beyond_the_edge(
    space: Spaces, tried: Sequence[Configuration], best: Configuration, count: int
) -> list[Configuration]:
    """Where the best lies on an edge of a `log_grid`: further values at the grid's own ratio, all
    else as in the best; none where it lies inside."""
    spaces, own = listed(space), place(space, best)
    for name, ratio in _ratios(spaces[own]).items() if own is not None else ():
        values = sorted({trial[name] for trial in tried if place(space, trial) == own})
        if best[name] == values[0]:
            return _steps(best, name, 1 / ratio, count)
        if best[name] == values[-1]:
            return _steps(best, name, ratio, count)
    return []


def towards_smaller(
    space: Spaces, tried: Sequence[Configuration], count: int
) -> list[Configuration]:
    """Where nothing finished: values below the lowest of the first `log_grid`."""
    for number, one in enumerate(listed(space)):
        for name, ratio in _ratios(one).items():
            inside = [trial for trial in tried if place(space, trial) == number]
            lowest = min(inside, key=lambda trial: float(trial[name]))
            return _steps(lowest, name, 1 / ratio, count)
    return []


def within(
    space: Spaces, tried: Sequence[Configuration], best: Configuration, count: int
) -> list[Configuration]:
    """Further values of the `log_grid`s between those tried, all else as in the best: in the wider
    of the gaps on either side of it, and in the others once these are narrow."""
    own = place(space, best)
    lines = {
        name: sorted(
            {trial[name] for trial in tried if same_as(trial, name) == same_as(best, name)}
        )
        for name in ({} if own is None else _ratios(listed(space)[own]))
    }
    beside = {
        name: (
            max([v for v in line if v < best[name]], default=best[name]),
            min([v for v in line if v > best[name]], default=best[name]),
        )
        for name, line in lines.items()
    }
    found: list[Configuration] = []
    while len(found) < count:
        gaps = [
            (
                low >= beside[name][0] and high <= beside[name][1] and high / low > FINE,
                high / low,
                name,
                low,
                high,
            )
            for name, line in lines.items()
            for low, high in itertools.pairwise(line)
        ]
        if not gaps or max(gaps)[1] <= 1 + 1e-6:
            break
        *_, name, low, high = max(gaps)
        value = _rounded(np.sqrt(low * high))
        lines[name] = sorted({*lines[name], value})
        found.append({**best, name: value})
    return found


def further_samples(
    space: Spaces, tried: Sequence[Configuration], count: int, seed: Sequence[int]
) -> list[Configuration]:
    """The next points of the sequence that a space with ranges was sampled by, but for those that
    have been tried; fewer, or none, where it has hardly any others (whole numbers, choices)."""
    if not any(isinstance(v, Range) for one in listed(space) for v in one.values()):
        return []
    known = set(map(same_as, tried))
    found: dict[Any, Configuration] = {}
    for ahead in (1, 4, 16):
        points = draw(space, len(tried) + ahead * count, seed)
        found = {same_as(p): p for p in reversed(points) if same_as(p) not in known}
        if len(found) >= count:
            break
    return list(found.values())[::-1][:count]


def inside(space: Spaces, tried: Sequence[Configuration], tied: Sequence[int]) -> int:
    """Of several configurations that are equally good, by their numbers, the first that lies on no
    edge; the first of all where each does."""
    for number in tied:
        if not beyond_the_edge(space, tried, tried[number], 1):
            return number
    return tied[0]


def place(space: Spaces, configuration: Configuration) -> int | None:
    """Of several spaces, the place of the one that a configuration is of: it has the same names,
    and its fixed values."""
    for number, one in enumerate(listed(space)):
        fixed = set(one) - set(free_names(one))
        if set(one) == set(configuration) and same_as({n: one[n] for n in fixed}) == same_as(
            {n: configuration[n] for n in fixed}
        ):
            return number
    return None


def _ratios(space: Space) -> dict[str, float]:
    """The ratio of neighbouring values of each `log_grid`."""
    return {
        name: dimension.values[1] / dimension.values[0]
        for name, dimension in space.items()
        if isinstance(dimension, Grid) and dimension.scale == "log"
    }


def _steps(start: Configuration, name: str, ratio: float, count: int) -> list[Configuration]:
    return [{**start, name: _rounded(start[name] * ratio**k)} for k in range(1, count + 1)]


def _rounded(value: float) -> float:
    return float(f"{value:.12g}")
