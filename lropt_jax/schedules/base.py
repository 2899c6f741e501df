"""A schedule is a formula with data: the formula is static, its numbers are pytree leaves."""

from __future__ import annotations

import functools
import inspect
import sys
import typing
from collections.abc import Callable, Mapping
from typing import Any, Concatenate, ParamSpec

import jax
import jax.numpy as jnp
import numpy as np

from lropt_jax.validation import Constraint, finite, is_number

P = ParamSpec("P")


def float_type() -> Any:
    """The default float type, in which every schedule and hyperparameter is computed."""
    return jnp.result_type(float)


@jax.tree_util.register_pytree_with_keys_class
class Schedule:
    r"""A function of the update count whose numbers are data.

    Made by the constructors of `lropt_jax` (`cosine_decay(0.1, 1000)`) or by one of your own,
    see `schedule`. `s(count)` is a scalar of the default float type, for `count` = the number of
    updates taken so far, from 0. A schedule is a pytree: its numbers may be tracers, it can be
    vmapped, differentiated, saved, and set in an optimizer's state without a recompile.

    `2.0 * s` and `s * t` multiply schedules.

    Attributes:
      name: the constructor's name.
      arguments: the numbers (and strings, bools) by their argument's name.
      state: what a schedule that observes has seen; empty for the others.
    """

    __slots__ = ("_constructor", "_data", "_state", "_static")

    def __init__(
        self,
        constructor: Any,
        data: Mapping[str, Any],
        static: tuple[tuple[str, Any], ...],
        state: Mapping[str, Any],
    ):
        _register_with_flax()
        self._constructor, self._data, self._static = constructor, dict(data), static
        self._state = dict(state)

    @property
    def name(self) -> str:
        return str(self._constructor.__name__)

    @property
    def arguments(self) -> dict[str, Any]:
        return {**self._data, **dict(self._static)}

    @property
    def state(self) -> dict[str, Any]:
        return dict(self._state)

    def __call__(self, count: Any) -> jax.Array:
        recipe: _Recipe = self._constructor.recipe
        numbers = _cast({**self._data})
        count = jnp.asarray(count, float_type())
        before = () if recipe.observe is None else (_cast(self._state),)
        value = recipe.formula(count, *before, **numbers, **dict(self._static))
        return jnp.asarray(value, float_type())

    @property
    def observes(self) -> bool:
        """Whether an observed value (a validation loss) changes this schedule."""
        nested = any(s.observes for s in _schedules_in(self._data))
        return nested or self._constructor.recipe.observe is not None

    def observe(self, value: Any) -> Schedule:
        """This schedule after it has seen `value`; nested schedules see it too."""
        recipe: _Recipe = self._constructor.recipe
        value = jnp.asarray(value, float_type())
        data = jax.tree.map(
            lambda x: x.observe(value) if isinstance(x, Schedule) else x,
            self._data,
            is_leaf=lambda x: isinstance(x, Schedule),
        )
        state: Mapping[str, Any] = self._state
        if recipe.observe is not None:
            state = _cast(
                recipe.observe(_cast(self._state), value, **_cast(data), **dict(self._static))
            )
        return Schedule(self._constructor, data, self._static, state)

    def __mul__(self, other: Any) -> Schedule:
        if not (isinstance(other, Schedule) or is_number(other) or callable(other)):
            return NotImplemented
        return product(self, other)

    def __rmul__(self, other: Any) -> Schedule:
        if not (is_number(other) or callable(other)):
            return NotImplemented
        return product(other, self)

    def tree_flatten_with_keys(self) -> tuple[Any, Any]:
        children = {**self._data, **self._state}
        keyed = tuple((jax.tree_util.GetAttrKey(k), v) for k, v in children.items())
        return keyed, (self._constructor, tuple(self._data), tuple(self._state), self._static)

    @classmethod
    def tree_unflatten(cls, aux: Any, children: Any) -> Schedule:
        constructor, names, state_names, static = aux
        children = tuple(children)
        data = dict(zip(names, children[: len(names)], strict=True))
        state = dict(zip(state_names, children[len(names) :], strict=True))
        return cls(constructor, data, static, state)

    def __reduce__(self) -> Any:
        return Schedule, (self._constructor, self._data, self._static, self._state)

    def __repr__(self) -> str:
        arguments = ", ".join(
            f"{name}={_show(value)}" for name, value in self.arguments.items() if value is not None
        )
        return f"{self.name}({arguments})"


class _Recipe(typing.NamedTuple):
    """What a constructor knows: its formula and, where it observes, how."""

    formula: Callable[..., Any]
    start: Callable[..., Mapping[str, Any]] | None
    observe: Callable[..., Mapping[str, Any]] | None


@typing.overload
def schedule(formula: Callable[Concatenate[Any, P], Any], /) -> Callable[P, Schedule]: ...
@typing.overload
def schedule(
    *, check: Callable[..., None] | None = None
) -> Callable[[Callable[Concatenate[Any, P], Any]], Callable[P, Schedule]]: ...
def schedule(
    formula: Callable[..., Any] | None = None, /, *, check: Callable[..., None] | None = None
) -> Any:
    r"""Turns a formula `f(count, **numbers)` into a constructor of `Schedule`s.

    The formula's first argument is the count of updates taken so far, already cast to the
    default float type, as are the numbers: write the equation, with `jnp.where` in place of
    `if`. Strings and bools are static; everything else is data and may be a tracer. An argument
    that is itself a schedule arrives as one.

    Args:
      formula: a function of `count` and named numbers. An argument annotated with `Positive`,
        `NonNegative`, ... (`lropt_jax.validation`) is checked when it is concrete; without an
        annotation it must be finite.
      check: called with all arguments, for conditions between them; raises `ValueError`.

    Example:
      >>> import jax, jax.numpy as jnp
      >>> from lropt_jax import schedule
      >>> @schedule
      ... def halving(count, init_value, every=10):
      ...     return init_value * 0.5 ** jnp.floor(count / every)
      >>> halving(0.8, every=5)
      halving(init_value=0.8, every=5)
      >>> float(halving(0.8, every=5)(10))
      0.2...
    """
    if formula is None:
        return functools.partial(_constructor, start=None, observe=None, check=check)
    return _constructor(formula, start=None, observe=None, check=check)


def feedback_schedule(
    start: Callable[..., Mapping[str, Any]],
    observe: Callable[..., Mapping[str, Any]],
    check: Callable[..., None] | None = None,
) -> Callable[[Callable[Concatenate[Any, Any, P], Any]], Callable[P, Schedule]]:
    """`schedule` for a formula `f(count, state, **numbers)` that reacts to observed values.

    Args:
      start: the state before any observation, `start(**arguments) -> dict` of numbers.
      observe: `observe(state, value, **arguments) -> state`, with the same keys.
      check: as in `schedule`.
    """
    return functools.partial(_constructor, start=start, observe=observe, check=check)


def _constructor(
    formula: Callable[..., Any],
    start: Callable[..., Mapping[str, Any]] | None,
    observe: Callable[..., Mapping[str, Any]] | None,
    check: Callable[..., None] | None,
) -> Any:
    hidden = 1 if observe is None else 2
    signature = inspect.signature(formula)
    parameters = list(signature.parameters.values())[hidden:]
    signature = signature.replace(parameters=parameters, return_annotation=Schedule)
    constraints = _constraints(formula)

    @functools.wraps(formula)
    def construct(*args: Any, **kwargs: Any) -> Schedule:
        try:
            bound = signature.bind(*args, **kwargs)
        except TypeError as error:
            raise TypeError(f"{formula.__name__}{signature}: {error}") from None
        bound.apply_defaults()
        arguments = {
            k: _normalise(f"{formula.__name__}: {k}", v) for k, v in bound.arguments.items()
        }
        for name, value in arguments.items():
            _check(f"{formula.__name__}: {name}", value, constraints.get(name))
        if check is not None:
            check(**arguments)
        static = tuple((k, v) for k, v in arguments.items() if isinstance(v, (bool, str)))
        data = {k: v for k, v in arguments.items() if not isinstance(v, (bool, str))}
        return Schedule(construct, data, static, {} if start is None else start(**arguments))

    construct.__signature__ = signature  # type: ignore[attr-defined]
    construct.recipe = _Recipe(formula, start, observe)  # type: ignore[attr-defined]
    del construct.__wrapped__  # the signature above is the public one
    return construct


def _constraints(formula: Callable[..., Any]) -> dict[str, Constraint]:
    hints = typing.get_type_hints(formula, include_extras=True)
    found = {}
    for name, hint in hints.items():
        for extra in getattr(hint, "__metadata__", ()):
            if isinstance(extra, Constraint):
                found[name] = extra
    return found


def _check(name: str, value: Any, constraint: Constraint | None) -> None:
    if value is None or isinstance(value, (bool, str, Schedule)):
        return
    if isinstance(value, tuple):
        for i, item in enumerate(value):
            _check(f"{name}[{i}]", item, constraint)
        return
    (constraint or finite).check(name, value)


def _normalise(name: str, value: Any) -> Any:
    """Python ints to floats, sequences to tuples, plain callables to schedules."""
    if isinstance(value, np.bool_):
        return bool(value)
    if value is None or isinstance(value, (bool, str, Schedule)):
        return value
    if isinstance(value, (int, np.integer)):
        return float(value)
    if is_number(value):
        return value
    if isinstance(value, (list, tuple)):
        return tuple(_normalise(f"{name}[{i}]", item) for i, item in enumerate(value))
    if callable(value):
        return from_callable(value)
    raise TypeError(f"{name} must be a number, a schedule or a callable of count, got {value!r}")


def _cast(tree: Any) -> Any:
    """Numbers as arrays of the default float type; schedules stay as they are."""
    return jax.tree.map(
        lambda x: x if isinstance(x, Schedule) else jnp.asarray(x, float_type()),
        tree,
        is_leaf=lambda x: isinstance(x, Schedule),
    )


def _schedules_in(tree: Any) -> list[Schedule]:
    leaves = jax.tree.leaves(tree, is_leaf=lambda x: isinstance(x, Schedule))
    return [x for x in leaves if isinstance(x, Schedule)]


def _show(value: Any) -> str:
    if isinstance(value, float):
        return f"{value:g}"
    if isinstance(value, (np.ndarray, jax.Array)) and not isinstance(value, jax.core.Tracer):
        return (
            f"{float(value):g}"
            if value.ndim == 0
            else np.array2string(np.asarray(value), threshold=6)
        )
    if isinstance(value, tuple):
        return "[" + ", ".join(_show(v) for v in value) + "]"
    return repr(value)


class _Call:
    """The constructor of schedules that are a plain callable: static, equal if the callable is."""

    def __init__(self, function: Callable[[Any], Any]):
        self.function = function
        self.__name__ = getattr(function, "__name__", type(function).__name__)

    @property
    def recipe(self) -> _Recipe:
        return _Recipe(self._formula, None, None)

    def _formula(self, count: Any) -> Any:
        # Optax's schedules index and compare with an integer count.
        return self.function(count.astype(jnp.int32))

    def __eq__(self, other: object) -> bool:
        return isinstance(other, _Call) and self.function == other.function

    def __hash__(self) -> int:
        return hash(self.function)


def from_callable(function: Callable[[Any], Any]) -> Schedule:
    """A plain callable of count (an Optax schedule, a lambda) as a static `Schedule`."""
    return function if isinstance(function, Schedule) else Schedule(_Call(function), {}, (), {})


def as_schedule(value: Any) -> Schedule:
    """A number, a schedule or a callable as a `Schedule`."""
    return from_callable(value) if callable(value) else constant(value)


def value_at(value: Any, count: Any) -> Any:
    """A schedule's value at `count`; a number is its own value."""
    return value(count) if callable(value) else value


@schedule
def constant(count: Any, value: Any) -> Any:
    r"""A constant: $\eta_t = v$.

    Args:
      value: the value at every count.

    Example:
      >>> from lropt_jax import constant
      >>> float(constant(0.5)(100))
      0.5
    """
    return value


@schedule
def product(count: Any, first: Any, second: Any) -> Any:
    r"""The product of two schedules (or numbers): what `a * b` makes.

    Args:
      first, second: schedules or numbers.

    Example:
      >>> from lropt_jax import constant
      >>> float((2.0 * constant(0.25))(0))
      0.5
    """
    return value_at(first, count) * value_at(second, count)


_registered_with_flax = False


def _register_with_flax() -> None:
    """Once flax is loaded, `flax.serialization` can save a schedule's numbers."""
    global _registered_with_flax
    if _registered_with_flax or "flax.serialization" not in sys.modules:
        return
    serialization = sys.modules["flax.serialization"]
    if not hasattr(serialization, "register_serialization_state"):
        return  # flax is being imported right now

    def to_state_dict(s: Schedule) -> dict[str, Any]:
        numbers = {**s._data, **s._state}
        return {k: serialization.to_state_dict(v) for k, v in numbers.items()}

    def from_state_dict(s: Schedule, saved: dict[str, Any]) -> Schedule:
        def restore(names: Mapping[str, Any]) -> dict[str, Any]:
            return {k: serialization.from_state_dict(v, saved[k]) for k, v in names.items()}

        return Schedule(s._constructor, restore(s._data), s._static, restore(s._state))

    serialization.register_serialization_state(
        Schedule, to_state_dict, from_state_dict, override=True
    )
    _registered_with_flax = True
