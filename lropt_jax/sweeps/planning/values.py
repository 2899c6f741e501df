"""What may a value be? Numbers that are data, and anything else: made plain, and told apart."""

from __future__ import annotations

from collections.abc import Hashable, Mapping
from typing import Any

import jax
import numpy as np

from lropt_jax.training.population import is_key
from lropt_jax.validation import is_scalar


def plain(value: Any) -> Any:
    """A scalar of NumPy or JAX as Python's; anything else as it is."""
    if isinstance(value, jax.core.Tracer):
        return value
    scalar = isinstance(value, (np.generic, np.ndarray, jax.Array)) and np.ndim(value) == 0
    if scalar and np.asarray(value).dtype.kind in "biuf":
        return np.asarray(value).item()
    return value


def plain_or_named(value: Any) -> Any:
    """A value as other programs can have it: a plain one as it is, others by name or as printed."""
    if value is None or isinstance(value, (bool, int, float, str)):
        return value
    return getattr(value, "__name__", repr(value))


def identity(value: Any) -> Hashable:
    """What two values share only where they are the same: of an array or a container what is in it,
    of anything else that cannot be hashed that it is this very object."""
    if isinstance(value, Mapping):
        return dict, frozenset((identity(k), identity(v)) for k, v in value.items())
    if isinstance(value, (list, tuple)):
        return type(value), tuple(map(identity, value))
    if isinstance(value, np.ndarray) or (isinstance(value, jax.Array) and not is_key(value)):
        array = np.asarray(value)
        return np.ndarray, array.dtype.str, array.shape, array.tobytes()
    try:
        hash(value)
    except TypeError:
        return id(value)
    return type(value), value


def same_as(names: Mapping[str, Any], without: str | None = None) -> Hashable:
    """What two configurations share only where they are the same, whatever their values are; 1 and
    1.0 are one number.

    Args:
      names: a configuration.
      without: a name whose value does not count.
    """
    return frozenset(
        (name, ("number", value) if is_scalar(value) else identity(value))
        for name, value in names.items()
        if name != without
    )
