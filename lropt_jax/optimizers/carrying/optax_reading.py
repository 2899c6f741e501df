"""A run begun with Optax's optimizer goes on with ours."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import jax
import optax

from lropt_jax.hyperparameters.groups import tunables, unboxed
from lropt_jax.hyperparameters.state import TunableState
from lropt_jax.optimizers.accumulation import AccumulateState
from lropt_jax.optimizers.carrying.differences import warn
from lropt_jax.optimizers.carrying.optax_moments import RENAMED, Given, optimizer_from
from lropt_jax.optimizers.carrying.optax_states import is_injected
from lropt_jax.optimizers.carrying.parts import (
    placed,
    refuse_others,
    same_structure,
    with_optimizers,
)
from lropt_jax.validation import check_transformation, whole_number


def from_optax(
    tx: optax.GradientTransformation, params: Any, state: Any, count: int | None = None
) -> Any:
    """The state with which a run that Optax's optimizer began goes on with ours, step by step.

    For `optax.sgd`, `adam`, `adamw`, `nadam`, `adamax`, `adadelta`, and for `rmsprop` and
    `adagrad` where `eps` means the same (`eps_in_sqrt=False`; 0), by the optimizer here that has
    the name: alone, in the same chain, `optax.partition`, `masked` or `MultiSteps`, and under
    `inject_hyperparams`. Optax's `amsgrad` and `rprop` are other forms: their moments go on in
    ours, and a warning says so. A `tunable(optax.x)` goes on from any `optax.x`.

    The state does not say which optimizer it is of (Adam's, NAdam's and AdaMax's look the same),
    and without `inject_hyperparams` none of its numbers: those of `tx` hold. Numbers of
    `inject_hyperparams` that differ are named in one warning.

    When to use:
      In the middle of a run that Optax's optimizer began. It carries a state over, not
      settings: build our optimizer with the same numbers.

    Args:
      tx: our optimizer, in the place of Optax's.
      params: the parameters.
      state: the state of Optax's optimizer.
      count: updates taken so far, where the state does not say (SGD): a schedule goes on there.

    Raises:
      ValueError: where the state has other moments than `tx` needs, or they are of other
        parameters; for moments at count 0; in the middle of an accumulation.

    See also:
      `from_torch`, `to_torch`, `tunable`.

    Example:
      >>> import jax.numpy as jnp, optax
      >>> from lropt_jax import adam, from_optax
      >>> params = {"w": jnp.ones(2)}
      >>> theirs, ours = optax.adam(0.1, b1=0.5), adam(0.1, b1=0.5)
      >>> _, state = theirs.update(params, theirs.init(params), params)
      >>> state = from_optax(ours, params, state)
      >>> int(state.count), float(state.inner_state.b1_product)
      (1, 0.5)
    """
    check_transformation("from_optax: tx", tx)
    fresh = tx.init(params)
    refuse_others("from_optax", fresh)
    given = Given({}, None if count is None else whole_number("count", count, 0), [])
    result = _carried(fresh, unboxed(state), "", given)
    warn("from_optax", given.words)
    return result


def _carried(ours: Any, theirs: Any, where: str, given: Given) -> Any:
    """Our state filled from theirs, which is built alike but for the optimizers."""
    if is_injected(theirs) and not is_injected(ours):
        scheduled = getattr(theirs, "hyperparams_states", {})
        numbers = {
            RENAMED.get(k, k): v for k, v in theirs.hyperparams.items() if k not in scheduled
        }
        given = given._replace(numbers=numbers, injected=int(theirs.count))
        return _carried(ours, theirs.inner_state, where, given)
    if isinstance(ours, TunableState):
        if isinstance(theirs, optax.MultiStepsState):
            theirs = _right_after_an_update(theirs, where)
        return optimizer_from(ours, theirs, where, given)
    if isinstance(theirs, optax.MultiStepsState) and not isinstance(ours, optax.MultiStepsState):
        return _carried(ours, _right_after_an_update(theirs, where), where, given)
    if isinstance(ours, AccumulateState):
        inner = _carried(ours.inner_state, theirs, where, given)
        return ours._replace(
            updates=placed(tunables(inner)[0].count, ours.updates), inner_state=inner
        )
    if isinstance(ours, tuple) and type(ours) is type(theirs) and len(ours) == len(theirs):
        pairs = zip(ours, theirs, strict=True)
        values = [_carried(mine, other, where, given) for mine, other in pairs]
        return type(ours)(*values) if hasattr(ours, "_fields") else tuple(values)
    if isinstance(ours, dict) and isinstance(theirs, Mapping) and set(ours) == set(theirs):
        return {k: _carried(ours[k], theirs[k], f"{where}{k}: ", given) for k in ours}
    found = tunables(ours)
    if len(found) == 1 and len(jax.tree.leaves(ours)) == len(jax.tree.leaves(found[0])):
        return with_optimizers(ours, [optimizer_from(found[0], theirs, where, given)])
    if not found and same_structure(ours, theirs):
        return jax.tree.map(lambda mine, other: placed(other, mine), ours, theirs)
    raise ValueError(
        f"{where}state must be built like tx, but for the optimizer, got "
        f"{type(theirs).__name__} for {type(ours).__name__}"
    )


def _right_after_an_update(state: Any, where: str) -> Any:
    if int(state.mini_step):
        raise ValueError(
            f"{where}state must be one right after an update, got {int(state.mini_step)} gradients "
            "that wait in MultiSteps: take it over then, or give tx as optax.MultiSteps too"
        )
    return state.inner_opt_state
