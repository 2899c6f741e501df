"""The numbers that an optimizer's state holds: what each may be, and how it is kept."""

from __future__ import annotations

import dataclasses
import functools
from collections.abc import Callable, Iterable, Mapping
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from lropt_jax.schedules.base import Schedule
from lropt_jax.schedules.counts import fits, float_type
from lropt_jax.schedules.flax_support import restored, when_loaded
from lropt_jax.validation import Constraint, is_number, not_nan


@dataclasses.dataclass(frozen=True, eq=False)
class Factory:
    """What a state knows of the factory whose numbers it holds.

    Two are equal when they say the same, so that the state of a factory made anew, or of its copy
    in another process, has the same structure.

    Attributes:
      name: the factory's.
      constraints: what each number may be.
      requirements: conditions between the arguments, see `lropt_jax.validation.requires`.
      fixed: the arguments that are no data, of them those that are plain values.
      plain: what builds the transformation, of a factory that says of no number what it may be:
        the state is the same without it, and does not save it.
    """

    name: str = "optimizer"
    constraints: Mapping[str, Constraint] = dataclasses.field(default_factory=dict)
    requirements: tuple[Callable[..., None], ...] = ()
    fixed: Mapping[str, Any] = dataclasses.field(default_factory=dict)
    plain: Callable[..., Any] | None = None

    def check(self, name: str, value: Any, argument: str | None = None) -> None:
        """Raises `ValueError` for a concrete number that this hyperparameter may not be.

        Neither may it become one when it is stored: 1 - 1e-9 is 1 in float32.

        Args:
          name: what the error calls it.
          value: the number, or a schedule, of which the values that it is given are checked.
          argument: its name, where the error calls it otherwise.
        """
        constraint = self.constraints.get(argument or name, not_nan)
        if isinstance(value, Schedule):
            _check_values(name, value, dataclasses.replace(constraint, ends="[]"))
            return
        constraint.check(name, value)
        if not isinstance(value, jax.core.Tracer):
            with np.errstate(over="ignore"):
                constraint.check(name, np.asarray(value).astype(float_type()))

    def check_together(self, arguments: Mapping[str, Any]) -> None:
        """Raises `ValueError` where a condition between arguments does not hold."""
        for check in self.requirements:
            check(**{**self.fixed, **arguments})

    def __getstate__(self) -> dict[str, Any]:
        return {**vars(self), "plain": None}

    def __eq__(self, other: object) -> bool:
        return self is other or (isinstance(other, Factory) and self._key == other._key)

    def __hash__(self) -> int:
        return hash(self._key)

    @property
    def _key(self) -> tuple[Any, ...]:
        # A function may be a copy, made by cloudpickle.
        checks = [
            (f.__module__, f.__qualname__) if hasattr(f, "__qualname__") else f
            for f in self.requirements
        ]
        constraints, fixed = (sorted(d.items()) for d in (self.constraints, self.fixed))
        return self.name, tuple(constraints), tuple(fixed), tuple(checks)


def _check_values(name: str, schedule: Schedule, constraint: Constraint) -> None:
    """Raises `ValueError` for a value of a schedule that the number may not be.

    A product's may be anything: two that are negative make a positive one.
    """
    if schedule.name == "product":
        return
    for argument, value in schedule.arguments.items():
        for part in value if isinstance(value, tuple) else (value,):
            if isinstance(part, Schedule):
                _check_values(name, part, constraint)
            elif argument.endswith(_VALUES) and is_number(part):
                constraint.check(f"{name}: {schedule.name}: {argument}", part)


# What schedules call the values that they take, and schedules (or numbers) that they go through.
_VALUES = ("value", "values", "schedule", "schedules")


@jax.tree_util.register_pytree_with_keys_class
class Numbers(dict[str, Any]):
    """Numbers and schedules by their argument's name: a dict that knows its factory.

    The order of the names is no part of its structure.
    """

    def __init__(self, values: Iterable[Any] | Mapping[str, Any] = (), factory: Any = None):
        super().__init__(values)
        self.factory: Factory = factory or Factory()

    def tree_flatten_with_keys(self) -> tuple[Any, Any]:
        names = tuple(sorted(self))
        return tuple((jax.tree_util.DictKey(n), self[n]) for n in names), (names, self.factory)

    def tree_flatten(self) -> tuple[Any, Any]:
        names = tuple(sorted(self))
        return tuple(self[n] for n in names), (names, self.factory)

    @classmethod
    def tree_unflatten(cls, aux: Any, children: Iterable[Any]) -> Numbers:
        names, factory = aux
        return cls(zip(names, children, strict=True), factory)


@when_loaded
def _register(serialization: Any) -> None:
    def to_state_dict(numbers: Numbers) -> dict[str, Any]:
        return {k: serialization.to_state_dict(v) for k, v in numbers.items()}

    def from_state_dict(numbers: Numbers, saved: Mapping[str, Any]) -> Numbers:
        if set(saved) != set(numbers):
            raise ValueError(
                f"{serialization.current_path()}: {', '.join(sorted(saved))} were saved, but this "
                f"{numbers.factory.name} has {', '.join(sorted(numbers))}"
            )
        values = {k: restored(serialization, k, v, saved[k]) for k, v in numbers.items()}
        return Numbers(values, numbers.factory)

    serialization.register_serialization_state(
        Numbers, to_state_dict, from_state_dict, override=True
    )


@functools.cache
def teach_flax_keys(kind: type) -> None:
    """`flax.serialization` learns to save typed random keys, as `optax.noisy_sgd` has.

    Args:
      kind: their type, which JAX does not name in public.
    """

    def register(serialization: Any) -> None:
        serialization.register_serialization_state(
            kind,
            jax.random.key_data,
            lambda key, words: jax.random.wrap_key_data(words, impl=jax.random.key_impl(key)),
            override=True,
        )

    when_loaded(register)


def stored(value: Any, like: jax.Array | None = None) -> Any:
    """Numbers as strongly typed arrays, so that a state looks the same before and after a step.

    Args:
      value: a tree of numbers.
      like: an array of the state: of the shape of its population, and where it lies.
    """

    def store(x: Any) -> jax.Array:
        dtype = jnp.int32 if fits(x) else float_type()
        array = cast(x, dtype, np.shape(like) if like is not None else ())
        return array if like is None else beside(array, like)

    return jax.tree.map(store, value)


def replaced(name: str, old: Any, new: Any, like: jax.Array) -> Any:
    """`new` in the place of `old`: the same dtypes and shapes where the structure is the same.

    Args:
      name: what an error calls it.
      old, new: a number, or a schedule.
      like: an array of the state, as in `stored`.
    """
    for n in jax.tree.leaves(new):
        if np.shape(n) not in ((), np.shape(like)):
            raise ValueError(
                f"{name} must be a scalar or have the population's shape {np.shape(like)}, "
                f"got shape {np.shape(n)}"
            )
    if jax.tree.structure(old) != jax.tree.structure(new):  # type: ignore[operator]
        return stored(new, like)
    counts = isinstance(new, Schedule)

    def replace(o: Any, n: Any) -> Any:
        return beside(cast(n, _able(jnp.result_type(o), n, counts), np.shape(o)), o)

    return jax.tree.map(replace, old, new)


def _able(dtype: Any, number: Any, counts: bool) -> Any:
    """This dtype, if it can hold the number as it is; else the one that can.

    A float can where the number is no count of updates.
    """
    traced = isinstance(number, jax.core.Tracer)
    whole = jnp.issubdtype(number.dtype, jnp.integer) if traced else fits(number)
    if jnp.issubdtype(dtype, jnp.integer) == whole:
        return dtype
    if whole and not counts:
        return dtype
    if traced:
        return dtype if whole else float_type()
    held = np.asarray(number).astype(dtype)
    same = np.all(held.astype(np.float64) == np.asarray(number, np.float64))
    return dtype if same else jnp.int32 if whole else float_type()


def cast(value: Any, dtype: Any, shape: tuple[int, ...] = ()) -> jax.Array:
    """A number as a strongly typed array of this dtype, broadcast to this shape.

    A copy: a state that is donated must not take an array of its user's, or another number's,
    with it. A copy of a tracer too, which may stand for one.
    """
    return jnp.broadcast_to(jnp.array(value, dtype, copy=True), shape)


def beside(new: Any, old: Any) -> Any:
    """`new` where `old` lies: elsewhere it would be another input to a compiled step.

    Args:
      new: an array.
      old: one, or a number that was put into a state by hand, or the shape of an array.
    """
    if isinstance(old, jax.ShapeDtypeStruct):
        return jax.ShapeDtypeStruct(new.shape, new.dtype, sharding=old.sharding)  # type: ignore[no-untyped-call]
    traced = isinstance(old, jax.core.Tracer) or isinstance(new, jax.core.Tracer)
    if traced or not (isinstance(old, jax.Array) and old.committed):
        return new
    placed: jax.Array = jax.device_put(new, old.sharding)
    return placed
