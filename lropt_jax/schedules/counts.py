"""Counts of updates, and the types that numbers are computed in: whole ones stay whole."""

from __future__ import annotations

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np


def float_type() -> Any:
    """The default float type, in which every schedule and hyperparameter is computed."""
    return jnp.result_type(float)


def as_count(count: Any, exact: bool) -> jax.Array:
    """A count as it arrives at a formula: where it is one and may be, an int of 32 bits.

    Before the first update it is as at the first.
    """
    if isinstance(count, (list, tuple)):
        traced = any(isinstance(x, jax.Array) for x in jax.tree.leaves(count))
        count = jnp.asarray(count) if traced else np.asarray(count)
    if isinstance(count, jax.core.Tracer) and count.dtype == jnp.uint32:
        count = jnp.minimum(count, np.uint32(2**31 - 1)).astype(jnp.int32)  # and does not wrap
    count = jnp.asarray(count, jnp.int32 if exact and fits(count) else float_type())
    return jnp.where(count < 0, 0, count)  # no maximum, which halves the gradient at 0


def fits(x: Any) -> bool:
    """Whether these are whole numbers that 32 bits hold; of a tracer its type says it."""
    if isinstance(x, (int, np.integer)):
        return abs(int(x)) < 2**31
    dtype = x.dtype if hasattr(x, "dtype") else np.asarray(x).dtype
    if not jnp.issubdtype(dtype, jnp.integer):
        return False
    if jnp.iinfo(dtype).max < 2**31:  # type: ignore[no-untyped-call]
        return True
    return not isinstance(x, jax.core.Tracer) and bool(np.all(np.abs(np.asarray(x, float)) < 2**31))
