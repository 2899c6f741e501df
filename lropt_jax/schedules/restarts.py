"""Cosine annealing with warm restarts, exact at every restart."""

from __future__ import annotations

from typing import Any

import jax
import jax.numpy as jnp

from lropt_jax.schedules.constructor import schedule
from lropt_jax.schedules.shapes import between, is_whole, progress, real, remaining
from lropt_jax.validation import AtLeastOne, Finite, Positive, PositiveSteps, Steps

_DIGITS = 6  # binary digits of a cycle's number: 63 cycles, more than 2^31 steps hold of doubling


@schedule
def warm_restarts(
    count: Steps,
    init_value: Finite,
    first_cycle_steps: PositiveSteps,
    cycle_mult: AtLeastOne = 1.0,
    cycle_decay: Positive = 1.0,
    end_value: Finite = 0.0,
) -> Any:
    r"""Cosine annealing with warm restarts (SGDR), without end.

    .. math::
        \eta_t = \eta_e + (\eta_0 - \eta_e)\, d^i\, \tfrac12
        \left(1 + \cos \pi \frac{t - t_i}{T m^i}\right), \qquad
        t_i = T \sum_{j<i} m^j \le t < t_{i+1}

    Equal to PyTorch's `CosineAnnealingWarmRestarts` stepped one by one (given an epoch, that
    takes the cycle from a logarithm, which misses some restarts, with a multiplier of 3 the fifth)
    and to Keras's `CosineDecayRestarts`.

    When to use:
      Snapshots along one training, or one without a fixed end: at the end of each cycle there
      is a usable model. Start with a first cycle of 10 epochs and `cycle_mult=2`. Not for the
      best single model at a fixed length: one cosine is as good or better.

    Args:
      init_value: $\eta_0$.
      first_cycle_steps: $T$, in steps.
      cycle_mult: $m$, the factor from a cycle's length to the next; a whole number gives exact
        whole boundaries, a fractional one real boundaries, unrounded.
      cycle_decay: $d$, the factor from a cycle's amplitude to the next.
      end_value: $\eta_e$, what each cycle falls to.

    Raises:
      ValueError: for concrete numbers out of range.

    Reference:
      Loshchilov and Hutter 2017, SGDR, arXiv:1608.03983.

    See also:
      `cosine_decay`, `cyclic`, `one_cycle`.

    Example:
      >>> from lropt_jax import warm_restarts
      >>> s = warm_restarts(0.1, first_cycle_steps=1000, cycle_mult=2)
      >>> [round(float(s(t)), 6) for t in (0, 500, 1000, 2000, 3000)]  # begins anew at 1,000, 3,000
      [0.1, 0.05, 0.1, 0.05, 0.1]
    """
    first, time = real(first_cycle_steps), real(count)
    cycle = _cycle(*map(jax.lax.stop_gradient, (time, first, cycle_mult)))
    start = _start(cycle, cycle_mult)
    elapsed = time - first * start
    if is_whole(count, first_cycle_steps):
        known, exactly = _counted(
            count, first_cycle_steps, *jax.lax.stop_gradient((cycle_mult, cycle))
        )
        cycle = jnp.where(known, exactly[0], cycle)
        start = start + jnp.where(known, exactly[1] - jax.lax.stop_gradient(start), 0)
        elapsed = elapsed + jnp.where(known, exactly[2] - jax.lax.stop_gradient(elapsed), 0)
    part = progress(elapsed, first * _length(start, cycle_mult))
    return between(init_value, end_value, cycle_decay**cycle * remaining("cosine", part))


def _cycle(count: Any, first: Any, mult: Any) -> Any:
    """The last cycle that starts at or before `count`."""
    growing = mult > 1
    growth = jnp.where(growing, mult - 1, 1)
    logarithmic = jnp.log1p(count / first * growth) / jnp.log1p(growth)
    estimate = jnp.floor(jnp.where(growing, logarithmic, count / first))
    # Logarithms and quotients round: set the cycle right against the starts themselves.
    cycle = jnp.maximum(estimate - 1, 0)
    start = _start(cycle, mult)
    for _ in range(2):
        start = start + _length(start, mult)
        cycle = jnp.where(first * start <= count, cycle + 1, cycle)
    return cycle


def _counted(count: Any, first: Any, mult: Any, cycle: Any) -> tuple[Any, tuple[Any, Any, Any]]:
    """In whole numbers, which a float does not hold beyond 2^24.

    Args:
      count, first: as whole numbers.
      mult: if it is no whole number, nothing of this means anything.
      cycle: what it is in floats, or one off.

    Returns:
      Whether `mult` is whole; then the cycle, its start in lengths of the first, the time in it.
    """
    known = mult == jnp.round(mult)
    count, first = (jnp.asarray(x).astype(jnp.uint32) for x in (count, first))
    whole = jnp.where(known, jnp.minimum(mult, 2.0**31), 1.0).astype(jnp.uint32)
    number = jnp.maximum(cycle - 1, 0).astype(jnp.uint32)
    start = _start(number, whole)
    for _ in range(2):
        following = start * whole + 1
        # What 32 bits do not hold, no count reaches.
        size = real(first) * (real(start) * real(whole) + 1)
        reached = (size < 3e9) & (first * following <= count)
        start, number = jnp.where(reached, following, start), jnp.where(reached, number + 1, number)
    equal = whole == 1  # cycles of one length, of which there may be more than a float counts
    start = jnp.where(equal, count // first, start)
    number = jnp.where(equal, count // first, number)
    return known, (real(number), real(start), real(count - first * start))


def _length(start: Any, mult: Any) -> Any:
    r"""$m^i$, the length of the cycle that starts at $t_i$, in lengths of the first one."""
    return start * (mult - 1) + 1


def _start(cycle: Any, mult: Any) -> Any:
    r"""$S_i = \sum_{j<i} m^j$, to the last bit for whole m, for m = 1 too.

    From the binary digits of i, by $S_{2n} = S_n (1 + m^n)$ and $S_{n+1} = m S_n + 1$: nothing
    is divided, and nothing on the way is greater than the result.
    """
    total, power = jnp.zeros_like(cycle * mult), jnp.ones_like(cycle * mult)
    small = jnp.minimum(cycle, 2**_DIGITS - 1).astype(jnp.int32)
    for digit in reversed(range(_DIGITS)):
        total, power = total * (1 + power), power * power
        one = small >> digit & 1 == 1
        total, power = jnp.where(one, mult * total + 1, total), jnp.where(one, mult * power, power)
    if is_whole(cycle):  # the others, of a multiplier of 2 or more, are far beyond any count
        return total
    return jnp.where(cycle < 2**_DIGITS, total, _long_sum(cycle, mult))


def _long_sum(i: Any, m: Any) -> Any:
    r"""$(m^i - 1) / (m - 1)$, by its series where m is so near 1 that this cancels."""
    growth = m - 1
    near = i * growth < 1e-4
    series = i * (1 + (i - 1) / 2 * growth * (1 + (i - 2) / 3 * growth))
    safe = jnp.where(near, 1, growth)
    # An exponent beyond the float range belongs to a cycle that no count reaches.
    exponent = jnp.minimum(i * jnp.log1p(safe), 80.0)
    return jnp.where(near, series, jnp.expm1(exponent) / safe)
