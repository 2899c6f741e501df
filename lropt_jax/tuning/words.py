"""What a tuning says of itself: its plan and cost, what to take, what to doubt."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from lropt_jax.comparisons.inference import Interval, metric_within
from lropt_jax.pages.words import (
    FEW_SEEDS,
    Recommendation,
    first_look,
    listed,
    number,
    place,
    plain,
    to_place,
)
from lropt_jax.progress import several
from lropt_jax.sweeps.results.statistics import mean_interval
from lropt_jax.tasks.metrics import is_share
from lropt_jax.tuning.board import Board
from lropt_jax.tuning.budget import Budget
from lropt_jax.tuning.configurations import seen
from lropt_jax.tuning.contenders import BASELINE

HAND_MADE = "The ordered list that the search begins with is a hand-made prior, not learned yet."
FEW_TRIED = 8  # fewer are a first look
FAR = 3.0  # times beyond what range tests suggested elsewhere: another kind of problem


def plan_words(
    budget: Budget,
    steps: int | None,
    range_steps: int,
    most: int,
    seeds: int,
    names: list[str],
    baseline: bool,
    metric: str,
) -> str:
    """What is going to be done and what it costs, before it is."""
    length = (
        f"{several(steps, 'update')} each" if steps is not None else "as long as the time allows"
    )
    said = f"Budget: {budget}. Trainings take {length}; {metric.replace('_', ' ')} decides. "
    if range_steps:
        said += f"Range tests first ({range_steps:,} model-steps of the budget). "
    said += f"Then configurations of {listed(names)}, and more around the best. "
    final = f"at most {most} tied ones" + (" and the baseline" if baseline else "")
    said += f"At last {final} on {several(seeds, 'fresh seed')}, tested once: "
    if budget.seconds is not None:
        return said + "within the time; fewer where it does not allow more."
    assert steps is not None
    return said + f"at most {(most + baseline) * seeds * steps:,} model-steps more."


def recommendation(tuning: Any) -> Recommendation:
    """What to take: a sentence, and the line of code to paste."""
    if tuning.leader is None:
        return Recommendation(_nothing(tuning))
    contender, configuration = tuning.leader
    metric, code = tuning.metric.replace("_", " "), tuning.code
    keeps = contender.name == BASELINE
    said = "Keep your baseline" if keeps else f"Use {short(contender.words(configuration))}"
    if tuning.chosen is None and not tuning.tried:
        over = tuning.stopped or "the budget was used up"
        said = f"Nothing was trained to its end ({over}): give a "
        said += "larger budget. Untried, where the search would have begun: "
        return Recommendation(
            said + short(contender.words(configuration)) + ".", contender.name, code
        )
    if tuning.chosen is None:
        value = tuning.board.ranked()[0].value
        said += f": {metric} {_number(tuning.metric, value)} on the one seed that it was tried on"
        said += f" ({tuning.stopped})." if tuning.stopped else "."
        return Recommendation(said, contender.name, code)
    values = tuning.chosen.values
    said += f": {metric} {mean(tuning.metric, values)} on {several(len(values), 'fresh seed')}"
    said += _learned_nothing(tuning)
    others = _within_noise(tuning)
    if others:
        one = len(others) == 1 and not others[0][0].isdigit()
        said += f"; {listed(others)} {'is' if one else 'are'} within noise"
    if (words := _against_baseline(tuning)) and not keeps:
        said += f"; {words}"
    if math.isfinite(tuning.doubling.value):
        gain = difference(tuning.metric, tuning.doubling)
        said += f"; doubling the budget would be expected to gain {gain}"
    return Recommendation(said + ".", contender.name, code)


def _learned_nothing(tuning: Any) -> str:
    """Beside what models come to that were not trained, where the recommended one is not surely
    better."""
    before = tuning.untrained
    if before is None:
        return ""
    sign = 1.0 if tuning.mode == "min" else -1.0
    (trained, half), (start, width) = mean_interval(tuning.chosen.values), mean_interval(before)
    gain = sign * (start - trained)
    if gain > math.hypot(half, width) or not math.isfinite(gain):
        return ""
    start_words = f"than before training ({mean(tuning.metric, before)})"
    if gain > 0:
        return f", not surely better {start_words}"
    return f", no better {start_words}: nothing was learned"


def _within_noise(tuning: Any) -> list[str]:
    """Who cannot be told from the recommended one: by optimizer."""
    names = [f.contender.name for f in tuning.alike if f.contender.name != BASELINE]
    found = []
    for name in dict.fromkeys(names):
        count, own = names.count(name), name == tuning.chosen.contender.name
        if count == 1:
            found.append(f"another configuration of {name}" if own else name)
        else:
            found.append(f"{count} {'others' if own else 'configurations'} of {name}")
    return found


def short(words: dict[str, Any]) -> str:
    """A configuration in words."""
    parts = [
        f"{plain(k)} {number(v)}" for k, v in words.items() if k not in ("optimizer", "schedule")
    ]
    said = str(words["optimizer"])
    if "schedule" in words:
        said += f" under a {words['schedule'].replace('_', '-')} schedule"
    return f"{said} ({', '.join(parts)})" if parts else said


def tried(tuning: Any) -> str:
    """How many of whom, and how they ended."""
    counts: dict[str, int] = {}
    for t in tuning.tried:
        counts[t.contender] = counts.get(t.contender, 0) + 1
    if not counts:
        return "Nothing."
    who = listed([f"{count} of {name}" for name, count in counts.items()])
    ends = [
        f"{count} {status}" for status in ("pruned", "diverged")
        if (count := sum(t.status == status for t in tuning.tried))
    ]  # fmt: skip
    said = f"{several(len(tuning.tried), 'configuration')}, each on one seed: {who}."
    again = sum(len(t.values) > 1 for t in tuning.tried)
    if again:
        said += f" The best {again} on further seeds."
    return said + (f" Of them {listed(ends)}." if ends else "")


def worth(tuning: Any) -> str:
    """What is left to gain, in words."""
    if not math.isfinite(tuning.regret.value):
        return "Too few configurations finished to tell."
    doubled, left = (difference(tuning.metric, of) for of in (tuning.doubling, tuning.regret))
    return (
        f"Doubling the budget would be expected to gain {doubled}; a search 32 times as long "
        f"{left}: that is the regret left. Both are read off how the best of n improved so far, "
        "with a bootstrap over the configurations and the fresh seeds; they say nothing of what "
        "was not tried."
    )


def weakness(tuning: Any) -> str:
    """Why it is a first look and no result, in plain words; empty for one that is more."""
    if not tuning.tried or tuning.leader is None:
        return ""
    found = []
    if len(tuning.tried) < FEW_TRIED:
        found.append(f"only {several(len(tuning.tried), 'configuration')} tried")
    if tuning.chosen is None:
        found.append("nothing was judged on fresh seeds")
    elif len(tuning.chosen.values) < FEW_SEEDS:
        found.append(
            f"the choice was judged on only {several(len(tuning.chosen.values), 'fresh seed')}"
        )
    if tuning.stopped:
        found.append(f"it ended before its plan ({tuning.stopped})")
    return first_look(found)


def warnings(tuning: Any) -> list[str]:
    """What to doubt, a line each; none where all is well."""
    found, chosen = [], tuning.chosen
    if tuning.stopped:
        found.append(f"it ended early: {tuning.stopped}")
    if chosen is not None and 0 < len(chosen.values) < FEW_SEEDS:
        found.append(f"intervals rest on {several(len(chosen.values), 'seed')}: they are wide")
    if len(tuning.tried) < 4:
        found.append(f"only {len(tuning.tried)} tried: there may be far better ones")
    return [*found, *doubts(tuning)]


def doubts(tuning: Any) -> list[str]:
    """The warnings beside those of a first look, which `weakness` tells."""
    found = []
    if tuning.learned_from is None and any(c.rows for c in tuning.board.contenders.values()):
        found.append(HAND_MADE)
    for name, test in tuning.range_tests.items():
        if test.suggestion is None:
            reason = test.reasons["knee"]
            found.append(f"the range test of {name} suggests no rate ({reason}): the list's own")
        else:
            found.extend(unlike(name, float(test.suggestion)))
    found.extend(otherwise(tuning.board))
    chosen = tuning.chosen
    if chosen is not None and not chosen.finished:
        found.append("the recommended configuration did not finish on every fresh seed")
    lost = sum(t.status == "diverged" for t in tuning.tried)
    if tuning.tried and lost > len(tuning.tried) / 2:
        found.append(f"{lost} of {len(tuning.tried)} configurations diverged")
    found.extend(_edge(tuning))
    return found


def unlike(name: str, suggested: float) -> list[str]:
    """Whether a range test ended far from where it did on the problems behind the list."""
    low, high = seen().get(name, (0.0, math.inf))
    if low / FAR <= suggested <= high * FAR:
        return []
    return [
        f"your problem is unlike those that the list was learned on: the range test of {name} "
        f"suggests {suggested:.2g}, there it was {low:.2g} to {high:.2g}"
    ]


def otherwise(board: Board) -> list[str]:
    """Whether the prior's rows did better than those that were learned on other problems."""
    (learned, prior), metric = board.sides(), board.setting.metric
    if not learned.tried or not prior.ahead_of(learned, board.tolerance):
        return []
    came = "none of them finished"
    if learned.best is not None:
        came = f"they come to {_number(metric, learned.best.value)} at best"
    assert prior.best is not None
    value = _number(metric, prior.best.value)
    return [
        "your problem is unlike those that the list was learned on: a row of its prior "
        f"({prior.best.contender}, {value}) is ahead of those that were learned, {came}"
    ]


def _edge(tuning: Any) -> list[str]:
    """Whether the rate that is recommended is the lowest or highest of its optimizer's."""
    if tuning.leader is None or tuning.leader[0].name == BASELINE:
        return []
    contender, configuration = tuning.leader
    rate = configuration.get("learning_rate")
    rates = {
        t.rate for t in tuning.tried if t.contender == contender.name and math.isfinite(t.rate)
    }
    if len(rates) < 3 or rate not in (min(rates), max(rates)):
        return []
    return [
        f"learning rate {rate:.3g} lies on the edge of what was tried of {contender.name}: a "
        "better one may lie beyond"
    ]


def _nothing(tuning: Any) -> str:
    lost = sum(t.status == "diverged" for t in tuning.tried)
    if lost == len(tuning.tried):
        least = min((t.rate for t in tuning.tried if math.isfinite(t.rate)), default=math.nan)
        down = "" if math.isnan(least) else f", down to a learning rate of {least:.3g}"
        return (
            f"Nothing to recommend: every configuration diverged, {lost} in all{down}. Look at the "
            "task: its loss or its data may not be finite."
        )
    return (
        f"Nothing to recommend: {tuning.metric} is not finite for any of the {len(tuning.tried)} "
        "configurations. Look at how the task evaluates it."
    )


def _against_baseline(tuning: Any) -> str:
    base = next((f for f in tuning.finalists if f.contender.name == BASELINE), None)
    if base is None:
        return ""
    sign = 1.0 if tuning.mode == "max" else -1.0
    middle, half = mean_interval(sign * (tuning.chosen.values - base.values))
    if not math.isfinite(middle):
        return "the baseline finished on no fresh seed"
    word, amount = ("better", middle) if middle > 0 else ("worse", -middle)
    by = difference(tuning.metric, Interval(amount, amount - half, amount + half))
    apart = f"it is {word} than your baseline by {by}"
    if base not in tuning.alike:
        return apart
    if amount <= half:
        return f"it cannot be told from your baseline ({word} by {by})"
    pairs = math.comb(len(tuning.finalists), 2)  # what decides is corrected for all of them
    return f"{apart}, which may be chance where {pairs} pairs are compared (Holm's correction)"


def mean(metric: str, values: np.ndarray) -> str:
    """A mean over seeds with its 95% interval; a share in percent."""
    return _interval(metric_within(metric, values), *((100, "%") if is_share(metric) else (1, "")))


def difference(metric: str, found: Interval) -> str:
    """A difference with its 95% interval; of shares in points."""
    share = is_share(metric)
    return _interval(found, 100 if share else 1) + (" points" if share else "")


def _interval(found: Interval, scale: float = 1, unit: str = "") -> str:
    """As many digits as the interval bears out."""
    found = Interval(scale * found.value, scale * found.low, scale * found.high)
    width = found.high - found.low
    if not (math.isfinite(width) and width > 0):
        return f"{found.value:.4g}{unit}"
    last = place(width) - 1
    ends = f"[{to_place(found.low, last)}, {to_place(found.high, last)}]"
    return f"{to_place(found.value, last)}{unit} {ends}"


def _number(metric: str, value: float) -> str:
    return f"{100 * value:.4g}%" if is_share(metric) else f"{value:.4g}"
