"""From a direction to an update: the learning rate, both weight decays and their mask."""

from __future__ import annotations

from typing import Any, TypedDict

import jax
import jax.numpy as jnp
import numpy as np
import optax

from lropt_jax.hyperparameters.dynamics import at_rate
from lropt_jax.hyperparameters.updating import where_updated
from lropt_jax.optimizers.base import Mask, leafwise
from lropt_jax.optimizers.masks import NAMED, check_mask
from lropt_jax.validation import NonNegative


class Decays(TypedDict, total=False):
    """The arguments that all optimizers share, see `descend`."""

    l2: NonNegative | None
    weight_decay: NonNegative | None
    mask: Mask
    independent_decay: bool


def descend(
    step: optax.GradientTransformation,
    learning_rate: Any,
    *,
    l2: Any = None,
    weight_decay: Any = None,
    mask: Mask = None,
    independent_decay: bool = False,
) -> optax.GradientTransformationExtraArgs:
    r"""A step with the decays that all optimizers have.

    .. math::
        \Delta p = s(g + \lambda_2 p) - \eta \lambda p

    Args:
      step: the transformation $s$, learning rate and sign included (see `times`); its state is
        the state.
      learning_rate: $\eta$.
      l2: $\lambda_2$, coupled decay; None means structurally absent.
      weight_decay: $\lambda$, decoupled decay; None means structurally absent.
      mask: which leaves decay, for both: a pytree of bools (a prefix will do), a callable of the
        parameters that returns one, or the name of one ("no_bias_norm"); None means all.
      independent_decay: whether $\lambda p$ is not multiplied by the learning rate.
    """
    step = optax.with_extra_args_support(step)

    def init(params: Any) -> Any:
        _check_params(params)
        if l2 is not None or weight_decay is not None:
            decay_mask(mask, params)
        return step.init(params)

    def update(updates: Any, state: Any, params: Any = None, **extra: Any) -> tuple[Any, Any]:
        at_rate(learning_rate)
        params = where_updated(params, updates)
        if l2 is not None:
            updates = add_decay(updates, params, l2, mask, "l2")
        updates, state = step.update(updates, state, params, **extra)
        if weight_decay is not None:
            strength = weight_decay if independent_decay else learning_rate * weight_decay
            updates = add_decay(updates, params, -strength, mask, "weight_decay")
        return updates, state

    return optax.GradientTransformationExtraArgs(init, update)


def times(direction: optax.GradientTransformation, factor: Any) -> optax.GradientTransformation:
    """A direction times a number: minus the learning rate makes it a step. The state is its."""

    def update(updates: Any, state: Any, params: Any = None) -> tuple[Any, Any]:
        updates, state = direction.update(updates, state, params)
        (updates,) = leafwise(_scaled, [updates], [factor], 1)
        return updates, state

    return optax.GradientTransformation(direction.init, update)


def _scaled(d: Any, factor: Any) -> tuple[Any]:
    return (factor * d,)


def add_decay(updates: Any, params: Any, strength: Any, mask: Mask, name: str) -> Any:
    r"""$u + \lambda p$ for each leaf that the mask lets decay; `name` is whose the strength is."""
    require_params(params, name)
    decays = decay_mask(mask, params)
    return leafwise(_decayed, [updates, params, decays], [strength], 1)[0]


def _decayed(u: Any, p: Any, decays: bool, strength: Any) -> tuple[Any]:
    return (u + strength * p if decays else u,)


def require_params(params: Any, name: str) -> None:
    """Raises `ValueError` where the parameters that `name` needs were not passed to `update`."""
    if params is None:
        raise ValueError(
            f"params must be given to update, got None: {name} needs them; "
            "call update(updates, state, params)"
        )


def decay_mask(mask: Mask, params: Any) -> Any:
    """The mask as a pytree of bools with the structure of `params`."""
    if mask is None:
        return jax.tree.map(lambda _: True, params)
    check_mask(mask)
    mask = NAMED[mask] if isinstance(mask, str) else mask
    leaves = jax.tree.leaves(params)
    # A tree of bools is a mask whatever its root is: every module of Equinox can be called.
    is_tree = all(isinstance(m, (bool, np.bool_)) for m in jax.tree.leaves(mask))
    tree = mask(params) if callable(mask) and not is_tree else mask
    if not leaves:  # an empty tree, or the placeholder of `optax.tree.map_params`
        return params
    try:
        return jax.tree.map(lambda m, p: jax.tree.map(lambda _: _bool(m), p), tree, params)
    except (ValueError, TypeError, KeyError) as error:
        raise ValueError(
            "mask must be a pytree of bools with the structure of params (or a prefix of it), "
            f"or a callable that makes one from params, got {tree!r} for params of structure "
            f"{jax.tree.structure(params)}: {error}"
        ) from None


def _bool(leaf: Any) -> bool:
    if jnp.result_type(leaf) != jnp.bool_ or jnp.ndim(leaf):
        raise ValueError(f"{leaf!r} is not a bool")
    return bool(leaf)


def _check_params(params: Any) -> None:
    for path, leaf in jax.tree_util.tree_leaves_with_path(params):
        dtype = getattr(leaf, "dtype", None) or jnp.result_type(leaf)
        if not jnp.issubdtype(dtype, jnp.inexact):
            where = jax.tree_util.keystr(path)
            raise ValueError(
                f"params{where} must be floating-point or complex, got {leaf!r} of dtype {dtype}; "
                "leave it out of the parameters, or mask it with optax.masked"
            )
