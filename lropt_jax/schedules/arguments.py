"""What each argument of a schedule may be: read from its annotation, checked when it is given."""

from __future__ import annotations

import dataclasses
import inspect
import types
import typing
from collections.abc import Callable, Sequence
from typing import Any, Literal

import jax
import jax.numpy as jnp
import numpy as np

from lropt_jax.schedules.base import Schedule, from_callable
from lropt_jax.schedules.counts import fits
from lropt_jax.validation import Constraint, finite, instead, is_number

# What others call our arguments, and what these may be here.
OTHER_NAMES: dict[str, tuple[str, ...]] = {
    "lr": ("learning_rate", "init_value", "peak_value", "value"),
    "learning_rate": ("init_value", "peak_value", "value"),
    "max_lr": ("peak_value",),
    "base_lr": ("base_value",),
    "initial_learning_rate": ("init_value",),
    "end_learning_rate": ("end_value", "alpha"),
    "end_value": ("alpha", "min_value"),
    "final_value": ("end_value", "alpha"),
    "start_factor": ("init_value",),
    "end_factor": ("end_value", "alpha"),
    "total_iters": ("transition_steps", "decay_steps", "total_steps"),
    "decay_steps": ("transition_steps", "total_steps", "first_cycle_steps", "every"),
    "transition_steps": ("decay_steps", "total_steps", "every"),
    "decay_rate": ("drop", "factor"),
    "eta_min": ("end_value", "alpha", "min_value"),
    "min_lr": ("min_value", "end_value"),
    "T_max": ("decay_steps",),
    "T_0": ("first_cycle_steps",),
    "T_mult": ("cycle_mult",),
    "t_mul": ("cycle_mult",),
    "m_mul": ("cycle_decay",),
    "gamma": ("decay_rate", "drop", "factor"),
    "step_size": ("every",),
    "step_size_up": ("steps_up",),
    "step_size_down": ("steps_down",),
    "milestones": ("boundaries",),
    "pct_start": ("warmup_fraction",),
    "anneal_strategy": ("anneal",),
    "max_momentum": ("peak_value",),
    "base_momentum": ("base_value",),
    "warmup_steps": ("steps",),
    "min_delta": ("threshold",),
    "rtol": ("threshold",),
    "epochs": ("total_steps", "decay_steps"),
    "betas": ("b1",),
    "beta1": ("b1",),
    "beta_1": ("b1",),
    "beta2": ("b2",),
    "beta_2": ("b2",),
    "epsilon": ("eps",),
    "wd": ("weight_decay",),
    "nus": ("nu1", "nu"),
    "etas": ("eta_minus",),
    "step_sizes": ("min_step",),
    "lambd": ("weight_decay",),
    "alpha": ("decay",),
    "rho": ("decay",),
    "eta": ("trust_coefficient",),
    "mu": ("momentum",),
    "beta": ("momentum",),
    "schedule_decay": ("momentum_decay",),
}


def bound_arguments(
    function: str, signature: inspect.Signature, args: Any, kwargs: Any
) -> dict[str, Any]:
    """All arguments by name, defaults among them.

    Raises:
      TypeError: as a call does, but it knows what others call an argument.
    """
    known = signature.parameters
    if not any(p.kind is inspect.Parameter.VAR_KEYWORD for p in known.values()):
        for name in kwargs:
            if name not in known:
                hint = instead(name, list(known), OTHER_NAMES.get(name, ()))
                raise TypeError(f"{function}: got an unexpected keyword argument {name!r}{hint}")
    try:
        bound = signature.bind(*args, **kwargs)
    except TypeError as error:
        raise TypeError(f"{function}: {error}") from None
    bound.apply_defaults()
    return bound.arguments


_ITEMS: dict[str, Any] = {"numbers": "number", "values": "value"}  # kinds, and of their items


@dataclasses.dataclass(frozen=True)
class Allowed:
    """What one argument may be.

    Attributes:
      kind: "number", "value" (a number, a schedule or a callable), "numbers" and "values" (of
        which they are sequences), "switch" (a bool), "choice" (of strings), or "any".
      constraint: of its numbers.
      choices: the strings of a choice.
      optional: whether None is allowed.
    """

    kind: Literal["number", "value", "numbers", "values", "switch", "choice", "any"] = "any"
    constraint: Constraint = finite
    choices: tuple[str, ...] = ()
    optional: bool = False

    def accept(self, name: str, value: Any) -> Any:
        """The value as it is kept: Python ints as floats, sequences as tuples, callables static.

        Raises:
          ValueError: for a value that is not allowed, naming the argument and the value.
          TypeError: for something that is no number, schedule, string or bool at all.
        """
        if isinstance(value, np.bool_):
            value = bool(value)
        if value is None:
            if self.optional:
                return None
            raise TypeError(f"{name} must be given, got None")
        if self.kind == "choice" and not (isinstance(value, str) and value in self.choices):
            words = ", ".join(map(repr, self.choices))
            raise ValueError(f"{name} must be one of {words}, got {value!r}")
        if self.kind == "switch" and not _is_truth(value):
            raise ValueError(f"{name} must be True or False, got {value!r}")
        if self.kind in ("choice", "switch"):
            return value
        if self.kind in _ITEMS:
            if not _is_sequence(value):
                raise TypeError(f"{name} must be a sequence of {self.kind}, got {value!r}")
            value = tuple(value)  # an array, too: entries stand for themselves in a state
        if self.kind == "number" and not is_number(value):
            raise TypeError(f"{name} must be a number, got {value!r}")
        if self.kind == "value" and not (is_number(value) or callable(value)):
            raise TypeError(
                f"{name} must be a number, a schedule or a callable of count, got {value!r}"
            )
        return self._kept(name, value)

    def _kept(self, name: str, value: Any) -> Any:
        if isinstance(value, (bool, str, Schedule)) or (_is_truth(value) and self.kind == "any"):
            return value
        if is_number(value):
            self.constraint.check(name, value)
            if isinstance(value, (int, np.integer)):
                number = int(value)
                return number if self.constraint.counts and fits(number) else float(number)
            whole = jnp.issubdtype(value.dtype, jnp.integer) if hasattr(value, "dtype") else False
            if whole and not isinstance(value, jax.core.Tracer) and not fits(value):
                return np.asarray(value, float)
            return value
        if isinstance(value, (list, tuple)):
            item = dataclasses.replace(self, kind=_ITEMS.get(self.kind, "any"))
            return tuple(item.accept(f"{name}[{i}]", x) for i, x in enumerate(value))
        if callable(value):
            return from_callable(value, name)
        raise TypeError(
            f"{name} must be a number, a schedule or a callable of count, got {value!r}"
        )


def allowed_arguments(
    formula: Callable[..., Any], parameters: Sequence[inspect.Parameter]
) -> dict[str, Allowed]:
    """What each of a function's arguments may be; those of `**rest: Unpack[...]` by their names."""
    try:
        hints = typing.get_type_hints(formula, include_extras=True)
    except (NameError, TypeError):  # a name that only a type checker knows; no annotations
        hints = {}
    for hint in list(hints.values()):
        if typing.get_origin(hint) is typing.Unpack:
            hints |= typing.get_type_hints(typing.get_args(hint)[0], include_extras=True)
    return {p.name: _allowed(hints.get(p.name, Any), p.default is None) for p in parameters}


def _allowed(hint: Any, optional: bool) -> Allowed:
    if typing.get_origin(hint) in (typing.Union, types.UnionType):
        kinds = [_allowed(h, optional=True) for h in typing.get_args(hint) if h is not type(None)]
        said = [kind for kind in kinds if kind.kind != "any"]
        none = optional or type(None) in typing.get_args(hint)
        return dataclasses.replace(said[0], optional=none) if len(said) == 1 else Allowed()
    if hint is bool:
        return Allowed("switch", optional=optional)
    if typing.get_origin(hint) is Literal:
        return Allowed("choice", choices=typing.get_args(hint), optional=optional)
    if typing.get_origin(hint) is tuple:
        items = _allowed(typing.get_args(hint)[0], optional=False)
        kind: Any = {of: many for many, of in _ITEMS.items()}.get(items.kind, "any")
        return Allowed(kind, items.constraint, optional=optional)
    for extra in getattr(hint, "__metadata__", ()):
        if isinstance(extra, Constraint):
            return Allowed("value" if extra.varies else "number", extra, optional=optional)
    return Allowed(optional=optional)


def _is_truth(value: Any) -> bool:
    return isinstance(value, bool) or getattr(value, "dtype", None) == jnp.bool_


def _is_sequence(value: Any) -> bool:
    return isinstance(value, (list, tuple)) or (is_number(value) and np.ndim(value) > 0)
