"""The few pieces that schedules share: progress through a phase, and the shape of a fall."""

from __future__ import annotations

from typing import Any

import jax.numpy as jnp


def progress(elapsed: Any, steps: Any) -> Any:
    """How much of a phase is over, within [0, 1]; one without length is over at its start."""
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
    return jnp.floor_divide(elapsed, steps)


def power(base: Any, exponent: Any) -> Any:
    """base^exponent for base >= 0, with finite gradients where the base is 0."""
    some = base > 0
    return jnp.where(some, jnp.where(some, base, 1) ** exponent, jnp.where(exponent == 0, 1.0, 0.0))


def segment_of(count: Any, boundaries: Any) -> Any:
    """The number of boundaries (a tuple or one array) that `count` has reached."""
    if len(boundaries) == 0:
        return jnp.zeros((), int)
    return jnp.sum(count >= jnp.stack(list(boundaries)), axis=0)
