"""The state of a tunable optimizer, and what its schedules have seen."""

from __future__ import annotations

from typing import Any, NamedTuple

import jax
import optax

from lropt_jax.schedules.base import Schedule


class TunableState(NamedTuple):
    """The state of a tunable optimizer.

    A pytree like any other: what saves the parameters saves it. `hyperparams` reads it and
    `set_hyperparams` writes it, wherever in a chain it stands.

    Attributes:
      count: updates taken so far, int32.
      hyperparams: each number, or `Schedule`, by its argument's name; a dict.
      inner_state: the state of the transformation that the factory makes.

    See also:
      `tunable`, `hyperparams`, `set_hyperparams`.

    Example:
      >>> import jax.numpy as jnp, optax
      >>> from lropt_jax import TunableState, adam, cosine_decay
      >>> tx = optax.chain(optax.clip_by_global_norm(1.0), adam(cosine_decay(1e-3, 1000)))
      >>> state = tx.init(jnp.ones(2))
      >>> isinstance(state[1], TunableState), int(state[1].count), sorted(state[1].hyperparams)
      (True, 0, ['b1', 'b2', 'eps', 'learning_rate'])
    """

    count: jax.Array  # type: ignore[assignment]  # shadows tuple.count
    hyperparams: dict[str, Any]
    inner_state: optax.OptState


class FeedbackState(NamedTuple):
    """The inner state of a factory that itself builds schedules which observe.

    Attributes:
      schedules: these schedules, in the order in which they were used, with what they have seen;
        their numbers are those of the last update.
      inner_state: the state of the transformation.
    """

    schedules: tuple[Schedule, ...]
    inner_state: optax.OptState


def observes(value: Any) -> bool:
    """Whether this hyperparameter is a schedule that reacts to observed values."""
    return isinstance(value, Schedule) and value.observes


def observed(schedules: Any, value: Any) -> Any:
    """A tree of numbers and schedules after the schedules have seen `value`."""
    return jax.tree.map(
        lambda x: x.observe(value) if isinstance(x, Schedule) else x,
        schedules,
        is_leaf=lambda x: isinstance(x, Schedule),
    )


def resumed(fresh: Schedule, kept: Schedule) -> Schedule:
    """The numbers of one schedule with what the other of its kind has seen."""

    def resume(new: Any, old: Any) -> Any:
        return resumed(new, old) if isinstance(new, Schedule) else new

    def each(new: Any, old: Any) -> Any:
        return jax.tree.map(resume, new, old, is_leaf=lambda x: isinstance(x, Schedule))

    # Name by name: jax.tree.map over the dict would sort the names.
    data = {name: each(new, kept._data[name]) for name, new in fresh._data.items()}
    return Schedule(fresh._constructor, data, fresh._static, kept._state)
