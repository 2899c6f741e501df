"""Schedules that warm up and then do one thing, as one formula."""

from __future__ import annotations

from typing import Any, Literal

import jax.numpy as jnp

from lropt_jax.schedules.constructor import schedule
from lropt_jax.schedules.shapes import between, progress, real, remaining, since
from lropt_jax.validation import Finite, NonNegativeSteps, Steps


@schedule
def inverse_sqrt(count: Steps, peak_value: Finite, warmup_steps: NonNegativeSteps) -> Any:
    r"""A linear warm-up, then the inverse square root of the count.

    .. math::
        \eta_t = \eta_p \min\left(\frac{t}{T},\, \sqrt{\frac{T}{t}}\right)

    When to use:
      Transformers in a training without a fixed end. Start with 4,000 updates of warm-up and
      a peak of 1e-3 for Adam. Not where the end is known: a decay to 0 gives the lower loss.

    Args:
      peak_value: $\eta_p$, the value at step $T$.
      warmup_steps: $T$, in steps; with 0 it falls from step 1 on, as $\eta_p/\sqrt t$.

    Raises:
      ValueError: for concrete numbers out of range.

    Reference:
      Vaswani et al. 2017, arXiv:1706.03762 (there the peak is $(d\,T)^{-1/2}$).

    See also:
      `warmup_stable_decay`, which can end well at any time, `cosine_decay`.

    Example:
      >>> from lropt_jax import adam, inverse_sqrt
      >>> s = inverse_sqrt(1e-3, warmup_steps=4000)
      >>> [round(float(s(t)), 6) for t in (0, 2000, 4000, 16_000)]
      [0.0, 0.0005, 0.001, 0.0005]
      >>> tx = adam(s, b2=0.98)
    """
    begin = jnp.maximum(real(warmup_steps), 1)
    falling = jnp.sqrt(begin / jnp.maximum(real(count), begin))
    return peak_value * progress(count, warmup_steps) * falling


@schedule
def warmup_stable_decay(
    count: Steps,
    peak_value: Finite,
    warmup_steps: NonNegativeSteps,
    stable_steps: NonNegativeSteps,
    decay_steps: NonNegativeSteps,
    end_value: Finite = 0.0,
    anneal: Literal["linear", "cosine", "sqrt"] = "linear",
) -> Any:
    r"""Up from 0, constant, and down at the end (WSD, a trapezoid); constant after that.

    .. math::
        \eta_t = \eta_p\, t / T_w, \qquad \eta_p, \qquad
        \eta_e + (\eta_p - \eta_e)\, f\!\left(\frac{t - T_w - T_s}{T_d}\right)

    with $f(x) = 1 - x$ (linear), $\tfrac12 (1 + \cos \pi x)$ (cosine) or $1 - \sqrt x$ (sqrt).

    When to use:
      Trainings whose length is decided late: go on at the stable rate, and branch off a decay
      whenever a model is wanted. Start with 5% of warm-up, and 10 to 20% of decay at the end.
      The rate of the plateau must be lower than a cosine's peak, by about a half.

    Args:
      peak_value: $\eta_p$.
      warmup_steps: $T_w$, in steps.
      stable_steps: $T_s$, in steps.
      decay_steps: $T_d$, in steps; with 0 it drops to the end value at once.
      end_value: $\eta_e$.
      anneal: "linear", "cosine" or "sqrt".

    Raises:
      ValueError: for concrete numbers out of range, or an unknown `anneal`.

    Reference:
      Hu et al. 2024, MiniCPM, arXiv:2404.06395; 1-sqrt: Hägele et al. 2024, arXiv:2405.18392.

    See also:
      `cosine_decay`, `inverse_sqrt`, `starting_now`.

    Example:
      >>> from lropt_jax import warmup_stable_decay
      >>> s = warmup_stable_decay(1.0, warmup_steps=10, stable_steps=80, decay_steps=10)
      >>> [float(s(t)) for t in (0, 5, 50, 95, 100)]
      [0.0, 0.5, 1.0, 0.5, 0.0]
    """
    elapsed = since(since(count, warmup_steps), stable_steps)
    falling = between(peak_value, end_value, remaining(anneal, progress(elapsed, decay_steps)))
    return jnp.where(elapsed < 0, peak_value * progress(count, warmup_steps), falling)
