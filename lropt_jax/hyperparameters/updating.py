"""One update of any optimizer, with what a training has for it."""

from __future__ import annotations

from typing import Any

import jax
import jax.numpy as jnp
import optax

from lropt_jax.hyperparameters.access import wants_observation
from lropt_jax.validation import first_line


def updated(
    tx: optax.GradientTransformation, grads: Any, state: Any, params: Any, loss: Any
) -> tuple[Any, Any]:
    """What `tx.update` gives for a gradient; `loss` is its `value=`, where it is to see that.

    A schedule that waits for the evaluation must not see the minibatch's loss. And some say that
    they take what they are given, but do not (`optax.contrib.sam`).
    """
    tx = optax.with_extra_args_support(tx)
    if not wants_observation(state):
        try:
            return tx.update(grads, state, params, value=loss)  # type: ignore[no-any-return]
        except TypeError as error:
            if "unexpected keyword argument 'value'" not in str(error):
                raise
    return tx.update(grads, state, params)  # type: ignore[no-any-return]


def where_updated(params: Any, updates: Any) -> Any:
    """The parameters that have an update: others may be anything, the functions of a module."""
    if params is None or not any(x is None for x in jax.tree.leaves(updates, is_leaf=_is_none)):
        return params
    return jax.tree.map(lambda u, p: None if u is None else p, updates, params, is_leaf=_is_none)


def _is_none(x: Any) -> bool:
    return x is None


def check_update(name: str, tx: optax.GradientTransformation, state: Any, params: Any) -> None:
    """Raises `ValueError` for an optimizer that needs more than `updated` has; by shapes alone.

    Args:
      name: what the error calls it.
      tx: the optimizer.
      state, params: its state and the parameters, or their shapes.
    """

    def once(state: Any, params: Any) -> Any:
        return updated(tx, params, state, params, jnp.zeros(()))

    try:
        jax.eval_shape(once, state, params)
    except Exception as error:
        raise ValueError(
            f"{name} must make an update of the gradients, its state, the parameters and value=, "
            f"the batch's loss, but it fails: {first_line(error)}. One that needs more (a line "
            "search, the loss as a function) is for a loop of your own"
        ) from error
