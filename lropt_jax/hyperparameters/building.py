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
import numpy as np
import optax

from lropt_jax.hyperparameters.arguments import (
    as_data,
    by_name,
    called,
    constraint_of,
    is_count,
    is_data,
    kinds_of,
)
from lropt_jax.hyperparameters.checks import (
    check_own,
    check_precision,
    check_scalars,
    check_whole,
)
from lropt_jax.hyperparameters.numbers import (
    Factory,
    Numbers,
    stored,
    teach_flax_keys,
)
from lropt_jax.hyperparameters.printing import Called
from lropt_jax.hyperparameters.state import FeedbackState, TunableState, observed, observes, resumed
from lropt_jax.hyperparameters.trials import NotData, attempt, explained, try_building
from lropt_jax.schedules.arguments import Allowed, bound_arguments
from lropt_jax.schedules.base import Schedule, injected, value_at
from lropt_jax.schedules.fingerprint import Aside, Carried
from lropt_jax.validation import names, requirements, unknown

P = ParamSpec("P")
Plain = Callable[[Mapping[str, Any]], optax.GradientTransformationExtraArgs]  # of its numbers

SIMPLE = (bool, int, float, str, type(None))  # static arguments that a state can be compared by


@dataclasses.dataclass
class _Building:
    """A tunable that is building its transformation: what the factories that it calls need.

    Attributes:
      count: its update count.
      kept: the observing schedules that the factories made at the last update, or nothing yet.
      used: those of this time.
      scheduled: what the factories were given that changes from update to update, by its
        argument's name; the first of several.
    """

    count: Any
    kept: Sequence[Schedule] | None = None
    used: list[Schedule] = dataclasses.field(default_factory=list)
    scheduled: dict[str, Any] = dataclasses.field(default_factory=dict)

    def value(self, name: str, number: Any) -> Any:
        """A number of an inner factory now; schedules that observe go on from what is kept."""
        if callable(number):
            self.scheduled.setdefault(name, number)
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

    When to use:
      For an Optax optimizer, or one of your own, whose numbers are to be swept, read and set:
      `tunable(optax.lion)`. Numbers that the factory branches on go into `static`. Ours are
      tunable already.

    Args:
      factory: any function of named numbers that returns a `GradientTransformation`: one of
        Optax's, or a lambda that builds a schedule out of its numbers. An argument annotated with
        `NonNegative`, `Averaging`, ... (`lropt_jax.validation`) must be such a number, a function
        under `requires` has conditions between them, in `set_hyperparams` too. Without an
        annotation a number must be finite where its default is. Numbers in `**others` are data
        by their names; those in `*others`, which have none, are not.
      static: names of arguments that are not data, beyond the bools, strings, None, classes
        and pytrees that never are, and those named "mask" or "..._mask". An int where the
        annotation is `int`, and a function where the default is one, are not data either.

    Returns:
      A factory of the same signature. Each number may be a float, an int, an array, a tracer, a
      `Schedule` or a plain callable of the update count. Updates have the parameters' dtype and
      the state keeps its dtypes, whatever the dtype of a number.

    Raises:
      ValueError: for a name in `static` that is no argument; (the factory) for a concrete number
        out of its range.
      TypeError: for what is no function, a transformation that was made for example.

    See also:
      `hyperparams`, `set_hyperparams`, `sweep`.

    Example:
      >>> import jax, optax
      >>> from lropt_jax import hyperparams, tunable
      >>> tx = tunable(optax.lion)(learning_rate=1e-3)
      >>> round(float(hyperparams(tx.init({"w": jax.numpy.ones(3)}))["b1"]), 3)
      0.9
    """
    if hasattr(factory, "tunable_of"):
        return factory
    if not callable(factory):
        raise TypeError(
            f"tunable: factory must be a function like optax.lion, got {factory!r}: what it has "
            "built holds no numbers any more"
        )
    name = getattr(factory, "__name__", "optimizer").replace("<lambda>", "optimizer")
    signature = inspect.signature(factory)
    known, static = signature.parameters, names(static)
    if not any(p.kind is inspect.Parameter.VAR_KEYWORD for p in known.values()):
        for other in static:
            if other not in known:
                raise ValueError(f"tunable: static: {unknown('argument', other, known)}")
    kinds = kinds_of(factory, known)
    declared = any(kind.kind == "number" for kind in kinds.values())

    @functools.wraps(factory)
    def build(*args: P.args, **kwargs: P.kwargs) -> optax.GradientTransformationExtraArgs:
        arguments, parameters = by_name(signature, bound_arguments(name, signature, args, kwargs))
        allowed = {k: kinds.get(k, Allowed()) for k in arguments}
        data = {
            k: as_data(k, v, parameters[k])
            for k, v in arguments.items()
            if k not in static and is_data(k, v, parameters[k], allowed[k])
        }

        # No number may stay around the transformation: it is the same for other numbers.
        code = {k: v for k, v in arguments.items() if k not in data}

        def plain(values: Mapping[str, Any]) -> optax.GradientTransformationExtraArgs:
            made = called(factory, signature, {**code, **values})
            if not isinstance(made, optax.GradientTransformation):
                raise TypeError(f"{name} must return an Optax transformation, got {made!r}")
            return optax.with_extra_args_support(made)

        about = Factory(
            name,
            {k: constraint_of(parameters[k], allowed[k]) for k in data},
            requirements(factory),
            {k: v for k, v in arguments.items() if k not in data and isinstance(v, SIMPLE)},
            None if declared else plain,
        )
        if injected():
            check_precision(data, "pass hyperparam_dtype=jnp.float32")
        for k, v in data.items():
            about.check(k, v)
        about.check_together({**arguments, **data})
        outer = _outer.get()
        if outer is not None:
            return plain({k: outer.value(k, v) for k, v in data.items()})
        if injected():
            return _owned_by_optax(plain, data)
        given = {k: v if callable(v) else arguments[k] for k, v in data.items()}
        if not declared:
            try:
                try_building(factory, plain, functools.partial(_built, plain), given)
            except NotData as error:
                if not all(is_count(arguments[k], known.get(k)) for k in error.names):
                    raise
                return tunable(factory, [*static, *error.names])(*args, **kwargs)
        tx = Called(*_tunable_transformation(plain, Carried(Numbers(data, about)), Aside(given)))
        tx.call = name, {**arguments, **data}, {k: p.default for k, p in parameters.items()}
        return tx

    build.tunable_of = factory  # type: ignore[attr-defined]
    return build


def check_building(factory: Factory, given: Mapping[str, Any]) -> None:
    """Raises `ValueError` where what a factory is made of refuses one of its numbers.

    A factory that says of its numbers what they may be needs no such trial; neither can it be
    made for the members of a population.

    Args:
      factory: whose numbers they are.
      given: all of them, as they were given or as the state has them.
    """
    if factory.plain is None or any(np.ndim(x) for x in jax.tree.leaves(given)):
        return
    try:
        attempt(functools.partial(_built, factory.plain), given)
    except ValueError:
        raise
    except Exception:  # no word about a number
        return


def owned_outside() -> bool:
    """Whether a factory is called for another one, which owns the numbers and calls it again."""
    return _outer.get() is not None or injected()


def scheduled_within(
    factory: Callable[..., optax.GradientTransformation], given: Mapping[str, Any]
) -> dict[str, Any]:
    """The schedules that a factory hands to the tunable ones that it calls, by their arguments."""
    building = _Building(jnp.zeros((), jnp.int32))
    with _called_by(building):
        factory(**given)
    return building.scheduled


def _built(
    plain: Plain, values: Mapping[str, Any], count: Any, kept: Sequence[Schedule] | None = None
) -> tuple[optax.GradientTransformationExtraArgs, tuple[Schedule, ...]]:
    """The transformation at a count, and the schedules that observe which were used for it."""
    building = _Building(count, kept)
    with _called_by(building):
        tx = plain({name: value_at(value, count) for name, value in values.items()})
    return tx, tuple(building.used)


def _tunable_transformation(
    plain: Plain, numbers: Carried, given: Aside
) -> optax.GradientTransformationExtraArgs:
    def init(params: optax.Params) -> TunableState:
        with explained(
            lambda values, count: _built(plain, values, count)[0].init(params), given.value
        ):
            check_scalars(numbers.data)
            count, kept = jnp.zeros((), jnp.int32), stored(numbers.data)
            tx, used = _built(plain, kept, count)
            inner = _owned(tx.init(params), (params, kept))
        if used:
            inner = FeedbackState(stored(used), inner)
        return TunableState(count, kept, inner)

    def update(
        updates: optax.Updates, state: TunableState, params: Any = None, **extra: Any
    ) -> tuple[optax.Updates, TunableState]:
        check_own(state, numbers.data)
        check_precision(state.hyperparams, "cast the moments alone: optax.tree.map_params")
        check_whole(state)
        kept, inner = None, state.inner_state
        if isinstance(inner, FeedbackState):
            kept, inner = inner

        def use(values: Mapping[str, Any], count: Any) -> Any:
            tx, used = _built(plain, values, count, kept)
            return *tx.update(updates, inner, params, **extra), used

        with explained(use, given.value):
            new_updates, new_inner, used = use(state.hyperparams, state.count)
        new_inner = _cast_like(new_inner, inner)
        values = _cast_like(state.hyperparams, state.hyperparams)  # some may be put in by hand
        if extra.get("value") is not None:
            values, used = observed((values, used), extra["value"])
        if kept is not None:
            new_inner = FeedbackState(_cast_like(used, kept), new_inner)
        like = updates if params is None else params
        count = optax.safe_increment(state.count)
        return _cast_like(new_updates, like), TunableState(count, values, new_inner)

    return optax.GradientTransformationExtraArgs(init, update)


def _owned_by_optax(
    plain: Plain, numbers: Mapping[str, Any]
) -> optax.GradientTransformationExtraArgs:
    """Under `optax.inject_hyperparams`, which builds anew at each update and owns the numbers."""
    for name, value in numbers.items():
        if isinstance(value, Schedule):
            raise ValueError(
                f"{name} must be a number under optax.inject_hyperparams, got {value!r}: leave "
                "inject_hyperparams out, the numbers of this optimizer are data already"
            )
    tx = plain(numbers)

    def update(
        updates: optax.Updates, state: Any, params: Any = None, **extra: Any
    ) -> tuple[optax.Updates, Any]:
        new_updates, new_state = tx.update(updates, state, params, **extra)
        like = updates if params is None else params
        return _cast_like(new_updates, like), _cast_like(new_state, state)

    return optax.GradientTransformationExtraArgs(lambda p: _owned(tx.init(p), p), update)


@contextlib.contextmanager
def _called_by(building: _Building) -> Iterator[None]:
    token = _outer.set(building)
    try:
        yield
    finally:
        _outer.reset(token)


def _owned(state: Any, others: Any) -> Any:
    """An inner state of strongly typed arrays none of which is another, or one of `others`.

    So that it can be donated.
    """
    known = {id(x) for x in jax.tree.leaves(others)}

    def own(x: Any) -> Any:
        if _is_extended(x):
            if not isinstance(x, jax.core.Tracer):
                teach_flax_keys(x.__class__)
            x = jax.random.clone(x) if id(x) in known else x  # type: ignore[no-untyped-call]
        elif not isinstance(x, jax.Array) or x.weak_type or id(x) in known:
            x = jnp.array(x, jnp.result_type(x), copy=True)
        known.add(id(x))
        return x

    return jax.tree.map(own, state)


def _is_extended(x: Any) -> bool:
    """Whether these are no numbers: typed random keys."""
    return hasattr(x, "dtype") and jnp.issubdtype(x.dtype, jax.dtypes.extended)


def _cast_like(tree: Any, like: Any) -> Any:
    """`tree` with the dtypes of `like`, strongly typed; a missing leaf stays missing."""

    def cast(x: Any, y: Any) -> Any:
        if x is None or _is_extended(x):
            return x
        dtype = jnp.result_type(y)
        if isinstance(x, jax.Array) and x.dtype == dtype and not x.weak_type:
            return x
        return jax.lax.convert_element_type(x, dtype)

    return jax.tree.map(cast, tree, like, is_leaf=lambda x: x is None)
