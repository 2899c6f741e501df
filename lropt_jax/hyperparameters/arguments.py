"""Which of a factory's arguments are data, and what each number among them may be."""

from __future__ import annotations

import inspect
import math
import sys
import types
import typing
from collections.abc import Callable, Mapping
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from lropt_jax.schedules.arguments import Allowed, allowed_arguments
from lropt_jax.schedules.base import Schedule, from_callable
from lropt_jax.schedules.counts import float_type
from lropt_jax.validation import Constraint, finite, is_number, not_nan


def kinds_of(
    factory: Callable[..., Any], parameters: Mapping[str, inspect.Parameter]
) -> dict[str, Allowed]:
    """What each argument may be; anything in a factory that says it of no number."""
    kinds = allowed_arguments(factory, list(parameters.values()))
    declared = any(kind.kind == "number" for kind in kinds.values())
    return kinds if declared else dict.fromkeys(parameters, Allowed())


def by_name(
    signature: inspect.Signature, arguments: Mapping[str, Any]
) -> tuple[dict[str, Any], dict[str, inspect.Parameter]]:
    """All arguments of a call by their names, and their parameters; those in `**others`, too."""
    values: dict[str, Any] = {}
    parameters: dict[str, inspect.Parameter] = {}
    for name, parameter in signature.parameters.items():
        if parameter.kind is not inspect.Parameter.VAR_KEYWORD:
            values[name], parameters[name] = arguments[name], parameter
            continue
        for other, value in arguments[name].items():
            values[other] = value
            parameters[other] = inspect.Parameter(other, inspect.Parameter.KEYWORD_ONLY)
    return values, parameters


def called(function: Callable[..., Any], signature: inspect.Signature, values: Any) -> Any:
    """What a function gives for its arguments by name, see `by_name`."""
    parameters = signature.parameters
    others = {name: value for name, value in values.items() if name not in parameters}
    kinds = {name: parameter.kind for name, parameter in parameters.items()}
    given = inspect.BoundArguments(
        signature,
        {k: others if kinds[k] is inspect.Parameter.VAR_KEYWORD else values[k] for k in kinds},
    )
    return function(*given.args, **given.kwargs)


def is_data(name: str, value: Any, parameter: inspect.Parameter, allowed: Allowed) -> bool:
    """Whether an argument is a number that lives in the state, and not a part of the code.

    Raises:
      ValueError: for something else where the annotation asks for a number, a bool or a choice.
    """
    if (
        parameter.kind is inspect.Parameter.VAR_POSITIONAL
        or name == "mask"
        or name.endswith("_mask")
    ):
        return False
    if allowed.kind in ("switch", "choice"):
        allowed.accept(name, value)
        return False
    if isinstance(value, Schedule):
        return True
    if allowed.kind == "number":
        if value is None and allowed.optional:
            return False
        if is_number(value) or callable(value):
            return True
        raise ValueError(f"{name} must be a number or a schedule, got {value!r}")
    default = parameter.default
    if isinstance(value, jax.core.Tracer):
        return is_number(value)
    if callable(value):
        return not (isinstance(value, type) or callable(default))
    if isinstance(value, (int, np.integer)) and is_number(value):
        return not (_says_int(parameter.annotation) or _is_structure(parameter))
    return is_number(value)


def is_count(value: Any, parameter: inspect.Parameter | None) -> bool:
    """Whether an int stands where the default is one, or in `**others`, which say nothing.

    It is data where the factory can take it so.
    """
    silent = parameter is None or isinstance(parameter.default, int)
    return silent and isinstance(value, (int, np.integer))


def _says_int(annotation: Any) -> bool:
    if typing.get_origin(annotation) in (typing.Union, types.UnionType):
        return set(typing.get_args(annotation)) == {int, type(None)}
    return annotation in (int, "int", "int | None", "Optional[int]")


def _is_structure(parameter: inspect.Parameter) -> bool:
    """An int, or a bool, in a factory that is annotated: how many, not how much."""
    annotated = parameter.annotation is not inspect.Parameter.empty
    return annotated and isinstance(parameter.default, int)


def constraint_of(parameter: inspect.Parameter, allowed: Allowed) -> Constraint:
    """What the annotation says, and without one: finite where the default is."""
    if allowed.kind == "number":
        return allowed.constraint
    default = parameter.default
    return finite if is_number(default) and np.all(np.isfinite(default)) else not_nan


def as_data(name: str, value: Any, parameter: inspect.Parameter) -> Any:
    """A number or a callable as it is kept: Python's ints as floats unless the default is one.

    Raises:
      ValueError: for an array that is no scalar.
    """
    if callable(value):
        return from_callable(value, name)
    if np.ndim(value):
        raise ValueError(f"{name} must be a scalar, got shape {np.shape(value)}; vmap over it")
    if not isinstance(parameter.default, int) and jnp.issubdtype(
        jnp.result_type(value), jnp.integer
    ):
        if isinstance(value, int) and abs(value) > sys.float_info.max:
            return math.inf  # which the check that follows refuses
        concrete = isinstance(value, (int, np.number))
        return float(value) if concrete else value.astype(float_type())
    return value
