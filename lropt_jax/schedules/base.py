"""A schedule is a formula with data: the formula is static, its numbers are pytree leaves."""

from __future__ import annotations

import functools
import inspect
import typing
import uuid
from collections.abc import Callable, Collection, Mapping
from typing import Any, ClassVar

import jax
import jax.numpy as jnp
import numpy as np
import optax

from lropt_jax.schedules.counts import as_count, fits, float_type
from lropt_jax.schedules.fingerprint import Fingerprint
from lropt_jax.validation import is_number, is_scalar


class Recipe(typing.NamedTuple):
    """What a constructor knows of its schedules.

    Attributes:
      formula: `f(count, **arguments)`, or `f(count, state, **arguments)` of one that observes.
      names: the arguments' names in the order of the signature.
      counting: those that count updates: where they are whole, they arrive as ints.
      exact: whether the count arrives as an int where it is one.
      start: the state before any observation, where there is one.
      observe: the state after an observation.
    """

    formula: Callable[..., Any]
    names: tuple[str, ...] = ()
    counting: frozenset[str] = frozenset()
    exact: bool = False
    start: Callable[..., Mapping[str, Any]] | None = None
    observe: Callable[..., Mapping[str, Any]] | None = None


@jax.tree_util.register_pytree_with_keys_class
class Schedule:
    r"""A function of the update count whose numbers are data.

    Made by the constructors of `lropt_jax` (`cosine_decay(0.1, 1000)`) or by one of your own,
    see `schedule`. `s(count)` is a scalar of the default float type, for `count` = the number of
    updates taken so far, from 0; an array of counts gives the curve. A schedule is a pytree: its
    numbers may be tracers, it can be vmapped, differentiated, saved, and set in an optimizer's
    state without a recompile.

    `2.0 * s` and `s * t` multiply schedules.

    Attributes:
      name: the constructor's name.
      arguments: the numbers (and strings, bools) by their argument's name.
      state: what a schedule that observes has seen; empty for the others.

    See also:
      `schedule`, `plot_schedules`, `tunable`.

    Example:
      >>> import jax
      >>> from lropt_jax import linear
      >>> s = linear(1.0, 0.0, transition_steps=4)
      >>> s
      linear(init_value=1, end_value=0, transition_steps=4, transition_begin=0)
      >>> s([0, 1, 2]).tolist()
      [1.0, 0.75, 0.5]
      >>> jax.vmap(lambda peak: linear(peak, 0.0, 4)(2))(jax.numpy.array([1.0, 2.0])).tolist()
      [0.5, 1.0]
    """

    __slots__ = ("__weakref__", "_constructor", "_data", "_state", "_static")
    __array_ufunc__ = None  # of an array of NumPy and a schedule, the product is the schedule's
    times: ClassVar[Callable[[Any, Any], Schedule]]  # the product, a schedule made of schedules

    def __init__(
        self,
        constructor: Any,
        data: Mapping[str, Any],
        static: tuple[tuple[str, Any], ...],
        state: Mapping[str, Any],
    ):
        self._constructor, self._data, self._static = constructor, dict(data), static
        self._state = dict(state)

    @property
    def name(self) -> str:
        """The name of the constructor."""
        return str(self._constructor.__name__)

    @property
    def arguments(self) -> dict[str, Any]:
        """The numbers (and strings, bools) by their argument's name."""
        given = {**self._data, **dict(self._static)}
        return {name: given[name] for name in self._recipe.names}

    @property
    def state(self) -> dict[str, Any]:
        """What a schedule that observes has seen; empty for the others."""
        return dict(self._state)

    @property
    def code(self) -> Callable[..., Any]:
        """The formula, or the plain callable."""
        constructor = self._constructor
        return constructor.function if isinstance(constructor, _Call) else self._recipe.formula

    @property
    def _recipe(self) -> Recipe:
        recipe: Recipe = self._constructor.recipe
        return recipe

    def __call__(self, count: Any) -> jax.Array:
        if self.observes and injected():
            raise ValueError(
                f"{self.name} would see nothing under optax.inject_hyperparams: the numbers of "
                "lropt_jax's optimizers are data already, so leave it out (tunable(factory) makes "
                "any other such)"
            )
        count = as_count(count, self._recipe.exact)
        if count.ndim:
            curve: jax.Array = jax.vmap(self)(count.reshape(-1))
            return curve.reshape(count.shape + curve.shape[1:])
        seen = () if self._recipe.observe is None else (_cast(self._state),)
        data = _cast(self._data, self._recipe.counting if self._recipe.exact else ())
        value = self._recipe.formula(count, *seen, **data, **dict(self._static))
        return jnp.asarray(value, float_type())

    @property
    def observes(self) -> bool:
        """Whether an observed value (a validation loss) changes this schedule."""
        nested = any(s.observes for s in _schedules_in(self._data))
        return nested or self._recipe.observe is not None

    def observe(self, value: Any) -> Schedule:
        """This schedule after it has seen `value`; nested schedules see it too.

        Raises:
          ValueError: when `value` has another shape than the schedule's numbers.
        """
        value = jnp.asarray(value, float_type())
        data = _map(lambda x: x.observe(value) if isinstance(x, Schedule) else x, self._data)
        state: Mapping[str, Any] = self._state
        if self._recipe.observe is not None:
            before = _cast(self._state)
            seen = self._recipe.observe(before, value, **_cast(data), **dict(self._static))
            if set(seen) != set(before):
                raise ValueError(
                    f"{self.name}: observe must return a state of {', '.join(before)}, as it "
                    f"began, got {', '.join(seen) or 'nothing'}"
                )
            state = {name: jnp.asarray(seen[name], float_type()) for name in before}
            for name, old in before.items():
                if old.shape != state[name].shape:
                    raise ValueError(
                        f"{self.name}: the observed value must have shape {old.shape}, "
                        f"got shape {value.shape}"
                    )
        return Schedule(self._constructor, data, self._static, state)

    def __mul__(self, other: Any) -> Schedule:
        return (
            Schedule.times(self, other) if is_number(other) or callable(other) else NotImplemented
        )

    def __rmul__(self, other: Any) -> Schedule:
        return (
            Schedule.times(other, self) if is_number(other) or callable(other) else NotImplemented
        )

    def tree_flatten_with_keys(self) -> tuple[Any, Any]:
        children = {**self._data, **self._state}
        keyed = tuple((jax.tree_util.GetAttrKey(k), v) for k, v in children.items())
        identity = _Identity(self._constructor)
        return keyed, (identity, tuple(self._data), tuple(self._state), self._static)

    @classmethod
    def tree_unflatten(cls, aux: Any, children: Any) -> Schedule:
        identity, names, state_names, static = aux
        children = tuple(children)
        data = dict(zip(names, children[: len(names)], strict=True))
        state = dict(zip(state_names, children[len(names) :], strict=True))
        return cls(identity.constructor, data, static, state)

    def __reduce__(self) -> Any:
        return Schedule, (self._constructor, self._data, self._static, self._state)

    def __repr__(self) -> str:
        if not self._recipe.names:
            return self.name
        shown = [listed(self.arguments)]
        if self._state:
            shown.append(listed(self._state))
        return f"{self.name}({'; '.join(shown)})"


class _Identity:
    """A constructor in a tree definition: equal to itself, to its copies, and to one made alike.

    cloudpickle copies what is defined in a script, so that a state that went to a worker and
    back would otherwise have another structure; and a lambda that is written in a call is
    another one at each call, for which a program would be compiled again.
    """

    __slots__ = ("constructor",)

    def __init__(self, constructor: Any):
        self.constructor = constructor

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, _Identity):
            return False
        mine, theirs = self.constructor, other.constructor
        if mine is theirs or mine.uid == theirs.uid:
            return True
        return mine.__name__ == theirs.__name__ and bool(_looks(mine) == _looks(theirs))

    def __hash__(self) -> int:
        return hash(self.constructor.__name__)

    def __repr__(self) -> str:
        return str(self.constructor.__name__)


def _looks(constructor: Any) -> Fingerprint[Any]:
    if isinstance(constructor, _Call):
        return constructor.fingerprint
    return Fingerprint(constructor.recipe)


class _Call:
    """The constructor of schedules that are a plain callable, which is static."""

    def __init__(self, function: Callable[[Any], Any]):
        self.function = function
        self.fingerprint = Fingerprint(function)  # now: Optax's change what is around them
        self.uid = uuid.uuid4().hex
        name = getattr(function, "__qualname__", type(function).__name__)
        self.__name__ = name.replace(".<locals>", "")

    @property
    def recipe(self) -> Recipe:
        return Recipe(self._formula, exact=True)

    def _formula(self, count: Any) -> Any:
        # Optax's schedules index and compare with an integer count.
        whole = jnp.issubdtype(count.dtype, jnp.integer)
        value = self.function(count if whole else count.astype(jnp.result_type(int)))
        if not is_scalar(value):
            raise TypeError(
                f"a schedule must give a number for each count, but {self.__name__} gave {value!r}"
            )
        return value

    def __getstate__(self) -> dict[str, Any]:
        return {k: v for k, v in vars(self).items() if k != "fingerprint"}

    def __setstate__(self, state: dict[str, Any]) -> None:
        vars(self).update(state, fingerprint=Fingerprint(state["function"]))


def injected() -> bool:
    """Whether this happens on behalf of `optax.inject_hyperparams`, which builds at each update."""
    frame = inspect.currentframe()
    while frame is not None:
        if frame.f_globals.get("__name__") == optax.inject_hyperparams.__module__:
            return True
        frame = frame.f_back
    return False


def from_callable(function: Callable[[Any], Any], name: str = "a schedule") -> Schedule:
    """A plain callable of count (an Optax schedule, a lambda) as a static `Schedule`.

    Args:
      function: it.
      name: what an error calls it.

    Raises:
      TypeError: for a constructor that was not called.
    """
    if isinstance(function, Schedule):
        return function
    if hasattr(function, "recipe") or hasattr(function, "tunable_of"):
        made = function.__name__
        raise TypeError(
            f"{name} must be a schedule or a callable of count, got {made}: call it, {made}(...)"
        )
    return Schedule(_Call(function), {}, (), {})


def value_at(value: Any, count: Any) -> Any:
    """A schedule's value at `count`; a number is its own value."""
    return value(count) if callable(value) else value


def _is_schedule(x: Any) -> bool:
    return isinstance(x, Schedule)


def _map(function: Callable[[Any], Any], values: Mapping[str, Any]) -> dict[str, Any]:
    """Over numbers and schedules, in the order given (`jax.tree.map` would sort the names)."""
    return {k: jax.tree.map(function, v, is_leaf=_is_schedule) for k, v in values.items()}


def _cast(values: Mapping[str, Any], counting: Collection[str] = ()) -> dict[str, Any]:
    """Numbers as arrays of the default float type, whole ones that count updates as int32.

    Schedules and truth values stay as they are.
    """

    def cast(x: Any, counts: bool) -> Any:
        if isinstance(x, Schedule) or jnp.result_type(x) == jnp.bool_:
            return x
        return jnp.asarray(x, jnp.int32 if counts and fits(x) else float_type())

    return {
        k: jax.tree.map(functools.partial(cast, counts=k in counting), v, is_leaf=_is_schedule)
        for k, v in values.items()
    }


def _schedules_in(tree: Any) -> list[Schedule]:
    leaves = jax.tree.leaves(tree, is_leaf=_is_schedule)
    return [x for x in leaves if isinstance(x, Schedule)]


def listed(values: Mapping[str, Any]) -> str:
    """Arguments as they are written in a call; None is left out."""
    return ", ".join(f"{k}={_show(v)}" for k, v in values.items() if v is not None)


def _show(value: Any) -> str:
    """A number as its shortest exact text, a long array abbreviated."""
    if isinstance(value, (tuple, list)):
        return "[" + ", ".join(_show(v) for v in value) + "]"
    if isinstance(value, jax.core.Tracer) or not is_number(value):
        return repr(value)
    if isinstance(value, jax.Array) and (value.is_deleted() or not value.is_fully_addressable):
        return f"{value.dtype}{list(value.shape)}"
    array = np.asarray(value)
    if array.ndim:
        return np.array2string(array, threshold=6, separator=", ").replace("\n", "")
    return str(array[()]).removesuffix(".0")
