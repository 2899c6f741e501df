"""Schedules made of schedules."""

from __future__ import annotations

import itertools
from typing import Any

import jax.numpy as jnp

from lropt_jax.schedules.base import Schedule, from_callable, value_at
from lropt_jax.schedules.constructor import schedule
from lropt_jax.schedules.ramps import constant
from lropt_jax.schedules.shapes import (
    between,
    earlier,
    progress,
    segment_of,
    since,
    whole_parts,
)
from lropt_jax.validation import (
    Finite,
    NonNegativeSteps,
    PositiveSteps,
    Steps,
    Varying,
    ascending,
    is_number,
    requires,
)

_schedule = schedule  # some formulas have an argument of this name


def as_schedule(value: Any, name: str = "a schedule") -> Schedule:
    """A number, a schedule or a callable as a `Schedule`; an error calls it by the name."""
    if not (is_number(value) or callable(value)):
        raise TypeError(
            f"{name} must be a number, a schedule or a callable of count, got {value!r}"
        )
    return from_callable(value, name) if callable(value) else constant(value)


@_schedule
def product(count: Steps, first: Varying, second: Varying) -> Any:
    r"""The product of two schedules (or numbers): what `a * b` makes.

    Equal to PyTorch's `ChainedScheduler` of factors.

    Args:
      first, second: schedules, numbers or plain callables of count.

    Raises:
      ValueError: for a concrete number that is not finite.

    Example:
      >>> from lropt_jax import constant
      >>> float((2.0 * constant(0.25))(0))
      0.5
    """
    return value_at(first, count) * value_at(second, count)


Schedule.times = product


@_schedule
def warmup(
    count: Steps, schedule: Varying, steps: NonNegativeSteps, init_value: Finite = 0.0
) -> Any:
    r"""A linear warm-up into any schedule, which then starts at its own 0.

    .. math::
        \eta_t = v + (s(0) - v)\, t / T \;\text{ for } t < T, \qquad s(t - T) \text{ after it}

    Equal to Optax's `warmup_cosine_decay_schedule`, where $s$ is a cosine over what is left.

    When to use:
      Before any schedule, with adaptive optimizers, large batches or high rates. Start with
      5% of the updates, or $2/(1 - \beta_2)$ of them for Adam. Not a cure for a peak that is
      too high: what diverges right after the ramp needs a lower rate. `one_cycle`,
      `inverse_sqrt` and `warmup_stable_decay` have one already.

    Args:
      schedule: $s$, a schedule, a number or a plain callable of count.
      steps: $T$, in steps; 0 means none.
      init_value: $v$, the value at step 0.

    Raises:
      ValueError: for concrete numbers out of range.

    Reference:
      Goyal et al. 2017, Accurate, large minibatch SGD, arXiv:1706.02677; the length for Adam: Ma
      and Yarats 2021, On the adequacy of untuned warmup, arXiv:1910.04209.

    See also:
      `sequence`, `cosine_decay`.

    Example:
      >>> from lropt_jax import cosine_decay, warmup
      >>> s = warmup(cosine_decay(1.0, 100), steps=10)
      >>> [round(float(s(t)), 6) for t in (0, 5, 10, 60)]
      [0.0, 0.5, 1.0, 0.5]
    """
    rising = between(value_at(schedule, 0), init_value, progress(count, steps))
    after = since(count, steps)
    return jnp.where(after < 0, rising, value_at(schedule, jnp.maximum(after, 0)))


def _check_sequence(schedules: Any, boundaries: Any) -> None:
    ascending("sequence: boundaries", boundaries, one_less_than=("schedules", schedules))


@_schedule
@requires(_check_sequence)
def sequence(count: Steps, schedules: tuple[Varying, ...], boundaries: tuple[Steps, ...]) -> Any:
    r"""One schedule after another, each from its own 0.

    .. math::
        \eta_t = s_i(t - b_{i-1}), \qquad b_{i-1} \le t < b_i, \quad b_{-1} = 0

    Equal to Optax's `join_schedules` and PyTorch's `SequentialLR`. A boundary that stands twice
    skips the schedule between. No schedule is evaluated outside its own steps, so gradients
    through the others stay finite.

    When to use:
      To put any schedules one after another, where no named one fits. Start from `warmup` and
      `warmup_stable_decay`, which are the common cases. Each piece begins at its own 0: a
      decay cut off by a boundary jumps there.

    Args:
      schedules: $s$, schedules, numbers or plain callables of count.
      boundaries: $b$, in steps, ascending, one fewer: a list of numbers, or one array.

    Raises:
      ValueError: when the lengths do not fit, the boundaries are not ascending, or a concrete
        number is not finite.

    See also:
      `warmup`, `piecewise_constant`, `per_epoch`.

    Example:
      >>> from lropt_jax import constant, linear, sequence
      >>> s = sequence([linear(0.0, 1.0, 10), constant(1.0), linear(1.0, 0.0, 10)], [10, 90])
      >>> [float(s(t)) for t in (5, 50, 95)]
      [0.5, 1.0, 0.5]
    """
    starts = [0, *boundaries]
    own = [jnp.maximum(since(count, start), 0) for start in starts]
    lengths = [since(end, start) for start, end in itertools.pairwise(starts)]
    own[:-1] = [earlier(t, n) for t, n in zip(own[:-1], lengths, strict=True)]
    values = [jnp.asarray(value_at(s, t)) for s, t in zip(schedules, own, strict=True)]
    return jnp.stack(jnp.broadcast_arrays(*values))[segment_of(count, boundaries)]


@_schedule
def delayed(count: Steps, schedule: Varying, steps: NonNegativeSteps) -> Any:
    r"""A schedule from its own 0 at a later step: $\eta_t = s(\max(t - T, 0))$.

    Args:
      schedule: $s$, a schedule, a number or a plain callable of count.
      steps: $T$, in steps.

    Raises:
      ValueError: for a concrete number out of range.

    Example:
      >>> from lropt_jax import linear
      >>> from lropt_jax.schedules import delayed
      >>> s = delayed(linear(1.0, 0.0, 4), steps=10)
      >>> [float(s(t)) for t in (0, 10, 12)]
      [1.0, 1.0, 0.5]
    """
    return value_at(schedule, jnp.maximum(since(count, steps), 0))


@_schedule
def per_epoch(count: Steps, schedule: Varying, steps_per_epoch: PositiveSteps) -> Any:
    r"""A schedule of epochs in an optimizer that counts steps: $\eta_t = s(\lfloor t/T \rfloor)$.

    When to use:
      To repeat recipes and PyTorch code that step a scheduler once an epoch. Start with
      `steps_per_epoch=task.steps_per_epoch`. Not for new work: a smooth schedule is as good,
      and needs no batch count.

    Args:
      schedule: $s$, a schedule, a number or a plain callable of the epoch, from 0.
      steps_per_epoch: $T$, in steps.

    Raises:
      ValueError: for concrete numbers out of range.

    See also:
      `step_decay`, `piecewise_constant`.

    Example:
      >>> from lropt_jax import per_epoch, step_decay
      >>> s = per_epoch(step_decay(1.0, drop=0.5, every=10), steps_per_epoch=100)
      >>> float(s(999)), float(s(1000))
      (1.0, 0.5)
    """
    return value_at(schedule, whole_parts(count, steps_per_epoch))
