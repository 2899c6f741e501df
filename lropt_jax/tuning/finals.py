"""Which is it? The tied configurations, and the baseline, on fresh seeds; tested once."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Hashable, Sequence

import numpy as np

from lropt_jax.comparisons.inference import metric_within
from lropt_jax.comparisons.match import FRESH_SEEDS
from lropt_jax.comparisons.proposals import Configuration
from lropt_jax.sweeps.engine import trained
from lropt_jax.sweeps.planning.values import same_as
from lropt_jax.sweeps.results.result import SweepResult
from lropt_jax.sweeps.results.statistics import mean_interval, paired_tests
from lropt_jax.tuning.board import Board, Tried
from lropt_jax.tuning.contenders import BASELINE, Contender
from lropt_jax.tuning.journal import Move
from lropt_jax.tuning.trying import Search

MOST = 3  # configurations that are retrained, beside the baseline
LEAST_SEEDS = 2  # for an interval
NOTHING: Configuration = {"nothing": 0.0}  # what the baseline's factory takes


@dataclasses.dataclass(frozen=True, eq=False)
class Finalist:
    """A configuration on fresh seeds.

    Attributes:
      name: in tables: the optimizer's, numbered where several are of one.
      contender: whose it is.
      configuration: its numbers.
      result: the sweep that trained it.
      trial: its number there.
      metric: what decides, on the validation split.
    """

    name: str
    contender: Contender
    configuration: Configuration
    result: SweepResult
    trial: int
    metric: str

    @property
    def what(self) -> Hashable:
        """What it shares with where it was tried: see `Tried.what`."""
        return self.contender.name, same_as(self.configuration)

    @property
    def values(self) -> np.ndarray:
        """The metric of each seed, (seeds,); NaN for one that did not finish."""
        return self.of(self.metric)

    def of(self, metric: str) -> np.ndarray:
        """A validation metric after the last update, (seeds,)."""
        last = np.array(self.result.last(metric)[self.trial], float)
        last[self.result.status[self.trial] != "finished"] = np.nan
        return last

    def test(self, metric: str) -> np.ndarray | None:
        """A metric on the test split, by the validation metric's name, (seeds,); None without."""
        found = self.result.final.get("test_" + metric.removeprefix("valid_"))
        return None if found is None else np.array(found[self.trial], float)

    @property
    def finished(self) -> bool:
        """Whether all seeds came to a finite value."""
        return bool(np.isfinite(self.values).all())

    @property
    def mean(self) -> float:
        return mean_interval(self.values)[0]

    @property
    def interval(self) -> tuple[float, float]:
        """Of the mean, 95%, over seeds."""
        found = metric_within(self.metric, self.values)
        return found.low, found.high


def tied(board: Board, most: int = MOST) -> list[Tried]:
    """The best and those that one seed cannot tell from it: of each optimizer the best first, then
    the next ones."""
    order = board.ranked()
    if not order:
        return []
    near = [t for t in order if board.sign * (t.value - order[0].value) <= board.tolerance]
    firsts = [t for i, t in enumerate(near) if t.contender not in {o.contender for o in near[:i]}]
    return [*firsts, *(t for t in near if t not in firsts)][:most]


def affordable(search: Search, seeds: int, baseline: bool) -> tuple[int, int]:
    """How many configurations on how many seeds the time allows; (0, 0) for none."""
    left = search.meter.left
    if not math.isfinite(left):
        return MOST, seeds
    pace = search.pace if search.pace < math.inf else 0.0
    one = (
        pace * search.board.steps * search.board.width
    )  # a full program costs as much as a part of it
    rounds = int(left / one) if one else MOST * seeds
    each = math.ceil(seeds / search.board.width)
    count = rounds // each - baseline
    if count >= 1:
        return min(MOST, count), seeds
    fewer = min(seeds, rounds * search.board.width // (1 + baseline))
    return (1, fewer) if fewer >= LEAST_SEEDS else (0, 0)


def move_of(chosen: Sequence[Tried], seeds: int, board: Board) -> Move:
    """What the journal keeps of it."""
    return {"kind": "final", "chosen": [board.tried.index(t) for t in chosen], "seeds": seeds}


def retrained(
    search: Search, move: Move, baseline: Contender | None, found: list[Finalist]
) -> None:
    """Adds the finalists to a list as they are trained, those of one optimizer in one program; the
    baseline last."""
    board = search.board
    chosen = [board.tried[i] for i in move["chosen"]]
    fresh = range(FRESH_SEEDS, FRESH_SEEDS + move["seeds"])
    names = list(dict.fromkeys(t.contender for t in chosen))
    parts = [
        (board.contenders[name], [t.configuration for t in chosen if t.contender == name])
        for name in names
    ]
    if baseline is not None:
        parts.append((baseline, [NOTHING]))
    splits = ("test",) if board.setting.task.test is not None else ()
    number = search.journal.moves.index(move)
    for contender, configurations in parts:
        search.meter.describe(f"{contender.name}: fresh seeds")
        plan = board.setting.plan(contender, configurations, fresh, splits=splits)
        folder = search.journal.folder(number, contender.name)
        result = trained(plan, board.setting.placement, folder, search.meter)
        search.model_steps += result.model_steps
        for trial, configuration in enumerate(configurations):
            name = contender.name
            if len(configurations) > 1:
                name += f" {trial + 1}"
            found.append(
                Finalist(
                    name, contender, configuration, result, trial, board.setting.metric
                )
            )  # fmt: skip


def winner(finalists: Sequence[Finalist], board: Board) -> tuple[Finalist | None, list[Finalist]]:
    """Who is recommended, and who is within noise of it.

    Of those whose mean lies within one standard error of the best mean the simplest is taken: that
    of the least memory, then of the widest basin; the baseline only where it is the best itself.

    Reference:
      Breiman, Friedman, Olshen and Stone 1984, Classification and Regression Trees (the rule of one
      standard error).
    """
    sign = board.sign
    whole = [f for f in finalists if f.finished] or [
        f for f in finalists if np.isfinite(f.values).any()
    ]
    if not whole:
        return None, []
    order = sorted(whole, key=lambda f: sign * f.mean)
    best = order[0]
    chosen = best
    if best.contender.name != BASELINE:
        error = float(np.nanstd(best.values, ddof=1) / math.sqrt(len(best.values)))
        close = [
            f for f in order
            if f.contender.name != BASELINE and sign * (f.mean - best.mean) <= error
        ]  # fmt: skip
        chosen = min(close, key=lambda f: (_memory(f), -basin(f, board)))
    tests = paired_tests({f.name: f.values for f in whole})
    alike = {name for t in tests if t.tie for name in (t.first, t.second)
             if chosen.name in (t.first, t.second)}  # fmt: skip
    return chosen, [f for f in order if f is not chosen and f.name in alike]


def _memory(finalist: Finalist) -> float:
    return round(finalist.contender.memory, 1)


def basin(finalist: Finalist, board: Board) -> float:
    """How many decades of rates were found as good as the optimizer's best, by one seed."""
    own = [t for t in board.tried if t.contender == finalist.contender.name]
    values = np.array([t.value for t in own])
    rates = np.array([t.rate for t in own])
    sign = board.sign
    if not np.isfinite(sign * values).any():
        return 0.0
    near = (sign * values <= np.nanmin(sign * values) + board.tolerance) & (rates > 0)
    return float(np.log10(rates[near].max() / rates[near].min())) if near.any() else 0.0
