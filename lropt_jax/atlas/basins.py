"""What misleads, and how wide the good rates are: from the losses of the Atlas
(`lropt_jax.atlas.losses`)."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from lropt_jax.atlas.losses import Results
from lropt_jax.atlas.scores import better, rank_intervals
from lropt_jax.comparisons.families import SCHEDULE_FAMILIES
from lropt_jax.sweeps.results.statistics import lr_sensitivity

BASIN = 0.1  # of what there is to learn: a rate that loses no more is in the basin

Array = np.ndarray


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
