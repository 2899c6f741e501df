"""What a sweep says of itself: what to take, and how far that can be trusted."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from lropt_jax.optimizers.code_lines import call
from lropt_jax.pages.words import (
    FEW_SEEDS,
    Recommendation,
    first_look,
    listed,
    mean_and_interval,
    plain,
)
from lropt_jax.progress import several
from lropt_jax.sweeps.results.statistics import mean_interval
from lropt_jax.tasks.metrics import is_share

NAMED = 5  # trials that are listed by their numbers


def alike(result: Any, metric: str, mode: str) -> list[int]:
    """The trials whose 95% interval over the seeds overlaps that of the best, the best ones first;
    none with a single seed, which says nothing about ties."""
    order = result.ranking(metric, mode)
    if len(result.seeds) < 2 or not order:
        return []
    ends = []
    for trial in order:
        mean, half = mean_interval(result.last(metric)[trial])
        ends.append((mean - half, mean + half))
    low, high = ends[0]
    return [t for t, (a, b) in zip(order[1:], ends[1:], strict=True) if a <= high and low <= b]


def recommendation(result: Any, metric: str, mode: str) -> Recommendation:
    """The best trial, which others are as good as far as can be told, and the line to paste."""
    order = result.ranking(metric, mode)
    if not order:
        return Recommendation(
            "No configuration finished: there is nothing to recommend. Where smaller learning "
            "rates diverge too, look at the task: its loss or its data may not be finite."
        )
    best, tied, seeds = order[0], alike(result, metric, mode), len(result.seeds)
    reached = mean_and_interval(metric, *mean_interval(result.last(metric)[best]))
    reached += "%" if is_share(metric) else ""
    name = plain(metric)
    if len(order) > 1 and seeds == 1:
        said = (
            f"Trial {best} has the best {name}, {reached}. Each configuration was trained on one "
            "seed: which others are as good cannot be known."
        )
    elif tied:
        who = f"trials {listed([str(t) for t in [best, *tied]])}"
        if len(tied) > NAMED:
            who = f"trial {best} and {len(tied)} others"
        said = (
            f"There is no order between {who}: their 95% intervals of {name} over {seeds} seeds "
            f"overlap. Trial {best} has the best mean, {reached}."
        )
    else:
        said = f"Take trial {best}: its {name} is {reached}"
        said += ", and no other's interval reaches it." if len(order) > 1 else "."
    return Recommendation(said, str(best), line(result, best))


def line(result: Any, trial: int) -> str:
    """The code that makes a trial's optimizer; of a result that was read back without its task, of
    the function that the sweep was given."""
    own = {k: v for k, v in result.trials[trial].items() if k not in result.of_task}
    if result.models is not None:
        return str(result.models.line(trial, own))
    return call("optimizer", own)


def weakness(result: Any, metric: str, mode: str) -> str:
    """Why it is a first look and no result, in plain words; empty for one that is more."""
    if not result.ranking(metric, mode):
        return ""
    seeds, found = len(result.seeds), []
    if seeds == 1:
        found.append("each configuration was trained on a single seed")
    elif seeds < FEW_SEEDS:
        found.append(f"intervals rest on only {seeds} seeds")
    if (result.status == "pruned").any():
        found.append("those that were pruned are judged by how a training begins")
    return first_look(found)


def flattery(result: Any, metric: str, mode: str) -> str:
    """That the value of the best is better than it will be again."""
    count = len(result.ranking(metric, mode))
    if count < 2:
        return ""
    return (
        f"The best of {count} was chosen by the values that are shown: they flatter it. "
        "lropt_jax.compare and tune judge a choice on fresh seeds and test it once."
    )


def costs(result: Any, best: int | None) -> dict[str, str]:
    """What it took, by headings; the time and the memory of an update of the best's where the task
    is at hand."""
    kinds, counts = np.unique(result.status.astype(str), return_counts=True)
    ends = listed([f"{count:,} {kind}" for kind, count in zip(kinds, counts, strict=True)])
    found = {"trainings": f"{result.status.size:,}: {ends}"}
    found["updates in all"] = f"{result.model_steps:,}"
    ways = zip(result.strategy, result.width, strict=True)
    if result.strategy:
        found["ran as"] = ", ".join(dict.fromkeys(f"{s} of {several(w, 'lane')}" for s, w in ways))
    if best is not None and result.models is not None:
        ((seconds, state),) = result.models.costs([best])
        if math.isfinite(seconds):
            found["time a step"] = f"{1e6 * seconds:,.3g} µs"
            found["state / parameters"] = f"{state:.1f}"
    return found
