"""Hyperparameters as data: an optimizer's numbers live in its state."""

from __future__ import annotations

import contextlib
import contextvars
import functools
import inspect
import typing
from collections.abc import Callable, Collection, Iterator
from typing import Any, NamedTuple, ParamSpec

import jax
import jax.numpy as jnp
import numpy as np
import optax

from lropt_jax import validation
from lropt_jax.schedules.base import Schedule, float_type, from_callable, value_at
from lropt_jax.validation import is_number

P = ParamSpec("P")


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


# What a concrete number of this name may be, at construction and in `set_hyperparams` alike.
CONSTRAINTS: dict[str, validation.Constraint] = {
    **dict.fromkeys(
        ("learning_rate", "eps", "eps_root", "weight_decay", "l2", "trust_coefficient"),
        validation.non_negative,
    ),
    **dict.fromkeys(
        ("initial_accumulator_value", "momentum_decay", "min_steps"), validation.non_negative
    ),
    **dict.fromkeys(("switch_atol", "switch_rtol", "min_gain"), validation.non_negative),
    **dict.fromkeys(("b1", "b2", "b3", "decay", "rho", "momentum", "beta"), validation.averaging),
    **dict.fromkeys(("dampening", "nu2"), validation.unit_interval),
    **dict.fromkeys(("nu", "nu1"), validation.finite),
    **dict.fromkeys(("min_step", "max_step"), validation.positive),
    "max_gain": validation.Constraint("a number > 0, or infinity", lambda x: x > 0),
    "eta_minus": validation.Constraint("in (0, 1)", lambda x: (x > 0) & (x < 1)),
    "eta_plus": validation.Constraint("a finite number > 1", lambda x: np.isfinite(x) & (x > 1)),
}

# The update count of the tunable that is building its transformation, if one is.
_outer_count: contextvars.ContextVar[Any] = contextvars.ContextVar("outer_count", default=None)


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
    numbers.

    Args:
      factory: any function of named numbers that returns a `GradientTransformation`: one of
        Optax's, or a lambda that builds a schedule out of its numbers.
      static: names of arguments that are not data, beyond the bools, strings, None, classes
        and pytrees that never are, and those named "mask".
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
            name: _normalised(name, value, signature)
            for name, value in bound.arguments.items()
            if _is_data(name, value, static, signature)
        }

        def plain(values: dict[str, Any]) -> optax.GradientTransformationExtraArgs:
            given = inspect.BoundArguments(signature, {**bound.arguments, **values})
            return optax.with_extra_args_support(factory(*given.args, **given.kwargs))

        outer = _outer_count.get()
        if outer is not None:
            return plain({name: value_at(value, outer) for name, value in numbers.items()})
        return _tunable_transformation(plain, numbers)

    build.tunable_of = factory  # type: ignore[attr-defined]
    return build


def _tunable_transformation(
    plain: Callable[[dict[str, Any]], optax.GradientTransformationExtraArgs],
    numbers: dict[str, Any],
) -> optax.GradientTransformationExtraArgs:
    def at(count: Any, values: dict[str, Any]) -> optax.GradientTransformationExtraArgs:
        with _building(count):
            return plain({name: value_at(value, count) for name, value in values.items()})

    def init(params: optax.Params) -> TunableState:
        count = jnp.zeros((), jnp.int32)
        stored = {name: _stored(value) for name, value in numbers.items()}
        inner = at(count, stored).init(params)
        return TunableState(count, stored, _strong(inner))

    def update(
        updates: optax.Updates, state: TunableState, params: Any = None, **extra: Any
    ) -> tuple[optax.Updates, TunableState]:
        tx = at(state.count, state.hyperparams)
        like = updates if params is None else params
        new_updates, inner = tx.update(updates, state.inner_state, params, **extra)
        values = state.hyperparams
        if extra.get("value") is not None:
            values = _observed(values, extra["value"])
        count = optax.safe_increment(state.count)
        inner = _cast_like(inner, state.inner_state)
        return _cast_like(new_updates, like), TunableState(count, values, inner)

    return optax.GradientTransformationExtraArgs(init, update)


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
    values = dict(found.hyperparams)
    for name, value in new.items():
        value = from_callable(value) if callable(value) else value
        if not (isinstance(value, Schedule) or is_number(value)):
            raise ValueError(f"{name} must be a number or a schedule, got {value!r}")
        _check(name, value)
        values[name] = _replaced(name, values[name], value, found.count.shape)
    return _replace(state, found._replace(hyperparams=values))


def observe(state: optax.OptState, value: Any) -> Any:
    """The state after its schedules have seen `value`, a validation loss for example.

    Args:
      state: an optimizer's state with one `TunableState` in it, anywhere inside a chain.
      value: a number; for a population one for each of its members.

    Raises:
      ValueError: when there is not exactly one tunable optimizer, or none of its
        hyperparameters is a schedule that observes.

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
    values = _over_population(_observed, found.count)(found.hyperparams, value)
    return _replace(state, found._replace(hyperparams=values))


def wants_observation(state: optax.OptState) -> bool:
    """Whether a schedule in this state reacts to observed values."""
    tunables = _tunables(state)
    values = [v for found in tunables for v in found.hyperparams.values()]
    return any(isinstance(v, Schedule) and v.observes for v in values)


@contextlib.contextmanager
def _building(count: Any) -> Iterator[None]:
    token = _outer_count.set(count)
    try:
        yield
    finally:
        _outer_count.reset(token)


def _is_data(name: str, value: Any, static: Collection[str], signature: inspect.Signature) -> bool:
    kind = signature.parameters[name].kind
    if kind in (inspect.Parameter.VAR_POSITIONAL, inspect.Parameter.VAR_KEYWORD):
        return False
    if name in static or name == "mask" or name.endswith("_mask") or isinstance(value, type):
        return False
    return is_number(value) or callable(value)


def _normalised(name: str, value: Any, signature: inspect.Signature) -> Any:
    if callable(value):
        return from_callable(value)
    _check(name, value)
    if np.ndim(value):
        raise ValueError(f"{name} must be a scalar, got shape {np.shape(value)}; vmap over it")
    default = signature.parameters[name].default
    if isinstance(value, int) and not isinstance(default, int):
        return float(value)
    return value


def _check(name: str, value: Any) -> None:
    if not isinstance(value, Schedule):
        CONSTRAINTS.get(name, validation.not_nan).check(name, value)


def _stored(value: Any, shape: tuple[int, ...] = ()) -> Any:
    """Numbers as strongly typed arrays, so that a state looks the same before and after a step."""

    def store(x: Any) -> jax.Array:
        integer = jnp.issubdtype(jnp.result_type(x), jnp.integer)
        return _as(x, jnp.int32 if integer else float_type(), shape)

    return jax.tree.map(store, value)


def _as(value: Any, dtype: Any, shape: tuple[int, ...]) -> jax.Array:
    return jnp.broadcast_to(jax.lax.convert_element_type(jnp.asarray(value), dtype), shape)


def _replaced(name: str, old: Any, new: Any, population: tuple[int, ...]) -> Any:
    if jax.tree.structure(old) != jax.tree.structure(new):  # type: ignore[operator]
        return _stored(new, population)

    def cast(o: jax.Array, n: Any) -> jax.Array:
        try:
            return _as(n, o.dtype, o.shape)
        except ValueError:
            raise ValueError(
                f"{name} must be a scalar or have the population's shape {o.shape}, "
                f"got shape {np.shape(n)}"
            ) from None

    return jax.tree.map(cast, old, new)


def _strong(tree: Any) -> Any:
    return jax.tree.map(lambda x: jax.lax.convert_element_type(x, jnp.result_type(x)), tree)


def _cast_like(tree: Any, like: Any) -> Any:
    """`tree` with the dtypes of `like`, strongly typed; complex parts are dropped only by cast."""

    def cast(x: Any, y: Any) -> Any:
        dtype = jnp.result_type(y)
        if isinstance(x, jax.Array) and x.dtype == dtype and not x.weak_type:
            return x
        return jax.lax.convert_element_type(x, dtype)

    return jax.tree.map(cast, tree, like)


def _observed(values: dict[str, Any], value: Any) -> dict[str, Any]:
    def see(v: Any) -> Any:
        return v.observe(value) if isinstance(v, Schedule) and v.observes else v

    return {name: see(v) for name, v in values.items()}


def _over_population(function: Callable[..., Any], count: jax.Array) -> Callable[..., Any]:
    for _ in range(jnp.ndim(count)):
        function = jax.vmap(function)
    return function


def _is_tunable_state(x: Any) -> bool:
    return isinstance(x, TunableState)


def _tunables(state: optax.OptState) -> list[TunableState]:
    leaves = jax.tree.leaves(state, is_leaf=_is_tunable_state)
    return [x for x in leaves if _is_tunable_state(x)]


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
    return jax.tree.map(
        lambda x: new if _is_tunable_state(x) else x, state, is_leaf=_is_tunable_state
    )
