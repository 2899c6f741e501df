"""Reading, setting and observing the hyperparameters that a state holds."""

from __future__ import annotations

import functools
from collections.abc import Callable, Mapping
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import optax

from lropt_jax.hyperparameters.building import check_building
from lropt_jax.hyperparameters.groups import (
    Labelled,
    factory_of,
    labelled,
    tunables,
    with_tunables,
)
from lropt_jax.hyperparameters.numbers import Factory, Numbers, beside, replaced
from lropt_jax.hyperparameters.state import FeedbackState, TunableState, observed, observes
from lropt_jax.schedules.arguments import OTHER_NAMES
from lropt_jax.schedules.base import Schedule, from_callable, value_at
from lropt_jax.schedules.composition import delayed
from lropt_jax.schedules.counts import fits, float_type
from lropt_jax.validation import instead, is_number


def hyperparams(state: optax.OptState) -> dict[str, Any]:
    """The value of each hyperparameter that the next update will use.

    When to use:
      To log the learning rate, or to check what a restored state will do. With several
      tunable optimizers in a state it answers with a mapping for each, not with one number.

    Args:
      state: an optimizer's state with a `TunableState` in it, anywhere inside a chain. Where
        there are several, the values are nested by label: those of `optax.partition`
        (`multi_transform`), the names of `optax.named_chain`, and in another chain the names of
        the factories ("adam", "adam_2"). For a population (a state with leading axes) the
        values have those axes; for the shapes of a state (`jax.eval_shape(tx.init, params)`)
        they are shapes, as they are from `set_hyperparams` and `observe`.

    Raises:
      ValueError: when the state holds no tunable optimizer.

    See also:
      `set_hyperparams`, `tunable`.

    Example:
      >>> import jax.numpy as jnp, optax
      >>> from lropt_jax import adam, cosine_decay, hyperparams, sgd
      >>> state = adam(cosine_decay(0.5, 100)).init(jnp.ones(2))
      >>> float(hyperparams(state)["learning_rate"])
      0.5
      >>> tx = optax.partition({"body": adam(0.25), "head": sgd(0.5)}, {"w": "body", "v": "head"})
      >>> state = tx.init({"w": jnp.ones(2), "v": jnp.ones(2)})
      >>> float(hyperparams(state)["head"]["learning_rate"])
      0.5
    """
    found = tunables(state)

    def values(which: Labelled) -> Any:
        if isinstance(which, dict):
            return {label: values(inner) for label, inner in which.items()}

        def now(count: Any, numbers: Any) -> Any:
            return jax.tree.map(_copy, _over_population(_values, count)(count, numbers))

        return _computed(now, *found[which][:2])

    result: dict[str, Any] = values(labelled(state))
    return result


def set_hyperparams(
    state: optax.OptState, groups: Mapping[Any, Any] | None = None, /, **new: Any
) -> Any:
    """The state with other hyperparameters; the next update uses them.

    A number for a number, or a schedule of the same formula, keeps the state's structure and
    dtypes, so nothing recompiles. Anything else (a schedule over a number) changes the
    structure. A schedule is read at the state's count: one that is set in the middle of a run
    is in its middle too, unless it is set as `starting_now(schedule, state)`.

    When to use:
      To change a rate, a decay or a schedule in the middle of a run. A new schedule is read
      at the count that the state is at; `starting_now` begins it at 0. Another kind of
      schedule recompiles once.

    Args:
      state: an optimizer's state with a `TunableState` in it, anywhere inside a chain.
      groups: where there are several, a mapping of labels (see `hyperparams`) to new numbers by
        name; a label need be no string. What is not named stays as it is.
      **new: numbers or schedules by name; or, where there are several optimizers, for each
        label a mapping of them: `head={"learning_rate": 0.1}`. For a population, scalars or
        arrays of its shape.

    Raises:
      KeyError: for an unknown name or label; it lists the known ones.
      ValueError: for a concrete number out of range, or a state without a tunable optimizer.
      TypeError: for numbers that are given without their names.

    See also:
      `hyperparams`, `starting_now`, `train`.

    Example:
      >>> import jax.numpy as jnp, optax
      >>> from lropt_jax import adam, hyperparams, set_hyperparams, sgd
      >>> state = set_hyperparams(adam(0.5).init(jnp.ones(2)), learning_rate=0.25)
      >>> float(hyperparams(state)["learning_rate"])
      0.25
      >>> tx = optax.partition({"body": adam(0.25), "head": sgd(0.5)}, {"w": "body", "v": "head"})
      >>> state = tx.init({"w": jnp.ones(2), "v": jnp.ones(2)})
      >>> state = set_hyperparams(state, head={"learning_rate": 0.125})
      >>> [float(numbers["learning_rate"]) for numbers in hyperparams(state).values()]
      [0.25, 0.125]
    """
    if groups is not None and not isinstance(groups, Mapping):
        raise TypeError(
            "set_hyperparams takes numbers by name, learning_rate=0.1, or a mapping of labels to "
            f"such, got {groups!r}"
        )
    found = tunables(state)

    def put(which: Labelled, values: Mapping[Any, Any], label: str) -> None:
        if not isinstance(which, dict):
            found[which] = _with_numbers(found[which], values, label)
            return
        for key, inner in values.items():
            if key not in which:
                known = ", ".join(map(repr, which))
                raise KeyError(
                    f"{label}this state holds several optimizers, and none of them is called "
                    f"{key!r}: give their numbers by label, {{label: {{name: number}}}}; the "
                    f"labels are {known}"
                )
            if not isinstance(inner, Mapping):
                raise ValueError(
                    f"{label}{key} must be a mapping of names to numbers, got {inner!r}"
                )
            put(which[key], inner, f"{label}{key}: ")

    put(labelled(state), {**(groups or {}), **new}, "")
    return with_tunables(state, found)


def _with_numbers(state: TunableState, new: Mapping[str, Any], label: str) -> TunableState:
    factory = factory_of(state)
    for name in new:
        _check_known(label, name, state.hyperparams, factory)
    values = Numbers(state.hyperparams, factory)
    for name, value in new.items():
        value = from_callable(value, f"{label}{name}") if callable(value) else value
        if not (isinstance(value, Schedule) or is_number(value)):
            raise ValueError(f"{label}{name} must be a number or a schedule, got {value!r}")
        factory.check(f"{label}{name}", value, name)
        if isinstance(value, int) and not fits(value):
            value = float(value)
        values[name] = replaced(f"{label}{name}", values[name], value, state.count)
    factory.check_together({**values, **new})
    check_building(factory, {**values, **new})
    return state._replace(hyperparams=values)


def _check_known(label: str, name: Any, known: Mapping[str, Any], factory: Factory) -> None:
    if name in known:
        return
    if name in factory.fixed:
        raise KeyError(
            f"{label}{name} is {factory.fixed[name]!r} by the way this {factory.name} is built, "
            "and no number of its state: build it anew with another; what can be set is "
            f"{', '.join(sorted(known)) or 'nothing'}"
        )
    meant = OTHER_NAMES.get(name, ())
    raise KeyError(f"{label}unknown hyperparameter {name!r}{instead(name, sorted(known), meant)}")


def starting_now(schedule: Any, state: optax.OptState) -> Schedule:
    """A schedule that begins at its own 0 with the next update, to be set in the middle of a run.

    When to use:
      With `set_hyperparams`, when a decay is to begin here. Start with `cosine_decay` from
      the present rate. Not when the optimizer is built: there every schedule begins at 0
      already.

    Args:
      schedule: a schedule, or a plain callable of count.
      state: the optimizer's state; of several optimizers in it, the count of the first holds.

    Raises:
      ValueError: when the state holds no tunable optimizer.

    See also:
      `set_hyperparams`, `warmup_stable_decay`.

    Example:
      >>> import jax.numpy as jnp
      >>> from lropt_jax import hyperparams, linear, set_hyperparams, sgd, starting_now
      >>> tx = sgd(0.5)
      >>> state = tx.init(jnp.ones(2))
      >>> for _ in range(3):
      ...     _, state = tx.update(jnp.ones(2), state)
      >>> anew = starting_now(linear(1.0, 0.0, 4), state)
      >>> state = set_hyperparams(state, learning_rate=anew)
      >>> float(hyperparams(state)["learning_rate"])
      1.0
    """
    labelled(state)  # refuses a state without any
    return delayed(schedule, tunables(state)[0].count)


def observe(state: optax.OptState, value: Any) -> Any:
    """The state after its schedules have seen `value`, a validation loss for example.

    When to use:
      In a loop of your own, after each evaluation, for optimizers with `reduce_on_plateau`.
      `fit(observe="valid_loss")` does it for you; a schedule that does not observe is left as
      it is.

    Args:
      state: an optimizer's state with a `TunableState` in it, anywhere inside a chain; where
        there are several, the schedules of all see the value.
      value: a number; for a population one for each of its members.

    Raises:
      ValueError: when there is no tunable optimizer, none of the schedules observes, or the value
        is no number.

    See also:
      `reduce_on_plateau`, `feedback_schedule`.

    Example:
      >>> import jax.numpy as jnp
      >>> from lropt_jax import hyperparams, observe, reduce_on_plateau, sgd
      >>> state = sgd(reduce_on_plateau(1.0, factor=0.5, patience=0)).init(jnp.ones(2))
      >>> state = observe(observe(state, 3.0), 3.0)
      >>> float(hyperparams(state)["learning_rate"])
      0.5
    """
    found = tunables(state)
    if found and not any(map(_wants_observation, found)):
        names = ", ".join(dict.fromkeys(name for x in found for name in sorted(x.hyperparams)))
        raise ValueError(
            "observe: no hyperparameter of this optimizer is a schedule that observes "
            f"(reduce_on_plateau is one); it has {names}"
        )
    labelled(state)  # refuses a state without any
    return with_tunables(state, [_observing(x, value) for x in found])


def _observing(state: TunableState, value: Any) -> TunableState:
    if not is_number(value):
        raise ValueError(f"observe: value must be a number, got {value!r}")
    if np.shape(value) not in ((), state.count.shape):
        raise ValueError(
            "observe: value must be a number, or have the population's shape "
            f"{state.count.shape}, got shape {np.shape(value)}"
        )
    value = beside(
        jnp.broadcast_to(jnp.asarray(value, float_type()), state.count.shape), state.count
    )
    see = functools.partial(_computed, _over_population(observed, state.count))
    new = state._replace(hyperparams=see(state.hyperparams, value))
    if isinstance(new.inner_state, FeedbackState):
        schedules = see(new.inner_state.schedules, value)
        new = new._replace(inner_state=new.inner_state._replace(schedules=schedules))
    return new


def wants_observation(state: optax.OptState) -> bool:
    """Whether a schedule in this state reacts to observed values."""
    return any(map(_wants_observation, tunables(state)))


def _wants_observation(state: TunableState) -> bool:
    of_its_own = any(map(observes, state.hyperparams.values()))
    return of_its_own or isinstance(state.inner_state, FeedbackState)


def _copy(x: Any) -> Any:
    """What a person keeps, whatever becomes of the state: a step may be donated it."""
    return x if isinstance(x, jax.core.Tracer) else jnp.array(x, copy=True)


def _values(count: Any, numbers: Mapping[str, Any]) -> dict[str, Any]:
    return {name: value_at(value, count) for name, value in numbers.items()}


def _computed(function: Callable[..., Any], *args: Any) -> Any:
    """Its result; of shapes that of its result."""
    shapes = any(isinstance(x, jax.ShapeDtypeStruct) for x in jax.tree.leaves(args))
    return jax.eval_shape(function, *args) if shapes else function(*args)


def _over_population(function: Callable[..., Any], count: jax.Array) -> Callable[..., Any]:
    for _ in range(np.ndim(count)):
        function = jax.vmap(function)
    return function
