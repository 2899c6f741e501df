"""The few pieces that schedules share: progress through a phase, and the shape of a fall."""

from __future__ import annotations

from typing import Any

import jax.numpy as jnp

from lropt_jax.schedules.counts import float_type


def real(x: Any) -> Any:
    """A number in the default float type."""
    return jnp.asarray(x, float_type())


def since(count: Any, start: Any) -> Any:
    """How long ago `start` was: in whole numbers, which are exact, where both are whole.

    What 32 bits do not hold is the greatest or the least that they do: it does not wrap.
    """
    if not is_whole(count, start):
        return real(count) - real(start)
    difference, least = count - start, -(2**31)
    held = jnp.where(difference < 0, ~least, least)
    return jnp.where(((count ^ start) & (count ^ difference)) < 0, held, difference)


def earlier(count: Any, end: Any) -> Any:
    """The lesser of the two, as a whole number where both are."""
    whole = is_whole(count, end)
    return jnp.minimum(*(x if whole else real(x) for x in (count, end)))


def is_whole(*numbers: Any) -> bool:
    """Whether these are whole numbers by their types."""
    return all(jnp.issubdtype(jnp.result_type(x), jnp.integer) for x in numbers)


def progress(elapsed: Any, steps: Any) -> Any:
    """How much of a phase is over, within [0, 1]; one without length is over at its start."""
    elapsed, steps = real(elapsed), real(steps)
    some = steps > 0
    part = jnp.clip(elapsed / jnp.where(some, steps, 1), 0, 1)
    return jnp.where(some, part, jnp.where(elapsed >= 0, 1.0, 0.0))


def remaining(shape: str, part: Any) -> Any:
    """What is left of a fall from 1 to 0 when `part` of its time is over."""
    if shape == "cosine":
        return 0.5 * (1 + jnp.cos(jnp.pi * part))
    if shape == "sqrt":
        return 1 - power(part, 0.5)
    return 1 - part


def between(start: Any, end: Any, left: Any) -> Any:
    """From `start` (all is left, 1) to `end` (nothing is, 0), exact at both."""
    return start * left + end * (1 - left)


def whole_parts(elapsed: Any, steps: Any) -> Any:
    """The whole number of `steps` in `elapsed`.

    Not floor(elapsed / steps): compiled with a constant divisor that becomes a product with its
    rounded inverse, and 41 / 41 falls below 1.
    """
    whole = is_whole(elapsed, steps)
    return jnp.floor_divide(*(x if whole else real(x) for x in (elapsed, steps)))


def power(base: Any, exponent: Any) -> Any:
    """base^exponent for base >= 0, with finite gradients where the base is 0."""
    some = base > 0
    return jnp.where(some, jnp.where(some, base, 1) ** exponent, jnp.where(exponent == 0, 1.0, 0.0))


def segment_of(count: Any, boundaries: Any) -> Any:
    """The number of boundaries (a tuple or one array) that `count` has reached."""
    if len(boundaries) == 0:
        return jnp.zeros((), int)
    # Each by itself: one that is no whole number takes none of their exactness from the others.
    reached = [
        count >= end if is_whole(count, end) else real(count) >= real(end) for end in boundaries
    ]
    return jnp.sum(jnp.stack(jnp.broadcast_arrays(*reached)), axis=0)
