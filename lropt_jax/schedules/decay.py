"""Schedules that fall by a rate or by drops: one formula after another."""

from __future__ import annotations

from typing import Any

import jax.numpy as jnp

from lropt_jax.schedules.constructor import schedule
from lropt_jax.schedules.shapes import real, segment_of, since, whole_parts
from lropt_jax.validation import (
    Finite,
    NonNegative,
    NonNegativeSteps,
    Positive,
    PositiveSteps,
    Steps,
    ascending,
    requires,
)


@schedule
def exponential_decay(
    count: Steps,
    init_value: Finite,
    decay_rate: Positive,
    transition_steps: PositiveSteps = 1,
    transition_begin: NonNegativeSteps = 0,
    staircase: bool = False,
    end_value: Finite | None = None,
) -> Any:
    r"""Exponential decay, smooth or in steps.

    .. math::
        \eta_t = \eta_0\, r^{(t - b)/T}, \qquad
        \eta_t = \eta_0\, r^{\lfloor (t - b)/T \rfloor} \text{ when staircase}

    Equal to Optax's `exponential_decay` and, with one step, to PyTorch's `ExponentialLR`.

    When to use:
      A rate that falls by the same factor every so many steps, for trainings without a fixed
      end. Start with a factor that leaves a hundredth at the end. Not where the end is known:
      it spends most of the time at rates that are too low; take `cosine_decay`.

    Args:
      init_value: $\eta_0$, also the value before `transition_begin`.
      decay_rate: $r$, the factor over `transition_steps`.
      transition_steps: $T$, in steps.
      transition_begin: $b$, in steps.
      staircase: whether the exponent is rounded down.
      end_value: the bound that the value stops at (a lower one when $r < 1$), or None.

    Raises:
      ValueError: for concrete numbers out of range.

    See also:
      `natural_exp_decay`, `step_decay`, `inverse_sqrt`.

    Example:
      >>> from lropt_jax import exponential_decay
      >>> s = exponential_decay(1e-3, 0.5, transition_steps=1000)  # halves every 1,000 updates
      >>> [round(float(s(t)), 6) for t in (0, 500, 1000, 5000)]
      [0.001, 0.000707, 0.0005, 3.1e-05]
    """
    elapsed = jnp.maximum(since(count, transition_begin), 0)
    value = init_value * decay_rate ** _exponent(elapsed, transition_steps, staircase)
    if end_value is None:
        return value
    return jnp.where(decay_rate < 1, jnp.maximum(value, end_value), jnp.minimum(value, end_value))


@schedule
def natural_exp_decay(count: Any, init_value: Finite, decay_rate: NonNegative) -> Any:
    r"""Exponential decay by a rate of the natural exponential: $\eta_t = \eta_0\, e^{-kt}$.

    When to use:
      Where a paper states its decay as a rate $k$ per step. Start with $k = 4.6/N$, a
      hundredth after $N$ steps. Not where the end is known: take `cosine_decay`.

    Args:
      init_value: $\eta_0$.
      decay_rate: $k$, per step.

    Raises:
      ValueError: for concrete numbers out of range.

    See also:
      `exponential_decay`, the same by a factor, `inverse_time_decay`.

    Example:
      >>> from lropt_jax import natural_exp_decay
      >>> s = natural_exp_decay(0.1, decay_rate=4.6 / 5000)
      >>> [round(float(s(t)), 6) for t in (0, 2500, 5000)]
      [0.1, 0.010026, 0.001005]
    """
    return init_value * jnp.exp(-decay_rate * count)


@schedule
def inverse_time_decay(
    count: Steps,
    init_value: Finite,
    decay_rate: NonNegative,
    transition_steps: PositiveSteps = 1,
    staircase: bool = False,
) -> Any:
    r"""A hyperbola, smooth or in steps.

    .. math::
        \eta_t = \frac{\eta_0}{1 + k\, t/T}, \qquad
        \eta_t = \frac{\eta_0}{1 + k \lfloor t/T \rfloor} \text{ when staircase}

    Equal to Keras's `InverseTimeDecay`.

    When to use:
      Where theory asks for steps that sum to infinity while their squares do not: stochastic
      approximation, convex problems. Start with a `decay_rate` of 1 and an epoch as
      `transition_steps`, which halves the rate after the first. Not for deep nets, on which it
      falls too early and then hardly at all.

    Args:
      init_value: $\eta_0$.
      decay_rate: $k$, per `transition_steps`.
      transition_steps: $T$, in steps.
      staircase: whether $t/T$ is rounded down.

    Raises:
      ValueError: for concrete numbers out of range.

    Reference:
      Robbins and Monro 1951, A stochastic approximation method.

    See also:
      `time_decay`, Keras's recursion, `inverse_sqrt`.

    Example:
      >>> from lropt_jax import inverse_time_decay
      >>> s = inverse_time_decay(0.1, decay_rate=1.0, transition_steps=100)  # updates of an epoch
      >>> [round(float(s(t)), 6) for t in (0, 100, 900)]
      [0.1, 0.05, 0.01]
    """
    return init_value / (1 + decay_rate * _exponent(count, transition_steps, staircase))


@schedule
def step_decay(
    count: Steps,
    init_value: Finite,
    drop: Positive = 0.5,
    every: PositiveSteps = 15,
    offset: Steps = 0,
) -> Any:
    r"""A drop by a constant factor every so many steps.

    .. math::
        \eta_t = \eta_0\, d^{\lfloor (t + o)/T \rfloor}

    Equal to PyTorch's `StepLR` (whose default drop is 0.1).

    When to use:
      Epochs in a loop and drops in steps: with `per_epoch`, `every` is in epochs. Start with
      a drop by ten at equal thirds (images), or by two every 15 epochs. Not for short
      trainings: a cosine has no two numbers to tune.

    Args:
      init_value: $\eta_0$.
      drop: $d$; the default halves.
      every: $T$, in steps (wrap in `per_epoch` to count epochs).
      offset: $o$, in steps; teaching code that counts `(1 + epoch) / every` has 1.

    Raises:
      ValueError: for concrete numbers out of range.

    See also:
      `piecewise_constant` for drops where you want them, `reduce_on_plateau` for when it
      stalls.

    Example:
      >>> from lropt_jax import per_epoch, step_decay
      >>> s = per_epoch(step_decay(0.1, drop=0.1, every=30), steps_per_epoch=390)
      >>> [round(float(s(390 * epoch)), 6) for epoch in (0, 29, 30, 60)]
      [0.1, 0.1, 0.01, 0.001]
    """
    return init_value * drop ** real(whole_parts(since(count, -offset), every))


def _check_pieces(boundaries: Any, values: Any) -> None:
    ascending("piecewise_constant: boundaries", boundaries, one_less_than=("values", values))


@schedule
@requires(_check_pieces)
def piecewise_constant(
    count: Steps, boundaries: tuple[Steps, ...], values: tuple[Finite, ...]
) -> Any:
    r"""One value after another, from boundary to boundary.

    .. math::
        \eta_t = v_i, \qquad i = |\{j : b_j \le t\}|

    Equal to PyTorch's `MultiStepLR` for values that fall by its gamma. Optax's
    `piecewise_constant_schedule` takes scales, ours the values. A boundary that stands twice
    skips the value between.

    When to use:
      To repeat a recipe with drops at given steps (ResNets: by ten at a half and three
      quarters). Start with these. Not for short trainings: `cosine_decay` has nothing to
      place.

    Args:
      boundaries: $b$, in steps, ascending: a list of numbers, or one array.
      values: $v$, one more than boundaries.

    Raises:
      ValueError: when the lengths do not fit, the boundaries are not ascending, or a concrete
        number is not finite.

    Reference:
      He et al. 2015, Deep residual learning, arXiv:1512.03385 (the recipe).

    See also:
      `step_decay`, `sequence` for pieces that are not constant.

    Example:
      >>> from lropt_jax import piecewise_constant, sgd
      >>> s = piecewise_constant([32_000, 48_000], [0.1, 0.01, 0.001])  # ResNets on CIFAR-10
      >>> [round(float(s(t)), 6) for t in (31_999, 32_000, 48_000)]
      [0.1, 0.01, 0.001]
      >>> tx = sgd(s, momentum=0.9, l2=1e-4)
    """
    return jnp.stack(list(values))[segment_of(count, boundaries)]


def _exponent(elapsed: Any, steps: Any, staircase: Any) -> Any:
    """elapsed / steps, rounded down in a staircase."""
    return jnp.where(staircase, real(whole_parts(elapsed, steps)), real(elapsed) / real(steps))
