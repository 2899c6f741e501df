"""Orders of optimizers with their doubt, from losses (`lropt_jax.atlas.losses`)."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Sequence

import numpy as np

from lropt_jax.atlas.profiles import profile_areas
from lropt_jax.sweeps.results.statistics import paired_tests

RESAMPLES = 1000
AGREE = 0.5  # Kendall's tau between halves of the problems, below which they do not

Array = np.ndarray


@dataclasses.dataclass(frozen=True)
class Estimates:
    """One number an optimizer, with the interval that holds it.

    Attributes:
      value, low, high: (optimizers,).
    """

    value: Array
    low: Array
    high: Array


def better(losses: Array) -> Array:
    """Which optimizer is better than which, beyond chance: (optimizers, optimizers) of bools.

    Paired t-tests over the seeds, which all share, corrected by Holm's method.

    Args:
      losses: (optimizers, seeds).
    """
    found = np.zeros((len(losses), len(losses)), bool)
    for test in paired_tests({str(i): row for i, row in enumerate(losses)}):
        if test.significant:  # its first has the higher mean, so the higher loss
            found[int(test.second), int(test.first)] = True
    return found


def rank_intervals(order: Array) -> tuple[Array, Array]:
    """The ranks that each may have, from what `better` says: the lowest and the highest."""
    return 1 + order.sum(axis=0), len(order) - order.sum(axis=1)


def tied(order: Array, names: Sequence[str]) -> list[str]:
    """Those than which none is better."""
    return [name for name, low in zip(names, rank_intervals(order)[0], strict=True) if low == 1]


def ranks(losses: Array) -> Array:
    """Ranks along the last axis, 1 the best, equal ones sharing their mean rank."""
    from scipy import stats

    found: Array = stats.rankdata(losses, axis=-1)
    return found


def over_problems_and_seeds(
    statistic: Callable[[Array], Array], values: Array, resamples: int = RESAMPLES, seed: int = 0
) -> Estimates:
    """A statistic (optimizers,) of values (problems, optimizers, seeds), with the 95% interval of
    a bootstrap over the problems and, within each, over the seeds."""
    rng = np.random.default_rng(seed)
    problems, _, seeds = values.shape
    drawn = []
    for _ in range(resamples):
        chosen = rng.integers(0, problems, problems)
        again = rng.integers(0, seeds, (problems, 1, seeds))
        drawn.append(statistic(np.take_along_axis(values[chosen], again, axis=2)))
    low, high = np.quantile(drawn, [0.025, 0.975], axis=0)
    return Estimates(statistic(values), low, high)


def mean_ranks(losses: Array) -> Array:
    """The mean over problems of the rank of the mean over seeds, (optimizers,)."""
    found: Array = ranks(losses.mean(axis=2)).mean(axis=0)
    return found


def scores_of(times: Array) -> Array:
    """The scores of the performance profiles of the median times over seeds, (optimizers,)."""
    return profile_areas(np.median(times, axis=2).T)


def agreement(losses: Array, halves: int = 200, seed: int = 0) -> float:
    """Kendall's tau between the orders that two halves of the problems give, averaged over random
    halves; NaN for fewer than two problems."""
    from scipy import stats

    problems = len(losses)
    if problems < 2:
        return float("nan")
    rng, placed = np.random.default_rng(seed), ranks(losses.mean(axis=2))
    found = []
    for _ in range(halves):
        order = rng.permutation(problems)
        first, second = order[: problems // 2], order[problems // 2 :]
        found.append(stats.kendalltau(placed[first].mean(0), placed[second].mean(0)).statistic)
    return float(np.nanmean(found))


def told_by_the_others(losses: Array) -> Array:
    """How well all other problems tell the order on each: Spearman's correlation, (problems,)."""
    placed = ranks(losses.mean(axis=2))
    others = ranks(np.array([np.delete(placed, i, axis=0).mean(0) for i in range(len(placed))]))
    with np.errstate(invalid="ignore"):  # NaN where all are equal
        return np.array([np.corrcoef(*pair)[0, 1] for pair in zip(placed, others, strict=True)])


def opening(losses: Array) -> str:
    """The first sentence: whether one order holds on these problems."""
    tau = agreement(losses)
    if not np.isfinite(tau):
        return "One problem alone says nothing about others."
    if tau < AGREE:
        return (
            f"These problems do not agree: two halves of them order the optimizers differently "
            f"(Kendall's tau {tau:.2f}). Look at the problem that is like yours."
        )
    return (
        f"These problems agree by and large: two halves of them give similar orders (Kendall's "
        f"tau {tau:.2f})."
    )


def order_words(names: Sequence[str], found: Estimates) -> str:
    """Who is best by an estimate that is better the lower, or that there is no order."""
    best = int(np.argmin(found.value))
    alike = [n for i, n in enumerate(names) if i != best and found.low[i] <= found.high[best]]
    if not alike:
        return f"{names[best]} is first."
    return f"No order between {names[best]} and {', '.join(alike)}: their intervals overlap."
