"""Hyperparameters one by one: what each may be, and how it is kept."""

from __future__ import annotations

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from lropt_jax import validation
from lropt_jax.schedules.base import Schedule, float_type

# What a concrete number of this name may be, at construction and in `set_hyperparams` alike.
CONSTRAINTS: dict[str, validation.Constraint] = {
    **dict.fromkeys(
        ("learning_rate", "eps", "eps_root", "weight_decay", "l2", "trust_coefficient"),
        validation.non_negative,
    ),
    **dict.fromkeys(
        ("initial_accumulator_value", "momentum_decay", "min_steps"), validation.non_negative
    ),
    **dict.fromkeys(("switch_atol", "switch_rtol", "min_gain"), validation.non_negative),
    **dict.fromkeys(("b1", "b2", "b3", "decay", "rho", "momentum", "beta"), validation.averaging),
    **dict.fromkeys(("dampening", "nu2"), validation.unit_interval),
    **dict.fromkeys(("nu", "nu1"), validation.finite),
    **dict.fromkeys(("min_step", "max_step"), validation.positive),
    "max_gain": validation.Constraint("a number > 0, or infinity", lambda x: x > 0),
    "eta_minus": validation.Constraint("in (0, 1)", lambda x: (x > 0) & (x < 1)),
    "eta_plus": validation.Constraint("a finite number > 1", lambda x: np.isfinite(x) & (x > 1)),
}

# None stands for "not at all" here, whatever the default.
OPTIONAL = frozenset({"l2", "weight_decay"})


def check(name: str, value: Any) -> None:
    """Raises `ValueError` for a concrete number that this hyperparameter may not be.

    Neither may it become one when it is stored: 1 - 1e-9 is 1 in float32.
    """
    if isinstance(value, Schedule):
        return
    constraint = CONSTRAINTS.get(name, validation.not_nan)
    constraint.check(name, value)
    if not isinstance(value, jax.core.Tracer):
        with np.errstate(over="ignore"):
            constraint.check(name, np.asarray(value).astype(float_type()))


def stored(value: Any, shape: tuple[int, ...] = ()) -> Any:
    """Numbers as strongly typed arrays, so that a state looks the same before and after a step."""

    def store(x: Any) -> jax.Array:
        integer = jnp.issubdtype(jnp.result_type(x), jnp.integer)
        return cast(x, jnp.int32 if integer else float_type(), shape)

    return jax.tree.map(store, value)


def replaced(name: str, old: Any, new: Any, population: tuple[int, ...]) -> Any:
    """`new` in the place of `old`: the same dtypes and shapes where the structure is the same."""
    if jax.tree.structure(old) != jax.tree.structure(new):  # type: ignore[operator]
        return stored(new, population)

    def like(o: jax.Array, n: Any) -> jax.Array:
        try:
            return cast(n, o.dtype, o.shape)
        except ValueError:
            raise ValueError(
                f"{name} must be a scalar or have the population's shape {o.shape}, "
                f"got shape {np.shape(n)}"
            ) from None

    return jax.tree.map(like, old, new)


def cast(value: Any, dtype: Any, shape: tuple[int, ...]) -> jax.Array:
    """A number as a strongly typed array of this dtype, broadcast to this shape."""
    return jnp.broadcast_to(jax.lax.convert_element_type(jnp.asarray(value), dtype), shape)
