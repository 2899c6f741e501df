"""Which go on? Rules that decide between segments, on NumPy values alone."""

from __future__ import annotations

import dataclasses
from collections.abc import Collection, Mapping, Sequence
from typing import Any, Protocol

import numpy as np

from lropt_jax.tasks.metrics import direction
from lropt_jax.training.visits import Itinerary
from lropt_jax.validation import is_scalar, whole_number
from lropt_jax.validation import names as listed


@dataclasses.dataclass(frozen=True)
class Copy:
    """A trial that takes over another's weights, with numbers of its own.

    Attributes:
      trial: who copies.
      source: from whom.
      numbers: the copy's hyperparameters from then on, by name.
    """

    trial: int
    source: int
    numbers: dict[str, float]


@dataclasses.dataclass(frozen=True)
class Decision:
    """What happens after a rung: the trials that go on, and the copies among them."""

    alive: tuple[int, ...]
    copies: tuple[Copy, ...] = ()


@dataclasses.dataclass(frozen=True)
class Standing:
    """What a rule decides by.

    Attributes:
      rung: which decision this is, from 0.
      alive: the trials that are still trained.
      values: the rule's metric, (trials, seeds).
      group: each trial's group; copies stay within one.
      numbers: each trial's hyperparameters as they are now.
      bounds: the lowest and the highest value of each name in the space.
      seed: whatever is random comes from here.
      whole: the names whose values are whole numbers in the space.
    """

    rung: int
    alive: tuple[int, ...]
    values: np.ndarray
    group: Sequence[int] = ()
    numbers: Sequence[Mapping[str, float]] = ()
    bounds: Mapping[str, tuple[float, float]] = dataclasses.field(default_factory=dict)
    seed: tuple[int, ...] = (0,)
    whole: frozenset[str] = frozenset()


class Rule(Protocol):
    """What `sweep(prune=...)` takes."""

    @property
    def metric(self) -> str:
        """What it ranks by."""

    def rungs(self, plan: Itinerary) -> list[int]:
        """After how many evaluations it decides, ascending, the last evaluation excluded.

        Raises:
          ValueError: when a rung is not at an evaluation.
        """

    def decide(self, standing: Standing) -> Decision:
        """Who goes on after a rung."""


@dataclasses.dataclass(frozen=True)
class SuccessiveHalving:
    """See `successive_halving`."""

    eta: float
    min_steps: int
    metric: str
    mode: str

    def rungs(self, plan: Itinerary) -> list[int]:
        rungs, steps = [], float(self.min_steps)
        while steps < plan.steps:
            rungs.append(_evaluation("min_steps times a power of eta", steps, plan))
            steps *= self.eta
        return rungs

    def decide(self, standing: Standing) -> Decision:
        order = ranked(standing.values, standing.alive, self.mode)
        return Decision(tuple(sorted(order[: max(1, int(len(order) / self.eta))])))


def successive_halving(
    eta: float = 3, min_steps: int = 1, metric: str = "valid_loss", mode: str | None = None
) -> SuccessiveHalving:
    """Trains the best `1/eta` of the configurations `eta` times as long, again and again.

    The rungs are at `min_steps`, `eta * min_steps`, ... updates. At each, configurations are
    ranked by the metric's mean over all their seeds; one non-finite seed puts a configuration
    last, ties go to the lower trial number. The survivors of all chunks are packed into full
    chunks and go on; the others have the status "pruned". The places that a chunk does not
    fill take no time under "map", in whole blocks none under "map:8", and under "vmap" as much as
    a lane.

    When to use:
      When most configurations are bad early on. Start with `eta=3` and a first rung at a
      tenth of the training. Not where slow starters win, as with long warm-ups or strong
      decay; and a pruned sweep cannot grow.

    Args:
      eta: the share that goes on is `1/eta`, rounded down, but at least one configuration.
      min_steps: updates before the first rung; each rung must be a multiple of `eval_every`.
      metric: to rank by; `train_loss` is taken where the task has no validation split.
      mode: whether the metric's "min" or "max" is best; None: as the last word of its name says.

    Raises:
      ValueError: unless `eta > 1`, `min_steps >= 1`, and `mode` or the metric's name says which
        way is better.

    Reference:
      Jamieson and Talwalkar 2015, arXiv:1502.07943; Li et al. 2018, arXiv:1810.05934.

    See also:
      `sweep`, `pbt`, `early_stopping` within one training.

    Example:
      >>> from lropt_jax import log_uniform, problem, sgd, successive_halving, sweep
      >>> task, space = problem("digits_linear"), {"learning_rate": log_uniform(1e-3, 10.0)}
      >>> rule = successive_halving(eta=3, min_steps=10)  # 9 configurations, then 3, then 1
      >>> result = sweep(task, sgd, space, 9, steps=90, eval_every=10, prune=rule, progress=False)
      >>> int((result.status == "pruned").sum())
      8
    """
    if not (_finite(eta) and eta > 1):
        raise ValueError(f"successive_halving: eta must be a finite number > 1, got {eta!r}")
    min_steps = whole_number("successive_halving: min_steps", min_steps)
    return SuccessiveHalving(eta, min_steps, metric, direction(metric, mode))


@dataclasses.dataclass(frozen=True)
class PopulationBased:
    """See `pbt`."""

    every: int
    fraction: float
    factors: tuple[float, ...]
    names: tuple[str, ...] | None
    metric: str
    mode: str

    def rungs(self, plan: Itinerary) -> list[int]:
        stops = range(self.every, plan.steps, self.every)
        return [_evaluation("multiples of every", s, plan) for s in stops]

    def decide(self, standing: Standing) -> Decision:
        random = np.random.default_rng([*standing.seed, standing.rung])
        copies: list[Copy] = []
        groups = standing.group or [0] * len(standing.values)
        for group in sorted({groups[t] for t in standing.alive}):
            members = [t for t in standing.alive if groups[t] == group]
            order = ranked(standing.values, members, self.mode)
            count = min(max(1, int(len(order) * self.fraction)), len(order) // 2)
            for loser in sorted(order[len(order) - count :]):
                source = order[int(random.integers(count))]
                numbers = self._perturbed(standing, source, random)
                copies.append(Copy(loser, source, numbers))
        return Decision(standing.alive, tuple(copies))

    def _perturbed(
        self, standing: Standing, source: int, random: np.random.Generator
    ) -> dict[str, float]:
        numbers = dict(standing.numbers[source])
        for name in sorted(numbers):
            factor = self.factors[int(random.integers(len(self.factors)))]
            if self.names is None or name in self.names:
                low, high = standing.bounds.get(name, (-np.inf, np.inf))
                value = float(min(max(numbers[name] * factor, low), high))
                numbers[name] = float(round(value)) if name in standing.whole else value
        return numbers


def pbt(
    every: int,
    fraction: float = 0.25,
    factors: Sequence[float] = (0.8, 1.25),
    names: str | Sequence[str] | None = None,
    metric: str = "valid_loss",
    mode: str | None = None,
) -> PopulationBased:
    """Population-based training: the worst take over the weights of the best.

    Every so many updates each of the worst configurations copies weights and optimizer state,
    seed by seed, of one of the best, and its hyperparameters times a random factor each, kept
    within the space's lowest and highest value; whole numbers (`integer`) stay whole. All trials
    are trained to the end; the result's `lineage` says who copied whom and when.

    When to use:
      When the best hyperparameters change during a training and a schedule for them is
      unknown. Start with 16 to 32 lanes and 10 to 20 moments of exchange. What comes out is
      one lucky path, not a setting: train its schedule anew before you report it.

    Args:
      every: updates between copies, a multiple of `eval_every`.
      fraction: of the configurations that copy, and to copy from, in (0, 0.5].
      factors: what a copied number is multiplied by, one drawn for each number.
      names: the numbers that change; all by default.
      metric: to rank by; `train_loss` is taken where the task has no validation split.
      mode: whether the metric's "min" or "max" is best; None: as the last word of its name says.

    Raises:
      ValueError: for numbers out of these ranges.

    Reference:
      Jaderberg et al. 2017, Population based training, arXiv:1711.09846.

    See also:
      `successive_halving`, `sweep`.

    Example:
      >>> from lropt_jax import log_uniform, pbt, problem, sgd, sweep
      >>> task, space = problem("digits_linear"), {"learning_rate": log_uniform(1e-3, 10.0)}
      >>> rule = pbt(every=20)
      >>> result = sweep(task, sgd, space, 8, steps=100, eval_every=20, prune=rule, progress=False)
      >>> sorted({event.step for event in result.lineage})
      [20, 40, 60, 80]
    """
    every = whole_number("pbt: every", every)
    if not (_finite(fraction) and 0 < fraction <= 0.5):
        raise ValueError(f"pbt: fraction must be in (0, 0.5], got {fraction!r}")
    given = list(factors) if isinstance(factors, Collection) else []
    if not given or not all(_finite(f) and f > 0 for f in given):
        raise ValueError(f"pbt: factors must be finite numbers > 0, got {factors!r}")
    chosen = None if names is None else listed(names)
    return PopulationBased(
        every, fraction, tuple(map(float, given)), chosen, metric, direction(metric, mode)
    )


def ranked(values: np.ndarray, trials: Sequence[int], mode: str) -> list[int]:
    """Trials from the best to the worst by their mean over seeds, non-finite ones last.

    Args:
      values: (trials, seeds).
      trials: those to rank.
      mode: "min" or "max".
    """
    trials = sorted(trials)
    means = np.asarray(values, float)[trials].mean(axis=1)
    keys = np.where(np.isfinite(means), means if mode == "min" else -means, np.inf)
    return [trials[i] for i in np.argsort(keys, kind="stable")]


def _evaluation(what: str, steps: float, plan: Itinerary) -> int:
    if steps % plan.eval_every:
        raise ValueError(
            f"prune: it decides at {what}, here at update {steps:g}, which is no multiple of "
            f"eval_every={plan.eval_every}"
        )
    return int(steps) // plan.eval_every


def _finite(value: Any) -> bool:
    return is_scalar(value) and bool(np.isfinite(value))
