"""The state of a tunable optimizer: reading, setting and observing what is in it."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import optax

from lropt_jax.hyperparameters.numbers import Numbers, replaced
from lropt_jax.schedules.base import Schedule, float_type, from_callable, value_at
from lropt_jax.validation import is_number


class TunableState(NamedTuple):
    """The state of a tunable optimizer.

    Attributes:
      count: updates taken so far, int32.
      hyperparams: each number, or `Schedule`, by its argument's name.
      inner_state: the state of the transformation that the factory makes.
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


def hyperparams(state: optax.OptState) -> dict[str, Any]:
    """The value of each hyperparameter that the next update will use.

    Args:
      state: an optimizer's state with one `TunableState` in it, anywhere inside a chain; for a
        population (a state with leading axes) the values have those axes.

    Raises:
      ValueError: when the state holds no tunable optimizer, or more than one.

    Example:
      >>> import jax.numpy as jnp
      >>> from lropt_jax import adam, cosine_decay, hyperparams
      >>> state = adam(cosine_decay(0.5, 100)).init(jnp.ones(2))
      >>> float(hyperparams(state)["learning_rate"])
      0.5
    """
    found = _find(state)

    def values(count: Any, numbers: dict[str, Any]) -> dict[str, Any]:
        return {name: value_at(value, count) for name, value in numbers.items()}

    result: dict[str, Any] = _over_population(values, found.count)(found.count, found.hyperparams)
    return result


def set_hyperparams(state: optax.OptState, **new: Any) -> Any:
    """The state with other hyperparameters; the next update uses them.

    A number for a number, or a schedule of the same formula, keeps the state's structure and
    dtypes, so nothing recompiles. Anything else (a schedule over a number) changes the
    structure.

    Args:
      state: an optimizer's state with one `TunableState` in it, anywhere inside a chain.
      **new: numbers or schedules by name; for a population, scalars or arrays of its shape.

    Raises:
      KeyError: for an unknown name; it lists the known ones.
      ValueError: for a concrete number out of range, or a state without one tunable optimizer.

    Example:
      >>> import jax.numpy as jnp
      >>> from lropt_jax import adam, hyperparams, set_hyperparams
      >>> state = set_hyperparams(adam(0.5).init(jnp.ones(2)), learning_rate=0.25)
      >>> float(hyperparams(state)["learning_rate"])
      0.25
    """
    found = _find(state)
    unknown = sorted(set(new) - set(found.hyperparams))
    if unknown:
        raise KeyError(
            f"unknown hyperparameter {', '.join(map(repr, unknown))}; "
            f"this optimizer has {', '.join(sorted(found.hyperparams))}"
        )
    values = Numbers(found.hyperparams, getattr(found.hyperparams, "factory", None))
    for name, value in new.items():
        value = from_callable(value) if callable(value) else value
        if not (isinstance(value, Schedule) or is_number(value)):
            raise ValueError(f"{name} must be a number or a schedule, got {value!r}")
        values.factory.check(name, value)
        values[name] = replaced(name, values[name], value, found.count.shape)
    values.factory.check_together({**values, **new})
    return _replace(state, found._replace(hyperparams=values))


def observe(state: optax.OptState, value: Any) -> Any:
    """The state after its schedules have seen `value`, a validation loss for example.

    Args:
      state: an optimizer's state with one `TunableState` in it, anywhere inside a chain.
      value: a number; for a population one for each of its members.

    Raises:
      ValueError: when there is not exactly one tunable optimizer, or none of its schedules
        observes.

    Example:
      >>> import jax.numpy as jnp
      >>> from lropt_jax import hyperparams, observe, reduce_on_plateau, sgd
      >>> state = sgd(reduce_on_plateau(1.0, factor=0.5, patience=0)).init(jnp.ones(2))
      >>> state = observe(observe(state, 3.0), 3.0)
      >>> float(hyperparams(state)["learning_rate"])
      0.5
    """
    found = _find(state)
    if not wants_observation(state):
        raise ValueError(
            "observe: no hyperparameter of this optimizer is a schedule that observes "
            f"(reduce_on_plateau is one); it has {', '.join(sorted(found.hyperparams))}"
        )
    value = jnp.broadcast_to(jnp.asarray(value, float_type()), found.count.shape)
    see = _over_population(observed, found.count)
    new = found._replace(hyperparams=see(found.hyperparams, value))
    if isinstance(new.inner_state, FeedbackState):
        schedules = see(new.inner_state.schedules, value)
        new = new._replace(inner_state=new.inner_state._replace(schedules=schedules))
    return _replace(state, new)


def wants_observation(state: optax.OptState) -> bool:
    """Whether a schedule in this state reacts to observed values."""
    return any(
        isinstance(found.inner_state, FeedbackState) or any(map(observes, _values(found)))
        for found in _tunables(state)
    )


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


def _over_population(function: Callable[..., Any], count: jax.Array) -> Callable[..., Any]:
    for _ in range(jnp.ndim(count)):
        function = jax.vmap(function)
    return function


def _values(state: TunableState) -> list[Any]:
    return list(state.hyperparams.values())


def _is_tunable_state(x: Any) -> bool:
    return isinstance(x, TunableState)


def _tunables(state: optax.OptState) -> list[TunableState]:
    leaves = jax.tree.leaves(state, is_leaf=_is_tunable_state)
    return [_unboxed(x) for x in leaves if _is_tunable_state(x)]


def _find(state: optax.OptState) -> TunableState:
    found = _tunables(state)
    if len(found) != 1:
        what = "no tunable optimizer" if not found else f"{len(found)} tunable optimizers"
        raise ValueError(
            f"the state holds {what}, it must hold exactly one: build it with one of "
            "lropt_jax's optimizers, or tunable(factory), and pass the part that holds it"
        )
    return found[0]


def _replace(state: optax.OptState, new: TunableState) -> Any:
    def replace(old: Any) -> Any:
        if not _is_tunable_state(old):
            return old
        pairs = {k: (v, old.hyperparams[k]) for k, v in new.hyperparams.items()}
        boxed = {k: _boxed_like(*pair, old.count) for k, pair in pairs.items()}
        return old._replace(
            hyperparams=Numbers(boxed, getattr(new.hyperparams, "factory", None)),
            inner_state=_boxed_like(new.inner_state, old.inner_state, old.count),
        )

    return jax.tree.map(replace, state, is_leaf=_is_tunable_state)


def _is_box(x: Any) -> bool:
    """Whether this is a variable of `flax.nnx`, whose Optimizer puts each array into one."""
    return type(x).__module__.startswith("flax.nnx") and hasattr(x, "get_value")


def _unboxed(tree: Any) -> Any:
    return jax.tree.map(lambda x: x.get_value() if _is_box(x) else x, tree, is_leaf=_is_box)


def _boxed_like(new: Any, old: Any, example: Any) -> Any:
    """`new` in the boxes that `old` has, or where it is of another structure, in some like them."""
    if not _is_box(example):
        return new
    boxes = jax.tree.leaves(old, is_leaf=_is_box)
    arrays, structure = jax.tree.flatten(new)
    if not _same_structure(old, new):
        boxes = [example] * len(arrays)
    boxed = [box.replace(x) for box, x in zip(boxes, arrays, strict=True)]
    return jax.tree.unflatten(structure, boxed)


def _same_structure(old: Any, new: Any) -> bool:
    before: Any = jax.tree.structure(old, is_leaf=_is_box)
    return bool(before == jax.tree.structure(new))
