"""A finished sweep as an Optuna study, for its figures and dashboard; importances by Optuna."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from lropt_jax.sweeps.planning.values import plain_or_named
from lropt_jax.validation import is_scalar, require

DECADE = 10.0  # positive numbers that span more are even in their logarithm


def told(
    trials: Sequence[Mapping[str, Any]],
    steps: np.ndarray,
    curves: np.ndarray | Sequence[np.ndarray],
    means: np.ndarray,
    pruned: np.ndarray,
    mode: str,
) -> Any:
    """A study in memory that was told of trials.

    Args:
      trials: the configurations.
      steps: updates at each evaluation.
      curves: the metric's mean over seeds, (trials, evaluations).
      means: the same at the end, not finite where a seed did not finish, (trials,).
      pruned: the trials that were, (trials,).
      mode: which way it is better.
    """
    require("to_optuna", "search", "optuna")
    import optuna

    said = optuna.logging.get_verbosity()
    optuna.logging.set_verbosity(optuna.logging.WARNING)  # that it made a study is no news
    try:
        study = optuna.create_study(direction="minimize" if mode == "min" else "maximize")
    finally:
        optuna.logging.set_verbosity(said)
    names = dict.fromkeys(name for trial in trials for name in trial)
    known = {name: _distribution(optuna, [t[name] for t in trials if name in t]) for name in names}
    worst = math.inf if mode == "min" else -math.inf
    states = optuna.trial.TrialState
    for trial, curve, mean, stopped in zip(trials, curves, means, pruned, strict=True):
        study.add_trial(
            optuna.trial.create_trial(
                params={name: plain_or_named(value) for name, value in trial.items()},
                distributions={name: known[name] for name in trial},
                intermediate_values={
                    int(s): float(v) for s, v in zip(steps, curve, strict=True) if np.isfinite(v)
                },
                value=None if stopped else float(mean) if np.isfinite(mean) else worst,
                state=states.PRUNED if stopped else states.COMPLETE,
            )
        )
    return study


def importances(
    trials: Sequence[Mapping[str, Any]], means: np.ndarray, mode: str
) -> dict[str, float]:
    """The share of the variance of a metric's rank that is due to each name that all trials have.

    Args:
      trials: the configurations.
      means: the metric of each, not finite where it did not finish: these share the worst rank.
      mode: which way it is better.
    """
    require("importances", "search", "optuna")
    require("importances", "data", "sklearn")
    import optuna

    worth = np.where(np.isfinite(means), means if mode == "min" else -means, np.inf)
    ranks = np.searchsorted(np.sort(worth), worth).astype(float)
    names = [n for n in trials[0] if all(n in trial for trial in trials)]
    kept = [{n: trial[n] for n in names} for trial in trials]
    nothing = np.zeros(0)
    study = told(kept, nothing, [nothing] * len(kept), ranks, np.zeros(len(kept), bool), "min")
    found = optuna.importance.get_param_importances(
        study, evaluator=optuna.importance.FanovaImportanceEvaluator(seed=0)
    )
    return {name: float(share) for name, share in found.items()}


def _distribution(optuna: Any, values: Sequence[Any]) -> Any:
    kinds = optuna.distributions
    if not all(map(is_scalar, values)):
        return kinds.CategoricalDistribution(list(dict.fromkeys(map(plain_or_named, values))))
    low, high = min(values), max(values)
    log = low > 0 and high / low > DECADE
    if all(float(v).is_integer() and isinstance(v, int) for v in values):
        return kinds.IntDistribution(low, high, log=log)
    return kinds.FloatDistribution(float(low), float(high), log=log)
