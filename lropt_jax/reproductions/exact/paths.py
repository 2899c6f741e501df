"""What an optimizer does to given gradients, whatever the loss: for claims about equations."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import optax


def random_gradients(steps: int, size: int, seed: int = 0) -> np.ndarray:
    """Gradients whose coordinates differ in scale by a factor of 1,000, (steps, size)."""
    rng = np.random.default_rng(seed)
    scales = np.geomspace(1e-3, 1.0, size)
    return np.asarray(scales * rng.standard_normal((steps, size)))


def path(tx: optax.GradientTransformation, gradients: Any, start: Any) -> np.ndarray:
    """The parameters after each update, (steps, size), for gradients that do not react."""
    return np.asarray(_path(tx, gradients, start))


def paths(
    make: Callable[[Any], optax.GradientTransformation], values: Any, gradients: Any, start: Any
) -> np.ndarray:
    """The path for each value of a number that an optimizer is made with, in one program."""
    return np.asarray(jax.vmap(lambda v: _path(make(v), gradients, start))(jnp.asarray(values)))


def _path(tx: optax.GradientTransformation, gradients: Any, start: Any) -> Any:
    tx = optax.with_extra_args_support(tx)

    def update(carry: Any, gradient: jax.Array) -> Any:
        params, state = carry
        updates, state = tx.update(gradient, state, params)
        params = optax.apply_updates(params, updates)
        return (params, state), params

    begin = jnp.asarray(start)
    _, found = jax.lax.scan(update, (begin, tx.init(begin)), jnp.asarray(gradients))
    return found


def difference(one: np.ndarray, other: np.ndarray) -> float:
    """The largest difference of two paths, relative to how far they go."""
    return float(np.abs(one - other).max() / np.abs(one - one[0]).max())
