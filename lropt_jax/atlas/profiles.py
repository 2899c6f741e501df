"""Performance profiles: how often a method is nearly the fastest."""

from __future__ import annotations

import math
from collections.abc import Hashable, Mapping
from typing import Any

import numpy as np

from lropt_jax.validation import require

POINTS = 100  # of AlgoPerf's rule


def profile_scores(
    times: Any, variants: Mapping[Hashable, Hashable] | None = None, r_max: float = 4.0
) -> Any:
    r"""One number a method, out of how long each takes to a target on many workloads.

    The profile of a method is the share of workloads on which it takes at most $\tau$ times as
    long as the fastest (Dolan and Moré 2002, arXiv:cs/0102001),

    $$\rho(\tau) = \tfrac1W \big|\{w : t_w \le \tau \min_s t_{s,w}\}\big|, \qquad
      \text{score} = \frac{1}{r_{max} - 1} \int_1^{r_{max}} \rho(\tau)\, d\tau,$$

    by the trapezoidal rule on 100 equally spaced points, as in AlgoPerf. 1: the fastest
    everywhere; 0: nowhere within `r_max` of the fastest. Scores say nothing on their own about
    chance, and depend on who else took part.

    When to use:
      To rank methods by the seconds, or updates, to a target over many workloads, as AlgoPerf
      does. With few workloads, or targets set by one of the methods, the ranks mean little.

    Args:
      times: a frame (or what `pandas.DataFrame` takes), a row a method, a column a workload, in
        any unit. Infinite where the target was not reached, NaN where it was not run: both count
        as not reached, and their workloads in the denominator.
      variants: maps a workload to the column of its variant. A method's time on the workload is
        void where its own time on the variant is missing, or above `r_max` times the fastest on
        the variant. Void times are nobody's fastest. A variant is no workload of its own.
      r_max: how many times as long as the fastest still counts, above 1.

    Returns:
      A `pandas.Series` of scores in [0, 1], in the order of the rows.

    Raises:
      ImportError: without pandas.
      ValueError: for times that are no positive numbers, names that come twice, no workload, a
        variant that is no column or has a variant itself, or `r_max <= 1`.

    Reference:
      Dahl et al. 2023, Benchmarking neural network training algorithms, arXiv:2306.07179.

    See also:
      `load_atlas`, `compare`.

    Example:
      >>> import pandas as pd
      >>> from lropt_jax import profile_scores
      >>> times = pd.DataFrame({"mlp": [10.0, 30.0], "gru": [5.0, 4.0]}, index=["sgd", "adam"])
      >>> profile_scores(times).round(3).to_dict()
      {'sgd': 0.957, 'adam': 0.669}
    """
    require("profile_scores", "sweeps", "pandas")
    import pandas as pd

    table = pd.DataFrame(times)
    variants = dict(variants or {})
    _check(table, variants, r_max)
    values = table.to_numpy(float, na_value=np.nan)
    if (values <= 0).any():
        raise ValueError(f"times must be positive, got {np.nanmin(values)}")
    at: dict[Hashable, int] = {name: place for place, name in enumerate(table.columns)}
    workloads: list[Hashable] = [n for n in table.columns if n not in set(variants.values())]
    if not workloads:
        raise ValueError("times must have a column that is no variant, got none")
    voided = {workloads.index(base): at[variant] for base, variant in variants.items()}
    base = void(values[:, [at[name] for name in workloads]], {
        place: values[:, column] for place, column in voided.items()
    }, r_max)  # fmt: skip
    return pd.Series(profile_areas(base, r_max), index=table.index, name="score")


def profile_areas(times: np.ndarray, r_max: float = 4.0) -> np.ndarray:
    """The scores (methods,) of times (methods, workloads): see `profile_scores`."""
    steps = np.linspace(1.0, r_max, POINTS)
    shares = profiles(times, steps)
    areas: np.ndarray = np.trapezoid(shares, steps, axis=-1) / (r_max - 1.0)
    return areas


def profiles(times: np.ndarray, ratios: np.ndarray) -> np.ndarray:
    """The share of workloads within each ratio of the fastest, (methods, ratios)."""
    reached = np.where(np.isfinite(times), times, np.inf)
    fastest = np.min(reached, axis=0, initial=np.inf)
    with np.errstate(invalid="ignore"):
        slower = reached / fastest  # NaN where nobody arrives
    shares: np.ndarray = (slower[:, :, None] <= ratios).mean(axis=1)
    return shares


def void(times: np.ndarray, variants: Mapping[int, np.ndarray], r_max: float) -> np.ndarray:
    """Times without those that their variants' times (methods,), by column, do not bear out."""
    times = times.copy()
    for column, variant in variants.items():
        reached = np.where(np.isfinite(variant), variant, np.inf)
        fastest = np.min(reached, initial=np.inf)
        times[~(np.isfinite(reached) & (reached <= r_max * fastest)), column] = np.inf
    return times


def _check(table: Any, variants: Mapping[Hashable, Hashable], r_max: float) -> None:
    if isinstance(r_max, bool) or not (1 < float(r_max) < math.inf):
        raise ValueError(f"r_max must be a finite number > 1, got {r_max!r}")
    for what, names in (("methods", table.index), ("workloads", table.columns)):
        if not names.is_unique:
            twice = names[names.duplicated()][0]
            raise ValueError(f"times: the names of {what} must differ, got {twice!r} twice")
    known = list(table.columns)
    for name in (*variants, *variants.values()):
        if name not in known:
            raise ValueError(f"variants must name columns of times, got {name!r}. Known: {known}")
    for base, variant in variants.items():
        if variant in variants:
            raise ValueError(
                f"variants: {variant!r} is the variant of {base!r} and cannot have one itself"
            )
