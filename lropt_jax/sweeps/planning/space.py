"""Which values? Spaces of hyperparameters: what each may be."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Mapping, Sequence
from typing import Any

import jax
import numpy as np

from lropt_jax.sweeps.planning.values import plain
from lropt_jax.validation import is_scalar, whole_number


@dataclasses.dataclass(frozen=True)
class Grid:
    """The values of one hyperparameter that a full grid visits.

    Attributes:
      values: in order.
      scale: "log" where they have equal ratios, "listed" elsewhere.
      static: whether each is compiled in, also where it is a number.
    """

    values: tuple[Any, ...]
    scale: str = "listed"
    static: bool = False

    def at(self, fraction: float) -> Any:
        """The value at a fraction in [0, 1) of the way: equal shares."""
        return self.values[min(int(fraction * len(self.values)), len(self.values) - 1)]

    def __repr__(self) -> str:
        words = ", ".join(_show(v) for v in self.values)
        return f"choice({words}, static=True)" if self.static else f"grid({words})"


@dataclasses.dataclass(frozen=True)
class Range:
    """A range of one hyperparameter, to sample from.

    Attributes:
      low, high: its ends.
      scale: "linear" or "log", on which it is even.
      whole: whether it has whole numbers only, both ends among them.
    """

    low: float
    high: float
    scale: str
    whole: bool = False

    def at(self, fraction: float) -> float:
        """The value at a fraction in [0, 1) of the way, on the range's own scale."""
        # Each whole number has the share of the scale that is nearest to it.
        margin = 0.5 if self.whole else 0.0
        low, high = self.low - margin, self.high + margin
        value = (
            low * (high / low) ** fraction if self.scale == "log" else low + (high - low) * fraction
        )
        if self.whole:
            return int(min(max(math.floor(value + 0.5), self.low), self.high))
        return float(value)

    def __repr__(self) -> str:
        if self.whole:
            return f"integer({self.low}, {self.high}{', log=True' * (self.scale == 'log')})"
        name = "log_uniform" if self.scale == "log" else "uniform"
        return f"{name}({self.low:g}, {self.high:g})"


def grid(*values: Any) -> Grid:
    """The listed values: `grid(0.1, 0.3, 1.0)` or `grid([0.1, 0.3, 1.0])`.

    When to use:
      A few values that you want to see, in a `sweep` or `compare`. Grids multiply: with three
      or more names take `uniform` and `log_uniform`.

    Args:
      *values: the values, or one list of them.

    Raises:
      ValueError: when there is none.

    See also:
      `log_grid`, `choice`, `log_uniform`.

    Example:
      >>> from lropt_jax import grid, log_grid
      >>> {"learning_rate": log_grid(0.01, 1.0, 3), "momentum": grid(0.0, 0.9)}  # 6 in all
      {'learning_rate': grid(0.01, 0.1, 1), 'momentum': grid(0, 0.9)}
    """
    return Grid(_listed("grid", values))


def log_grid(low: float, high: float, n: int) -> Grid:
    """`n` values from `low` to `high`, both included, at equal ratios.

    When to use:
      Learning rates and decays in a `sweep` or `compare`. Start with half-decades over two to
      three decades. Grids multiply: with three or more names take `log_uniform`.

    Args:
      low, high: the ends, both above 0.
      n: how many, at least 2; five over two decades are half-decades.

    Raises:
      ValueError: unless `0 < low < high` and `n >= 2`.

    See also:
      `grid`, `log_uniform`.

    Example:
      >>> from lropt_jax import log_grid
      >>> {"learning_rate": log_grid(1e-3, 0.1, 5)}  # half-decades
      {'learning_rate': grid(0.001, 0.00316228, 0.01, 0.0316228, 0.1)}
    """
    _ordered("log_grid", low, high)
    values = np.geomspace(low, high, whole_number("log_grid: n", n, least=2, few=True))
    return Grid(tuple(float(f"{v:.12g}") for v in values), "log")


def uniform(low: float, high: float) -> Range:
    """Any number between `low` and `high`, evenly.

    When to use:
      Momentum, dropout and whatever matters by its difference. Not for rates: nine tenths of
      the draws would fall into the upper decade.

    Args:
      low, high: the ends.

    Raises:
      ValueError: unless `low < high`, both finite.

    See also:
      `log_uniform`, `grid`.

    Example:
      >>> from lropt_jax import log_uniform, uniform
      >>> {"learning_rate": log_uniform(1e-3, 1.0), "momentum": uniform(0.5, 0.99)}
      {'learning_rate': log_uniform(0.001, 1), 'momentum': uniform(0.5, 0.99)}
    """
    if not _finite("uniform", low, high) or not low < high:
        raise ValueError(f"uniform: low < high must hold, got low={low!r}, high={high!r}")
    return Range(float(low), float(high), "linear")


def log_uniform(low: float, high: float) -> Range:
    """Any number between `low` and `high`, evenly in its logarithm.

    When to use:
      Learning rates, decays and whatever matters by its ratio. Start with two to three
      decades around what you would guess. It cannot contain 0: for "none" give a list of
      spaces.

    Args:
      low, high: the ends, both above 0.

    Raises:
      ValueError: unless `0 < low < high`.

    See also:
      `uniform`, `log_grid`, `integer`.

    Example:
      >>> from lropt_jax import log_uniform, problem, sgd, sweep, uniform
      >>> space = {"learning_rate": log_uniform(1e-3, 1.0), "momentum": uniform(0.5, 0.99)}
      >>> result = sweep(problem("digits_linear"), sgd, space, trials=8, steps=40, progress=False)
      >>> all(1e-3 <= trial["learning_rate"] <= 1.0 for trial in result.trials)
      True
    """
    _ordered("log_uniform", low, high)
    return Range(float(low), float(high), "log")


def integer(low: int, high: int, log: bool = False) -> Range:
    """A whole number from `low` to `high`, both included, evenly (or evenly in its logarithm).

    When to use:
      A count that an optimizer or a schedule takes as data: warm-up steps, `every`, a patience.
      Not for one that is structure (layers, `optax.MultiSteps`' k), on which Python code
      branches: that is a `choice([...], static=True)`, compiled once for each value.

    Args:
      low, high: the ends.
      log: whether each ratio is as likely as another; from 1 on.

    Raises:
      ValueError: unless both are whole and `low < high` (and `low >= 1` with `log`).

    See also:
      `uniform`, `choice`.

    Example:
      >>> from lropt_jax import adam, cosine_decay, integer, log_uniform, warmup
      >>> def optimizer(peak, warm):
      ...     return adam(warmup(cosine_decay(peak, 900), warm))
      >>> {"peak": log_uniform(1e-4, 0.1), "warm": integer(1, 300, log=True)}
      {'peak': log_uniform(0.0001, 0.1), 'warm': integer(1, 300, log=True)}
    """
    ends = []
    for name, end in (("low", low), ("high", high)):
        if not is_scalar(end) or not math.isfinite(end) or end != int(end):
            raise ValueError(f"integer: {name} must be a whole number, got {end!r}")
        ends.append(int(end))
    if ends[0] >= ends[1] or (log and ends[0] < 1):
        allowed = "1 <= low < high" if log else "low < high"
        raise ValueError(f"integer: {allowed} must hold, got low={low!r}, high={high!r}")
    return Range(ends[0], ends[1], "log" if log else "linear", whole=True)


def choice(*values: Any, static: bool = False) -> Grid:
    """One of the listed values, which may be anything: a name, a function, an architecture.

    Values that are not numbers make one compiled group each. Numbers are data, and share a
    program, unless they are static: give `static=True` for a number that is structure (layers,
    `optax.MultiSteps`' k), on which Python code branches or counts.

    When to use:
      Among names, functions and architectures; `static=True` where the optimizer or the model
      branches on it, which compiles one program for each. Not for numbers with an order: an
      `integer` or a `grid` tells the plots so.

    Args:
      *values: the values, or one list of them.
      static: whether each value is compiled in, also where it is a number.

    Raises:
      ValueError: when there is none.

    See also:
      `grid`, `integer`, `sweep`.

    Example:
      >>> from lropt_jax import adam, choice, log_uniform, nadam
      >>> def optimizer(make, rate):
      ...     return make(rate)
      >>> {"make": choice(adam, nadam), "rate": log_uniform(1e-4, 0.1)}
      {'make': grid(adam, nadam), 'rate': log_uniform(0.0001, 0.1)}
      >>> choice([1, 2, 4], static=True)  # of structure: each is compiled in
      choice(1, 2, 4, static=True)
    """
    return Grid(_listed("choice", values), static=static)


Space = Mapping[str, Any]
Spaces = Space | Sequence[Space]


def listed(space: Spaces) -> list[dict[str, Any]]:
    """One space or several, as a list of them; a list of values is the grid that it stands for.

    Raises:
      ValueError: for anything else, an empty space, or a name that is no string.
    """
    if isinstance(space, Mapping):
        return [dimensions(space)]
    given = list(space) if isinstance(space, Sequence) else []
    if not given or not all(isinstance(one, Mapping) for one in given):
        raise ValueError(
            "space must map names to values, or list at least one configuration or space, "
            f"got {space!r}"
        )
    return [dimensions(one) for one in given]


def static_names(space: Spaces) -> tuple[str, ...]:
    """The names whose values are all compiled in, whatever they are."""
    named = [item for one in listed(space) for item in one.items()]
    static = [name for name, value in named if isinstance(value, Grid) and value.static]
    return tuple(dict.fromkeys(static))


def whole_names(space: Spaces) -> frozenset[str]:
    """The names that an `integer` gives whole numbers."""
    named = [item for one in listed(space) for item in one.items()]
    return frozenset(name for name, value in named if isinstance(value, Range) and value.whole)


def free_names(space: Space) -> list[str]:
    """The names that have more than a fixed value."""
    return [name for name, value in space.items() if isinstance(value, (Grid, Range))]


def dimensions(space: Space) -> dict[str, Any]:
    """A space with a list of values as the grid that it stands for, the others as they are.

    Raises:
      ValueError: for an empty space, or a name that is no string.
    """
    if not space:
        raise ValueError("space must name at least one hyperparameter, got none")
    for name in space:
        if not isinstance(name, str):
            raise ValueError(f"space: names must be strings, got {name!r}")
    return {name: _dimension(name, value) for name, value in space.items()}


def _dimension(name: str, value: Any) -> Any:
    if isinstance(value, (jax.Array, np.ndarray)) and not isinstance(value, jax.core.Tracer):
        value = list(np.asarray(value)) if np.ndim(value) else value
    if isinstance(value, (list, range)):
        if not len(value):
            raise ValueError(f"space: {name} must have at least one value, got {value!r}")
        return Grid(_values(f"space: {name}", tuple(value)))
    return plain(value)


def _values(name: str, values: tuple[Any, ...]) -> tuple[Any, ...]:
    if not values:
        raise ValueError(f"{name} needs at least one value")
    for value in values:
        if isinstance(value, (Grid, Range)):
            raise ValueError(
                f"{name}: a value cannot be a space itself, got {value!r}: give a list of spaces"
            )
    return tuple(map(plain, values))


def _listed(name: str, values: tuple[Any, ...]) -> tuple[Any, ...]:
    """The values of `grid` and `choice`, which may be given as one list."""
    if len(values) == 1 and isinstance(values[0], (list, tuple, range, np.ndarray, jax.Array)):
        alone = values[0]
        values = tuple(np.asarray(alone) if isinstance(alone, jax.Array) else alone)
    return _values(name, values)


def _ordered(name: str, low: float, high: float) -> None:
    if not _finite(name, low, high) or not 0 < low < high:
        raise ValueError(f"{name}: 0 < low < high must hold, got low={low!r}, high={high!r}")


def _finite(name: str, low: Any, high: Any) -> bool:
    """Whether the ends of a range are finite.

    Raises:
      ValueError: for one that is no number.
    """
    for end, value in (("low", low), ("high", high)):
        if not is_scalar(value):
            raise ValueError(f"{name}: {end} must be a number, got {value!r}")
    return math.isfinite(low) and math.isfinite(high)


def _show(value: Any) -> str:
    if isinstance(value, float):
        return f"{value:g}"
    return str(getattr(value, "__name__", repr(value)))
