"""Schedules that fall: one formula after another."""

from __future__ import annotations

from typing import Any

import jax.numpy as jnp

from lropt_jax.schedules.base import schedule
from lropt_jax.validation import Finite, NonNegative, Positive


@schedule
def linear(
    count: Any,
    init_value: Finite,
    end_value: Finite,
    transition_steps: Positive,
    transition_begin: NonNegative = 0,
) -> Any:
    r"""A straight line between two values, constant before and after it.

    .. math::
        \eta_t = \eta_0 + (\eta_T - \eta_0)\,\mathrm{clip}((t - b) / T,\, 0,\, 1)

    Args:
      init_value: $\eta_0$.
      end_value: $\eta_T$.
      transition_steps: $T$, in steps.
      transition_begin: $b$, in steps.

    Raises:
      ValueError: for concrete numbers that are not finite, or `transition_steps <= 0`.

    Example:
      >>> from lropt_jax import linear
      >>> float(linear(1.0, 0.0, transition_steps=4)(1))
      0.75
    """
    progress = jnp.clip((count - transition_begin) / transition_steps, 0, 1)
    return init_value + (end_value - init_value) * progress


@schedule
def exponential_decay(
    count: Any,
    init_value: Finite,
    decay_rate: Positive,
    transition_steps: Positive = 1,
    transition_begin: NonNegative = 0,
    staircase: bool = False,
    end_value: Finite | None = None,
) -> Any:
    r"""Exponential decay, smooth or in steps.

    .. math::
        \eta_t = \eta_0\, r^{(t - b)/T}, \qquad
        \eta_t = \eta_0\, r^{\lfloor (t - b)/T \rfloor} \text{ when staircase}

    Args:
      init_value: $\eta_0$, also the value before `transition_begin`.
      decay_rate: $r$, the factor over `transition_steps`.
      transition_steps: $T$, in steps.
      transition_begin: $b$, in steps.
      staircase: whether the exponent is rounded down.
      end_value: the bound that the value stops at (a lower one when $r < 1$), or None.

    Raises:
      ValueError: for concrete numbers out of range.

    Example:
      >>> from lropt_jax import exponential_decay
      >>> float(exponential_decay(1.0, 0.5, transition_steps=10)(20))
      0.25
    """
    progress = jnp.maximum(count - transition_begin, 0) / transition_steps
    if staircase:
        progress = jnp.floor(progress)
    value = init_value * decay_rate**progress
    if end_value is None:
        return value
    return jnp.where(decay_rate < 1, jnp.maximum(value, end_value), jnp.minimum(value, end_value))


@schedule
def step_decay(
    count: Any,
    init_value: Finite,
    drop: Positive = 0.5,
    every: Positive = 15,
    offset: Finite = 0,
) -> Any:
    r"""A drop by a constant factor every so many steps.

    .. math::
        \eta_t = \eta_0\, d^{\lfloor (t + o)/T \rfloor}

    Args:
      init_value: $\eta_0$.
      drop: $d$; the default halves.
      every: $T$, in steps (wrap in `per_epoch` to count epochs).
      offset: $o$, in steps; teaching code that counts `(1 + epoch) / every` has 1.

    Raises:
      ValueError: for concrete numbers out of range.

    Example:
      >>> from lropt_jax import step_decay
      >>> float(step_decay(0.8, drop=0.5, every=10)(25))
      0.2...
    """
    return init_value * drop ** jnp.floor((count + offset) / every)


@schedule
def cosine_decay(
    count: Any,
    init_value: Finite,
    decay_steps: Positive,
    alpha: Finite = 0.0,
    exponent: Positive = 1.0,
) -> Any:
    r"""Half a cosine from the first value to a fraction of it, constant after that.

    .. math::
        \eta_t = \eta_0 \left[(1 - \alpha)
        \left(\tfrac12 (1 + \cos \pi \min(t, T)/T)\right)^p + \alpha\right]

    Args:
      init_value: $\eta_0$.
      decay_steps: $T$, in steps.
      alpha: $\alpha$, the last value as a fraction of the first.
      exponent: $p$.

    Raises:
      ValueError: for concrete numbers out of range.

    Reference:
      Loshchilov and Hutter 2017, SGDR, arXiv:1608.03983 (without restarts).

    Example:
      >>> from lropt_jax import cosine_decay
      >>> float(cosine_decay(1.0, 100)(50))
      0.5
    """
    cosine = 0.5 * (1 + jnp.cos(jnp.pi * jnp.clip(count / decay_steps, 0, 1)))
    return init_value * ((1 - alpha) * cosine**exponent + alpha)
