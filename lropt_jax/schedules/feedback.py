"""Schedules that react to what is observed."""

from __future__ import annotations

import math
from typing import Any, Literal

import jax.numpy as jnp

from lropt_jax.schedules.constructor import feedback_schedule
from lropt_jax.validation import Averaging, Finite, NonNegative


def _start(mode: str, **others: Any) -> dict[str, Any]:
    best = math.inf if mode == "min" else -math.inf
    return {"cuts": 1.0, "best": best, "bad": 0.0, "waiting": 0.0}


def _after(cuts: Any, init_value: Any, min_value: Any) -> Any:
    """The value after cuts: as their product, so that it follows an `init_value` that is set."""
    value = init_value * cuts
    return jnp.where(cuts < 1, jnp.maximum(value, min_value), value)


def _observe(
    state: Any,
    value: Any,
    factor: Any,
    patience: Any,
    threshold: Any,
    threshold_mode: str,
    mode: str,
    cooldown: Any,
    min_value: Any,
    eps: Any,
    init_value: Any,
) -> dict[str, Any]:
    # Downwards is better in what follows. The first finite observation beats an infinite best.
    sign = 1.0 if mode == "min" else -1.0
    some_best = jnp.isfinite(state["best"])
    best = sign * jnp.where(some_best, state["best"], 0)
    relative = best * (1 - threshold * jnp.sign(best))
    bar = relative if threshold_mode == "rel" else best - threshold
    better = jnp.isfinite(value) & (~some_best | (sign * value < bar))
    bad = jnp.where(better, 0, state["bad"] + 1)

    cooling = state["waiting"] > 0
    waiting = jnp.maximum(state["waiting"] - 1, 0)
    bad = jnp.where(cooling, 0, bad)

    reduce = bad > patience
    now = _after(state["cuts"], init_value, min_value)
    change = reduce & (now - jnp.maximum(now * factor, min_value) > eps)
    return {
        "cuts": jnp.where(change, state["cuts"] * factor, state["cuts"]),
        "best": jnp.where(better, value, state["best"]),
        "bad": jnp.where(reduce, 0, bad),
        "waiting": jnp.where(reduce, cooldown, waiting),
    }


@feedback_schedule(start=_start, observe=_observe)
def reduce_on_plateau(
    count: Any,
    state: Any,
    init_value: NonNegative,
    factor: Averaging = 0.1,
    patience: NonNegative = 10,
    threshold: NonNegative = 1e-4,
    threshold_mode: Literal["rel", "abs"] = "rel",
    mode: Literal["min", "max"] = "min",
    cooldown: NonNegative = 0,
    min_value: Finite = 0.0,
    eps: NonNegative = 1e-8,
) -> Any:
    r"""Falls by a factor each time that an observed value has stopped getting better.

    An observation $v$ is better when, in mode "min",

    .. math::
        v < v^* - \tau\,|v^*| \;\text{ (rel)}, \qquad v < v^* - \tau \;\text{ (abs)}

    with $v^*$ the best one so far ("max": $v > v^* + \dots$). After more than `patience` in a row
    that are not, $\eta := \max(f \eta, \eta_{\min})$. A value that is not finite is not better.

    Equal to PyTorch's `ReduceLROnPlateau` for positive values. For negative ones PyTorch's "rel"
    compares with $v^*(1 - \tau)$, which lies on the wrong side of $v^*$, so that staying equal
    counts as better; and it takes -inf as better.

    The schedule changes when it observes, in `observe(state, value)` after an evaluation or
    `tx.update(..., value=v)`, not with the count; what it has seen is in the optimizer's state.
    Where its `init_value` is set to another number, the cuts so far stay.

    When to use:
      When nobody knows how long a training will be: the rate falls when validation stalls.
      Start with the rate of a constant schedule, a factor of 0.1 to 0.5 and a patience of
      several evaluations. It must be shown a value (`observe`); a noisy one, or a patience of
      one evaluation, cuts the rate too soon.

    Args:
      init_value: $\eta$ at the start.
      factor: $f$, in [0, 1); the default is PyTorch's, as are those below.
      patience: how many observations in a row may be no better.
      threshold: $\tau$.
      threshold_mode: "rel" or "abs".
      mode: "min" (a loss) or "max" (an accuracy).
      cooldown: observations after a cut that do not count as bad.
      min_value: $\eta_{\min}$.
      eps: a cut that changes the value by no more than this is left out.

    Raises:
      ValueError: for concrete numbers out of range, or an unknown mode.

    See also:
      `observe`, `fit(observe=...)`, `early_stopping`, `step_decay`.

    Example:
      >>> import jax.numpy as jnp
      >>> from lropt_jax import hyperparams, observe, reduce_on_plateau, sgd
      >>> tx = sgd(reduce_on_plateau(1.0, factor=0.5, patience=0))
      >>> state = tx.init(jnp.ones(2))
      >>> for loss in (3.0, 2.0, 2.0):
      ...     state = observe(state, loss)
      >>> float(hyperparams(state)["learning_rate"])
      0.5
    """
    return _after(state["cuts"], init_value, min_value)
