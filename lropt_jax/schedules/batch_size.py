"""Growing the batch in place of decaying the learning rate."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from lropt_jax.schedules.base import Schedule, value_at
from lropt_jax.schedules.composition import as_schedule
from lropt_jax.schedules.constructor import schedule
from lropt_jax.validation import (
    AtLeastOne,
    Number,
    Steps,
    Varying,
    at_least_one,
    is_number,
    positive,
)

_schedule = schedule  # the formulas have an argument of this name


def batch_size_from(
    schedule: Schedule | Callable[[Any], Any],
    batch_size: Number,
    max_batch_size: Number,
) -> tuple[Schedule, Schedule]:
    r"""Turns a learning-rate decay into a growing batch and what is left of the decay.

    .. math::
        B_t = B \min\left(\max\left(1, \left\lfloor \frac{s(0)}{s(t)} \right\rfloor\right),
        \left\lfloor \frac{B_{\max}}{B} \right\rfloor\right), \qquad
        \eta_t = s(t)\, \frac{B_t}{B}

    The noise of SGD is about $\eta/B$, so growing the batch by the factor that the learning rate
    would fall by gives the same curve for fewer updates, as long as the batch is small against
    the training set. Give it the decay without a warm-up: $s(0)$ is what the rate is compared with.

    When to use:
      Where larger batches are cheap (an accelerator that is not full): the same noise, fewer
      updates. Start with a decay that was good as it stands. It saves little time on a CPU,
      and is no longer the same once the batch is not small against the training set.

    Args:
      schedule: $s$, a decay, with $s(0) > 0$.
      batch_size: $B$, in examples, the batch at the start. With 1, the batch is in microbatches:
        what `accumulate` takes.
      max_batch_size: $B_{\max}$, in examples; the batch is a multiple of $B$ not above it.

    Returns:
      The batch size and the learning rate, two schedules of the update count.

    Raises:
      ValueError: for concrete numbers out of range, $s(0) \le 0$, or a schedule that observes
        (its value at 0 changes).
      TypeError: for what is no number or schedule.

    Reference:
      Smith et al. 2018, Don't Decay the Learning Rate, Increase the Batch Size, arXiv:1711.00489.

    See also:
      `accumulate`, `step_decay`.

    Example:
      >>> from lropt_jax import batch_size_from, step_decay
      >>> batch, rate = batch_size_from(step_decay(0.1, drop=0.2, every=10), 32, 320)
      >>> [float(batch(t)) for t in (0, 10, 20)]
      [32.0, 160.0, 320.0]
      >>> [round(float(rate(t)), 6) for t in (0, 10, 20)]
      [0.1, 0.1, 0.04]
    """
    decay = as_schedule(schedule, "batch_size_from: schedule")
    if decay.observes:
        raise ValueError(f"batch_size_from: schedule must not observe, got {decay!r}")
    positive.check("batch_size_from: schedule(0)", decay(0))
    for name, size in (("batch_size", batch_size), ("max_batch_size", max_batch_size)):
        if not is_number(size):
            raise TypeError(f"batch_size_from: {name} must be a number, got {size!r}")
        at_least_one.check(f"batch_size_from: {name}", size)
    traced = any(isinstance(x, jax.core.Tracer) for x in (batch_size, max_batch_size))
    if not traced and max_batch_size < batch_size:
        raise ValueError(
            f"batch_size_from: max_batch_size must be at least batch_size = {batch_size}, "
            f"got {max_batch_size}"
        )
    return (
        grown_batch_size(decay, batch_size, max_batch_size),
        grown_batch_learning_rate(decay, batch_size, max_batch_size),
    )


@_schedule
def grown_batch_size(
    count: Steps, schedule: Varying, batch_size: AtLeastOne, max_batch_size: AtLeastOne
) -> Any:
    """The batch size of `batch_size_from`."""
    return batch_size * _growth(count, schedule, batch_size, max_batch_size)


@_schedule
def grown_batch_learning_rate(
    count: Steps, schedule: Varying, batch_size: AtLeastOne, max_batch_size: AtLeastOne
) -> Any:
    """The learning rate of `batch_size_from`."""
    return value_at(schedule, count) * _growth(count, schedule, batch_size, max_batch_size)


def _growth(count: Any, schedule: Any, batch_size: Any, max_batch_size: Any) -> Any:
    value = jax.lax.stop_gradient(value_at(schedule, count))
    most = jnp.floor_divide(max_batch_size, batch_size)
    ratio = jax.lax.stop_gradient(value_at(schedule, 0)) / jnp.where(value > 0, value, 1)
    # 1 / 0.2 may come out below 5: a ratio within rounding of a whole number is that number.
    ratio = jnp.floor(ratio * (1 + 32 * np.finfo(ratio.dtype).eps))
    return jnp.clip(jnp.where(value > 0, ratio, most), 1, most)
