"""Hyperparameters as data: an optimizer's numbers live in its state."""

from __future__ import annotations

import contextlib
import contextvars
import dataclasses
import functools
import inspect
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from typing import Any, ParamSpec

import jax
import jax.numpy as jnp
import optax

from lropt_jax.hyperparameters.arguments import as_data, constraint_of, is_data, kinds_of
from lropt_jax.hyperparameters.numbers import Factory, Numbers, stored
from lropt_jax.hyperparameters.state import FeedbackState, TunableState, observed, observes, resumed
from lropt_jax.schedules.arguments import bound_arguments
from lropt_jax.schedules.base import Schedule, value_at
from lropt_jax.validation import requirements

P = ParamSpec("P")
PLAIN = (bool, int, float, str, type(None))  # static arguments that a state can be compared by


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


def tunable(
    factory: Callable[P, optax.GradientTransformation], static: Collection[str] = ()
) -> Callable[P, optax.GradientTransformationExtraArgs]:
    """Makes an optimizer factory keep its numbers in the state, as data.

    The numbers can then be read (`hyperparams`), set (`set_hyperparams`), scheduled, traced,
    vmapped, differentiated and checkpointed, and a change never recompiles a step. Called while
    another tunable builds its transformation, the factory stays plain: the outer one owns the
    numbers. A schedule that observes (`reduce_on_plateau`), built inside the factory for such a
    one, keeps what it has seen in the outer state.

    Args:
      factory: any function of named numbers that returns a `GradientTransformation`: one of
        Optax's, or a lambda that builds a schedule out of its numbers. An argument annotated with
        `NonNegative`, `Averaging`, ... (`lropt_jax.validation`) must be such a number, a function
        under `requires` has conditions between them, in `set_hyperparams` too. Without an
        annotation a number must be finite where its default is.
      static: names of arguments that are not data, beyond the bools, strings, None, classes
        and pytrees that never are, and those named "mask" or "..._mask". An int where the
        annotation is `int`, and a function where the default is one, are not data either.

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
    if hasattr(factory, "tunable_of"):
        return factory
    name = getattr(factory, "__name__", "optimizer").replace("<lambda>", "optimizer")
    signature = inspect.signature(factory)
    parameters = signature.parameters
    kinds = kinds_of(factory, parameters)
    declared = any(kind.kind == "number" for kind in kinds.values())

    @functools.wraps(factory)
    def build(*args: P.args, **kwargs: P.kwargs) -> optax.GradientTransformationExtraArgs:
        arguments = bound_arguments(name, signature, args, kwargs)
        data = {
            k: as_data(k, v, parameters[k])
            for k, v in arguments.items()
            if k not in static and is_data(k, v, parameters[k], kinds[k])
        }
        fixed = {k: v for k, v in arguments.items() if k not in data and isinstance(v, PLAIN)}
        constraints = {k: constraint_of(parameters[k], kinds[k]) for k in data}
        about = Factory(name, constraints, requirements(factory), fixed)
        for k, v in data.items():
            about.check(k, v)
        about.check_together({**arguments, **data})
        numbers = Numbers(data, about)

        def plain(values: Mapping[str, Any]) -> optax.GradientTransformationExtraArgs:
            given = inspect.BoundArguments(signature, {**arguments, **values})
            return optax.with_extra_args_support(factory(*given.args, **given.kwargs))

        outer = _outer.get()
        if outer is not None:
            return plain({k: outer.value(v) for k, v in numbers.items()})
        if not declared:
            _try(plain, numbers)
        return _tunable_transformation(plain, numbers)

    build.tunable_of = factory  # type: ignore[attr-defined]
    return build


def _tunable_transformation(
    plain: Callable[[Mapping[str, Any]], optax.GradientTransformationExtraArgs],
    numbers: Numbers,
) -> optax.GradientTransformationExtraArgs:
    def at(building: _Building, values: Mapping[str, Any]) -> optax.GradientTransformationExtraArgs:
        with _called_by(building):
            return plain({name: value_at(v, building.count) for name, v in values.items()})

    def init(params: optax.Params) -> TunableState:
        building = _Building(jnp.zeros((), jnp.int32))
        kept = stored(numbers)
        inner = jax.tree.map(_strong, at(building, kept).init(params))
        if building.used:
            inner = FeedbackState(stored(tuple(building.used)), inner)
        return TunableState(building.count, kept, inner)

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


def _try(
    plain: Callable[[Mapping[str, Any]], optax.GradientTransformationExtraArgs],
    numbers: Numbers,
) -> None:
    """Builds the transformation once, so that what it is made of refuses a number at once."""

    def make(count: Any) -> None:
        with _called_by(_Building(count)):
            plain({name: value_at(value, count) for name, value in numbers.items()})

    jax.eval_shape(make, jax.ShapeDtypeStruct((), jnp.int32))  # type: ignore[no-untyped-call]


@contextlib.contextmanager
def _called_by(building: _Building) -> Iterator[None]:
    token = _outer.set(building)
    try:
        yield
    finally:
        _outer.reset(token)


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
