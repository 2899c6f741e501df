"""Schedules that go from one value to another in a given number of steps."""

from __future__ import annotations

from typing import Any

from lropt_jax.schedules import shapes
from lropt_jax.schedules.constructor import schedule
from lropt_jax.schedules.shapes import between, progress, remaining, since
from lropt_jax.validation import (
    Finite,
    NonNegative,
    NonNegativeSteps,
    Positive,
    PositiveSteps,
    Steps,
)


@schedule
def constant(count: Any, value: Finite) -> Any:
    r"""A constant: $\eta_t = v$.

    When to use:
      A baseline, and a rate that `set_hyperparams` changes by hand. Start with a third of the
      rate at which an `lr_range_test` blows up. Not for a final result: nearly every decay
      beats it.

    Args:
      value: $v$, the value at every count.

    Raises:
      ValueError: for a concrete number that is not finite.

    See also:
      `cosine_decay`, `warmup`.

    Example:
      >>> from lropt_jax import constant, warmup
      >>> s = warmup(constant(0.1), steps=100)
      >>> [round(float(s(t)), 6) for t in (0, 50, 100, 10_000)]
      [0.0, 0.05, 0.1, 0.1]
    """
    return value


@schedule
def linear(
    count: Steps,
    init_value: Finite,
    end_value: Finite,
    transition_steps: PositiveSteps,
    transition_begin: NonNegativeSteps = 0,
) -> Any:
    r"""A straight line between two values, constant before and after it.

    .. math::
        \eta_t = \eta_0 + (\eta_T - \eta_0)\,\mathrm{clip}((t - b) / T,\, 0,\, 1)

    Equal to Optax's `linear_schedule` and, for $\eta_0$ and $\eta_T$ as factors, to PyTorch's
    `LinearLR`.

    When to use:
      A decay straight to 0, as good as a cosine and easier to reason about, or a ramp. Start
      with the peak of an `lr_range_test` and `end_value=0`. Not when the length of the
      training is open: the end must be known.

    Args:
      init_value: $\eta_0$.
      end_value: $\eta_T$.
      transition_steps: $T$, in steps.
      transition_begin: $b$, in steps.

    Raises:
      ValueError: for concrete numbers that are not finite, or `transition_steps <= 0`.

    Reference:
      Defazio et al. 2023, When, why and how much? Adaptive learning rate scheduling by
      refinement, arXiv:2310.07831 (that it is as good as any).

    See also:
      `cosine_decay`, `polynomial`, `warmup`.

    Example:
      >>> from lropt_jax import linear, sgd, warmup
      >>> s = warmup(linear(0.1, 0.0, transition_steps=950), steps=50)
      >>> [round(float(s(t)), 6) for t in (0, 50, 525, 1000)]
      [0.0, 0.1, 0.05, 0.0]
      >>> tx = sgd(s, momentum=0.9)
    """
    part = progress(since(count, transition_begin), transition_steps)
    return between(init_value, end_value, remaining("linear", part))


@schedule
def polynomial(
    count: Steps,
    init_value: Finite,
    end_value: Finite,
    power: NonNegative,
    transition_steps: PositiveSteps,
    transition_begin: NonNegativeSteps = 0,
) -> Any:
    r"""A power of the straight line between two values, constant before and after it.

    .. math::
        \eta_t = \eta_T + (\eta_0 - \eta_T) \left(1 - \mathrm{clip}((t - b)/T,\, 0,\, 1)\right)^p

    Equal to Optax's `polynomial_schedule` and, with `end_value` 0, to PyTorch's `PolynomialLR`.

    When to use:
      To repeat recipes that name it (BERT: power 1; segmentation: 0.9; LARS: 2). Start with a
      power of 1. Not for a training of unknown length.

    Args:
      init_value: $\eta_0$.
      end_value: $\eta_T$.
      power: $p$; 1 is `linear`.
      transition_steps: $T$, in steps.
      transition_begin: $b$, in steps.

    Raises:
      ValueError: for concrete numbers out of range.

    Reference:
      Devlin et al. 2018, BERT, arXiv:1810.04805; Chen et al. 2016, DeepLab, arXiv:1606.00915;
      You, Gitman and Ginsburg 2017, LARS, arXiv:1708.03888.

    See also:
      `linear`, `cosine_decay`.

    Example:
      >>> from lropt_jax import polynomial
      >>> s = polynomial(0.01, 0.0, power=0.9, transition_steps=30_000)  # of segmentation
      >>> [round(float(s(t)), 5) for t in (0, 15_000, 30_000)]
      [0.01, 0.00536, 0.0]
    """
    part = progress(since(count, transition_begin), transition_steps)
    return between(init_value, end_value, shapes.power(remaining("linear", part), power))


@schedule
def cosine_decay(
    count: Steps,
    init_value: Finite,
    decay_steps: PositiveSteps,
    alpha: Finite = 0.0,
    exponent: Positive = 1.0,
) -> Any:
    r"""Half a cosine from the first value to a fraction of it, constant after that.

    .. math::
        \eta_t = \eta_0 \left[(1 - \alpha)
        \left(\tfrac12 (1 + \cos \pi \min(t, T)/T)\right)^p + \alpha\right]

    Equal to Optax's `cosine_decay_schedule` and, up to `T_max` and with $\alpha$ as
    `eta_min` / $\eta_0$, to PyTorch's `CosineAnnealingLR` (which rises again after that).

    When to use:
      The default when the length of the training is known. Start with the peak of an
      `lr_range_test`, the whole training as `decay_steps`, and a `warmup` over 5% before it.
      Not for a training that may be stopped early or extended: the rate is too high before
      the end, and 0 after it.

    Args:
      init_value: $\eta_0$.
      decay_steps: $T$, in steps.
      alpha: $\alpha$, the last value as a fraction of the first.
      exponent: $p$.

    Raises:
      ValueError: for concrete numbers out of range.

    Reference:
      Loshchilov and Hutter 2017, SGDR, arXiv:1608.03983 (without restarts).

    See also:
      `warmup`, `linear`, `warmup_stable_decay`, `one_cycle`.

    Example:
      >>> from lropt_jax import adamw, cosine_decay, warmup
      >>> s = warmup(cosine_decay(1e-3, decay_steps=950), steps=50)
      >>> [round(float(s(t)), 6) for t in (0, 25, 50, 525, 1000)]
      [0.0, 0.0005, 0.001, 0.0005, 0.0]
      >>> tx = adamw(s)
    """
    left = shapes.power(remaining("cosine", progress(count, decay_steps)), exponent)
    return init_value * between(1, alpha, left)
