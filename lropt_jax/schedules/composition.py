"""Schedules made of schedules."""

from __future__ import annotations

from typing import Any

import jax.numpy as jnp

from lropt_jax.schedules.base import schedule, value_at
from lropt_jax.validation import Finite, NonNegative


@schedule
def warmup(count: Any, schedule: Any, steps: NonNegative, init_value: Finite = 0.0) -> Any:
    r"""A linear warm-up into any schedule, which then starts at its own 0.

    .. math::
        \eta_t = v + (s(0) - v)\, t / T \;\text{ for } t < T, \qquad s(t - T) \text{ after it}

    Args:
      schedule: $s$, a schedule, a number or a plain callable of count.
      steps: $T$, in steps; 0 means none.
      init_value: $v$, the value at step 0.

    Raises:
      ValueError: for concrete numbers out of range.

    Example:
      >>> from lropt_jax import cosine_decay, warmup
      >>> s = warmup(cosine_decay(1.0, 100), steps=10)
      >>> [float(s(t)) for t in (0, 5, 10, 60)]
      [0.0, 0.5, 1.0, 0.5]
    """
    rising = init_value + (value_at(schedule, 0) - init_value) * count / jnp.maximum(steps, 1e-8)
    return jnp.where(count < steps, rising, value_at(schedule, jnp.maximum(count - steps, 0)))
