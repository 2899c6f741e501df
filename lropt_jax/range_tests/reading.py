"""From the lanes of one configuration to the rules' answers, with intervals from the seeds."""

from __future__ import annotations

import dataclasses
from typing import Any, NamedTuple

import numpy as np

from lropt_jax.range_tests import smoothing
from lropt_jax.range_tests.evidence import Evidence, evidence
from lropt_jax.range_tests.rules import Profile, Rule, answer

Array = np.ndarray[Any, Any]

RESAMPLES = 200
SLOPES = 2.0  # times the bandwidth: a slope is three times as unsure as the same curve's height
LEAST_SUPPORT = 0.5  # of the resamples must give a number


class Suggestion(NamedTuple):
    """A suggested learning rate and its 95% interval over seeds.

    Of a population each is an array with its axes, NaN where there is none.

    Attributes:
      value: what the rule says of the curve pooled over all seeds.
      low: the interval's lower end, NaN with a single seed.
      high: its upper end.

    See also:
      `lr_range_test`, `RangeTest`.

    Example:
      >>> from lropt_jax import adam, lr_range_test, problem
      >>> test = lr_range_test(problem("digits_linear"), adam, start=1e-5)
      >>> value, low, high = test.suggestions["knee"]
      >>> bool(low <= value <= high)
      True
    """

    value: Any
    low: Any
    high: Any


@dataclasses.dataclass(frozen=True)
class Answer:
    """What one rule says of one configuration.

    Attributes:
      suggestion: the rate with its interval, or None.
      reason: why there is none, or None.
      by_seed: what each seed alone would have said, (seeds,), NaN for nothing.
    """

    suggestion: Suggestion | None
    reason: str | None
    by_seed: Array


@dataclasses.dataclass(frozen=True)
class Curve:
    """A curve with what is known of it.

    Attributes:
      profile: as the rules see it.
      shortcoming: why no rule can answer, or None.
    """

    profile: Profile
    shortcoming: str | None

    def answer(self, rule: Rule) -> float | str:
        return self.shortcoming or answer(rule, self.profile)


@dataclasses.dataclass(frozen=True)
class Reading:
    """The curves of one configuration as the rules see them.

    Attributes:
      pooled: over all seeds.
      resampled: over each resample of the seeds; none with a single seed. That there is a fall,
        and a rise after it, is asked of all seeds together, not of each resample.
      own: of each seed.
    """

    pooled: Curve
    resampled: list[Profile]
    own: list[Curve]

    def ask(self, rule: Rule) -> Answer:
        by_seed = np.array([_number(curve.answer(rule)) for curve in self.own])
        value = self.pooled.answer(rule)
        if isinstance(value, str):
            return Answer(None, value, by_seed)
        if not self.resampled:
            return Answer(Suggestion(value, np.nan, np.nan), None, by_seed)
        answers = [answer(rule, profile) for profile in self.resampled]
        numbers = [a for a in answers if not isinstance(a, str)]
        if len(numbers) < LEAST_SUPPORT * len(answers):
            others = [a for a in answers if isinstance(a, str)]
            reason = max(others, key=others.count)
            return Answer(None, f"the seeds disagree; in most resamples {reason}", by_seed)
        low, high = np.exp(np.quantile(np.log(numbers), [0.025, 0.975]))
        # The percentile interval of a rule that jumps may leave out the value itself.
        interval = float(min(low, value)), float(max(high, value))
        return Answer(Suggestion(value, *interval), None, by_seed)


def pool(losses: Array, mask: Array) -> Array:
    """The median over seeds, (..., seeds, steps) -> (..., steps), lanes that no longer count
    being infinite; so it is infinite from where half of the seeds have diverged."""
    ordered = np.sort(np.where(mask, losses, np.inf), axis=-2)
    count = ordered.shape[-2]
    middle: Array = (ordered[..., (count - 1) // 2, :] + ordered[..., count // 2, :]) / 2
    return middle


def read(
    learning_rates: Array, losses: Array, mask: Array, bandwidth: float, split: str = "train"
) -> Reading:
    """Reads the lanes of one configuration.

    Args:
      learning_rates: (steps,).
      losses: (seeds, steps).
      mask: the rungs that count, of the same shape.
      bandwidth: of the smoothing, in rungs.
      split: what the losses are of, "train" or "valid".
    """
    seeds = len(losses)
    draws = np.random.default_rng(0).integers(seeds, size=(RESAMPLES, seeds))
    resampled = pool(losses[draws], mask[draws]) if seeds > 1 else losses[:0]
    curves = np.concatenate(
        [pool(losses, mask)[None], np.where(mask, losses, np.inf), resampled], axis=0
    )
    pooled, *others = _profiles(learning_rates, curves, bandwidth)
    found = evidence(losses, mask, pooled, split)
    own = [
        _curve(profile, evidence(losses[[s]], mask[[s]], profile, split))
        for s, profile in enumerate(others[:seeds])
    ]
    turning = [dataclasses.replace(p, turns=found.turns) for p in others[seeds:]]
    return Reading(_curve(pooled, found), turning, own)


def _curve(profile: Profile, found: Evidence) -> Curve:
    return Curve(dataclasses.replace(profile, turns=found.turns), found.shortcoming)


def _profiles(learning_rates: Array, curves: Array, bandwidth: float) -> list[Profile]:
    """Curves (n, steps), infinite from where they do not count."""
    mask = np.isfinite(curves)
    values, _ = smoothing.local_lines(curves, mask, bandwidth)
    _, slopes = smoothing.local_lines(curves, mask, SLOPES * bandwidth)
    errors = smoothing.standard_errors(curves, mask, bandwidth)
    x = np.log(learning_rates)
    per_log = slopes / np.gradient(x)
    return [
        Profile(x[:m], y[:m], s[:m], e[:m], len(x))
        for y, s, e, m in zip(values, per_log, errors, mask.sum(axis=-1), strict=True)
    ]


def _number(value: float | str) -> float:
    return np.nan if isinstance(value, str) else value
