"""Where an optimizer wants to be judged: not always at the parameters that it trains."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import jax
import optax

from lropt_jax.hyperparameters.groups import boxed_like, is_box, unboxed

Evaluation = Callable[[Any, Any], Any]

_REGISTERED: dict[type, Evaluation] = {
    optax.contrib.ScheduleFreeState: optax.contrib.schedule_free_eval_params
}


def register_evaluation(state_type: type, function: Evaluation) -> None:
    """Says where the optimizers with a state of this type are to be evaluated.

    `fit`, `sweep` and `compare` evaluate there, and `evaluation_params` returns it.
    `optax.contrib.schedule_free` is registered.

    When to use:
      For an optimizer of yours that is to be evaluated elsewhere than where it trains:
      averages, schedule-free ones. Not for a running average that you keep outside of the
      optimizer.

    Args:
      state_type: the type of the optimizer's own state, which may stand anywhere in a whole one.
      function: `function(state, params) -> params`, of the same structure, for one model.

    Raises:
      TypeError: for what is no class, or no function.

    Reference:
      Defazio et al. 2024, The road less scheduled, arXiv:2405.15682 (Schedule-Free).

    See also:
      `evaluation_params`, `tunable`.

    Example:
      >>> from typing import Any, NamedTuple
      >>> import jax, jax.numpy as jnp, optax
      >>> from lropt_jax import evaluation_params, register_evaluation
      >>> class Averaged(NamedTuple):
      ...     mean: Any
      >>> register_evaluation(Averaged, lambda state, params: state.mean)
      >>> evaluation_params((optax.EmptyState(), Averaged(jnp.array(0.5))), jnp.array(2.0)).item()
      0.5
    """
    if not isinstance(state_type, type):
        raise TypeError(f"state_type must be a class, got {state_type!r}")
    if not callable(function):
        raise TypeError(f"function must be a function of state and params, got {function!r}")
    _REGISTERED[state_type] = function


def evaluation_params(opt_state: optax.OptState, params: Any) -> Any:
    """The parameters at which an optimizer wants to be evaluated; most often those given.

    When to use:
      In a loop of your own that should work with schedule-free optimizers: evaluate at these.
      For most optimizers they are the parameters themselves.

    Args:
      opt_state: the optimizer's state. A registered one (see `register_evaluation`) may stand
        anywhere in it; within `optax.partition` or `optax.masked` it is about its own leaves.
      params: the parameters that it trains.

    See also:
      `register_evaluation`.

    Example:
      >>> import jax.numpy as jnp, optax
      >>> from lropt_jax import evaluation_params, sgd
      >>> params = jnp.ones(2)
      >>> evaluation_params(sgd(0.1).init(params), params) is params
      True
      >>> tx = optax.contrib.schedule_free(sgd(0.1), learning_rate=0.1)
      >>> updates, state = tx.update(params, tx.init(params), params)
      >>> bool((evaluation_params(state, optax.apply_updates(params, updates)) != params).all())
      True
    """
    found = _registered_in(opt_state)
    if not found:
        return params
    point = unboxed(params)
    for state in found:
        point = _evaluated(unboxed(state), point)
    return boxed_like(point, params, next(iter(jax.tree.leaves(params, is_leaf=is_box)), None))


def has_evaluation(opt_state: optax.OptState) -> bool:
    """Whether this optimizer wants to be evaluated elsewhere than at its parameters."""
    return bool(_registered_in(opt_state))


def _registered_in(opt_state: Any) -> list[Any]:
    def is_registered(x: Any) -> bool:
        return type(x) in _REGISTERED

    return [x for x in jax.tree.leaves(opt_state, is_leaf=is_registered) if is_registered(x)]


def _evaluated(state: Any, params: Any) -> Any:
    leaves, structure = jax.tree.flatten(params)
    absent = _absent(state, structure, len(leaves))
    own = [optax.MaskedNode() if gone else x for x, gone in zip(leaves, absent, strict=True)]
    point = _REGISTERED[type(state)](state, jax.tree.unflatten(structure, own))
    found = jax.tree.leaves(point, is_leaf=_is_absent)
    merged = [
        x if gone else jax.lax.convert_element_type(y, x.dtype)
        for x, y, gone in zip(leaves, found, absent, strict=True)
    ]
    return jax.tree.unflatten(structure, merged)


def _absent(state: Any, structure: Any, leaves: int) -> list[bool]:
    """Which leaves of the parameters are none of this state's, as a field like them shows."""
    fields = jax.tree.leaves(state, is_leaf=lambda x: x is not state)
    for field in fields:
        if jax.tree.structure(field, is_leaf=_is_absent) == structure:
            return [_is_absent(x) for x in jax.tree.leaves(field, is_leaf=_is_absent)]
    return [False] * leaves


def _is_absent(x: Any) -> bool:
    return isinstance(x, optax.MaskedNode)
