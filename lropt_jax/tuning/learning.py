"""From trainings on many problems to an ordered list: what to try first, chosen greedily."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from lropt_jax.comparisons.families import SCHEDULE_FAMILIES
from lropt_jax.tuning.configurations import OWN, Row

Array = np.ndarray[Any, Any]

NAMES = ("optimizer", "problem", "learning_rate", "schedule", "warmup", "value")
BANDWIDTH = 0.2  # decades of the rate: how far one configuration speaks for another
OTHER_SCHEDULE = 1.0  # distance of another schedule, in bandwidths
OTHER_NUMBER = 0.5  # decades of another number (of 1 - b1 for an average) that are one bandwidth
LENGTH = 24


@dataclasses.dataclass(frozen=True)
class Learned:
    """An ordered list, and how well it does.

    Attributes:
      rows: the list.
      curve: the mean over the problems of the normalised regret of the best of the first k, (k,).
      left_out: the same where each problem is left out of the learning, (k,); NaN for one problem.
      relative: whether its rates are relative to the range tests' suggestions, which did better on
        problems left out.
    """

    rows: tuple[Row, ...]
    curve: Array
    left_out: Array
    relative: bool


def regrets(frame: Any, modes: Mapping[str, str]) -> Array:
    r"""The normalised regret of each row, in [0, 1], (rows,):

    $$r = \min\left(1, \frac{v - v^*}{\tilde v - v^*}\right)$$

    with the best $v^*$ and the median $\tilde v$ of the row's problem, those that did not finish
    among the worst.

    Args:
      frame: with columns `problem` and `value`.
      modes: "min" or "max", by problem.
    """
    found = np.ones(len(frame))
    for problem in dict.fromkeys(frame["problem"]):
        where = np.asarray(frame["problem"] == problem)
        sign = 1.0 if modes[problem] == "min" else -1.0
        losses = sign * np.asarray(frame["value"], float)[where]
        losses = np.where(np.isfinite(losses), losses, np.inf)
        best, middle = losses.min(), float(np.median(losses))
        if not np.isfinite(best):
            continue
        finite = losses[np.isfinite(losses)]
        scale = (middle if np.isfinite(middle) else finite.max()) - best
        with np.errstate(invalid="ignore"):
            found[where] = np.clip((losses - best) / scale if scale > 0 else losses > best, 0, 1)
    return found


def greedy(table: Array, length: int) -> tuple[list[int], Array]:
    """The order in which the mean over the problems of the regret of the best of the first k falls
    fastest: each next row is the one that leaves least.

    Args:
      table: regrets, (configurations, problems).
      length: of the list, at most; it ends where nothing lowers the regret any more.

    Returns:
      The rows' numbers, and the mean regret after each.

    Reference:
      Metz et al. 2020, Using a thousand optimization tasks to learn hyperparameter search
      strategies, arXiv:2002.11887; greedy is within 1 - 1/e of the best set (Nemhauser, Wolsey and
      Fisher 1978).
    """
    left = np.ones(table.shape[1])
    order: list[int] = []
    curve = []
    for _ in range(min(length, len(table))):
        after = np.minimum(table, left).mean(axis=1)
        after[order] = np.inf
        best = int(after.argmin())
        if order and after[best] >= left.mean() - 1e-9:
            break
        left = np.minimum(left, table[best])
        order.append(best)
        curve.append(left.mean())
    return order, np.array(curve)


def learn(
    frame: Any,
    modes: Mapping[str, str],
    suggestions: Mapping[tuple[str, str], float | None] | None = None,
    length: int = LENGTH,
) -> Learned:
    """The ordered list that the trainings of a frame teach.

    What a configuration comes to on a problem is read off the trainings of its optimizer there that
    are like it, the nearer the more (a Gaussian kernel over the logarithm of the rate, the schedule
    and the other numbers). With suggestions both are learned, lists of rates and lists of rates
    relative to them, and the one that does better on problems left out is taken.

    Args:
      frame: a row a training, with the columns `NAMES` (`schedule` a name, `warmup` a part of the
        updates, `value` the metric after the last update) and one for each other number.
      modes: "min" or "max", by problem.
      suggestions: of the range test, by problem and optimizer.
      length: of the list, at most.

    Raises:
      ValueError: for a frame without these columns, or without a row.
    """
    missing = [name for name in NAMES if name not in frame]
    if missing or not len(frame):
        raise ValueError(f"frame must have rows and the columns {', '.join(missing or NAMES)}")
    frame = frame.reset_index(drop=True)
    problems = list(dict.fromkeys(frame["problem"]))
    tables = {False: _table(frame, modes, problems, None)}
    if suggestions is not None:
        tables[True] = _table(frame, modes, problems, suggestions)
    outcomes = {relative: _left_out(table, length) for relative, table in tables.items()}
    relative = len(outcomes) > 1 and outcomes[True].mean() < outcomes[False].mean()
    order, curve = greedy(tables[relative], length)
    rows = tuple(_row(frame.iloc[i], suggestions if relative else None) for i in order)
    return Learned(rows, curve, outcomes[relative], relative)


def _left_out(table: Array, length: int) -> Array:
    """The regret of the best of the first k on a problem that the list was not learned on, a mean
    over the problems."""
    problems = table.shape[1]
    if problems < 2:
        return np.full(min(length, len(table)), np.nan)
    curves = []
    for out in range(problems):
        order, _ = greedy(np.delete(table, out, axis=1), length)
        best = np.minimum.accumulate(table[order, out])
        curves.append(np.append(best, np.full(length - len(best), best[-1])))
    mean: Array = np.array(curves).mean(axis=0)
    return mean


def _table(
    frame: Any,
    modes: Mapping[str, str],
    problems: Sequence[str],
    suggestions: Mapping[tuple[str, str], float | None] | None,
) -> Array:
    """What each row of the frame comes to on each problem, (rows, problems)."""
    regret = regrets(frame, modes)
    place = _places(frame)
    rate = np.log10(np.asarray(frame["learning_rate"], float))
    optimizer, problem = (np.asarray(frame[n].astype(str)) for n in ("optimizer", "problem"))
    schedule = np.asarray(frame["schedule"].astype(str))
    own = np.array([_shift(suggestions, p, o) for p, o in zip(problem, optimizer, strict=True)])
    table = np.ones((len(frame), len(problems)))
    for column, name in enumerate(problems):
        for who in dict.fromkeys(optimizer):
            there = np.flatnonzero((problem == name) & (optimizer == who))
            asked = np.flatnonzero(optimizer == who)
            if not len(there):
                continue
            wanted = (rate - own)[asked] + _shift(suggestions, name, who)
            square = ((wanted[:, None] - rate[None, there]) / BANDWIDTH) ** 2
            square += OTHER_SCHEDULE**2 * (schedule[asked, None] != schedule[None, there])
            square += ((place[asked, None] - place[None, there]) ** 2).sum(axis=2)
            weight = np.exp(-(square - square.min(axis=1, keepdims=True)) / 2)
            table[asked, column] = (weight * regret[None, there]).sum(axis=1) / weight.sum(axis=1)
    return table


def _shift(
    suggestions: Mapping[tuple[str, str], float | None] | None, problem: str, optimizer: str
) -> float:
    found = None if suggestions is None else suggestions.get((problem, optimizer))
    return 0.0 if not found else float(np.log10(found))


def _places(frame: Any) -> Array:
    """The further numbers, in bandwidths, (rows, numbers)."""
    columns = []
    for name in frame:
        if name in NAMES:
            continue
        x = np.nan_to_num(np.asarray(frame[name], float))
        x = np.log10(np.maximum(1 - x if (x < 1).all() and (x > 0.5).any() else x, 1e-6))
        columns.append(x / OTHER_NUMBER)
    columns.append(np.asarray(frame["warmup"], float) / 0.2)
    return np.stack(columns, axis=1)


def _row(found: Any, suggestions: Mapping[tuple[str, str], float | None] | None) -> Row:
    rate, schedule = float(found["learning_rate"]), str(found["schedule"])
    if schedule not in SCHEDULE_FAMILIES:
        raise ValueError(f"schedule must be one of {SCHEDULE_FAMILIES}, got {schedule!r}")
    who = str(found["optimizer"])
    shift = _shift(suggestions, str(found["problem"]), who)
    known = [_shift(suggestions, p, o) for p, o in suggestions or () if o == who]
    usual = float(np.median(known)) if known else 0.0  # where there will be no suggestion
    numbers = {
        name: float(f"{value:.4g}") for name, value in found.items()
        if name not in (*NAMES, *OWN) and value == value
    }  # fmt: skip
    relative = float(f"{rate / 10**shift:.3g}") if shift else None
    absolute = float(f"{rate / 10 ** (shift - usual) if shift else rate:.3g}")
    return Row(who, relative, absolute, schedule, float(f"{found['warmup']:.3g}"), numbers)
