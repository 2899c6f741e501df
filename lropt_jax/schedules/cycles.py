"""Schedules that rise and fall: the cyclical learning rate, and one cycle of it."""

from __future__ import annotations

from typing import Any, Literal

import jax.numpy as jnp

from lropt_jax.schedules.constructor import schedule
from lropt_jax.schedules.shapes import (
    between,
    earlier,
    is_whole,
    progress,
    real,
    remaining,
    since,
    whole_parts,
)
from lropt_jax.validation import (
    Finite,
    NonNegativeSteps,
    Positive,
    PositiveSteps,
    Steps,
    UnitInterval,
    requires,
)


@schedule
def cyclic(
    count: Steps,
    base_value: Finite,
    peak_value: Finite,
    steps_up: PositiveSteps,
    steps_down: NonNegativeSteps | None = None,
    mode: Literal["triangular", "triangular2", "exp_range"] = "triangular",
    gamma: Positive = 1.0,
) -> Any:
    r"""The cyclical learning rate: up and down along straight lines, for ever.

    .. math::
        \eta_t = \eta_b + (\eta_p - \eta_b)\, s\, a, \qquad
        s = \begin{cases} u / T_\uparrow & u \le T_\uparrow \\
        (T - u) / T_\downarrow & \text{else} \end{cases}, \qquad
        u = t \bmod T, \quad T = T_\uparrow + T_\downarrow

    with the amplitude $a = 1$ (triangular), $2^{-\lfloor t/T \rfloor}$ (triangular2) or
    $\gamma^t$ (exp_range). Equal to PyTorch's `CyclicLR`; with the larger value as the base it
    cycles momentum the other way, as that does.

    When to use:
      To look around a range of rates rather than to choose one. Start with the two `bounds`
      of an `lr_range_test` and 2 to 10 epochs up. Not for a final model without a decay at
      its end: it stops wherever the cycle is.

    Args:
      base_value: $\eta_b$.
      peak_value: $\eta_p$.
      steps_up: $T_\uparrow$, in steps.
      steps_down: $T_\downarrow$, in steps; None: as many as up, as in PyTorch.
      mode: "triangular", "triangular2" or "exp_range".
      gamma: $\gamma$, per step, for "exp_range".

    Raises:
      ValueError: for concrete numbers out of range, or an unknown mode.

    Reference:
      Smith 2017, Cyclical learning rates for training neural networks, arXiv:1506.01186.

    See also:
      `lr_range_test`, `one_cycle`, `warm_restarts`.

    Example:
      >>> from lropt_jax import cyclic
      >>> s = cyclic(0.01, 0.1, steps_up=400, mode="triangular2")  # the bounds of a range test
      >>> [round(float(s(t)), 6) for t in (0, 400, 800, 1200, 1600)]
      [0.01, 0.1, 0.01, 0.055, 0.01]
    """
    down = steps_up if steps_down is None else steps_down
    period = since(steps_up, -down)
    if not is_whole(count):
        period = real(period)
    cycle = whole_parts(count, period)
    time = since(count, cycle * period)
    falling = since(time, steps_up)
    height = jnp.where(falling <= 0, progress(time, steps_up), 1 - progress(falling, down))
    amplitudes = {
        "triangular": 1,
        "triangular2": 0.5 ** real(cycle),
        "exp_range": gamma ** real(count),
    }
    return base_value + (peak_value - base_value) * height * amplitudes[mode]


@schedule
def one_cycle(
    count: Steps,
    peak_value: Finite,
    total_steps: PositiveSteps,
    warmup_fraction: UnitInterval = 0.3,
    div_factor: Positive = 25.0,
    final_div_factor: Positive = 1e4,
    anneal: Literal["cosine", "linear"] = "cosine",
    three_phase: bool = False,
) -> Any:
    r"""One cycle: up to a peak, then down to almost nothing; constant after the end.

    .. math::
        \frac{\eta_p}{d} \to \eta_p \text{ at } pN - 1
        \to \frac{\eta_p}{d f} \text{ at } N - 1, \qquad
        \text{three-phase: } \eta_p \to \frac{\eta_p}{d} \text{ at } 2pN - 2 \text{ between}

    Equal to PyTorch's `OneCycleLR` up to its end. Beside it, momentum (or Adam's b1) goes the
    other way: `one_cycle_momentum`.

    When to use:
      Short trainings of a known length: warm-up, a high peak and a decay to nothing in one.
      Start with a peak at or a little below the upper bound of an `lr_range_test`, and cycle
      momentum against it. Not for a training that will go on afterwards: it ends at almost 0
      and stays there.

    Args:
      peak_value: $\eta_p$.
      total_steps: $N$, in steps.
      warmup_fraction: $p$, the part of the steps that rises; the default is PyTorch's.
      div_factor: $d$, from the first value to the peak; the default is PyTorch's.
      final_div_factor: $f$, from the first value down to the last; the default is PyTorch's.
      anneal: "cosine", as in PyTorch, or "linear".
      three_phase: whether it falls back to the first value as fast as it rose, then to the last.

    Raises:
      ValueError: for concrete numbers out of range, or an unknown `anneal`.

    Reference:
      Smith and Topin 2018, Super-Convergence, arXiv:1708.07120.

    See also:
      `one_cycle_momentum`, `cosine_decay` with `warmup`, `lr_range_test`.

    Example:
      >>> from lropt_jax import one_cycle, one_cycle_momentum, sgd
      >>> s = one_cycle(0.5, total_steps=1000)
      >>> [round(float(s(t)), 7) for t in (0, 299, 999, 10_000)]
      [0.02, 0.5, 2e-06, 2e-06]
      >>> tx = sgd(s, momentum=one_cycle_momentum(total_steps=1000))
    """
    first = peak_value / div_factor
    values: tuple[Any, ...] = (first, peak_value, first / final_div_factor)
    if three_phase:
        values = (first, peak_value, first, first / final_div_factor)
    return _phases(count, values, total_steps, warmup_fraction, anneal)


def _needs_total_steps(total_steps: Any, base_value: Any, **others: Any) -> None:
    if total_steps is None:
        raise TypeError(
            "one_cycle_momentum: total_steps must be given, by its name: "
            f"one_cycle_momentum(total_steps=...); the first argument is base_value = {base_value}"
        )


@schedule
@requires(_needs_total_steps)
def one_cycle_momentum(
    count: Steps,
    base_value: Finite = 0.85,
    peak_value: Finite = 0.95,
    total_steps: PositiveSteps | None = None,
    warmup_fraction: UnitInterval = 0.3,
    anneal: Literal["cosine", "linear"] = "cosine",
    three_phase: bool = False,
) -> Any:
    r"""The momentum (or b1) beside `one_cycle`: down while the learning rate rises, and back.

    .. math::
        \mu_p \to \mu_b \text{ at } pN - 1 \to \mu_p \text{ at } N - 1
        \text{ (three-phase: at } 2pN - 2)

    Equal to the momentum of PyTorch's `OneCycleLR`.

    When to use:
      Beside `one_cycle`, as the momentum of `sgd` or the `b1` of `adam`. Start with 0.95 down
      to 0.85 and the same `total_steps`, `warmup_fraction` and `anneal` as there. Not without
      `one_cycle`: high momentum at a high rate diverges.

    Args:
      base_value: $\mu_b$, the lowest; the default is PyTorch's.
      peak_value: $\mu_p$, the highest; the default is PyTorch's.
      total_steps: $N$, in steps; must be given.
      warmup_fraction, anneal, three_phase: as in `one_cycle`.

    Raises:
      ValueError: for concrete numbers out of range, or an unknown `anneal`.
      TypeError: without `total_steps`.

    Reference:
      Smith and Topin 2018, Super-Convergence, arXiv:1708.07120.

    See also:
      `one_cycle`, `cyclic` with a base above its peak.

    Example:
      >>> from lropt_jax import adam, one_cycle, one_cycle_momentum
      >>> momentum = one_cycle_momentum(total_steps=1000)
      >>> [round(float(momentum(t)), 6) for t in (0, 299, 999)]
      [0.95, 0.85, 0.95]
      >>> tx = adam(one_cycle(1e-2, total_steps=1000), b1=momentum)
    """
    values = (peak_value, base_value, peak_value) + (peak_value,) * three_phase
    return _phases(count, values, total_steps, warmup_fraction, anneal)


def _phases(count: Any, values: Any, total_steps: Any, fraction: Any, anneal: str) -> Any:
    """From each value to the next, in two or three phases; the real ends are PyTorch's."""
    steps = fraction * real(total_steps)
    ends = [steps - 1, total_steps - 1]
    if len(values) == 4:
        ends.insert(1, 2 * steps - 2)
    time = earlier(count, total_steps - 1)
    starts = [0, *ends[:-1]]
    value = None
    for start, end, before, after in reversed(
        list(zip(starts, ends, values[:-1], values[1:], strict=True))
    ):
        part = progress(since(time, start), since(end, start))
        phase = between(before, after, remaining(anneal, part))
        value = phase if value is None else jnp.where(real(time) <= real(end), phase, value)
    return value
