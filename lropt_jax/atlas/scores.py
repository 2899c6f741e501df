"""What the rows say: orders with their doubt, times to a target, basins, and what misleads.

Everything is a loss here: an accuracy counts as the share of errors. What diverged, or got worse
than a net that has learned nothing, counts as such a net.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np

from lropt_jax.atlas.design import MICROSECONDS, metric_of
from lropt_jax.atlas.entries import ENTRIES, REFERENCES
from lropt_jax.atlas.profiles import profile_areas
from lropt_jax.comparisons.families import SCHEDULE_FAMILIES
from lropt_jax.sweeps.results.best_of_n import expected_best
from lropt_jax.sweeps.results.statistics import lr_sensitivity, paired_tests, steps_to_target

BUDGETS = ("defaults", "few", "all")
RESAMPLES = 1000
AGREE = 0.5  # Kendall's tau between halves of the problems, below which they do not
BASIN = 0.1  # of what there is to learn: a rate that loses no more is in the basin

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


class Results:
    """The rows of the Atlas, as losses.

    Args:
      frame: as `load_atlas` gives it.

    Attributes:
      problems: their names, the quickest first.
      optimizers: that there are results of on all of these problems, in the table's order.
    """

    def __init__(self, frame: Any):
        frame = frame.copy()
        found = set(frame.problem)
        self.problems = [p for p in MICROSECONDS if p in found] + sorted(found - set(MICROSECONDS))
        named = [set(frame[frame.problem == p].optimizer) for p in self.problems]
        whole = set.intersection(*named)
        self.optimizers = [n for n in ENTRIES if n in whole] + sorted(whole - set(ENTRIES))
        accuracy = frame.problem.map(lambda p: metric_of(p)[1] == "max")
        frame["before"] = np.where(accuracy, 1 - frame.start, frame.start)
        for split in ("valid", "test"):
            loss = frame[f"{split}_loss"]
            if f"{split}_accuracy" in frame:
                loss = np.where(accuracy, 1 - frame[f"{split}_accuracy"], loss)
            frame[split] = np.minimum(np.nan_to_num(loss, nan=np.inf), frame.before)
        ordered = frame.sort_values(["trial", "seed"])
        self._groups = dict(list(ordered.groupby(["problem", "optimizer", "phase"])))
        self._nothing = frame.iloc[:0]
        self._tested: dict[str, Array] = {}

    def rows(self, problem: str, optimizer: str, phase: str) -> Any:
        """The rows of a pair, by the number of the configuration and the seed."""
        return self._groups.get((problem, optimizer, phase), self._nothing)

    def chosen(self, problem: str, optimizer: str, budget: str) -> Any:
        """The rows of the configuration that a budget chose, a seed each; none where nothing
        finished."""
        rows = self.rows(problem, optimizer, "retrain")
        return rows[[budget in words.split() for words in rows.budgets]]

    def before(self, problem: str) -> float:
        """The loss of a net that has learned nothing."""
        return float(self.rows(problem, self.optimizers[0], "tune").before.iloc[0])

    def tested(self, budget: str) -> Array:
        """Losses on the test split, (problems, optimizers, seeds)."""
        if budget not in self._tested:
            found = [
                [self.chosen(p, o, budget).test.to_numpy(float) for o in self.optimizers]
                for p in self.problems
            ]
            seeds = max(len(v) for row in found for v in row)
            self._tested[budget] = np.array([
                [v if len(v) else np.full(seeds, self.before(p)) for v in row]
                for p, row in zip(self.problems, found, strict=True)
            ])  # fmt: skip
        return self._tested[budget]

    def target(self, problem: str) -> float:
        """What is to be reached: the median over the reruns of the best of the references, which
        is the one that was best when it was chosen. NaN where none of them took part."""
        reruns = [self.rows(problem, o, "target") for o in REFERENCES if o in self.optimizers]
        reruns = [rows for rows in reruns if len(rows)]
        if not reruns:
            return float("nan")
        tuned = [self.rows(problem, rows.optimizer.iloc[0], "tune").valid.min() for rows in reruns]
        return float(reruns[int(np.argmin(tuned))].valid.median())

    def times(self, budget: str = "all") -> Array:
        """Updates to the target, (problems, optimizers, seeds); infinite where it is not reached,
        for all where there is none."""
        found = np.full(self.tested(budget).shape, np.inf)
        for i, problem in enumerate(self.problems):
            target = self.target(problem)
            for j, optimizer in enumerate(self.optimizers):
                rows = self.chosen(problem, optimizer, budget)
                if len(rows) and np.isfinite(target):
                    curves = np.stack(rows.curve.to_list()).astype(float)
                    curves = 1 - curves if metric_of(problem)[1] == "max" else curves
                    steps = _steps(int(rows.every.iloc[0]), int(rows.updates.iloc[0]), curves)
                    found[i, j] = steps_to_target(steps, curves, target, "min")
        return found

    def tuning_curve(self, problem: str, optimizer: str) -> tuple[Array, Array, Array]:
        """The best of n configurations, for each n: mean, and the band of the median."""
        losses = self.rows(problem, optimizer, "tune").valid.to_numpy(float)
        top = 1.0 if metric_of(problem)[1] == "max" else max(self.before(problem), 0.0)
        floor = min(0.0, losses.min())
        found: tuple[Array, Array, Array] = expected_best(
            losses, mode="min", bounds=(floor, top + 1e-9)
        )
        return found


def _steps(every: int, updates: int, curves: Array) -> Array:
    steps: Array = np.minimum(np.arange(1, curves.shape[1] + 1) * every, updates)
    return steps


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


def reversals(results: Results) -> list[dict[str, Any]]:
    """What one would have concluded by a short cut, against the whole protocol.

    For each short cut: on how many problems its winner is none of those that the whole protocol
    calls best, and how many of the pairs that differ beyond chance it puts the wrong way round.
    """
    losses = results.tested("all")
    orders = [better(of_problem) for of_problem in losses]
    seeds = losses.shape[2]
    cuts: dict[str, list[Array]] = {  # (problems, optimizers) each
        "one seed": [losses[:, :, s] for s in range(seeds)],
        "defaults only": [results.tested("defaults").mean(axis=2)],
        "a small tuning budget": [results.tested("few").mean(axis=2)],
        "the rate only": [_best_of(results, "rates")],
        "a constant schedule": [_best_of(results, "tune", "constant")],
    }
    rows = []
    for name, versions in cuts.items():
        wrong, pairs, outside = [], [], []
        for scores in versions:
            for of_problem, order in zip(scores, orders, strict=True):
                worse = of_problem[:, None] > of_problem[None, :]
                wrong.append((order & worse).sum())
                pairs.append(order.sum())
                outside.append(rank_intervals(order)[0][int(np.argmin(of_problem))] > 1)
        share = float(np.sum(wrong) / max(1, np.sum(pairs)))
        rows.append(
            {"short cut": name, "winner is not best": float(np.mean(outside)),
             "pairs reversed": share}
        )  # fmt: skip
    return rows


def _best_of(results: Results, phase: str, schedule: str | None = None) -> Array:
    def best(problem: str, optimizer: str) -> float:
        rows = results.rows(problem, optimizer, phase)
        rows = rows if schedule is None else rows[rows.schedule == schedule]
        return float(rows.valid.min()) if len(rows) else results.before(problem)

    return np.array([[best(p, o) for o in results.optimizers] for p in results.problems])


def basin(results: Results, problem: str, optimizer: str) -> dict[str, Any]:
    """How the loss depends on the rate: the best in each half decade of those tried.

    Returns:
      "rates" (the middle of each half decade), "losses", "decades" (how many decades of rates
      lose at most a tenth of what there is to learn), "sensitivity" (`lr_sensitivity` of the
      rates tried with all else as by default).
    """
    tried = [results.rows(problem, optimizer, phase) for phase in ("tune", "rates")]
    rates = np.concatenate([rows.learning_rate.to_numpy(float) for rows in tried])
    losses = np.concatenate([rows.valid.to_numpy(float) for rows in tried])
    before = results.before(problem)
    places = np.floor(2 * np.log10(rates)).astype(int)
    at = np.unique(places)
    best = np.array([losses[places == place].min() for place in at])
    enough = best <= best.min() + BASIN * max(before - best.min(), 0.0)
    ladder = tried[1].sort_values("learning_rate")
    lost = lr_sensitivity(
        ladder.learning_rate.to_numpy(float), ladder.valid.to_numpy(float), before
    ) if len(ladder) > 1 else float("nan")  # fmt: skip
    return {
        "rates": 10 ** ((at + 0.5) / 2), "losses": best, "decades": float(enough.sum() / 2),
        "sensitivity": lost,
    }  # fmt: skip


def by_schedule(
    results: Results, problem: str, optimizer: str
) -> Mapping[str, tuple[float, float]]:
    """The rate of the best configuration of each schedule, and its loss."""
    rows = results.rows(problem, optimizer, "tune")
    found = {}
    for name in SCHEDULE_FAMILIES:
        of_family = rows[rows.schedule == name]
        if len(of_family):
            best = of_family.loc[of_family.valid.idxmin()]
            found[name] = float(best.learning_rate), float(best.valid)
    return found
