"""Poolings in a form that XLA:CPU is fast with: axis by axis, all windows at once.

XLA:CPU itself goes through windows number by number, and back by a search in each.
"""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any

import jax.numpy as jnp
import numpy as np
from jax import lax

WINDOW = 16  # along an axis; beyond it few results are left, or a cumulative sum is meant


def pooling(eqn: Any) -> Callable[..., Any] | None:
    """What replaces a maximum, minimum or sum over windows; see `Replacement`."""
    kinds = {"reduce_window_max": _larger, "reduce_window_min": _smaller, "reduce_window_sum": _sum}
    combine, params = kinds.get(eqn.primitive.name), eqn.params
    if combine is None or len(eqn.invars) != 1:
        return None
    (given,), (made,) = eqn.invars, eqn.outvars
    if max(params["window_dimensions"], default=0) > WINDOW or made.aval.size == 0:
        return None
    if set(params["base_dilation"]) != {1} or not jnp.issubdtype(given.aval.dtype, jnp.number):
        return None
    if jnp.issubdtype(given.aval.dtype, jnp.complexfloating):
        return None
    windows = zip(
        params["window_dimensions"],
        params["window_strides"],
        params["padding"],
        params["window_dilation"],
        strict=True,
    )
    per_axis = [(axis, *window) for axis, window in enumerate(windows)]

    def replaced(x: Any) -> Any:
        # From the last axis to the first: of equal numbers the first is chosen, row by row.
        for axis, size, stride, padding, gap in reversed(per_axis):
            if (size, stride, padding) != (1, 1, (0, 0)):
                x = _along(x, axis, size, stride, padding, gap, combine)
        return x

    return replaced


def _along(x: Any, axis: int, size: int, stride: int, padding: Any, gap: int, combine: Any) -> Any:
    around = [(0, 0, 0)] * x.ndim
    around[axis] = (*padding, 0)
    x = lax.pad(x, np.array(_neutral(combine, x.dtype), x.dtype), around)
    last = (x.shape[axis] - (size - 1) * gap - 1) // stride * stride
    places = [
        lax.slice_in_dim(x, place * gap, place * gap + last + 1, stride, axis)
        for place in range(size)
    ]
    return functools.reduce(combine, places)


def _larger(first: Any, then: Any) -> Any:
    """The larger; the first of equal ones, and NaN before all else. The gradient goes to it."""
    return jnp.where((first >= then) | (first != first), first, then)


def _smaller(first: Any, then: Any) -> Any:
    return jnp.where((first <= then) | (first != first), first, then)


def _sum(first: Any, then: Any) -> Any:
    return first + then


def _neutral(combine: Any, dtype: Any) -> Any:
    if combine is _sum:
        return 0
    if jnp.issubdtype(dtype, jnp.floating):
        return -np.inf if combine is _larger else np.inf
    limits: Any = np.iinfo(dtype)
    return limits.min if combine is _larger else limits.max
