"""One optimizer's part in a comparison: what was tuned, chosen and retrained."""

from __future__ import annotations

import dataclasses
import functools
import math
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from lropt_jax.comparisons.proposals import distinct
from lropt_jax.comparisons.splits import DEVIATION, without_deviations
from lropt_jax.progress import several
from lropt_jax.sweeps.results.cautions import Caution, cautions
from lropt_jax.sweeps.results.result import SweepResult
from lropt_jax.validation import is_scalar

GAP = "generalization_gap"


@dataclasses.dataclass(repr=False)
class Contestant:
    """One optimizer's part in a comparison.

    Attributes:
      name: its name.
      chosen: the configuration selected on validation data; empty where none finished.
      tuning: the sweeps that it was selected from; no test metric is in it anywhere.
      widened: how many configurations were tried beyond its grid, because the choice lay on an
        edge.
      refined: how many were tried to equal the others' budget, within its grid.
      retraining: the chosen configuration on fresh seeds; without a trial where there is none.
      cautions: what is to be said about where the choice stands.
      failure: why there is no choice, or nothing.
      deviations: the standard deviation over examples of each metric of a whole split, (seeds,).
      code: the line that makes the chosen optimizer.
      memory: bytes of its state over those of the parameters, NaN where they are not known.
    """

    name: str
    chosen: dict[str, Any]
    tuning: SweepResult
    widened: int
    refined: int
    retraining: SweepResult
    cautions: list[Caution] = dataclasses.field(default_factory=list)
    failure: str = ""
    deviations: dict[str, np.ndarray] = dataclasses.field(default_factory=dict)
    code: str = ""
    memory: float = math.nan

    def __repr__(self) -> str:
        if self.failure:
            return f"Contestant {self.name}: {self.failure}"
        values = ", ".join(f"{k}={getattr(v, '__name__', v)}" for k, v in self.chosen.items())
        return (
            f"Contestant {self.name}: {values} of {several(self.configurations, 'configuration')}, "
            f"retrained on {several(len(self.retraining.seeds), 'seed')}, {self.finished} finished"
        )

    @property
    def at_edge(self) -> bool:
        """Whether the choice lies on an edge of all that was tried."""
        return any(caution.kind == "edge" for caution in self.cautions)

    @property
    def configurations(self) -> int:
        """How many different ones were tried."""
        return distinct(self.tuning.trials)

    @property
    def finished(self) -> int:
        """The seeds on which the retraining finished."""
        return int((self.retraining.status == "finished").sum())

    @property
    def tuned(self) -> str | None:
        """The hyperparameter that is looked at: the learning rate, or the first number that took at
        least three values, all positive."""
        trials = self.tuning.trials
        for name in sorted(trials[0], key=lambda name: name != "learning_rate"):
            given = [trial.get(name) for trial in trials]
            numbers = {float(v) for v in given if is_scalar(v)}  # type: ignore[arg-type]
            if len(numbers) > 2 and min(numbers) > 0:
                return name
        return None

    def final(self, metric: str) -> np.ndarray:
        """A metric of the retrained models over whole splits, one value a seed; NaN for a seed that
        did not finish."""
        if not self.chosen:
            return np.full(len(self.retraining.seeds), np.nan)
        return np.array(self.retraining.final[metric][0])


def contestant(
    name: str,
    tuning: SweepResult,
    best: int | None,
    retrain: Callable[[dict[str, Any]], SweepResult],
    fresh: Sequence[int],
    select: str,
    mode: str,
    start: float | None,
    widened: int,
    refined: int,
    code: Callable[[dict[str, Any]], str],
) -> Contestant:
    """A contestant, retrained with its best configuration, if there is one.

    Args:
      name: its name.
      tuning: all that was tried.
      best: the number of the configuration chosen, or None where none finished.
      retrain: trains a configuration on the fresh seeds.
      fresh: these.
      select: the metric that decides.
      mode: which way it is better.
      start: that metric before training, where it is known.
      widened, refined: see `Contestant`.
      code: makes the line of a configuration.
    """
    make = functools.partial(Contestant, name, widened=widened, refined=refined, tuning=tuning)
    if best is None:
        failure = _failure(tuning, select)
        return make(chosen={}, retraining=_nothing(tuning, fresh), failure=failure)
    chosen = dict(tuning.trials[best])
    scores, diverged = tuning.means(select), (tuning.status == "diverged").any(axis=1)
    retraining = retrain(chosen)
    deviations = {
        metric.removesuffix(DEVIATION): values[0]
        for metric, values in retraining.final.items()
        if metric.endswith(DEVIATION)
    }
    retraining = dataclasses.replace(
        retraining,
        values=without_deviations(retraining.values),
        final=without_deviations(retraining.final),
    )
    return make(
        chosen=chosen,
        retraining=retraining,
        cautions=cautions(tuning.trials, scores, diverged, best, select, mode, start),
        deviations=deviations,
        code=code({k: v for k, v in chosen.items() if k not in tuning.of_task}),
    )


def _failure(tuning: SweepResult, select: str) -> str:
    """Why nothing could be chosen."""
    lost = tuning.status == "diverged"
    if not lost.any(axis=1).all():
        return f"its {select} is finite on all seeds for none of the configurations that finished"
    if (tuning.diverged_at[lost] == 0).all():
        return "its training loss is not finite before any update: look at the task"
    return "every configuration diverged on some seed: widen its space towards smaller values"


def _nothing(tuning: SweepResult, seeds: Sequence[int]) -> SweepResult:
    """A retraining without a trial."""
    shape = (0, len(seeds))
    values = {name: np.zeros((*shape, len(tuning.steps))) for name in tuning.values}
    whole = np.zeros(shape, int)
    return SweepResult(
        [], list(seeds), tuning.steps, values, {}, np.zeros(shape, object), whole, whole
    )
