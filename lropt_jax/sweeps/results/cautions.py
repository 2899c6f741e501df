"""Where does the best stand? On the edge of what was tried, or beside a cliff."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from lropt_jax.sweeps.planning.values import same_as
from lropt_jax.sweeps.results.analysis import as_good
from lropt_jax.validation import is_scalar

FALL = 0.5  # of what lies between the best and the start: a neighbour that loses more is a cliff


@dataclasses.dataclass(frozen=True)
class Caution:
    """Why a configuration should not be trusted blindly.

    Attributes:
      kind: "edge" or "cliff".
      name: the hyperparameter.
      value: its value in the configuration.
      beyond: at a cliff, the neighbouring value.
      score: at a cliff, the metric there; NaN where it diverged.
      metric: that which is judged by.
    """

    kind: str
    name: str
    value: float
    beyond: float = float("nan")
    score: float = float("nan")
    metric: str = "score"

    def __str__(self) -> str:
        name, value = self.name.replace("_", " "), f"{self.value:.3g}"
        if self.kind == "edge":
            return f"{name} {value} lies on the edge of what was tried: a better one may lie beyond"
        metric = self.metric.replace("_", " ")
        how = "it diverged" if np.isnan(self.score) else f"its {metric} was {self.score:.3g}"
        return f"{name} {value} stands beside a cliff: at {self.beyond:.3g} {how}"


def cautions(
    trials: Sequence[Mapping[str, Any]],
    scores: np.ndarray,
    diverged: np.ndarray,
    best: int,
    metric: str,
    mode: str,
    start: float | None = None,
) -> list[Caution]:
    """What is to be said about a sweep's best configuration.

    It lies on an edge where one of its numbers is the lowest or the highest of at least three that
    were tried; a lowest 0 is no edge. It stands beside a cliff where the next value on either side,
    all else equal, diverged on some seed, or lost more than half of what the best has won over the
    start, and more than what still comes close to the best (see `Sensitivity.basin`).

    Args:
      trials: the configurations.
      scores: the metric of each, NaN where it did not finish, (trials,).
      diverged: whether some seed of it diverged, (trials,).
      best: the best's number.
      metric: what the scores are.
      mode: whether the metric's "min" or its "max" is best.
      start: the metric before training; None: the worst finisher's stands for it.
    """
    finite = scores[np.isfinite(scores)]
    if start is None:
        start = float(finite.max() if mode == "min" else finite.min())
    reach = max(FALL * abs(start - scores[best]), as_good(metric, float(scores[best])))
    fallen = scores[best] + (reach if mode == "min" else -reach)
    found = []
    for name, value in trials[best].items():
        if not is_scalar(value):
            continue
        tried = sorted({t[name] for t in trials if is_scalar(t.get(name))})
        # A momentum or decay of 0 is none at all, beyond which there is nothing.
        if len(tried) > 2 and value in (tried[0] or None, tried[-1]):
            found.append(Caution("edge", name, float(value)))
        for neighbour in _neighbours(trials, best, name):
            score, beyond = float(scores[neighbour]), float(trials[neighbour][name])
            falls = score > fallen if mode == "min" else score < fallen
            if diverged[neighbour]:
                found.append(Caution("cliff", name, float(value), beyond, metric=metric))
            elif falls and len(finite) > 2:
                found.append(Caution("cliff", name, float(value), beyond, score, metric))
    return found


def _neighbours(trials: Sequence[Mapping[str, Any]], best: int, name: str) -> list[int]:
    """The trials with the next lower and the next higher value of one number, all else equal."""
    others = same_as(trials[best], name)
    line = [
        (float(trial[name]), number)
        for number, trial in enumerate(trials)
        if is_scalar(trial.get(name)) and same_as(trial, name) == others
    ]
    value = float(trials[best][name])
    below = max((point for point in line if point[0] < value), default=None)
    above = min((point for point in line if point[0] > value), default=None)
    return [point[1] for point in (below, above) if point is not None]
