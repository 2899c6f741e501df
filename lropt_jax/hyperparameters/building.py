"""Hyperparameters as data: an optimizer's numbers live in its state."""

from __future__ import annotations

import contextlib
import contextvars
import dataclasses
import functools
import inspect
import typing
from collections.abc import Callable, Collection, Iterator, Sequence
from typing import Any, ParamSpec

import jax
import jax.numpy as jnp
import numpy as np
import optax

from lropt_jax.hyperparameters import constraints
from lropt_jax.hyperparameters.state import FeedbackState, TunableState, observed, observes, resumed
from lropt_jax.schedules.base import Schedule, float_type, from_callable, value_at
from lropt_jax.validation import is_number

P = ParamSpec("P")


@dataclasses.dataclass
class _Building:
    """A tunable that is building its transformation: what the factories that it calls need.

    Attributes:
      count: its update count.
      kept: the observing schedules that the factories made at the last update, or nothing yet.
      used: those of this time.
    """

    count: Any
    kept: Sequence[Schedule] | None = None
    used: list[Schedule] = dataclasses.field(default_factory=list)

    def value(self, number: Any) -> Any:
        """A number of an inner factory now; schedules that observe go on from what is kept."""
        if observes(number):
            if self.kept is not None:
                number = resumed(number, self.kept[len(self.used)])
            self.used.append(number)
        return value_at(number, self.count)


_outer: contextvars.ContextVar[_Building | None] = contextvars.ContextVar("outer", default=None)


@typing.overload
def tunable(
    factory: Callable[P, optax.GradientTransformation],
    static: Collection[str] = (),
    *,
    check: Callable[..., None] | None = None,
) -> Callable[P, optax.GradientTransformationExtraArgs]: ...
@typing.overload
def tunable(
    *, static: Collection[str] = (), check: Callable[..., None] | None = None
) -> Callable[
    [Callable[P, optax.GradientTransformation]],
    Callable[P, optax.GradientTransformationExtraArgs],
]: ...
def tunable(
    factory: Callable[..., Any] | None = None,
    static: Collection[str] = (),
    *,
    check: Callable[..., None] | None = None,
) -> Any:
    """Makes an optimizer factory keep its numbers in the state, as data.

    The numbers can then be read (`hyperparams`), set (`set_hyperparams`), scheduled, traced,
    vmapped, differentiated and checkpointed, and a change never recompiles a step. Called while
    another tunable builds its transformation, the factory stays plain: the outer one owns the
    numbers. A schedule that observes (`reduce_on_plateau`), built inside the factory for such a
    one, keeps what it has seen in the outer state.

    Args:
      factory: any function of named numbers that returns a `GradientTransformation`: one of
        Optax's, or a lambda that builds a schedule out of its numbers.
      static: names of arguments that are not data, beyond the bools, strings, None, classes
        and pytrees that never are, and those named "mask" or "..._mask".
      check: called with all arguments when the factory is, for conditions between them; raises
        `ValueError`. Without a factory, `tunable(check=...)` is a decorator.

    Returns:
      A factory of the same signature. Each number may be a float, an int, an array, a tracer, a
      `Schedule` or a plain callable of the update count. Updates have the parameters' dtype and
      the state keeps its dtypes, whatever the dtype of a number.

    Raises:
      ValueError: (the factory) for a concrete number out of its range.

    Example:
      >>> import jax, optax
      >>> from lropt_jax import hyperparams, tunable
      >>> tx = tunable(optax.lion)(learning_rate=1e-3)
      >>> round(float(hyperparams(tx.init({"w": jax.numpy.ones(3)}))["b1"]), 3)
      0.9
    """
    if factory is None:
        return functools.partial(tunable, static=static, check=check)
    if hasattr(factory, "tunable_of"):
        return factory
    signature = inspect.signature(factory)

    @functools.wraps(factory)
    def build(*args: Any, **kwargs: Any) -> optax.GradientTransformationExtraArgs:
        bound = signature.bind(*args, **kwargs)
        bound.apply_defaults()
        if check is not None:
            check(**bound.arguments)
        numbers = {
            name: _normalised(name, value, signature.parameters[name])
            for name, value in bound.arguments.items()
            if _is_data(name, value, static, signature.parameters[name])
        }

        def plain(values: dict[str, Any]) -> optax.GradientTransformationExtraArgs:
            given = inspect.BoundArguments(signature, {**bound.arguments, **values})
            return optax.with_extra_args_support(factory(*given.args, **given.kwargs))

        outer = _outer.get()
        if outer is not None:
            return plain({name: outer.value(value) for name, value in numbers.items()})
        return _tunable_transformation(plain, numbers)

    build.tunable_of = factory  # type: ignore[attr-defined]
    return build


def _tunable_transformation(
    plain: Callable[[dict[str, Any]], optax.GradientTransformationExtraArgs],
    numbers: dict[str, Any],
) -> optax.GradientTransformationExtraArgs:
    def at(building: _Building, values: dict[str, Any]) -> optax.GradientTransformationExtraArgs:
        with _called_by(building):
            return plain({name: value_at(v, building.count) for name, v in values.items()})

    def init(params: optax.Params) -> TunableState:
        building = _Building(jnp.zeros((), jnp.int32))
        stored = {name: constraints.stored(value) for name, value in numbers.items()}
        inner = jax.tree.map(_strong, at(building, stored).init(params))
        if building.used:
            inner = FeedbackState(constraints.stored(tuple(building.used)), inner)
        return TunableState(building.count, stored, inner)

    def update(
        updates: optax.Updates, state: TunableState, params: Any = None, **extra: Any
    ) -> tuple[optax.Updates, TunableState]:
        kept, inner = None, state.inner_state
        if isinstance(inner, FeedbackState):
            kept, inner = inner
        building = _Building(state.count, kept)
        tx = at(building, state.hyperparams)
        like = updates if params is None else params
        new_updates, new_inner = tx.update(updates, inner, params, **extra)
        new_inner = _cast_like(new_inner, inner)
        values, used = state.hyperparams, tuple(building.used)
        if extra.get("value") is not None:
            values, used = observed((values, used), extra["value"])
        if kept is not None:
            new_inner = FeedbackState(_cast_like(used, kept), new_inner)
        count = optax.safe_increment(state.count)
        return _cast_like(new_updates, like), TunableState(count, values, new_inner)

    return optax.GradientTransformationExtraArgs(init, update)


@contextlib.contextmanager
def _called_by(building: _Building) -> Iterator[None]:
    token = _outer.set(building)
    try:
        yield
    finally:
        _outer.reset(token)


def _is_data(name: str, value: Any, static: Collection[str], parameter: inspect.Parameter) -> bool:
    if parameter.kind in (inspect.Parameter.VAR_POSITIONAL, inspect.Parameter.VAR_KEYWORD):
        return False
    if name in static or name == "mask" or name.endswith("_mask") or isinstance(value, type):
        return False
    if is_number(value) or callable(value):
        return True
    if value is None and name in constraints.OPTIONAL:
        return False
    if is_number(parameter.default) or (
        name in constraints.CONSTRAINTS and value != parameter.default
    ):
        raise ValueError(f"{name} must be a number or a schedule, got {value!r}")
    return False


def _normalised(name: str, value: Any, parameter: inspect.Parameter) -> Any:
    if callable(value):
        return from_callable(value)
    constraints.check(name, value)
    if np.ndim(value):
        raise ValueError(f"{name} must be a scalar, got shape {np.shape(value)}; vmap over it")
    counts = is_number(parameter.default) and isinstance(parameter.default, int)
    if not counts and jnp.issubdtype(jnp.result_type(value), jnp.integer):
        concrete = isinstance(value, (int, np.number))
        return float(value) if concrete else value.astype(float_type())
    return value


def _strong(x: Any) -> Any:
    if isinstance(x, jax.Array) and not x.weak_type:
        return x
    return jax.lax.convert_element_type(x, jnp.result_type(x))


def _cast_like(tree: Any, like: Any) -> Any:
    """`tree` with the dtypes of `like`, strongly typed; a missing leaf stays missing."""

    def cast(x: Any, y: Any) -> Any:
        if x is None:
            return None
        dtype = jnp.result_type(y)
        if isinstance(x, jax.Array) and x.dtype == dtype and not x.weak_type:
            return x
        return jax.lax.convert_element_type(x, dtype)

    return jax.tree.map(cast, tree, like, is_leaf=lambda x: x is None)
